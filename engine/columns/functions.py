"""The functions of `engine.algebra.functions`, `||` and `like`, computed over columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import DataType
from cep.engine.algebra.functions import common_type
from cep.engine.columns.arithmetic import absolute, arithmetic, as_float, compare, in_calendar
from cep.engine.columns.cast import cast
from cep.engine.columns.data import (
    NULL_COLUMN,
    NUMPY_TYPES,
    Array,
    Column,
    Report,
    both_valid,
    broadcast,
    pc,
    plain_text,
    text_column,
    text_to_text,
    text_to_values,
    with_nulls,
    without,
)
from cep.engine.columns.logic import kleene_not

Columns = list[Column]
Implementation = Callable[[Columns, int, Report], Column]

BOOLEAN, INTEGER, FLOAT = DataType.BOOLEAN, DataType.INTEGER, DataType.FLOAT
TEXT, NULL, TIMESTAMP = DataType.TEXT, DataType.NULL, DataType.TIMESTAMP

OF_NULLS = ("least", "greatest", "nullif")  # coalesce is the evaluator's: it decides row by row


def call(name: str, arguments: Columns, rows: int, report: Report) -> Column:
    """The value of a function; `rows` is the length that constants stand for."""
    if name not in OF_NULLS and any(a.type is NULL for a in arguments):
        return NULL_COLUMN
    return IMPLEMENTATIONS[name](arguments, rows, report)


# ---------------------------------------------------------------- numbers


def _kept_integers(ufunc: Any) -> Implementation:
    """Functions that change nothing about an integer."""

    def apply(arguments: Columns, rows: int, report: Report) -> Column:
        (x,) = arguments
        if x.type is INTEGER:
            return x
        return Column(FLOAT, np.asarray(ufunc(x.values)), x.valid)

    return apply


def _in_domain(name: str, ufunc: Any, outside: Callable[[Array], Any] | None) -> Implementation:
    """Functions of one float, with the values for which they are not defined."""

    def apply(arguments: Columns, rows: int, report: Report) -> Column:
        x = as_float(arguments[0])
        valid = arguments[0].valid
        if outside is not None:
            valid = without(valid, np.asarray(outside(x)), f"{name} is not defined there", report)
        return Column(FLOAT, np.asarray(ufunc(x)), valid)

    return apply


def _power(arguments: Columns, rows: int, report: Report) -> Column:
    x, y = map(as_float, arguments)
    valid = without(both_valid(*arguments), (x == 0) & (y < 0), "division by zero", report)
    root = (x < 0) & np.isfinite(x) & np.isfinite(y) & (y != np.rint(y))
    valid = without(valid, np.asarray(root), "power is not defined there", report)
    return Column(FLOAT, np.asarray(np.power(x, y)), valid)


def _round(arguments: Columns, rows: int, report: Report) -> Column:
    x, *digits = arguments
    if not digits:
        if x.type is INTEGER:
            return x
        return Column(FLOAT, _rounded(x.values, 0), x.valid)
    (number,) = digits
    values, valid = as_float(x), both_valid(x, number)
    if number.is_constant:
        return Column(FLOAT, _rounded(values, int(number.values)), valid)
    values, places = np.broadcast_arrays(values, number.values)
    found = np.array(values)
    for place in np.unique(places):
        found[places == place] = _rounded(values[places == place], int(place))
    return Column(FLOAT, found, valid)


def _rounded(values: Array, digits: int) -> Array:
    """Ties away from zero."""
    digits = max(-308, min(308, digits))
    # Arrow raises where scaling overflows; floats as large as these have no digits there to round.
    kept = np.abs(values) >= (2.0**52 / 10.0**digits if digits >= 0 else 1e308)
    rounded = pc.round(
        pa.array(np.atleast_1d(np.where(kept, 0.0, values))),
        ndigits=digits,
        round_mode="half_towards_infinity",
    )
    found = rounded.to_numpy(zero_copy_only=False).reshape(values.shape)
    return np.where(kept, values, found)


def _sign(arguments: Columns, rows: int, report: Report) -> Column:
    (x,) = arguments
    return Column(x.type, np.asarray(np.sign(x.values)), x.valid)


def _extreme(name: str) -> Implementation:
    """Least and greatest: NULLs are passed over, and NaN where there is anything else."""
    arrow = pc.min_element_wise if name == "least" else pc.max_element_wise
    ufunc = np.fmin if name == "least" else np.fmax

    def apply(arguments: Columns, rows: int, report: Report) -> Column:
        kind = common_type([a.type for a in arguments])
        present = [a for a in arguments if a.type is not NULL]
        if not present or kind is None:
            return NULL_COLUMN
        if kind is TEXT:
            texts = [plain_text(broadcast(a, rows)).cast(pa.string()) for a in present]
            return text_column(arrow(*texts))
        found = present[0]
        for other in present[1:]:
            found = pick(found, other, kind)
        return Column(kind, found.values.astype(NUMPY_TYPES[kind], copy=False), found.valid)

    def pick(left: Column, right: Column, kind: DataType) -> Column:
        a, b = (c.values.astype(NUMPY_TYPES[kind], copy=False) for c in (left, right))
        if left.valid is None and right.valid is None:
            return Column(kind, np.asarray(ufunc(a, b)))
        va, vb = (np.asarray(True) if c.valid is None else c.valid for c in (left, right))
        values = np.where(va, np.where(vb, ufunc(a, b), a), b)
        return Column(kind, values, np.asarray(va | vb))

    return apply


def _nullif(arguments: Columns, rows: int, report: Report) -> Column:
    left, right = arguments
    equal = compare("=", left, right)
    same = equal.values if equal.valid is None else equal.values & equal.valid
    valid = ~same if left.valid is None else ~same & left.valid
    return with_nulls(left, np.asarray(valid), rows)


# ---------------------------------------------------------------- text


def _map_text(kernel: Any) -> Implementation:
    return lambda arguments, rows, report: text_to_text(arguments[0], kernel)


def _length(arguments: Columns, rows: int, report: Report) -> Column:
    return text_to_values(arguments[0], INTEGER, pc.utf8_length)


def _with_part(kind: DataType, kernel: Any, by_row: Callable[[str, str], Any]) -> Implementation:
    """Functions of a text and a part of it, which is usually a constant."""

    def apply(arguments: Columns, rows: int, report: Report) -> Column:
        text, part = arguments
        if part.is_constant and kernel is not None:
            wanted = part.values.as_py()
            return text_to_values(text, kind, lambda texts: kernel(texts, wanted))
        return _row_by_row(kind, by_row, arguments, rows)

    return apply


def _row_by_row(
    kind: DataType, function: Callable[..., Any], arguments: Columns, rows: int
) -> Column:
    """The slow way, for what Arrow only does with constants."""
    valid = both_valid(*arguments)
    single = all(a.is_constant for a in arguments)
    lists = [_values(a, 1 if single else rows) for a in arguments]
    if valid is not None:
        keep = np.broadcast_to(valid, rows)
        found = [
            function(*row) if ok else None
            for ok, row in zip(keep.tolist(), zip(*lists, strict=True), strict=True)
        ]
    else:
        found = [function(*row) for row in zip(*lists, strict=True)]
    if kind is TEXT:
        texts = pa.array(found, pa.string())
        return Column(TEXT, texts[0]) if single else text_column(texts)
    values = np.asarray([0 if v is None else v for v in found], NUMPY_TYPES[kind])
    return Column(kind, values[0] if single else values, valid)


def _values(column: Column, rows: int) -> list[Any]:
    values = broadcast(column, rows).values
    listed: list[Any] = values.to_pylist() if column.type is TEXT else values.tolist()
    return listed


def _position(arguments: Columns, rows: int, report: Report) -> Column:
    # Arrow finds bytes, people count characters: only where all is ASCII is that the same.
    text, part = arguments
    if part.is_constant:
        wanted = part.values.as_py()
        if wanted.isascii() and _is_ascii(text):
            return text_to_values(
                text, INTEGER, lambda t: pc.add(pc.find_substring(t, wanted).cast(pa.int64()), 1)
            )
    return _row_by_row(INTEGER, lambda t, p: t.find(p) + 1, arguments, rows)


def _is_ascii(text: Column) -> bool:
    if text.is_constant:
        return bool(text.values.as_py().isascii())
    texts = text.values.dictionary if text.is_dictionary else text.values
    return bool(pc.all(pc.string_is_ascii(texts), min_count=0).as_py())


def _replace(arguments: Columns, rows: int, report: Report) -> Column:
    text, old, new = arguments
    if old.is_constant and new.is_constant:
        before, after = old.values.as_py(), new.values.as_py()
        if not before:
            return text
        return text_to_text(text, lambda texts: pc.replace_substring(texts, before, after))
    return _row_by_row(TEXT, lambda t, o, n: t.replace(o, n) if o else t, arguments, rows)


def _slice(bounds: Callable[..., tuple[int, int | None]]) -> Implementation:
    """substr, left and right: `bounds` turns their numbers into those of a Python slice."""

    def apply(arguments: Columns, rows: int, report: Report) -> Column:
        text, *numbers = arguments
        if all(number.is_constant for number in numbers):
            start, stop = bounds(*(int(number.values) for number in numbers))
            return text_to_text(text, lambda texts: pc.utf8_slice_codeunits(texts, start, stop))
        return _row_by_row(TEXT, lambda t, *ns: t[slice(*bounds(*ns))], arguments, rows)

    return apply


def _substr(arguments: Columns, rows: int, report: Report) -> Column:
    if len(arguments) == 3:
        length = arguments[2]
        bad = np.asarray(length.values < 0)
        valid = without(both_valid(*arguments), bad, "negative length in substr", report)
        cut = Column(INTEGER, np.maximum(length.values, 0), length.valid)
        return with_nulls(_slice(_substr_bounds)([*arguments[:2], cut], rows, report), valid, rows)
    return _slice(_substr_bounds)(arguments, rows, report)


FAR = 2**31 - 1  # no text is longer


def _substr_bounds(start: int, length: int = FAR) -> tuple[int, int | None]:
    """Characters start to start + length - 1 counted from 1, of those that exist."""
    stop = max(0, min(start - 1 + length, FAR))
    return min(max(0, start - 1), stop), stop


def _left_bounds(length: int) -> tuple[int, int | None]:
    return 0, max(-FAR, min(length, FAR))


def _right_bounds(length: int) -> tuple[int, int | None]:
    if length == 0:
        return 0, 0
    return max(-FAR, min(-length, FAR)), None


def _concat(arguments: Columns, rows: int, report: Report) -> Column:
    return concat(arguments)


def concat(arguments: Columns) -> Column:
    """NULL where any of them is."""
    if any(a.type is NULL for a in arguments):
        return NULL_COLUMN
    if all(a.is_constant for a in arguments):
        return Column(TEXT, pa.scalar("".join(a.values.as_py() for a in arguments)))
    texts = [plain_text(a).cast(pa.string()) for a in arguments]
    return text_column(pc.binary_join_element_wise(*texts, ""))


def like(operand: Column, pattern: str, negated: bool) -> Column:
    if operand.type is NULL:
        return NULL_COLUMN
    found = text_to_values(operand, BOOLEAN, lambda texts: pc.match_like(texts, pattern))
    return kleene_not(found) if negated else found


# ---------------------------------------------------------------- times


def _of_time(kernel: Callable[[Any], Any], kind: DataType) -> Implementation:
    """A part of a timestamp, or another timestamp, by an Arrow kernel."""

    def apply(arguments: Columns, rows: int, report: Report) -> Column:
        times = in_calendar(arguments[-1], report)
        if times.valid is not None and times.valid.ndim == 0:
            return NULL_COLUMN
        array: Any = pa.array(np.atleast_1d(times.values))
        found = kernel(array.view(pa.timestamp("us")))
        if kind is TIMESTAMP:
            found = found.view(pa.int64())
        values = found.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
        return Column(kind, values.reshape(times.values.shape), times.valid)

    return apply


def _date_trunc(arguments: Columns, rows: int, report: Report) -> Column:
    unit = arguments[0].values.as_py()
    return _of_time(lambda times: pc.floor_temporal(times, unit=unit), TIMESTAMP)(
        arguments, rows, report
    )


def _epoch(arguments: Columns, rows: int, report: Report) -> Column:
    (moment,) = arguments
    return Column(FLOAT, np.asarray(moment.values / 1e6), moment.valid)


def _coalesce(arguments: Columns, rows: int, report: Report) -> Column:
    raise AssertionError("coalesce is decided row by row by the evaluator")


IMPLEMENTATIONS: dict[str, Implementation] = {
    "abs": lambda arguments, rows, report: absolute(arguments[0], report),
    "round": _round,
    "floor": _kept_integers(np.floor),
    "ceil": _kept_integers(np.ceil),
    "sign": _sign,
    "sqrt": _in_domain("sqrt", np.sqrt, lambda x: x < 0),
    "ln": _in_domain("ln", np.log, lambda x: x <= 0),
    "log10": _in_domain("log10", np.log10, lambda x: x <= 0),
    "exp": _in_domain("exp", np.exp, None),
    "power": _power,
    "mod": lambda arguments, rows, report: arithmetic("%", arguments[0], arguments[1], report),
    "least": _extreme("least"),
    "greatest": _extreme("greatest"),
    "coalesce": _coalesce,
    "nullif": _nullif,
    "upper": _map_text(pc.utf8_upper),
    "lower": _map_text(pc.utf8_lower),
    "length": _length,
    "trim": _map_text(pc.utf8_trim_whitespace),
    "ltrim": _map_text(pc.utf8_ltrim_whitespace),
    "rtrim": _map_text(pc.utf8_rtrim_whitespace),
    "substr": _substr,
    "replace": _replace,
    "concat": _concat,
    "contains": _with_part(BOOLEAN, pc.match_substring, lambda t, p: p in t),
    "starts_with": _with_part(BOOLEAN, pc.starts_with, str.startswith),
    "ends_with": _with_part(BOOLEAN, pc.ends_with, str.endswith),
    "position": _position,
    "left": _slice(_left_bounds),
    "right": _slice(_right_bounds),
    "regexp_like": _with_part(BOOLEAN, pc.match_substring_regex, lambda t, p: False),
    "to_int": lambda arguments, rows, report: cast(arguments[0], INTEGER, report),
    "to_float": lambda arguments, rows, report: cast(arguments[0], FLOAT, report),
    "year": _of_time(pc.year, INTEGER),
    "month": _of_time(pc.month, INTEGER),
    "day": _of_time(pc.day, INTEGER),
    "hour": _of_time(pc.hour, INTEGER),
    "minute": _of_time(pc.minute, INTEGER),
    "second": _of_time(pc.second, INTEGER),
    "day_of_week": _of_time(
        lambda times: pc.day_of_week(times, count_from_zero=False, week_start=1), INTEGER
    ),
    "date_trunc": _date_trunc,
    "epoch": _epoch,
}
