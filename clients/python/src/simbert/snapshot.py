"""Snapshots of banks, one file each, that come from a server or go there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .v1 import bank_pb2

#: Bytes of a file in one message: they suit every server.
CHUNK = 512 << 10

#: Is called with how many questions are copied, and how many will be.
OnCopied = Callable[[int, int], None]


@dataclass(frozen=True)
class Snapshot:
    """What a snapshot holds."""

    #: Size of the file.
    bytes: int
    #: Number of the bank's write after which it was as the file has it.
    batch: int
    #: Number of questions.
    questions: int
    #: Number of different FAQ ids.
    faqs: int


class Receiving:
    """A snapshot's file that is being received: it gets its name when it is whole, and is removed otherwise."""

    def __init__(self, file: str | os.PathLike[str], replace: bool, progress: OnCopied | None) -> None:
        self._target = Path(file)
        self._partial = self._target.with_name(f"{self._target.name}.{os.getpid()}.partial")
        self._replace = replace
        self._progress = progress
        self._taken: Snapshot | None = None
        self._refuse_existing()

    def __enter__(self) -> Receiving:
        self._file: BinaryIO = self._partial.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def take(self, reply: bank_pb2.TakeSnapshotResponse) -> None:
        """Take in the next message."""
        part = reply.WhichOneof("part")
        if part == "chunk":
            self._file.write(reply.chunk)
        elif part == "taken":
            taken = reply.taken
            self._taken = Snapshot(taken.bytes, taken.batch, taken.questions, taken.faqs)
        elif part == "progress" and self._progress is not None:
            self._progress(reply.progress.copied, reply.progress.questions)

    def finish(self) -> Snapshot:
        """Give the file its name; the stream has ended without an error."""
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        if self._taken is None or size != self._taken.bytes:
            raise EOFError(f"the snapshot ended early, after {size} bytes")
        self._refuse_existing()
        self._partial.replace(self._target)
        return self._taken

    def _refuse_existing(self) -> None:
        if not self._replace and self._target.exists():
            raise FileExistsError(f"there is a file {self._target} already; `replace=True` writes over it")


def sent(file: BinaryIO, name: str) -> Iterator[bank_pb2.RestoreBankRequest]:
    """The messages that carry a snapshot's file."""
    yield bank_pb2.RestoreBankRequest(name=name)
    while chunk := file.read(CHUNK):
        yield bank_pb2.RestoreBankRequest(chunk=chunk)
