"""Values -> dense integer codes, and back: integers, and keys of one or several fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import DataType
from cep.engine.batch import Int64s
from cep.engine.columns.data import NUMPY_TYPES
from cep.engine.columns.evaluator import Column
from cep.engine.kernels import interning as kernels
from cep.engine.state.snapshot import Snapshot
from cep.engine.state.texts import TextCodes

__all__ = ["IntegerCodes", "KeyCodes", "TextCodes", "saved_keys"]


class IntegerCodes:
    """A code for every distinct 64-bit integer seen."""

    def __init__(self, capacity: int = 1024) -> None:
        self._slots = np.full(2 * capacity, -1, np.int64)
        self._known = np.empty(capacity, np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def bytes_held(self) -> int:
        return self._slots.nbytes + self._known.nbytes

    def encode(self, values: Int64s) -> Int64s:
        codes = np.empty(len(values), np.int64)
        done = 0
        while True:
            done, self._count = kernels.encode(
                values, done, self._slots, self._known, self._count, codes
            )
            if done == len(values):
                return codes
            self._grow()

    def find(self, values: Int64s) -> Int64s:
        """The codes of these values, -1 where one has none."""
        codes = np.empty(len(values), np.int64)
        kernels.find(values, self._slots, self._known, codes)
        return codes

    def values(self, codes: Int64s) -> Int64s:
        return self._known[codes]

    def _grow(self) -> None:
        known = self._known[: self._count].copy()
        self._slots = np.full(2 * len(self._slots), -1, np.int64)
        self._known = np.empty(2 * len(self._known), np.int64)
        scratch = np.empty(len(known), np.int64)
        kernels.encode(known, 0, self._slots, self._known, 0, scratch)


class KeyCodes:
    """A code for every distinct key, a tuple of one or more fields."""

    def __init__(self, types: Sequence[DataType]) -> None:
        self._types = tuple(types)
        self._texts = [TextCodes() if t is DataType.TEXT else None for t in self._types]
        self._parts = [IntegerCodes() for _ in self._types]
        self._pairs = [IntegerCodes() for _ in self._types[1:]]

    def __len__(self) -> int:
        """How many keys have a code; without key fields all events share code 0."""
        return 1 if not self._types else len(([*self._parts[:1], *self._pairs])[-1])

    @property
    def bytes_held(self) -> int:
        """The size of the tables of codes; texts are not in it."""
        return sum(codes.bytes_held for codes in (*self._parts, *self._pairs))

    @property
    def characters(self) -> int:
        """Of the texts of all keys."""
        return sum(texts.characters for texts in self._texts if texts is not None)

    def encode(self, columns: Sequence[Column], rows: Int64s) -> Int64s:
        """Codes of the keys in these rows, shape (len(rows),); no NULLs among them."""
        parts = [self._integers(i, column, rows) for i, column in enumerate(columns)]
        return self._combine(parts, len(rows))

    def _integers(self, part: int, column: Column, rows: Int64s) -> Int64s:
        texts = self._texts[part]
        if texts is not None:
            return texts.encode(column.values, rows)
        values = column.values[rows]
        if column.type is DataType.FLOAT:
            whole: Int64s = (values + 0.0).view(np.int64)  # -0.0 is 0.0
            return whole
        return np.ascontiguousarray(values, np.int64)

    def _combine(self, parts: list[Int64s], count: int) -> Int64s:
        if not parts:
            return np.zeros(count, np.int64)
        codes = self._parts[0].encode(parts[0])
        for i, pairs in enumerate(self._pairs):
            other = self._parts[i + 1].encode(parts[i + 1])
            codes = pairs.encode((codes << 32) | other)
        return codes

    # ------------------------------------------------------------------ back to values

    def columns(self, codes: Int64s) -> list[Column]:
        """The keys of these codes: for each key field a column of its values."""
        return [self._column(part, codes) for part in range(len(self._types))]

    def _column(self, part: int, codes: Int64s) -> Column:
        kind, texts = self._types[part], self._texts[part]
        values = self._values_of_part(codes, part)
        if texts is not None:
            return Column(kind, texts.texts(values))
        if kind is DataType.FLOAT:
            return Column(kind, values.view(np.float64))
        return Column(kind, values.astype(NUMPY_TYPES[kind], copy=False))

    def _values_of_part(self, codes: Int64s, part: int) -> Int64s:
        for i in reversed(range(len(self._pairs))):
            both = self._pairs[i].values(codes)
            if part == i + 1:
                return self._parts[part].values(both & 0xFFFFFFFF)
            codes = both >> 32
        return self._parts[0].values(codes)

    # ------------------------------------------------------------------ fewer keys, other shards

    def keep(self, codes: Int64s) -> KeyCodes:
        """New codes 0.. for these keys, in this order, and for no others."""
        kept = KeyCodes(self._types)
        kept.encode(self.columns(codes), np.arange(len(codes)))
        return kept

    def snapshot(self) -> Snapshot:
        """The keys' values by code: what `saved_keys` reads."""
        columns = self.columns(np.arange(len(self)))
        fields = [
            pa.table({"text": c.values}) if c.type is DataType.TEXT else c.values for c in columns
        ]
        return {"size": len(self), "fields": fields}

    @classmethod
    def restored(
        cls, types: Sequence[DataType], parts: Sequence[tuple[Mapping[str, Any], Int64s]]
    ) -> tuple[KeyCodes, list[Int64s]]:
        """The keys of several snapshots together: of each those with the codes that are named.

        New codes are given in that order. The second result says for each snapshot what has become
        of its codes, -1 where they are not named: what `Parts` pairs with the snapshots of state.
        """
        codes, renamed = cls(types), []
        for snapshot, wanted in parts:
            now = np.full(snapshot["size"], -1, np.int64)
            now[wanted] = codes.encode(saved_keys(types, snapshot), wanted)
            renamed.append(now)
        return codes, renamed


def saved_keys(types: Sequence[DataType], snapshot: Mapping[str, Any]) -> list[Column]:
    """The keys of a `KeyCodes.snapshot`: row c of the columns is the key with code c."""
    return [
        Column(kind, saved.column("text").combine_chunks() if kind is DataType.TEXT else saved)
        for kind, saved in zip(types, snapshot["fields"], strict=True)
    ]
