"""A watermark wakes the keys that wait for it and no others; what comes out names its cause."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.engine.algebra.pattern import Pattern
from cep.engine.kernels import layout
from tests.reference.random_patterns import event_streams, patterns
from tests.unit.engine.arena_tools import WAITING, Driven, Event, Result, run
from tests.unit.engine.runtime_tools import letters, pattern_of

ABSENCE = letters("a -> not b within 5 ms", by="by k")
TIMED = pattern_of(
    "pattern p by k match a -> b within 5 ms define a as name = 'a', b as name = 'b'"
    " on timeout select count(a) as n"
)


def at(ts: int, name: str, k: str = "x", i: int = 0) -> Event:
    return {"ts": ts, "name": name, "k": k, "i": i}


def test_an_absence_comes_when_its_time_has_come_and_time_alone_is_its_cause() -> None:
    driven = Driven(ABSENCE)
    driven.feed([at(0, "a"), at(1, "a", "y")])
    assert driven.arena.next_due_us == 5_000
    driven.advance_to(4_999)
    assert driven.matches == {}
    driven.advance_to(5_000)
    assert driven.matches == {"x": [Result(5_000, -1, (("a", 0),))]}
    assert driven.arena.next_due_us == 6_000
    driven.advance_to(7_000)
    assert driven.matches["y"] == [Result(6_000, -1, (("a", 1),))]
    assert driven.arena.next_due_us == layout.NEVER


def test_a_match_says_which_event_released_it() -> None:
    driven = run(letters("a -> b", by="by k"), [at(0, "a"), at(1, "b", "y"), at(2, "b")])
    assert driven.matches == {"x": [Result(2_000, 2, (("a", 0), ("b", 2)))]}


def test_a_match_that_waited_says_which_event_released_it() -> None:
    driven = Driven(pattern_of(WAITING))
    driven.feed([at(0, "a", i=5), at(1, "a", i=1), at(2, "b", i=3)])
    assert driven.arena.held_back == 1
    driven.feed([at(3, "b", i=9)])
    causes = [(result.cause, result.taken[0][1]) for result in driven.matches["x"]]
    assert causes == [(3, 0), (3, 1)]


def test_a_match_that_waited_for_a_run_that_timed_out_was_released_by_time() -> None:
    driven = Driven(pattern_of(WAITING))
    driven.feed([at(0, "a", i=5), at(1, "a", i=1), at(2, "b", i=3)])
    assert driven.arena.next_due_us == 9_000
    driven.advance_to(9_000)
    assert [(r.at_us, r.cause, r.taken[0][1]) for r in driven.matches["x"]] == [(9_000, -1, 1)]
    assert driven.arena.held_back == 0


def test_a_timeout_is_caused_by_time_also_where_an_event_brings_it() -> None:
    driven = Driven(TIMED)
    driven.feed([at(0, "a"), at(9, "c")])
    assert driven.timeouts == {"x": [Result(5_000, -1, (("a", 0),))]}


def test_a_pattern_for_which_time_tells_nothing_has_no_timers() -> None:
    driven = Driven(letters("a -> b", "within 5 ms", by="by k"))
    driven.feed([at(0, "a", key) for key in "uvwxyz"])
    assert driven.arena.next_due_us == layout.NEVER


def test_only_keys_with_a_match_that_waits_have_a_timer_where_time_tells_nothing_else() -> None:
    driven = Driven(pattern_of(WAITING))
    driven.feed([at(0, "a", "y"), at(0, "a", i=5), at(1, "a", i=1), at(2, "b", i=3)])
    assert driven.arena.arena.counters[layout.TIMERS] == 1


def test_timers_that_mean_nothing_do_not_pile_up() -> None:
    driven = Driven(letters("a -> not b within 5 ms", by="by k"), capacity=1)
    for ts in range(200):
        driven.feed([at(ts, "a", str(ts % 3)), at(ts, "b", str(ts % 3))])
        assert len(driven.arena.arena.timers) <= 8


def test_many_keys_that_time_out_at_the_same_time_are_told_apart() -> None:
    driven = Driven(TIMED, capacity=2)
    driven.feed([at(0, "a", str(key)) for key in range(50)])
    driven.advance_to(5_000)
    assert sorted(driven.timeouts) == sorted(map(str, range(50)))
    assert all(len(results) == 1 for results in driven.timeouts.values())


def test_keys_that_are_renumbered_are_woken_all_the_same() -> None:
    driven = Driven(ABSENCE)
    driven.feed([at(0, "a", "u"), at(0, "a", "v"), at(1, "b", "u")])
    driven.arena.keep_keys(np.array([1]))
    driven.advance_to(5_000)
    assert list(driven.matches) == ["v"]


class Walked(Driven):
    """Time reaches every key at every step: what timers must not be told from."""

    def advance_to(self, time_us: int) -> None:
        self.arena.expire(time_us)
        self.collect()


def variants(pattern: Pattern) -> tuple[Pattern, ...]:
    return pattern, replace(pattern, timeout_select=None)


@settings(max_examples=150)
@given(patterns(), event_streams(most=12), st.lists(st.integers(0, 3), min_size=12, max_size=12))
def test_timers_give_each_key_what_walking_over_all_keys_gives(
    pattern: Pattern, events: list[Event], leads: list[int]
) -> None:
    for variant in variants(pattern):
        timed, walked = Driven(variant), Driven(variant)
        for event, lead in zip(events, leads, strict=False):
            for driven in (timed, walked):
                driven.feed([event])
                # Up to the time of the next event, as a watermark would.
                driven.advance_to(min(event["ts"] * 1000 + lead * 500, _next(events, event)))
        timed.close()
        walked.close()
        assert timed.results == walked.results


def _next(events: list[Event], event: Event) -> int:
    following = events[event["id"] + 1 :][:1]
    return int(following[0]["ts"]) * 1000 if following else 10**12


@settings(max_examples=150)
@given(patterns(), event_streams(most=12), st.lists(st.integers(1, 11), max_size=6))
def test_causes_do_not_depend_on_how_events_are_cut_into_batches(
    pattern: Pattern, events: list[Event], cuts: list[int]
) -> None:
    for variant in variants(pattern):
        together, cut = run(variant, events).results, run(variant, events, cuts).results
        assert together == cut


@pytest.mark.parametrize("match", ["a -> b", "a ->> b"])
def test_next_due_is_never_later_than_what_is_due(match: str) -> None:
    driven: Any = Driven(letters(match, "within 5 ms after match skip past last event", by="by k"))
    for ts in range(20):
        driven.feed([at(ts, "ab"[ts % 3 == 2], "xy"[ts % 2])])  # arena_check looks at every timer
