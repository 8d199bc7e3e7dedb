"""Similar questions, and the call that writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import overload

from .call import Call
from .timings import Timings
from .v1 import paraphrase_pb2
from .v1.paraphrase_pb2_grpc import ParaphraseServiceStub


@dataclass(frozen=True)
class Sampling:
    """How similar questions are drawn. None leaves a choice to the server."""

    #: How many samples are drawn, 1 to 1000; the server's choice is 100, and 32 in an expanded search.
    samples: int | None = None
    #: Most new tokens of a sample, 1 to 512; the server's choice is 32.
    max_tokens: int | None = None
    #: Above 0 and at most 10; the server's choice is 1. Higher is more varied.
    temperature: float | None = None
    #: Keep the k likeliest tokens; 0 keeps all. The server's choice is 5.
    top_k: int | None = None
    #: Then keep the likeliest tokens until their sum crosses p: above 0 and at most 1. The server's choice is 0.95.
    top_p: float | None = None
    #: The same seed gives the same output. The server's choice is 42.
    seed: int | None = None
    #: Taken off the logit of each of the input's own pieces, 0 to 100; the server's choice is 0. Higher gives other
    #: words more often.
    copy_penalty: float | None = None
    #: Share of the input's pieces that a sample does not get to read, 0 to 0.9; the server's choice is 0.
    mask_source: float | None = None

    def message(self) -> paraphrase_pb2.Sampling:
        """Write it as its message."""
        return paraphrase_pb2.Sampling(**asdict(self))


@dataclass(frozen=True)
class Paraphrase:
    """A generated question."""

    text: str
    #: Cosine of its sentence vector with the input's: -1 to 1.
    score: float

    @classmethod
    def of(cls, message: paraphrase_pb2.Paraphrase) -> Paraphrase:
        """Read the message."""
        return cls(message.text, message.score)


@dataclass(frozen=True)
class Paraphrases(Sequence[Paraphrase]):
    """Generated questions, best first; a sequence of them."""

    paraphrases: list[Paraphrase]
    timings: Timings

    @classmethod
    def of(cls, message: paraphrase_pb2.GenerateResponse) -> Paraphrases:
        """Read the message."""
        return cls([Paraphrase.of(part) for part in message.paraphrases], Timings.of(message.timings))

    @overload
    def __getitem__(self, place: int) -> Paraphrase: ...
    @overload
    def __getitem__(self, place: slice) -> list[Paraphrase]: ...
    def __getitem__(self, place: int | slice) -> Paraphrase | list[Paraphrase]:
        return self.paraphrases[place]

    def __iter__(self) -> Iterator[Paraphrase]:
        return iter(self.paraphrases)

    def __len__(self) -> int:
        return len(self.paraphrases)


@dataclass(frozen=True)
class Written:
    """What was written for one of many texts."""

    #: Which of the texts it is for, from 0.
    position: int
    #: Best first; none if it failed.
    paraphrases: list[Paraphrase]
    #: Why it failed; None if it did not.
    failure: str | None
    timings: Timings = field(default_factory=Timings, repr=False, compare=False)

    @classmethod
    def of(cls, message: paraphrase_pb2.GenerateManyResponse) -> Written:
        """Read the message."""
        failure = message.failure if message.HasField("failure") else None
        paraphrases = [Paraphrase.of(part) for part in message.paraphrases]
        return cls(message.position, paraphrases, failure, Timings.of(message.timings))


def many(
    texts: Sequence[str], k: int | None, min_score: float | None, sampling: Sampling | None
) -> paraphrase_pb2.GenerateManyRequest:
    """The message that asks for many."""
    drawn = None if sampling is None else sampling.message()
    return paraphrase_pb2.GenerateManyRequest(texts=texts, k=k, min_score=min_score, sampling=drawn)


def generate(
    text: str, *, k: int | None = None, min_score: float | None = None, sampling: Sampling | None = None
) -> Call[Paraphrases]:
    """Write questions similar to `text`, best first, without blanks, duplicates and the text itself.

    `text` is at most 8 KiB and not blank; `k` is 1 to 1000, and 20 if None, and there may be fewer; `min_score` leaves
    out what has a lower cosine with the text, -1 to 1. Raises `InvalidArgument`.
    """
    drawn = None if sampling is None else sampling.message()
    request = paraphrase_pb2.GenerateRequest(text=text, k=k, min_score=min_score, sampling=drawn)
    return Call(ParaphraseServiceStub, "Generate", request, Paraphrases.of)
