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
        try:
            _send(rpc, metadata, upload, source, attempts, patience)
        except SimbertError as error:
            time.sleep(attempts.pause(upload.failed(error)))


def _send(
    rpc: Any,
    metadata: tuple[tuple[str, str], ...],
    upload: Upload,
    source: Iterator[QuestionLike],
    attempts: Attempts,
    patience: float | None,
) -> None:
    """Send over one stream, until its end."""
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
                    raise DeadlineExceeded(f"the server settled nothing for {patience} s") from None
                if event is None:
                    break
                if isinstance(event, SimbertError):
                    raise event
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
    if not upload.all_settled:
        raise Unavailable("the stream ended before all questions were settled")


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
