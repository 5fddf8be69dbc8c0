"""Keys -> key groups: the parts of all keys that go from shard to shard as wholes.

The group of a key follows from its values alone. Neither process nor batch, neither the width of an
integer nor the encoding of a text shows: a checkpoint can be read with any number of shards.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cep.engine.algebra.expression import DataType
from cep.engine.batch import Int64s
from cep.engine.columns.evaluator import Column
from cep.engine.kernels import partition as kernels
from cep.engine.state.hashing import Words, seed, text_words
from cep.engine.state.texts import SeenDictionary, dictionary_parts

KEY_GROUPS = 128
_SHIFT = np.uint64(64 - 7)  # the highest 7 bits
_SEED = seed(b"cep key group", "start")
_TEXT = seed(b"cep key group", "text")

Groups = npt.NDArray[np.uint8]


def key_groups(columns: Sequence[Column], rows: Int64s) -> Groups:
    """The groups, 0 to 127, of the keys in these rows, shape (len(rows),); no NULLs among them.

    `columns`: the key fields, in their order; with none all keys are one. More than 100 million
    integers or dictionary-encoded texts per second on one core; each distinct text is hashed once.
    """
    return KeyGrouping(len(columns)).groups(columns, rows)


def by_shard(rows: Int64s, groups: Groups, shards: int) -> list[Int64s]:
    """The rows of each shard, in their order; `groups`: the key group of each row."""
    ends = np.zeros(shards, np.int64)
    owners = shard_of(np.arange(KEY_GROUPS), shards)
    kernels.count_rows(groups, owners, ends)
    begins = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    found = np.empty(len(rows), np.int64)
    kernels.sort_rows(rows, groups, owners, begins, found)
    return np.split(found, ends[:-1])


def shard_of(groups: Int64s | Groups, shards: int) -> Int64s:
    """Which of the shards owns each key group."""
    return groups.astype(np.int64) * shards // KEY_GROUPS


class KeyGrouping:
    """`key_groups` for batch after batch: the texts of one dictionary are hashed once."""

    def __init__(self, fields: int) -> None:
        self._seen = [SeenDictionary() for _ in range(fields)]
        self._words: list[Words] = [np.empty(0, np.uint64) for _ in range(fields)]

    def groups(self, columns: Sequence[Column], rows: Int64s) -> Groups:
        """As `key_groups`."""
        totals = np.full(len(rows), _SEED, np.uint64)
        for field, column in enumerate(columns):
            kernels.mix_in(totals, self._values(field, column, rows))
        return (totals >> _SHIFT).astype(np.uint8)

    def _values(self, field: int, column: Column, rows: Int64s) -> Words:
        """One word per row."""
        if column.type is DataType.TEXT:
            return self._texts(field, column, rows)
        values = column.values[rows]
        if column.type is DataType.FLOAT:
            values = (values + 0.0).view(np.int64)  # -0.0 is 0.0
        words: Words = values.astype(np.int64, copy=False).view(np.uint64)
        return words

    def _texts(self, field: int, column: Column, rows: Int64s) -> Words:
        dictionary, indices = dictionary_parts(column.values, rows)
        if indices is None:
            return text_words(dictionary, _TEXT)
        if not self._seen[field].is_same(dictionary):
            self._words[field] = text_words(dictionary, _TEXT)
        return self._words[field][indices]
