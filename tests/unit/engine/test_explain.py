"""What people read about how their patterns run."""

from __future__ import annotations

import pytest

from cep.engine.automaton.explain import GraphEdge, GraphNode, explain
from tests.unit.engine.runtime_tools import EVENTS, letters, pattern_of

CARDS = """
pattern p by k match a{2,} -> b within 10 seconds
  define a as n = 1, b as n > sum(a.n) and t = 'x'
  after match no skip"""

EXPLAINED = """
pattern p
  by k
  match a{2,} -> b
  within 10 seconds
  define a as n = 1,
         b as n > sum(a.n) and t = 'x'
  after match no skip;
  evaluator: runs, one per partial match and key, since a condition reads earlier events
  once per event, as columns:
    b: t = 'x'
    a: n = 1
  once per open run, where the columns hold:
    b: n > sum(a.n)
  each run keeps: sum of a: n
  events that meet none of these are never looked at again
  automaton:
    start:
      take a  a -> await a
    await a:
      take a  a -> await a #2
      ignore  not a -> await a
    await a #2:
      take a  a -> await a #2
      ignore  not a -> await a #3
      take b  b and not a -> match
      ignore  not b and not a -> await b
    await a #3:
      take a  a -> await a #2
      ignore  not a -> await a #3
    await b:
      take b  b and not a -> match
      ignore  not b and not a -> await b
"""


def test_a_pattern_is_explained_by_what_is_computed_where_and_its_automaton() -> None:
    assert str(explain([pattern_of(CARDS)], [EVENTS])) == EXPLAINED.strip()


def test_columns_that_patterns_share_are_marked() -> None:
    other = pattern_of("pattern q match a b define a as n = 1, b as n = 2")
    text = str(explain([pattern_of(CARDS), other], [EVENTS]))
    assert text.count("a: n = 1  (shared by 2 patterns)") == 2
    assert "b: n = 2\n" in text
    assert "every event of a key with open runs is looked at" in text


def test_an_automaton_is_a_graph_for_plotting() -> None:
    graph = explain([letters("a b not c")], [EVENTS]).graph("p")
    assert graph.nodes == (
        GraphNode("start", "start"),
        GraphNode("await b", "state"),
        GraphNode("await not c", "state"),
        GraphNode("match", "match"),
        GraphNode("killed", "killed"),
    )
    assert graph.edges == (
        GraphEdge("start", "await b", "take", "a", "a"),
        GraphEdge("await b", "await not c", "take", "b", "b"),
        GraphEdge("await not c", "match", "ignore", "not c"),
        GraphEdge("await not c", "killed", "kill", "c"),
    )


def test_a_state_that_waits_for_its_deadline_says_so() -> None:
    explanation = explain([letters("a -> not b within 5 seconds")], [EVENTS])
    assert "    await not b: complete at the deadline\n" in str(explanation)
    assert explanation.graph("p").nodes[1] == GraphNode("await not b", "pending")


def test_a_pattern_that_nobody_has_explained_has_no_graph() -> None:
    with pytest.raises(KeyError):
        explain([letters("a")], [EVENTS]).graph("q")


def test_an_automaton_says_what_the_deadline_and_unless_do() -> None:
    pattern = pattern_of(
        "pattern p match a -> not b within 5 seconds define a as n = 1, b as n = 2 unless n = 3"
    )
    edges = explain([pattern], [EVENTS]).graph("p").edges
    assert edges[2:] == (
        GraphEdge("await not b", "killed", "kill", "b"),
        GraphEdge("await not b", "killed", "kill", "unless"),
        GraphEdge("await not b", "match", "deadline", "the deadline comes and no such event has"),
    )


def test_a_pattern_whose_conditions_read_one_event_is_evaluated_by_the_set() -> None:
    text = str(explain([letters("a ->> b ->> c")], [EVENTS]))
    assert "evaluator: sets, one for all partial matches of a key that await the same\n" in text


@pytest.mark.parametrize(
    ("clauses", "reason"),
    [
        ("after match skip to next row", "matches skip others"),
        ("within 5 s between events", "there is a time limit between events"),
    ],
)
def test_why_a_pattern_is_evaluated_by_runs_is_said(clauses: str, reason: str) -> None:
    text = str(explain([letters("a -> b", clauses)], [EVENTS]))
    assert f"evaluator: runs, one per partial match and key, since {reason}\n" in text
