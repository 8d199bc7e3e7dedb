from simbert.v1 import limits_pb2 as _limits_pb2
from simbert.v1 import timings_pb2 as _timings_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Vector(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("texts",)
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, texts: _Optional[_Iterable[str]] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("vectors", "timings")
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    vectors: _containers.RepeatedCompositeFieldContainer[Vector]
    timings: _timings_pb2.Timings
    def __init__(self, vectors: _Optional[_Iterable[_Union[Vector, _Mapping]]] = ..., timings: _Optional[_Union[_timings_pb2.Timings, _Mapping]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("fingerprint", "dimension", "cache", "limits")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    dimension: int
    cache: VectorCache
    limits: _limits_pb2.Limits
    def __init__(self, fingerprint: _Optional[str] = ..., dimension: _Optional[int] = ..., cache: _Optional[_Union[VectorCache, _Mapping]] = ..., limits: _Optional[_Union[_limits_pb2.Limits, _Mapping]] = ...) -> None: ...

class VectorCache(_message.Message):
    __slots__ = ("hits", "misses", "bytes", "capacity")
    HITS_FIELD_NUMBER: _ClassVar[int]
    MISSES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    hits: int
    misses: int
    bytes: int
    capacity: int
    def __init__(self, hits: _Optional[int] = ..., misses: _Optional[int] = ..., bytes: _Optional[int] = ..., capacity: _Optional[int] = ...) -> None: ...
