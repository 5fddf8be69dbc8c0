"""The fields that tell the sources of a stream apart -> a dense number for each source."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.batch import Int64s
from cep.engine.columns.data import pc

Source = tuple[Any, ...]

NAN = math.nan  # one object, so that a dictionary finds it again
ROWS_FEW = 16
SOURCES_MAX = 100_000
TABLE_PER_ROW = 4  # combinations per row up to which a table of them is cheaper than sorting


class SourceCodes:
    """A number for every distinct tuple of values of `fields`, in order of appearance.

    NULL is a value like any other: events that do not say where they come from share a source. The
    sources are few (hosts, partitions of a queue) and never forgotten: a field with a value of its
    own for every event is a key and not a source. So there may be no more than `SOURCES_MAX`.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self._fields = tuple(fields)
        self._codes: dict[Source, int] = {}

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def names(self) -> list[Source]:
        """The values that each source has in the fields, by number."""
        return list(self._codes)

    def encode(self, table: pa.Table) -> Int64s:
        """The source of every row, shape (n,). O(n) for few sources.

        Raises DataError where there would be more than `SOURCES_MAX`: nothing has changed then.
        """
        known = len(self._codes)
        codes = self._encode_few(table) if table.num_rows <= ROWS_FEW else self._encode(table)
        if len(self._codes) > max(SOURCES_MAX, known):
            while len(self._codes) > known:
                self._codes.popitem()
            fields = ", ".join(self._fields)
            message = f"more than {SOURCES_MAX:,} sources tell themselves apart by {fields!r}"
            raise DataError(f"{message}: a field with ever new values is a key, not a source")
        return codes

    def _encode(self, table: pa.Table) -> Int64s:
        parts = [_distinct(table.column(field)) for field in self._fields]
        combined = np.zeros(table.num_rows, np.int64)
        combinations = 1
        for indices, values in parts:
            combined, combinations = _made_dense(combined, combinations)
            combined = combined * len(values) + indices
            combinations *= len(values)
        found, index = _found(combined, combinations)
        first = np.full(len(found), table.num_rows, np.int64)
        np.minimum.at(first, index, np.arange(table.num_rows))
        codes = np.empty(len(found), np.int64)
        for place in np.argsort(first):
            row = first[place]
            name = tuple(values[int(indices[row])] for indices, values in parts)
            codes[place] = self._codes.setdefault(name, len(self._codes))
        return codes[index]

    def _encode_few(self, table: pa.Table) -> Int64s:
        """Row by row, which is quicker than a dozen Arrow calls."""
        columns = [map(_same, table.column(field).to_pylist()) for field in self._fields]
        names = zip(*columns, strict=True)
        return np.array([self._codes.setdefault(n, len(self._codes)) for n in names], np.int64)

    def to_table(self, schema: pa.Schema) -> pa.Table:
        """A row per source, for a snapshot."""
        columns = [
            pa.array([name[i] for name in self._codes], _plain(schema.field(field).type))
            for i, field in enumerate(self._fields)
        ]
        return pa.table(columns, names=list(self._fields))

    def restore(self, table: pa.Table) -> None:
        """Become what `to_table` was made of."""
        columns = [table.column(field).to_pylist() for field in self._fields]
        names = zip(*columns, strict=True)
        self._codes = {tuple(map(_same, name)): i for i, name in enumerate(names)}


def _distinct(column: Any) -> tuple[Int64s, list[Any]]:
    """(where each row's value stands, the values)."""
    array = column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column
    array = array.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if not pa.types.is_dictionary(array.type):
        array = pc.dictionary_encode(array, null_encoding="encode")
    values = [_same(value) for value in array.dictionary.to_pylist()]
    indices = array.indices.cast(pa.int64())
    if indices.null_count:
        indices = pc.fill_null(indices, len(values))
        values.append(None)
    return indices.to_numpy(zero_copy_only=False), values


def _same(value: Any) -> Any:
    return NAN if isinstance(value, float) and math.isnan(value) else value


def _made_dense(combined: Int64s, combinations: int) -> tuple[Int64s, int]:
    """The combinations renumbered, where there might soon be too many to count."""
    if combinations < 1 << 20:
        return combined, combinations
    found, index = _found(combined, combinations)
    return index, max(len(found), 1)


def _found(combined: Int64s, combinations: int) -> tuple[Int64s, Int64s]:
    """(the combinations that occur, where among them each row's stands)."""
    if combinations > TABLE_PER_ROW * len(combined):
        found, index = np.unique(combined, return_inverse=True)
        return found, index
    occurs = np.zeros(combinations, np.bool_)
    occurs[combined] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[combined]


def _plain(type_: Any) -> Any:
    return type_.value_type if pa.types.is_dictionary(type_) else type_
