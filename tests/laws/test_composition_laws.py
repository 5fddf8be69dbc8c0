"""Laws of rule sets that mix statements of all kinds: windows, features, joins, tables, patterns.

However events arrive (in batches, one by one, out of order within the lateness), wherever a
detector stops and goes on, and with however many workers, the same comes out: matches, timed-out
runs, late events, and the rows of every aggregate and join, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cep
from tests.laws.test_detector_laws import written_and_read

pytestmark = pytest.mark.filterwarnings("ignore::cep.rules.RuleWarning")

Event = dict[str, Any]
Arrival = tuple[str, Event]  # of which stream
LATENESS_MS = 4

law = settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)

STREAMS = """
stream a (id int, ts int, k int, x int) time ts then id lateness {lateness} ms;
stream b (id int, ts int, k int, x int) time ts then id lateness {lateness} ms;
table names (k int, name text) by k;
table levels (k int, ts int, level int) by k time ts;
feature spent on a as sum(x) over 5 ms by k;
feature usual on a as avg(x) over 3 events by k excluding current;
feature seen on a as count(*) from b where x > 1 over 4 ms by k;
feature share on a as x * sum(spent) over 2 events by k;
"""
TABLES = {"names": [{"k": 0, "name": "zero"}, {"k": 1, "name": "one"}]}

STATEMENTS = (
    "aggregate tum from a by k window tumbling 3 ms {late} select k, count(*) as n, sum(x) as s",
    "aggregate sli from b by k where x > 0 window sliding 4 ms every 2 ms {late}"
    " select k, sum(x) as s, first(id) as f having s > 2",
    "aggregate cum from a window cumulating 6 ms every 2 ms {late} select count(*) as n",
    "aggregate ses from a by k window session 2 ms {late} select k, count(*) as n, last(id) as l",
    "aggregate cnt from b by k window count 2 select k, sum(x) as s, min(id) as m",
    "aggregate ear from a by k window tumbling 5 ms {late} early every 2 ms"
    " select k, count_distinct(x) as n, max(x) as m",
    "aggregate run from a by k where x > 1 select count(*) as n, sum(spent) as s",
    "aggregate fea from a by k window tumbling 4 ms {late}"
    " select k, sum(spent) as s, max(seen) as m, min(levels.level) as l",
    "join near from a, b by k between -2 ms and 1 ms where a.x <> b.x"
    " select a.id as left, b.id as right, a.x + b.x as x",
    "join same from a, b by k window tumbling 3 ms select a.id as left, b.id as right",
    "aggregate pairs from near by k window tumbling 4 ms select k, count(*) as n, sum(x) as s",
    "aggregate twice from tum by k window tumbling 6 ms {late} select k, sum(n) as n",
    "aggregate found from up by k window tumbling 8 ms select k, count(*) as n",
    "pattern up from a by k match u -> v within 5 ms define u as x > 0, v as x > u.x"
    " after match no skip on timeout select u.id as id select u.id as first, v.id as second",
    "pattern gone from a by k match u -> not v within 4 ms define u as x > 1, v as x = 0"
    " on timeout select u.id as id select u.id as id",
    "pattern both from a, b by k match u -> v within 6 ms"
    " define u as a where x > 0 and spent > 2, v as b where x >= u.x select u.id as u, v.id as v",
    "pattern tables from a by k match u -> v within 9 ms"
    " define u as names.name = 'one' or x > 2, v as levels.level >= u.x or usual > 1"
    " select u.id as u, v.id as v, u.share as s",
    "pattern rise from tum by k match u -> v within 12 ms define u as n > 0, v as n >= u.n"
    " after match no skip select u.n as u, v.n as v, v.window_end as e",
    "pattern mixed from b, tum by k match u -> v within 9 ms"
    " define u as b where x > 0, v as tum where n > 1 after match no skip select u.id as u",
    "pattern again from gone by k match u -> v within 20 ms define u as true, v as id > u.id"
    " select u.id as u, v.id as v",
    "pattern quiet from near by k match u -> not v within 5 ms"
    " define u as x > 1, v as x > u.x select u.left as l",
    "feature most on tum as max(n) over all by k excluding current",
    "feature rate on a as avg(n) from tum over 10 ms by k",
    "pattern peak from tum by k match u -> v within 30 ms"
    " define u as n >= most, v as names.name = 'one' select u.n as u, u.most as m, v.n as v",
    "pattern fast from a by k match u -> v within 9 ms define u as rate > 0, v as x > 0"
    " select u.id as u, u.rate as r, v.id as v",
    "aggregate high from a by k window tumbling 4 ms {late} select k, sum(rate) as r",
    "pattern deep from twice, up by k match u -> v within 20 ms"
    " define u as up where true, v as twice where n > 0 after match no skip select v.n as n",
)
NEEDS = {"pairs": "near", "twice": "tum", "found": "up", "rise": "tum", "mixed": "tum"}
NEEDS |= {"again": "gone", "quiet": "near", "deep": "twice up"}
NEEDS |= {"most": "tum", "rate": "tum", "peak": "tum most", "fast": "rate", "high": "rate"}


def name_of(statement: str) -> str:
    return statement.split()[1]


BY_NAME = {name_of(statement): statement for statement in STATEMENTS}


def with_what_they_read(names: Iterable[str]) -> list[str]:
    """The statements of these names and of those that they read."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        found.add(name)
        todo += [other for other in NEEDS.get(name, "").split() if other not in found]
    return [name for name in BY_NAME if name in found]


@st.composite
def rule_sets(draw: st.DrawFn, *, most: int = 6) -> str:
    chosen = draw(st.lists(st.sampled_from(list(BY_NAME)), min_size=1, max_size=most, unique=True))
    late = draw(
        st.sampled_from(("", "lateness 3 ms", "lateness 50 ms", "lateness 3 ms discarding"))
    )
    return ";\n".join(BY_NAME[name].format(late=late) for name in with_what_they_read(chosen)) + ";"


def compiled(statements: str, lateness_ms: int = LATENESS_MS) -> cep.Rules:
    return cep.compile(STREAMS.format(lateness=lateness_ms) + statements)


@st.composite
def arrivals(draw: st.DrawFn, *, most: int = 24) -> list[Arrival]:
    """Events of all streams in the order of their times; many at one time, keys that are NULL.

    Each stream has spoken at first: none holds the others back to the end.
    """
    found: list[Arrival] = [
        ("a", {"id": -2, "ts": 0, "k": 1, "x": 1}),
        ("b", {"id": -1, "ts": 0, "k": 1, "x": 1}),
        ("levels", {"k": 1, "ts": 0, "level": 1}),
    ]
    ts = 0
    for number in range(draw(st.integers(1, most))):
        ts += draw(st.sampled_from((0, 0, 1, 1, 2, 5)))
        key = draw(st.sampled_from((0, 0, 1, 2, None)))
        stream = draw(st.sampled_from(("a", "a", "b", "levels")))
        value = draw(st.sampled_from((0, 1, 2, 3, None)))
        if stream == "levels":
            found.append((stream, {"k": key, "ts": ts, "level": value}))
        else:
            found.append((stream, {"id": number, "ts": ts, "k": key, "x": value}))
    return found


def shuffled(events: Sequence[Arrival], delays: Sequence[int]) -> list[Arrival]:
    """The events as they arrive when each is late by its delay, in ms. Versions come in order."""
    delayed = []
    for i, (stream, event) in enumerate(events):
        delay = 0 if stream == "levels" else delays[i % len(delays)]
        delayed.append((event["ts"] + delay, i, (stream, event)))
    return [arrival for _, _, arrival in sorted(delayed, key=lambda item: item[:2])]


@dataclass
class Seen:
    """What has come out so far. `tables`: the rows of each in their order."""

    matches: list[str] = field(default_factory=list)
    timeouts: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    tables: dict[str, list[str]] = field(default_factory=dict)

    def add(self, result: cep.Result) -> None:
        self.matches += map(_text, result.matches)
        self.timeouts += map(_text, result.timeouts)
        if len(result.late):
            self.late += map(str, result.late.to_arrow().to_pylist())
        self.errors += map(str, result.errors.to_arrow().to_pylist())
        for name, table in result.tables.items():
            self.tables.setdefault(name, []).extend(map(str, table.to_pylist()))

    def sorted(self) -> Seen:
        """Matches of several patterns found at one time, and errors, are in no order over steps."""
        matches, timeouts, errors = map(sorted, (self.matches, self.timeouts, self.errors))
        return Seen(matches, timeouts, self.late, errors, self.tables)


def _text(match: Any) -> str:
    return f"{match.pattern} {match.key} {match.at} {match.values} {match.events}"


def batches(events: Sequence[Arrival], cuts: Iterable[int]) -> Iterable[tuple[int, list[Arrival]]]:
    """(end, events) of each batch."""
    ends = sorted({0, len(events), *(cut for cut in cuts if cut < len(events))})
    for begin, end in pairwise(ends):
        yield end, list(events[begin:end])


def run(
    rules: cep.Rules,
    events: Sequence[Arrival],
    cuts: Iterable[int] = (),
    stops: Iterable[int] = (),
    workers: int = 1,
) -> Seen:
    """Everything that comes out; batches, which end at the cuts, hold events of one stream.

    At the stops the detector is saved, written, read and made anew.
    """
    options: dict[str, Any] = {"tables": needed(rules), "workers": workers}
    detector, seen, stopped = cep.Detector(rules, **options), Seen(), set(stops)
    names = [stream.name for stream in rules.base_streams]
    changes = [i for i, (x, y) in enumerate(pairwise(events), 1) if x[0] != y[0]]
    for end, batch in batches(events, {*changes, *cuts, *stopped}):
        stream = batch[0][0]
        if stream in names:
            seen.add(detector.process_batch([event for _, event in batch], stream))
        if end in stopped:
            saved = written_and_read(detector.snapshot())
            detector.close()
            detector = cep.Detector.from_snapshot(saved, rules, **options)
            assert detector.restored is not None
            assert detector.restored.fresh == detector.restored.new == []
    seen.add(detector.finish())
    detector.close()
    return seen.sorted()


def needed(rules: cep.Rules) -> dict[str, Any]:
    return {table.name: TABLES[table.name] for table in rules.tables}


delays = st.lists(st.integers(0, LATENESS_MS), min_size=1, max_size=12)
long_delays = st.lists(st.integers(0, 12), min_size=1, max_size=12)
places = st.lists(st.integers(1, 23), min_size=1, max_size=4)


@law
@given(rule_sets(), arrivals(), long_delays, places)
def test_any_split_into_batches_gives_the_same_output(
    statements: str, events: list[Arrival], delays: list[int], cuts: list[int]
) -> None:
    rules, arrived = compiled(statements), shuffled(events, delays)
    whole = run(rules, arrived)
    assert run(rules, arrived, cuts) == whole
    assert run(rules, arrived, range(len(arrived))) == whole


@law
@given(rule_sets(), arrivals(), delays)
def test_arrival_within_the_lateness_gives_what_sorted_events_give(
    statements: str, events: list[Arrival], delays: list[int]
) -> None:
    rules = compiled(statements)
    arrived = run(rules, shuffled(events, delays))
    assert arrived.late == []
    assert arrived == run(rules, events)


@law
@given(rule_sets(), arrivals(), long_delays, places)
def test_a_detector_that_is_saved_and_made_anew_goes_on_as_if_it_had_not_stopped(
    statements: str, events: list[Arrival], delays: list[int], stops: list[int]
) -> None:
    rules, arrived = compiled(statements), shuffled(events, delays)
    assert run(rules, arrived, stops=stops) == run(rules, arrived)


@settings(law, max_examples=15)
@given(rule_sets(), arrivals(), long_delays, places)
def test_any_number_of_workers_gives_the_same_output(
    statements: str, events: list[Arrival], delays: list[int], cuts: list[int]
) -> None:
    rules, arrived = compiled(statements), shuffled(events, delays)
    expected = run(rules, arrived, cuts)
    assert run(rules, arrived, cuts, workers=3) == expected
    with patch("cep.engine.runtime.runtime.SLICE_ROWS", 2):  # several are on their way
        assert run(rules, arrived, cuts, workers=3) == expected
        assert run(rules, arrived, cuts) == expected


@law
@given(rule_sets(), arrivals())
def test_a_detector_finds_what_a_run_over_sorted_data_finds(
    statements: str, events: list[Arrival]
) -> None:
    rules = compiled(statements)
    data: dict[str, Any] = {stream.name: [] for stream in rules.base_streams}
    for stream, event in events:
        if stream in data:
            data[stream].append(event)
    seen = Seen()
    seen.add(rules.run(data | needed(rules)))
    assert seen.sorted() == run(rules, events)
