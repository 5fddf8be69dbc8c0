"""Values that somebody sends to do harm: an error on the side output, and all goes on.

Each goes into each field of an event, by itself and between good events.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cep

NOON_US = 1_741_003_200_000_000  # 2025-03-03 12:00
FIELDS = ("ts", "k", "i", "f", "b", "t")
RULES = """
stream s (ts timestamp, k text, i integer, f float, b boolean, t text) time ts;
pattern pair from s by k match a -> z within 1 hour
  define a as i = 1, z as i = 2 select a.f as f, z.t as t;
pattern silent from s by k match a -> not z within 10 minutes
  define a as i = 1, z as i = 2;
aggregate sums from s by k window tumbling 1 minute select k, count(*) as n, sum(f) as total;
feature lately on s as sum(f) over 1 hour by k;
pattern much from s by i match a define a as lately > 10 and t like 'x%';
"""


class NotShown:
    def __repr__(self) -> str:
        raise RuntimeError("it does not want to be seen")


def nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


def in_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


# name: (the value, the fields that it does not fit); in `ts` it may be a time of long ago
VALUES: dict[str, tuple[Any, str]] = {
    "2**63": (2**63, "ts i b"),
    "-2**63 - 1": (-(2**63) - 1, "ts i b"),
    "more digits than Python writes": (10**5000, "ts k i f b t"),
    "a number that is no boolean": (7, "b"),
    "nan": (math.nan, "ts i b"),
    "infinity": (math.inf, "ts i b"),
    "-infinity": (-math.inf, "ts i b"),
    "1e308": (1e308, "ts i b"),
    "text": ("x", "ts i f b"),
    "no text": ("", "ts i"),  # NULL, which is no key
    "half a surrogate pair": ("\ud800", "ts k i f b t"),
    "a zero byte": ("a\0b", "ts i f b"),
    "bytes": (b"ab", "ts i f b"),
    "bytes that are no UTF-8": (b"\xff", "ts k i f b t"),
    "100 kB of text": ("x" * 100_000, "ts i f b"),
    "100 kB of digits": ("9" * 100_000, "ts i b"),
    "a list": ([1], "ts k i f b t"),
    "an empty list": ([], "ts k i f b t"),
    "a dict": ({"a": 1}, "ts k i f b t"),
    "lists in lists": (nested(100_000, lambda value: [value]), "ts k i f b t"),
    "dicts in dicts": (nested(100_000, lambda value: {"a": value}), "ts k i f b t"),
    "a list in itself": (in_itself(), "ts k i f b t"),
    "a set": ({1}, "ts k i f b t"),
    "an array": (np.zeros((2, 2)), "ts k i f b t"),
    "an array of objects": (np.array([None]), "ts k i f b t"),
    "a decimal too large": (Decimal("1e400"), "ts i b"),
    "an imaginary number": (1j, "ts k i f b t"),
    "an object": (object(), "ts k i f b t"),
    "an object that cannot be shown": (NotShown(), "ts k i f b t"),
    "a class": (int, "ts k i f b t"),
    "a function": (len, "ts k i f b t"),
    "an exception": (ValueError("x"), "ts k i f b t"),
    "a date": (date(2025, 1, 1), "i f b"),
    "the first time": (datetime(1, 1, 1, tzinfo=UTC), "i f b"),
    "the last time": (datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "ts i f b"),
    "before the first time": (
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        "ts i f b",
    ),
    "a year of five digits": ("99999-01-01", "ts i f b"),
    "a time of thirty digits": ("9" * 30, "ts i b"),
    "a uuid": (uuid.UUID(int=2**100), "ts i f b"),
    "not a time of NumPy's": (np.datetime64("NaT"), "ts i f b"),
}


@cache
def rules() -> cep.Rules:
    return cep.compile(RULES)


def new_detector(of_rules: str | None = None) -> cep.Detector:
    return cep.Detector(of_rules or rules(), ahead=timedelta(days=1), clock=lambda: NOON_US)


class Feed:
    """Good events, one after the other."""

    def __init__(self) -> None:
        self.number = 0

    def event(self, **fields: Any) -> dict[str, Any]:
        self.number += 1
        time = f"2025-03-03 12:00:00.{self.number:06}"
        good = {"ts": time, "k": "x", "i": 3, "f": 1.0, "b": True, "t": "x"}
        return good | fields


def looked_at(result: cep.Result) -> None:
    """Whatever can be read of a result can be."""
    for table in (result.matches, result.timeouts, result.late, result.errors):
        table.to_arrow().to_pylist()
    assert [match.values for match in result] == [match.values for match in result.matches]
    for row in result.errors:
        assert row.reason


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_does_not_fit_costs_its_event_and_no_other(name: str) -> None:
    value, misfits = VALUES[name]
    detector, feed, expected = new_detector(), Feed(), 1
    detector.process(feed.event())
    for neighbours, field in product((0, 1), FIELDS):
        events = [feed.event() for _ in range(1 + 2 * neighbours)]
        events[neighbours][field] = value
        result = detector.process_batch(events) if neighbours else detector.process(events[0])
        looked_at(result)
        wrong = field in misfits.split()
        is_old = field == "ts" and not wrong
        assert (len(result.errors), len(result.late)) == (int(wrong), int(is_old)), field
        assert (result.events, len(detector.process(feed.event()).errors)) == (len(events), 0)
        expected += len(events) + 1
    assert detector.status()["events"] == expected
    goes_on_from_its_snapshot(detector, feed)


def test_so_it_is_where_single_events_go_past_the_columns() -> None:
    """Which they do where there are patterns alone: good events and hostile ones in turn."""
    patterns = RULES[: RULES.index("aggregate")]
    patterns += "pattern much from s by i match a define a as f > 10 and t like 'x%';"
    detector, feed = new_detector(patterns), Feed()
    reader = detector._running and detector._running.reader
    assert reader is not None
    detector.process(feed.event(i=1, k="last"))
    for value, misfits in VALUES.values():
        for field in FIELDS:
            result = detector.process(feed.event(**{field: value}))
            wrong = field in misfits.split()
            is_old = field == "ts" and not wrong
            assert (len(result.errors), len(result.late)) == (int(wrong), int(is_old)), field
            good = detector.process(feed.event())
            assert (good.events, len(good.errors)) == (1, 0)
    assert [match.pattern for match in detector.process(feed.event(i=2, k="last"))] == ["pair"]
    goes_on_from_its_snapshot(detector, feed, patterns)


def goes_on_from_its_snapshot(
    detector: cep.Detector, feed: Feed, of_rules: str | cep.Rules | None = None
) -> None:
    detector.process(feed.event(i=1, k="last"))
    of_rules = of_rules or rules()
    restored = cep.Detector.from_snapshot(detector.snapshot(), of_rules, clock=lambda: NOON_US)
    end = feed.event(i=2, k="last")
    assert [match.pattern for match in restored.process(end)] == ["pair"]
    assert [match.pattern for match in detector.process(end)] == ["pair"]


@pytest.mark.parametrize("value", [True, Decimal("1.5"), timedelta(1)])
def test_a_time_of_a_type_that_no_time_has_is_refused_and_nothing_is_taken(value: Any) -> None:
    detector, feed = new_detector(), Feed()
    with pytest.raises(cep.DataError, match=r"'ts' is .*: event time must be a timestamp"):
        detector.process(feed.event(ts=value))
    assert detector.status()["events"] == 0
    assert len(detector.process(feed.event()).errors) == 0


@pytest.mark.parametrize("field", [field for field in FIELDS if field != "k"])
def test_20_megabytes_of_text_are_an_error_or_a_text_like_any_other(field: str) -> None:
    detector, feed = new_detector(), Feed()
    result = detector.process(feed.event(**{field: "x" * 20_000_000}))
    looked_at(result)
    assert len(result.errors) == (field != "t")
    goes_on_from_its_snapshot(detector, feed)


def test_the_error_shows_what_was_in_the_field_and_in_the_others() -> None:
    detector, feed = new_detector(), Feed()
    result = detector.process(feed.event(f=[1, 2], k="\ud800"))
    assert [(row.reason, row.event) for row in result.errors] == [
        (
            "k is not text: '\\\\ud800'",
            '{"ts": "2025-03-03 12:00:00.000001", "k": "\\\\ud800", "i": "3", "f": "[1, 2]", '
            '"b": "True", "t": "x"}',
        )
    ]


# -- what is no event, and fields that nobody knows ------------------------------------------------


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (7, "row 0 is int 7, not a dict or an object with fields"),
        ("x", "row 0 is str x, not a dict or an object with fields"),
        (nested(100_000, lambda value: [value]), "row 0 is list .*, not a dict or an object"),
        (NotShown(), "row 0 is NotShown <.*>, not a dict or an object with fields"),
        ({}, "row 0 has no field"),
        ({"x": 1}, "row 0 has no field of ts, k, i, f, b, t"),
        ({"k": "x"}, "no column 'ts', the event time"),
        ({7: 1}, "the field name 7 is int, not text"),
    ],
)
def test_what_is_no_event_is_refused_and_nothing_is_taken(event: Any, message: str) -> None:
    detector, feed = new_detector(), Feed()
    detector.process(feed.event())
    with pytest.raises(cep.DataError, match=message):
        detector.process(event)
    with pytest.raises(cep.DataError, match=message.replace("row 0", "row .")):
        detector.process_batch([event])
    assert detector.status()["events"] == 1
    goes_on_from_its_snapshot(detector, feed)


def test_fields_that_nobody_knows_are_not_looked_at_and_few_are_remembered() -> None:
    detector, feed = new_detector(), Feed()
    deep, broken = nested(100_000, lambda value: [value]), "\ud800"
    for number in range(300):
        unknown = {f"{number}-{'n' * 1_000}": deep, f"x{number}": NotShown(), broken: broken}
        assert len(detector.process(feed.event(**unknown)).errors) == 0
    ignored = detector.status()["ignored_fields"]["s"]
    assert len(ignored) == 100
    assert max(map(len, ignored)) == 100
    goes_on_from_its_snapshot(detector, feed)


def test_of_a_stream_without_declared_fields_deep_values_are_refused() -> None:
    detector = cep.Detector("pattern p match a define a as x > 1")
    detector.process({"ts": "2025-03-03 12:00", "x": 1, "y": [[1]]})
    deep = nested(100_000, lambda value: [value])
    with pytest.raises(cep.DataError, match="field 'y' is nested more than 100 deep"):
        detector.process({"ts": "2025-03-03 12:01", "x": 2, "y": deep})
    with pytest.raises(cep.DataError, match="field 'y' cannot become a column"):
        detector.process({"ts": "2025-03-03 12:01", "x": 2, "y": "\ud800"})
    assert len(detector.process({"ts": "2025-03-03 12:01", "x": 2, "y": [[2]]})) == 1


# -- times -----------------------------------------------------------------------------------------


def test_an_event_more_than_a_day_ahead_makes_no_other_late() -> None:
    detector, feed = new_detector(), Feed()
    far = detector.process(feed.event(ts="2025-03-04 12:00:01"))
    assert [row.reason for row in far.errors] == ["the event's time is too far ahead of the clock"]
    both = detector.process_batch([feed.event(ts="9999-01-01"), feed.event(i=1)])
    assert (len(both.errors), len(both.late)) == (1, 0)
    goes_on_from_its_snapshot(detector, feed)
    near = detector.process(feed.event(ts="2025-03-04 12:00"))
    assert (len(near.errors), len(near.late)) == (0, 0)
    assert len(detector.process(feed.event()).late) == 1  # a day is what a wrong clock can do


def test_without_another_word_a_day_by_the_clock_of_the_machine_is_the_bound() -> None:
    now = datetime.now(UTC)
    for ahead, errors in ((timedelta(hours=23), 0), (timedelta(hours=25), 1)):
        result = cep.Detector(RULES).process(Feed().event(ts=now + ahead))
        assert len(result.errors) == errors
    by_own_clock = cep.Detector(RULES, clock=lambda: 0)
    assert len(by_own_clock.process(Feed().event()).errors) == 0


def test_an_event_of_long_ago_is_late_and_nothing_else() -> None:
    detector, feed = new_detector(), Feed()
    detector.process(feed.event(i=1, k="last"))
    old = detector.process(feed.event(ts="0001-01-01"))
    assert old.late.counts() == {"s": 1}
    assert [match.pattern for match in detector.process(feed.event(i=2, k="last"))] == ["pair"]


def test_sources_that_are_ever_new_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cep.engine.time.sources.SOURCES_MAX", 3)
    detector = cep.Detector(RULES.replace("time ts;", "time ts by k;"), clock=lambda: NOON_US)
    feed = Feed()
    for source in ("a", "b"):
        detector.process(feed.event(k=source))
    with pytest.raises(cep.DataError, match="more than 3 sources tell themselves apart by 'k'"):
        detector.process_batch([feed.event(k=source) for source in ("c", "d")])
    detector.process_batch([feed.event(k=source) for source in ("a", "c")])
    with pytest.raises(cep.DataError, match="more than 3 sources"):
        detector.process(feed.event(k="d"))
    assert detector.status()["streams"]["s"]["sources"] == 3
    assert detector.status()["events"] == 4


# -- fields that are missing -----------------------------------------------------------------------

MISSPELT = [
    ({"crad": 1}, "the events have an unknown field 'crad'"),
    ({"crad": 1, "p": 1, "q": 2}, "the events have an unknown field 'crad'"),
    ({"pan": 1, "ip": 2}, "the events have unknown fields 'ip', 'pan'"),
    (dict.fromkeys("pqrxyz"), "the events have unknown fields 'p', 'q', 'r' and 3 more"),
]


@pytest.mark.parametrize(("unknown", "told"), MISSPELT)
def test_where_a_key_is_missing_the_error_names_unknown_fields(
    unknown: dict[str, Any], told: str
) -> None:
    rules = RULES.replace(", k text", ", card text").replace("by k", "by card")
    detector = cep.Detector(rules.replace("select k", "select card"), clock=lambda: NOON_US)
    event = Feed().event()
    del event["k"]
    for result in detector.process(event | unknown), detector.process_batch([event | unknown] * 2):
        assert {row.reason for row in result.errors} == {f"key field 'card' is NULL; {told}"}
    del event["ts"]
    with pytest.raises(cep.DataError, match="no column 'ts', the event time; the events have"):
        detector.process(event | unknown)
    with_time = detector.process_batch([event | {"ts": "2025-03-03", "card": "x"}, event])
    assert "time 'ts' is NULL; the events have" in with_time.errors[0].reason


# -- long texts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["k", "t"])
@pytest.mark.parametrize("only_patterns", [False, True])
def test_long_texts_that_nobody_needs_any_more_are_let_go(
    field: str, only_patterns: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few keys, texts and events are not worth cleaning, unless they are long."""
    monkeypatch.setattr("cep.engine.state.cleaning.WEIGHT_KEPT_MIN", 10_000)
    of_rules = RULES[: RULES.index("aggregate")] if only_patterns else RULES
    detector = cep.Detector(of_rules, clock=lambda: NOON_US)
    for number in range(300):
        text = f"x{number}".ljust(1_000, "-")
        event = {"ts": number * 600_000, "k": "x", "i": 1, "f": 1.0, "b": True, "t": "x"}
        detector.process(event | {field: text})
    assert detector.checkpoint(tmp_path).size_bytes < 150_000
