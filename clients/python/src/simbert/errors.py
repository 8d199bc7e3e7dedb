"""What can go wrong: one exception for each gRPC status, with the server's sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from .bulk import BulkResult


class SimbertError(Exception):
    """A call failed. `str(error)` is the server's sentence: what was expected, what came, and what to do."""

    #: The gRPC status that this class stands for.
    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    _may_pass: ClassVar[bool] = False
    #: Why, for programs: a name of `ErrorReason` in `error_reason.proto` without its prefix, such as "BUSY" or
    #: "DISK_FULL"; empty where the server gave none.
    reason: str = ""
    #: The path of the field that is wrong, such as `questions[3].metadata["lang"]`; empty but for `InvalidArgument`.
    field: str = ""
    #: How far a bulk upsert had come when it failed; None for every other call.
    progress: BulkResult | None = None

    @staticmethod
    def of(error: grpc.RpcError) -> SimbertError:
        """The exception that a gRPC error stands for."""
        call = cast(grpc.Call, error)  # every error that a call raises is one
        kind = _BY_CODE.get(call.code(), Unknown)
        raised = kind(call.details() or kind.code.name)
        raised.reason, raised.field = _details(call)
        return raised

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed a moment later."""
        return self._may_pass and self.reason != "DISK_FULL"


class Cancelled(SimbertError):
    """The call was cancelled."""

    code = grpc.StatusCode.CANCELLED


class Unknown(SimbertError):
    """An error without a status of its own."""

    code = grpc.StatusCode.UNKNOWN


class InvalidArgument(SimbertError):
    """Something in the request is out of its range, or of the wrong form."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class QuestionsRefused(InvalidArgument):
    """A bulk upsert was asked to stop at the first bad question; `progress.failures` tells which and why."""


class DeadlineExceeded(SimbertError):
    """The call took longer than its timeout."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class NotFound(SimbertError):
    """There is no bank of this name."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(SimbertError):
    """There is a bank of this name already."""

    code = grpc.StatusCode.ALREADY_EXISTS


class PermissionDenied(SimbertError):
    """The caller is known, and may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED


class Unauthenticated(SimbertError):
    """The API key or the client certificate is missing or wrong."""

    code = grpc.StatusCode.UNAUTHENTICATED


class ResourceExhausted(SimbertError):
    """The server is full at the moment, and turned the call away before doing any of it; or its disk is full."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    _may_pass = True


class FailedPrecondition(SimbertError):
    """The bank's vectors come from another model than the server's, or that model cannot do what was asked."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Aborted(SimbertError):
    """The call lost against another one."""

    code = grpc.StatusCode.ABORTED


class OutOfRange(SimbertError):
    """A message, in or out, is larger than the server's limit: 16 MiB unless it was started with another."""

    code = grpc.StatusCode.OUT_OF_RANGE


class Unimplemented(SimbertError):
    """The server does not know this call: it is older than the client, or no simbert."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Internal(SimbertError):
    """A fault of the server, or of what it runs on."""

    code = grpc.StatusCode.INTERNAL


class Unavailable(SimbertError):
    """Nobody answers at the address, the connection broke, or the server is shutting down."""

    code = grpc.StatusCode.UNAVAILABLE
    _may_pass = True


class DataLoss(SimbertError):
    """A bank is damaged on the server's disk; the sentence says what can be done."""

    code = grpc.StatusCode.DATA_LOSS


def _details(call: grpc.Call) -> tuple[str, str]:
    """The reason and the field that a status carries, empty where it carries none."""
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    metadata = dict(call.trailing_metadata() or ())
    try:
        for detail in status_pb2.Status.FromString(metadata.get("grpc-status-details-bin", b"")).details:
            detail.Unpack(info)
            detail.Unpack(request)
    except (DecodeError, TypeError):  # by a proxy, or no simbert
        return "", ""
    return info.reason, request.field_violations[0].field if request.field_violations else ""


_BY_CODE = {kind.code: kind for kind in SimbertError.__subclasses__()}


@contextmanager
def translated() -> Iterator[None]:
    """Raise a gRPC error as the exception that it stands for."""
    try:
        yield
    except grpc.RpcError as error:
        raise SimbertError.of(error) from error
