"""Sends a bulk upsert for `AsyncClient`: as `blocking_upload` does, with tasks in place of threads."""

from __future__ import annotations

import asyncio
from asyncio import Queue
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc

from .bulk import Reply, Request, Upload
from .errors import Cancelled, DeadlineExceeded, Internal, SimbertError, Unavailable
from .question import QuestionLike
from .retries import Attempts

#: A reply, the error that ended the stream, or None for its regular end.
Event: TypeAlias = Reply | SimbertError | None

#: What grpcio says, in place of the server, where it cannot send because the connection is broken.
_CANNOT_SEND = "Internal error from Core"


async def upload(
    rpc: Any,
    metadata: tuple[tuple[str, str], ...],
    upload: Upload,
    source: AsyncIterator[QuestionLike],
    attempts: Attempts,
    patience: float | None,
) -> None:
    """Send all of `source`, over as many streams as it takes; `patience` is the longest wait for a reply in seconds."""
    while not upload.all_settled:
        error = await _send(rpc, metadata, upload, source, attempts, patience)
        if error is not None:
            await asyncio.sleep(attempts.pause(upload.failed(error)))


async def _send(
    rpc: Any,
    metadata: tuple[tuple[str, str], ...],
    upload: Upload,
    source: AsyncIterator[QuestionLike],
    attempts: Attempts,
    patience: float | None,
) -> SimbertError | None:
    """Send over one stream until its end, and say what ended it too early.

    What the source raises comes through, even if it is a `SimbertError`: it may read another bank.
    """
    outgoing: Queue[Request | None] = Queue()  # None ends the stream
    incoming: Queue[Event] = Queue()
    outgoing.put_nowait(upload.opening())
    call = rpc(_until_none(outgoing), metadata=metadata)
    listening = asyncio.create_task(_listen(call, incoming), name="simbert-replies")
    ended = waiting = False
    try:
        while True:
            if waiting or not incoming.empty():
                try:
                    event = await asyncio.wait_for(incoming.get(), patience)
                except asyncio.TimeoutError:
                    return DeadlineExceeded(f"the server settled nothing for {patience} s")
                if isinstance(event, SimbertError):
                    return event
                if event is None:
                    return None if upload.all_settled else Unavailable("the stream ended before its time")
                if upload.settle(event):
                    attempts.begin_again()
                waiting = False
                continue
            await _take(upload, source)
            message = upload.message()
            if message is not None:
                outgoing.put_nowait(message)
                await asyncio.sleep(0)  # a source that never waits would leave no turn to the replies
            elif upload.all_sent and not ended:
                outgoing.put_nowait(None)
                ended = True
            else:
                waiting = True
    finally:
        listening.cancel()
        call.cancel()


async def _take(upload: Upload, source: AsyncIterator[QuestionLike]) -> None:
    """Take what the next message wants from the source."""
    while upload.hungry:
        try:
            upload.add(await anext(source))
        except StopAsyncIteration:
            upload.exhausted = True


async def _until_none(outgoing: Queue[Request | None]) -> AsyncIterator[Request]:
    while (message := await outgoing.get()) is not None:
        yield message


async def _listen(call: Any, incoming: Queue[Event]) -> None:
    """Hand on what the server says."""
    try:
        async for reply in call:
            incoming.put_nowait(reply)
        incoming.put_nowait(None)
    except asyncio.CancelledError:  # grpcio's way to say that the channel was closed
        incoming.put_nowait(Cancelled("the client was closed"))
        raise
    except grpc.RpcError as error:
        ended = SimbertError.of(error)
        broken = isinstance(ended, Internal) and str(ended) == _CANNOT_SEND
        incoming.put_nowait(Unavailable("the connection broke") if broken else ended)
