"""Buffers that are always full: runs end, and captures are forgotten, in the middle of everything.

Patterns share runs there, so one must not end what another still needs, and what comes out while
room is made must not be lost. The same must come out event by event, in batches, and of each
pattern alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cep

pytestmark = pytest.mark.filterwarnings("ignore::cep.rules.RuleWarning")

Events = list[dict[str, Any]]
law = settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)

STREAM = "stream e (id int, ts int, v int, x float, c text, k int) time ts in ms;\n"
SHAPES = (
    "a -> b define a as v = {n}, b as v = {m} and x > a.x * {n}.5",
    "a -> b+ -> d define a as v = {n}, b as v = {m} and x > a.x - {n}.5, d as v = 3",
    "a -> not b define a as v = {n}, b as v = {m} and x > a.x * {n}.5",
    "a -> not d -> b define a as v = {n}, b as v = {m}, d as x > a.x + {n}",
    "a+ -> b define a as v <= {n} and c <> 'y', b as x > avg(a.x) + {n}",
    "a -> b define a as v = {n}, b as v = {m} and lower(c) = lower(a.c)",
    "a -> b define a as v = {n}, b as v = {m} and upper(c) > upper(a.c)",
    "a -> b define a as v = {n}, b as case when v = {m} then c else 'x' end = a.c",
    "a -> b define a as v = {n} and ln(x + {n}) > 0.1, b as v = {m} and sqrt(x) >= ln(a.x + 1)",
)


@pytest.fixture(autouse=True)
def _tiny_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cep.engine.operators.match.FEW_FAMILIES", 0)
    monkeypatch.setattr("cep.engine.operators.match.SMALL_CAPACITY", 2)
    monkeypatch.setattr("cep.engine.operators.match.ROWS_PER_STEP", 7)


@st.composite
def rule_texts(draw: st.DrawFn) -> list[str]:
    """Some patterns of one shape, with other constants."""
    match, define = draw(st.sampled_from(SHAPES)).split(" define ")
    within = draw(st.sampled_from([4, 12]))
    by = draw(st.sampled_from(["", "by k", "by c, k"]))
    skip = draw(st.sampled_from(["", "after match skip past last event"]))
    constants = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1))
    return [
        f"pattern p{number} from e {by} match {match} within {within} milliseconds {skip}"
        f" define {define.format(n=n, m=m)};\n"
        for number, (n, m) in enumerate(constants[:4])
    ]


event_fields = st.fixed_dictionaries(
    {
        "ts": st.sampled_from([0, 0, 0, 1, 1, 3]),
        "v": st.integers(0, 2),
        "x": st.sampled_from([0.5, 1.0, 2.0, 3.5, 10.0, None]),
        "c": st.sampled_from(["x", "y", "X", "Y", "z", None]),
        "k": st.sampled_from([1, 1, 2]),
    }
)


@st.composite
def event_lists(draw: st.DrawFn) -> Events:
    """Events close behind each other; `ts` is drawn as the step from the one before."""
    fields: Events = draw(st.lists(event_fields, min_size=40, max_size=80))
    times = accumulate(event["ts"] for event in fields)
    return [
        event | {"ts": time, "id": number}
        for number, (event, time) in enumerate(zip(fields, times, strict=True))
    ]


def told(result: cep.Result) -> list[str]:
    runs = [*result.matches, *result.timeouts]
    errors = [f"{row.reason} {row.pattern} {row.event}" for row in result.errors]
    return [f"{run.pattern} {run.at} {run.events}" for run in runs] + sorted(errors)


def in_batches(rules: Sequence[str], events: Events, size: int) -> list[list[str]]:
    with cep.Detector(STREAM + "".join(rules)) as detector:
        cuts = range(0, len(events), size)
        found = [told(detector.process_batch(events[cut : cut + size])) for cut in cuts]
        return [*found, told(detector.finish())]


def one_by_one(rules: Sequence[str], events: Events) -> list[list[str]]:
    with cep.Detector(STREAM + "".join(rules)) as detector:
        found = []
        for event in events:
            found.append(told(detector.process(event)))
            detector.snapshot()
        return [*found, told(detector.finish())]


def of_pattern(steps: list[list[str]], name: str) -> list[str]:
    return sorted(one for step in steps for one in step if one.split(" ")[0] == name)


@law
@given(rule_texts(), event_lists())
def test_single_events_find_what_batches_of_one_find(rules: list[str], events: Events) -> None:
    assert one_by_one(rules, events) == in_batches(rules, events, 1)


@law
@given(rule_texts(), event_lists(), st.integers(8, 40))
def test_patterns_together_find_what_each_finds_alone(
    rules: list[str], events: Events, size: int
) -> None:
    together = in_batches(rules, events, size)
    for number, rule in enumerate(rules):
        name = f"p{number}"
        assert of_pattern(together, name) == of_pattern(in_batches([rule], events, 1), name)


def test_what_comes_out_while_room_is_made_is_not_lost() -> None:
    """Absences that are reached when captures lack room for the event that comes."""
    rule = (
        "pattern p from e by k match a -> not b within 10 milliseconds"
        " define a as v = 1, b as v = 2;"
    )
    events = [{"id": n, "ts": n // 20, "v": 1, "x": 1.0, "c": "c", "k": n} for n in range(100)]
    events.append({"id": 100, "ts": 90, "v": 1, "x": 1.0, "c": "c", "k": 100})
    steps = one_by_one([rule], events)
    assert sum(map(len, steps[:-1])) == 100


def test_another_pattern_of_the_family_ends_no_run_whose_event_is_still_to_come() -> None:
    """In a batch the patterns take their turns: the first one is ahead of the second in time."""
    rules = [
        f"pattern p{n} from e by k match a -> b within 50 milliseconds define a as v = {n},"
        f" b as v = {n + 2} and id > a.id + {n};"
        for n in (0, 1)
    ]
    first = {"id": 0, "ts": 0, "v": 1, "x": 1.0, "c": "c", "k": 1}
    events = [first, first | {"id": 9, "ts": 10, "v": 3}]
    events += [first | {"id": 10 + n, "ts": 20 + n, "v": 0} for n in range(90)]
    with cep.Detector(STREAM + "".join(rules)) as detector:
        steps = [told(detector.process_batch(part)) for part in (events[:1], events[1:])]
    assert len(of_pattern(steps, "p1")) == 1


@pytest.mark.parametrize("others", range(1, 12))
def test_an_event_is_kept_that_one_pattern_matches_before_room_is_made_for_another(
    others: int,
) -> None:
    rules = [
        f"pattern p{n} from e by k match a -> b within 50 milliseconds"
        f" define a as v = {n}, b as v = 9 and id > a.id + {more} select a.id as f, b.id as g;"
        for n, more in ((1, 1), (2, 100_000))
    ]
    event = {"ts": 0, "x": 1.0, "c": "c", "k": 0}
    begun = [event | {"id": n, "v": 2 if n else 1} for n in range(1 + others)]
    events = [*begun, event | {"id": 5_000, "v": 9}]
    assert one_by_one(rules, events) == in_batches(rules, events, 1)
