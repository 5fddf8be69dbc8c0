"""Values that no field of a stream can hold (lists, objects, broken text): found before Arrow is.

Arrow follows nested values by recursion: deep ones, and those that contain themselves, would end
the process.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime, timedelta
from types import NoneType
from typing import Any

import numpy as np

from cep.engine.algebra.expression import DataType

DEPTH_MAX = 100
_USUAL: frozenset[type] = frozenset({NoneType, bool, int, float, str, datetime, date, timedelta})
_NESTED = (Mapping, Sequence, Set, np.ndarray)
_FLAT = (str, bytes, bytearray, memoryview)
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


class UnfitError(Exception):
    """Some values of a column cannot be those of any field. `rows`: where they are."""

    def __init__(self, rows: Sequence[int]) -> None:
        self.rows = rows
        super().__init__(f"{len(rows)} values")


def nested_rows(values: Sequence[Any]) -> list[int]:
    """Where there are lists, dicts and the like."""
    kinds = {kind for kind in set(map(type, values)) - _USUAL if _is_nested(kind)}
    return [row for row, value in enumerate(values) if type(value) in kinds] if kinds else []


def is_too_deep(values: Sequence[Any]) -> bool:
    """Whether values are nested more than DEPTH_MAX deep."""
    level: list[Any] = list(values)
    for _ in range(DEPTH_MAX):
        level = [inner for at in nested_rows(level) for inner in _inside(level[at])]
        if not level:
            return False
    return True


def shown(value: Any) -> str:
    """A value for people, in some 60 characters, whatever it is."""
    try:
        text = value[:80] if isinstance(value, str) else _SHORT.repr(value)
    except Exception:  # somebody's `__repr__`, or a number of more digits than Python writes
        text = f"<{type(value).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()


def with_article(type_: DataType) -> str:
    """`an integer`, `a float`; text has no article."""
    return "text" if type_ is DataType.TEXT else f"{'an' if type_.value[0] in 'i' else 'a'} {type_}"


def _is_nested(kind: type) -> bool:
    return issubclass(kind, _NESTED) and not issubclass(kind, _FLAT)


def _inside(value: Any) -> Sequence[Any]:
    return list(value.values()) if isinstance(value, Mapping) else list(value)
