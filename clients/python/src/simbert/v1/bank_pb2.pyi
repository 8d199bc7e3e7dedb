from simbert.v1 import timings_pb2 as _timings_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Quantisation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUANTISATION_UNSPECIFIED: _ClassVar[Quantisation]
    QUANTISATION_OFF: _ClassVar[Quantisation]
    QUANTISATION_F16: _ClassVar[Quantisation]
    QUANTISATION_INT8: _ClassVar[Quantisation]
QUANTISATION_UNSPECIFIED: Quantisation
QUANTISATION_OFF: Quantisation
QUANTISATION_F16: Quantisation
QUANTISATION_INT8: Quantisation

class Bank(_message.Message):
    __slots__ = ("name", "description", "questions", "faqs", "dimension", "model_fingerprint", "bytes_on_disk", "questions_in_graph", "quantisation", "index_bytes", "damaged_graphs")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    FAQS_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    BYTES_ON_DISK_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_IN_GRAPH_FIELD_NUMBER: _ClassVar[int]
    QUANTISATION_FIELD_NUMBER: _ClassVar[int]
    INDEX_BYTES_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_GRAPHS_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    questions: int
    faqs: int
    dimension: int
    model_fingerprint: str
    bytes_on_disk: int
    questions_in_graph: int
    quantisation: Quantisation
    index_bytes: int
    damaged_graphs: int
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., questions: _Optional[int] = ..., faqs: _Optional[int] = ..., dimension: _Optional[int] = ..., model_fingerprint: _Optional[str] = ..., bytes_on_disk: _Optional[int] = ..., questions_in_graph: _Optional[int] = ..., quantisation: _Optional[_Union[Quantisation, str]] = ..., index_bytes: _Optional[int] = ..., damaged_graphs: _Optional[int] = ...) -> None: ...

class CreateBankRequest(_message.Message):
    __slots__ = ("name", "description", "quantisation", "allow_existing")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    QUANTISATION_FIELD_NUMBER: _ClassVar[int]
    ALLOW_EXISTING_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    quantisation: Quantisation
    allow_existing: bool
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., quantisation: _Optional[_Union[Quantisation, str]] = ..., allow_existing: bool = ...) -> None: ...

class CreateBankResponse(_message.Message):
    __slots__ = ("bank",)
    BANK_FIELD_NUMBER: _ClassVar[int]
    bank: Bank
    def __init__(self, bank: _Optional[_Union[Bank, _Mapping]] = ...) -> None: ...

class GetBankRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetBankResponse(_message.Message):
    __slots__ = ("bank",)
    BANK_FIELD_NUMBER: _ClassVar[int]
    bank: Bank
    def __init__(self, bank: _Optional[_Union[Bank, _Mapping]] = ...) -> None: ...

class ListBanksRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBanksResponse(_message.Message):
    __slots__ = ("banks", "next_page_token")
    BANKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    banks: _containers.RepeatedCompositeFieldContainer[Bank]
    next_page_token: str
    def __init__(self, banks: _Optional[_Iterable[_Union[Bank, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteBankRequest(_message.Message):
    __slots__ = ("name", "allow_missing")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALLOW_MISSING_FIELD_NUMBER: _ClassVar[int]
    name: str
    allow_missing: bool
    def __init__(self, name: _Optional[str] = ..., allow_missing: bool = ...) -> None: ...

class DeleteBankResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TakeSnapshotRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class TakeSnapshotResponse(_message.Message):
    __slots__ = ("progress", "taken", "chunk")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    progress: SnapshotProgress
    taken: SnapshotTaken
    chunk: bytes
    def __init__(self, progress: _Optional[_Union[SnapshotProgress, _Mapping]] = ..., taken: _Optional[_Union[SnapshotTaken, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class SnapshotProgress(_message.Message):
    __slots__ = ("copied", "questions")
    COPIED_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    copied: int
    questions: int
    def __init__(self, copied: _Optional[int] = ..., questions: _Optional[int] = ...) -> None: ...

class SnapshotTaken(_message.Message):
    __slots__ = ("bytes", "batch", "questions", "faqs")
    BYTES_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    FAQS_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    batch: int
    questions: int
    faqs: int
    def __init__(self, bytes: _Optional[int] = ..., batch: _Optional[int] = ..., questions: _Optional[int] = ..., faqs: _Optional[int] = ...) -> None: ...

class RestoreBankRequest(_message.Message):
    __slots__ = ("name", "chunk")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    name: str
    chunk: bytes
    def __init__(self, name: _Optional[str] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class RestoreBankResponse(_message.Message):
    __slots__ = ("bank",)
    BANK_FIELD_NUMBER: _ClassVar[int]
    bank: Bank
    def __init__(self, bank: _Optional[_Union[Bank, _Mapping]] = ...) -> None: ...

class MapBankRequest(_message.Message):
    __slots__ = ("name", "points", "near_duplicate_score", "label_key", "seed")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    NEAR_DUPLICATE_SCORE_FIELD_NUMBER: _ClassVar[int]
    LABEL_KEY_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    name: str
    points: int
    near_duplicate_score: float
    label_key: str
    seed: int
    def __init__(self, name: _Optional[str] = ..., points: _Optional[int] = ..., near_duplicate_score: _Optional[float] = ..., label_key: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class MapBankResponse(_message.Message):
    __slots__ = ("points", "near_duplicates", "questions", "variance", "neighbours_kept", "timings", "looked_up")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    NEAR_DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    VARIANCE_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_KEPT_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    LOOKED_UP_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[MapPoint]
    near_duplicates: _containers.RepeatedCompositeFieldContainer[NearDuplicate]
    questions: int
    variance: float
    neighbours_kept: float
    timings: _timings_pb2.Timings
    looked_up: int
    def __init__(self, points: _Optional[_Iterable[_Union[MapPoint, _Mapping]]] = ..., near_duplicates: _Optional[_Iterable[_Union[NearDuplicate, _Mapping]]] = ..., questions: _Optional[int] = ..., variance: _Optional[float] = ..., neighbours_kept: _Optional[float] = ..., timings: _Optional[_Union[_timings_pb2.Timings, _Mapping]] = ..., looked_up: _Optional[int] = ...) -> None: ...

class MapPoint(_message.Message):
    __slots__ = ("id", "text", "faq_id", "label", "x", "y", "group")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FAQ_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    id: str
    text: str
    faq_id: str
    label: str
    x: float
    y: float
    group: int
    def __init__(self, id: _Optional[str] = ..., text: _Optional[str] = ..., faq_id: _Optional[str] = ..., label: _Optional[str] = ..., x: _Optional[float] = ..., y: _Optional[float] = ..., group: _Optional[int] = ...) -> None: ...

class NearDuplicate(_message.Message):
    __slots__ = ("first", "second", "score", "one_faq")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    SECOND_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    ONE_FAQ_FIELD_NUMBER: _ClassVar[int]
    first: int
    second: int
    score: float
    one_faq: bool
    def __init__(self, first: _Optional[int] = ..., second: _Optional[int] = ..., score: _Optional[float] = ..., one_faq: bool = ...) -> None: ...
