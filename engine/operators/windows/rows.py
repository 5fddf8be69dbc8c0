"""Fired windows + keys -> the rows of an aggregate: `select` and `having` over whole columns.

What may be read becomes one table: key fields, window_start, window_end, and a column for each
Aggregated node, which expressions then read like any other field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import Aggregated, DataType, Expression, Field, rebuild, walk
from cep.engine.algebra.plan import Aggregate
from cep.engine.batch import Bools, Int64s
from cep.engine.columns.data import Column, Report, to_arrow
from cep.engine.columns.evaluator import ColumnEvaluator
from cep.engine.kernels import windows_layout as layout
from cep.engine.operators.windows.accumulators import Accumulators
from cep.engine.operators.windows.store import FiredPart
from cep.engine.state.interning import TextCodes

KeyColumns = Callable[[int, Int64s], Sequence[Column]]
START, END, UPDATE = "window_start", "window_end", "update"
HAVING = "having"
ROWS_PER_TIME = 64  # on the average; where there are fewer, they are sorted all at once


@dataclass(frozen=True, slots=True, eq=False)
class RowFailure:
    """Rows for which `output` (a column of the select list, or "having") could not be computed.

    Where it is a column, the row came out with NULL there; where it is having, it did not come out.
    `rows` has a row for each: key fields, window_start, window_end.
    """

    reason: str
    output: str
    rows: pa.Table


@dataclass(frozen=True, slots=True, eq=False)
class FiredRows:
    """Fired windows of one shard with the fields of their keys, one column each."""

    part: FiredPart
    keys: Sequence[Column]


@dataclass(frozen=True, slots=True, eq=False)
class WindowRows:
    """Rows of an aggregate, sorted by (time_us, position), ties by window and order of firing.

    `table`: the select list, then window_start, window_end (timestamps; for windows by count int64:
    the first of the key's events, and the one behind the last) and update (int64: 0 for a window's
    first row, 1.. for later ones, -1 for an early one); names of the select list win.
    """

    table: pa.Table
    time_us: Int64s
    position: Int64s
    failures: Sequence[RowFailure] = ()
    update: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.time_us)


class RowMaker:
    """Makes the rows of one aggregate."""

    def __init__(self, aggregate: Aggregate, accumulators: Accumulators, by_count: bool) -> None:
        self._key = aggregate.key
        self._accumulators = accumulators
        self._bounds_type = DataType.INTEGER if by_count else DataType.TIMESTAMP
        self._names: Mapping[Aggregated, str] = {
            node: f" {number}" for number, node in enumerate(accumulators.sources)
        }
        self._outputs = [(output.name, self._renamed(output.value)) for output in aggregate.select]
        self._types = [output.value.type for output in aggregate.select]
        self._having = None if aggregate.having is None else self._renamed(aggregate.having)

    def _renamed(self, expression: Expression) -> Expression:
        """Aggregated nodes as fields of the table that has their values."""
        if isinstance(expression, Aggregated):
            return Field(self._names[expression], type=expression.type)
        return rebuild(expression, self._renamed)

    def rows(self, fired: Sequence[FiredRows], texts: TextCodes) -> WindowRows:
        """Rows for what shards have fired; at least one part."""
        columns, keys = _Columns([one.part for one in fired]), self._keys(fired)
        failed: list[tuple[str, str, Bools]] = []
        table, bad_nodes = self._table(columns, keys, texts)
        evaluator = ColumnEvaluator(table)
        kept = np.ones(len(columns), np.bool_)
        if self._having is not None:
            kept = evaluator.true_rows(self._having)
            failed += self._failed(HAVING, self._having, evaluator, bad_nodes)
        arrays, names = [], []
        for (name, value), kind in zip(self._outputs, self._types, strict=True):
            arrays.append(to_arrow(evaluator.evaluate(value), len(columns), kind))
            names.append(name)
            failed += [
                (reason, output, bad & kept)
                for reason, output, bad in self._failed(name, value, evaluator, bad_nodes)
            ]
        for name, array in self._bounds(columns):
            if name not in names:
                arrays.append(array)
                names.append(name)
        order = columns.order(np.flatnonzero(kept))
        made: Any = pa.table(arrays, names=names)
        context = table.select([*self._key, START, END])
        failures = [
            RowFailure(reason, output, context.filter(pa.array(bad)))
            for reason, output, bad in failed
            if bad.any()
        ]
        position = columns.position[order]
        update = columns.update[order]
        rows = made.take(pa.array(order))
        return WindowRows(rows, columns.time_us[order], position, failures, update)

    def _bounds(self, columns: _Columns) -> list[tuple[str, Any]]:
        count = len(columns)
        start, end = (Column(self._bounds_type, t) for t in (columns.start, columns.end))
        update = Column(DataType.INTEGER, columns.update)
        return [
            (START, to_arrow(start, count)),
            (END, to_arrow(end, count)),
            (UPDATE, to_arrow(update, count)),
        ]

    def _keys(self, fired: Sequence[FiredRows]) -> list[Any]:
        """One array per key field, over all parts."""
        chunked: Any = pa.chunked_array
        return [
            chunked([to_arrow(one.keys[at], len(one.part.time_us)) for one in fired])
            for at in range(len(self._key))
        ]

    def _table(
        self, columns: _Columns, keys: list[Any], texts: TextCodes
    ) -> tuple[pa.Table, dict[str, list[tuple[str, Bools]]]]:
        """Everything that select and having may read; and where nodes have no value, and why."""
        arrays: list[Any] = list(keys)
        bad: dict[str, list[tuple[str, Bools]]] = {}
        for number, (node, name) in enumerate(self._names.items()):
            report = _reporter(bad.setdefault(name, []))
            gathering = self._accumulators.sources[node].gathering
            gathered = columns.gathered(gathering) if gathering >= 0 else []
            column = self._accumulators.column(node, columns.fired, gathered, texts, report)
            assert number == int(name)
            arrays.append(to_arrow(column, len(columns), node.type))
        bounds = [(name, array) for name, array in self._bounds(columns) if name not in self._key]
        names = [*self._key, *self._names.values(), *(name for name, _ in bounds)]
        table: pa.Table = pa.table([*arrays, *(array for _, array in bounds)], names=names)
        return table, bad

    def _failed(
        self,
        output: str,
        expression: Expression,
        evaluator: ColumnEvaluator,
        bad_nodes: Mapping[str, Sequence[tuple[str, Bools]]],
    ) -> list[tuple[str, str, Bools]]:
        """Where an expression, or a node that it reads, has no value: (reason, output, rows)."""
        found = [
            (reason, output, bad)
            for name in _fields_in(expression)
            for reason, bad in bad_nodes.get(name, ())
        ]
        for error in evaluator.errors_of(expression):
            bad = np.zeros(len(evaluator), np.bool_)
            bad[error.rows] = True
            found.append((error.reason, output, bad))
        return found


def _fields_in(expression: Expression) -> list[str]:
    return [node.name for node in walk(expression) if isinstance(node, Field)]


def _reporter(found: list[tuple[str, Bools]]) -> Report:
    def report(reason: str, bad: Bools) -> None:
        found.append((reason, np.array(bad)))

    return report


class _Columns:
    """The parts' rows as one."""

    def __init__(self, parts: Sequence[FiredPart]) -> None:
        self._parts = parts
        rows = np.concatenate([part.fired.rows for part in parts])
        nothing = np.zeros(0, np.int64)
        self.fired = layout.Fired(rows, rows.view(np.float64), nothing, nothing)
        self.start = np.concatenate([part.start for part in parts])
        self.end = np.concatenate([part.end for part in parts])
        self.time_us = np.concatenate([part.time_us for part in parts])
        self.position = np.concatenate([part.position for part in parts])
        self.update = np.concatenate([part.update for part in parts])

    def __len__(self) -> int:
        return len(self.time_us)

    def gathered(self, number: int) -> list[Any]:
        return [value for part in self._parts for value in part.gathered[number]]

    def order(self, rows: Int64s) -> Int64s:
        """These rows sorted; what a key fires at one time comes in the order in which it fired."""
        order = rows[order_of_rows(self.time_us[rows], self.position[rows])]
        time_us, position = self.time_us[order], self.position[order]
        if ((time_us[1:] != time_us[:-1]) | (position[1:] != position[:-1])).all():
            return order
        keys = (self.start, self.end, self.position, self.time_us)
        return rows[np.lexsort([key[rows] for key in keys])]


def order_of_rows(time_us: Int64s, position: Int64s) -> Int64s:
    """By time, then by position, ties as they come.

    Windows that end together come as a sorted run of each shard: where many do, merging the runs is
    several times as fast as sorting rows of all times by position first, as `lexsort` does.
    """
    order = np.argsort(time_us, kind="stable")
    ends = np.flatnonzero(np.diff(time_us[order])) + 1
    if len(ends) * ROWS_PER_TIME > len(order):
        return np.lexsort((position, time_us))
    for same in np.split(order, ends):  # views
        places = position[same]
        if (places[1:] < places[:-1]).any():
            same[:] = same[np.argsort(places, kind="stable")]
    return order
