"""A table of spans of time per key -> in which span an event lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.batch import Int64s
from cep.engine.columns.data import pc
from cep.engine.ingest.conform import plain_type


@dataclass(frozen=True, slots=True)
class KeyIndex:
    """The keys of a table as numbers from 0.

    `values`: the distinct ones of each field of the key. `pairs`: for each field, ascending, which
    (number of the fields before it, value) there are; their place is the number of the fields so
    far. So numbers stay below the number of rows, however many fields there are.
    """

    fields: tuple[str, ...]
    values: tuple[Any, ...]
    pairs: tuple[Int64s, ...]

    @classmethod
    def of(cls, table: pa.Table, fields: Sequence[str], like: pa.Schema) -> KeyIndex:
        """The keys in a table, of the types that the fields have in the schema `like`.

        Raises DataError where they cannot have them.
        """
        values, pairs = [], []
        number = np.zeros(table.num_rows, np.int64)
        for name in fields:
            column = _as_type(table, name, plain_type(like.field(name).type))
            values.append(pc.unique(column).drop_null())
            found = _paired(number, column, values[-1])
            pairs.append(np.unique(found[found >= 0]))
            number = _place(pairs[-1], found)
        return cls(tuple(fields), tuple(values), tuple(pairs))

    def codes(self, table: pa.Table) -> Int64s:
        """(rows,) the number of each row's key; -1 where it is none of these.

        The table has the fields of the key, of any type that can become the one here.
        """
        number = np.zeros(table.num_rows, np.int64)
        for name, values, pairs in zip(self.fields, self.values, self.pairs, strict=True):
            number = _place(pairs, _paired(number, _as_type(table, name, values.type), values))
        return number


def _paired(number: Int64s, column: Any, values: Any) -> Int64s:
    """(rows,) a number and a value as one number; -1 where one of them is not known."""
    found = pc.index_in(column, values, skip_nulls=True).fill_null(-1)
    value = found.to_numpy().astype(np.int64)
    return np.where((value < 0) | (number < 0), -1, number * len(values) + value)


def _place(known: Int64s, numbers: Int64s) -> Int64s:
    """(rows,) where each number stands among those known, which ascend; -1 where it does not."""
    if not len(known):
        return np.full(len(numbers), -1)
    at = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    return np.where(known[at] == numbers, at, -1)


def _as_type(table: pa.Table, name: str, type_: pa.DataType) -> Any:
    column: Any = table.column(name)
    try:
        return column.cast(type_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        message = f"key field {name!r} is {column.type} here and {type_} in the labelled stream"
        raise DataError(f"{message}: {error}") from error


@dataclass(frozen=True, slots=True)
class Spans:
    """s spans of time in order of (key, start), both ends in them; those of a key do not overlap.

    `key`, `start_us`, `end_us`, `case`: shape (s,).
    """

    index: KeyIndex
    key: Int64s
    start_us: Int64s
    end_us: Int64s
    case: Int64s

    @classmethod
    def of(cls, index: KeyIndex, key: Int64s, start: Int64s, end: Int64s, case: Int64s) -> Spans:
        """Raises DataError for a span that ends before it starts, and for two that overlap."""
        if len(backward := np.flatnonzero(end < start)):
            raise DataError(f"labels: the span of row {int(backward[0])} ends before it starts")
        order = np.lexsort((start, key))
        key, start, end, case = key[order], start[order], end[order], case[order]
        is_over = (key[1:] == key[:-1]) & (start[1:] <= end[:-1])
        if is_over.any():
            one, other = sorted(order[np.flatnonzero(is_over)[0] :][:2].tolist())
            message = f"labels: the spans of rows {one} and {other} have the same key and overlap"
            raise DataError(f"{message} (both ends are in a span); make one of them")
        return cls(index, key, start, end, case)

    def cases_at(self, key: Int64s, time_us: Int64s) -> Int64s:
        """(n,) the case of the span in which each (key, time) lies; -1 for none."""
        if not len(self.key):
            return np.full(len(key), -1)
        starts = np.unique(self.start_us)
        first = self._ranked(starts, self.key, self.start_us)
        place = np.searchsorted(first, self._ranked(starts, key, time_us), side="right") - 1
        at = np.maximum(place, 0)
        is_in = (place >= 0) & (self.key[at] == key) & (time_us <= self.end_us[at])
        return np.where(is_in, self.case[at], -1)

    @staticmethod
    def _ranked(starts: Int64s, key: Int64s, time_us: Int64s) -> Int64s:
        """(key, time) as one number: times as ranks, since keys x microseconds overflow."""
        return key * (len(starts) + 1) + np.searchsorted(starts, time_us, side="right")
