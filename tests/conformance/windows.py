"""Window cases -> what the window operator makes of them: events reordered, watermarks passed on.

    events ─► not behind the watermark: held, released in order of time by the next watermark
           ─► behind it: `process_late`, at once

The milliseconds of a case are taken as microseconds: windows do not care, and the largest fit.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import Aggregated, DataType, Expression, Field, Literal
from cep.engine.algebra.pattern import Output
from cep.engine.algebra.plan import Aggregate, Window, WindowKind
from cep.engine.batch import EventBatch, Int64s
from cep.engine.columns.evaluator import Column, column_of
from cep.engine.operators.fed import Fed
from cep.engine.operators.windows.operator import WindowOperator
from cep.engine.operators.windows.rows import WindowRows
from cep.engine.state.interning import KeyCodes, TextCodes

CASES = Path(__file__).parent / "cases" / "windows.json"
END_OF_STREAM = 2**63 - 1

Case = Mapping[str, Any]
Firing = tuple[str | None, int, int, float]  # key, start, end, value


def load_window_cases() -> list[Case]:
    return list(json.loads(CASES.read_text())["cases"])


@dataclass(slots=True)
class WindowOutcome:
    firings: list[Firing] = field(default_factory=list)
    late: list[int] = field(default_factory=list)


def expected_outcome(case: Case) -> WindowOutcome:
    firings = [(e["key"], e["start"], e["end"], e["value"]) for e in case["expected"]]
    return WindowOutcome(firings, list(case["expected_late"]))


def differences(expected: WindowOutcome, found: WindowOutcome) -> list[str]:
    """What differs, empty where nothing does; firings of one window are compared in their order."""
    problems = []
    missing = Counter(expected.firings) - Counter(found.firings)
    extra = Counter(found.firings) - Counter(expected.firings)
    if missing or extra:
        problems.append(f"missing {dict(missing)}, not expected {dict(extra)}")
    if _by_window(expected.firings) != _by_window(found.firings):
        problems.append("the firings of a window come in another order")
    if sorted(expected.late) != sorted(found.late):
        problems.append(f"late: {found.late}, expected {expected.late}")
    return problems


def _by_window(firings: Sequence[Firing]) -> dict[tuple[str | None, int, int], list[float]]:
    found: dict[tuple[str | None, int, int], list[float]] = {}
    for key, start, end, value in firings:
        found.setdefault((key, start, end), []).append(value)
    return found


def window_of(case: Case) -> Window:
    kind = WindowKind("cumulating" if case["kind"] == "cumulate" else case["kind"])
    gap: Expression | None = None
    if kind is WindowKind.SESSION:
        by_event = any("gap" in event for event in case["events"])
        gap = Field("gap", type=DataType.DURATION)
        if not by_event:
            gap = Literal(case["gap_ms"], DataType.DURATION, type=DataType.DURATION)
    return Window(
        kind,
        size_us=case["size_ms"],
        slide_us=case["slide_ms"],
        offset_us=case["offset_ms"] or 0,
        gap=gap,
        size_events=case.get("size_count"),
        slide_events=case.get("slide_count"),
    )


def aggregate_of(case: Case) -> Aggregate:
    whole = all(isinstance(event["v"], int) for event in case["events"])
    argument = Field("v", type=DataType.INTEGER if whole else DataType.FLOAT)
    kind = DataType.INTEGER if case["aggregate"] == "count" else argument.type
    value = Aggregated(case["aggregate"], argument, type=kind)
    key = ("key",) if any(event["key"] is not None for event in case["events"]) else ()
    return Aggregate(
        "windows",
        "events",
        (Output("value", value), *(Output(name, Field(name, type=DataType.TEXT)) for name in key)),
        key,
        window_of(case),
        lateness_us=case["allowed_lateness_ms"] or 0,
        discarding=bool(case.get("purging")),
    )


class Driver:
    """Feeds one case to the operator as it arrives."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._aggregate = aggregate_of(case)
        self._keys = KeyCodes([DataType.TEXT] if self._aggregate.key else [])
        self._key_texts: dict[int, str] = {}
        self._operator = self._new_operator()
        self._held: list[Case] = []
        self._watermark = -(2**63)
        self._fed = 0
        self.outcome = WindowOutcome()

    def _new_operator(self) -> WindowOperator:
        fills = self._case.get("count_mode") == "full"
        return WindowOperator(self._aggregate, None, TextCodes(), capacity=1, count_fills=fills)

    def run(self) -> WindowOutcome:
        points = self._case.get("checkpoints") or []
        marks = list(self._case["watermarks"])
        for event in self._case["events"]:
            self._arrive(event)
            if f"after event {event['id']}" in points:
                self._stop_and_restore()
            while marks and marks[0]["after_id"] == event["id"]:
                self._pass(marks.pop(0)["ts"])
                if f"after watermark {self._watermark}" in points:
                    self._stop_and_restore()
        if self._case["kind"] in ("count", "session"):
            self._pass(END_OF_STREAM)
        return self.outcome

    def _arrive(self, event: Case) -> None:
        if event["ts"] > self._watermark:
            self._held.append(event)
            return
        rows, codes, prepared = self._prepared([event])
        late = self._operator.process_late(0, prepared, rows, codes, self._watermark)
        self.outcome.late += [event["id"]] if late[0] else []
        self._take()

    def _pass(self, watermark: int) -> None:
        due = [event for event in self._held if event["ts"] <= watermark]
        self._held = [event for event in self._held if event["ts"] > watermark]
        if due:
            rows, codes, prepared = self._prepared(sorted(due, key=lambda event: event["ts"]))
            self._operator.process(0, prepared, rows, codes, self._watermark)
        self._watermark = watermark
        self._operator.advance_to(0, watermark)
        self._take()

    def _prepared(self, events: Sequence[Case]) -> tuple[Int64s, Int64s, Any]:
        table = pa.table(
            {
                "key": pa.array([event["key"] for event in events], pa.string()),
                "v": pa.array([event["v"] for event in events]),
                "gap": pa.array([event.get("gap") for event in events], pa.duration("us")),
            }
        )
        times = np.array([event["ts"] for event in events], np.int64)
        prepared = self._operator.prepare(Fed(EventBatch(table, times), self._fed, TextCodes()))
        self._fed += len(events)
        columns = [column_of(table.column(name)) for name in self._aggregate.key]
        codes = self._keys.encode(columns, prepared.rows)
        for code, event in zip(codes.tolist(), events, strict=True):
            self._key_texts[code] = event["key"]
        return prepared.rows, codes, prepared

    def _take(self) -> None:
        rows = self._operator.take(self._key_columns)
        if rows is not None:
            self.outcome.firings += self._firings(rows)

    def _key_columns(self, shard: int, codes: Int64s) -> list[Column]:
        texts = pa.array([self._key_texts[code] for code in codes.tolist()], pa.string())
        return [Column(DataType.TEXT, texts)]

    def _firings(self, rows: WindowRows) -> list[Firing]:
        table = rows.table
        starts, ends = (
            np.array(table.column(name).cast(pa.int64())) for name in ("window_start", "window_end")
        )
        values: list[Any] = table.column("value").to_pylist()
        keys = self._taken_keys(rows)
        return list(zip(keys, starts.tolist(), ends.tolist(), values, strict=True))

    def _taken_keys(self, rows: WindowRows) -> list[str | None]:
        if not self._aggregate.key:
            return [None] * len(rows)
        return list(rows.table.column("key").to_pylist())

    def _stop_and_restore(self) -> None:
        snapshot = self._operator.snapshot(0)
        self._operator = self._new_operator()
        same = np.arange(len(self._keys))
        self._operator.restore(0, [(snapshot, same)])


def run_window_case(case: Case) -> WindowOutcome:
    return Driver(case).run()
