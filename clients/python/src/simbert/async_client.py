"""The client for asyncio."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import grpc

from . import bank, bank_map, embedding, paraphrase, question, snapshot
from . import search as searching
from .async_upload import upload
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


def _awaiting(describe: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """The method that makes the described call."""

    @documented_as(describe)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._make(describe(*args, **kwargs))

    return method


class AsyncClient:
    """A connection to a simbert server for asyncio, with the methods of `Client`, to be awaited.

    >>> async with AsyncClient("127.0.0.1:50051") as client:
    ...     for hit in await client.search("怎么退款", bank="faq", k=3):
    ...         print(hit.score, hit.question.text)

    It belongs to the event loop in which it is first used.
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
        """Name the server, without connecting yet. The arguments are those of `Client`."""
        self._connection = _Connection(target, tls)
        self._metadata = call_metadata(api_key)
        self._timeout = timeout
        self._retries = retries or Retries()

    def within(self, timeout: float | None) -> AsyncClient:
        """Give the same client with another timeout, on the same connection: `client.within(0.2).search(…)`."""
        other = copy.copy(self)
        other._timeout = timeout
        return other

    async def close(self) -> None:
        """Close the connection. Calls that are under way are cancelled."""
        await self._connection.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    create_bank = _awaiting(bank.create_bank)
    get_bank = _awaiting(bank.get_bank)
    list_banks = _awaiting(bank.list_banks)
    delete_bank = _awaiting(bank.delete_bank)
    map_bank = _awaiting(bank_map.map_bank)

    upsert_questions = _awaiting(question.upsert_questions)
    delete_questions = _awaiting(question.delete_questions)
    get_questions = _awaiting(question.get_questions)
    list_page = _awaiting(question.list_page)

    search = _awaiting(searching.search)
    batch_search = _awaiting(searching.batch_search)
    expanded_search = _awaiting(searching.expanded_search)

    generate = _awaiting(paraphrase.generate)

    embed = _awaiting(embedding.embed)
    embed_array = _awaiting(embedding.embed_array)
    get_model = _awaiting(embedding.get_model)

    async def list_questions(
        self, bank: str, *, page_size: int = 100, fields: Sequence[str] | None = None
    ) -> AsyncIterator[Question]:
        """Read all questions of a bank, ordered by id, as `Client.list_questions` does: `async for question in …`."""
        token = ""
        while True:
            page = await self.list_page(bank, page_size=page_size, page_token=token, fields=fields)
            for found in page.questions:
                yield found
            token = page.next_page_token
            if not token:
                return

    async def bulk_upsert_questions(
        self,
        bank: str,
        questions: Iterable[QuestionLike] | AsyncIterable[QuestionLike],
        *,
        on_failure: OnFailure = "collect",
        progress: bool | OnProgress = False,
    ) -> BulkResult:
        """Encode and write any number of questions, as `Client.bulk_upsert_questions` does.

        `questions` may be asynchronous; what is not is read in the event loop, and should not take long.
        """
        with reporting(progress, questions) as report:
            outgoing = Upload(bank, on_failure, report)
            attempts = Attempts(self._timeout, self._retries, counted=False)
            rpc = self._connection.stub(QuestionServiceStub).BulkUpsertQuestions
            source = aiter(questions) if isinstance(questions, AsyncIterable) else _each(questions)
            await upload(rpc, self._metadata, outgoing, source, attempts, self._timeout)
            return outgoing.result()

    async def generate_many(
        self,
        texts: Sequence[str],
        *,
        k: int | None = None,
        min_score: float | None = None,
        sampling: Sampling | None = None,
    ) -> AsyncIterator[Written]:
        """Write for many questions, as `Client.generate_many` does: `async for written in …`."""
        request = paraphrase.many(texts, k, min_score, sampling)
        rpc = self._connection.stub(ParaphraseServiceStub).GenerateMany
        with translated():
            async for reply in rpc(request, timeout=self._timeout, metadata=self._metadata):
                yield Written.of(reply)

    async def take_snapshot(
        self, bank: str, file: str | os.PathLike[str], *, replace: bool = False, progress: OnCopied | None = None
    ) -> Snapshot:
        """Copy a bank into a file, as `Client.take_snapshot` does; the file is written in the event loop."""
        request = bank_pb2.TakeSnapshotRequest(name=bank)
        with snapshot.Receiving(file, replace, progress) as receiving:
            rpc = self._connection.stub(BankServiceStub).TakeSnapshot
            with translated():
                async for reply in rpc(request, timeout=self._timeout, metadata=self._metadata):
                    receiving.take(reply)
            return receiving.finish()

    async def restore_bank(self, file: str | os.PathLike[str], *, name: str = "") -> bank.Bank:
        """Make a bank of a snapshot's file, as `Client.restore_bank` does; the file is read in the event loop."""
        rpc = self._connection.stub(BankServiceStub).RestoreBank
        with open(file, "rb") as opened, translated():
            reply = await rpc(snapshot.sent(opened, name), timeout=self._timeout, metadata=self._metadata)
        return bank.Bank.of(reply.bank)

    async def _make(self, call: Call[T]) -> T:
        attempts = Attempts(self._timeout, self._retries if call.repeatable else Retries(attempts=1))
        rpc = getattr(self._connection.stub(call.stub), call.method)
        while True:
            try:
                reply = await rpc(call.request, timeout=attempts.left(), metadata=self._metadata)
            except grpc.RpcError as error:
                await asyncio.sleep(attempts.pause(SimbertError.of(error)))
            else:
                return call.read(reply)


class _Connection:
    """The channel and the stubs on it, made when first asked for: a channel takes the event loop that runs then."""

    def __init__(self, target: str, tls: Tls | None) -> None:
        self._target = target
        self._options = channel_options(tls)
        self._credentials = None if tls is None else tls.credentials()
        self._channel: grpc.aio.Channel | None = None
        self._stubs: dict[Callable[[Any], Any], Any] = {}

    def stub(self, kind: Callable[[Any], Any]) -> Any:
        if self._channel is None:
            self._channel = (
                grpc.aio.insecure_channel(self._target, self._options)
                if self._credentials is None
                else grpc.aio.secure_channel(self._target, self._credentials, self._options)
            )
        if kind not in self._stubs:
            self._stubs[kind] = kind(self._channel)
        return self._stubs[kind]

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()


async def _each(questions: Iterable[QuestionLike]) -> AsyncIterator[QuestionLike]:
    for each in questions:
        yield each
