"""What operators are handed: the batch in hand, its columns and keys; and what they hand back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import DataType, Expression, Field
from cep.engine.algebra.plan import EVENT_TIME
from cep.engine.batch import Bools, EventBatch, Int64s
from cep.engine.columns.evaluator import Column, ColumnEvaluator
from cep.engine.state.interning import TextCodes
from cep.engine.state.key_space import KeySpace, SliceKeys

Words = tuple[Int64s, Bools | None]  # raw values, and which are valid; None: all


@dataclass(frozen=True, slots=True)
class Failure:
    """Rows of the batch for which something could not be evaluated, and where: a variable."""

    reason: str
    variable: str | None
    rows: Int64s


class Fed:
    """What all operators share of the batch in hand.

    `base`: sequence of the batch's first event. Expressions in `shared` are those that several
    operators ask for; what belongs to one alone is let go of by `forget`. `with_time`: expressions
    may read EVENT_TIME. Changes no state of the
    engine but that new texts get codes: the next batch may be prepared while one is worked on.
    """

    def __init__(
        self,
        batch: EventBatch,
        base: int,
        texts: TextCodes,
        shared: frozenset[Expression] = frozenset(),
        spaces: Mapping[tuple[str, ...], KeySpace] | None = None,
        *,
        with_time: bool = False,
    ) -> None:
        self.batch = batch
        self.base = base
        table = batch.table
        if with_time:
            times: Any = pa.array(batch.time_us, pa.timestamp("us"))
            table = table.append_column(EVENT_TIME, times)
        self.evaluator = ColumnEvaluator(table)
        self._texts = texts
        self._shared = shared
        self._words: dict[tuple[Expression, DataType | None], Words] = {}
        self.keys: dict[tuple[str, ...], SliceKeys] = {
            fields: space.on(batch, self.evaluator) for fields, space in (spaces or {}).items()
        }

    @cached_property
    def time_us(self) -> Int64s:
        """The times in an array that kernels need no other version for."""
        return np.require(self.batch.time_us, np.int64, ["C", "W"])

    @property
    def positions(self) -> Int64s:
        """Where each event stands among those of its time."""
        if self.batch.position is not None:
            return self.batch.position
        return np.arange(self.base, self.base + len(self.batch))

    def words(self, expression: Expression) -> Words:
        """An expression's value for every row, as words for the kernel."""
        asked = expression, expression.type
        if asked not in self._words:
            column = self.evaluator.evaluate(expression)
            self._words[asked] = _words_of(column, self._texts), _valid(column)
        return self._words[asked]

    def forget(self) -> None:
        """The operator in hand is done."""
        self.evaluator.forget(self._shared)
        self._words = {
            asked: words
            for asked, words in self._words.items()
            if asked[0] in self._shared or isinstance(asked[0], Field)
        }


def _words_of(column: Column, texts: TextCodes) -> Int64s:
    if column.type is DataType.TEXT:
        return texts.encode(column.values)
    if column.type is DataType.FLOAT:
        words: Int64s = np.ascontiguousarray(column.values, np.float64).view(np.int64)
        return words
    whole: Int64s = column.values.astype(np.int64)
    return whole


def _valid(column: Column) -> Bools | None:
    if column.type is DataType.TEXT and column.values.null_count:
        held: Bools = np.asarray(column.values.is_valid().to_numpy(zero_copy_only=False), np.bool_)
        return held
    return column.valid
