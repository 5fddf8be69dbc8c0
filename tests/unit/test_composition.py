"""Statements of all kinds together, in cases small enough to work out by hand.

Each runs over sorted data (`Rules.run`) and live, event by event (`Detector.process`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

import cep

A = "stream a (id int, ts int, k int, x int) time ts;\n"
B = "stream b (id int, ts int, k int, y int) time ts;\n"
Row = dict[str, Any]
Arrival = tuple[str, Row]


def a(id: int, ts: int, x: Any = 0, k: Any = 1) -> Arrival:  # noqa: A002
    return "a", {"id": id, "ts": ts, "k": k, "x": x}


def b(id: int, ts: int, y: Any = 0, k: Any = 1) -> Arrival:  # noqa: A002
    return "b", {"id": id, "ts": ts, "k": k, "y": y}


class Seen:
    """What has come out: rows by table (without those columns that say the window), matches."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[Any, ...]]] = {}
        self.matches: list[tuple[Any, ...]] = []
        self.late: list[str] = []
        self.errors: list[str] = []

    def add(self, result: cep.Result) -> None:
        for name, table in result.tables.items():
            kept = [c for c in table.schema.names if not c.startswith("window_")]
            rows = table.select(kept).to_pylist()
            self.rows.setdefault(name, []).extend(tuple(map(_plain, r.values())) for r in rows)
        self.matches += [(m.pattern, *map(_plain, m.values.values())) for m in result.matches]
        self.late += [] if len(result.late) == 0 else _names(result.late.to_arrow())
        self.errors += [error.reason for error in result.errors]


def _names(late: Any) -> list[str]:
    return [str(name) for name in late.column("stream").to_pylist()]


def _plain(value: Any) -> Any:
    """Times as milliseconds since 1970."""
    if isinstance(value, datetime):
        return round((value - datetime(1970, 1, 1)).total_seconds() * 1000, 3)  # noqa: DTZ001
    return value


def live(rules: str, events: Sequence[Arrival], tables: Any = None, **options: Any) -> Seen:
    """Event by event, and the end."""
    detector, seen = cep.Detector(rules, tables=tables, **options), Seen()
    for stream, event in events:
        seen.add(detector.process(event, stream))
    seen.add(detector.finish())
    return seen


def both(rules: str, events: Sequence[Arrival], tables: Any = None) -> Seen:
    """Over sorted data and live: the same."""
    compiled, seen = cep.compile(rules), Seen()
    names = [stream.name for stream in compiled.base_streams]
    data = {name: [event for stream, event in events if stream == name] for name in names}
    seen.add(compiled.run(data | (tables or {})))
    alive = live(rules, events, tables)
    assert (alive.rows, alive.errors) == (seen.rows, seen.errors)
    assert sorted(alive.matches) == sorted(seen.matches)
    return seen


# ---- windows


def test_having_may_name_the_columns_of_select() -> None:
    rules = A + (
        "aggregate n from a by k window tumbling 10 ms"
        " select k, count(*) as n, sum(x) / count(*) as mean having n > 1 and mean >= 2;"
    )
    events = [a(1, 0, 1), a(2, 1, 5), a(3, 2, 9, k=2), a(4, 11, 1), a(5, 12, 1)]
    assert both(rules, events).rows == {"n": [(1, 2, 3.0)]}


def test_windows_over_windows_and_a_pattern_over_those() -> None:
    rules = A + (
        "aggregate tens from a by k window tumbling 10 ms select k, count(*) as n;"
        "aggregate twenties from tens by k window tumbling 20 ms select k, sum(n) as n;"
        "pattern rise from twenties by k match u -> v within 1 second"
        " define u as n > 0, v as n > u.n select u.n as u, v.n as v, v.window_end as upto;"
    )
    times = [0, 5, 12, 21, 25, 35, 38, 45]
    seen = both(rules, [a(i, ts) for i, ts in enumerate(times)])
    assert seen.rows["tens"] == [(1, 2), (1, 1), (1, 2), (1, 2), (1, 1)]
    assert seen.rows["twenties"] == [(1, 3), (1, 4), (1, 1)]
    assert seen.matches == [("rise", 3, 4, 40.0)]


def test_late_events_update_a_window_until_its_lateness_is_over() -> None:
    rules = A + (
        "aggregate n from a by k window tumbling 10 ms lateness 5 ms"
        " select k, count(*) as n, sum(x) as s;"
    )
    events = [a(1, 1, 1), a(2, 12, 0), a(3, 2, 2), a(4, 14, 0), a(5, 3, 4), a(6, 16), a(7, 4, 8)]
    seen = live(rules, events)
    # k, n, s, update
    assert seen.rows["n"] == [(1, 1, 1, 0), (1, 2, 3, 1), (1, 3, 7, 2), (1, 3, 0, 0)]
    assert seen.late == ["a"]


def test_discarding_windows_say_what_is_new() -> None:
    rules = A + (
        "aggregate n from a by k window tumbling 10 ms lateness 5 ms discarding"
        " select k, sum(x) as s;"
    )
    seen = live(rules, [a(1, 1, 1), a(2, 12, 0), a(3, 2, 2), a(4, 3, 4)])
    assert seen.rows["n"] == [(1, 1, 0), (1, 2, 1), (1, 4, 2), (1, 0, 0)]


def test_open_windows_say_early_what_they_have() -> None:
    rules = A + (
        "aggregate n from a by k window tumbling 10 ms early every 4 ms select k, count(*) as n;"
    )
    seen = both(rules, [a(1, 1), a(2, 3), a(3, 5), a(4, 9), a(5, 20)])
    # at 4 ms: events 1 and 2; at 8 ms: 1 to 3; the window; at the end the same of the next one
    assert seen.rows["n"] == [(1, 2, -1), (1, 3, -1), (1, 4, 0), (1, 1, -1), (1, 1, 0)]


def test_who_reads_a_window_sees_its_first_row_and_no_early_or_later_ones() -> None:
    rules = A + (
        "aggregate n from a by k window tumbling 10 ms lateness 50 ms early every 4 ms"
        " select k, count(*) as n;"
        "aggregate m from n by k select count(*) as rows, sum(n) as events;"
    )
    seen = live(rules, [a(1, 1), a(2, 5), a(3, 12), a(4, 2), a(5, 25)])
    first, later = [(1, 1, -1), (1, 2, -1), (1, 2, 0), (1, 3, 1)], [(1, 1, -1), (1, 1, 0)]
    assert seen.rows["n"] == [*first, *later, *later]
    assert seen.rows["m"] == [(1, 1, 2), (1, 2, 3), (1, 3, 4)]


def test_a_window_that_late_events_alone_make_is_late_for_who_reads_it() -> None:
    rules = A + (
        "aggregate tens from a by k window tumbling 10 ms lateness 50 ms select k, count(*) as n;"
        "aggregate thirties from tens by k window tumbling 30 ms lateness 50 ms"
        " select k, sum(n) as n;"
        "pattern p from tens by k match u define u as n > 0 select u.n as n;"
    )
    seen = live(rules, [a(1, 1), a(2, 31), a(3, 12), a(4, 41)])
    assert seen.rows["tens"] == [(1, 1, 0), (1, 1, 0), (1, 1, 0), (1, 1, 0)]
    assert seen.rows["thirties"] == [(1, 1, 0), (1, 2, 1), (1, 2, 0)]
    assert seen.matches == [("p", 1), ("p", 1), ("p", 1)]
    assert seen.late == []  # a window took it


def test_a_late_row_that_no_window_takes_is_reported_as_late() -> None:
    rules = A + (
        "aggregate tens from a by k window tumbling 10 ms lateness 50 ms select k, count(*) as n;"
        "pattern p from tens by k match u define u as n > 0 select u.n as n;"
    )
    seen = live(rules, [a(1, 1), a(2, 31), a(3, 12)])
    assert seen.matches == [("p", 1), ("p", 1)]
    assert seen.late == ["tens"]


def test_sessions_and_windows_by_count() -> None:
    rules = A + (
        "aggregate sessions from a by k window session 5 ms select k, count(*) as n, last(id) as l;"
        "aggregate twos from a by k window count 2 select k, sum(x) as s;"
    )
    events = [a(1, 0, 1), a(2, 5, 2), a(3, 11, 3), a(4, 11, 4, k=2), a(5, 12, 5)]
    seen = both(rules, events)
    assert seen.rows["sessions"] == [(1, 2, 2), (2, 1, 4), (1, 2, 5)]
    assert seen.rows["twos"] == [(1, 3), (1, 8)]


def test_a_running_aggregate_has_a_row_with_each_event_that_counts() -> None:
    rules = A + (
        "aggregate so_far from a by k where x > 0 select count(*) as n, sum(x) as s having s > 2;"
        "pattern p from so_far by k match u -> v within 1 second"
        " define u as n = 2, v as s > 9 select v.s as s;"
    )
    events = [a(1, 0, 2), a(2, 1, -5), a(3, 2, 3), a(4, 2, 4, k=2), a(5, 3, 6)]
    seen = both(rules, events)
    assert seen.rows["so_far"] == [(1, 2, 5), (2, 1, 4), (1, 3, 11)]
    assert seen.matches == [("p", 11)]


def test_what_a_running_aggregate_is_made_of_is_in_no_match() -> None:
    rules = A + (
        "aggregate so_far from a by k select count(*) as n;"
        "feature total on a as sum(x) over all by k;"
        "pattern p from a by k match u define u as total > 0;"
    )
    result = cep.compile(rules).run([{"id": 1, "ts": 0, "k": 1, "x": 5}])
    (match,) = result.matches
    assert match.events == {"u": [{"id": 1, "ts": 0, "k": 1, "x": 5, "total": 5}]}
    assert result.matches.events.schema.names[4:] == ["id", "ts", "k", "x", "total"]


# ---- matches as events


def test_a_pattern_and_a_window_over_matches() -> None:
    rules = A + (
        "pattern up from a by k match u -> v within 10 ms define u as x > 0, v as x > u.x"
        " select u.id as first, v.id as second, v.x - u.x as d;"
        "pattern twice from up by k match u -> v within 100 ms define u as d > 0, v as d > u.d"
        " select u.first as f, v.second as l;"
        "aggregate ups from up by k window tumbling 10 ms select k, count(*) as n, max(d) as d;"
    )
    events = [a(1, 0, 1), a(2, 1, 2), a(3, 2, 1), a(4, 3, 5), a(5, 11, 1), a(6, 12, 2)]
    seen = both(rules, events)
    ups = [match[1:] for match in seen.matches if match[0] == "up"]
    assert ups == [(1, 2, 1), (3, 4, 4), (5, 6, 1)]
    assert [m for m in seen.matches if m[0] == "twice"] == [("twice", 1, 4)]
    assert seen.rows["ups"] == [(1, 2, 4), (1, 1, 1)]


def test_an_absence_is_an_event_of_the_time_when_it_is_known() -> None:
    rules = A + (
        "pattern gone from a by k match u -> not v within 5 ms define u as x = 1, v as x = 2"
        " select u.id as id;"
        "pattern after from gone, a by k match u -> v within 100 ms"
        " define u as gone where true, v as a where x = 3 select u.id as id, v.id as by;"
    )
    events = [a(1, 0, 1), a(2, 4, 3), a(3, 5, 3), a(4, 6, 3)]
    # known at 5 ms, before the events of that time
    assert ("after", 1, 3) in both(rules, events).matches


def test_a_derived_stream_beside_a_base_stream_comes_in_its_time() -> None:
    rules = A + (
        "aggregate tens from a by k window tumbling 10 ms select k, count(*) as n;"
        "pattern p from a, tens by k match u v"
        " define u as tens where n = 2, v as a where true select u.n as n, v.id as id;"
    )
    seen = both(rules, [a(1, 0), a(2, 9), a(3, 10), a(4, 11)])
    assert seen.matches == [("p", 2, 3)]


def test_streams_of_different_depth_meet_in_the_order_of_time() -> None:
    """What reads `deep` and `up` sees no time go back, though `deep` has nothing for long."""
    rules = A + (
        "aggregate tens from a by k window tumbling 10 ms select k, count(*) as n;"
        "aggregate deep from tens by k window tumbling 20 ms select k, sum(n) as n;"
        "pattern up from a by k match u define u as x > 0 select u.id as id;"
        "pattern p from deep, up by k match u -> v within 1 second"
        " define u as deep where true, v as up where true select u.n as n, v.id as id;"
    )
    seen = both(rules, [a(1, 1), a(2, 50, 1), a(3, 100), a(4, 101, 1)])
    assert [m for m in seen.matches if m[0] == "p"] == [("p", 1, 2), ("p", 1, 4)]


# ---- features and tables


def test_a_feature_looks_back_on_its_key_and_an_excluded_event_not_on_itself() -> None:
    rules = A + (
        "feature spent on a as sum(x) over 10 ms by k;"
        "feature before on a as max(x) over 2 events by k excluding current;"
        "pattern p from a by k match u define u as x > 0"
        " select u.id as id, u.spent as s, u.before as b;"
    )
    events = [a(1, 0, 1), a(2, 5, 2), a(3, 5, 8, k=2), a(4, 10, 4), a(5, 20, 1)]
    assert both(rules, events).matches == [
        ("p", 1, 1, None),
        ("p", 2, 3, 1),
        ("p", 3, 8, None),
        ("p", 4, 6, 2),
        ("p", 5, 1, 4),
    ]


def test_a_feature_counts_events_of_another_stream_that_came_before() -> None:
    rules = (
        A
        + B
        + (
            "feature alarms on a as count(*) from b where y > 0 over 10 ms by k;"
            "pattern p from a by k match u define u as alarms > 0 select u.id as id, u.alarms as n;"
        )
    )
    events = [b(1, 0, 1), b(2, 1, 0), a(3, 2), b(4, 3, 1), a(5, 4), a(6, 4, k=2), a(7, 12)]
    assert both(rules, events).matches == [("p", 3, 1), ("p", 5, 2), ("p", 7, 1)]


def test_a_feature_over_a_derived_stream() -> None:
    rules = A + (
        "aggregate tens from a by k window tumbling 10 ms select k, count(*) as n;"
        "feature most on tens as max(n) over all by k excluding current;"
        "pattern p from tens by k match u define u as n > most select u.n as n, u.most as most;"
    )
    events = [a(i, ts) for i, ts in enumerate([0, 1, 10, 20, 21, 22, 30])]
    assert both(rules, events).matches == [("p", 3, 2)]


def test_a_base_stream_reads_features_of_a_derived_one() -> None:
    rules = A + (
        "aggregate tens from a by k window tumbling 10 ms select k, count(*) as n;"
        "feature usual on a as avg(n) from tens over all by k;"
        "pattern p from a by k match u define u as usual > 0 select u.id as id, u.usual as u;"
    )
    events = [a(1, 0), a(2, 1), a(3, 10), a(4, 20), a(5, 21)]
    assert both(rules, events).matches == [("p", 3, 2.0), ("p", 4, 1.5), ("p", 5, 1.5)]


def test_tables_are_looked_up_and_those_with_a_time_in_the_version_of_then() -> None:
    rules = A + (
        "table names (k int, name text) by k;"
        "table levels (k int, at int, level int) by k time at;"
        "pattern p from a match u define u as names.name = 'one' and x > levels.level"
        " select u.id as id, names.name as name;"
    )
    events: list[Arrival] = [
        a(1, 0, 9),
        ("levels", {"k": 1, "at": 1, "level": 5}),
        a(2, 1, 9),
        a(3, 2, 4),
        ("levels", {"k": 1, "at": 3, "level": 3}),
        a(4, 4, 4),
        a(5, 5, 9, k=2),
    ]
    tables = {"names": [{"k": 1, "name": "one"}, {"k": 2, "name": "two"}]}
    assert both(rules, events, tables).matches == [("p", 2, "one"), ("p", 4, "one")]


# ---- joins


def test_an_interval_join_takes_both_bounds_and_events_of_one_time() -> None:
    rules = A + B + ("join near from a, b by k between -2 ms and 3 ms select a.id as l, b.id as r;")
    events = [b(10, 0), a(1, 2), b(11, 2), b(12, 5), b(13, 6), a(2, 6), a(3, 7), b(14, 7, k=2)]
    # b - a: 10-1 -2, 11-1 0, 12-1 3, 13-1 4 (no), 12-2 -1, 13-2 0, 12-3 -2, 13-3 -1
    rows = both(rules, events).rows["near"]
    assert sorted(row[1:] for row in rows) == [
        (1, 10), (1, 11), (1, 12), (2, 12), (2, 13), (3, 12), (3, 13),
    ]  # fmt: skip
    assert {row[0] for row in rows} == {1}


def test_an_interval_of_negative_bounds_alone() -> None:
    rules = (
        A + B + ("join before from a, b by k between -5 ms and -2 ms select a.id as l, b.id as r;")
    )
    events = [b(10, 0), b(11, 3), a(1, 5), b(12, 5), a(2, 6)]
    rows = both(rules, events).rows["before"]
    assert sorted(row[1:] for row in rows) == [(1, 10), (1, 11), (2, 11)]


def test_a_window_join_pairs_what_lies_in_one_window() -> None:
    rules = (
        A
        + B
        + (
            "join same from a, b by k window tumbling 10 ms where a.x < b.y"
            " select a.id as l, b.id as r;"
        )
    )
    events = [a(1, 1, 1), b(10, 9, 5), a(2, 9, 7), b(11, 10, 5), a(3, 19, 2), b(12, 20, 9)]
    rows = both(rules, events).rows["same"]
    assert [row[1:] for row in rows] == [(1, 10), (3, 11)]


def test_a_window_over_a_join() -> None:
    rules = (
        A
        + B
        + (
            "join near from a, b by k within 5 ms select a.x + b.y as z;"
            "aggregate sums from near by k window tumbling 10 ms"
            " select k, count(*) as n, sum(z) as z;"
        )
    )
    events = [a(1, 0, 1), a(2, 1, 2), b(10, 2, 10), b(11, 12, 1), a(3, 13, 5), b(12, 13, 5)]
    assert both(rules, events).rows["sums"] == [(1, 2, 23), (1, 1, 10)]


# ---- NULL keys


def test_events_without_a_key_are_errors_and_stand_in_no_window_feature_or_join() -> None:
    rules = (
        A
        + B
        + (
            "aggregate tens from a by k window tumbling 10 ms select k, count(*) as n;"
            "join near from a, b by k within 5 ms select a.id as l, b.id as r;"
            "feature seen on a as count(*) over all by k;"
            "pattern p from a match u define u as x > 0 select u.id as id, u.seen as n;"
        )
    )
    seen = both(rules, [a(1, 0, 1), a(2, 1, 1, k=None), b(10, 2, k=None), b(11, 3)])
    assert seen.rows["tens"] == [(1, 1)]
    assert [row[1:] for row in seen.rows["near"]] == [(1, 11)]
    assert seen.matches == [("p", 1, 1), ("p", 2, None)]
    assert seen.errors == ["key field 'k' is NULL"] * 2


@pytest.mark.parametrize("workers", [1, 3])
def test_many_keys_at_once(workers: int) -> None:
    rules = A + (
        "aggregate tens from a by k window tumbling 10 ms select k, count(*) as n;"
        "aggregate all_keys from tens window tumbling 10 ms select count(*) as keys, sum(n) as n;"
    )
    events = [a(i, i // 10, k=i % 7) for i in range(200)]
    seen = live(rules, events, workers=workers)
    assert seen.rows["all_keys"] == [(7, 100), (7, 100)]


def test_a_late_event_reaches_an_aggregate_that_reads_a_feature_of_a_derived_stream() -> None:
    rules = A + (
        "aggregate tum from a by k window tumbling 3 ms lateness 99 ms select k, count(*) as n;"
        "feature rate on a as avg(n) from tum over 10 ms by k;"
        "aggregate high from a by k window tumbling 4 ms lateness 99 ms"
        " select k, count(*) as n, sum(rate) as r;"
    )
    seen = live(rules, [a(1, 1), a(2, 9), a(3, 2)])
    assert seen.rows["tum"] == [(1, 1, 0), (1, 2, 1), (1, 1, 0)]
    assert seen.rows["high"] == [(1, 1, None, 0), (1, 2, None, 1), (1, 1, 1.0, 0)]
    assert seen.late == []


def test_an_event_that_no_window_of_any_task_takes_is_late_once() -> None:
    rules = A + (
        "aggregate tum from a by k window tumbling 3 ms select k, count(*) as n;"
        "feature rate on a as avg(n) from tum over 10 ms by k;"
        "aggregate high from a by k window tumbling 4 ms select k, sum(rate) as r;"
    )
    assert live(rules, [a(1, 1), a(2, 9), a(3, 2)]).late == ["a"]


def test_what_a_running_aggregate_is_made_of_is_in_no_error() -> None:
    rules = A + (
        "aggregate total from a by k select k, sum(x) as s;"
        "pattern p from a by k match u define u as 6 / x > 1 after match no skip;"
    )
    result = cep.compile(rules).run([a(1, 0, 0)[1]])
    assert [error.event for error in result.errors] == ['{"id": 1, "ts": 0, "k": 1, "x": 0}']


def test_two_streams_may_have_a_feature_of_the_same_name() -> None:
    rules = (A + B) + (
        "feature n on a as count(*) over 10 ms by k; feature n on b as sum(y) over 10 ms by k;"
        "pattern p from a, b by k match u -> v within 1 second"
        " define u as a where n > 1, v as b where n > 5 after match no skip"
        " select u.n as un, v.n as vn;"
    )
    events = [a(1, 0), a(2, 1), b(3, 2, 4), b(4, 3, 3), a(5, 4)]
    assert both(rules, events).matches == [("p", 2, 7)]


def test_a_column_called_update_changes_nothing_for_who_reads_the_rows() -> None:
    rules = A + (
        "aggregate r from a by k window tumbling 60 ms early every 10 ms"
        " select k, count(*) as {name};"
        "aggregate m from r by k window tumbling 60 ms select k, count(*) as n;"
    )
    events = [a(i, 5 * i) for i in range(13)]
    found = [live(rules.format(name=name), events).rows["m"] for name in ("c", '"update"')]
    assert found == [[(1, 1), (1, 1)]] * 2
