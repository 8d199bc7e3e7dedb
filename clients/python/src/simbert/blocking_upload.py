"""Sends a bulk upsert for `Client`.

One thread owns all the state: the caller's. It reads the source, so that a source bound to a thread (a database's
cursor) works, and hands messages to the thread in which grpcio sends; a thread that listens hands it the replies.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

import grpc

from .bulk import Reply, Request, Upload
from .errors import DeadlineExceeded, SimbertError, Unavailable
from .question import QuestionLike
from .retries import Attempts

#: A reply, the error that ended the stream, or None for its regular end.
Event: TypeAlias = Reply | SimbertError | None


def upload(
    rpc: Any,
    metadata: tuple[tuple[str, str], ...],
    upload: Upload,
    source: Iterator[QuestionLike],
    attempts: Attempts,
    patience: float | None,
) -> None:
    """Send all of `source`, over as many streams as it takes; `patience` is the longest wait for a reply in seconds."""
    while not upload.all_settled:
        error = _send(rpc, metadata, upload, source, attempts, patience)
        if error is not None:
            time.sleep(attempts.pause(upload.failed(error)))


def _send(
    rpc: Any,
    metadata: tuple[tuple[str, str], ...],
    upload: Upload,
    source: Iterator[QuestionLike],
    attempts: Attempts,
    patience: float | None,
) -> SimbertError | None:
    """Send over one stream until its end, and say what ended it too early.

    What the source raises comes through, even if it is a `SimbertError`: it may read another bank.
    """
    outgoing: SimpleQueue[Request | None] = SimpleQueue()  # None ends the stream
    incoming: SimpleQueue[Event] = SimpleQueue()
    outgoing.put(upload.opening())
    call = rpc(iter(outgoing.get, None), metadata=metadata)
    threading.Thread(target=_listen, args=(call, incoming), daemon=True, name="simbert-replies").start()
    ended = waiting = False
    try:
        while True:
            if waiting or not incoming.empty():
                try:
                    event = incoming.get(timeout=patience)
                except Empty:
                    return DeadlineExceeded(f"the server settled nothing for {patience} s")
                if isinstance(event, SimbertError):
                    return event
                if event is None:
                    return None if upload.all_settled else Unavailable("the stream ended before its time")
                if upload.settle(event):
                    attempts.begin_again()
                waiting = False
                continue
            _take(upload, source)
            message = upload.message()
            if message is not None:
                outgoing.put(message)
            elif upload.all_sent and not ended:
                outgoing.put(None)
                ended = True
            else:
                waiting = True
    finally:
        outgoing.put(None)  # lets grpcio's thread go
        call.cancel()


def _take(upload: Upload, source: Iterator[QuestionLike]) -> None:
    """Take what the next message wants from the source."""
    while upload.hungry:
        try:
            upload.add(next(source))
        except StopIteration:
            upload.exhausted = True


def _listen(call: Any, incoming: SimpleQueue[Event]) -> None:
    """Hand on what the server says."""
    try:
        for reply in call:
            incoming.put(reply)
        incoming.put(None)
    except grpc.RpcError as error:
        incoming.put(SimbertError.of(error))
