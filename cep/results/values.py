"""Values -> text, as rules would write them and as a cell of a table shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cep.engine.algebra.printer import print_duration, print_text

_MICROSECOND = timedelta(microseconds=1)
_CONSTANTS = {True: "true", False: "false", None: "NULL"}


def as_written(value: Any) -> str:
    """A value as rules would write it."""
    match value:
        case None | bool():
            return _CONSTANTS[value]
        case str():
            return print_text(value)
        case timedelta():
            return print_duration(value // _MICROSECOND)
        case datetime():
            return value.isoformat(" ")
        case Sequence():
            return "(" + ", ".join(map(as_written, value)) + ")"
        case _:
            return str(value)


def as_cell(value: Any) -> str:
    """A value as short as it can be told; nothing for NULL."""
    match value:
        case None:
            return ""
        case tuple():
            return ", ".join(map(as_cell, value))
        case float():
            return f"{value:.10g}"
        case datetime():
            return value.isoformat(" ", _precision(value))
        case timedelta():
            return print_duration(value // _MICROSECOND)
        case _:
            return str(value)


def _precision(time: datetime) -> str:
    if time.microsecond % 1_000:
        return "microseconds"
    return "milliseconds" if time.microsecond else "seconds"


def counted(size: int, one: str, many: str = "") -> str:
    """`1 match`, `1,234 matches`."""
    return f"{size:,} {one if size == 1 else many or one + 's'}"
