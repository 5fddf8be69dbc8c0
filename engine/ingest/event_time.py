"""A column of event times, of whatever type -> int64 microseconds since 1970.

    timestamp (any unit, any zone), date     as they are, UTC
    integer, float                           time since 1970 in `unit`: s, ms, us or ns
    text                                     ISO 8601, or an integer in `unit`

A time that is NULL, does not parse or lies outside the years 1 to 9999 is no time: it is marked in
`TimeColumn.reasons` and its row goes to the errors output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.timestamp import parse_timestamp
from cep.engine.batch import Bools, Int64s
from cep.engine.columns.data import pc

UNITS = ("s", "ms", "us", "ns")
EARLIEST_US = -62_135_596_800_000_000  # 0001-01-01
LATEST_US = 253_402_300_799_999_999  # 9999-12-31 23:59:59.999999
DAY_US = 86_400_000_000
_US_PER = {"s": 1_000_000, "ms": 1_000, "us": 1}

IS_NULL = "time {name} is NULL"
NO_PARSE = "time {name} does not parse as ISO 8601"
OUT_OF_RANGE = "time {name} is outside the years 1 to 9999 (is the unit right?)"


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """Event times of n rows.

    `time_us`, shape (n,): microseconds, 0 where there is no time. `finest`, shape (n,): what to
    sort by, at the resolution of the input. `bad`: the rows that have no time, by reason.
    """

    time_us: Int64s
    finest: Int64s
    bad: tuple[tuple[str, Int64s], ...] = ()

    def good_rows(self) -> Int64s | None:
        """The rows that have a time, ascending; None where all have."""
        if not self.bad:
            return None
        keep = np.ones(len(self.time_us), np.bool_)
        for _, rows in self.bad:
            keep[rows] = False
        return np.flatnonzero(keep)


def is_time_type(type_: pa.DataType) -> bool:
    """Whether values of this type can say when an event happened."""
    value = type_.value_type if pa.types.is_dictionary(type_) else type_
    return bool(
        pa.types.is_timestamp(value)
        or pa.types.is_date(value)
        or pa.types.is_integer(value)
        or pa.types.is_floating(value)
        or is_text(value)
        or pa.types.is_null(value)
    )


def is_text(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_string_view(type_)
    )


def in_calendar(column: Any) -> bool:
    """Whether Python's datetimes can hold what is in a column, of whatever type, in its zone."""
    type_ = column.type
    if not pa.types.is_timestamp(type_) or type_.unit == "ns":  # these end in 2262
        return True
    bounds = pc.min_max(column.cast(pa.int64())).as_py()
    if bounds["min"] is None:
        return True
    factor, margin_us = _US_PER[type_.unit], 0 if type_.tz is None else DAY_US
    first, last = bounds["min"] * factor, bounds["max"] * factor
    return bool(EARLIEST_US + margin_us <= first and last <= LATEST_US - margin_us)


def read_times(column: Any, name: str, unit: str) -> TimeColumn:
    """The event times in a column called `name`; `unit` is what bare numbers count.

    Raises DataError for a type that cannot be a time.
    """
    if not is_time_type(column.type):
        message = (
            f"column {name!r} is {column.type}: event time must be a timestamp, a date, "
            "a number of units since 1970 or text in ISO 8601"
        )
        raise DataError(message)
    array = _one_array(column)
    is_null = _null_rows(array)
    if is_text(array.type):
        finest, finest_unit, unparsed = _from_text(array, unit)
    else:
        finest, finest_unit = _from_numbers(array, unit)
        unparsed = np.zeros(0, np.int64)
    time_us, out_of_range = _to_us(finest, finest_unit)
    return _collect(name, time_us, finest, is_null, unparsed, out_of_range)


def _one_array(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _null_rows(array: Any) -> Int64s:
    if array.null_count == 0:
        return np.zeros(0, np.int64)
    return np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))


def _ints(array: Any) -> Int64s:
    """The 64-bit integers of an Arrow array, 0 for NULL; no copy where there is none."""
    if array.null_count:
        array = array.fill_null(pa.scalar(0, array.type))
    return np.asarray(array.to_numpy(zero_copy_only=False), np.int64)


def _from_numbers(array: Any, unit: str) -> tuple[npt.NDArray[Any], str]:
    """(values, their unit); whole numbers stay exact, others are rounded to microseconds."""
    type_ = array.type
    if pa.types.is_timestamp(type_):
        return _ints(array.cast(pa.int64())), type_.unit
    if pa.types.is_date(type_):
        return _ints(array.cast(pa.timestamp("ms")).cast(pa.int64())), "ms"
    if pa.types.is_null(type_):
        return np.zeros(len(array), np.int64), "us"
    if pa.types.is_floating(type_):
        return _rounded_us(array, unit), "us"
    if pa.types.is_uint64(type_):
        # What does not fit is certainly out of range: the largest value says so.
        high = pa.scalar(2**63 - 1, pa.uint64())
        array = pc.min_element_wise(array, high, skip_nulls=False)
    return _ints(array.cast(pa.int64())), unit


def _rounded_us(array: Any, unit: str) -> Int64s:
    factor = 0.001 if unit == "ns" else float(_US_PER[unit])
    with np.errstate(over="ignore"):
        scaled = np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False)) * factor
    beyond = ~(np.abs(scaled) < 9e18)  # NaN as well; NULL arrives here as NaN and is said first
    return np.rint(np.where(beyond, 9e18, scaled)).astype(np.int64)


def _to_us(values: Int64s, unit: str) -> tuple[Int64s, Int64s]:
    """(microseconds, the rows outside the years 1 to 9999); checked before it can overflow."""
    if unit == "ns":
        return values // 1000, np.zeros(0, np.int64)
    factor = _US_PER[unit]
    low, high = -(-EARLIEST_US // factor), LATEST_US // factor
    if len(values) == 0 or (values.min() >= low and values.max() <= high):
        return (values if factor == 1 else values * factor), np.zeros(0, np.int64)
    beyond = (values < low) | (values > high)
    return np.where(beyond, 0, values) * factor, np.flatnonzero(beyond)


def _from_text(array: Any, unit: str) -> tuple[Int64s, str, Int64s]:
    """(values, their unit, the rows that do not parse)."""
    none = np.zeros(0, np.int64)
    for type_ in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return _ints(array.cast(type_).cast(pa.int64())), "us", none
        except pa.ArrowInvalid:
            continue
    return _from_text_one_by_one(array, unit)


def _from_text_one_by_one(array: Any, unit: str) -> tuple[Int64s, str, Int64s]:
    """Each distinct text by itself: mixed forms, epoch numbers as text, and what is no time."""
    coded = array.dictionary_encode()
    parsed = [_parse(text, unit) for text in coded.dictionary.to_pylist()]
    if not parsed:
        return np.zeros(len(array), np.int64), "us", np.zeros(0, np.int64)
    values = np.array([0 if value is None else value for value in parsed], np.int64)
    failed = np.array([value is None for value in parsed], np.bool_)
    codes = _ints(coded.indices)
    is_set: Bools = ~np.asarray(coded.indices.is_null().to_numpy(zero_copy_only=False))
    return values[codes], "us", np.flatnonzero(failed[codes] & is_set)


def _parse(text: str, unit: str) -> int | None:
    found = parse_timestamp(text)
    if found is not None:
        return found
    try:
        number = int(text)
    except ValueError:
        return _parse_float(text, unit)
    time_us = number // 1000 if unit == "ns" else number * _US_PER[unit]
    return max(-(2**63), min(time_us, 2**63 - 1))


def _parse_float(text: str, unit: str) -> int | None:
    """As `_rounded_us`: the number may have been written only since others are text."""
    try:
        time_us = float(text) * (0.001 if unit == "ns" else _US_PER[unit])
    except ValueError:
        return None
    return round(time_us) if abs(time_us) < 9e18 else 2**63 - 1


def _collect(
    name: str, time_us: Int64s, finest: Int64s, null: Int64s, unparsed: Int64s, beyond: Int64s
) -> TimeColumn:
    """Each bad row under one reason: NULL is filled with a value that may look out of range."""
    beyond = np.setdiff1d(np.setdiff1d(beyond, null), unparsed)
    reasons = ((IS_NULL, null), (NO_PARSE, unparsed), (OUT_OF_RANGE, beyond))
    bad = tuple((reason.format(name=repr(name)), rows) for reason, rows in reasons if len(rows))
    return TimeColumn(time_us, finest, bad)
