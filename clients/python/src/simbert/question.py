"""Questions, and the calls that write and read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from google.protobuf.field_mask_pb2 import FieldMask

from .call import Call
from .metadata import Value, value_message, value_of
from .timings import Timings
from .v1 import question_pb2
from .v1.question_pb2_grpc import QuestionServiceStub


@dataclass(frozen=True)
class Question:
    """One question of a bank. The server checks the limits."""

    #: Chosen by the caller: 1 to 512 bytes without control characters.
    id: str
    #: What is encoded and searched: at most 8 KiB, not blank.
    text: str
    #: The FAQ that this question phrases; several phrasings of one FAQ share it. 1 to 512 bytes.
    faq_id: str | None = None
    #: Given back with a hit, never searched: at most 256 KiB.
    answer: str | None = None
    #: To filter searches by: at most 64 keys of 1 to 512 bytes.
    metadata: Mapping[str, Value] = field(default_factory=dict)

    @classmethod
    def of(cls, message: question_pb2.Question) -> Question:
        """Read the message."""
        return cls(
            id=message.id,
            text=message.text,
            faq_id=message.faq_id if message.HasField("faq_id") else None,
            answer=message.answer if message.HasField("answer") else None,
            metadata={key: value_of(value) for key, value in message.metadata.items()},
        )

    def message(self) -> question_pb2.Question:
        """Write it as its message. Raises `TypeError` or `ValueError` if a field is of the wrong kind."""
        metadata = {key: value_message(value) for key, value in self.metadata.items()}
        return question_pb2.Question(
            id=self.id, text=self.text, faq_id=self.faq_id, answer=self.answer, metadata=metadata
        )


#: A question, or what makes one: a dict with the names of its fields, or a tuple of them in their order.
QuestionLike: TypeAlias = Question | Mapping[str, Any] | tuple[Any, ...]


def question_message(question: QuestionLike) -> question_pb2.Question:
    """Write a question as its message. Raises `TypeError` or `ValueError` if it is none."""
    if isinstance(question, Mapping):
        question = Question(**question)
    elif isinstance(question, tuple):
        question = Question(*question)
    if not isinstance(question, Question):
        raise TypeError(f"question: expected a Question, a dict or a tuple, received {type(question).__name__}")
    return question.message()


@dataclass(frozen=True)
class Upserted:
    """What a write did. A call that was repeated after a lost reply may count an insertion as an update."""

    #: Questions whose id was new.
    inserted: int
    #: Questions that replaced another.
    updated: int
    timings: Timings = field(default_factory=Timings, repr=False, compare=False)


@dataclass(frozen=True)
class Found:
    """What was found of the questions asked for."""

    #: Those that are there, in the order asked for.
    questions: list[Question]
    #: Those that are not, in the order asked for.
    missing_ids: list[str]
    timings: Timings = field(default_factory=Timings, repr=False, compare=False)


@dataclass(frozen=True)
class Page:
    """Some questions of a bank."""

    questions: list[Question]
    #: Asks for the next page; empty when this is the last.
    next_page_token: str
    timings: Timings = field(default_factory=Timings, repr=False, compare=False)


def upsert_questions(bank: str, questions: Iterable[QuestionLike]) -> Call[Upserted]:
    """Encode and write 1 to 1024 questions, all or none of them. When this returns, they are on the server's disk.

    A question whose id is there already is replaced; of several with one id the last wins.

    Raises `NotFound` and `InvalidArgument`.
    """
    request = question_pb2.UpsertQuestionsRequest(bank=bank, questions=map(question_message, questions))

    def read(reply: question_pb2.UpsertQuestionsResponse) -> Upserted:
        return Upserted(reply.inserted, reply.updated, Timings.of(reply.timings))

    return Call(QuestionServiceStub, "UpsertQuestions", request, read)


def delete_questions(bank: str, ids: Iterable[str]) -> Call[int]:
    """Remove 1 to 1024 questions by id, and say how many were there. Ids that are not there are no error.

    A call that was repeated after a lost reply may say fewer. Raises `NotFound` if there is no such bank.
    """
    request = question_pb2.DeleteQuestionsRequest(bank=bank, ids=_several(ids))
    return Call(QuestionServiceStub, "DeleteQuestions", request, lambda reply: int(reply.deleted))


def get_questions(bank: str, ids: Iterable[str], *, fields: Iterable[str] | None = None) -> Call[Found]:
    """Read 1 to 1024 questions by id.

    `fields` says what to read of each besides its id: `text`, `faq_id`, `answer`, `metadata`; all if None. What is not
    among them is empty. Raises `NotFound` if there is no such bank.
    """
    request = question_pb2.GetQuestionsRequest(bank=bank, ids=_several(ids), read_mask=read_mask(fields))

    def read(reply: question_pb2.GetQuestionsResponse) -> Found:
        found = [Question.of(question) for question in reply.questions]
        return Found(found, list(reply.missing_ids), Timings.of(reply.timings))

    return Call(QuestionServiceStub, "GetQuestions", request, read)


def list_page(
    bank: str, *, page_size: int | None = None, page_token: str = "", fields: Iterable[str] | None = None
) -> Call[Page]:
    """Read one page of a bank's questions, ordered by id. `list_questions` reads all.

    `page_size` is the most questions of the page, 1 to 1000, and 100 if None; a page of large questions may have fewer.
    `page_token` is the page before's `next_page_token`; empty for the first. `fields` is as in `get_questions`. Raises
    `NotFound`, and `InvalidArgument` for a token that is none.
    """
    request = question_pb2.ListQuestionsRequest(
        bank=bank, page_size=page_size, page_token=page_token, read_mask=read_mask(fields)
    )

    def read(reply: question_pb2.ListQuestionsResponse) -> Page:
        page = [Question.of(question) for question in reply.questions]
        return Page(page, reply.next_page_token, Timings.of(reply.timings))

    return Call(QuestionServiceStub, "ListQuestions", request, read)


def read_mask(fields: Iterable[str] | None) -> FieldMask | None:
    """The message that names fields; `id` among them, since a mask without paths would mean all."""
    if isinstance(fields, str):
        raise TypeError("fields: expected a list of names, received one text")
    return None if fields is None else FieldMask(paths=["id", *fields])


def _several(ids: Iterable[str]) -> Iterable[str]:
    """Ids; one text by itself would be taken for a list of its letters."""
    if isinstance(ids, str):
        raise TypeError("ids: expected a list of texts, received one text")
    return ids
