"""Short ways to write events that come late, to feed them in any cut, to log what comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from cep.engine.algebra.pattern import Stream
from cep.engine.batch import EventBatch
from cep.engine.time.arrivals import Arrivals, Arrived
from tests.reference.event_time import Entry, Event, PlainEventTime

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("host", pa.dictionary(pa.int32(), pa.string())),
        ("port", pa.int64()),
        ("rank", pa.string()),
    ]
)


def batch(events: Sequence[Event], schema: pa.Schema = SCHEMA) -> EventBatch:
    rows = [{name: event.get(name) for name in schema.names} for event in events]
    times = np.array([event["time"] for event in events], np.int64)
    return EventBatch(pa.Table.from_pylist(rows, schema=schema), times)


def at(*times: int, **fields: Any) -> EventBatch:
    """Events at these times, numbered from 0, with the same value in each field."""
    return batch([{"id": i, "time": time, **fields} for i, time in enumerate(times)])


def log_of(arrived: Arrived) -> list[Entry]:
    """What happened, in the words of the reference; what is implausible comes first."""
    log: list[Entry] = [("implausible", i) for i in _ids(arrived.implausible)]
    for step in arrived.steps():
        log += [("ready", i) for i in _ids(step.ready)]
        met = step.late.watermark_us.tolist()
        log += [("late", i, w) for i, w in zip(_ids(step.late.events), met, strict=True)]
    return log


def _ids(events: EventBatch) -> list[int]:
    assert events.table.num_rows == len(events.time_us)
    ids: Any = events.table.column("id").to_pylist()
    found: list[int] = ids
    return found


# ---- random input


@dataclass(frozen=True)
class Action:
    """One call: "add" events of a stream, "tick", "advance" or "finish"."""

    kind: str
    stream: int | None = None
    events: tuple[Event, ...] = ()
    time: int = 0


@dataclass(frozen=True)
class Scenario:
    streams: tuple[Stream, ...]
    actions: tuple[Action, ...]
    ahead: int | None = None


@st.composite
def declared_streams(draw: DrawFn, name: str) -> Stream:
    partitions: list[tuple[str, ...]] = [(), ("host",), ("host", "port")]
    return Stream(
        name,
        lateness_us=draw(st.sampled_from((0, 0, 1, 3, 10))),
        tie_breaker=draw(st.sampled_from((None, None, "rank", "port"))),
        partition=draw(st.sampled_from(partitions)),
        idle_us=draw(st.sampled_from((None, 1, 4))),
    )


@st.composite
def _events(draw: DrawFn, number: Iterator[int], now: int) -> tuple[Event, ...]:
    size = draw(st.integers(0, 6))
    return tuple(
        {
            "id": next(number),
            "time": draw(st.integers(now - 4, now + 4)),
            "host": draw(st.sampled_from(("a", "b", "c", None))),
            "port": draw(st.sampled_from((1, 2, None))),
            "rank": draw(st.sampled_from(("x", "y", None))),
        }
        for _ in range(size)
    )


@st.composite
def scenarios(draw: DrawFn) -> Scenario:
    streams = tuple(draw(declared_streams(f"s{i}")) for i in range(draw(st.integers(1, 3))))
    number, open_streams, actions = iter(range(10_000)), set(range(len(streams))), []
    now = clock = 0
    for _ in range(draw(st.integers(0, 12))):
        now += draw(st.integers(0, 5))
        clock += draw(st.integers(0, 3))
        kind = draw(st.sampled_from(("add", "add", "add", "add", "tick", "advance", "finish")))
        stream = draw(st.sampled_from([None, *range(len(streams))]))
        if kind == "finish" and stream is not None and len(open_streams) > 1:
            open_streams.discard(stream)
            actions.append(Action("finish", stream))
        elif kind == "advance":
            actions.append(Action("advance", stream, time=now - draw(st.integers(-3, 6))))
        elif kind == "tick":
            actions.append(Action("tick", time=clock))
        else:
            stream = draw(st.sampled_from(sorted(open_streams)))
            actions.append(Action("add", stream, draw(_events(number, now)), clock))
    actions.append(Action("finish"))
    return Scenario(streams, tuple(actions), draw(st.sampled_from((None, None, 6))))


def reference_log(scenario: Scenario) -> list[Entry]:
    plain = PlainEventTime(scenario.streams, scenario.ahead)
    for action in scenario.actions:
        act_plainly(plain, action)
    return plain.log


def act_plainly(plain: PlainEventTime, action: Action) -> None:
    if action.kind == "add":
        assert action.stream is not None
        for event in action.events:
            plain.add(action.stream, event, action.time)
        plain.read(action.time)
    elif action.kind == "tick":
        plain.tick(action.time)
    elif action.kind == "advance":
        plain.advance(action.time, action.stream)
    else:
        plain.finish(action.stream)


def act(arrivals: Arrivals, action: Action, size: int = 1000) -> Iterator[Arrived]:
    """The same by the engine, with no more than `size` events in a batch."""
    if action.kind == "add":
        assert action.stream is not None
        for start in range(0, max(len(action.events), 1), size):
            events = batch(action.events[start : start + size])
            yield arrivals.add(action.stream, events, action.time)
    elif action.kind == "tick":
        yield arrivals.tick(action.time)
    elif action.kind == "advance":
        yield arrivals.advance(action.time, action.stream)
    else:
        yield arrivals.finish(action.stream)
