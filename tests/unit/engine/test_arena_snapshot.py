"""Stopped, written down and restored in any number of shards is as good as never stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.engine.algebra.pattern import Pattern
from cep.engine.batch import Int64s
from cep.engine.state.arena import RunArena
from cep.engine.state.snapshot import Snapshot
from tests.reference.random_patterns import event_streams, patterns
from tests.unit.engine.arena_check import check_arena
from tests.unit.engine.arena_tools import Driven, Event
from tests.unit.engine.runtime_tools import letters, pattern_of


def restored(driven: Driven, parts: list[tuple[Snapshot, Int64s]], capacity: int = 1) -> RunArena:
    arena = RunArena(driven.tables, capacity, driven.limit)
    arena.restore(parts)
    check_arena(arena, len(driven.tables.flat.states), len(driven.nfa.variables))
    return arena


def same_codes(snapshot: Snapshot) -> Int64s:
    return np.arange(int(snapshot["codes"].max(initial=-1)) + 1)


def stop_and_go(driven: Driven) -> None:
    snapshot = driven.arena.snapshot()
    driven.arena = restored(driven, [(snapshot, same_codes(snapshot))])


def split_and_merge(driven: Driven, shards: int = 3) -> None:
    """Into shards by code, each with codes of its own, and together again."""
    snapshot = driven.arena.snapshot()
    size = len(same_codes(snapshot))
    parts = []
    for shard in range(shards):
        own = np.arange(shard, size, shards)
        codes = np.full(size, -1, np.int64)
        codes[own] = np.arange(len(own))
        apart = restored(driven, [(snapshot, codes)])
        parts.append((apart.snapshot(), own))
    driven.arena = restored(driven, parts)


def test_a_snapshot_holds_keys_runs_and_captures_and_changes_no_more() -> None:
    driven = Driven(letters("a -> b -> c", by="by k"))
    driven.feed([event(0, "a", "x"), event(1, "a", "y"), event(2, "b", "y")])
    snapshot = driven.arena.snapshot()
    assert snapshot["codes"].tolist() == [0, 1]
    assert snapshot["runs_of"].tolist() == [1, 1]
    driven.feed([event(3, "c", "y"), event(4, "b", "x")])
    assert snapshot["runs_of"].tolist() == [1, 1]
    arena = restored(driven, [(snapshot, np.array([-1, 0]))])
    assert arena.open_runs == 1
    assert arena.node_count == 2
    assert arena.active_keys().tolist() == [0]
    assert sorted(arena.sequences_from(0).tolist()) == [1, 2]


def event(ts: int, name: str, k: str) -> Event:
    return {"ts": ts, "name": name, "k": k}


def test_results_must_be_taken_before_a_snapshot() -> None:
    driven = Driven(letters("a -> b", by="by k"))
    driven.collect = lambda: None  # type: ignore[method-assign]
    driven.feed([event(0, "a", "x"), event(1, "b", "x")])
    with pytest.raises(AssertionError):
        driven.arena.snapshot()


def test_an_empty_arena_is_restored_from_nothing() -> None:
    driven = Driven(letters("a -> b", by="by k"))
    stop_and_go(driven)
    driven.arena = restored(driven, [])
    driven.feed([event(0, "a", "x"), event(1, "b", "x")])
    assert len(driven.matches["x"]) == 1


def test_timers_of_restored_keys_ring() -> None:
    driven = Driven(letters("a -> not b within 5 ms", by="by k"))
    driven.feed([event(0, "a", "x"), event(1, "a", "y")])
    split_and_merge(driven)
    assert driven.arena.next_due_us == 5_000
    driven.advance_to(6_000)
    assert sorted(driven.matches) == ["x", "y"]


@settings(max_examples=150)
@given(
    patterns(),
    event_streams(most=12),
    st.lists(st.sampled_from(["", "", "stop", "split"]), min_size=12, max_size=12),
    st.booleans(),
)
def test_stopped_and_restored_at_any_point_is_as_good_as_never_stopped(
    pattern: Pattern, events: list[Event], stops: list[str], timeouts: bool
) -> None:
    if not timeouts:
        pattern = replace(pattern, timeout_select=None)
    going, stopped = Driven(pattern), Driven(pattern)
    for given_event, stop in zip(events, stops, strict=False):
        for driven in (going, stopped):
            driven.feed([given_event])
            driven.advance_to(given_event["ts"] * 1000)
        if stop == "stop":
            stop_and_go(stopped)
        elif stop == "split":
            split_and_merge(stopped)
    going.close()
    stopped.close()
    assert stopped.results == going.results


# -- texts in registers ----------------------------------------------------------------------------

TEXTS = pattern_of(
    "pattern p by k match a -> a2 -> b"
    " define a as t like 'p%', a2 as t > first(a.t) and count(a.t) > 0, b as t = last(a.t)"
    " and t <> 'zzz' or min(a.t) > t"
)


def said(ts: int, t: str | None, k: str = "x") -> Event:
    return {"ts": ts, "t": t, "k": k, "name": "a"}


def test_texts_that_registers_hold_can_be_renamed_and_the_others_forgotten() -> None:
    driven = Driven(TEXTS)
    driven.feed([said(0, "other", "y"), said(1, "p1"), said(2, "gone", "z"), said(3, "p3")])
    arena, texts = driven.arena, driven.texts
    assert len(arena.text_registers) > 0
    used = arena.used_texts()
    assert {texts.text(code) for code in used.tolist()} == {"p1", "p3"}
    arena.rename_texts(texts.keep(used))
    assert {texts.text(code) for code in arena.used_texts().tolist()} == {"p1", "p3"}
    assert len(texts) == texts.pinned + 2
    driven.feed([said(4, "p1")])
    assert [result.taken for result in driven.matches["x"]] == [(("a", 1), ("a2", 3), ("b", 4))]


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(["p1", "p2", "p3", "p", None]), st.sampled_from("xy"))))
def test_forgetting_texts_after_every_event_changes_nothing(said_by: list[tuple[str, str]]) -> None:
    events = [said(ts, t, k) for ts, (t, k) in enumerate(said_by)]
    going, forgetful = Driven(TEXTS), Driven(TEXTS)
    for one in events:
        going.feed([one])
        forgetful.feed([one])
        mapping = forgetful.texts.keep(forgetful.arena.used_texts())
        forgetful.arena.rename_texts(mapping)
    assert forgetful.results == going.results
    forgetful.arena.tidy(0)
    forgetful.arena.rename_texts(forgetful.texts.keep(forgetful.arena.used_texts()))
    assert len(forgetful.texts) <= forgetful.texts.pinned + 4
