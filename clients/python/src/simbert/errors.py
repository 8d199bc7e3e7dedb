"""What can go wrong: one exception for each gRPC status, with the server's sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, cast

import grpc

if TYPE_CHECKING:
    from .bulk import BulkResult


class SimbertError(Exception):
    """A call failed. `str(error)` is the server's sentence: what was expected, what came, and what to do."""

    #: The gRPC status that this class stands for.
    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    #: Whether the same call may succeed a moment later.
    passing: ClassVar[bool] = False
    #: How far a bulk upsert had come when it failed; None for every other call.
    progress: BulkResult | None = None

    @staticmethod
    def of(error: grpc.RpcError) -> SimbertError:
        """The exception that a gRPC error stands for."""
        call = cast(grpc.Call, error)  # every error that a call raises is one
        kind = _BY_CODE.get(call.code(), Unknown)
        return kind(call.details() or kind.code.name)


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
    """The server is full at the moment, and turned the call away before doing any of it."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    passing = True


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
    passing = True


class DataLoss(SimbertError):
    """A bank is damaged on the server's disk; the sentence says what can be done."""

    code = grpc.StatusCode.DATA_LOSS


_BY_CODE = {kind.code: kind for kind in SimbertError.__subclasses__()}


@contextmanager
def translated() -> Iterator[None]:
    """Raise a gRPC error as the exception that it stands for."""
    try:
        yield
    except grpc.RpcError as error:
        raise SimbertError.of(error) from error
