from simbert.v1 import timings_pb2 as _timings_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Sampling(_message.Message):
    __slots__ = ("samples", "max_tokens", "temperature", "top_k", "top_p", "seed", "copy_penalty", "mask_source")
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    COPY_PENALTY_FIELD_NUMBER: _ClassVar[int]
    MASK_SOURCE_FIELD_NUMBER: _ClassVar[int]
    samples: int
    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    seed: int
    copy_penalty: float
    mask_source: float
    def __init__(self, samples: _Optional[int] = ..., max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., top_k: _Optional[int] = ..., top_p: _Optional[float] = ..., seed: _Optional[int] = ..., copy_penalty: _Optional[float] = ..., mask_source: _Optional[float] = ...) -> None: ...

class Paraphrase(_message.Message):
    __slots__ = ("text", "score")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    text: str
    score: float
    def __init__(self, text: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("text", "k", "sampling", "min_score")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    text: str
    k: int
    sampling: Sampling
    min_score: float
    def __init__(self, text: _Optional[str] = ..., k: _Optional[int] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., min_score: _Optional[float] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("paraphrases", "timings")
    PARAPHRASES_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    paraphrases: _containers.RepeatedCompositeFieldContainer[Paraphrase]
    timings: _timings_pb2.Timings
    def __init__(self, paraphrases: _Optional[_Iterable[_Union[Paraphrase, _Mapping]]] = ..., timings: _Optional[_Union[_timings_pb2.Timings, _Mapping]] = ...) -> None: ...

class GenerateManyRequest(_message.Message):
    __slots__ = ("texts", "k", "sampling", "min_score")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    k: int
    sampling: Sampling
    min_score: float
    def __init__(self, texts: _Optional[_Iterable[str]] = ..., k: _Optional[int] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., min_score: _Optional[float] = ...) -> None: ...

class GenerateManyResponse(_message.Message):
    __slots__ = ("position", "paraphrases", "failure", "timings")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    PARAPHRASES_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    position: int
    paraphrases: _containers.RepeatedCompositeFieldContainer[Paraphrase]
    failure: str
    timings: _timings_pb2.Timings
    def __init__(self, position: _Optional[int] = ..., paraphrases: _Optional[_Iterable[_Union[Paraphrase, _Mapping]]] = ..., failure: _Optional[str] = ..., timings: _Optional[_Union[_timings_pb2.Timings, _Mapping]] = ...) -> None: ...
