"""How long the server took."""

from __future__ import annotations

from dataclasses import dataclass

from .v1 import timings_pb2


@dataclass(frozen=True)
class Timings:
    """Seconds that the server spent on each stage of a call; 0 for a stage that did not happen."""

    #: Waiting for a free worker.
    queue: float
    #: Cutting text into tokens.
    tokenise: float
    #: Running the encoder.
    infer: float
    #: Writing similar questions with the decoder, and ranking them.
    generate: float
    #: Looking for neighbours and reading what was found.
    search: float

    @classmethod
    def of(cls, message: timings_pb2.Timings) -> Timings:
        """Read the message."""
        stages = (message.queue, message.tokenise, message.infer, message.generate, message.search)
        return cls(*(stage.seconds + stage.nanos / 1e9 for stage in stages))
