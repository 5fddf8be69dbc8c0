"""Event time as a whole: against the reference, in any cut, and what it promises by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Stream
from cep.engine.batch import EventBatch
from cep.engine.kernels.layout import NEVER
from cep.engine.time.event_time import EventTime
from cep.engine.time.lane import START_US
from tests.reference.event_time import Entry
from tests.unit.engine.time_tools import (
    SCHEMA,
    Scenario,
    act,
    at,
    batch,
    log_of,
    reference_log,
    scenarios,
)

law = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))

PLAIN = Stream("logins")


def event_time(*streams: Stream, **options: Any) -> EventTime:
    return EventTime(streams, SCHEMA, **options)


def without_implausible(log: list[Entry]) -> list[Entry]:
    return [entry for entry in log if entry[0] != "implausible"]


def run(scenario: Scenario, size: int = 1000) -> list[Entry]:
    engine = event_time(*scenario.streams, ahead_us=scenario.ahead)
    log: list[Entry] = []
    for action in scenario.actions:
        for arrived in act(engine, action, size):
            log += log_of(arrived)
    return log


# -- laws ------------------------------------------------------------------------------------------


@law
@given(scenarios(), st.sampled_from((1, 2, 3, 1000)))
def test_any_cut_gives_what_the_reference_gives_event_by_event(
    scenario: Scenario, size: int
) -> None:
    log, expected = run(scenario, size), reference_log(scenario)
    assert without_implausible(log) == without_implausible(expected)
    assert sorted(log, key=str) == sorted(expected, key=str)


@law
@given(scenarios())
def test_the_watermark_never_falls_and_nothing_ready_is_behind_it_later(scenario: Scenario) -> None:
    engine = event_time(*scenario.streams, ahead_us=scenario.ahead)
    before, last_us = START_US, -(2**62)
    for action in scenario.actions:
        for arrived in act(engine, action):
            assert arrived.watermark_us == engine.watermark_us >= before
            assert (arrived.ready.time_us > before).all()
            assert (np.diff(arrived.ready.time_us, prepend=last_us) >= 0).all()
            assert (arrived.late.late_by_us >= 0).all()
            assert type(arrived.watermark_us) is int
            before = arrived.watermark_us
            last_us = int(arrived.ready.time_us[-1]) if len(arrived.ready) else last_us
    assert before == NEVER
    assert engine.status().held == 0


@law
@given(scenarios(), st.integers(0, 12))
def test_stopped_and_restored_anywhere_is_never_stopped(scenario: Scenario, stop: int) -> None:
    engine = event_time(*scenario.streams, ahead_us=scenario.ahead)
    log: list[Entry] = []
    for i, action in enumerate(scenario.actions):
        if i == stop:
            snapshot, status = engine.snapshot(), engine.status()
            for ahead in scenario.actions[i:]:
                list(act(engine, ahead))  # what goes on must not change the snapshot
            engine = event_time(*scenario.streams, ahead_us=scenario.ahead)
            engine.restore(snapshot)
            assert replace(engine.status(), held_bytes=0) == replace(status, held_bytes=0)
        for arrived in act(engine, action):
            log += log_of(arrived)
    assert without_implausible(log) == without_implausible(reference_log(scenario))


@law
@given(st.data(), st.integers(0, 20))
def test_events_shuffled_within_the_lateness_come_out_sorted_and_complete(
    data: st.DataObject, lateness: int
) -> None:
    times = sorted(data.draw(st.lists(st.integers(0, 60), max_size=40)))
    delays = data.draw(st.lists(st.integers(0, lateness), min_size=40, max_size=40))
    arriving = sorted(range(len(times)), key=lambda i: times[i] + delays[i])
    engine = event_time(replace(PLAIN, lateness_us=lateness))
    cut = data.draw(st.integers(0, len(times)))
    events = [{"id": i, "time": times[i]} for i in arriving]
    parts = (events[:cut], events[cut:])
    steps = [*(engine.add(0, batch(part)) for part in parts), engine.finish()]
    out = np.concatenate([step.ready.time_us for step in steps])
    assert out.tolist() == times
    assert sum(len(step.late) for step in steps) == 0


# -- nothing is held where nothing has to wait -----------------------------------------------------


def test_a_batch_in_order_passes_as_it_is() -> None:
    engine = event_time(PLAIN)
    events = at(5, 5, 7)
    arrived = engine.add(0, events)
    assert arrived.ready.table is events.table
    assert arrived.ready.time_us is events.time_us
    assert arrived.ready.stream is None
    assert arrived.watermark_us == 6
    assert len(arrived.late) == 0


def test_the_time_of_the_last_event_is_on_time_and_an_earlier_one_is_late() -> None:
    engine = event_time(PLAIN)
    engine.add(0, at(7))
    arrived = engine.add(0, at(7, 6, 8))
    assert arrived.ready.time_us.tolist() == [7, 8]
    assert arrived.late.events.time_us.tolist() == [6]
    assert arrived.late.watermark_us.tolist() == [6]
    assert arrived.late.late_by_us.tolist() == [0]


def test_a_late_event_stands_between_what_came_before_and_after_it() -> None:
    steps = list(event_time(PLAIN).add(0, at(5, 9, 3, 9, 4, 12, 8)).steps())
    assert [step.ready.time_us.tolist() for step in steps] == [[5, 9], [9], [12], []]
    assert [step.late.events.time_us.tolist() for step in steps] == [[3], [4], [8], []]
    assert [step.watermark_us for step in steps] == [8, 8, 11, 11]


def test_events_of_all_streams_in_one_order_are_not_held() -> None:
    engine = event_time(Stream("a"), Stream("b"), in_order_over_all=True)
    assert engine.add(1, at(5)).ready.time_us.tolist() == [5]
    arrived = engine.add(0, at(5, 4))
    assert arrived.ready.time_us.tolist() == [5]
    assert arrived.ready.stream is not None
    assert arrived.ready.stream.tolist() == [0]
    assert arrived.late.events.time_us.tolist() == [4]
    engine.finish(0)
    assert engine.add(1, at(6)).watermark_us == 5
    assert engine.finish(1).watermark_us == NEVER


def test_streams_that_wait_for_stragglers_cannot_be_taken_in_one_order() -> None:
    with pytest.raises(DataError, match="stream 'b' declares a lateness"):
        event_time(Stream("a"), Stream("b", lateness_us=1), in_order_over_all=True)


# -- held events -----------------------------------------------------------------------------------


def test_events_are_held_until_all_streams_have_passed_them() -> None:
    engine = event_time(Stream("a"), Stream("b"))
    assert len(engine.add(0, at(1, 4)).ready) == 0
    arrived = engine.add(1, at(2, 3))
    assert arrived.ready.time_us.tolist() == [1, 2]
    assert arrived.watermark_us == 2
    status = engine.status()
    assert (status.held, status.oldest_held_us) == (2, 3)
    assert status.held_bytes > 0
    assert str(status.held_by) == "stream 'b', 1e-06 s behind the most advanced,"
    arrived = engine.finish()
    assert arrived.ready.time_us.tolist() == [3, 4]
    assert arrived.watermark_us == NEVER


def test_a_table_with_the_columns_of_its_stream_alone_is_filled_up() -> None:
    engine = event_time(Stream("a"), Stream("b"))
    table = pa.table({"port": [1], "id": [7]})
    engine.add(0, EventBatch(table, np.array([5])))
    arrived = engine.finish()
    assert arrived.ready.table.schema == SCHEMA
    assert arrived.ready.table.to_pylist() == [{"id": 7, "host": None, "port": 1, "rank": None}]


def test_dictionaries_of_many_batches_outgrow_a_small_index() -> None:
    small = pa.dictionary(pa.int8(), pa.string())
    schema = pa.schema([("id", pa.int64()), ("host", small)])
    engine = EventTime([Stream("a", lateness_us=1_000)], schema)
    assert engine.schema.field("host").type == pa.dictionary(pa.int32(), pa.string())
    for i in range(300):
        narrow = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.array([f"host {i}"]))
        engine.add(0, EventBatch(pa.table({"id": [i], "host": narrow}), np.array([300 - i])))
    hosts: Any = engine.finish().ready.table.column("host").to_pylist()
    assert hosts == [f"host {i}" for i in range(299, -1, -1)]


def test_a_batch_for_which_there_is_no_room_is_refused_and_nothing_has_changed() -> None:
    engine = event_time(Stream("a"), Stream("b"), held_max=3)
    engine.add(0, at(1, 2, 3))
    before = engine.status()
    complaint = "4 events would wait .* more than 3: stream 'b', which has sent nothing yet"
    with pytest.raises(DataError, match=complaint):
        engine.add(0, at(4))
    assert engine.status() == before
    assert engine.add(1, at(3, 4)).ready.time_us.tolist() == [1, 2]
    assert engine.finish(1).ready.time_us.tolist() == []
    assert engine.add(0, at(9)).ready.time_us.tolist() == [3, 3, 4]


def test_a_batch_that_sets_events_free_is_taken_even_if_the_buffer_was_full() -> None:
    engine = event_time(Stream("a"), Stream("b"), held_max=3)
    engine.add(0, at(1, 2, 3))
    assert engine.add(1, at(10, 11)).ready.time_us.tolist() == [1, 2]


def test_a_stream_that_has_ended_takes_no_more_events() -> None:
    engine = event_time(Stream("a"), Stream("b"))
    engine.finish(1)
    with pytest.raises(DataError, match="stream 'b' has been declared finished"):
        engine.add(1, at(1))
    engine.finish()
    with pytest.raises(DataError, match="stream 'a' has been declared finished"):
        engine.add(0, at(1))


# -- events from the future ------------------------------------------------------------------------


def test_an_event_far_ahead_of_the_clock_makes_no_other_late() -> None:
    engine = event_time(PLAIN, ahead_us=10)
    arrived = engine.add(0, at(100, 111, 110), clock_us=100)
    assert arrived.ready.time_us.tolist() == [100, 110]
    assert arrived.implausible.time_us.tolist() == [111]
    assert arrived.watermark_us == 109
    assert engine.status().implausible == 1


def test_without_a_clock_nothing_can_be_told_to_be_ahead_of_it() -> None:
    with pytest.raises(DataError, match="give its reading"):
        event_time(PLAIN, ahead_us=10).add(0, at(1))


# -- words about time ------------------------------------------------------------------------------


def test_a_promise_releases_events_and_makes_later_ones_late() -> None:
    engine = event_time(replace(PLAIN, lateness_us=100))
    engine.add(0, at(3, 1))
    assert engine.advance(2).ready.time_us.tolist() == [1]
    assert engine.advance(0).watermark_us == 2
    arrived = engine.add(0, at(2, 3))
    assert arrived.late.events.time_us.tolist() == [2]
    assert engine.finish().ready.time_us.tolist() == [3, 3]


def test_behind_the_end_of_time_every_event_is_late() -> None:
    engine = event_time(replace(PLAIN, lateness_us=2**63 - 1))
    assert engine.add(0, at(5, -(2**60))).watermark_us == 4 - 2**61
    assert engine.advance(NEVER).ready.time_us.tolist() == [-(2**60), 5]
    late = engine.add(0, at(-1)).late
    assert late.watermark_us.tolist() == [NEVER]
    assert late.late_by_us.tolist() == [2**62 + 1]


def test_a_source_that_falls_silent_holds_the_others_no_longer() -> None:
    engine = event_time(Stream("a", partition=("host",), idle_us=10))
    engine.add(0, at(1, host="x"), clock_us=0)
    engine.add(0, at(8, 9, host="y"), clock_us=5)
    assert engine.tick(9).ready.time_us.tolist() == []
    assert engine.tick(10).ready.time_us.tolist() == [1, 8]
    arrived = engine.add(0, at(8, host="x"), clock_us=11)
    assert arrived.late.events.time_us.tolist() == [8]
    assert engine.watermark_us == 8


def test_a_stop_is_nobodys_silence_if_the_clock_at_the_restart_is_told() -> None:
    stream = Stream("a", partition=("host",), idle_us=10)
    engine = event_time(stream)
    engine.add(0, at(1, host="x"), clock_us=0)
    engine.add(0, at(9, host="y"), clock_us=5)
    again, told = event_time(stream), event_time(stream)
    again.restore(engine.snapshot())
    told.restore(engine.snapshot(), clock_us=1_005)
    assert again.tick(1_006).watermark_us == 0  # all are idle: it stays where it is
    assert told.tick(1_009).watermark_us == 0
    assert told.tick(1_010).watermark_us == 8
