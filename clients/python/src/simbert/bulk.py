"""What a bulk upsert has sent and what of it is settled, apart from how it is sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .errors import QuestionsRefused, SimbertError
from .question import QuestionLike, question_message
from .v1 import question_pb2

Request: TypeAlias = question_pb2.BulkUpsertQuestionsRequest
Reply: TypeAlias = question_pb2.BulkUpsertQuestionsResponse

#: Questions and bytes of one message, unless one question alone is larger.
MESSAGE_QUESTIONS = 64
MESSAGE_BYTES = 256 << 10
#: Questions and bytes that may wait to be settled: four of the server's batches, so that it never waits for us.
WINDOW_QUESTIONS = 1024
WINDOW_BYTES = 8 << 20


@dataclass(frozen=True)
class Failure:
    """A question that was left out."""

    #: Its place among the questions given, counted from 0.
    position: int
    id: str
    #: What is wrong with it, as a sentence.
    reason: str
    #: Which of its fields is wrong, such as `text` or `metadata["lang"]`; empty where it is not one alone.
    field: str = ""


@dataclass(frozen=True)
class BulkProgress:
    """How far a bulk upsert has come. A question that was sent twice may count as an update instead of an insertion."""

    #: The first so many questions are done with: each is on the server's disk, or was left out.
    settled: int = 0
    #: Questions on the disk whose id was new.
    inserted: int = 0
    #: Questions on the disk that replaced another.
    updated: int = 0
    #: Questions that were left out.
    failed: int = 0


@dataclass(frozen=True)
class BulkResult(BulkProgress):
    """What a bulk upsert did."""

    #: The questions left out, unless they were handed to a function.
    failures: tuple[Failure, ...] = ()


#: What to do with questions that the server leaves out: collect them, stop at the first, or hand each to a function.
OnFailure: TypeAlias = Literal["collect", "raise"] | Callable[[Failure], object]
OnProgress: TypeAlias = Callable[[BulkProgress], object]


class Upload:
    """The questions on their way: those not sent yet, and those sent that may have to be sent again.

    Memory is bounded by the window: while it is full, no question is taken from the source.
    """

    def __init__(self, bank: str, on_failure: OnFailure, on_progress: OnProgress) -> None:
        self.progress = BulkProgress()
        #: Whether the source has no more questions.
        self.exhausted = False
        self._bank = bank
        self._on_failure = on_failure
        self._on_progress = on_progress
        self._failures: list[Failure] = []
        self._base = self.progress  # when the current stream began
        self._unsent: deque[question_pb2.Question] = deque()
        self._sent: deque[question_pb2.Question] = deque()
        self._unsent_bytes = 0
        self._sent_bytes = 0

    @property
    def hungry(self) -> bool:
        """Whether the next message wants another question."""
        waiting = len(self._unsent) + len(self._sent)
        window = waiting < WINDOW_QUESTIONS and self._unsent_bytes + self._sent_bytes < WINDOW_BYTES
        message = len(self._unsent) < MESSAGE_QUESTIONS and self._unsent_bytes < MESSAGE_BYTES
        return window and message and not self.exhausted

    def add(self, question: QuestionLike) -> None:
        """Take a question from the source. Raises `TypeError` or `ValueError` if it is none."""
        message = question_message(question)
        self._unsent.append(message)
        self._unsent_bytes += message.ByteSize()

    def opening(self) -> Request:
        """Begin a stream: what an earlier one left unsettled is to be sent again. Gives the first message."""
        self._base = self.progress
        self._unsent.extendleft(reversed(self._sent))
        self._unsent_bytes += self._sent_bytes
        self._sent.clear()
        self._sent_bytes = 0
        return Request(bank=self._bank)

    def message(self) -> Request | None:
        """The next message; None when there is nothing to send at the moment."""
        request = Request()
        size = 0
        while self._unsent and len(request.questions) < MESSAGE_QUESTIONS:
            question = self._unsent[0]
            bytes = question.ByteSize()
            if request.questions and size + bytes > MESSAGE_BYTES:
                break
            size += bytes
            request.questions.append(question)
            self._sent.append(self._unsent.popleft())
        self._unsent_bytes -= size
        self._sent_bytes += size
        return request if request.questions else None

    @property
    def all_sent(self) -> bool:
        """Whether every question of the source has been sent in this stream."""
        return self.exhausted and not self._unsent

    @property
    def all_settled(self) -> bool:
        """Whether nothing is left to do."""
        return self.all_sent and not self._sent

    def settle(self, reply: Reply) -> bool:
        """Take in how far the server has come, and say whether that is further than before.

        Raises `QuestionsRefused` if that was asked for.
        """
        base = self._base
        settled = base.settled + reply.settled
        further = settled - self.progress.settled
        for _ in range(further):
            self._sent_bytes -= self._sent.popleft().ByteSize()
        self.progress = BulkProgress(
            settled, base.inserted + reply.inserted, base.updated + reply.updated, base.failed + reply.failed
        )
        for failure in reply.failures:
            self._fail(Failure(base.settled + failure.position, failure.id, failure.reason, failure.field))
        if further:
            self._on_progress(self.progress)
        if self._on_failure == "raise" and self._failures:
            first = self._failures[0]
            raise self.failed(QuestionsRefused(f"{first.reason} (at position {first.position})"))
        return further > 0

    def result(self) -> BulkResult:
        """What was done."""
        progress = self.progress
        return BulkResult(progress.settled, progress.inserted, progress.updated, progress.failed, tuple(self._failures))

    def failed(self, error: SimbertError) -> SimbertError:
        """Give the error, with how far it came."""
        error.progress = self.result()
        return error

    def _fail(self, failure: Failure) -> None:
        if callable(self._on_failure):
            self._on_failure(failure)
        else:
            self._failures.append(failure)
