"""Which questions a search may find."""

from __future__ import annotations

from collections.abc import Iterable

from .metadata import Value, value_message
from .v1 import search_pb2


class Filter:
    """A condition on questions. Combine filters with `&` (and), `|` (or) and `~` (not).

    >>> Filter.equals("lang", "zh") & ~Filter.in_("channel", ["web", "app"]) & Filter.range("price", min=1)
    Filter(lang = 'zh' & ~channel in ['web', 'app'] & 1 <= price)

    A question without a value under the key meets no condition on that key, and so meets its negation. The server takes
    filters of at most 1000 conditions with 4096 values in all, nested at most 8 deep; `a & b & c` is one level.
    """

    __slots__ = ("_text", "message")

    def __init__(self, message: search_pb2.Filter, text: str) -> None:
        """Not for callers: begin with one of the class's own conditions."""
        self.message = message
        self._text = text

    @classmethod
    def equals(cls, key: str, value: Value) -> Filter:
        """The metadata value under `key` is this one, of the same kind: the number 1 is neither "1" nor True."""
        condition = search_pb2.ValueFilter(key=key, values=[value_message(value)])
        return cls(search_pb2.Filter(value=condition), f"{key} = {value!r}")

    @classmethod
    def in_(cls, key: str, values: Iterable[Value]) -> Filter:
        """The metadata value under `key` is one of these, of which there must be one at least."""
        values = list(values)
        condition = search_pb2.ValueFilter(key=key, values=map(value_message, values))
        return cls(search_pb2.Filter(value=condition), f"{key} in {values!r}")

    @classmethod
    def range(cls, key: str, *, min: float | None = None, max: float | None = None) -> Filter:
        """The metadata number under `key` is at least `min` and at most `max`; an absent end is open."""
        condition = search_pb2.RangeFilter(key=key, min=min, max=max)
        least = "" if min is None else f"{min} <= "
        most = "" if max is None else f" <= {max}"
        return cls(search_pb2.Filter(range=condition), f"{least}{key}{most}")

    @classmethod
    def exists(cls, key: str) -> Filter:
        """There is a metadata value under `key`."""
        return cls(search_pb2.Filter(exists=search_pb2.ExistsFilter(key=key)), f"has {key}")

    @classmethod
    def faq(cls, *faq_ids: str) -> Filter:
        """The question's FAQ id is one of these."""
        condition = search_pb2.FaqIdFilter(faq_ids=faq_ids)
        return cls(search_pb2.Filter(faq_id=condition), f"faq in {list(faq_ids)!r}")

    @classmethod
    def all(cls, filters: Iterable[Filter]) -> Filter:
        """All of these hold; always, if there are none."""
        return cls._join("all", " & ", filters)

    @classmethod
    def any(cls, filters: Iterable[Filter]) -> Filter:
        """At least one of these holds; never, if there are none."""
        return cls._join("any", " | ", filters)

    def __and__(self, other: Filter) -> Filter:
        return self.all([self, other]) if isinstance(other, Filter) else NotImplemented

    def __or__(self, other: Filter) -> Filter:
        return self.any([self, other]) if isinstance(other, Filter) else NotImplemented

    def __invert__(self) -> Filter:
        message = search_pb2.Filter()
        getattr(message, "not").CopyFrom(self.message)  # the field's name is a word of Python's
        return Filter(message, f"~{self._grouped()}")

    def __bool__(self) -> bool:
        raise TypeError("a filter is neither true nor false; combine filters with &, | and ~")

    def __repr__(self) -> str:
        return f"Filter({self._text})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and self.message == other.message

    __hash__ = None  # type: ignore[assignment]  # messages can be changed

    def _grouped(self) -> str:
        """The text, in brackets if it has parts."""
        parts = self.message.WhichOneof("condition") in ("all", "any")
        return f"({self._text})" if parts else self._text

    @classmethod
    def _join(cls, kind: str, sign: str, filters: Iterable[Filter]) -> Filter:
        """One list of all parts; a part that is a list of the same kind is laid out flat."""
        message = search_pb2.Filter()
        parts = getattr(message, kind)
        parts.SetInParent()  # a list without parts is a condition, too
        texts = []
        for part in filters:
            same = part.message.WhichOneof("condition") == kind
            parts.filters.extend(getattr(part.message, kind).filters if same else [part.message])
            texts.append(part._text if same else part._grouped())
        empty = "always" if kind == "all" else "never"
        return cls(message, sign.join(texts) or empty)
