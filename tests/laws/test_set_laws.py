"""Partial matches kept by the set make the matches that runs make, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cep.engine.algebra.pattern import Pattern, Skip, SkipStrategy
from tests.reference.random_patterns import event_streams, patterns
from tests.unit.engine.arena_tools import Driven, Event, Result, run
from tests.unit.engine.runtime_tools import letters

law = settings(
    max_examples=600,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
streams = event_streams(most=18)
cuts = st.lists(st.integers(0, 18), max_size=3)


@st.composite
def skipless(draw: st.DrawFn) -> Pattern:
    """A pattern that reports all matches, and that sets may evaluate."""
    pattern = draw(patterns())
    pattern = replace(pattern, skip=Skip(SkipStrategy.NO_SKIP), timeout_select=None, longest=False)
    assume(Driven(pattern).tables.touch is not None)
    return pattern


def in_order(found: dict[str, list[Result]]) -> dict[str, list[Result]]:
    """Matches that one event completes come in an order of their own."""
    return {key: sorted(results) for key, results in found.items() if results}


def times(found: dict[str, list[Result]]) -> dict[str, list[int]]:
    return {key: [result.at_us for result in results] for key, results in found.items() if results}


@law
@given(skipless(), streams, cuts)
def test_sets_find_what_runs_find(pattern: Pattern, events: list[Event], at: list[int]) -> None:
    runs, sets = run(pattern, events, at), run(pattern, events, at, by_sets=True)
    assert in_order(sets.matches) == in_order(runs.matches)
    assert times(sets.matches) == times(runs.matches)


@law
@given(skipless(), streams, st.integers(0, 12))
def test_what_is_open_is_counted_as_runs_are(
    pattern: Pattern, events: list[Event], later_ms: int
) -> None:
    opened = []
    for by_sets in (False, True):
        driven = Driven(pattern, by_sets=by_sets)
        driven.feed(events)
        now_ms = events[-1]["ts"] + later_ms if events else 0
        driven.arena.expire(now_ms * 1_000)
        codes, counts = driven.arena.open_runs_by_key()
        pairs = zip(codes.tolist(), counts.tolist(), strict=True)
        opened.append({code: count for code, count in pairs if count})
    assert opened[0] == opened[1]


@law
@given(skipless(), streams, st.integers(0, 18), st.integers(1, 3))
def test_stopped_and_restored_in_shards_they_go_on(
    pattern: Pattern, events: list[Event], stop: int, shards: int
) -> None:
    driven = Driven(pattern, by_sets=True)
    driven.feed(events[:stop])
    split_and_merge(driven, shards)
    driven.feed(events[stop:])
    driven.close()
    assert in_order(driven.matches) == in_order(run(pattern, events).matches)


@law
@given(skipless(), streams, st.integers(0, 18), st.booleans())
def test_sets_become_runs_and_runs_sets(
    pattern: Pattern, events: list[Event], stop: int, by_sets: bool
) -> None:
    driven = Driven(pattern, by_sets=by_sets)
    driven.feed(events[:stop])
    saved = driven.arena.snapshot()
    driven.by_sets = not by_sets
    driven.arena = driven.new_arena()
    driven.arena.restore([(saved, np.arange(int(saved["codes"].max(initial=-1)) + 1))])
    driven.feed(events[stop:])
    driven.close()
    assert in_order(driven.matches) == in_order(run(pattern, events).matches)


def split_and_merge(driven: Driven, shards: int) -> None:
    """Into shards by code, each with codes of its own, and together again."""
    saved = driven.arena.snapshot()
    size = int(saved["codes"].max(initial=-1)) + 1
    owners = saved["codes"] % shards
    apart = driven.arena.split(saved, owners, shards)
    parts = []
    for shard, part in enumerate(apart):
        own = np.arange(shard, size, shards)
        codes = np.full(size, -1, np.int64)
        codes[own] = np.arange(len(own))
        arena = driven.new_arena()
        arena.restore([(part, codes)])
        parts.append((arena.snapshot(), own))
    driven.arena = driven.new_arena()
    driven.arena.restore(parts)


def named(names: str, step: int = 1) -> list[Event]:
    return [{"ts": at * step, "name": name, "k": "x"} for at, name in enumerate(names)]


def taken(driven: Driven) -> list[list[int]]:
    return [[sequence for _, sequence in match.taken] for match in driven.matches["x"]]


def test_of_matches_that_end_together_the_oldest_comes_first() -> None:
    found = run(letters("a ->> b"), named("aaabb"), by_sets=True)
    assert taken(found) == [[0, 3], [1, 3], [2, 3], [0, 4], [1, 4], [2, 4]]


def test_captures_that_are_over_are_let_go_of() -> None:
    driven = Driven(letters("a ->> b ->> c within 9 ms"), by_sets=True)
    for begin in range(0, 9_000, 3):
        events: Sequence[Event] = named("abd")
        driven.feed([{**event, "ts": begin + at} for at, event in enumerate(events)])
        driven.arena.tidy((begin + 2) * 1_000)
        assert len(driven.arena.sequences_from(0)) <= 2 * 4
    assert driven.arena.bytes_held < 20_000
