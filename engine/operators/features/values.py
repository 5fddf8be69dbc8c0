"""Queues of Python values: for `collect` and for user-defined aggregates.

An aggregate over a queue that events leave is computed anew for every event that asks, since the
functions are allowed to change their accumulators: O(w) for w events in reach. Where none leaves,
the accumulator is kept.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import Aggregated, DataType
from cep.engine.algebra.plan import Over
from cep.engine.batch import Bools, Int64s
from cep.engine.columns.cast import cast
from cep.engine.columns.evaluator import ARROW_TYPES, Column
from cep.engine.kernels.features_layout import ASKS, FEEDS, Bytes
from cep.engine.operators.features.plan import RANGE_US_MAX, UserAggregate
from cep.engine.state.snapshot import Parts, Snapshot

Fault = tuple[int, str, int]  # (aggregate, reason, row)


@dataclass(frozen=True, slots=True)
class Collect:
    """`collect(x)`: the values as the text of a JSON array; they come as JSON already."""

    @staticmethod
    def create() -> list[str]:
        return []

    @staticmethod
    def add(values: list[str], value: str) -> list[str]:
        values.append(value)
        return values

    @staticmethod
    def merge(values: list[str], others: list[str]) -> list[str]:
        return values + others

    @staticmethod
    def result(values: list[str]) -> str:
        return "[" + ", ".join(values) + "]"


def python_values(node: Aggregated, column: Column | None, rows: Bools) -> list[Any]:
    """What the aggregate's function is given in each row where `rows` holds; None for NULL.

    Times and durations are whole microseconds. For `collect`: JSON.
    """
    if column is None:
        return [True] * len(rows)
    if column.type is DataType.NULL:
        return [None] * len(rows)
    if node.function == "collect":
        return _as_json(column, rows)
    return _plain(column, rows)


def _plain(column: Column, rows: Bools) -> list[Any]:
    if column.type is DataType.TEXT:
        texts: list[Any] = column.values.to_pylist()
        return texts
    found: list[Any] = column.values.tolist()
    if column.valid is not None:
        rows = rows & column.valid
    for row in np.flatnonzero(~rows).tolist():
        found[row] = None
    return found


def _as_json(column: Column, rows: Bools) -> list[str | None]:
    if column.type is DataType.TIMESTAMP:
        column = cast(column, DataType.TEXT, lambda reason, bad: None)
    return [None if v is None else _json(v) for v in _plain(column, rows)]


def _json(value: object) -> str:
    """JSON has no number for NaN and the infinities: they are null."""
    if isinstance(value, float) and not math.isfinite(value):
        value = None
    return json.dumps(value, ensure_ascii=False)


@dataclass(slots=True)
class _Queue:
    time_us: deque[int] = field(default_factory=deque)
    values: deque[tuple[Any, ...]] = field(default_factory=deque)
    accumulators: list[Any] | None = None


class ValueQueues:
    """The state of the aggregates that are computed in Python over the keys of one shard."""

    def __init__(
        self,
        aggregates: Sequence[Aggregated],
        functions: Mapping[str, UserAggregate],
        over: Over,
        excluding_current: bool,
    ) -> None:
        self._aggregates = tuple(aggregates)
        builtin: UserAggregate = Collect()
        self._functions = [functions.get(node.function, builtin) for node in aggregates]
        self._range_us = None if over.range_us is None else min(over.range_us, RANGE_US_MAX)
        self._events_max = over.events
        self._asks_first = excluding_current
        self._queues: dict[int, _Queue] = {}
        self._held = 0
        self._worth_cleaning = 1024

    # ------------------------------------------------------------------ running

    def process(
        self,
        time_us: Int64s,
        roles: Bytes,
        given: Sequence[list[Any]],
        rows: Int64s,
        codes: Int64s,
        results: Sequence[list[Any]],
    ) -> list[Fault]:
        """Let these rows happen; writes results[aggregate][row], returns what failed."""
        faults: list[Fault] = []
        for row, code in zip(rows.tolist(), codes.tolist(), strict=True):
            queue = self._queues.setdefault(code, _Queue())
            now_us, role = int(time_us[row]), int(roles[row])
            self._expire(queue, now_us)
            if role & ASKS and self._asks_first:
                self._answer(queue, row, results, faults)
            if role & FEEDS:
                self._push(queue, now_us, tuple(values[row] for values in given))
            if role & ASKS and not self._asks_first:
                self._answer(queue, row, results, faults)
        return faults

    def advance_to(self, time_us: int) -> None:
        """No event with time <= time_us follows: now and then, let go of what none could see."""
        if self._held <= self._worth_cleaning and len(self._queues) <= self._worth_cleaning:
            return
        active = set(self.active_keys(time_us).tolist())
        self._queues = {code: q for code, q in self._queues.items() if code in active}
        self._held = sum(len(queue.time_us) for queue in self._queues.values())
        self._worth_cleaning = max(2 * self._held, 1024)

    def _expire(self, queue: _Queue, now_us: int) -> None:
        if self._range_us is None:
            return
        while queue.time_us and queue.time_us[0] <= now_us - self._range_us:
            self._drop_oldest(queue)

    def _drop_oldest(self, queue: _Queue) -> None:
        queue.time_us.popleft()
        queue.values.popleft()
        self._held -= 1

    def _push(self, queue: _Queue, now_us: int, values: tuple[Any, ...]) -> None:
        if self._events_max is not None and len(queue.time_us) >= self._events_max:
            self._drop_oldest(queue)
        queue.time_us.append(now_us)
        queue.values.append(values)
        self._held += 1
        queue.accumulators = None if queue.accumulators is None else self._added(queue, values)

    @property
    def _keeps_accumulators(self) -> bool:
        return self._range_us is None and self._events_max is None

    def _added(self, queue: _Queue, values: tuple[Any, ...]) -> list[Any] | None:
        """The accumulators with one event more; None where that fails, which is met again."""
        assert queue.accumulators is not None
        together = zip(self._functions, queue.accumulators, values, strict=True)
        try:
            return [a if v is None else f.add(a, v) for f, a, v in together]
        except Exception:  # a user's function may raise anything
            return None

    def _answer(
        self, queue: _Queue, row: int, results: Sequence[list[Any]], faults: list[Fault]
    ) -> None:
        kept: list[Any] = []
        for number, function in enumerate(self._functions):
            try:
                accumulator = self._accumulator(queue, number, function)
                kept.append(accumulator)
                results[number][row] = function.result(accumulator)
            except Exception as error:  # a user's function may raise anything
                name = self._aggregates[number].function
                faults.append((number, f"{name}: {type(error).__name__}: {error}", row))
        if self._keeps_accumulators and len(kept) == len(self._functions):
            queue.accumulators = kept

    def _accumulator(self, queue: _Queue, number: int, function: UserAggregate) -> Any:
        if queue.accumulators is not None:
            return queue.accumulators[number]
        if isinstance(function, Collect):
            return [values[number] for values in queue.values if values[number] is not None]
        accumulator = function.create()
        for values in queue.values:
            if values[number] is not None:
                accumulator = function.add(accumulator, values[number])
        return accumulator

    # ------------------------------------------------------------------ keys

    @property
    def events_held(self) -> int:
        return self._held

    def active_keys(self, time_us: int | None = None) -> Int64s:
        """Codes of keys with events that one later than time_us (None: any) could see."""
        queues = sorted(self._queues.items())
        return np.array([code for code, q in queues if self._is_active(q, time_us)], np.int64)

    def _is_active(self, queue: _Queue, time_us: int | None) -> bool:
        if not queue.time_us:
            return False
        if time_us is None or self._range_us is None:
            return True
        return queue.time_us[-1] > time_us - self._range_us

    def keep_keys(self, codes: Int64s) -> None:
        """Key i is from now on what was key codes[i] (sorted); the others hold nothing needed."""
        found = ((i, self._queues.get(code)) for i, code in enumerate(codes.tolist()))
        self._queues = {i: queue for i, queue in found if queue is not None}
        self._held = sum(len(queue.time_us) for queue in self._queues.values())

    # ------------------------------------------------------------------ snapshots

    def snapshot(self) -> Snapshot:
        """Keys and their events, oldest first; accumulators are made again from the events."""
        codes = self.active_keys()
        queues = [self._queues[code] for code in codes.tolist()]
        entries = [values for queue in queues for values in queue.values]
        columns = {
            f"value_{number}": pa.array([values[number] for values in entries], type=kind)
            for number, kind in enumerate(self._stored_types())
        }
        return {
            "codes": codes,
            "ends": np.cumsum([len(queue.time_us) for queue in queues], dtype=np.int64),
            "time_us": np.array([t for queue in queues for t in queue.time_us], np.int64),
            "values": pa.table(columns),
        }

    def restore(self, parts: Parts) -> None:
        for snapshot, now in parts:
            columns = [column.to_pylist() for column in snapshot["values"].columns]
            entries = list(zip(*columns, strict=True))
            begin = 0
            for code, end in zip(now[snapshot["codes"]].tolist(), snapshot["ends"], strict=True):
                if code >= 0:
                    times = snapshot["time_us"][begin:end].tolist()
                    self._queues[code] = _Queue(deque(times), deque(entries[begin:end]))
                    self._held += len(times)
                begin = end

    def _stored_types(self) -> list[Any]:
        return [_stored_type(node) for node in self._aggregates]


def _stored_type(node: Aggregated) -> Any:
    if node.argument is None:
        return pa.bool_()
    kind = node.argument.type or DataType.NULL
    if node.function == "collect":
        return pa.string()
    if kind in (DataType.TIMESTAMP, DataType.DURATION):
        return pa.int64()
    return ARROW_TYPES[kind]


def results_array(
    node: Aggregated, values: list[Any]
) -> tuple[pa.Array[Any], list[tuple[str, int]]]:
    """The results of an aggregate; those not of its type are NULL, and come as (reason, row)."""
    kind = ARROW_TYPES[node.type or DataType.NULL]
    try:
        whole: pa.Array[Any] = pa.array(values, type=kind)
        return whole, []
    except WRONG_TYPE:
        faults = []
        for row, value in enumerate(values):
            if not _fits(value, kind):
                reason = f"{node.function}: its result is {type(value).__name__}, not {node.type}"
                faults.append((reason, row))
        wrong = {row for _, row in faults}
        good: pa.Array[Any] = pa.array(
            [None if row in wrong else value for row, value in enumerate(values)], type=kind
        )
        return good, faults


WRONG_TYPE = (pa.ArrowException, TypeError, ValueError, OverflowError)


def _fits(value: object, kind: Any) -> bool:
    try:
        pa.array([value], type=kind)
    except WRONG_TYPE:
        return False
    return True
