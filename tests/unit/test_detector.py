"""The live detector, call by call: what goes in, what comes out, what it says of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

import cep

STREAM = "stream s (id int, ts timestamp, k int, x float) time ts lateness 5 seconds;"
UP = """
pattern up from s by k match a -> b within 1 minute
  define a as x > 1, b as x > a.x
  on timeout select a.id as id
  select a.id as first, b.id as second;
"""
RULES = STREAM + UP
TWO = """
stream s (id int, ts timestamp, k int) time ts;
stream z (id int, ts timestamp, k int) time ts;
pattern pair from s, z by k match a -> b within 1 minute
  define a as s where true, b as z where true
  select a.id as first, b.id as second;
"""
Event = dict[str, Any]
Found = list[dict[str, Any]]


def event(id: int, second: int, x: Any = 0, k: Any = 1) -> Event:  # noqa: A002
    return {"id": id, "ts": f"2025-03-03 12:00:{second:02}", "k": k, "x": x}


def found(result: cep.Result) -> Found:
    return [match.values for match in result.matches]


def said(call: Any, *given: Any, **named: Any) -> str:
    """The whole text of the DataError that a call raises."""
    with pytest.raises(cep.DataError) as caught:
        call(*given, **named)
    return str(caught.value)


# ---- events in, matches out


def test_a_match_comes_out_once_its_events_cannot_be_preceded_any_more() -> None:
    detector = cep.Detector(RULES)
    assert found(detector.process(event(1, 0, 2))) == []
    assert found(detector.process_batch([event(2, 4, 1), event(3, 1, 3)])) == []
    assert found(detector.process(event(4, 30, 1))) == [{"first": 1, "second": 3}]


def test_a_batch_may_be_a_table() -> None:
    table = pa.Table.from_pylist([event(1, 0, 2), event(2, 1, 3)])
    result = cep.Detector(RULES).process_batch(table)
    assert (result.events, found(result)) == (2, [])


def test_a_batch_without_events_changes_nothing() -> None:
    detector = cep.Detector(RULES)
    assert detector.process_batch([]).events == 0
    assert detector.status()["events"] == 0


def test_a_promise_lets_out_what_is_held_and_finish_decides_the_rest() -> None:
    detector = cep.Detector(RULES)
    detector.process_batch([event(1, 0, 2), event(2, 1, 3), event(3, 2, 2)])
    assert found(detector.advance_to("2025-03-03 12:00:01")) == [{"first": 1, "second": 2}]
    ended = detector.finish()
    assert found(ended) == []
    assert [run.values for run in ended.timeouts] == [{"id": 3}]


@pytest.mark.parametrize(
    "time",
    [
        datetime(2025, 3, 3, 12, 0, 1),  # noqa: DTZ001
        datetime(2025, 3, 3, 12, 0, 1, tzinfo=UTC),
        "2025-03-03T12:00:01Z",
        1_741_003_201_000_000,
    ],
)
def test_a_promise_is_a_datetime_a_text_or_microseconds(time: Any) -> None:
    detector = cep.Detector(RULES)
    detector.advance_to(time)
    assert detector.status()["watermark"] == "2025-03-03T12:00:01"


def test_a_promise_that_is_no_time_is_refused() -> None:
    detector, what = cep.Detector(RULES), "give a datetime, ISO 8601 text or microseconds"
    assert said(detector.advance_to, "soon") == f"'soon' is no time: {what}"
    assert said(detector.advance_to, 1.5) == f"1.5 is no time: {what}"


def test_a_finished_detector_takes_nothing_more() -> None:
    detector = cep.Detector(RULES)
    detector.finish()
    message = "the detector has finished: no event can follow; make a new one"
    assert said(detector.process, event(1, 0)) == message
    assert said(detector.process_batch, []) == message
    assert said(detector.advance_to, 0) == message
    assert said(detector.tick) == message
    assert said(detector.finish) == message
    assert detector.status()["finished"] is True


# ---- streams that nobody declares


def test_the_first_event_says_what_an_undeclared_stream_looks_like() -> None:
    detector = cep.Detector("pattern up match a -> b define a as x > 1, b as x > a.x")
    assert said(detector.tick) == ("tick: no event has come yet, and the rules declare no stream")
    detector.process({"ts": 1, "x": 2})
    assert len(detector.process({"ts": 1, "x": 3})) == 1
    assert said(detector.process, {"ts": 2, "xx": 3}) == (
        "the data: a field 'xx' that the data before did not have; did you mean 'x'? "
        "declare it in a `stream` statement, or give `schemas`"
    )
    assert said(detector.process, {"ts": 2, "x": 3.5}) == (
        "the data: field 'x' is double, before it was int64; declare its type in a `stream` "
        "statement"
    )
    assert said(detector.process, {"x": 3}) == "the data: no column 'ts', the event time"
    assert detector.status()["events"] == 2


def test_a_first_event_that_does_not_fit_does_not_spoil_the_next() -> None:
    detector = cep.Detector("pattern up match a define a as x > 1")
    assert said(detector.process, {"x": 2}) == (
        "the data: which column is the event time? no column is called ts, time, timestamp or "
        "event_time; say it in the rules with `stream NAME time COLUMN;`, the columns are: x"
    )
    with pytest.raises(cep.RuleError, match="no field 'x' in the data"):
        detector.process({"ts": 1, "y": 2})
    assert len(detector.process({"ts": 1, "x": 2})) == 1


def test_nothing_came_of_a_stream_that_nobody_declares() -> None:
    detector = cep.Detector("pattern up match a define a as x > 1")
    assert len(detector.finish()) == 0
    assert detector.status()["events"] == 0


def test_of_several_streams_all_must_be_known() -> None:
    rules = "pattern p from s, z match a -> b define a as s where true, b as z where true"
    detector = cep.Detector(rules)
    assert said(detector.process, {"ts": 1}, "s") == (
        "stream 'z': nobody knows its columns; declare them in the rules, "
        "`stream NAME (FIELD TYPE, ...) time FIELD;`, or give `schemas`"
    )
    schema = pa.schema([("ts", pa.int64())])
    detector = cep.Detector(rules, schemas={"s": schema, "z": [{"ts": 1}]})
    detector.process({"ts": 1}, "s")
    detector.process({"ts": 2}, "z")
    assert len(detector.finish()) == 1


# ---- events that do not fit


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x": "abc"}, "x is not a float: 'abc'"),
        ({"k": "abc"}, "k is not an int: 'abc'"),
        ({"ts": None}, "time 'ts' is NULL"),
        ({"ts": "garbage"}, "time 'ts' does not parse as ISO 8601: 'garbage'"),
    ],
)
def test_an_event_with_a_wrong_value_is_an_error_and_the_others_go_on(
    change: Event, reason: str
) -> None:
    detector = cep.Detector(RULES)
    good = [event(1, 0, 2), event(3, 2, 3)]
    result = detector.process_batch([good[0], event(2, 1, 2) | change, good[1]])
    assert [error.reason for error in result.errors] == [reason]
    assert result.events == 3
    assert found(detector.finish()) == [{"first": 1, "second": 3}]
    assert (detector.status()["events"], detector.status()["errors"]) == (3, 1)


def test_an_event_without_a_key_is_an_error_when_its_time_has_come() -> None:
    detector = cep.Detector(RULES)
    assert len(detector.process(event(1, 0, 2, k=None)).errors) == 0
    result = detector.process(event(2, 9, 2))
    assert [error.reason for error in result.errors] == ["key field 'k' is NULL"]


def test_a_declared_field_that_is_missing_is_null_and_an_unknown_one_is_ignored() -> None:
    detector = cep.Detector(RULES)
    missing = event(1, 0, 2)
    del missing["x"]
    detector.process(missing | {"note": "n"})
    assert len(detector.finish().errors) == 0
    assert detector.status()["ignored_fields"] == {"s": ["note"]}


def test_an_event_without_its_time_is_refused() -> None:
    assert said(cep.Detector(RULES).process, {"id": 1}) == (
        "stream 's': no column 'ts', the event time"
    )


def test_what_is_no_event_is_refused() -> None:
    detector: Any = cep.Detector(RULES)
    assert said(detector.process, 3) == (
        "stream 's': row 0 is int 3, not a dict or an object with fields"
    )
    assert said(detector.process, None) == (
        "stream 's': row 0 is NoneType None, not a dict or an object with fields"
    )


def test_a_stream_that_no_rule_reads_is_refused() -> None:
    detector = cep.Detector(TWO)
    assert said(detector.process, event(1, 0), "y") == "no rule reads a stream 'y'; read: s, z"
    assert said(detector.process, event(1, 0)) == (
        "the rules read several streams (s, z): say of which this is"
    )


# ---- late events and other side outputs


def test_a_late_event_comes_out_with_the_watermark_that_it_met() -> None:
    detector = cep.Detector(RULES)
    detector.process(event(1, 30))
    late = detector.process(event(2, 10)).late
    assert late.counts() == {"s": 1}
    (row,) = late.to_arrow().to_pylist()
    assert row["stream"] == "s"
    assert row["time"] == datetime(2025, 3, 3, 12, 0, 10)  # noqa: DTZ001
    assert row["watermark"] == datetime(2025, 3, 3, 12, 0, 24, 999_999)  # noqa: DTZ001
    assert row["late_by"] == timedelta(seconds=14, microseconds=999_999)
    assert (row["id"], row["k"]) == (2, 1)


def test_without_lateness_an_event_of_the_same_time_is_on_time_and_one_before_is_late() -> None:
    detector = cep.Detector(RULES.replace("lateness 5 seconds", ""))
    detector.process(event(1, 10, 2))
    result = detector.process(event(2, 10, 3))
    assert (found(result), len(result.late)) == ([{"first": 1, "second": 2}], 0)
    assert len(detector.process(event(3, 9)).late) == 1


def test_callbacks_get_tables_that_have_rows_and_status_counts_all() -> None:
    calls: list[tuple[str, int]] = []
    sides: Any = ("matches", "timeouts", "late", "errors")
    on = {side: lambda table, side=side: calls.append((side, len(table))) for side in sides}
    detector = cep.Detector(RULES, on=on)
    detector.process_batch([event(1, 0, 2), event(2, 1, 3), event(3, 2, 4), event(4, 3, "?")])
    detector.process_batch([event(5, 40, 1), event(6, 10, 1)])
    detector.finish()
    assert calls == [("errors", 1), ("matches", 1), ("late", 1), ("timeouts", 1)]
    status = detector.status()
    assert [status[name] for name in ("events", *sides)] == [6, 1, 1, 1, 1]


def test_an_event_too_far_ahead_of_the_clock_is_an_error_and_makes_none_late() -> None:
    noon_us = 1_741_003_200_000_000
    detector = cep.Detector(RULES, ahead=timedelta(seconds=10), clock=lambda: noon_us)
    result = detector.process_batch([event(1, 0, 2), event(2, 11, 9), event(3, 10, 3)])
    assert [error.reason for error in result.errors] == [
        "the event's time is too far ahead of the clock"
    ]
    assert detector.status()["implausible"] == 1
    assert found(detector.finish()) == [{"first": 1, "second": 3}]


def test_more_events_than_may_be_held_are_refused_and_nothing_has_changed() -> None:
    detector = cep.Detector(RULES, held_max=2)
    events = [event(1, 0, 2), event(2, 1, 3), event(3, 2, 1)]
    assert said(detector.process_batch, events) == (
        "3 events would wait for their turn, more than 2: stream 's', 0 s behind the most "
        "advanced, holds the watermark back; declare when a source is idle, finish it, or allow "
        "more"
    )
    assert detector.status()["events_held"] == 0
    detector.process_batch(events[:2])
    assert detector.status()["events_held"] == 2


# ---- several streams


def test_the_slowest_stream_holds_the_others_back_and_status_names_it() -> None:
    detector = cep.Detector(TWO)
    detector.process(event(1, 0), "s")
    status = detector.status()
    assert status["watermark"] is None
    assert status["held_back_by"] == "stream 'z', which has sent nothing yet"
    assert status["events_held"] == 1
    assert status["oldest_held"] == "2025-03-03T12:00:00"
    assert found(detector.process(event(2, 5), "z")) == []
    assert detector.status()["held_back_by"] == "stream 's', 5 s behind the most advanced"
    assert found(detector.process(event(3, 7), "s")) == []
    assert found(detector.process(event(4, 6), "z")) == [{"first": 1, "second": 2}]


def test_a_promise_for_one_stream_or_its_end_lets_the_others_go_on() -> None:
    detector = cep.Detector(TWO)
    detector.process(event(1, 0), "s")
    detector.process(event(2, 5), "z")
    assert found(detector.advance_to("2025-03-03 12:00:04", "s")) == []
    assert detector.status()["watermark"] == "2025-03-03T12:00:04"
    assert found(detector.finish("s")) == []
    assert found(detector.process(event(3, 6), "z")) == [{"first": 1, "second": 2}]
    assert said(detector.process, event(4, 7), "s") == (
        "stream 's' has been declared finished and has an event"
    )


def test_streams_that_arrive_in_one_order_wait_for_none() -> None:
    detector = cep.Detector(TWO, in_arrival_order=True)
    detector.process(event(1, 0), "s")
    assert found(detector.process(event(2, 5), "z")) == [{"first": 1, "second": 2}]
    assert len(detector.process(event(3, 4), "s").late) == 1


def test_streams_with_a_lateness_cannot_be_taken_as_they_arrive() -> None:
    assert said(cep.Detector, RULES, in_arrival_order=True) == (
        "stream 's' declares a lateness, a partition or a tie-breaker, so its events cannot be "
        "taken in the order in which all streams arrive: leave that out of the rules, or do not "
        "ask for this order"
    )


def test_a_source_that_is_silent_for_long_holds_nobody_back() -> None:
    clock = [0]
    rules = """
    stream s (ts timestamp, source text) time ts by source idle after 10 seconds;
    pattern p from s match a define a as true;
    """
    detector = cep.Detector(rules, clock=lambda: clock[0])
    detector.process({"ts": "2025-03-03 12:00:00", "source": "one"})
    detector.process({"ts": "2025-03-03 12:00:05", "source": "two"})
    assert detector.status()["held_back_by"] == (
        "source one of stream 's', 5 s behind the most advanced"
    )
    clock[0] = 9_000_000
    assert len(detector.process({"ts": "2025-03-03 12:00:06", "source": "two"})) == 0
    clock[0] = 10_000_000
    assert len(detector.tick()) == 2
    assert detector.status()["streams"]["s"]["slowest_sources"][0]["source"] == ["two"]


# ---- processing time


def test_in_processing_time_an_event_happens_when_it_arrives() -> None:
    clock = [1_000_000]
    rules = STREAM + "pattern gone from s by k match a -> not b within 10 seconds"
    rules += " define a as x > 1, b as true select a.id as id;"
    detector = cep.Detector(rules, time="processing", clock=lambda: clock[0])
    detector.process(event(1, 50, 2))
    clock[0] = 5_000_000
    assert len(detector.process(event(2, 1, 2, k=2)).late) == 0
    clock[0] = 11_000_000
    assert found(detector.tick()) == [{"id": 1}]
    clock[0] = 15_000_001
    assert found(detector.tick()) == [{"id": 2}]
    assert detector.status()["streams"]["s"]["late"] == 0


# ---- limits, tables, early results


def test_a_limit_refuses_new_runs_and_status_counts_them() -> None:
    limits = {"up": cep.Limit(runs_per_key=1)}
    detector = cep.Detector(RULES, limits=limits)
    detector.process_batch([event(1, 0, 5), event(2, 1, 3), event(3, 2, 4)])
    assert found(detector.finish()) == []
    up = detector.status()["nodes"]["up"]
    assert (up["refused_runs"], up["dropped_runs"]) == (2, 0)


def test_a_limit_drops_the_oldest_run_and_status_counts_it() -> None:
    limits = {"up": cep.Limit(runs_per_key=1, policy="drop oldest")}
    detector = cep.Detector(RULES, limits=limits)
    detector.process_batch([event(1, 0, 5), event(2, 1, 3), event(3, 2, 4)])
    assert found(detector.finish()) == [{"first": 2, "second": 3}]
    up = detector.status()["nodes"]["up"]
    assert (up["refused_runs"], up["dropped_runs"]) == (0, 1)


def test_a_table_can_be_exchanged_between_two_events() -> None:
    rules = """
    stream s (id int, ts timestamp, k int) time ts;
    table names (k int, name text) by k;
    pattern p from s match a define a as names.name = 'bad' select a.id as id;
    """
    detector = cep.Detector(rules, tables={"names": [{"k": 1, "name": "good"}]})
    assert len(detector.process(event(1, 0))) == 0
    detector.reload("names", [{"k": 1, "name": "bad"}])
    assert found(detector.process(event(2, 1))) == [{"id": 2}]
    assert said(detector.reload, "nams", []) == "no rule looks up a table 'nams'"
    with pytest.raises(cep.DataError, match="name"):
        detector.reload("names", [{"k": 1}])
    assert found(detector.process(event(3, 2))) == [{"id": 3}]


def test_a_table_that_is_looked_up_must_be_given() -> None:
    rules = """
    stream s (ts timestamp, k int) time ts;
    table names (k int, name text) by k;
    pattern p from s match a define a as names.name = 'bad';
    """
    assert said(cep.Detector, rules) == "no data for table 'names', which the rules look up"
    assert said(cep.Detector, RULES, tables={"names": []}) == (
        "no rule looks up a table 'names'; looked up: none"
    )


def test_the_open_windows_of_an_aggregate_can_be_asked_for() -> None:
    rules = STREAM + "aggregate n from s by k window tumbling 10 seconds select k, count(*) as n;"
    detector = cep.Detector(rules)
    detector.process_batch([event(1, 0), event(2, 1), event(3, 8, k=2)])
    detector.advance_to("2025-03-03 12:00:02")
    now = detector.current("n").to_pylist()
    assert [(row["k"], row["n"]) for row in now] == [(1, 2)]
    assert len(detector.current("n")) == 1
    ended = detector.finish().tables["n"].to_pylist()
    assert [(row["k"], row["n"]) for row in ended] == [(1, 2), (2, 1)]
    assert said(detector.current, "m") == "no aggregate 'm' with windows; there are: n"


# ---- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"on": {"match": 1}},
            "on: no output 'match'; did you mean 'matches'? there are matches, timeouts, late, "
            "errors",
        ),
        ({"time": "wall"}, "time='wall': it is 'event' or 'processing'"),
        ({"workers": 0}, "workers=0: it is at least 1"),
        ({"held_max": -1}, "held_max=-1: it is at least 0"),
        ({"limits": {"uq": cep.Limit()}}, "limits: no pattern 'uq'; there are up"),
        ({"schemas": {"z": []}}, "no rule reads a stream 'z'; read: s"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options: Any, message: str) -> None:
    assert said(cep.Detector, RULES, **options) == message


def test_a_limit_below_one_is_refused() -> None:
    assert said(cep.Limit, 0) == "limit of runs_per_key to 0: at least one run must be allowed"
    assert said(cep.Limit, runs=-1) == "limit of runs to -1: at least one run must be allowed"
    assert said(cep.Limit, 1, policy="drop newest") == (
        "limit with policy 'drop newest': it is 'refuse new' or 'drop oldest'"
    )


def test_an_empty_first_call_says_nothing_of_the_columns() -> None:
    detector = cep.Detector("pattern p match a -> b define a as x > 1, b as x > a.x;")
    assert len(detector.process_batch([])) == 0
    detector.process({"ts": 1, "x": 2})
    assert len(detector.process({"ts": 2, "x": 3})) == 1


def test_a_function_that_fails_hides_nothing_from_the_others_and_loses_no_result() -> None:
    def fails(table: Any) -> None:
        raise ValueError("no connection")

    seen: list[int] = []
    rules = (
        "stream s (ts int, x int) time ts;"
        "pattern p match a define a as x > 1 after match no skip;"
        "aggregate n from s window count 1 select count(*) as n;"
    )
    on = {"matches": fails, "n": lambda rows: seen.append(len(rows))}
    detector = cep.Detector(rules, on=on)
    with pytest.raises(cep.CallbackError) as caught:
        detector.process({"ts": 1, "x": 2})
    assert str(caught.value) == (
        "the function for 'matches' failed (ValueError: no connection); the events have been taken"
    )
    assert len(caught.value.result.matches) == 1
    assert seen == [1]
    assert detector.status()["matches"] == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_detector_refuses_to_go_on_where_work_broke_off(workers: int) -> None:
    def merge(one: list[int], two: list[int]) -> list[int]:
        raise KeyboardInterrupt  # what no engine turns into an error of the event

    broken = cep.AggregateFunction(
        "broken", create=list, add=lambda s, v: [*s, v], merge=merge, result=len,
        type=cep.DataType.INTEGER, argument=cep.DataType.INTEGER,
    )  # fmt: skip
    text = (
        "stream s (ts int, x int) time ts;"
        "aggregate n from s window sliding 4 ms every 2 ms select broken(x) as n;"
    )
    rules = cep.compile(text, functions=[broken])
    with cep.Detector(rules, workers=workers) as detector:
        with pytest.raises(KeyboardInterrupt):
            detector.process_batch([{"ts": ts, "x": 1} for ts in range(10)])
        for call in (detector.snapshot, lambda: detector.process({"ts": 11}), detector.finish):
            with pytest.raises(cep.StateError, match="go on from a checkpoint"):
                call()
