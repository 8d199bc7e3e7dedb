"""Metadata: the values that searches filter by."""

from __future__ import annotations

from typing import TypeAlias

from .v1 import question_pb2

#: A flag, a finite number, or a text of at most 4 KiB. The server keeps numbers as double-precision floats.
Value: TypeAlias = bool | int | float | str


def value_message(value: Value) -> question_pb2.MetadataValue:
    """Write a value as its message.

    Raises `TypeError` if it is none of the kinds, and `ValueError` for a whole number that a double cannot hold.
    """
    if isinstance(value, bool):  # before int: Python's flags are numbers
        return question_pb2.MetadataValue(flag=value)
    if isinstance(value, str):
        return question_pb2.MetadataValue(text=value)
    if not isinstance(value, int | float):
        raise TypeError(f"metadata: expected a flag, a number or a text, received {type(value).__name__}")
    if isinstance(value, int) and (abs(value) >= 2**1023 or int(float(value)) != value):
        raise ValueError(f"metadata: expected a number that a double can hold, received {value}; write it as text")
    return question_pb2.MetadataValue(number=value)


def value_of(message: question_pb2.MetadataValue) -> Value:
    """Read a value; a number is a `float`, whole or not."""
    kind = message.WhichOneof("kind")
    if kind == "flag":
        return message.flag
    return message.number if kind == "number" else message.text
