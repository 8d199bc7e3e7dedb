"""When a failed call is made again, and how long it may take in all."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from .errors import SimbertError


@dataclass(frozen=True)
class Retries:
    """How often calls that are safe to repeat are made again, after `Unavailable` and `ResourceExhausted`.

    The pause before the n-th repetition is drawn between half of `first * 2 ** (n - 1)` seconds and all of it.
    `Retries(attempts=1)` repeats nothing.
    """

    #: Attempts in all, at least 1. A bulk upsert does not count them, unless it is 1: it goes on trying until nothing
    #: was settled for the client's `timeout`, which a server needs to start again.
    attempts: int = 5
    #: Seconds before the first repetition, at most.
    first: float = 0.1
    #: The longest pause in seconds.
    longest: float = 5.0

    def pause(self, repetition: int, chance: random.Random) -> float:
        """Seconds to wait before the n-th repetition, counted from 1."""
        most = min(self.longest, self.first * 2.0 ** min(repetition - 1, 64))
        return chance.uniform(most / 2, most)


class Attempts:
    """The attempts of one call, which share its deadline; or those of a bulk upsert between two steps forward."""

    def __init__(self, timeout: float | None, retries: Retries, *, counted: bool = True) -> None:
        """Start the clock: all attempts together may take `timeout` seconds, or any time if that is None.

        What is not `counted` is tried again for so long after its first failure, unless `retries` repeats nothing.
        """
        self._timeout = timeout
        self._retries = retries
        self._counted = counted or retries.attempts == 1
        self._chance = random.Random()
        self._made = 0
        self._start()

    def begin_again(self) -> None:
        """Forget the failures so far: something went well."""
        self._made = 0

    def left(self) -> float | None:
        """Seconds until the deadline; None without one."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def pause(self, error: SimbertError) -> float:
        """Seconds to wait before the next attempt; raises `error` if there should be none."""
        self._made += 1
        if self._made == 1 and not self._counted:
            self._start()
        if not error.passing or (self._counted and self._made >= self._retries.attempts):
            raise error
        pause = self._retries.pause(self._made, self._chance)
        left = self.left()
        if left is not None and pause >= left:
            raise error
        return pause

    def _start(self) -> None:
        self._end = None if self._timeout is None else time.monotonic() + self._timeout
