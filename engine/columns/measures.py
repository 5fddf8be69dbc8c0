"""Matches + a select list -> one Arrow column per output, without a loop over the matches.

    offsets   0        3     5           match 0 took entries 0..2, match 1 entries 3..4
    variable  a  a  b  a  b
    row       4  7  9  5  6              sum(a.x) = [x[4] + x[7], x[5]]

A `Captured` node becomes: evaluate its argument once over the captured events, pick the entries of
its variable, reduce each match's segment of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import Captured, DataType, Expression, Field, children
from cep.engine.algebra.pattern import Output
from cep.engine.batch import Bools, Int64s
from cep.engine.columns.arithmetic import INT64_MAX, INT64_MIN, OVERFLOW, as_duration
from cep.engine.columns.data import Array, Column, Report, broadcast, pc, without
from cep.engine.columns.evaluator import ColumnEvaluator, EvaluationError, to_arrow
from cep.engine.results import MatchBatch


def evaluate_outputs(
    batch: MatchBatch, outputs: tuple[Output, ...]
) -> tuple[list[pa.Array[Any]], list[EvaluationError]]:
    """The columns of a bound select list, one value per match, and what went wrong in them.

    A bare field is that of the match's last event. NULL where a variable took nothing (count: 0),
    and where an error happened; the errors' rows are numbers of matches.
    """
    captures = _Captures(batch)
    evaluator = ColumnEvaluator(_last_events(batch, outputs), captures.column)
    arrays = [
        to_arrow(evaluator.evaluate(output.value), len(batch), output.value.type)
        for output in outputs
    ]
    return arrays, evaluator.errors


def evaluate_at(
    before: MatchBatch, events: pa.Table, expression: Expression
) -> pa.Array[Any] | pa.ChunkedArray[Any]:
    """A bound condition (or a part of one) on events, one value for each.

    Row i of `events` is the event under test, match i of `before` what had been taken before it:
    perhaps nothing. NULL where an error happens.
    """
    evaluator = ColumnEvaluator(events, _Captures(before).column)
    return to_arrow(evaluator.evaluate(expression), len(before), expression.type)


def _last_events(batch: MatchBatch, outputs: Iterable[Output]) -> pa.Table:
    """The fields read of each match's last event, one row per match."""
    names = {name for output in outputs for name in _fields_of_last(output.value)}
    last: Any = pa.array(batch.row[batch.offsets[1:] - 1])
    columns: dict[str, Any] = {name: batch.events.column(name).take(last) for name in names}
    return pa.table(columns or {"": pa.nulls(len(batch))})


def _fields_of_last(expression: Expression) -> set[str]:
    if isinstance(expression, Field):
        return {expression.name}
    if isinstance(expression, Captured):
        return set()
    return {name for child in children(expression) for name in _fields_of_last(child)}


@dataclass(frozen=True, slots=True, eq=False)
class _Entries:
    """The events that one variable took: match i's are `row[offsets[i]:offsets[i + 1]]`."""

    offsets: Int64s
    row: Int64s

    @property
    def counts(self) -> Int64s:
        return np.diff(self.offsets)


class _Captures:
    """Columns over matches for `Captured` nodes of one batch."""

    def __init__(self, batch: MatchBatch) -> None:
        self._batch = batch
        self._events = ColumnEvaluator(batch.events)
        self._entries: dict[str | None, _Entries] = {}

    def column(self, node: Captured, report: Report) -> Column:
        """The node's value for every match."""
        if node.variable not in self._entries:
            self._entries[node.variable] = self._entries_of(node.variable)
        entries = self._entries[node.variable]
        if node.argument is None:
            return Column(DataType.INTEGER, entries.counts)
        values = self._events.evaluate(node.argument)
        if node.function in ("first", "last"):
            entries = _ends(entries, node.function)
        self._report_errors(node.argument, entries, report)
        if node.function in ("first", "last"):
            return _one_each(values, entries)
        return _reduce(node.function, *_present(values, entries), report)

    def _entries_of(self, variable: str | None) -> _Entries:
        batch = self._batch
        start, stop = int(batch.offsets[0]), int(batch.offsets[-1])
        row, offsets = batch.row[start:stop], batch.offsets - start
        if variable is None:
            return _Entries(offsets, row)
        if variable not in batch.variables:
            return _Entries(np.zeros_like(offsets), row[:0])
        taken = batch.variable[start:stop] == batch.variables.index(variable)
        return _kept(_Entries(offsets, row), taken)

    def _report_errors(self, argument: Expression, entries: _Entries, report: Report) -> None:
        """An error over an event is one of every match that would have used the value."""
        for error in self._events.errors_of(argument):
            failed = np.zeros(self._batch.events.num_rows, np.bool_)
            failed[error.rows] = True
            report(error.reason, _kept(entries, failed[entries.row]).counts > 0)


def _kept(entries: _Entries, mask: Bools) -> _Entries:
    before = np.concatenate(([0], np.cumsum(mask)))
    return _Entries(before[entries.offsets], entries.row[mask])


def _ends(entries: _Entries, function: str) -> _Entries:
    """Only the first or last entry of each match that has any."""
    some = entries.counts > 0
    ends = entries.offsets[:-1] if function == "first" else entries.offsets[1:] - 1
    return _Entries(np.concatenate(([0], np.cumsum(some))), entries.row[ends[some]])


def _one_each(values: Column, entries: _Entries) -> Column:
    """At most one entry per match -> its value, NULL where there is none."""
    some = entries.counts > 0
    if values.type is DataType.NULL:
        return values
    if values.type is DataType.TEXT:
        place = np.where(some, entries.offsets[:-1], -1)
        places = pa.array(place, mask=~some)
        texts = values.values.take(pa.array(entries.row)).take(places)
        return Column(DataType.TEXT, texts, _validity_of(texts))
    found = np.zeros(len(some), values.values.dtype)
    found[some] = values.values[entries.row]
    valid = some.copy()
    if values.valid is not None:
        valid[some] = values.valid[entries.row]
    return Column(values.type, found, valid)


def _validity_of(texts: Any) -> Bools | None:
    if not texts.null_count:
        return None
    valid: Bools = pc.is_valid(texts).to_numpy(zero_copy_only=False)
    return valid


# ---------------------------------------------------------------- reducing segments


def _present(values: Column, entries: _Entries) -> tuple[Column, _Entries]:
    """Aggregates pass over NULLs: the entries that are left, and the values (none NULL)."""
    if values.valid is None or values.type is DataType.NULL:
        return values, entries
    return values, _kept(entries, values.valid[entries.row])


def _reduce(function: str, values: Column, entries: _Entries, report: Report) -> Column:
    counts = entries.counts
    if function == "count":
        nothing = values.type is DataType.NULL
        return Column(DataType.INTEGER, np.zeros_like(counts) if nothing else counts)
    if values.type is DataType.NULL:
        return values
    if values.type is DataType.TEXT:
        return _extreme_text(function, values, entries)
    taken = values.values[entries.row]
    if function in ("min", "max"):
        found = _segments(_EXTREMES[function], taken, entries)
        return Column(values.type, found, counts > 0)
    if function == "stddev":
        return Column(DataType.FLOAT, _deviation(taken, entries), counts > 1)
    return _sum_or_mean(function, values.type, taken, entries, report)


_EXTREMES: dict[str, Any] = {"min": np.fmin, "max": np.fmax}


def _segments(ufunc: Any, taken: Array, entries: _Entries) -> Array:
    """The ufunc reduced over each match's values; 0 where there are none."""
    some = entries.counts > 0
    found = np.zeros(len(some), taken.dtype)
    if some.any():
        # Empty segments must be left out: reduceat would give them their neighbour's value.
        found[some] = ufunc.reduceat(taken, entries.offsets[:-1][some])
    return found


def _sum_or_mean(
    function: str, kind: DataType, taken: Array, entries: _Entries, report: Report
) -> Column:
    counts = entries.counts
    some = counts > 0
    if kind is DataType.FLOAT:
        total, real, overflowed = _segments(np.add, taken, entries), None, None
        real = total
    else:
        total, real, overflowed = _exact_sum(taken, entries)
    if function == "sum":
        valid = some if overflowed is None else without(some, overflowed, OVERFLOW, report)
        return Column(kind, total, valid)
    mean = np.divide(real, np.maximum(counts, 1))
    if kind is DataType.DURATION:
        return as_duration(mean, some, report)
    return Column(DataType.FLOAT, mean, some)


def _exact_sum(taken: Array, entries: _Entries) -> tuple[Array, Array, Bools | None]:
    """Sums of int64: modulo 2**64, as floats, and where they do not fit (None: all do)."""
    total = _segments(np.add, taken, entries)
    largest = max(-int(taken.min()), int(taken.max())) if taken.size else 0
    if largest * int(entries.counts.max(initial=0)) <= INT64_MAX:
        return total, total.astype(np.float64), None
    # Two halves of 32 bits cannot overflow (below 2**31 entries); then carry.
    high = _segments(np.add, taken >> 32, entries)
    low = _segments(np.add, taken & 0xFFFFFFFF, entries)
    high, low = high + (low >> 32), low & 0xFFFFFFFF
    overflowed = (high < INT64_MIN >> 32) | (high > INT64_MAX >> 32)
    real = np.where(overflowed, high * 2.0**32 + low, total.astype(np.float64))
    return total, real, overflowed


def _deviation(taken: Array, entries: _Entries) -> Array:
    """Sample standard deviation, in two passes; meaningless below two values."""
    counts = entries.counts
    numbers = taken.astype(np.float64)
    mean = _segments(np.add, numbers, entries) / np.maximum(counts, 1)
    squares = _segments(np.add, (numbers - np.repeat(mean, counts)) ** 2, entries)
    deviation: Array = np.sqrt(squares / np.maximum(counts - 1, 1))
    return deviation


def _extreme_text(function: str, values: Column, entries: _Entries) -> Column:
    """Min and max of texts, by the rank of each distinct text."""
    texts = broadcast(values, 0).values.take(pa.array(entries.row)).cast(pa.string())
    encoded = texts.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    rank = np.empty(len(order), np.int64)
    rank[order.to_numpy()] = np.arange(len(order))
    taken = rank[encoded.indices.to_numpy()]
    some = entries.counts > 0
    best = pa.array(_segments(_EXTREMES[function], taken, entries), mask=~some)
    found = encoded.dictionary.take(order).take(best)
    return Column(DataType.TEXT, found, _validity_of(found))
