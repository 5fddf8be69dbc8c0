"""Laws of the engine, over random patterns and streams: how the input arrives does not matter.

Any split into batches, any first size of the growing buffers and any way of sharing a pass with
other patterns gives what one batch gives; all keys together give what each key gives alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cep.engine.algebra.pattern import Pattern, WithinScope
from cep.engine.algebra.plan import flow_of
from cep.engine.batch import EventBatch
from cep.engine.binding.patterns import bind_pattern
from cep.engine.results import MatchBatch, Output
from cep.engine.runtime.runtime import Runtime
from tests.reference.random_patterns import STREAM, event_streams, patterns

Events = list[dict[str, Any]]
Row = tuple[Any, ...]

FIELDS = ("id", "ts", "name", "price", "k")
SCHEMA = pa.schema([(f, pa.string() if f in ("name", "k") else pa.int64()) for f in FIELDS])
law = settings(max_examples=300, suppress_health_check=list(HealthCheck))


def bound(pattern: Pattern, **changes: Any) -> Pattern:
    result, problems = bind_pattern(replace(pattern, **changes), {STREAM.name: STREAM})
    assert not [problem for problem in problems if not problem.warning]
    return result


def batch(events: Events) -> EventBatch:
    times = np.array([event["ts"] * 1000 for event in events], np.int64)
    return EventBatch(pa.Table.from_pylist(events, SCHEMA), times)


def rows(batches: Iterable[MatchBatch]) -> list[Row]:
    """(pattern, time found, ((variable, event id), ...)) of each match, sorted."""
    found: list[Row] = []
    for matches in batches:
        ids = matches.events.column("id").to_pylist()
        for i, (begin, end) in enumerate(pairwise(matches.offsets)):
            taken = [(matches.variable[j], ids[matches.row[j]]) for j in range(begin, end)]
            named = tuple((matches.variables[v], event) for v, event in taken)
            found.append((matches.pattern.name, int(matches.at_us[i]), named))
    return sorted(found)


def run(
    chosen: Sequence[Pattern], events: Events, cuts: Iterable[int] = (), **options: Any
) -> tuple[list[Row], list[Row]]:
    """Matches and timeouts of the events, handed over in batches that end at `cuts`."""
    runtime, output = Runtime(flow_of(chosen, (STREAM,)), **options), Output()
    ends = sorted({0, len(events), *(min(cut, len(events)) for cut in cuts)})
    for begin, end in pairwise(ends):
        output.extend(runtime.process(batch(events[begin:end])))
    output.extend(runtime.finish())
    runtime.close()
    return rows(output.matches), rows(output.timeouts)


@law
@given(patterns(), event_streams(most=12), st.lists(st.integers(1, 11), max_size=6))
def test_any_split_into_batches_gives_the_same_output(
    pattern: Pattern, events: Events, cuts: list[int]
) -> None:
    chosen = [bound(pattern)]
    assert run(chosen, events, cuts) == run(chosen, events)


@law
@given(patterns(), event_streams(most=12))
def test_one_event_at_a_time_gives_the_same_output(pattern: Pattern, events: Events) -> None:
    chosen = [bound(pattern, key=("k",))]
    assert run(chosen, events, range(12)) == run(chosen, events)


@law
@given(patterns(), event_streams(most=12), st.integers(1, 3))
def test_buffers_that_start_tiny_give_the_same_output(
    pattern: Pattern, events: Events, capacity: int
) -> None:
    chosen = [bound(pattern)]
    assert run(chosen, events, capacity=capacity, slice_rows=capacity) == run(chosen, events)


@law
@given(patterns(), event_streams(most=12))
def test_all_keys_together_give_what_each_key_gives_alone(pattern: Pattern, events: Events) -> None:
    chosen = [bound(pattern, key=("k",))]
    together = run(chosen, events)
    alone = [run(chosen, [e for e in events if e["k"] == key]) for key in "xy"]
    assert _without_times(together[0]) == _without_times(alone[0][0] + alone[1][0])
    assert _without_times(together[1]) == _without_times(alone[0][1] + alone[1][1])


@settings(law, max_examples=60)
@given(patterns(), event_streams(most=12), st.integers(2, 3))
def test_any_number_of_workers_gives_the_same_output(
    pattern: Pattern, events: Events, workers: int
) -> None:
    chosen = [bound(pattern, key=("k",)), bound(pattern, name="q", key=("price", "k"))]
    assert run(chosen, events, workers=workers, slice_rows=5) == run(chosen, events)


def _without_times(found: list[Row]) -> list[Row]:
    """At the end of a stream what is released carries the time of the whole stream's last event."""
    return sorted((name, taken) for name, _, taken in found)


@law
@given(st.lists(patterns(), min_size=2, max_size=4), event_streams(most=10))
def test_patterns_in_one_pass_find_what_each_finds_alone(
    several: list[Pattern], events: Events
) -> None:
    chosen = [bound(pattern, name=f"p{i}") for i, pattern in enumerate(several)]
    matches, timeouts = run(chosen, events)
    alone = [run([pattern], events) for pattern in chosen]
    assert matches == sorted(row for one in alone for row in one[0])
    assert timeouts == sorted(row for one in alone for row in one[1])


@pytest.mark.parametrize("scope", list(WithinScope))
def test_a_silent_key_times_out_when_other_keys_move_time(scope: WithinScope) -> None:
    events = [
        {"id": 0, "ts": 0, "name": "a", "price": 1, "k": "x"},
        {"id": 1, "ts": 9, "name": "c", "price": 1, "k": "y"},
    ]
    runtime = Runtime(flow_of([_waits_for_b(scope)], (STREAM,)))
    output = runtime.process(batch(events))
    assert rows(output.timeouts) == [("p", 5_000, (("a", 0),))]
    assert runtime.open_runs == 0


def _waits_for_b(scope: WithinScope) -> Pattern:
    from cep.dsl import parse_rules

    rules, _ = parse_rules(
        """pattern p from events by k match a -> b within 5 ms
             define a as name = 'a', b as name = 'b' on timeout select k;"""
    )
    return bound(rules.patterns[0], within_scope=scope)
