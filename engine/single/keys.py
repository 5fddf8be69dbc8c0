"""The keys of single events, and which patterns hold something for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import DataType
from cep.engine.columns.data import NUMPY_TYPES
from cep.engine.columns.evaluator import Column
from cep.engine.operators.match import MatchOperator
from cep.engine.state.key_space import KeySpace

ROWS = np.zeros(1, np.int64)


class Keys:
    """The keys of the patterns that are partitioned by the same fields, of one shard.

    `operators`: those patterns, by number. `places`: of the key's fields among the values.
    """

    def __init__(
        self, space: KeySpace, operators: Mapping[int, MatchOperator], places: Sequence[int]
    ) -> None:
        self._space = space
        self._operators = operators
        self._places = tuple(places)
        self._one = places[0] if len(places) == 1 else -1
        self._has_grown = False
        self.forget()

    def forget(self) -> None:
        """Others have changed codes or state."""
        self._codes_of = self._space.shards[0].codes
        self._codes: dict[Any, int] = {}
        self._active: dict[int, list[int]] = {}

    def code(self, values: Sequence[Any]) -> int:
        """The code of an event's key; no NULLs in it."""
        if self._codes_of is not self._space.shards[0].codes:
            self.forget()
        key = values[self._one] if self._one >= 0 else tuple(values[at] for at in self._places)
        found = self._codes.get(key)
        return self._new(key, values) if found is None else found

    def _new(self, key: Any, values: Sequence[Any]) -> int:
        codes = self._codes_of
        before = len(codes)
        columns = [
            _column(values[at], kind)
            for at, kind in zip(self._places, self._space.types, strict=True)
        ]
        code = int(codes.encode(columns, ROWS)[0])
        if key == key:  # NaN is equal to nothing: it would be entered again and again
            self._codes[key] = code
        if len(codes) > before:
            self._active[code] = []
            self._has_grown = True
        return code

    def active(self, code: int) -> list[int]:
        """The numbers of the patterns that may hold state for the key; the caller changes it."""
        found = self._active.get(code)
        if found is None:
            found = [n for n, one in self._operators.items() if one.shards[0].runs.has_key(code)]
            self._active[code] = found
        return found

    def forget_idle(self) -> None:
        """Let go of keys without state, where keys have become many."""
        if self._has_grown:
            self._has_grown = False
            self._space.forget_idle_keys(0)


def _column(value: Any, kind: DataType) -> Column:
    if kind is DataType.TEXT:
        return Column(kind, pa.array([value], pa.string()))
    return Column(kind, np.array([value], NUMPY_TYPES[kind]))
