"""A line on the terminal that says how far a bulk upsert has come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from operator import length_hint
from typing import TextIO

from .bulk import BulkProgress, OnProgress


class ProgressLine:
    """Writes how far it is, how fast, and how long it may take; call it with each progress, and close it.

    On a terminal the line is written over, ten times a second at most; elsewhere there is a new one every ten seconds.
    """

    def __init__(self, total: int | None = None, *, to: TextIO | None = None) -> None:
        """Begin; `total` is how many questions there are, if that is known, and `to` is the standard error if None."""
        self._total = total
        self._to = to or sys.stderr
        self._terminal = self._to.isatty()
        self._started = time.monotonic()
        self._written = -10.0
        self._progress = BulkProgress()

    def __call__(self, progress: BulkProgress) -> None:
        """Take in how far it is, and write the line if it is time to."""
        self._progress = progress
        now = time.monotonic()
        if now - self._written >= (0.1 if self._terminal else 10.0):
            self._written = now
            self._write("" if self._terminal else "\n")

    def close(self) -> None:
        """Write the last line."""
        self._write("\n")

    def text(self, seconds: float) -> str:
        """The line, as of so many seconds after the start."""
        progress, total = self._progress, self._total
        rate = progress.settled / max(seconds, 1e-3)
        parts = [f"{progress.settled:,} questions" if total is None else f"{progress.settled:,} of {total:,} questions"]
        if progress.failed:
            parts.append(f"{progress.failed:,} left out")
        parts.append(f"{rate:,.0f} a second")
        if total is not None and 0 < progress.settled < total:
            minutes, rest = divmod(round((total - progress.settled) / rate), 60)
            parts.append(f"{minutes}:{rest:02} left")
        return " · ".join(parts)

    def _write(self, end: str) -> None:
        start = "\r\x1b[K" if self._terminal else ""
        self._to.write(start + self.text(time.monotonic() - self._started) + end)
        self._to.flush()


@contextmanager
def reporting(progress: bool | OnProgress, questions: object) -> Iterator[OnProgress]:
    """What is called with each progress: a function as given, a line for True, nothing for False."""
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda _: None
    else:
        line = ProgressLine(length_hint(questions) or None)
        try:
            yield line
        finally:
            line.close()
