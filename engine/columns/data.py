"""Arrow columns <-> the typed columns that expressions are evaluated on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as _compute

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.batch import Bools

# The published stubs know neither half of the functions nor string arrays in place of numbers.
pc: Any = _compute

Array = npt.NDArray[Any]
Report = Callable[[str, Bools], None]  # reason, which rows

US_PER = {"s": 1_000_000, "ms": 1_000, "us": 1}
US_PER_DAY = 86_400_000_000

NUMPY_TYPES: dict[DataType, Any] = {
    DataType.BOOLEAN: np.bool_,
    DataType.INTEGER: np.int64,
    DataType.FLOAT: np.float64,
    DataType.TIMESTAMP: np.int64,
    DataType.DURATION: np.int64,
    DataType.NULL: np.bool_,
}

ARROW_TYPES: dict[DataType, Any] = {
    DataType.BOOLEAN: pa.bool_(),
    DataType.INTEGER: pa.int64(),
    DataType.FLOAT: pa.float64(),
    DataType.TEXT: pa.string(),
    DataType.TIMESTAMP: pa.timestamp("us"),
    DataType.DURATION: pa.duration("us"),
    DataType.NULL: pa.null(),
}


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One value per row, or one for all rows (a constant). Read-only by agreement.

    `values`: NumPy bool, int64 (INTEGER, and microseconds for TIMESTAMP and DURATION) or float64 of
    shape (n,), or () for a constant; for TEXT an Arrow string, large_string or dictionary array, or
    an Arrow scalar for a constant; for NULL a bool of shape (). `valid`: shape (n,) or (), False
    where the value is NULL (what `values` holds there means nothing); None: no NULLs.
    """

    type: DataType
    values: Any
    valid: Bools | None = None

    @property
    def is_constant(self) -> bool:
        if self.type is DataType.TEXT:
            return isinstance(self.values, pa.Scalar)
        return bool(self.values.ndim == 0) and (self.valid is None or self.valid.ndim == 0)

    @property
    def is_dictionary(self) -> bool:
        return self.type is DataType.TEXT and isinstance(self.values, pa.DictionaryArray)


NULL_COLUMN = Column(DataType.NULL, np.asarray(False), np.asarray(False))


def constant(value: bool | int | float | str | None, kind: DataType | None = None) -> Column:
    """A constant column; the type is the Python type's unless it is given."""
    if value is None:
        return NULL_COLUMN
    if isinstance(value, str):
        return Column(DataType.TEXT, pa.scalar(value))
    if kind is None:
        kinds = {bool: DataType.BOOLEAN, int: DataType.INTEGER, float: DataType.FLOAT}
        kind = kinds[type(value)]
    return Column(kind, np.asarray(value, NUMPY_TYPES[kind]))


def data_type_of(arrow_type: pa.DataType) -> DataType | None:
    """The type that fields of this Arrow type have in expressions; None: they cannot be used."""
    kinds: Any = pa.types
    if kinds.is_dictionary(arrow_type):
        inner = data_type_of(arrow_type.value_type)  # type: ignore[attr-defined]
        return inner if inner is DataType.TEXT else None
    for is_one, kind in (
        (kinds.is_boolean, DataType.BOOLEAN),
        (kinds.is_integer, DataType.INTEGER),
        (kinds.is_floating, DataType.FLOAT),
        (kinds.is_decimal, DataType.FLOAT),
        (kinds.is_string, DataType.TEXT),
        (kinds.is_large_string, DataType.TEXT),
        (_is_string_view, DataType.TEXT),
        (kinds.is_timestamp, DataType.TIMESTAMP),
        (kinds.is_date, DataType.TIMESTAMP),
        (kinds.is_duration, DataType.DURATION),
        (kinds.is_null, DataType.NULL),
    ):
        if is_one(arrow_type):
            return kind
    return None


def _is_string_view(arrow_type: pa.DataType) -> bool:
    return str(arrow_type) == "string_view"


def column_of(data: Any) -> Column:
    """A field of a table (Arrow array or chunked array) as a column, without a copy where possible.

    `data_type_of` its type must not be None.
    """
    array = _one_array(data)
    kind = data_type_of(array.type)
    assert kind is not None, f"not usable in expressions: {array.type}"
    if kind is DataType.NULL:
        return NULL_COLUMN
    if kind is DataType.TEXT:
        return _text_column(array)
    valid = None
    if array.null_count:
        valid = _numpy(pc.is_valid(array))
        array = _integers(array) if kind in _TIMES else array
        array = pc.fill_null(array, False if kind is DataType.BOOLEAN else 0)
    return Column(kind, _numbers(array, data.type, kind), valid)


_TIMES = (DataType.TIMESTAMP, DataType.DURATION)


def _one_array(data: Any) -> Any:
    if not isinstance(data, pa.ChunkedArray):
        return data
    if data.num_chunks == 1:
        return data.chunk(0)
    if pa.types.is_dictionary(data.type):
        data = data.unify_dictionaries()
    combined: Any = data.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def _text_column(array: Any) -> Column:
    if _is_string_view(array.type):
        array = array.cast(pa.string())
    if pa.types.is_dictionary(array.type):
        values = array.dictionary
        if values.null_count or _is_string_view(values.type):
            array = array.cast(pa.string())
    return Column(DataType.TEXT, array, _numpy(pc.is_valid(array)) if array.null_count else None)


def _numpy(array: Any) -> Array:
    result: Array = array.to_numpy(zero_copy_only=False)
    return result


def _integers(array: Any) -> Any:
    """Times as the integers that they are stored as."""
    width = array.type.bit_width
    return array.view(pa.int64() if width == 64 else pa.int32())


def _numbers(array: Any, arrow_type: pa.DataType, kind: DataType) -> Array:
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if kind in _TIMES:
        raw = array if pa.types.is_integer(array.type) else _integers(array)
        return _microseconds(_numpy(raw).astype(np.int64, copy=False), arrow_type)
    if pa.types.is_uint64(array.type):
        _check_fits(array)
    return _numpy(array).astype(NUMPY_TYPES[kind], copy=False)


INTEGER_MAX = 2**63 - 1


def _check_fits(array: Any) -> None:
    """Integers are 64-bit with a sign; one that is larger must not turn into another number."""
    largest = pc.max(array).as_py()
    if largest is not None and largest > INTEGER_MAX:
        message = (
            f"the integer {largest} in the data is larger than the largest that rules can read"
        )
        raise DataError(f"{message} ({INTEGER_MAX}): give ids of this size as text")


def _microseconds(raw: Array, arrow_type: Any) -> Array:
    if pa.types.is_date32(arrow_type):
        return raw * US_PER_DAY
    unit = "ms" if pa.types.is_date64(arrow_type) else arrow_type.unit
    if unit == "ns":
        return raw // 1_000
    return raw if unit == "us" else raw * US_PER[unit]


def to_arrow(column: Column, rows: int, kind: DataType | None = None) -> pa.Array[Any]:
    """The column as an Arrow array of `rows` values: timestamp('us') without zone, duration('us').

    `kind` is the type wanted where the column itself is NULL throughout.
    """
    if column.type is DataType.NULL:
        nothing: pa.Array[Any] = pa.nulls(rows, ARROW_TYPES[kind or DataType.NULL])
        return nothing
    if column.type is DataType.TEXT:
        texts: pa.Array[Any] = broadcast(column, rows).values.cast(pa.string())
        return texts
    full = broadcast(column, rows)
    mask = None if full.valid is None else ~full.valid
    array: Any = pa.array(full.values, mask=mask)
    if column.type in _TIMES:
        array = array.view(ARROW_TYPES[column.type])
    result: pa.Array[Any] = array
    return result


def broadcast(column: Column, rows: int) -> Column:
    """The same column with an array of `rows` values even where it is a constant."""
    valid = column.valid
    if valid is not None and valid.ndim == 0:
        valid = None if valid else np.zeros(rows, np.bool_)
    if column.type is DataType.TEXT:
        values = column.values
        if isinstance(values, pa.Scalar):
            repeat: Any = pa.repeat
            values = repeat(values, rows)
        return Column(DataType.TEXT, values, valid)
    values = column.values
    if values.ndim == 0:
        values = np.full(rows, values)
    return Column(column.type, values, valid)


def both_valid(*columns: Column) -> Bools | None:
    """Where none of them is NULL."""
    valid: Any = None
    for column in columns:
        if column.valid is not None:
            valid = column.valid if valid is None else valid & column.valid
    result: Bools | None = valid
    return result


def without(valid: Bools | None, bad: Any, reason: str, report: Report) -> Bools | None:
    """`valid` less the rows that are bad, which are reported unless they were NULL before."""
    if not bad.any():
        return valid
    if valid is not None:
        bad = bad & valid
        if not bad.any():
            return valid
    report(reason, bad)
    good: Bools = ~bad if valid is None else valid & ~bad
    return good


# ---------------------------------------------------------------- text


def plain_text(column: Column) -> Any:
    """The text values as a string array, or as a scalar where they are constant."""
    return column.values.cast(pa.string()) if column.is_dictionary else column.values


def distinct_text(column: Column) -> tuple[Any, Array | None]:
    """An array of texts to work on and, where it is smaller than the column, where each row's is.

    A constant gives an array of one and an index of shape ().
    """
    if column.is_constant:
        return pa.array([column.values.as_py()], pa.string()), np.asarray(0)
    if not column.is_dictionary:
        return column.values, None
    indices = column.values.indices
    if indices.null_count:
        indices = pc.fill_null(indices, 0)
    values = column.values.dictionary
    # All rows NULL over an empty dictionary: index 0 must exist.
    return (values if len(values) else pa.array([""], values.type)), _numpy(indices)


def spread(values: Array, index: Array | None) -> Array:
    """Values computed on `distinct_text`, one per row again."""
    if index is None:
        return values
    if values.dtype == np.bool_ and index.size > values.size:
        return _spread_bools(values, index)
    found: Array = values[index]
    return found


FEW = 4  # so many comparisons of codes are cheaper than one look-up per row


def _spread_bools(values: Bools, index: Array) -> Bools:
    """`values[index]`, quickly where all texts but a few have the same answer."""
    true = int(np.count_nonzero(values))
    rare = true <= values.size - true
    places = np.flatnonzero(values == rare)
    if places.size > FEW:
        return values[index]
    found = np.zeros(index.shape, np.bool_)
    for place in places:
        found |= index == place
    return found if rare else ~found


ENCODE_ROWS_MIN = 16_384
SAMPLE_ROWS, SAMPLE_DISTINCT_MAX = 4_096, 256


def encoded_if_repetitive(column: Column) -> Column:
    """A plain text column as a dictionary, where it is long and a sample repeats a few texts."""
    if column.type is not DataType.TEXT or column.is_dictionary or column.is_constant:
        return column
    texts = column.values
    if len(texts) < ENCODE_ROWS_MIN:
        return column
    if len(pc.unique(texts.slice(0, SAMPLE_ROWS))) > SAMPLE_DISTINCT_MAX:
        return column
    return Column(DataType.TEXT, texts.dictionary_encode(), column.valid)


def text_to_values(column: Column, kind: DataType, function: Callable[[Any], Any]) -> Column:
    """Apply a function from string array to Arrow array of another type, on distinct texts."""
    texts, index = distinct_text(column)
    found = function(texts)
    if found.null_count:
        found = pc.fill_null(found, False if kind is DataType.BOOLEAN else 0)
    return Column(kind, spread(_numpy(found).astype(NUMPY_TYPES[kind]), index), column.valid)


def text_to_text(column: Column, function: Callable[[Any], Any]) -> Column:
    """Apply a function from string array to string array, on distinct texts."""
    if column.is_constant:
        return Column(DataType.TEXT, function(pa.array([column.values.as_py()]))[0])
    values: Any = column.values
    if column.is_dictionary:
        changed = function(values.dictionary)
        values = pa.DictionaryArray.from_arrays(values.indices, changed)
    else:
        values = function(values)
    return Column(DataType.TEXT, values, column.valid)


def text_column(array: Any) -> Column:
    """A string array as a column."""
    return _text_column(array)


def with_nulls(column: Column, valid: Bools | None, rows: int) -> Column:
    """The column with NULL where `valid` is False; text keeps its own validity in step."""
    if valid is None or column.type is DataType.NULL:
        return column
    if column.type is not DataType.TEXT:
        return Column(column.type, column.values, valid)
    full = broadcast(column, rows)
    mask = np.broadcast_to(valid, rows)
    nothing = pa.scalar(None, pa.string())
    return Column(DataType.TEXT, pc.if_else(pa.array(mask), plain_text(full), nothing), mask)
