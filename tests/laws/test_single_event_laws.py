"""A single event is a batch of one, whichever way it goes through the engine.

`process(event)` takes plain events past the columns; what is not plain, and every batch, goes
through them. Whatever the mixture, the same comes out, in the same steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cep
from cep.engine.algebra.pattern import Pattern
from cep.engine.algebra.plan import RuleSet
from cep.engine.single.events import SingleEvents
from cep.engine.single.reading import NotPlainError
from tests.reference.random_patterns import STREAM, event_streams, patterns

pytestmark = pytest.mark.filterwarnings("ignore::cep.rules.RuleWarning")

Events = list[dict[str, Any]]
law = settings(max_examples=80, suppress_health_check=list(HealthCheck), deadline=None)
ONE, BATCH, SAVE = range(3)  # what is done with an event; SAVE: alone, behind a restart


def rules_of(some: Sequence[Pattern], keys: Sequence[Sequence[str]]) -> Any:
    """Patterns over one stream, each with its own key."""
    chosen = tuple(
        replace(
            pattern,
            name=f"p{number}",
            streams=(STREAM.name,),
            key=tuple(keys[number % len(keys)]),
        )
        for number, pattern in enumerate(some)
    )
    return cep.compile(RuleSet((STREAM,), chosen))


def outcome(result: cep.Result) -> dict[str, list[str]]:
    """All that came out in a step."""
    return {
        "matches": [_shown(match) for match in result.matches],
        "timeouts": [_shown(run) for run in result.timeouts],
        "late": [str(row) for row in _rows(result.late)],
        "errors": sorted(
            f"{row.reason} {row.pattern} {row.variable} {row.event}" for row in result.errors
        ),
    }


def _shown(match: cep.Match) -> str:
    return f"{match.pattern} {match.id} {match.at} {match.events} {match.values}"


def _rows(table: Any) -> list[Any]:
    found: list[Any] = table.to_arrow().to_pylist() if len(table) else []
    return found


def by_columns(rules: Any, events: Events, **options: Any) -> list[dict[str, list[str]]]:
    """Each event as a batch of one."""
    with cep.Detector(rules, **options) as detector:
        found = [outcome(detector.process_batch([event])) for event in events]
        return [*found, outcome(detector.finish())]


def mixed(
    rules: Any, events: Events, ways: Sequence[int], **options: Any
) -> list[dict[str, list[str]]]:
    """Each event by itself or as a batch; now and then the detector is made anew."""
    detector = cep.Detector(rules, **options)
    found = []
    for number, event in enumerate(events):
        way = ways[number % len(ways)]
        if way == SAVE:
            saved = detector.snapshot()
            detector.close()
            detector = cep.Detector.from_snapshot(saved, rules, **options)
        result = detector.process_batch([event]) if way == BATCH else detector.process(event)
        assert result.events == 1
        found.append(outcome(result))
    found.append(outcome(detector.finish()))
    detector.close()
    return found


ways = st.lists(st.sampled_from([ONE, ONE, ONE, ONE, BATCH, SAVE]), min_size=1, max_size=7)
keys = st.lists(st.sampled_from([[], ["k"], ["k", "price"], ["name"]]), min_size=1, max_size=3)


@law
@given(st.lists(patterns(), min_size=1, max_size=4), event_streams(most=14), ways, keys)
def test_the_same_comes_out_of_single_events(
    some: list[Pattern], events: Events, how: list[int], by: list[list[str]]
) -> None:
    rules = rules_of(some, by)
    assert mixed(rules, events, how) == by_columns(rules, events)


SPOILT = ["late", "early", "null", "text", "huge", "more", "less"]


@law
@given(
    st.lists(patterns(), min_size=1, max_size=3),
    event_streams(most=14),
    ways,
    st.lists(st.sampled_from(SPOILT), max_size=6),
)
def test_the_same_comes_out_where_some_events_are_not_plain(
    some: list[Pattern], events: Events, how: list[int], spoilt: list[str]
) -> None:
    rules = rules_of(some, [["k"]])
    for number, way in enumerate(spoilt):
        if 2 * number < len(events):
            _spoil(events[2 * number], way)
    options: dict[str, Any] = {"ahead": timedelta(milliseconds=900), "clock": lambda: 50_000}
    assert mixed(rules, events, how, **options) == by_columns(rules, events, **options)


def _spoil(event: dict[str, Any], way: str) -> None:
    match way:
        case "late":
            event["ts"] -= 3
        case "early":
            event["ts"] += 1_000
        case "null":
            event["k"] = None
        case "text":
            event["price"] = "2"
        case "huge":
            event["price"] = 1 << 70
        case "more":
            event["colour"] = "red"
        case _:
            del event["price"]


@law
@given(st.lists(patterns(), min_size=1, max_size=3), event_streams(most=14), ways)
def test_the_same_comes_out_by_the_clock(
    some: list[Pattern], events: Events, how: list[int]
) -> None:
    rules = rules_of(some, [["k"]])

    def clock() -> Any:
        times = iter(range(1_000, 100_000, 700))
        return lambda: next(times)

    plain = [how[0]] if how[0] != SAVE else [ONE]
    single = mixed(rules, events, plain, time="processing", clock=clock())
    assert single == by_columns(rules, events, time="processing", clock=clock())


OF_ALL_TYPES = """
    stream events (id int, ts int, name text, price int, x float, b boolean, s timestamp)
        time ts in ms;
    pattern p from events match a
        select a.x as x, a.b as b, a.s as s, a.name as name, a.price as price
"""
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "x": st.floats() | st.integers() | st.booleans() | st.text(max_size=3),
    "b": st.booleans() | st.integers(0, 1),
    "s": st.datetimes()
    | st.datetimes(timezones=st.sampled_from([UTC]))
    | st.integers(-(2**62), 2**62)
    | st.floats(-1e12, 1e12)
    | st.dates()
    | st.datetimes().map(lambda time: time.isoformat())
    | st.datetimes().map(lambda time: time.isoformat(" ", "milliseconds") + "Z")
    | st.sampled_from(["2024-02-30T00:00:00", "2024-01-01", "1", "", "2024-01-01T24:00:00", "é"]),
    "name": st.text(max_size=3) | st.sampled_from(["\ud800", "é"]) | st.integers(),
    "price": st.integers() | st.floats() | st.booleans() | st.sampled_from(["7", "x"]),
}


@settings(law, max_examples=400)
@given(st.fixed_dictionaries({name: st.none() | each for name, each in VALUES.items()}))
def test_values_become_what_they_become_in_a_batch(values: dict[str, Any]) -> None:
    rules = cep.compile(OF_ALL_TYPES)
    event = {"id": 1, "ts": 5, **values}
    assert mixed(rules, [event], [ONE]) == by_columns(rules, [event])


def test_plain_events_go_past_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    offer = SingleEvents.offer

    def counting(self: SingleEvents, values: Any, time_us: int) -> Any:
        try:
            found = offer(self, values, time_us)
        except NotPlainError:
            taken.append(False)
            raise
        taken.append(True)
        return found

    monkeypatch.setattr(SingleEvents, "offer", counting)
    rules = cep.compile(
        """
        stream tx (card int, at timestamp, amount float, city text) time at;
        pattern p from tx by card match a -> b within 1 hour
          define a as amount > 10 and lower(city) = 'rome',
                 b as amount / (amount - 50.0) > 0 and city <> a.city
          select b.amount as amount
        """
    )
    start = datetime(2025, 1, 1, tzinfo=UTC)
    with cep.Detector(rules) as detector:
        for number, (city, amount) in enumerate([("Rome", 20.0), ("Oslo", 60), ("Bonn", 50.0)]):
            event = {
                "card": 1,
                "at": start + timedelta(minutes=number),
                "amount": amount,
                "city": city,
            }
            found = detector.process(event)
            assert len(found) == (number == 1)
    assert taken == [True, True, False]  # the last one divides by zero
    assert [row.reason for row in found.errors] == ["division by zero"]
