"""The benchmarks of live streams and state measure what they say, and find what is wrong."""

from __future__ import annotations

import pyarrow as pa
import pytest

import cep
from benchmarks.measure_stateful import Bounded, Live, StateSize, Workers, check_flat
from benchmarks.process import WrongOutputError
from benchmarks.queries import (
    BOUNDED,
    BOUNDED_SPENT,
    MINUTES,
    feature_rules,
    late_rules,
    rules,
    window_rules,
)
from benchmarks.report_stateful import bounded_section, live_section, workers_section
from benchmarks.streams import (
    BEGIN_US,
    MINUTE_US,
    Rows,
    count_above,
    count_bounded,
    count_windows,
    dense_stream,
    ever_new_keys,
    one_event_per_key,
    shuffled,
)
from cep.datasets import benchmark_transactions

SECOND_US = 1_000_000


def events(*rows: tuple[int, int, float]) -> pa.Table:
    """(card, seconds, amount) each."""
    card, seconds, amount = (list(column) for column in zip(*rows, strict=True))
    times = [BEGIN_US + at * SECOND_US for at in seconds]
    return pa.table({"card": card, "ts": pa.array(times, pa.timestamp("us")), "amount": amount})


def test_windows_are_counted_by_key_and_minute() -> None:
    table = events((1, 0, 0.5), (1, 59, 1.0), (1, 60, 2.0), (2, 61, 4.0))
    assert count_windows(table) == Rows(3, 750)
    assert count_windows(table, minutes=2) == Rows(5, 1_500)


def test_an_event_an_hour_old_is_not_in_the_hour() -> None:
    table = events((1, 0, 5.0), (2, 1, 5.0), (1, 3_599, 5.0), (1, 3_600, 5.0))
    assert count_above(table, 3_600 * SECOND_US, 9) == 2
    assert count_above(table, 3_601 * SECOND_US, 9) == 2
    assert count_above(table, 3_601 * SECOND_US, 14) == 1


def test_a_dense_stream_has_as_many_events_a_minute_as_it_says() -> None:
    times = dense_stream(1_000, 25, 8)["ts"].cast(pa.int64()).to_numpy()
    assert (times < BEGIN_US + MINUTE_US).sum() == 200
    assert times[-1] < BEGIN_US + 5 * MINUTE_US


@pytest.mark.parametrize("window", MINUTES)
def test_the_engine_makes_the_windows_that_numpy_counts(window: str) -> None:
    table = dense_stream(10_000, 50, 8)
    found = cep.compile(window_rules(window)).run(table).tables["total"]
    total = round(100 * found["total"].to_numpy().sum())
    assert Rows(found.num_rows, total) == count_windows(table, MINUTES[window])


def test_the_engine_finds_the_hours_that_numpy_counts() -> None:
    table = benchmark_transactions(20_000, 50)
    found = len(cep.compile(feature_rules(1_000.005)).run(table).matches)
    assert found == count_above(table, 3_600 * SECOND_US, 1_000.005) > 100


def test_the_engine_finds_what_loops_find_among_ever_new_keys() -> None:
    detector = cep.Detector(BOUNDED)
    results = [detector.process_batch(batch) for batch in ever_new_keys(20_000, 1_000)]
    results.append(detector.finish())
    total = sum(result.tables["total"]["total"].to_numpy().sum() for result in results)
    found = Rows(sum(len(result.matches) for result in results), round(100 * total))
    assert found == count_bounded(20_000, 1_000, BOUNDED_SPENT)
    assert found.rows > 100


def test_shuffled_events_are_late_by_less_than_is_allowed() -> None:
    table = benchmark_transactions(5_000, 50)
    arriving = shuffled(table, 30 * SECOND_US)
    assert not arriving.equals(table)
    assert arriving.sort_by("ts").equals(table)
    detector = cep.Detector(late_rules("Q1", 30))
    late = [
        len(detector.process_batch(arriving.slice(at, 100)).late) for at in range(0, 5_000, 100)
    ]
    assert sum(late) == 0
    assert "lateness 30 seconds" in late_rules("Q1", 30)
    assert "lateness" not in rules("Q1")


def test_each_key_has_one_event() -> None:
    table = one_event_per_key(1_000, text=True, amount=99)
    assert len(set(table["card"].to_pylist())) == 1_000
    assert set(table["amount"].to_pylist()) == {99.0}


def test_memory_that_grows_is_reported() -> None:
    curve = [(10, 100.0), (20, 110.0), (30, 121.0)]
    check_flat(Bounded(30, 1.0, 1, curve))
    with pytest.raises(WrongOutputError, match=r"the last third of 30 events needs 1[.]12 times"):
        check_flat(Bounded(30, 1.0, 1, [*curve[:2], (30, 123.0)]))


def test_the_report_shows_ratios_and_the_curve() -> None:
    live = Live("Q1", 2_000_000, 0.09, 0.1, 0.01, 0.02, 1_567)
    assert "| Q1    |            20.00 |     0.90 | 0.090 |  0.100 |" in live_section([live])
    threads = Workers("Q4", 2_000_000, 15_814, 0.4, 0.25)
    assert "| Q4    |          1.60 | 0.400 | 0.250 |" in workers_section([threads], 2)
    curve = [(1_000_000, 100.0), (2_000_000, 110.0), (3_000_000, 111.0)]
    page = bounded_section([Bounded(3_000_000, 4.0, 5, curve)], StateSize())
    assert "| 1.0            | 100 |            3.0 | 111 |" in page
    assert "| 2.0            | 110 |                |     |" in page
