from google.protobuf import field_mask_pb2 as _field_mask_pb2
from simbert.v1 import embedding_pb2 as _embedding_pb2
from simbert.v1 import paraphrase_pb2 as _paraphrase_pb2
from simbert.v1 import question_pb2 as _question_pb2
from simbert.v1 import timings_pb2 as _timings_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Query(_message.Message):
    __slots__ = ("text", "vector")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    text: str
    vector: _embedding_pb2.Vector
    def __init__(self, text: _Optional[str] = ..., vector: _Optional[_Union[_embedding_pb2.Vector, _Mapping]] = ...) -> None: ...

class SearchOptions(_message.Message):
    __slots__ = ("k", "filter", "min_score", "group_by_faq", "exact", "min_probability", "read_mask")
    K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FAQ_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    MIN_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    k: int
    filter: Filter
    min_score: float
    group_by_faq: bool
    exact: bool
    min_probability: float
    read_mask: _field_mask_pb2.FieldMask
    def __init__(self, k: _Optional[int] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., min_score: _Optional[float] = ..., group_by_faq: bool = ..., exact: bool = ..., min_probability: _Optional[float] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("faq_id", "value", "range", "exists", "all", "any")
    FAQ_ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    ANY_FIELD_NUMBER: _ClassVar[int]
    NOT_FIELD_NUMBER: _ClassVar[int]
    faq_id: FaqIdFilter
    value: ValueFilter
    range: RangeFilter
    exists: ExistsFilter
    all: FilterList
    any: FilterList
    def __init__(self, faq_id: _Optional[_Union[FaqIdFilter, _Mapping]] = ..., value: _Optional[_Union[ValueFilter, _Mapping]] = ..., range: _Optional[_Union[RangeFilter, _Mapping]] = ..., exists: _Optional[_Union[ExistsFilter, _Mapping]] = ..., all: _Optional[_Union[FilterList, _Mapping]] = ..., any: _Optional[_Union[FilterList, _Mapping]] = ..., **kwargs) -> None: ...

class FaqIdFilter(_message.Message):
    __slots__ = ("faq_ids",)
    FAQ_IDS_FIELD_NUMBER: _ClassVar[int]
    faq_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, faq_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ValueFilter(_message.Message):
    __slots__ = ("key", "values")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    key: str
    values: _containers.RepeatedCompositeFieldContainer[_question_pb2.MetadataValue]
    def __init__(self, key: _Optional[str] = ..., values: _Optional[_Iterable[_Union[_question_pb2.MetadataValue, _Mapping]]] = ...) -> None: ...

class RangeFilter(_message.Message):
    __slots__ = ("key", "min", "max")
    KEY_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    key: str
    min: float
    max: float
    def __init__(self, key: _Optional[str] = ..., min: _Optional[float] = ..., max: _Optional[float] = ...) -> None: ...

class ExistsFilter(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class FilterList(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: _containers.RepeatedCompositeFieldContainer[Filter]
    def __init__(self, filters: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("question", "score", "rank_score", "phrase", "probability")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    RANK_SCORE_FIELD_NUMBER: _ClassVar[int]
    PHRASE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    question: _question_pb2.Question
    score: float
    rank_score: float
    phrase: str
    probability: float
    def __init__(self, question: _Optional[_Union[_question_pb2.Question, _Mapping]] = ..., score: _Optional[float] = ..., rank_score: _Optional[float] = ..., phrase: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("bank", "query", "options")
    BANK_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    bank: str
    query: Query
    options: SearchOptions
    def __init__(self, bank: _Optional[str] = ..., query: _Optional[_Union[Query, _Mapping]] = ..., options: _Optional[_Union[SearchOptions, _Mapping]] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("hits", "timings")
    HITS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    timings: _timings_pb2.Timings
    def __init__(self, hits: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., timings: _Optional[_Union[_timings_pb2.Timings, _Mapping]] = ...) -> None: ...

class BatchSearchRequest(_message.Message):
    __slots__ = ("bank", "queries", "options")
    BANK_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    bank: str
    queries: _containers.RepeatedCompositeFieldContainer[Query]
    options: SearchOptions
    def __init__(self, bank: _Optional[str] = ..., queries: _Optional[_Iterable[_Union[Query, _Mapping]]] = ..., options: _Optional[_Union[SearchOptions, _Mapping]] = ...) -> None: ...

class SearchResult(_message.Message):
    __slots__ = ("hits", "timings")
    HITS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    timings: _timings_pb2.Timings
    def __init__(self, hits: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., timings: _Optional[_Union[_timings_pb2.Timings, _Mapping]] = ...) -> None: ...

class BatchSearchResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SearchResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SearchResult, _Mapping]]] = ...) -> None: ...

class ReciprocalRankFusion(_message.Message):
    __slots__ = ("k",)
    K_FIELD_NUMBER: _ClassVar[int]
    k: float
    def __init__(self, k: _Optional[float] = ...) -> None: ...

class MaximumScoreFusion(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExpandedSearchRequest(_message.Message):
    __slots__ = ("bank", "text", "options", "phrases", "sampling", "reciprocal_rank", "maximum_score")
    BANK_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    PHRASES_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    RECIPROCAL_RANK_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_SCORE_FIELD_NUMBER: _ClassVar[int]
    bank: str
    text: str
    options: SearchOptions
    phrases: int
    sampling: _paraphrase_pb2.Sampling
    reciprocal_rank: ReciprocalRankFusion
    maximum_score: MaximumScoreFusion
    def __init__(self, bank: _Optional[str] = ..., text: _Optional[str] = ..., options: _Optional[_Union[SearchOptions, _Mapping]] = ..., phrases: _Optional[int] = ..., sampling: _Optional[_Union[_paraphrase_pb2.Sampling, _Mapping]] = ..., reciprocal_rank: _Optional[_Union[ReciprocalRankFusion, _Mapping]] = ..., maximum_score: _Optional[_Union[MaximumScoreFusion, _Mapping]] = ...) -> None: ...

class ExpandedSearchResponse(_message.Message):
    __slots__ = ("hits", "phrases", "timings")
    HITS_FIELD_NUMBER: _ClassVar[int]
    PHRASES_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    phrases: _containers.RepeatedCompositeFieldContainer[_paraphrase_pb2.Paraphrase]
    timings: _timings_pb2.Timings
    def __init__(self, hits: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., phrases: _Optional[_Iterable[_Union[_paraphrase_pb2.Paraphrase, _Mapping]]] = ..., timings: _Optional[_Union[_timings_pb2.Timings, _Mapping]] = ...) -> None: ...
