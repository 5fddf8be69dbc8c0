"""Limits on open runs: who is refused, who makes way, and that both are counted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Pattern
from cep.engine.kernels import layout
from cep.engine.state.limits import Limit, Policy
from tests.reference.random_patterns import event_streams, patterns
from tests.unit.engine.arena_tools import WAITING, Driven, Event, run
from tests.unit.engine.runtime_tools import letters, pattern_of

PAIRS = letters("a -> b", by="by k")


def words(text: str) -> list[Event]:
    """One event per word: a letter and the key, x if none is written."""
    return [{"ts": i, "name": w[0], "k": w[1:] or "x"} for i, w in enumerate(text.split())]


def taken(driven: Driven, key: str = "x") -> list[tuple[int, ...]]:
    return [tuple(sequence for _, sequence in result.taken) for result in driven.matches[key]]


def counts(driven: Driven) -> tuple[int, int]:
    return driven.arena.refused, driven.arena.dropped


def test_a_key_with_as_many_runs_as_it_may_have_refuses_new_ones() -> None:
    driven = run(PAIRS, words("a a a ay b by"), limit=Limit(runs_per_key=2))
    assert taken(driven) == [(0, 4), (1, 4)]
    assert taken(driven, "y") == [(3, 5)]
    assert counts(driven) == (1, 0)


def test_the_oldest_run_of_the_key_makes_way_where_the_policy_says_so() -> None:
    driven = run(PAIRS, words("a a a ay b by"), limit=Limit(runs_per_key=2, policy="drop oldest"))
    assert taken(driven) == [(1, 4), (2, 4)]
    assert taken(driven, "y") == [(3, 5)]
    assert counts(driven) == (0, 1)


def test_a_run_that_goes_on_takes_its_own_place() -> None:
    chain = letters("a -> b -> c -> d", by="by k")
    driven = run(chain, words("a b c d"), limit=Limit(runs_per_key=1))
    assert taken(driven) == [(0, 1, 2, 3)]
    assert counts(driven) == (0, 0)


def test_what_a_run_becomes_beside_its_first_successor_is_added() -> None:
    branches = letters("a ->> b -> c", by="by k")
    driven = run(branches, words("a b b c"), limit=Limit(runs_per_key=1))
    assert taken(driven) == [(0, 1, 3)]
    assert counts(driven) == (1, 0)  # the run that would have gone on waiting for another b
    driven = run(branches, words("a b b c"), limit=Limit(runs_per_key=1, policy="drop oldest"))
    assert taken(driven) == []
    assert counts(driven) == (0, 2)  # both times the run with b made way for the one that waits


def test_a_dropped_run_no_longer_holds_matches_back() -> None:
    driven = Driven(pattern_of(WAITING), limit=Limit(runs_per_key=2, policy="drop oldest"))
    wants = zip(words("a a b a a"), [5, 1, 3, 7, 8], strict=True)
    driven.feed([{**event, "i": i} for event, i in wants])
    assert [(r.cause, r.taken[0][1]) for r in driven.matches["x"]] == [(4, 1)]
    assert (driven.arena.held_back, counts(driven)) == (0, (0, 1))


def test_a_limit_over_all_keys_refuses_new_runs() -> None:
    driven = run(PAIRS, words("ax ay az by az bz bx"), limit=Limit(runs=2))
    assert (taken(driven, "x"), taken(driven, "y"), taken(driven, "z")) == (
        [(0, 6)],
        [(1, 3)],
        [(4, 5)],
    )
    assert counts(driven) == (1, 0)


def test_runs_of_other_keys_whose_time_is_up_count_no_more() -> None:
    timed = letters("a -> b", "within 2 ms", by="by k")
    driven = Driven(timed, limit=Limit(runs=1))
    driven.feed(words("ax ay az bz"))  # x ends at 2 ms, when z begins
    assert taken(driven, "z") == [(2, 3)]
    assert counts(driven) == (1, 0)


def test_without_a_limit_the_tables_are_shared() -> None:
    driven = Driven(PAIRS, limit=Limit())
    assert driven.arena._automaton is driven.tables.automaton
    assert driven.tables.automaton.settings[layout.LIMITED] == 0


@pytest.mark.parametrize("bound", [{"runs_per_key": 0}, {"runs": -1}])
def test_a_limit_is_at_least_one(bound: dict[str, int]) -> None:
    with pytest.raises(DataError, match="at least one run must be allowed"):
        Limit(**bound)  # type: ignore[arg-type]


limits = st.builds(
    Limit,
    st.none() | st.integers(1, 3),
    st.none() | st.integers(1, 4),
    st.sampled_from(["refuse new", "drop oldest"]),
)


@settings(max_examples=150)
@given(patterns(), event_streams(most=12), st.lists(st.integers(1, 11), max_size=6), limits)
def test_limits_hold_after_every_event_and_do_not_depend_on_batches(
    pattern: Pattern, events: list[Event], cuts: list[int], limit: Limit
) -> None:
    together, cut = run(pattern, events, limit=limit), run(pattern, events, cuts, limit=limit)
    assert cut.results == together.results
    assert counts(cut) == counts(together)
    one_by_one = Driven(pattern, limit=limit)
    for event in events:
        one_by_one.feed([event])
        arena = one_by_one.arena
        assert arena.open_runs <= (limit.runs or 1_000)
        assert arena.keys[:, layout.KEY_RUNS].max() <= (limit.runs_per_key or 1_000)
    one_by_one.close()
    assert one_by_one.results == together.results
    assert counts(one_by_one) == counts(together)


@settings(max_examples=100)
@given(patterns(), event_streams(most=12), st.sampled_from(["refuse new", "drop oldest"]))
def test_a_limit_that_is_never_reached_changes_nothing(
    pattern: Pattern, events: list[Event], policy: Policy
) -> None:
    limited = run(pattern, events, limit=Limit(10_000, 100_000, policy))
    assert limited.results == run(pattern, events).results
    assert counts(limited) == (0, 0)
