"""A case of `windows.json` -> rule text, and what is wrong with what comes out of it.

Events arrive one at a time, the case's watermarks are said by `advance_to`; the stream's own
watermark stays far behind (a lateness of centuries). A case counts in ms and the engine in us, and
a watermark w promises that no event at or before w follows: W ms are W ms and 999 us. Sessions end
1 us later than other windows, because an event exactly a gap later still belongs to them, while in
the cases they fire at W = end - 1 and nothing comes between: there a watermark is W + 1 ms.

Cases in processing time, and those by count, which go by arrival, run by a clock that is said. Two
cases run on the operator, for no rule text says them: see `run_on_operator`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

import cep
from cep.engine.algebra.expression import Aggregated, DataType, Field, Literal
from cep.engine.algebra.pattern import Output, Stream, StreamField
from cep.engine.algebra.plan import Aggregate, RuleSet, Window, WindowKind
from tests.conformance.live import CENTURIES_US
from tests.conformance.loading import Case, Event
from tests.conformance.windows import Driver

MS_US = 1_000
Row = tuple[Any, ...]  # key, start, end, value; times in ms
KINDS = {
    "tumbling": WindowKind.TUMBLING,
    "sliding": WindowKind.SLIDING,
    "cumulate": WindowKind.CUMULATING,
    "session": WindowKind.SESSION,
    "count": WindowKind.COUNT,
}


@dataclass(slots=True)
class Fired:
    """What has come out. `rows`: step by step (a watermark, an event), in no order within one."""

    rows: list[list[Row]] = field(default_factory=list)
    late: list[int] = field(default_factory=list)

    def add(self, result: cep.Result) -> None:
        table = result.tables["found"]
        factor = MS_US if pa.types.is_timestamp(table.schema.field("start").type) else 1
        starts, ends = (_exact(table.column(name), factor) for name in ("start", "end"))
        has_key = "key" in table.schema.names
        keys = table.column("key").to_pylist() if has_key else [None] * len(table)
        values = table.column("value").to_pylist()
        self.rows.append(list(zip(keys, starts, ends, values, strict=True)))
        if len(result.late):
            ids: Any = result.late.to_arrow().column("id").to_pylist()
            self.late += ids


def _exact(column: Any, factor: int) -> list[int]:
    numbers: list[int] = column.cast(pa.int64()).to_pylist()
    assert all(number % factor == 0 for number in numbers), "windows of cases have whole ms"
    return [number // factor for number in numbers]


def window_problems(case: Case) -> list[str]:
    """What differs from what the case expects; empty where nothing does."""
    fired = run_on_operator(case) if needs_operator(case) else run_live(case)
    expected = [(e["key"], e["start"], e["end"], e["value"]) for e in case.data["expected"]]
    found, begin = [], 0
    for rows in fired.rows:
        wanted = Counter(expected[begin : begin + len(rows)])
        begin += len(rows)
        if Counter(rows) != wanted:
            found.append(f"rows: expected {sorted(wanted.elements())}, not {sorted(rows)}")
    if begin < len(expected):
        found.append(f"rows: missing {expected[begin:]}")
    if fired.late != case.data["expected_late"]:
        found.append(f"late: expected {case.data['expected_late']}, not {fired.late}")
    return found


# ---- as rule text, through the public API


def render_window(case: Case) -> str:
    """The stream and the aggregate of a case, in the rule language."""
    return str(RuleSet((_stream_of(case),), aggregates=(aggregate_of(case),)))


def _stream_of(case: Case) -> Stream:
    is_float = any(isinstance(event["v"], float) for event in case.data["events"])
    kinds = {
        "id": DataType.INTEGER,
        "ts": DataType.INTEGER,
        "v": DataType.FLOAT if is_float else DataType.INTEGER,
        "key": DataType.TEXT,
        "gap": DataType.INTEGER,
    }
    fields = [StreamField(n, kinds[n]) for n in kinds if n in case.data["events"][0]]
    return Stream("events", tuple(fields), time="ts", time_unit="ms", lateness_us=CENTURIES_US)


def aggregate_of(case: Case) -> Aggregate:
    data = case.data
    value = Aggregated("count") if data["aggregate"] == "count" else Aggregated("sum", Field("v"))
    key = ("key",) if data["events"][0]["key"] is not None else ()
    columns = [("start", Field("window_start")), ("end", Field("window_end")), ("value", value)]
    return Aggregate(
        "found",
        "events",
        select=tuple(Output(name, e) for name, e in [*((k, Field(k)) for k in key), *columns]),
        key=key,
        window=_window_of(case),
        lateness_us=(data["allowed_lateness_ms"] or 0) * MS_US,
        discarding=data.get("purging", False),
    )


def _window_of(case: Case) -> Window:
    data = case.data
    kind = KINDS[data["kind"]]
    if kind is WindowKind.COUNT:
        return Window(kind, size_events=data["size_count"], slide_events=data["slide_count"])
    if kind is WindowKind.SESSION:
        return Window(kind, gap=Literal(data["gap_ms"] * MS_US, DataType.DURATION))
    slide_us = None if data["slide_ms"] is None else data["slide_ms"] * MS_US
    return Window(kind, data["size_ms"] * MS_US, slide_us, data["offset_ms"] * MS_US)


def run_live(case: Case) -> Fired:
    """Each event by itself, in the order of arrival. Raises what the API raises."""
    rules, fired = cep.compile(render_window(case)), Fired()
    clock = [0]
    by_arrival = case.data.get("time") == "processing" or case.data["kind"] == "count"
    options: dict[str, Any] = {"time": "processing"} if by_arrival else {}
    options["clock"] = lambda: clock[0]
    detector = cep.Detector(rules, **options)
    for number, event in enumerate(case.data["events"]):
        clock[0] = event["ts"] * MS_US if case.data.get("time") == "processing" else number
        fired.add(detector.process(event))
        if f"after event {event['id']}" in case.data.get("checkpoints", ()):
            detector = cep.Detector.from_snapshot(detector.snapshot(), rules, **options)
        for said_ms in _said_after(case, event):
            clock[0] = max(clock[0], said_ms * MS_US if by_arrival else 0)
            fired.add(detector.tick() if by_arrival else detector.advance_to(_mark(case, said_ms)))
            if f"after watermark {said_ms}" in case.data.get("checkpoints", ()):
                detector = cep.Detector.from_snapshot(detector.snapshot(), rules, **options)
    return fired


def _said_after(case: Case, event: Event) -> Iterator[int]:
    return (said["ts"] for said in case.data["watermarks"] if said["after_id"] == event["id"])


def _mark(case: Case, said_ms: int) -> int:
    behind_us = MS_US if case.data["kind"] == "session" else MS_US - 1
    return said_ms * MS_US + behind_us


# ---- on the operator


def needs_operator(case: Case) -> bool:
    """Times near 2**63, beyond the year 9999 where ours end; a window by count as SQL has it."""
    is_far = max(event["ts"] for event in case.data["events"]) > 2**62
    return is_far or (case.data.get("count_mode") == "full" and bool(case.data["slide_count"]))


def run_on_operator(case: Case) -> Fired:
    """As one step: what comes out, in whatever order."""
    outcome = Driver(case.data).run()
    return Fired([list(outcome.firings)], outcome.late)
