"""Feeding a window operator, and the reference, with the same events; what the tests compare."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import Aggregated, DataType, Expression, Field, Literal
from cep.engine.algebra.pattern import Output
from cep.engine.algebra.plan import Aggregate, Window
from cep.engine.batch import EventBatch, Int64s
from cep.engine.columns.evaluator import Column
from cep.engine.operators.fed import Fed
from cep.engine.operators.windows.operator import WindowOperator
from cep.engine.operators.windows.rows import WindowRows
from cep.engine.state.interning import TextCodes
from tests.reference.windows import Arrival, Row, present

END_OF_TIME = 2**63 - 1
BEGIN = -(2**63)
I = Field("i", type=DataType.INTEGER)  # noqa: E741
F = Field("f", type=DataType.FLOAT)
T = Field("t", type=DataType.TEXT)
GAP = Field("gap", type=DataType.DURATION)
FIELDS: Any = [
    ("i", pa.int64()),
    ("f", pa.float64()),
    ("t", pa.string()),
    ("gap", pa.duration("us")),
]
SCHEMA = pa.schema(FIELDS)


@dataclass(frozen=True)
class Longest:
    """A user-defined function: the longest text, of several the first."""

    name: str = "longest"
    type: DataType = DataType.TEXT
    argument: DataType | None = DataType.TEXT

    @staticmethod
    def create() -> list[str]:
        return []

    @staticmethod
    def add(state: list[str], value: str) -> list[str]:
        state.append(value)
        return state

    @staticmethod
    def merge(state: list[str], other: list[str]) -> list[str]:
        return state + other

    @staticmethod
    def result(state: list[str]) -> str | None:
        return max(sorted(state), key=len, default=None)


FUNCTIONS = {"longest": Longest()}


def quantile(argument: Expression, fraction: float, name: str = "quantile") -> Aggregated:
    return Aggregated(name, argument, (Literal(fraction),), type=DataType.FLOAT)


def node(function: str, argument: Expression, kind: DataType | None = None) -> Aggregated:
    return Aggregated(function, argument, type=kind or argument.type)


INTEGER, FLOAT, TEXT = DataType.INTEGER, DataType.FLOAT, DataType.TEXT
IN_LANES: dict[str, Expression] = {
    "events": Aggregated("count", None, type=INTEGER),
    "count_i": node("count", I, INTEGER),
    "sum_i": node("sum", I),
    "sum_f": node("sum", F),
    "avg_i": node("avg", I, FLOAT),
    "avg_f": node("avg", F, FLOAT),
    "min_i": node("min", I),
    "max_f": node("max", F),
    "min_t": node("min", T),
    "max_t": node("max", T),
    "first_i": node("first", I),
    "last_t": node("last", T),
    "stddev_f": node("stddev", F, FLOAT),
}
GATHERED: dict[str, Expression] = {
    "distinct_i": node("count_distinct", I, INTEGER),
    "distinct_t": node("count_distinct", T, INTEGER),
    "distinct_f": node("approx_count_distinct", F, INTEGER),
    "median_f": node("median", F, FLOAT),
    "quantile_i": quantile(I, 0.3),
    "quantile_f": quantile(F, 0.9, "approx_quantile"),
    "collect_t": node("collect", T, TEXT),
    "longest_t": node("longest", T),
}


def expected_value(name: str, row: Row) -> Any:
    """What a node of IN_LANES or GATHERED is over the events of a row."""
    if name == "events":
        return len(row.events)
    function, _, field = name.partition("_")
    values = present(row, field)
    match function:
        case "count":
            return len(values)
        case "distinct":
            return len(set(values))
        case "collect":
            return json.dumps(values, ensure_ascii=False)
        case "longest":
            return Longest.result(values)
        case "first":
            return row.events[0].values[field]
        case "last":
            return row.events[-1].values[field]
        case "stddev":
            return statistics.stdev(values) if len(values) > 1 else None
    if not values:
        return None
    fractions = {"median": 0.5, "quantile_i": 0.3, "quantile_f": 0.9}
    if function in ("median", "quantile"):
        return between(sorted(values), fractions[name if function == "quantile" else function])
    plain: dict[str, Any] = {"sum": math.fsum, "min": min, "max": max, "avg": statistics.fmean}
    return plain[function](values)


def between(ordered: Sequence[float], fraction: float) -> float:
    """The quantile by linear interpolation."""
    place = fraction * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def aggregate(
    window: Window,
    outputs: dict[str, Expression],
    *,
    lateness_us: int = 0,
    discarding: bool = False,
    early_us: int | None = None,
    having: Expression | None = None,
    where: Expression | None = None,
) -> Aggregate:
    select = tuple(Output(name, value) for name, value in outputs.items())
    key = Output("key", Field("key", type=INTEGER))
    return Aggregate(
        "windows",
        "events",
        (key, *select),
        ("key",),
        window,
        where,
        having,
        lateness_us,
        discarding,
        early_us,
    )


def fed_in_order(arrivals: Sequence[Arrival], delay_us: int | None) -> list[Arrival]:
    """As a reorder buffer hands them on: held until the watermark reaches them, or late.

    The watermark is the highest time seen - `delay_us` - 1. None: nothing is held, it is the
    highest time seen - 1.
    """
    held: list[Arrival] = []
    out: list[Arrival] = []
    watermark = BEGIN
    for arrival in arrivals:
        if arrival.time_us <= watermark:
            out.append(replace(arrival, late=True, watermark_us=watermark))
            continue
        reached = max(watermark, arrival.time_us - (delay_us or 0) - 1)
        held.append(arrival)
        due = [a for a in held if delay_us is None or a.time_us <= reached]
        held = [a for a in held if a not in due]
        due.sort(key=lambda a: a.time_us)
        out += [replace(a, late=False, watermark_us=watermark) for a in due]
        watermark = reached
    held.sort(key=lambda a: a.time_us)
    out += [replace(a, late=False, watermark_us=watermark) for a in held]
    return [replace(a, sequence=number) for number, a in enumerate(out)]


def table_of(arrivals: Sequence[Arrival]) -> pa.Table:
    rows = [{**a.values, "gap": a.gap_us} for a in arrivals]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


class Feeder:
    """Feeds an operator slice by slice. A key's shard is key % shards, its code key // shards."""

    def __init__(self, plan: Aggregate, shards: int = 1, capacity: int = 1, **more: Any) -> None:
        self._plan, self._capacity, self._more = plan, capacity, more
        self._texts = TextCodes()
        self._shards = shards
        self.operator = self._make()
        self._key_of = [np.arange(100) * shards + shard for shard in range(shards)]
        self.rows: list[tuple[Any, ...]] = []
        self.late: list[int] = []

    def _make(self) -> WindowOperator:
        plan, texts = self._plan, self._texts
        return WindowOperator(
            plan, None, texts, FUNCTIONS, self._shards, self._capacity, **self._more
        )

    def run(
        self, arrivals: Sequence[Arrival], cuts: Sequence[int] = (), restores: Sequence[int] = ()
    ) -> Feeder:
        """Slices begin at `cuts`; before those in `restores` all is saved and read again."""
        bounds = sorted({0, *(c for c in cuts if c < len(arrivals)), len(arrivals)})
        for begin, end in pairwise(bounds):
            if begin in restores:
                self.stop_and_restore()
            self.feed(arrivals[begin:end])
            reached = arrivals[end].watermark_us if end < len(arrivals) else END_OF_TIME
            self.advance_to(reached)
        return self

    def feed(self, arrivals: Sequence[Arrival]) -> None:
        times = np.array([a.time_us for a in arrivals], np.int64)
        batch = EventBatch(table_of(arrivals), times)
        prepared = self.operator.prepare(Fed(batch, arrivals[0].sequence, self._texts))
        counted = set(prepared.rows.tolist())
        begin = 0
        while begin < len(arrivals):
            end = begin + 1
            while end < len(arrivals) and self._go_together(arrivals[begin], arrivals[end]):
                end += 1
            rows = np.array([row for row in range(begin, end) if row in counted], np.int64)
            self._work(arrivals, prepared, rows, arrivals[begin])
            begin = end

    def _go_together(self, first: Arrival, other: Arrival) -> bool:
        if first.late:
            return other.late and other.watermark_us == first.watermark_us
        return not other.late

    def _work(self, arrivals: Sequence[Arrival], prepared: Any, rows: Int64s, at: Arrival) -> None:
        keys = np.array([arrivals[row].key for row in rows], np.int64)
        for shard in range(self._shards):
            mine = keys % self._shards == shard
            self.operator.advance_to(shard, at.watermark_us)
            codes = np.searchsorted(self._key_of[shard], keys[mine])
            if at.late:
                late = self.operator.process_late(
                    shard, prepared, rows[mine], codes, at.watermark_us
                )
                self.late += [arrivals[row].sequence for row in rows[mine][late]]
            else:
                self.operator.process(shard, prepared, rows[mine], codes, at.watermark_us)

    def advance_to(self, watermark_us: int) -> None:
        for shard in range(self._shards):
            self.operator.advance_to(shard, watermark_us)
        self.take()

    def take(self) -> None:
        made = self.operator.take(self._keys)
        if made is not None:
            self.rows += plain_rows(made)

    def current(self) -> list[tuple[Any, ...]]:
        made = self.operator.current(self._keys)
        return [] if made is None else plain_rows(made)

    def _keys(self, shard: int, codes: Int64s) -> list[Column]:
        return [Column(INTEGER, self._key_of[shard][codes])]

    def stop_and_restore(self) -> None:
        """Also forgets keys without state, and gives all others new codes."""
        self.take()
        parts = []
        for shard in range(self._shards):
            active = self.operator.active_keys(shard)
            self.operator.keep_keys(shard, active)
            self._key_of[shard] = self._key_of[shard][active]
            parts.append(self.operator.snapshot(shard))
        self._texts = TextCodes()
        self._texts.code("another text comes first")
        self.operator = self._make()
        for shard, snapshot in enumerate(parts):
            kept = self._key_of[shard]
            everyone = np.arange(100) * self._shards + shard
            self.operator.restore(shard, [(snapshot, np.searchsorted(everyone, kept))])
            self._key_of[shard] = everyone


def plain_rows(made: WindowRows) -> list[tuple[Any, ...]]:
    """(time, position, key, start, end, update, values ...) of each row, in their order."""
    table = made.table
    bounds = [table.column(n).cast(pa.int64()).to_pylist() for n in ("window_start", "window_end")]
    values = [
        table.column(name).to_pylist()
        for name in table.column_names
        if name not in ("key", "window_start", "window_end", "update")
    ]
    key, update = table.column("key").to_pylist(), table.column("update").to_pylist()
    times, positions = made.time_us.tolist(), made.position.tolist()
    return list(zip(times, positions, key, *bounds, update, *values, strict=True))


def expected_rows(rows: Sequence[Row], outputs: Sequence[str]) -> list[tuple[Any, ...]]:
    return [
        (
            *(row.time_us, row.position, row.key, row.start, row.end, row.update),
            *(expected_value(name, row) for name in outputs),
        )
        for row in rows
    ]


def rounded(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Sorted, with floats to nine digits."""
    shown = [
        tuple(float(f"{v:.9g}") + 0.0 if isinstance(v, float) else v for v in row) for row in rows
    ]
    return sorted(shown, key=lambda row: row[:6])
