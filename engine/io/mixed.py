"""Values of several kinds in one declared field -> texts that are cast to what each is by itself.

What a value becomes must not depend on those beside it, so each kind is cast by itself first: 50.0
in an integer field is 50, with a text in the next row or without.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import DataType
from cep.engine.ingest.conform import ARROW_TYPES, conform
from cep.engine.ingest.event_time import is_time_type
from cep.engine.io.objects import plain
from cep.engine.io.unfit import UnfitError, shown

_WRITABLE = (int, float, Decimal, date, time, timedelta, np.generic)
_DURATIONS = timedelta | np.timedelta64
_TEXTS = (str, bytes, bytearray)


def written(values: Sequence[Any], declared: DataType) -> list[str | None]:
    """Each value as text, as somebody would write it. Raises UnfitError."""
    values = [plain(value) for value in values]
    texts = [_text(value) for value in values]
    unfit = [at for at, text in enumerate(texts) if text is None and values[at] is not None]
    if declared is DataType.DURATION:  # which no text is
        unfit = [at for at, v in enumerate(values) if not isinstance(v, _DURATIONS | NoneType)]
    if unfit:
        raise UnfitError(unfit)
    kinds: dict[type, list[int]] = {}
    for at, value in enumerate(values):
        if value is not None and not isinstance(value, _TEXTS):
            kinds.setdefault(type(value), []).append(at)
    for rows in kinds.values():
        found = _by_itself([values[at] for at in rows], declared)
        for at, text in zip(rows, found, strict=True):
            texts[at] = texts[at] if text is None else text
    return texts


def _by_itself(values: list[Any], declared: DataType) -> list[str | None]:
    """Values of one kind as texts of what they are in the field; None where they do not fit."""
    try:
        array: Any = pa.chunked_array([pa.array(values)])
        if declared is DataType.TIMESTAMP:  # in which unit, is said later
            return [None if is_time_type(array.type) else shown(repr(v)) for v in values]
        column, _ = conform(array, declared, ARROW_TYPES[declared], "us")
        texts: list[str | None] = column.cast(pa.string()).to_pylist()
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return [None] * len(values)
    return texts


def _text(value: Any) -> str | None:
    """None where there is no way to write it in UTF-8."""
    try:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, bytes | bytearray):
            return value.decode()
        if isinstance(value, str):
            value.encode()
            return str(value)
        return str(value) if isinstance(value, _WRITABLE) else None
    except ValueError:  # half a surrogate pair, no UTF-8, or more digits than Python writes
        return None
