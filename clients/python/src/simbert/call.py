"""One call, described apart from how it is made, so that `Client` and `AsyncClient` share the description."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from google.protobuf.message import Message

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """A call that has not been made yet; its reply reads as a `T`."""

    #: The service's class of stubs.
    stub: Callable[[Any], Any]
    #: The name of the RPC.
    method: str
    request: Message
    #: Turns the reply into what the caller gets.
    read: Callable[[Any], T]
    #: Whether making it twice does no more than making it once.
    repeatable: bool = True


def documented_as(describe: Callable[P, Call[T]]) -> Callable[[R], R]:
    """Give a client's method the name, the documentation and the parameters of the function that describes the call."""

    def decorate(method: R) -> R:
        functools.update_wrapper(method, describe)  # type: ignore[arg-type]  # any function will do
        signature = inspect.signature(describe)
        itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        result = str(signature.return_annotation).removeprefix("Call[").removesuffix("]")
        parameters = [itself, *signature.parameters.values()]
        method.__signature__ = signature.replace(parameters=parameters, return_annotation=result)  # type: ignore[attr-defined]
        return method

    return decorate
