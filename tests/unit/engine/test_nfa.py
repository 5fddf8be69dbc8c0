"""Each operator's automaton, as text."""

from __future__ import annotations

import pytest

from cep.engine.automaton.flat import flatten
from cep.engine.automaton.nfa import build_nfa
from cep.engine.automaton.states import Guard
from tests.unit.engine.runtime_tools import letters, pattern_of

AUTOMATA = {
    "a b": """
start:
  take a  a -> await b
await b:
  take b  b -> match
""",
    "a -> b": """
start:
  take a  a -> await b
await b:
  take b  b -> match
  ignore  not b -> await b
""",
    "a ->> b": """
start:
  take a  a -> await b
await b:
  take b  b -> match
  ignore  any event -> await b
""",
    "a not b": """
start:
  take a  a -> await not b
await not b:
  ignore  not b -> match
  kill    b
""",
    "a not b c": """
start:
  take a  a -> await not b
await not b:
  take c  c and not b -> match
  kill    b
""",
    "a -> not b -> c": """
start:
  take a  a -> await c
await c:
  take c  c -> match
  ignore  not c -> await c
  kill    b
""",
    "a -> not b within 5 seconds": """
start:
  take a  a -> await not b
await not b: complete at the deadline
  ignore  not b -> await not b
  kill    b
""",
    "a? b": """
start:
  take a  a -> await b
  take b  b and not a -> match
await b:
  take b  b -> match
""",
    "a+ -> b": """
start:
  take a  a -> await a
await a:
  take a  a -> await a
  ignore  not a -> await a #2
  take b  b and not a -> match
  ignore  not b and not a -> await b
await a #2:
  take a  a -> await a
  ignore  not a -> await a #2
await b:
  take b  b and not a -> match
  ignore  not b and not a -> await b
""",
    "a+? -> b": """
start:
  take a  a -> await a
await a:
  take a  a -> await a
  ignore  not a -> await a #2
  take b  b -> match
  ignore  not b -> await b
await a #2:
  take a  a -> await a
  ignore  not a -> await a #2
await b:
  take b  b -> match
  ignore  not b -> await b
""",
    "a{2}": """
start:
  take a  a -> await a
await a:
  take a  a -> match
  ignore  not a -> await a
""",
    "a{2,} b": """
start:
  take a  a -> await a
await a:
  take a  a -> await a #2
  ignore  not a -> await a
await a #2:
  take a  a -> await a #2
  ignore  not a -> await a #3
  take b  b and not a -> match
await a #3:
  take a  a -> await a #2
  ignore  not a -> await a #3
""",
    "c a{1,2} b": """
start:
  take c  c -> await a
await a:
  take a  a -> await a #2
await a #2:
  take a  a -> await b
  ignore  not a -> await a #3
  take b  b and not a -> match
await b:
  take b  b and not a -> match
await a #3:
  take a  a -> await b
  ignore  not a -> await a #3
""",
    "c a+ consecutive b": """
start:
  take c  c -> await a
await a:
  take a  a -> await a #2
await a #2:
  take a  a -> await a #2
  take b  b and not a -> match
""",
    "c a+ combinations b": """
start:
  take c  c -> await a
await a:
  take a  a -> await a #2
await a #2:
  take a  a -> await a #2
  ignore  any event -> await a #3
  take b  b -> match
await a #3:
  take a  a -> await a #2
  ignore  any event -> await a #3
""",
    "c -> a+ until (name = 'x') -> b": """
start:
  take c  c -> await a
await a:
  take a  a and not until -> await a #2
  ignore  not a -> await a
await a #2:
  take a  a and not until -> await a #2
  ignore  not until and not a -> await a #3
  take b  b and not until and not a -> match
  ignore  not b and not until and not a -> await b
  take b  b and until -> match
  ignore  until and not b -> await b #2
await a #3:
  take a  a and not until -> await a #2
  ignore  not until and not a -> await a #3
await b:
  take b  b and not a -> match
  ignore  not b and not a -> await b
await b #2:
  take b  b -> match
  ignore  not b -> await b #2
""",
    "c (a -> b){2}": """
start:
  take c  c -> await a
await a:
  take a  a -> await b
await b:
  take b  b -> await a #2
  ignore  not b -> await b
await a #2:
  take a  a -> await b #2
  ignore  not a -> await a #2
await b #2:
  take b  b -> match
  ignore  not b -> await b #2
""",
    "a (b c)? d": """
start:
  take a  a -> await b
await b:
  take b  b -> await c
  take d  d and not b -> match
await c:
  take c  c -> await d
await d:
  take d  d -> match
""",
    "a -> (b | c) d": """
start:
  take a  a -> await one of
await one of:
  ignore  not b and not c -> await one of
  take b  b -> await d
  take c  c -> await d #2
await d:
  take d  d -> match
await d #2:
  take d  d -> match
""",
    "permute(a, b)": """
start:
  take a  a -> await one of
  take b  b -> await one of #2
await one of:
  ignore  not b -> await one of
  take b  b -> match
await one of #2:
  ignore  not a -> await one of #2
  take a  a -> match
""",
    "a -> b c?": """
start:
  take a  a -> await b
await b:
  take b  b -> await c, and a match
  ignore  not b -> await b
await c:
  take c  c -> match
""",
    "a -> b -> c within 5 seconds between events": """
start: less than 5 s after the last event
  take a  a -> await b
await b: less than 5 s after the last event
  take b  b -> await c
  ignore  not b -> await b
await c: less than 5 s after the last event
  take c  c -> match
  ignore  not c -> await c
""",
    "a -> within 30 seconds b": """
start:
  take a  a -> await b
await b: less than 30 s after the last event
  take b  b -> match
  ignore  not b -> await b
""",
    "c a{2,} gap 3 seconds b": """
start:
  take c  c -> await a
await a: less than 3 s after the last event
  take a  a -> await a #2
await a #2: less than 3 s after the last event
  take a  a -> await a #3
  ignore  not a -> await a #2
await a #3:
  take a  a -> await a #3
  ignore  not a -> await a #4
  take b  b and not a -> match
await a #4:
  take a  a -> await a #3
  ignore  not a -> await a #4
""",
    "a -> b unless name = 'x'": """
start:
  take a  a -> await b
await b:
  take b  b -> match
  ignore  not b -> await b
""",
}


@pytest.mark.parametrize("match", AUTOMATA)
def test_an_operator_becomes_this_automaton(match: str) -> None:
    assert str(flatten(build_nfa(letters(match)))) == AUTOMATA[match].strip()


def test_conditions_that_say_the_same_are_one() -> None:
    text = "pattern p match a b c define a as n = 1, b as n = 2, c as n = 1"
    nfa = build_nfa(pattern_of(text))
    assert len(nfa.conditions) == 2
    assert nfa.variables == ("a", "b", "c")


def test_the_states_of_an_automaton_are_those_that_can_be_reached() -> None:
    nfa = build_nfa(letters("a -> b"))
    assert nfa.states()[0] is nfa.start
    assert nfa.states()[-1] is nfa.final
    assert [state.final for state in nfa.states()].count(True) == 1


def test_guards_join_and_exclude() -> None:
    first, second = Guard(frozenset({0})), Guard(frozenset({1}), frozenset({2}))
    both = first & second
    assert both == Guard(frozenset({0, 1}), frozenset({2}))
    assert both.implies(first)
    assert not first.implies(both)
    assert not (both & Guard(frozenset({2}))).possible


def test_the_negations_of_a_guard_exclude_each_other() -> None:
    guard = Guard(frozenset({0, 1}), frozenset({2}))
    assert list(guard.negations()) == [
        Guard(forbid=frozenset({0})),
        Guard(frozenset({0}), frozenset({1})),
        Guard(frozenset({0, 1, 2})),
    ]
