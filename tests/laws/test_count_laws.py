"""Matches that are counted are as many as those that are made."""

from __future__ import annotations

import re
from dataclasses import replace
from math import comb
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cep
from cep.engine.algebra.pattern import Pattern, Skip, SkipStrategy
from cep.engine.algebra.plan import RuleSet
from tests.reference.random_patterns import STREAM, event_streams, patterns

pytestmark = pytest.mark.filterwarnings("ignore::cep.rules.RuleWarning")

Events = list[dict[str, Any]]
RULES = """stream events (ts int, name text, k int) time ts in ms;
pattern p from events by k match {steps} {within}
  define {names} after match no skip;
"""


def skipless(pattern: Pattern) -> Pattern:
    skip = Skip(SkipStrategy.NO_SKIP)
    return replace(pattern, skip=skip, timeout_select=None, longest=False)


@settings(max_examples=500, suppress_health_check=list(HealthCheck), deadline=None)
@given(patterns(), event_streams(most=16), st.booleans(), st.booleans(), st.integers(1, 2))
def test_as_many_are_counted_as_are_found(
    pattern: Pattern, events: Events, all_matches: bool, keyed: bool, workers: int
) -> None:
    pattern = skipless(pattern) if all_matches else pattern
    key = ("k",) if keyed else ()
    chosen = tuple(
        replace(pattern, name=name, streams=(STREAM.name,), key=key) for name in ("p", "q")
    )
    rules = cep.compile(RuleSet((STREAM,), chosen))
    found = rules.run(events, workers=workers).matches.counts()
    counts = rules.count(events, workers=workers)
    assert counts == {name: found.get(name, 0) for name in ("p", "q")}


def rules_of(steps: str, within: str = "") -> cep.Rules:
    return cep.compile(text_of(steps, within))


def text_of(steps: str, within: str = "") -> str:
    """The variable a1 takes events of name a."""
    variables = re.findall(r"\b[a-c]\d?\b", steps)
    names = ", ".join(f"{each} as name = '{each[0]}'" for each in variables)
    return RULES.format(steps=steps, within=within, names=names)


def letters(names: str, step_ms: int = 1) -> Events:
    return [{"ts": at * step_ms, "name": name, "k": 0} for at, name in enumerate(names)]


def test_what_nobody_could_list_is_counted_exactly() -> None:
    rules = rules_of("a1 ->> a2 ->> a3 ->> a4 ->> a5 ->> b")
    assert rules.count(letters("a" * 5_000 + "b")) == {"p": comb(5_000, 5)}


def test_a_window_slides_over_what_is_counted() -> None:
    rules = rules_of("a1 ->> a2 ->> b", "within 101 ms")
    assert rules.count(letters(("a" * 100 + "b") * 50)) == {"p": 50 * comb(100, 2)}


def test_more_matches_than_can_be_counted_are_an_error() -> None:
    rules = rules_of("a+ combinations ->> b")
    with pytest.raises(cep.DataError, match="more than 2\\*\\*62 matches"):
        rules.count(letters("a" * 80 + "b"))
    by_key = [
        {"ts": at, "name": n, "k": k} for at, n in enumerate("a" * 62 + "b") for k in range(3)
    ]
    with pytest.raises(cep.DataError, match="more than 2\\*\\*62 matches"):
        rules.count(by_key)
    assert rules.count(by_key[::3]) == {"p": 2**62 - 1}


def test_ways_to_complete_are_not_added_up_past_the_end() -> None:
    five = " | ".join(f"b{number}" for number in range(1, 6))
    rules = rules_of(f"a+ combinations ->> ({five})")
    assert rules.count(letters("a" * 10 + "b")) == {"p": 5 * (2**10 - 1)}
    with pytest.raises(cep.DataError, match="more than 2\\*\\*62 matches"):
        rules.count(letters("a" * 62 + "b"))


def test_too_many_matches_to_list_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cep.engine.state.set_arena.CAPTURES_MAX", 1_000)
    rules = rules_of("a ->> b")
    with pytest.raises(cep.DataError, match="too many matches to list: more than 1,000"):
        rules.run(letters("a" * 100 + "b" * 100))
    assert rules.count(letters("a" * 100 + "b" * 100)) == {"p": 10_000}


def test_patterns_that_others_read_are_made_and_counted() -> None:
    rules = cep.compile(
        text_of("a ->> b")
        + "pattern q from p match a -> b define a as true, b as true after match no skip;"
    )
    events = letters("aabb")
    found = rules.run(events).matches.counts()
    assert rules.count(events) == {"p": 4, "q": found["q"]}
