"""The client that waits for its answers."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import grpc

from . import bank, bank_map, embedding, paraphrase, question, snapshot
from . import search as searching
from .blocking_upload import upload
from .bulk import BulkResult, OnFailure, OnProgress, Upload
from .call import Call, documented_as
from .connection import Tls, call_metadata, channel_options
from .errors import SimbertError, translated
from .paraphrase import Sampling, Written
from .progress import reporting
from .question import Question, QuestionLike
from .retries import Attempts, Retries
from .snapshot import OnCopied, Snapshot
from .v1 import bank_pb2
from .v1.bank_pb2_grpc import BankServiceStub
from .v1.paraphrase_pb2_grpc import ParaphraseServiceStub
from .v1.question_pb2_grpc import QuestionServiceStub

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(describe: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    """The method that makes the described call."""

    @documented_as(describe)
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._make(describe(*args, **kwargs))

    return method


class Client:
    """A connection to a simbert server. Methods are named as the RPCs of `proto/simbert/v1`.

    >>> with Client("127.0.0.1:50051") as client:
    ...     for hit in client.search("怎么退款", bank="faq", k=3):
    ...         print(hit.score, hit.question.text)

    It connects by itself when first called, and again after a broken connection. Threads may share it.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        tls: Tls | None = None,
        api_key: str | None = None,
        timeout: float | None = 60.0,
        retries: Retries | None = None,
    ) -> None:
        """Name the server, without connecting yet.

        `target` is `host:port`. The connection is plain without `tls`; `api_key` goes along as `authorization: Bearer`,
        in clear text on a plain connection. `timeout` is how many seconds a call may take with all its repetitions, any
        time if None; for a bulk upsert it is the longest time without progress. `retries` says which failures are
        tried again, `Retries()` if None.
        """
        options = channel_options(tls)
        self._channel = (
            grpc.insecure_channel(target, options)
            if tls is None
            else grpc.secure_channel(target, tls.credentials(), options)
        )
        self._metadata = call_metadata(api_key)
        self._timeout = timeout
        self._retries = retries or Retries()
        self._stubs: dict[Callable[[Any], Any], Any] = {}

    def within(self, timeout: float | None) -> Client:
        """Give the same client with another timeout, on the same connection: `client.within(0.2).search(…)`."""
        other = copy.copy(self)
        other._timeout = timeout
        return other

    def close(self) -> None:
        """Close the connection. Calls that are under way end as `Cancelled`."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    create_bank = _blocking(bank.create_bank)
    get_bank = _blocking(bank.get_bank)
    list_banks = _blocking(bank.list_banks)
    delete_bank = _blocking(bank.delete_bank)
    map_bank = _blocking(bank_map.map_bank)

    upsert_questions = _blocking(question.upsert_questions)
    delete_questions = _blocking(question.delete_questions)
    get_questions = _blocking(question.get_questions)
    list_page = _blocking(question.list_page)

    search = _blocking(searching.search)
    batch_search = _blocking(searching.batch_search)
    expanded_search = _blocking(searching.expanded_search)

    generate = _blocking(paraphrase.generate)

    embed = _blocking(embedding.embed)
    embed_array = _blocking(embedding.embed_array)
    get_model = _blocking(embedding.get_model)

    def list_questions(
        self, bank: str, *, page_size: int = 100, fields: Sequence[str] | None = None
    ) -> Iterator[Question]:
        """Read all questions of a bank, ordered by id, in pages of at most `page_size`, 1 to 1000.

        Pages are read on the way, so what others write meanwhile may be among them. `fields` is as in
        `get_questions`. Raises `NotFound`.
        """
        token = ""
        while True:
            page = self.list_page(bank, page_size=page_size, page_token=token, fields=fields)
            yield from page.questions
            token = page.next_page_token
            if not token:
                return

    def bulk_upsert_questions(
        self,
        bank: str,
        questions: Iterable[QuestionLike],
        *,
        on_failure: OnFailure = "collect",
        progress: bool | OnProgress = False,
    ) -> BulkResult:
        """Encode and write any number of questions, at the pace of the server and with bounded memory.

        `questions` gives a `Question`, a dict or a tuple each, and is read in this thread, at most 1024 questions or
        8 MiB ahead of what the server has settled; they are sent in messages of 64. A question that the server refuses
        is left out while the rest goes on: `on_failure` collects those in the result, raises `QuestionsRefused` at the
        first, or is called with each. `progress=True` writes a line on the standard error; a function is called with
        each progress instead.

        When the connection is lost or the server restarts, it goes on after the last settled question. If that does
        not succeed within the client's timeout, the error's `progress` says how far it came: the first `settled`
        questions need not be sent again. What `questions` itself raises comes through; what was settled until then
        stays written.
        """
        with reporting(progress, questions) as report:
            outgoing = Upload(bank, on_failure, report)
            attempts = Attempts(self._timeout, self._retries, counted=False)
            rpc = self._stub(QuestionServiceStub).BulkUpsertQuestions
            upload(rpc, self._metadata, outgoing, iter(questions), attempts, self._timeout)
            return outgoing.result()

    def generate_many(
        self,
        texts: Sequence[str],
        *,
        k: int | None = None,
        min_score: float | None = None,
        sampling: Sampling | None = None,
    ) -> Iterator[Written]:
        """Write for many questions together, and give a `Written` for each as soon as it is done, in any order.

        There are 1 to 1024 `texts`; one that is refused fails alone. The rest is as in `generate`. Never repeated by
        itself: what has come before an error is good.
        """
        request = paraphrase.many(texts, k, min_score, sampling)
        rpc = self._stub(ParaphraseServiceStub).GenerateMany
        with translated():
            for reply in rpc(request, timeout=self._timeout, metadata=self._metadata):
                yield Written.of(reply)

    def take_snapshot(
        self, bank: str, file: str | os.PathLike[str], *, replace: bool = False, progress: OnCopied | None = None
    ) -> Snapshot:
        """Copy a bank, as it is after one write, into `file`, which `restore_bank` and `simbert bank restore` read.

        The file is whole or not there. It takes the place of another only with `replace`. `progress` is called with how
        many questions are copied and how many will be. Raises `NotFound`, `Unavailable` while another snapshot of the
        bank is copied, and `FileExistsError`.
        """
        request = bank_pb2.TakeSnapshotRequest(name=bank)
        with snapshot.Receiving(file, replace, progress) as receiving:
            rpc = self._stub(BankServiceStub).TakeSnapshot
            with translated():
                for reply in rpc(request, timeout=self._timeout, metadata=self._metadata):
                    receiving.take(reply)
            return receiving.finish()

    def restore_bank(self, file: str | os.PathLike[str], *, name: str = "") -> bank.Bank:
        """Make a bank of a snapshot's file, under the name that it had unless `name` gives another.

        The server checks all of the file before the bank appears, and nothing is left of one that is damaged. Raises
        `AlreadyExists` and `InvalidArgument`.
        """
        rpc = self._stub(BankServiceStub).RestoreBank
        with open(file, "rb") as opened, translated():
            reply = rpc(snapshot.sent(opened, name), timeout=self._timeout, metadata=self._metadata)
        return bank.Bank.of(reply.bank)

    def _make(self, call: Call[T]) -> T:
        attempts = Attempts(self._timeout, self._retries if call.repeatable else Retries(attempts=1))
        rpc = getattr(self._stub(call.stub), call.method)
        while True:
            try:
                reply = rpc(call.request, timeout=attempts.left(), metadata=self._metadata)
            except grpc.RpcError as error:
                time.sleep(attempts.pause(SimbertError.of(error)))
            else:
                return call.read(reply)

    def _stub(self, kind: Callable[[Any], Any]) -> Any:
        if kind not in self._stubs:
            self._stubs[kind] = kind(self._channel)
        return self._stubs[kind]
