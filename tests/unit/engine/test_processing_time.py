"""Processing time: the clock says when an event happened."""

from __future__ import annotations

from typing import Any

import pytest

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Stream
from cep.engine.kernels.layout import NEVER
from cep.engine.time.arrivals import Arrivals
from cep.engine.time.event_time import EventTime
from cep.engine.time.lane import START_US
from cep.engine.time.processing_time import ProcessingTime
from tests.unit.engine.time_tools import SCHEMA, at


def of(*names: str) -> ProcessingTime:
    return ProcessingTime([Stream(name) for name in names], SCHEMA)


def test_events_happen_when_they_arrive_and_none_is_late() -> None:
    clock = of("a")
    arrived = clock.add(0, at(9, 1, 5), clock_us=100)
    assert arrived.ready.time_us.tolist() == [100, 100, 100]
    assert arrived.ready.table.column("id").to_pylist() == [0, 1, 2]
    assert len(arrived.late) == 0
    assert arrived.watermark_us == 99


def test_events_of_one_reading_stay_together_and_a_tick_moves_the_watermark() -> None:
    clock = of("a", "b")
    clock.add(0, at(1), clock_us=100)
    arrived = clock.add(1, at(1), clock_us=100)
    assert arrived.ready.stream is not None
    assert (arrived.ready.time_us.tolist(), arrived.ready.stream.tolist()) == ([100], [1])
    assert clock.tick(150).watermark_us == 149


def test_a_clock_that_is_set_back_stands_still_and_none_is_the_last_reading() -> None:
    clock = of("a")
    clock.tick(100)
    assert clock.add(0, at(1), clock_us=50).ready.time_us.tolist() == [100]
    assert clock.add(0, at(1)).ready.time_us.tolist() == [100]


def test_a_promise_puts_later_events_behind_it() -> None:
    clock = of("a")
    assert clock.advance(200).watermark_us == 200
    assert clock.add(0, at(1), clock_us=100).ready.time_us.tolist() == [201]


def test_there_is_no_time_without_a_clock() -> None:
    with pytest.raises(DataError, match="give its reading"):
        of("a").add(0, at(1))


def test_the_end_of_all_streams_is_the_end_of_time() -> None:
    clock = of("a", "b")
    clock.tick(10)
    assert clock.finish(0).watermark_us == 9
    with pytest.raises(DataError, match="stream 'a' has been declared finished"):
        clock.add(0, at(1), clock_us=11)
    assert clock.finish().watermark_us == NEVER


def test_stopped_and_restored_the_clock_goes_on() -> None:
    clock, again = of("a", "b"), of("a", "b")
    clock.add(0, at(1, 2), clock_us=100)
    clock.finish(1)
    again.restore(clock.snapshot())
    assert again.status() == clock.status()
    assert again.status().streams[0].events == 2
    assert again.add(0, at(1)).ready.time_us.tolist() == [100]
    assert again.watermark_us == 99


def test_before_the_first_reading_the_status_knows_no_time() -> None:
    assert of("a").watermark_us == START_US
    assert of("a").status().watermark_us is None


@pytest.mark.parametrize("kind", [EventTime, ProcessingTime])
def test_both_kinds_of_time_are_used_in_the_same_way(kind: Any) -> None:
    arrivals: Arrivals = kind([Stream("a")], SCHEMA)
    assert len(arrivals.add(0, at(5), clock_us=7).ready) == 1
    assert arrivals.schema == SCHEMA
    assert arrivals.finish().watermark_us == NEVER
