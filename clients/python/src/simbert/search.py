"""Searches, and what they find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, overload

from .call import Call
from .filter import Filter
from .paraphrase import Paraphrase, Sampling
from .question import Question, read_mask
from .timings import Timings
from .v1 import embedding_pb2, search_pb2
from .v1.search_pb2_grpc import SearchServiceStub

#: A question to be encoded, or a sentence vector as wide as the bank's, of any length but 0.
Query: TypeAlias = str | Iterable[float]


@dataclass(frozen=True)
class Hit:
    """A question found."""

    question: Question
    #: Cosine with the query, or with the best phrase of an expanded search: -1 to 1.
    score: float
    #: What the hits are ordered by: the cosine, or the fused score of an expanded search.
    rank_score: float
    #: The phrase that found it best; None but in an expanded search.
    phrase: str | None
    #: How likely it is that it means the same, 0 to 1; None where the model has no calibration.
    probability: float | None

    @classmethod
    def of(cls, message: search_pb2.Hit) -> Hit:
        """Read the message."""
        return cls(
            question=Question.of(message.question),
            score=message.score,
            rank_score=message.rank_score,
            phrase=message.phrase if message.HasField("phrase") else None,
            probability=message.probability if message.HasField("probability") else None,
        )


@dataclass(frozen=True)
class SearchResult(Sequence[Hit]):
    """What a query found, best first; a sequence of hits."""

    hits: list[Hit]
    timings: Timings

    @classmethod
    def of(cls, message: search_pb2.SearchResponse | search_pb2.SearchResult) -> SearchResult:
        """Read the message."""
        return cls([Hit.of(hit) for hit in message.hits], Timings.of(message.timings))

    @overload
    def __getitem__(self, place: int) -> Hit: ...
    @overload
    def __getitem__(self, place: slice) -> list[Hit]: ...
    def __getitem__(self, place: int | slice) -> Hit | list[Hit]:
        return self.hits[place]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)


@dataclass(frozen=True)
class ExpandedResult(SearchResult):
    """What a query and questions similar to it found, best first by `rank_score`."""

    #: The similar questions searched with, best first; the query itself is not among them.
    phrases: list[Paraphrase]


@dataclass(frozen=True)
class ReciprocalRank:
    """Reciprocal rank fusion: the sum over the phrases of 1 / (k + rank), ranks from 1."""

    #: Above 0; 60 if None, as in Cormack et al. 2009.
    k: float | None = None


@dataclass(frozen=True)
class MaximumScore:
    """The highest cosine over the phrases."""


def search(
    query: Query,
    *,
    bank: str,
    k: int | None = None,
    filter: Filter | None = None,
    min_score: float | None = None,
    min_probability: float | None = None,
    group_by_faq: bool = False,
    exact: bool = False,
    fields: Iterable[str] | None = None,
) -> Call[SearchResult]:
    """Find the questions of a bank that mean the same as `query`: a text, or a sentence vector.

    `k` is the most hits, 1 to 1000, and 10 if None. `filter` says which questions may be found. `min_score` leaves out
    hits with a lower cosine, -1 to 1, and `min_probability` less likely ones, 0 to 1. `group_by_faq` keeps the best hit
    of each FAQ id. `exact` compares with every vector instead of walking the graph: slower, and misses nothing.
    `fields` says what comes with each hit of its question besides the id: `text`, `faq_id`, `answer`, `metadata`; all
    if None.

    Raises `NotFound`, and `InvalidArgument` also for `min_probability` where the model has no calibration.
    """
    options = _options(k, filter, min_score, min_probability, group_by_faq, exact, fields)
    request = search_pb2.SearchRequest(bank=bank, query=_query(query), options=options)
    return Call(SearchServiceStub, "Search", request, SearchResult.of)


def batch_search(
    queries: Iterable[Query],
    *,
    bank: str,
    k: int | None = None,
    filter: Filter | None = None,
    min_score: float | None = None,
    min_probability: float | None = None,
    group_by_faq: bool = False,
    exact: bool = False,
    fields: Iterable[str] | None = None,
) -> Call[list[SearchResult]]:
    """Look 1 to 256 queries up with the same options, as in `search`: cheaper than many calls.

    There is one result for each query, in their order. Queries times `k` is at most 50,000.
    """
    if isinstance(queries, str):
        raise TypeError("queries: expected a list of queries, received one text")
    options = _options(k, filter, min_score, min_probability, group_by_faq, exact, fields)
    request = search_pb2.BatchSearchRequest(bank=bank, queries=map(_query, queries), options=options)
    return Call(SearchServiceStub, "BatchSearch", request, lambda reply: [SearchResult.of(r) for r in reply.results])


def expanded_search(
    text: str,
    *,
    bank: str,
    k: int | None = None,
    filter: Filter | None = None,
    min_score: float | None = None,
    min_probability: float | None = None,
    group_by_faq: bool = False,
    exact: bool = False,
    fields: Iterable[str] | None = None,
    phrases: int | None = None,
    sampling: Sampling | None = None,
    fusion: ReciprocalRank | MaximumScore | None = None,
) -> Call[ExpandedResult]:
    """Write questions similar to `text`, look all of them up, and make one ranking of it: slower, finds more.

    `phrases` is the most similar questions to search with, 1 to 100, and 8 if None; `sampling` says how they are
    written, and `fusion` how the rankings become one, `ReciprocalRank()` if None. The rest is as in `search`.
    """
    request = search_pb2.ExpandedSearchRequest(
        bank=bank,
        text=text,
        options=_options(k, filter, min_score, min_probability, group_by_faq, exact, fields),
        phrases=phrases,
        sampling=None if sampling is None else sampling.message(),
    )
    if isinstance(fusion, ReciprocalRank):
        request.reciprocal_rank.CopyFrom(search_pb2.ReciprocalRankFusion(k=fusion.k))
    elif fusion is not None:
        request.maximum_score.SetInParent()

    def read(reply: search_pb2.ExpandedSearchResponse) -> ExpandedResult:
        hits = [Hit.of(hit) for hit in reply.hits]
        return ExpandedResult(hits, Timings.of(reply.timings), [Paraphrase.of(phrase) for phrase in reply.phrases])

    return Call(SearchServiceStub, "ExpandedSearch", request, read)


def _query(query: Query) -> search_pb2.Query:
    if isinstance(query, str):
        return search_pb2.Query(text=query)
    return search_pb2.Query(vector=embedding_pb2.Vector(values=query))


def _options(
    k: int | None,
    filter: Filter | None,
    min_score: float | None,
    min_probability: float | None,
    group_by_faq: bool,
    exact: bool,
    fields: Iterable[str] | None,
) -> search_pb2.SearchOptions:
    return search_pb2.SearchOptions(
        k=k,
        filter=None if filter is None else filter.message,
        min_score=min_score,
        min_probability=min_probability,
        group_by_faq=group_by_faq,
        exact=exact,
        read_mask=read_mask(fields),
    )
