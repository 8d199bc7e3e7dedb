from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Limits(_message.Message):
    __slots__ = ("message_bytes", "items", "text_bytes", "description_bytes", "hits", "queries", "batch_hits", "page", "paraphrases", "samples", "sample_tokens", "phrases", "filter_depth", "filter_conditions", "filter_values", "bulk_batch", "concurrent_calls", "waiting_calls", "streams", "transfers")
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TEXT_BYTES_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_BYTES_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    BATCH_HITS_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    PARAPHRASES_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PHRASES_FIELD_NUMBER: _ClassVar[int]
    FILTER_DEPTH_FIELD_NUMBER: _ClassVar[int]
    FILTER_CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    FILTER_VALUES_FIELD_NUMBER: _ClassVar[int]
    BULK_BATCH_FIELD_NUMBER: _ClassVar[int]
    CONCURRENT_CALLS_FIELD_NUMBER: _ClassVar[int]
    WAITING_CALLS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    message_bytes: int
    items: int
    text_bytes: int
    description_bytes: int
    hits: int
    queries: int
    batch_hits: int
    page: int
    paraphrases: int
    samples: int
    sample_tokens: int
    phrases: int
    filter_depth: int
    filter_conditions: int
    filter_values: int
    bulk_batch: int
    concurrent_calls: int
    waiting_calls: int
    streams: int
    transfers: int
    def __init__(self, message_bytes: _Optional[int] = ..., items: _Optional[int] = ..., text_bytes: _Optional[int] = ..., description_bytes: _Optional[int] = ..., hits: _Optional[int] = ..., queries: _Optional[int] = ..., batch_hits: _Optional[int] = ..., page: _Optional[int] = ..., paraphrases: _Optional[int] = ..., samples: _Optional[int] = ..., sample_tokens: _Optional[int] = ..., phrases: _Optional[int] = ..., filter_depth: _Optional[int] = ..., filter_conditions: _Optional[int] = ..., filter_values: _Optional[int] = ..., bulk_batch: _Optional[int] = ..., concurrent_calls: _Optional[int] = ..., waiting_calls: _Optional[int] = ..., streams: _Optional[int] = ..., transfers: _Optional[int] = ...) -> None: ...
