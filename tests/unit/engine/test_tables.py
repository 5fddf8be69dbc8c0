"""Automata as integer tables, by hand, and what is read off them."""

from __future__ import annotations

import pytest

from cep.engine.algebra.errors import RuleError
from cep.engine.kernels import layout
from tests.unit.engine.runtime_tools import letters, pattern_of, tables_of

TAKE, IGNORE, FINAL = layout.TAKE, layout.IGNORE, layout.FINAL


def test_edges_and_states_are_rows_in_order() -> None:
    automaton = tables_of(letters("a -> b", "within 10 seconds")).automaton
    b, a = 0b01, 0b10  # the automaton is built from its end
    assert automaton.edges.tolist() == [
        [TAKE, a, 0, 0, 1, 0, 0],
        [TAKE, b, 0, 1, FINAL, 0, 0],
        [IGNORE, 0, b, -1, 1, 0, 0],
    ]
    assert automaton.states[:, : layout.STATE_KILLS].tolist() == [[0, 1], [1, 3]]
    assert automaton.settings[layout.WITHIN_US] == 10_000_000
    assert automaton.settings[layout.START_ANY] == a
    assert automaton.settings[layout.RUNS_PER_STEP] == 2
    assert automaton.settings[layout.UNLESS] == -1


def test_kills_and_completions_are_guards_by_index() -> None:
    killed = tables_of(letters("a not b c")).automaton
    first, end = killed.states[1, layout.STATE_KILLS : layout.STATE_KILLS_END + 1].tolist()
    c, b = 0b001, 0b010
    assert killed.guards[first:end].tolist() == [[b, 0]]
    assert killed.edges[1, layout.EDGE_REQUIRE : layout.EDGE_FORBID + 1].tolist() == [c, b]
    also = tables_of(letters("a -> b c?")).automaton
    first, end = also.edges[1, layout.EDGE_FINALS : layout.EDGE_FINALS_END + 1].tolist()
    assert also.guards[first:end].tolist() == [[0, 0]]


def test_time_bounds_stand_with_their_states() -> None:
    states = tables_of(letters("a -> within 30 seconds b -> within 5 seconds not c")).automaton
    assert states.states[:, layout.STATE_WINDOW_US].tolist() == [0, 30_000_000, 5_000_000]
    assert states.states[:, layout.STATE_PENDING].tolist() == [0, 0, 1]
    assert states.settings[layout.HAS_WINDOWS] == 1


@pytest.mark.parametrize(
    ("clause", "strategy", "variable"),
    [
        ("no skip", layout.NO_SKIP, 0),
        ("skip to next row", layout.TO_NEXT_ROW, 0),
        ("skip past last event", layout.PAST_LAST_EVENT, 0),
        ("skip to first b", layout.TO_FIRST, 1),
        ("skip to last b", layout.TO_LAST, 1),
    ],
)
def test_the_skip_strategy_is_a_setting(clause: str, strategy: int, variable: int) -> None:
    settings = tables_of(letters("a -> b", f"after match {clause}")).automaton.settings
    assert settings[layout.SKIP] == strategy
    assert settings[layout.SKIP_VARIABLE] == variable


def test_a_condition_across_events_has_a_program_and_is_asked_for_where_it_decides() -> None:
    tables = tables_of(
        pattern_of("pattern p match a -> b -> c define a as n = 1, b as n > a.n, c as n = 3")
    )
    across = int(tables.automaton.settings[layout.ACROSS])
    assert across.bit_count() == 1
    assert tables.automaton.states[:, layout.STATE_ACROSS].tolist() == [0, across, 0]
    lengths = [int(n) for n in tables.programs.start[1:] - tables.programs.start[:-1]]
    assert sorted(lengths) == [0, 0, 3]


@pytest.mark.parametrize(
    ("match", "clauses", "settles"),
    [
        ("a -> b", "", True),
        ("a ->> b", "", True),
        ("a b", "", False),
        ("a not b c", "", False),
        ("a -> not b -> c", "", True),
        ("a+ -> b", "within 5 seconds", True),
        ("a -> b", "within 5 seconds between events", True),
        ("a -> b", "within 5 seconds on timeout select a.n as n", True),
        (
            "a -> b",
            "within 5 seconds after match skip past last event on timeout select a.n as n",
            False,
        ),
    ],
)
def test_events_that_meet_no_condition_are_left_out_where_they_change_nothing(
    match: str, clauses: str, settles: bool
) -> None:
    assert tables_of(letters(match, clauses)).flat.settles is settles


def test_more_conditions_than_a_word_has_bits_are_refused() -> None:
    names = [f"v{i}" for i in range(64)]
    defined = ", ".join(f"{name} as n = {i}" for i, name in enumerate(names))
    pattern = pattern_of(f"pattern p match {' -> '.join(names)} define {defined}")
    with pytest.raises(RuleError) as refused:
        tables_of(pattern)
    assert "pattern p has 64 different conditions, more than 63" in str(refused.value)


def test_every_condition_that_no_program_can_evaluate_is_named() -> None:
    pattern = pattern_of(
        "pattern p match a -> b -> c define a as n = 1, "
        "b as contains(t, a.t), c as t || last(b.t) = 'x'"
    )
    with pytest.raises(RuleError) as refused:
        tables_of(pattern)
    assert len(refused.value.problems) == 2
