"""Patterns whose automata differ in constants only share their runs, and do not notice it.

Each finds what it finds alone: in batches and event by event, behind a restart, with other members
before and after it, and with workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cep
from cep.engine.algebra.expression import Expression, Literal, rebuild
from cep.engine.algebra.pattern import Pattern
from cep.engine.algebra.plan import RuleSet
from tests.reference.random_patterns import LETTERS, STREAM, event_streams, patterns

pytestmark = pytest.mark.filterwarnings("ignore::cep.rules.RuleWarning")

Events = list[dict[str, Any]]
Outcome = dict[str, list[str]]
law = settings(max_examples=80, suppress_health_check=list(HealthCheck), deadline=None)
members = st.lists(st.integers(0, 3), min_size=2, max_size=4)


def shifted(pattern: Pattern, by: int, name: str) -> Pattern:
    """The pattern with other constants: letters and numbers further on."""

    def change(node: Expression) -> Expression:
        if isinstance(node, Literal) and isinstance(node.value, str) and node.value in LETTERS:
            return replace(node, value=LETTERS[(LETTERS.index(node.value) + by) % len(LETTERS)])
        if isinstance(node, Literal) and type(node.value) is int:
            return replace(node, value=node.value + by)
        return rebuild(node, change)

    definitions = tuple(
        replace(each, condition=None if each.condition is None else change(each.condition))
        for each in pattern.definitions
    )
    return replace(pattern, name=name, definitions=definitions)


def rules_of(pattern: Pattern, by: Sequence[int], names: Sequence[int]) -> Any:
    keyed = replace(pattern, streams=(STREAM.name,), key=("k",))
    chosen = tuple(shifted(keyed, by[n], f"p{n}") for n in names)
    return cep.compile(RuleSet((STREAM,), chosen))


def found(results: Sequence[cep.Result], name: str) -> list[str]:
    """Matches and timed-out runs of one pattern, in the order in which they came out."""
    return [
        f"{kind} {run.id} {run.at} {run.events}"
        for result in results
        for kind, table in (("match", result.matches), ("timeout", result.timeouts))
        for run in table
        if run.pattern == name
    ]


def in_batches(detector: cep.Detector, events: Events) -> list[cep.Result]:
    cuts = range(0, max(len(events), 1), 4)
    return [detector.process_batch(events[cut : cut + 4]) for cut in cuts]


def one_by_one(detector: cep.Detector, events: Events) -> list[cep.Result]:
    return [detector.process(event) for event in events]


Way = Callable[[cep.Detector, Events], list[cep.Result]]


def run(rules: Any, events: Events, way: Way, **options: Any) -> list[cep.Result]:
    with cep.Detector(rules, **options) as detector:
        return [*way(detector, events), detector.finish()]


@law
@given(patterns(), event_streams(most=14), members)
def test_each_finds_what_it_finds_alone(pattern: Pattern, events: Events, by: list[int]) -> None:
    together = rules_of(pattern, by, range(len(by)))
    whole = run(together, events, in_batches)
    single = run(together, events, one_by_one)
    for number in range(len(by)):
        alone = rules_of(pattern, by, [number])
        name = f"p{number}"
        assert found(whole, name) == found(run(alone, events, in_batches), name)
        assert found(single, name) == found(run(alone, events, one_by_one), name)


@law
@given(patterns(), event_streams(most=14), members, st.integers(0, 14), st.booleans())
def test_members_come_and_go_and_the_others_keep_their_state(
    pattern: Pattern, events: Events, by: list[int], stop: int, single: bool
) -> None:
    way = one_by_one if single else in_batches
    first = rules_of(pattern, by, range(len(by) - 1))
    second = rules_of(pattern, by, range(1, len(by)))
    detector = cep.Detector(first)
    before = way(detector, events[:stop])
    saved = detector.snapshot()
    detector.close()
    detector = cep.Detector.from_snapshot(saved, second)
    after = [*way(detector, events[stop:]), detector.finish()]
    detector.close()
    for number in range(1, len(by) - 1):
        name = f"p{number}"
        alone = run(rules_of(pattern, by, [number]), events, way)
        assert sorted(found([*before, *after], name)) == sorted(found(alone, name))


@settings(law, max_examples=25)
@given(patterns(), event_streams(most=14), members, st.integers(2, 3))
def test_workers_share_families(
    pattern: Pattern, events: Events, by: list[int], workers: int
) -> None:
    rules = rules_of(pattern, by, range(len(by)))
    one, many = run(rules, events, in_batches), run(rules, events, in_batches, workers=workers)
    for number in range(len(by)):
        assert sorted(found(many, f"p{number}")) == sorted(found(one, f"p{number}"))


def test_patterns_that_differ_in_constants_share_one_arena() -> None:
    text = "".join(
        f"pattern p{n} from events by k match a -> b within {w} seconds"
        f" define a as price > {n}, b as price > a.price * {n} and name = '{n}' select b.id as id;"
        for n, w in ((1, 5), (2, 5), (3, 5), (4, 6))
    )
    stream = "stream events (id int, ts timestamp, name text, price int, k text) time ts;"
    detector = cep.Detector(stream + text)
    assert detector._running is not None
    (task,) = detector._running.execution.runtime.tasks
    assert [len(family.operators) for family in task.families] == [3, 1]


def test_pairs_of_key_and_member_are_forgotten() -> None:
    stream = "stream events (id int, ts int, k int) time ts in ms;"
    text = "".join(
        f"pattern p{n} from events by k match a -> b within 5 milliseconds"
        f" define a as id % 2 = {n}, b as id % 2 = {n} select a.id as first, b.id as second;"
        for n in (0, 1)
    )
    detector = cep.Detector(stream + text)
    assert detector._running is not None
    (task,) = detector._running.execution.runtime.tasks
    (runs,) = task.families[0].shards
    matches = 0
    for number in range(2_000):
        for key in (number, number - 2):
            event = {"id": number, "ts": number, "k": key}
            result = detector.process(event) if number % 3 else detector.process_batch([event])
            matches += len(result.matches)
            for match in result.matches:
                assert match.values["second"] - match.values["first"] == 2
    assert runs.runs.open_runs_by_key()[0].size <= 1024  # of 4,000 pairs
    assert matches == 2_000 - 2
