"""Values -> dense integer codes, and back: texts, and keys of one or several fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cep.engine.batch import Int64s
from cep.engine.columns import Column
from cep.engine.expression import DataType
from cep.engine.kernels import interning as kernels


class TextCodes:
    """A code for every distinct text seen; codes are never taken back."""

    def __init__(self) -> None:
        self._code: dict[str, int] = {}
        self._texts: list[str] = []
        self._rank: Int64s = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._texts)

    def code(self, text: str) -> int:
        found = self._code.setdefault(text, len(self._texts))
        if found == len(self._texts):
            self._texts.append(text)
        return found

    def text(self, code: int) -> str:
        return self._texts[code]

    def encode(self, values: Any) -> Int64s:
        """Codes of a string or dictionary array, shape (n,); 0 where it is NULL."""
        if not pa.types.is_dictionary(values.type):
            values = values.dictionary_encode()
        own = np.array([self.code(t or "") for t in values.dictionary.to_pylist()], np.int64)
        indices = values.indices
        if indices.null_count:
            indices = pc.fill_null(indices, 0)
        if len(own) == 0:
            return np.zeros(len(values), np.int64)
        codes: Int64s = own[indices.to_numpy(zero_copy_only=False)]
        return codes

    def rank(self) -> Int64s:
        """Place of each code in the order of texts by code point; O(n log n) after new texts."""
        if len(self._rank) != len(self._texts):
            order = np.array(sorted(range(len(self._texts)), key=self._texts.__getitem__), np.int64)
            self._rank = np.empty(len(order), np.int64)
            self._rank[order] = np.arange(len(order))
        return self._rank


class IntegerCodes:
    """A code for every distinct 64-bit integer seen."""

    def __init__(self, capacity: int = 1024) -> None:
        self._slots = np.full(2 * capacity, -1, np.int64)
        self._known = np.empty(capacity, np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

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

    def values(self, codes: Int64s) -> Int64s:
        return self._known[codes]

    def _grow(self) -> None:
        known = self._known[: self._count].copy()
        self._slots = np.full(2 * len(self._slots), -1, np.int64)
        self._known = np.empty(2 * len(self._known), np.int64)
        scratch = np.empty(len(known), np.int64)
        kernels.encode(known, 0, self._slots, self._known, 0, scratch)


KeyPart = Int64s | list[str]


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

    def encode(self, columns: Sequence[Column], rows: Int64s) -> Int64s:
        """Codes of the keys in these rows, shape (len(rows),); no NULLs among them."""
        parts = [self._integers(i, column, rows) for i, column in enumerate(columns)]
        return self._combine(parts, len(rows))

    def _integers(self, part: int, column: Column, rows: Int64s) -> Int64s:
        texts = self._texts[part]
        if texts is not None:
            return texts.encode(column.values.take(pa.array(rows)))
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

    def keep(self, codes: Int64s) -> KeyCodes:
        """New codes 0.. for these keys, in this order, and for no others."""
        kept = KeyCodes(self._types)
        parts = []
        for i, texts in enumerate(self._texts):
            values = self._values_of_part(codes, i)
            if texts is not None:
                renamed = kept._texts[i]
                assert renamed is not None
                values = np.array([renamed.code(texts.text(v)) for v in values], np.int64)
            parts.append(values)
        kept._combine(parts, len(codes))
        return kept

    def _values_of_part(self, codes: Int64s, part: int) -> Int64s:
        for i in reversed(range(len(self._pairs))):
            both = self._pairs[i].values(codes)
            if part == i + 1:
                return self._parts[part].values(both & 0xFFFFFFFF)
            codes = both >> 32
        return self._parts[0].values(codes)


Bools = npt.NDArray[np.bool_]
