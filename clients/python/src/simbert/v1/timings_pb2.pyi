import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Timings(_message.Message):
    __slots__ = ("queue", "tokenise", "infer", "generate", "search", "store")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TOKENISE_FIELD_NUMBER: _ClassVar[int]
    INFER_FIELD_NUMBER: _ClassVar[int]
    GENERATE_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    queue: _duration_pb2.Duration
    tokenise: _duration_pb2.Duration
    infer: _duration_pb2.Duration
    generate: _duration_pb2.Duration
    search: _duration_pb2.Duration
    store: _duration_pb2.Duration
    def __init__(self, queue: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., tokenise: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., infer: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., generate: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., search: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., store: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
