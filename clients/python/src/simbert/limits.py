"""What a server lets a call ask for."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .v1 import limits_pb2


@dataclass(frozen=True)
class Limits:
    """What calls may ask for at most. A server says 0 for a limit that it does not know of."""

    #: Bytes of a message, in and out.
    message_bytes: int
    #: Texts, questions or ids of a call.
    items: int
    #: Bytes of a text to encode.
    text_bytes: int
    #: Bytes of a bank's description.
    description_bytes: int
    #: Hits of a search.
    hits: int
    #: Queries of a batch.
    queries: int
    #: Hits of a whole batch.
    batch_hits: int
    #: Questions or banks of a page.
    page: int
    #: Similar questions of a reply.
    paraphrases: int
    #: Samples of a generation.
    samples: int
    #: New tokens of a sample.
    sample_tokens: int
    #: Phrases of an expanded search.
    phrases: int
    #: How deep a filter nests.
    filter_depth: int
    #: Conditions of a filter.
    filter_conditions: int
    #: Values of all conditions of a filter.
    filter_values: int
    #: Questions of a bulk upsert that the server writes at once.
    bulk_batch: int
    #: Calls that run at once, over all callers.
    concurrent_calls: int
    #: Calls that wait for their turn, over all callers.
    waiting_calls: int
    #: Bulk upserts and calls of `generate_many` that are open at once, over all callers.
    streams: int
    #: Snapshots that are on their way at once, over all callers.
    transfers: int

    @classmethod
    def of(cls, message: limits_pb2.Limits) -> Limits:
        """Read the message."""
        return cls(*(getattr(message, limit.name) for limit in fields(cls)))
