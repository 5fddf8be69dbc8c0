"""The keys of single events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import DataType
from cep.engine.columns.data import NUMPY_TYPES
from cep.engine.columns.evaluator import Column
from cep.engine.state.key_space import KeySpace

ROWS = np.zeros(1, np.int64)


class Keys:
    """The codes of keys of the only shard. `places`: of the key's fields among the values."""

    def __init__(self, space: KeySpace, places: Sequence[int]) -> None:
        self._space = space
        self._places = tuple(places)
        self._one = places[0] if len(places) == 1 else -1
        self._has_grown = False
        self._codes_of = space.shards[0].codes
        self._codes: dict[Any, int] = {}

    def code(self, values: Sequence[Any]) -> int:
        """The code of an event's key; no NULLs in it."""
        if self._codes_of is not self._space.shards[0].codes:  # there are new codes
            self._codes_of = self._space.shards[0].codes
            self._codes.clear()
        key = values[self._one] if self._one >= 0 else tuple(values[at] for at in self._places)
        found = self._codes.get(key)
        return self._ask(key, values) if found is None else found

    def _ask(self, key: Any, values: Sequence[Any]) -> int:
        self._has_grown = True
        columns = [
            _column(values[at], kind)
            for at, kind in zip(self._places, self._space.types, strict=True)
        ]
        code = int(self._codes_of.encode(columns, ROWS)[0])
        if all(values[at] == values[at] for at in self._places):
            self._codes[key] = code  # NaN is equal to nothing: it would be entered again and again
        return code

    def forget_idle(self) -> None:
        """Let go of keys without state, where keys have become many."""
        if self._has_grown:
            self._has_grown = False
            self._space.forget_idle_keys(0)


def _column(value: Any, kind: DataType) -> Column:
    if kind is DataType.TEXT:
        return Column(kind, pa.array([value], pa.string()))
    return Column(kind, np.array([value], NUMPY_TYPES[kind]))
