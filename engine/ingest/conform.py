"""A column of the data + the type that a stream declares for it -> a column of that type.

A value that does not fit is set to NULL and its row is reported, so that one bad value costs one
event and not the run. A type none of whose values could fit (a list declared float) is a DataError.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.batch import Bools, Int64s
from cep.engine.columns.data import data_type_of, pc
from cep.engine.ingest.event_time import TimeColumn, is_text, is_time_type, read_times

ARROW_TYPES: dict[DataType, pa.DataType] = {
    DataType.BOOLEAN: pa.bool_(),
    DataType.INTEGER: pa.int64(),
    DataType.FLOAT: pa.float64(),
    DataType.TEXT: pa.string(),
    DataType.TIMESTAMP: pa.timestamp("us"),
    DataType.DURATION: pa.duration("us"),
    DataType.NULL: pa.null(),
}
NO_ROWS: Int64s = np.zeros(0, np.int64)


def conformed_type(arrow: pa.DataType, declared: DataType) -> pa.DataType:
    """The Arrow type that a column of type `arrow` has once it holds what was declared."""
    if data_type_of(arrow) is declared and not pa.types.is_date(arrow):
        return arrow
    return ARROW_TYPES[declared]


def plain_type(arrow: pa.DataType) -> pa.DataType:
    """The type of the values, without their dictionary."""
    type_: Any = arrow
    return type_.value_type if pa.types.is_dictionary(arrow) else arrow


def check_conformable(arrow: pa.DataType, declared: DataType, where: str) -> None:
    """Raise DataError where no value of type `arrow` could be what is declared."""
    source = data_type_of(plain_type(arrow))
    allowed = {
        DataType.BOOLEAN: {DataType.TEXT, DataType.INTEGER},
        DataType.INTEGER: {DataType.TEXT, DataType.FLOAT, DataType.BOOLEAN},
        DataType.FLOAT: {DataType.TEXT, DataType.INTEGER},
        DataType.TEXT: {DataType.INTEGER, DataType.FLOAT, DataType.BOOLEAN, DataType.TIMESTAMP},
        DataType.TIMESTAMP: {DataType.TEXT, DataType.INTEGER, DataType.FLOAT},
        DataType.DURATION: set(),
        DataType.NULL: set(),
    }[declared]
    if source is declared or source is DataType.NULL or source in allowed:
        return
    message = f"{where} is declared {declared}, but the data has {arrow}, which cannot become that"
    raise DataError(message)


def conform(column: Any, declared: DataType, target: pa.DataType, unit: str) -> tuple[Any, Int64s]:
    """(the column as `target`, an Arrow type for `declared`; the rows whose value does not fit).

    Those rows hold NULL. `unit` is what a number counts that is declared a timestamp.
    """
    if pa.types.is_dictionary(column.type) and target != column.type:
        column = pc.cast(column, column.type.value_type)
    if target == column.type:
        return column, NO_ROWS
    if declared is DataType.TIMESTAMP and not pa.types.is_null(column.type):
        if not is_time_type(column.type):
            return _nothing_fits(column, target)
        times = read_times(column, "", unit)
        return timestamps_of(times, target), _bad_values(times)
    if is_text(column.type) and declared is not DataType.TEXT:
        column = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
    if not _is_akin(column.type, declared):
        return _nothing_fits(column, target)
    if declared is DataType.BOOLEAN and is_number(column.type):
        return _bits(column, target)
    # A large integer as a float is the nearest float: what every database does.
    safe = declared is not DataType.FLOAT
    chunks: list[Any] = []
    bad: list[int] = []
    row = 0
    for chunk in column.chunks:
        chunks.append(_cast(chunk, target, safe, row, bad))
        row += len(chunk)
    arrow: Any = pa
    return arrow.chunked_array(chunks, type=target), np.array(bad, np.int64)


def _is_akin(arrow: pa.DataType, declared: DataType) -> bool:
    """Whether a cast means something: a date as a number, a number as a duration would not."""
    if declared is DataType.TEXT or pa.types.is_null(arrow):
        return True
    is_duration = declared is DataType.DURATION
    return pa.types.is_duration(arrow) if is_duration else not pa.types.is_temporal(arrow)


def _nothing_fits(column: Any, target: pa.DataType) -> tuple[Any, Int64s]:
    nothing: Any = pa.array([None] * len(column), target)
    return pa.chunked_array([nothing]), np.flatnonzero(~_is_null(column))


def is_number(arrow: pa.DataType) -> bool:
    return pa.types.is_integer(arrow) or pa.types.is_floating(arrow)


def _bits(column: Any, target: pa.DataType) -> tuple[Any, Int64s]:
    """Numbers as booleans: 0 and 1 are, others do not fit, as their texts would not."""
    is_bit = pc.fill_null(pc.or_(pc.equal(column, 0), pc.equal(column, 1)), False)
    bits = pc.if_else(is_bit, column, pa.scalar(None, column.type)).cast(target)
    return bits, np.flatnonzero(~_as_bools(is_bit) & ~_is_null(column))


def _is_null(column: Any) -> Bools:
    return _as_bools(column.is_null())


def _as_bools(column: Any) -> Bools:
    values: Bools = column.combine_chunks().to_numpy(zero_copy_only=False)
    return values


def timestamps_of(times: TimeColumn, target: pa.DataType) -> Any:
    """The times as an Arrow column, NULL where there is no time."""
    no_time = np.zeros(len(times.time_us), np.bool_)
    for _, rows in times.bad:
        no_time[rows] = True
    array = pa.array(times.time_us, pa.timestamp("us"), mask=no_time)
    cast: Any = array.cast(target)
    return pa.chunked_array([cast])


def _bad_values(times: TimeColumn) -> Int64s:
    """Rows that hold something which is no time; NULL is a value like any other here."""
    found = [rows for reason, rows in times.bad if not reason.endswith("is NULL")]
    return np.sort(np.concatenate(found)) if found else NO_ROWS


def _cast(array: Any, target: pa.DataType, safe: bool, row: int, bad: list[int]) -> Any:
    """The array cast, by halves around the values that do not fit: O(bad x log n) casts."""
    try:
        return array.cast(target, safe=safe)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if len(array) == 1:
            bad.append(row)
            return pa.array([None], target)
    half = len(array) // 2
    halves = [
        _cast(array.slice(0, half), target, safe, row, bad),
        _cast(array.slice(half), target, safe, row + half, bad),
    ]
    return pa.concat_arrays(halves)
