"""A server in this process that fails as it is told to, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

from simbert.v1 import bank_pb2, bank_pb2_grpc, question_pb2, question_pb2_grpc, search_pb2, search_pb2_grpc


@dataclass
class Status(grpc.Status):
    """A status with details."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...]

    @staticmethod
    def of(code: grpc.StatusCode, reason: str) -> Status:
        info = Any()
        info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="simbert"))
        packed = status_pb2.Status(code=code.value[0], details=[info]).SerializeToString()
        return Status(code, f"as told: {reason}", (("grpc-status-details-bin", packed),))


class Scripted(
    bank_pb2_grpc.BankServiceServicer, search_pb2_grpc.SearchServiceServicer, question_pb2_grpc.QuestionServiceServicer
):
    """Ends call after call with the statuses of `script`, and then answers."""

    def __init__(self) -> None:
        self.script: list[grpc.StatusCode | Status] = []
        self.calls = 0
        self.metadata: dict[str, str] = {}
        self.left: list[float] = []
        self.streams: list[list[str]] = []
        self.stalled = threading.Event()

    def _answer(self, context: grpc.ServicerContext) -> None:
        self.calls += 1
        self.metadata = dict(context.invocation_metadata())
        self.left.append(context.time_remaining())
        if self.script:
            told = self.script.pop(0)
            if isinstance(told, Status):
                context.abort_with_status(told)
            if told is not grpc.StatusCode.OK:
                context.abort(told, f"as told: {told.name}")

    def Search(self, request, context):  # noqa: N802
        self._answer(context)
        return search_pb2.SearchResponse()

    def CreateBank(self, request, context):  # noqa: N802
        self._answer(context)
        return bank_pb2.CreateBankResponse(bank=request)

    def GetBank(self, request, context):  # noqa: N802
        self.stalled.wait(10)
        return bank_pb2.GetBankResponse()

    def BulkUpsertQuestions(self, requests, context):  # noqa: N802
        """Settles each message; a question called `stall` is never settled, and `end` ends the stream too early."""
        self._answer(context)
        ids: list[str] = []
        self.streams.append(ids)
        for request in requests:
            new = [question.id for question in request.questions]
            ids += new
            if "end" in new and len(self.streams) == 1:
                return
            if "stall" in new:
                self.stalled.wait(10)
            yield question_pb2.BulkUpsertQuestionsResponse(settled=len(ids), inserted=len(ids))


@contextmanager
def scripted(credentials: grpc.ServerCredentials | None = None) -> Iterator[tuple[Scripted, int]]:
    """Such a server, and its port."""
    servicer = Scripted()
    server = grpc.server(ThreadPoolExecutor(8))
    bank_pb2_grpc.add_BankServiceServicer_to_server(servicer, server)
    search_pb2_grpc.add_SearchServiceServicer_to_server(servicer, server)
    question_pb2_grpc.add_QuestionServiceServicer_to_server(servicer, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield servicer, port
    finally:
        servicer.stalled.set()
        server.stop(None).wait()
