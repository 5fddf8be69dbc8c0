"""cast(... as ...) over columns: a value that cannot be converted is reported and becomes NULL."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import DataType
from cep.engine.algebra.timestamp import TIMESTAMP_FORM, parse_timestamp
from cep.engine.batch import Bools
from cep.engine.columns.arithmetic import INT64_MAX, INT64_MIN, in_calendar, to_int64
from cep.engine.columns.data import (
    NUMPY_TYPES,
    Array,
    Column,
    Report,
    distinct_text,
    pc,
    spread,
    text_column,
    without,
)

REASONS_MAX = 20  # distinct wrong values that get a reason of their own, per expression and batch
VALUE_SHOWN = 40

INT_FORM = r"^\s*([+-]?[0-9]+)\s*$"
FLOAT_FORM = (
    r"(?i)^\s*([+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|nan|inf|infinity))\s*$"
)


def cast(operand: Column, target: DataType, report: Report) -> Column:
    """The column in another type; which casts there are is `binding.CASTS`."""
    if operand.type in (target, DataType.NULL):
        return operand
    if operand.type is DataType.TEXT:
        return _from_text(operand, target, report)
    if target is DataType.TEXT:
        return _to_text(operand, report)
    if target is DataType.INTEGER and operand.type is DataType.FLOAT:
        values, bad = to_int64(np.trunc(operand.values))
        valid = without(operand.valid, bad, "cannot cast to int: too large or nan", report)
        return Column(target, values, valid)
    return Column(target, operand.values.astype(NUMPY_TYPES[target]), operand.valid)


def _to_text(operand: Column, report: Report) -> Column:
    if operand.type is DataType.TIMESTAMP:
        operand = in_calendar(operand, report)
    values = np.atleast_1d(operand.values)
    mask = None if operand.valid is None else ~np.broadcast_to(operand.valid, values.shape)
    array: Any = pa.array(values, mask=mask)
    if operand.type is DataType.TIMESTAMP:
        array = array.view(pa.timestamp("us"))
    texts = array.cast(pa.string())
    return Column(DataType.TEXT, texts[0]) if operand.is_constant else text_column(texts)


def _from_text(operand: Column, target: DataType, report: Report) -> Column:
    texts, index = distinct_text(operand)
    values, good = _PARSERS[target](texts)
    values, good = spread(values, index), spread(good, index)
    valid = operand.valid
    bad = ~good if valid is None else ~good & valid
    if bad.any():
        _report_texts(operand, np.asarray(bad), target, report)
        valid = np.asarray(good) if valid is None else valid & good
    return Column(target, values, valid)


def _report_texts(operand: Column, bad: Bools, target: DataType, report: Report) -> None:
    """One reason for each of the first few wrong values, one for all the others."""
    if operand.is_constant:
        report(_reason(operand.values.as_py(), target), bad)
        return
    rows = np.flatnonzero(bad)
    wrong = pc.dictionary_encode(operand.values.take(pa.array(rows)).cast(pa.string()))
    codes = wrong.indices.to_numpy()
    for code, text in enumerate(wrong.dictionary[:REASONS_MAX].to_pylist()):
        report(_reason(text, target), _mask(rows[codes == code], len(bad)))
    rest = rows[codes >= REASONS_MAX]
    if len(rest):
        report(f"cannot cast text to {target}", _mask(rest, len(bad)))


def _reason(text: str, target: DataType) -> str:
    shown = text if len(text) <= VALUE_SHOWN else text[: VALUE_SHOWN - 3] + "..."
    return f"cannot cast '{shown}' to {target}"


def _mask(rows: Array, size: int) -> Bools:
    mask = np.zeros(size, np.bool_)
    mask[rows] = True
    return mask


# ---------------------------------------------------------------- text -> values, where good


def _parse_column(
    texts: Any,
    form: str,
    kernel: Callable[[Any], Any],
    parse: Callable[[str], Any],
    kind: DataType,
) -> tuple[Array, Bools]:
    """Arrow's parser where all texts suit it, else each distinct text by `parse`."""
    if bool(pc.all(pc.match_substring_regex(texts, form), min_count=0).as_py()):
        try:
            found = pc.fill_null(kernel(texts), 0).to_numpy(zero_copy_only=False)
            return found.astype(NUMPY_TYPES[kind]), np.ones(len(texts), np.bool_)
        except pa.ArrowInvalid:
            pass  # a date that does not exist, or digits past 64 bits: find out which
    encoded = pc.dictionary_encode(texts.cast(pa.string()))
    parsed = [parse(text) for text in encoded.dictionary.to_pylist()] or [None]
    codes = pc.fill_null(encoded.indices, 0).to_numpy()
    values = np.asarray([0 if p is None else p for p in parsed], NUMPY_TYPES[kind])
    return values[codes], np.asarray([p is not None for p in parsed])[codes]


def _ints(texts: Any) -> tuple[Array, Bools]:
    def kernel(array: Any) -> Any:
        return pc.utf8_ltrim(pc.utf8_trim_whitespace(array), "+").cast(pa.int64())

    return _parse_column(texts, INT_FORM, kernel, _int, DataType.INTEGER)


def _int(text: str) -> int | None:
    found = re.match(INT_FORM, text, re.ASCII)
    # Digits are counted first: converting a million of them would take minutes.
    if found is None or len(found[1].lstrip("+-").lstrip("0")) > 19:
        return None
    value = int(found[1].lstrip("+"))
    return value if INT64_MIN <= value <= INT64_MAX else None


def _floats(texts: Any) -> tuple[Array, Bools]:
    def kernel(array: Any) -> Any:
        return pc.utf8_ltrim(pc.utf8_trim_whitespace(array), "+").cast(pa.float64())

    return _parse_column(texts, FLOAT_FORM, kernel, _float, DataType.FLOAT)


def _float(text: str) -> float | None:
    return float(text) if re.match(FLOAT_FORM, text, re.ASCII) else None


def _timestamps(texts: Any) -> tuple[Array, Bools]:
    def kernel(array: Any) -> Any:
        return array.cast(pa.timestamp("us")).view(pa.int64())

    return _parse_column(texts, TIMESTAMP_FORM, kernel, parse_timestamp, DataType.TIMESTAMP)


def _booleans(texts: Any) -> tuple[Array, Bools]:
    lowered = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    true, false = pc.equal(lowered, "true"), pc.equal(lowered, "false")
    values = pc.fill_null(true, False).to_numpy(zero_copy_only=False)
    good = pc.fill_null(pc.or_(true, false), False).to_numpy(zero_copy_only=False)
    return values, good


_PARSERS: dict[DataType, Callable[[Any], tuple[Array, Bools]]] = {
    DataType.INTEGER: _ints,
    DataType.FLOAT: _floats,
    DataType.TIMESTAMP: _timestamps,
    DataType.BOOLEAN: _booleans,
}
