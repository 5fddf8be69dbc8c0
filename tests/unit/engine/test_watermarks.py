"""Watermarks: whom they wait for, what is late, and what the status says about it."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Stream
from cep.engine.batch import Int64s
from cep.engine.kernels.layout import NEVER
from cep.engine.time.lane import START_US
from cep.engine.time.watermarks import HeldBy, Watermarks
from tests.reference.event_time import PlainEventTime

SCHEMA = pa.schema([("host", pa.string())])
LOGINS = Stream("logins", lateness_us=2)
HOSTS = Stream("hosts", partition=("host",))


def of(*streams: Stream, in_order_over_all: bool = False) -> Watermarks:
    return Watermarks(streams, in_order_over_all=in_order_over_all)


def see(
    watermarks: Watermarks, stream: int, *events: tuple[int, str] | int, clock: int | None = None
) -> list[int]:
    """Show the events (time or time and host); the times of those that are late."""
    pairs = [(event, "") if isinstance(event, int) else event for event in events]
    times = np.array([time for time, _ in pairs], np.int64)
    table = pa.table({"host": pa.array([host for _, host in pairs], pa.string())})
    sources = watermarks.source_codes(stream, table)
    met = watermarks.observe(stream, times, sources, clock)
    return [] if met is None else times[times <= met].tolist()


# -- one source ------------------------------------------------------------------------------------


def test_a_watermark_is_the_greatest_time_less_the_lateness_and_one() -> None:
    watermarks = of(LOGINS)
    assert watermarks.watermark_us == START_US
    assert see(watermarks, 0, 10, 7, 8) == [7]
    assert watermarks.watermark_us == 7


def test_before_the_first_event_nothing_is_late() -> None:
    assert see(of(LOGINS), 0, -(2**62)) == []


def test_every_row_meets_the_watermark_of_the_rows_before_it() -> None:
    met = of(LOGINS).observe(0, np.array([10, 20, 5, 19, 30, 17, 18]), None)
    assert met is not None
    assert met.tolist() == [START_US, 7, 17, 17, 17, 27, 27]


def test_a_batch_without_events_changes_nothing() -> None:
    watermarks = of(LOGINS)
    see(watermarks, 0, 10)
    assert see(watermarks, 0) == []
    assert watermarks.watermark_us == 7


# -- many sources ----------------------------------------------------------------------------------


def test_a_stream_waits_for_its_slowest_source() -> None:
    watermarks = of(HOSTS)
    see(watermarks, 0, (10, "a"), (3, "b"), (20, "a"), (5, "b"))
    assert watermarks.watermark_us == 9  # what there was before b spoke does not fall
    assert see(watermarks, 0, (15, "b"), (14, "a"), (13, "a")) == [14, 13]
    assert watermarks.watermark_us == 14


def test_a_source_that_starts_behind_is_late_and_holds_the_watermark_until_it_has_caught_up() -> (
    None
):
    watermarks = of(HOSTS)
    assert see(watermarks, 0, (10, "a"), (4, "b"), (12, "a"), (9, "b"), (10, "b")) == [4, 9]
    assert watermarks.watermark_us == 9
    see(watermarks, 0, (11, "b"))
    assert watermarks.watermark_us == 10


def test_the_same_value_in_another_field_is_another_source() -> None:
    watermarks = of(Stream("s", partition=("one", "two")))
    table = pa.table({"one": ["a", "b", None, "a"], "two": ["b", "a", None, "b"]})
    sources = watermarks.source_codes(0, table)
    assert sources is not None
    assert sources.tolist() == [0, 1, 2, 0]


# -- many streams ----------------------------------------------------------------------------------


def test_the_total_waits_for_a_stream_that_has_sent_nothing() -> None:
    watermarks = of(LOGINS, HOSTS)
    see(watermarks, 0, 10)
    assert watermarks.watermark_us == START_US
    assert watermarks.held_by() == HeldBy("hosts", (), None)
    assert "stream 'hosts', which has sent nothing yet" in str(watermarks.held_by())
    see(watermarks, 1, (5, "a"))
    assert watermarks.watermark_us == 4


def test_an_event_behind_its_own_stream_but_not_behind_the_total_is_on_time() -> None:
    watermarks = of(LOGINS, HOSTS)
    see(watermarks, 1, (5, "a"))
    assert see(watermarks, 0, 100, 6, 5) == []
    assert see(watermarks, 1, (30, "a")) == []
    assert see(watermarks, 0, 29, 30) == [29]


def test_a_finished_stream_holds_nothing_back() -> None:
    watermarks = of(LOGINS, HOSTS)
    see(watermarks, 0, 10)
    watermarks.finish(1)
    assert watermarks.watermark_us == 7
    watermarks.finish(0)
    assert watermarks.watermark_us == NEVER
    with pytest.raises(DataError, match="stream 'hosts' has been declared finished"):
        see(watermarks, 1, (11, "a"))


# -- silence ---------------------------------------------------------------------------------------


def test_only_a_tick_finds_out_who_is_silent() -> None:
    watermarks = of(replace(HOSTS, idle_us=10))
    see(watermarks, 0, (1, "a"), (5, "b"), clock=0)
    see(watermarks, 0, (8, "b"), clock=100)
    assert watermarks.watermark_us == 0
    watermarks.tick(100)
    assert watermarks.watermark_us == 7


def test_where_all_are_silent_the_watermark_stays_where_it_is() -> None:
    watermarks = of(replace(HOSTS, idle_us=10), replace(LOGINS, idle_us=10))
    see(watermarks, 0, (1, "a"), (5, "b"), clock=0)
    see(watermarks, 1, 9, clock=0)
    watermarks.tick(10)
    assert watermarks.watermark_us == 0
    assert watermarks.held_by() is None
    assert [stream.is_idle for stream in watermarks.status()] == [True, True]


def test_a_silent_stream_comes_back_with_its_next_event() -> None:
    watermarks = of(replace(LOGINS, idle_us=10), HOSTS)
    see(watermarks, 1, (50, "a"), clock=0)
    watermarks.tick(9)
    assert watermarks.watermark_us == START_US
    watermarks.tick(10)  # nothing ever came from logins
    assert watermarks.watermark_us == 49
    assert see(watermarks, 0, 40, 52, clock=11) == [40]
    see(watermarks, 1, (90, "a"))
    assert watermarks.watermark_us == 49
    see(watermarks, 0, 60)
    assert watermarks.watermark_us == 57


def test_silence_is_counted_from_the_first_reading_of_the_clock() -> None:
    watermarks = of(replace(HOSTS, idle_us=10))
    see(watermarks, 0, (1, "a"), (5, "b"))
    watermarks.tick(1_000)
    assert watermarks.watermark_us == 0
    see(watermarks, 0, (6, "b"), clock=1_001)
    watermarks.tick(1_010)
    assert watermarks.watermark_us == 5


def test_a_clock_that_is_set_back_stands_still() -> None:
    watermarks = of(replace(HOSTS, idle_us=10))
    see(watermarks, 0, (1, "a"), clock=100)
    watermarks.tick(50)
    assert watermarks.clock_us == 100
    see(watermarks, 0, (5, "b"), clock=60)
    watermarks.tick(110)
    assert watermarks.watermark_us == 0  # both spoke at 100, as far as can be told


# -- promises --------------------------------------------------------------------------------------


def test_a_promise_for_one_stream_raises_that_stream_alone() -> None:
    watermarks = of(LOGINS, HOSTS)
    watermarks.advance(20, 0)
    assert watermarks.watermark_us == START_US
    see(watermarks, 1, (11, "a"))
    assert watermarks.watermark_us == 10
    watermarks.advance(30, 1)
    assert watermarks.watermark_us == 20
    watermarks.advance(5)
    assert watermarks.watermark_us == 20
    watermarks.advance(25)
    assert watermarks.watermark_us == 25
    assert see(watermarks, 0, 25, 26) == [25]


# -- the status ------------------------------------------------------------------------------------


def test_the_status_names_the_slowest_sources_and_who_holds_the_total_back() -> None:
    watermarks = of(HOSTS, LOGINS)
    see(watermarks, 0, (1_000_001, "a"), (3_000_001, "b"), (2_000_001, "c"))
    see(watermarks, 1, 5_000_003)
    slowest = watermarks.held_by()
    assert slowest == HeldBy("hosts", ("a",), 4_000_000)
    assert str(slowest) == "source a of stream 'hosts', 4 s behind the most advanced,"
    hosts, _ = watermarks.status(sources_shown=2)
    assert [(s.source, s.watermark_us) for s in hosts.slowest] == [
        (("a",), 1_000_000),
        (("c",), 2_000_000),
    ]
    assert (hosts.sources, hosts.events, hosts.late) == (3, 3, 0)
    assert asdict(hosts)["slowest"][0]["latest_us"] == 1_000_001


def test_the_status_counts_late_events_by_source() -> None:
    watermarks = of(HOSTS)
    see(watermarks, 0, (10, "a"), (4, "b"), (5, "b"), (12, "b"), (11, "a"))
    (hosts,) = watermarks.status()
    assert (hosts.events, hosts.late) == (5, 2)
    assert [(s.source, s.events, s.late) for s in hosts.slowest] == [(("a",), 2, 0), (("b",), 3, 2)]


def test_before_the_first_event_the_status_knows_no_times() -> None:
    (hosts,) = of(HOSTS).status()
    assert (hosts.watermark_us, hosts.latest_us, hosts.slowest) == (None, None, ())


# -- many rows -------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 30))
def test_hundreds_of_rows_of_many_sources_meet_what_the_reference_meets(
    seed: int, sources: int, lateness: int
) -> None:
    random = np.random.default_rng(seed)
    times: Int64s = np.arange(300) // 3 + random.integers(-20, 20, 300)
    hosts = random.integers(0, sources, 300)
    stream = replace(HOSTS, lateness_us=lateness)
    plain, watermarks, late = PlainEventTime([stream]), of(stream), []
    events = list(zip(times.tolist(), map(str, hosts.tolist()), strict=True))
    for i, (time, host) in enumerate(events):
        plain.add(0, {"id": i, "time": time, "host": host}, None)
    for part in (events[:100], events[100:101], events[101:]):
        late += see(watermarks, 0, *part)
    assert late == [times[entry[1]] for entry in plain.log if entry[0] == "late"]
    assert watermarks.watermark_us == plain.watermark
