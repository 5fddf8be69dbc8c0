"""The lookup operator: events and a table in; for each event, fields of its key's row out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType, Expression, Field
from cep.engine.algebra.plan import Lookup, Table
from cep.engine.batch import Int64s
from cep.engine.columns.data import pc
from cep.engine.columns.evaluator import Column, column_of, data_type_of, to_arrow
from cep.engine.kernels import interning, lookup
from cep.engine.operators.fed import Fed

VALUE_SHOWN = 40


class LookupOperator:
    """Adds fields of one table to the events of one stream.

    `streams`: number of each stream, as `EventBatch.stream` has it. The content is handed in by
    `load`, again after a restart; it may be exchanged while no events are on their way.
    """

    def __init__(self, lookups: Sequence[Lookup], table: Table, streams: Mapping[str, int]) -> None:
        names = {(found.stream, found.key) for found in lookups}
        assert len(names) == 1, "one stream and one key"
        self.lookups = tuple(lookups)
        self.table = table
        self._stream = streams[lookups[0].stream]
        self._content: TableContent | None = None

    @property
    def key(self) -> tuple[str, ...]:
        return self.lookups[0].key

    @property
    def expressions(self) -> list[Expression]:
        """What is evaluated of every event."""
        kinds = {field.name: field.type for field in self.table.fields}
        together = zip(self.key, self.table.key, strict=True)
        return [Field(own, type=kinds.get(there)) for own, there in together]

    def load(self, rows: pa.Table) -> None:
        """Look up in these rows from now on.

        Raises DataError, and goes on with what it had, where a column is missing or has another
        type than the table says, or where a key is NULL or stands twice. O(n) for n rows.
        """
        content = TableContent(self.table, rows)
        self._content = content

    def columns(self, fed: Fed) -> list[tuple[str, pa.Array[Any]]]:
        """(name, values) of each lookup: NULL where no row has the key, and for other streams.

        Texts are dictionaries. O(1) per event; per distinct text where keys are dictionaries.
        """
        content = self._content
        if content is None:
            raise DataError(
                f"table {self.table.name!r} has no rows yet: give it some before events"
            )
        columns = [fed.evaluator.evaluate(expression) for expression in self.expressions]
        rows = content.rows_of(columns)
        if fed.batch.stream is not None:
            rows[fed.batch.stream != self._stream] = -1
        places: Any = pa.array(np.maximum(rows, 0), mask=rows < 0)
        return [(found.name, content.take(found.field, places)) for found in self.lookups]


class TableContent:
    """The rows of a table by key. Never changes."""

    def __init__(self, table: Table, rows: pa.Table) -> None:
        kinds = {field.name: field.type for field in table.fields}
        names = dict.fromkeys((*kinds, *table.key))
        self._columns = {name: _checked(table, rows, name, kinds.get(name)) for name in names}
        keys = [column_of(self._columns[name]) for name in table.key]
        for name, column in zip(table.key, keys, strict=True):
            _check_no_null(table, name, column)
        self._parts = [_Part(column) for column in keys]
        self._pairs: list[Codes] = []
        self._row_of = self._place_rows(table, keys, rows.num_rows)

    def _place_rows(self, table: Table, keys: list[Column], size: int) -> Int64s:
        """The row of each code of a key, which must stand once."""
        codes = self._parts[0].codes
        for part in self._parts[1:]:
            pairs = Codes((codes << 32) | part.codes)
            self._pairs.append(pairs)
            codes = pairs.codes
        row_of = np.zeros(size, np.int64)
        row_of[codes[::-1]] = np.arange(size)[::-1]  # of equal keys the first row wins
        twice = np.flatnonzero(row_of[codes] != np.arange(size))
        if len(twice):
            second = int(twice[0])
            raise DataError(_said_twice(table, keys, int(row_of[codes[second]]), second))
        return row_of

    def rows_of(self, columns: Sequence[Column]) -> Int64s:
        """The row of each key, shape (n,); -1 where there is none or a part of it is NULL."""
        codes = self._parts[0].find(columns[0])
        for part, pairs, column in zip(self._parts[1:], self._pairs, columns[1:], strict=True):
            other = part.find(column)
            both = pairs.find((codes << 32) | np.maximum(other, 0))
            codes = np.where((codes >= 0) & (other >= 0), both, -1)
        if len(self._row_of) == 0:
            return np.full(len(codes), -1, np.int64)
        return np.where(codes >= 0, self._row_of[np.maximum(codes, 0)], -1)

    def take(self, name: str, rows: Any) -> pa.Array[Any]:
        """A field of the rows, NULL where the row is."""
        taken: pa.Array[Any] = self._columns[name].take(rows)
        return taken


class Codes:
    """Dense codes of integers, `codes` those of the values given first; no others get one."""

    def __init__(self, values: Int64s) -> None:
        size = max(2, 1 << (2 * len(values)).bit_length())
        self._slots = np.full(size, -1, np.int64)
        self._known = np.empty(max(len(values), 1), np.int64)
        self.codes = np.empty(len(values), np.int64)
        interning.encode(values, 0, self._slots, self._known, 0, self.codes)

    def find(self, values: Int64s) -> Int64s:
        """The codes of these values, -1 where they have none."""
        codes = np.empty(len(values), np.int64)
        lookup.find(np.require(values, np.int64, ["C", "W"]), self._slots, self._known, codes)
        return codes


class _Part:
    """One field of the key: its values' codes, and how to find those of events."""

    def __init__(self, column: Column) -> None:
        self._type = column.type
        self._of_text: dict[str, int] = {}
        self._last: tuple[Any, Int64s] | None = None
        if column.type is DataType.TEXT:
            encoded = _encoded(column.values)
            for text in encoded.dictionary.to_pylist():
                self._of_text.setdefault(text, len(self._of_text))
            self.codes = self._find_texts(encoded)
        else:
            self._integers = Codes(_integers(column))
            self.codes = self._integers.codes

    def find(self, column: Column) -> Int64s:
        """Codes of events' values, -1 for what no row has and for NULL."""
        if column.type is DataType.NULL:
            return np.full(len(column.values), -1, np.int64)
        if self._type is DataType.TEXT:
            return self._find_texts(_encoded(column.values))
        if self._type is DataType.FLOAT and column.type is DataType.INTEGER:
            column = Column(DataType.FLOAT, column.values.astype(np.float64), column.valid)
        codes = self._integers.find(_integers(column))
        return codes if column.valid is None else np.where(column.valid, codes, -1)

    def _find_texts(self, encoded: Any) -> Int64s:
        own = self._codes_of(encoded.dictionary)
        indices: Any = encoded.indices
        if indices.null_count:
            indices = pc.fill_null(indices.cast(pa.int64()), len(own))
            own = np.append(own, -1)
        if len(own) == 0:
            return np.full(len(encoded), -1, np.int64)
        codes: Int64s = own[indices.to_numpy(zero_copy_only=False)]
        return codes

    def _codes_of(self, dictionary: Any) -> Int64s:
        """Codes of a dictionary's texts: the slices of a batch share one, so it is kept."""
        if self._last is not None and self._last[0].equals(dictionary):
            return self._last[1]
        texts = dictionary.to_pylist()
        codes = np.array([self._of_text.get(text, -1) for text in texts], np.int64)
        self._last = dictionary, codes
        return codes


def _encoded(texts: Any) -> Any:
    return texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()


def _integers(column: Column) -> Int64s:
    if column.type is DataType.FLOAT:
        whole: Int64s = (column.values + 0.0).view(np.int64)  # -0.0 is 0.0
        return whole
    return np.array(column.values, np.int64)


# ---------------------------------------------------------------- what is loaded


def _checked(table: Table, rows: pa.Table, name: str, kind: DataType | None) -> Any:
    """A column of the table's type, as one array; texts as a dictionary."""
    if name not in rows.column_names:
        have = ", ".join(rows.column_names) or "none"
        raise DataError(f"table {table.name!r} has no column {name!r}: its columns are {have}")
    data = rows.column(name)
    found = data_type_of(data.type)
    kind = found if kind is None else kind
    widened = found is DataType.INTEGER and kind is DataType.FLOAT
    if found is None or (found not in (kind, DataType.NULL) and not widened):
        wanted = "a type that rules can read" if kind is None else kind
        raise DataError(f"table {table.name!r}: column {name!r} must be {wanted}, not {data.type}")
    column = column_of(data)
    if column.is_dictionary:
        return column.values
    array: Any = to_arrow(column, rows.num_rows, kind)
    if widened:
        return array.cast(pa.float64())
    return array.dictionary_encode() if kind is DataType.TEXT else array


def _check_no_null(table: Table, name: str, column: Column) -> None:
    if column.valid is None:
        return
    row = int(np.flatnonzero(~column.valid)[0])
    message = f"table {table.name!r}: key field {name!r} is NULL in row {row}"
    raise DataError(f"{message}: leave the row out, or give it a key")


def _said_twice(table: Table, keys: list[Column], first: int, second: int) -> str:
    values = ", ".join(
        f"{name} = {_shown(column, second)}" for name, column in zip(table.key, keys, strict=True)
    )
    where = f"stands in rows {first} and {second}"
    return f"table {table.name!r}: key {values} {where}: each key may have one row"


def _shown(column: Column, row: int) -> str:
    value = column.values[row]
    shown = repr(value.as_py() if isinstance(value, pa.Scalar) else value.item())
    return shown if len(shown) <= VALUE_SHOWN else shown[:VALUE_SHOWN] + "..."
