"""Joins as patterns: exactly the pairs that a loop over all pairs finds, each of them once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.dsl import parse_rules
from cep.engine.algebra.pattern import Pattern, Stream
from cep.engine.algebra.plan import EVENT_TIME, NodeKind, flow_of
from cep.engine.batch import EventBatch
from cep.engine.dataflow.build import base_streams, build_dataflow
from cep.engine.runtime.runtime import Runtime
from tests.reference.matcher import reference_matches
from tests.unit.engine.runtime_tools import shown

SECOND_US = 1_000_000
STREAMS = """
stream a (k text, ts timestamp, x int) time ts;
stream b (k text, ts timestamp, y int) time ts;
"""
IN_SECONDS = """
stream a (k text, sec int, x int) time sec in seconds;
stream b (k text, sec int, y int) time sec in seconds;
"""
UNTIMED = """
stream a (k text, x int);
stream b (k text, y int);
"""

Event = dict[str, Any]
Pairs = set[tuple[int, int]]


def join(text: str, streams: str = STREAMS) -> tuple[Pattern, tuple[Stream, ...]]:
    rules, _ = parse_rules(f"{streams}; join j from a, b by k {text} select a.x, b.y")
    dataflow, problems = build_dataflow(rules, base_streams(rules))
    assert problems == []
    (node,) = dataflow.nodes
    assert node.kind is NodeKind.JOIN
    assert isinstance(node.plan, Pattern)
    return node.plan, dataflow.streams


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    """Events in order of time, in whole seconds; many at the same time."""
    times = sorted(draw(st.lists(st.integers(-6, 12), max_size=12)))
    return [
        {
            "stream": draw(st.sampled_from("ab")),
            "k": draw(st.sampled_from("kl")),
            "ts": time * SECOND_US,
            "sec": time,
            EVENT_TIME: time * SECOND_US,
            "x": draw(st.integers(0, 2)),
            "y": draw(st.sampled_from((0, 1, 2, None))),
        }
        for time in times
    ]


def all_pairs(events: list[Event], belongs: Callable[[Event, Event], bool]) -> Pairs:
    """(index of the left event, of the right one) of each pair of a key that belongs together."""
    return {
        (i, j)
        for i, left in enumerate(events)
        for j, right in enumerate(events)
        if (left["stream"], right["stream"]) == ("a", "b") and left["k"] == right["k"]
        if belongs(left, right)
    }


def reference_pairs(pattern: Pattern, events: list[Event]) -> Pairs:
    found = reference_matches(pattern, events, time_unit="us", stream_field="stream").matches
    pairs = [(match["a"][0], match["b"][0]) for match in found]
    assert len(pairs) == len(set(pairs))
    return set(pairs)


def engine_pairs(pattern: Pattern, streams: tuple[Stream, ...], events: list[Event]) -> Pairs:
    columns: dict[str, Any] = {
        "k": pa.array([e["k"] for e in events], pa.string()),
        "ts": pa.array([e["ts"] for e in events], pa.timestamp("us")),
        "sec": pa.array([e["ts"] // SECOND_US for e in events], pa.int64()),
        "x": pa.array([e["x"] for e in events], pa.int64()),
        "y": pa.array([e["y"] for e in events], pa.int64()),
    }
    times = np.array([e["ts"] for e in events], np.int64)
    numbers = np.array([[s.name for s in streams].index(e["stream"]) for e in events], np.int16)
    runtime = Runtime(flow_of((pattern,), streams), slice_rows=3, capacity=1)
    output = runtime.process(EventBatch(pa.table(columns), times, numbers))
    output.extend(runtime.finish())
    taken = [dict(_taken(text)) for text in shown(output.matches)]
    pairs = [(match["a"], match["b"]) for match in taken]
    assert len(pairs) == len(set(pairs))
    return set(pairs)


def _taken(text: str) -> list[tuple[str, int]]:
    return [(part[0], int(part[1:])) for part in text.split()]


def seconds(left: Event, right: Event) -> int:
    return int(right["ts"] - left["ts"]) // SECOND_US


def window(event: Event) -> int:
    return int(event["ts"] - 2 * SECOND_US) // (5 * SECOND_US)


CASES: list[tuple[str, Callable[[Event, Event], bool]]] = [
    ("within 3 seconds", lambda a, b: 0 <= seconds(a, b) <= 3),
    ("within 0 seconds", lambda a, b: seconds(a, b) == 0),
    ("between -2 seconds and 3 seconds", lambda a, b: -2 <= seconds(a, b) <= 3),
    ("between -3 seconds and 0 seconds", lambda a, b: -3 <= seconds(a, b) <= 0),
    ("between 2 seconds and 4 seconds", lambda a, b: 2 <= seconds(a, b) <= 4),
    ("between -4 seconds and -1 second", lambda a, b: -4 <= seconds(a, b) <= -1),
    ("window tumbling 5 seconds offset 2 seconds", lambda a, b: window(a) == window(b)),
    (
        "within 9 seconds where a.x > 0 and a.x = b.y",
        lambda a, b: 0 <= seconds(a, b) <= 9 and a["x"] > 0 and a["x"] == b["y"],
    ),
    (
        "between -9 seconds and 9 seconds where a.x < b.y or b.y is null",
        lambda a, b: abs(seconds(a, b)) <= 9 and (b["y"] is None or a["x"] < b["y"]),
    ),
]


@pytest.mark.parametrize(("text", "belongs"), CASES, ids=[text for text, _ in CASES])
@pytest.mark.parametrize(
    "declared",
    [STREAMS, IN_SECONDS, UNTIMED],
    ids=["time is a timestamp", "time is a number", "time is apart"],
)
@settings(max_examples=15, derandomize=True, deadline=None)
@given(events=event_lists())
def test_a_join_finds_each_pair_once(
    text: str, belongs: Callable[[Event, Event], bool], declared: str, events: list[Event]
) -> None:
    pattern, streams = join(text, declared)
    expected = all_pairs(events, belongs)
    assert reference_pairs(pattern, events) == expected
    assert engine_pairs(pattern, streams, events) == expected


def test_a_condition_about_one_side_is_tested_before_anything_is_remembered() -> None:
    pattern, _ = join("within 1 minute where a.x > 1 and b.y = a.x")
    assert "a as a where x > 1 and (count(b) = 0 or b.y = x)," in str(pattern)
    assert "b as b where count(a) = 0 or y = a.x\n" in str(pattern)


def test_bounds_that_are_far_away_do_not_overflow() -> None:
    pattern, streams = join("between -292000 days and 292000 days")
    far, _ = join("within 15000000 weeks")
    assert far.within_us == 2**61 + 1
    events: list[Event] = [
        {"stream": "b", "k": "k", "ts": 5, "x": 0, "y": 0},
        {"stream": "a", "k": "k", "ts": 5, "x": 0, "y": 0},
        {"stream": "b", "k": "k", "ts": 6, "x": 0, "y": 0},
    ]
    assert engine_pairs(far, streams, events) == {(1, 0), (1, 2)}
    assert engine_pairs(pattern, streams, events) == {(1, 0), (1, 2)}


def test_a_join_selects_its_key_and_what_it_says() -> None:
    pattern, _ = join("within 1 minute")
    assert [output.name for output in pattern.select] == ["k", "x", "y"]
