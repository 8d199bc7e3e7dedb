from google.protobuf import field_mask_pb2 as _field_mask_pb2
from simbert.v1 import timings_pb2 as _timings_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MetadataValue(_message.Message):
    __slots__ = ("flag", "number", "text")
    FLAG_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    flag: bool
    number: float
    text: str
    def __init__(self, flag: bool = ..., number: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("id", "text", "faq_id", "answer", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[MetadataValue, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FAQ_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    text: str
    faq_id: str
    answer: str
    metadata: _containers.MessageMap[str, MetadataValue]
    def __init__(self, id: _Optional[str] = ..., text: _Optional[str] = ..., faq_id: _Optional[str] = ..., answer: _Optional[str] = ..., metadata: _Optional[_Mapping[str, MetadataValue]] = ...) -> None: ...

class UpsertQuestionsRequest(_message.Message):
    __slots__ = ("bank", "questions")
    BANK_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    bank: str
    questions: _containers.RepeatedCompositeFieldContainer[Question]
    def __init__(self, bank: _Optional[str] = ..., questions: _Optional[_Iterable[_Union[Question, _Mapping]]] = ...) -> None: ...

class UpsertQuestionsResponse(_message.Message):
    __slots__ = ("inserted", "updated", "timings")
    INSERTED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    inserted: int
    updated: int
    timings: _timings_pb2.Timings
    def __init__(self, inserted: _Optional[int] = ..., updated: _Optional[int] = ..., timings: _Optional[_Union[_timings_pb2.Timings, _Mapping]] = ...) -> None: ...

class BulkUpsertQuestionsRequest(_message.Message):
    __slots__ = ("bank", "questions")
    BANK_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    bank: str
    questions: _containers.RepeatedCompositeFieldContainer[Question]
    def __init__(self, bank: _Optional[str] = ..., questions: _Optional[_Iterable[_Union[Question, _Mapping]]] = ...) -> None: ...

class QuestionFailure(_message.Message):
    __slots__ = ("position", "id", "reason", "field")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    position: int
    id: str
    reason: str
    field: str
    def __init__(self, position: _Optional[int] = ..., id: _Optional[str] = ..., reason: _Optional[str] = ..., field: _Optional[str] = ...) -> None: ...

class BulkUpsertQuestionsResponse(_message.Message):
    __slots__ = ("settled", "inserted", "updated", "failed", "failures", "timings")
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    INSERTED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    settled: int
    inserted: int
    updated: int
    failed: int
    failures: _containers.RepeatedCompositeFieldContainer[QuestionFailure]
    timings: _timings_pb2.Timings
    def __init__(self, settled: _Optional[int] = ..., inserted: _Optional[int] = ..., updated: _Optional[int] = ..., failed: _Optional[int] = ..., failures: _Optional[_Iterable[_Union[QuestionFailure, _Mapping]]] = ..., timings: _Optional[_Union[_timings_pb2.Timings, _Mapping]] = ...) -> None: ...

class DeleteQuestionsRequest(_message.Message):
    __slots__ = ("bank", "ids")
    BANK_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    bank: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, bank: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteQuestionsResponse(_message.Message):
    __slots__ = ("deleted", "timings")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    timings: _timings_pb2.Timings
    def __init__(self, deleted: _Optional[int] = ..., timings: _Optional[_Union[_timings_pb2.Timings, _Mapping]] = ...) -> None: ...

class GetQuestionsRequest(_message.Message):
    __slots__ = ("bank", "ids", "read_mask")
    BANK_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    bank: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    read_mask: _field_mask_pb2.FieldMask
    def __init__(self, bank: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class GetQuestionsResponse(_message.Message):
    __slots__ = ("questions", "missing_ids", "timings")
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    MISSING_IDS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    questions: _containers.RepeatedCompositeFieldContainer[Question]
    missing_ids: _containers.RepeatedScalarFieldContainer[str]
    timings: _timings_pb2.Timings
    def __init__(self, questions: _Optional[_Iterable[_Union[Question, _Mapping]]] = ..., missing_ids: _Optional[_Iterable[str]] = ..., timings: _Optional[_Union[_timings_pb2.Timings, _Mapping]] = ...) -> None: ...

class ListQuestionsRequest(_message.Message):
    __slots__ = ("bank", "page_size", "page_token", "read_mask")
    BANK_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    bank: str
    page_size: int
    page_token: str
    read_mask: _field_mask_pb2.FieldMask
    def __init__(self, bank: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class ListQuestionsResponse(_message.Message):
    __slots__ = ("questions", "next_page_token", "timings")
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    questions: _containers.RepeatedCompositeFieldContainer[Question]
    next_page_token: str
    timings: _timings_pb2.Timings
    def __init__(self, questions: _Optional[_Iterable[_Union[Question, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., timings: _Optional[_Union[_timings_pb2.Timings, _Mapping]] = ...) -> None: ...
