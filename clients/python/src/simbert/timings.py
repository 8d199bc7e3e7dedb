"""How long the server took."""

from __future__ import annotations

from dataclasses import dataclass

from .v1 import timings_pb2


@dataclass(frozen=True)
class Timings:
    """Seconds that the server spent on each stage of a call; 0 for a stage that did not happen."""

    #: Waiting for a free worker.
    queue: float = 0.0
    #: Cutting text into tokens.
    tokenise: float = 0.0
    #: Running the encoder.
    infer: float = 0.0
    #: Writing similar questions with the decoder, and ranking them.
    generate: float = 0.0
    #: Looking for neighbours and reading what was found.
    search: float = 0.0
    #: Writing to the disk and waiting until it is there, or reading what was asked for by id.
    store: float = 0.0

    @classmethod
    def of(cls, message: timings_pb2.Timings) -> Timings:
        """Read the message."""
        stages = (message.queue, message.tokenise, message.infer, message.generate, message.search, message.store)
        return cls(*(stage.seconds + stage.nanos / 1e9 for stage in stages))
