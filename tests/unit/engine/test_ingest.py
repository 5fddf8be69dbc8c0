"""Data of every shape -> event batches in time order."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.algebra.pattern import Stream, StreamField
from cep.engine.batch import EventBatch
from cep.engine.ingest import feed as feed_module
from cep.engine.ingest.event_time import read_times
from cep.engine.ingest.feed import Feed, open_feed
from cep.engine.io import source
from cep.engine.results import ErrorBatch

SECOND = 1_000_000
T0 = 1_704_067_200 * SECOND  # 2024-01-01 00:00:00


def utc(*parts: int) -> datetime:
    """As the API shows times whose data state no zone."""
    return datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001 - naive on purpose


def fields(**types: DataType) -> tuple[StreamField, ...]:
    return tuple(StreamField(name, type_) for name, type_ in types.items())


def read(feed: Feed) -> tuple[list[EventBatch], list[ErrorBatch]]:
    steps = list(feed.read())
    batches = [step.batch for step in steps if len(step.batch)]
    return batches, [error for step in steps for error in step.errors]


def feed_of(data: Any, stream: Stream | None = None) -> Feed:
    stream = stream or Stream("s")
    return open_feed({stream.name: data}, [stream])


def times_of(feed: Feed) -> list[int]:
    return [int(time) for batch in read(feed)[0] for time in batch.time_us]


# -- event time ------------------------------------------------------------------------------------


def us(column: Any, unit: str = "ms") -> list[int]:
    return [int(t) for t in read_times(pa.chunked_array([column]), "ts", unit).time_us]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_timestamp_of_any_unit_is_microseconds(unit: Any) -> None:
    assert us(pa.array([utc(2024, 1, 1)], pa.timestamp(unit))) == [T0]


def test_a_timestamp_with_a_zone_is_utc() -> None:
    berlin = datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert us(pa.array([berlin], pa.timestamp("ms", "+01:00"))) == [T0]


def test_a_date_is_its_midnight() -> None:
    assert us(pa.array([date(2024, 1, 1)])) == [T0]


@pytest.mark.parametrize(
    ("unit", "number"),
    [("s", 1_704_067_200), ("ms", 1_704_067_200_000), ("us", T0), ("ns", T0 * 1000)],
)
def test_an_integer_counts_the_unit_since_1970(unit: str, number: int) -> None:
    assert us(pa.array([number]), unit) == [T0]
    assert us(pa.array([number], pa.uint64()), unit) == [T0]


def test_a_float_counts_the_unit_and_is_rounded_to_microseconds() -> None:
    assert us(pa.array([1.5, 0.0000014]), "s") == [1_500_000, 1]


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01",
        "2024-01-01 00:00:00",
        "2024-01-01T00:00",
        "2024-01-01T00:00:00Z",
        "2024-01-01T02:00:00+02:00",
        "2024-01-01T00:00:00.000000",
        "1704067200000",
    ],
)
def test_text_in_iso_8601_or_a_number_as_text_is_a_time(text: str) -> None:
    assert us(pa.array([text])) == [T0]
    assert us(pa.array([text]).dictionary_encode()) == [T0]


def test_texts_of_several_forms_may_be_mixed() -> None:
    mixed = pa.array(["2024-01-01", None, "2024-01-01T00:00:01Z", "soon"])
    times = read_times(pa.chunked_array([mixed]), "ts", "ms")
    assert [int(t) for t in times.time_us[[0, 2]]] == [T0, T0 + SECOND]
    assert [(reason, list(rows)) for reason, rows in times.bad] == [
        ("time 'ts' is NULL", [1]),
        ("time 'ts' does not parse as ISO 8601", [3]),
    ]


def test_nanoseconds_decide_the_order_and_are_cut_off_after() -> None:
    column = pa.array([1500, 1400], pa.timestamp("ns"))
    table = pa.table({"ts": column, "id": [1, 2]})
    batches, _ = read(feed_of(table))
    assert batches[0].table.column("id").to_pylist() == [2, 1]
    assert list(batches[0].time_us) == [1, 1]


@pytest.mark.parametrize("number", [10**18, -(10**18), 2**63 - 1])
def test_a_time_far_outside_the_calendar_is_an_error_that_asks_for_the_unit(number: int) -> None:
    _, errors = read(feed_of(pa.table({"ts": [number]})))
    assert [error.reason for error in errors] == [
        "time 'ts' is outside the years 1 to 9999 (is the unit right?)"
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_a_float_that_is_no_number_or_too_large_is_no_time(value: float) -> None:
    _, errors = read(feed_of(pa.table({"ts": [value]})))
    assert [len(error) for error in errors] == [1]
    assert "outside the years" in errors[0].reason


def test_a_list_cannot_be_a_time() -> None:
    with pytest.raises(DataError, match="column 'ts' is list"):
        read(feed_of(pa.table({"ts": [[1]]})))


# -- which column is the time ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ts", "time", "timestamp", "event_time", "TS"])
def test_a_column_with_a_usual_name_is_the_time(name: str) -> None:
    assert feed_of([{name: 1}]).streams[0].time == name


def test_without_a_time_column_the_message_says_what_to_write() -> None:
    with pytest.raises(DataError) as caught:
        feed_of([{"when": 1, "x": 2}])
    assert str(caught.value) == (
        "stream 's' (the data): which column is the event time? no column is called ts, time, "
        "timestamp or event_time; say it in the rules with `stream s time COLUMN;`, the columns "
        "are: when, x"
    )


def test_two_candidates_for_the_time_are_an_error() -> None:
    with pytest.raises(DataError, match=r"several columns may be it \(ts, time\)"):
        feed_of([{"ts": 1, "time": 2}])


def test_a_time_that_is_named_must_exist() -> None:
    with pytest.raises(DataError, match=r"no column 'TS1'; did you mean 'TS2'\?"):
        feed_of([{"TS2": 1}], Stream("s", time="TS1"))


# -- declared types --------------------------------------------------------------------------------


def test_the_columns_of_undeclared_data_become_the_fields_of_the_stream() -> None:
    data = pa.table({"ts": [1], "a": ["x"], "b": [1.5], "c": [True], "tags": [["p"]]})
    assert [(f.name, str(f.type)) for f in feed_of(data).streams[0].fields] == [
        ("ts", "int"),
        ("a", "text"),
        ("b", "float"),
        ("c", "boolean"),
    ]


def test_text_that_is_event_time_is_a_timestamp_for_conditions() -> None:
    feed = feed_of([{"ts": "2024-01-01"}])
    assert feed.streams[0].fields == fields(ts=DataType.TIMESTAMP)
    assert read(feed)[0][0].table.column("ts").to_pylist() == [utc(2024, 1, 1)]


def test_columns_that_are_right_already_are_not_copied() -> None:
    table = pa.table({"ts": pa.array([1, 2]), "x": pa.array([1, 2], pa.int32())})
    stream = Stream("s", fields(ts=DataType.INTEGER, x=DataType.INTEGER), "ts")
    batch = read(feed_of(table, stream))[0][0]
    addresses = []
    for one in (table, batch.table):
        array: Any = one.column("x").chunk(0)
        addresses.append(array.buffers()[1].address)
    assert addresses[0] == addresses[1]


def test_a_value_that_does_not_fit_its_type_sets_its_row_aside() -> None:
    rows = [
        {"ts": 1, "amount": "1.5"},
        {"ts": 2, "amount": "much"},
        {"ts": 3, "amount": " 2 "},
        {"ts": 4, "amount": ""},
    ]
    stream = Stream("s", fields(ts=DataType.TIMESTAMP, amount=DataType.FLOAT), "ts")
    batches, errors = read(feed_of(rows, stream))
    assert batches[0].table.column("amount").to_pylist() == [1.5, 2.0, None]
    assert [(e.reason, e.values and e.values.to_pylist()) for e in errors] == [
        ("amount is not a float", ["much"])
    ]
    assert errors[0].events.to_pylist() == [{"ts": 2, "amount": "much"}]
    assert errors[0].time_us is not None
    assert list(errors[0].time_us) == [2000]


def test_a_row_with_two_faults_is_one_error() -> None:
    stream = Stream("s", fields(ts=DataType.TIMESTAMP, n=DataType.INTEGER), "ts")
    _, errors = read(feed_of([{"ts": None, "n": "x"}, {"ts": 1, "n": "1"}], stream))
    assert [(error.reason, len(error)) for error in errors] == [("time 'ts' is NULL", 1)]


@pytest.mark.parametrize(
    ("declared", "values", "good"),
    [
        (DataType.INTEGER, [1.0, 2.5, float("nan")], [1]),
        (DataType.INTEGER, ["9007199254740993", "1e3", "x"], [9007199254740993]),
        (DataType.BOOLEAN, ["true", "false", "maybe"], [True, False]),
        (DataType.TEXT, [1, 2], ["1", "2"]),
        (DataType.TIMESTAMP, ["2024-01-01", "no"], [utc(2024, 1, 1)]),
        (DataType.FLOAT, [2**53 + 1], [9007199254740992.0]),
        (DataType.FLOAT, [None], [None]),
    ],
)
def test_declared_types_are_cast_to(declared: DataType, values: list[Any], good: list[Any]) -> None:
    table = pa.table({"ts": list(range(len(values))), "x": values})
    stream = Stream("s", fields(ts=DataType.INTEGER, x=declared), "ts")
    batches, errors = read(feed_of(table, stream))
    assert batches[0].table.column("x").to_pylist() == good
    assert sum(len(error) for error in errors) == len(values) - len(good)


def test_a_type_none_of_whose_values_fit_is_refused_at_once() -> None:
    stream = Stream("s", fields(ts=DataType.INTEGER, x=DataType.FLOAT), "ts")
    with pytest.raises(DataError, match="field 'x' is declared float, but the data has list"):
        feed_of(pa.table({"ts": [1], "x": [[1.0]]}), stream)


def test_a_declared_column_that_is_missing_is_named_with_what_there_is() -> None:
    stream = Stream("s", fields(ts=DataType.INTEGER, amount=DataType.FLOAT), "ts")
    with pytest.raises(DataError) as caught:
        feed_of([{"ts": 1, "amuont": 2.0}], stream)
    assert str(caught.value) == (
        "stream 's' (the data): no column 'amount'; did you mean 'amuont'? it has: ts, amuont"
    )


def test_extra_columns_are_kept() -> None:
    stream = Stream("s", fields(ts=DataType.INTEGER), "ts")
    batch = read(feed_of([{"ts": 1, "note": "x"}], stream))[0][0]
    assert batch.table.to_pylist() == [{"ts": 1, "note": "x"}]


def test_two_columns_of_one_name_are_refused() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], ["ts", "a", "a"])
    with pytest.raises(DataError, match="two columns are called 'a'"):
        feed_of(table)


# -- order -----------------------------------------------------------------------------------------


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two rows and at most four held, so that short inputs reach every path."""
    for module in (feed_module, source):
        monkeypatch.setattr(module, "ROWS_PER_BATCH", 2)
    for name in ("readers", "dicts", "parquet_files"):
        monkeypatch.setattr(f"cep.engine.io.{name}.ROWS_PER_BATCH", 2)
    monkeypatch.setattr(feed_module, "ROWS_HELD", 4)


def test_unsorted_data_in_memory_is_sorted_stably_and_said() -> None:
    rows = [{"ts": t, "id": i} for i, t in enumerate([3, 1, 2, 1])]
    feed = feed_of(rows)
    batches, _ = read(feed)
    assert batches[0].table.column("id").to_pylist() == [1, 3, 2, 0]
    assert feed.notes == [
        "stream 's' (the data): 3 of 4 events came after one with a later time; sorted by time"
    ]


def test_sorted_data_is_not_touched_and_nothing_is_said() -> None:
    feed = feed_of([{"ts": 1}, {"ts": 1}, {"ts": 2}])
    assert times_of(feed) == [1000, 1000, 2000]
    assert feed.notes == []


@pytest.mark.usefixtures("small_batches")
def test_batches_have_a_bounded_size() -> None:
    batches, _ = read(feed_of([{"ts": t} for t in range(5)]))
    assert [len(batch) for batch in batches] == [2, 2, 1]


@pytest.mark.usefixtures("small_batches")
def test_a_long_generator_in_order_is_streamed() -> None:
    taken = []

    def rows() -> Any:
        for t in range(20):
            taken.append(t)
            yield {"ts": t}

    feed = feed_of(rows())
    first = next(step for step in feed.read() if len(step.batch))
    assert list(first.batch.time_us) == [0, 1000]
    assert len(taken) < 10
    assert times_of(feed_of({"ts": t} for t in range(20))) == [1000 * t for t in range(20)]


@pytest.mark.usefixtures("small_batches")
def test_a_short_generator_out_of_order_is_sorted() -> None:
    assert times_of(feed_of({"ts": t} for t in (3, 1, 2))) == [1000, 2000, 3000]


@pytest.mark.usefixtures("small_batches")
def test_a_long_generator_that_goes_back_in_time_is_refused() -> None:
    with pytest.raises(DataError, match=r"event times go back by 0\.008 s; an input that is read"):
        read(feed_of({"ts": t} for t in (1, 2, 3, 4, 5, 6, 9, 10, 2, 3)))


@pytest.mark.usefixtures("small_batches")
def test_a_record_batch_reader_is_streamed() -> None:
    table = pa.table({"ts": list(range(9))})
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(3))
    assert times_of(feed_of(reader)) == [1000 * t for t in range(9)]


def test_no_rows_are_no_batches() -> None:
    assert read(feed_of(pa.table({"ts": pa.array([], pa.int64())}))) == ([], [])
    assert read(feed_of([])) == ([], [])
    assert feed_of([]).is_void


# -- several streams -------------------------------------------------------------------------------


def merged(**data: Any) -> list[tuple[int, int]]:
    feed = open_feed(data, [Stream(name) for name in data])
    batches, _ = read(feed)
    found = []
    for batch in batches:
        assert batch.stream is not None
        pairs = zip(batch.time_us // 1000, batch.stream, strict=True)
        found += [(int(time), int(stream)) for time, stream in pairs]
    return found


def test_streams_are_merged_by_time_and_ties_go_by_the_order_of_the_streams() -> None:
    a = [{"ts": t} for t in (1, 3, 5)]
    b = [{"ts": t} for t in (1, 2, 5)]
    assert merged(a=a, b=b) == [(1, 0), (1, 1), (2, 1), (3, 0), (5, 0), (5, 1)]


@pytest.mark.usefixtures("small_batches")
def test_the_merge_is_the_same_in_small_batches() -> None:
    a = [{"ts": t} for t in (1, 1, 1, 1, 1, 4, 9)]
    b = [{"ts": t} for t in (1, 2, 2, 2)]
    assert merged(a=a, b=b) == [
        *[(1, 0)] * 5,
        (1, 1),
        *[(2, 1)] * 3,
        (4, 0),
        (9, 0),
    ]


def test_a_stream_without_events_holds_nobody_up() -> None:
    nothing = pa.table({"ts": pa.array([], pa.int64())})
    assert merged(a=[{"ts": 1}], b=nothing) == [(1, 0)]
    assert merged(a=[{"ts": 1}], b=[]) == [(1, 0)]


def test_fields_that_a_stream_does_not_have_are_null() -> None:
    data = {"a": [{"ts": 1, "x": 1}], "b": [{"ts": 2, "y": "t"}]}
    batches, _ = read(open_feed(data, [Stream("a"), Stream("b")]))
    assert pa.concat_tables([batch.table for batch in batches]).to_pylist() == [
        {"ts": 1, "x": 1, "y": None},
        {"ts": 2, "x": None, "y": "t"},
    ]


def test_one_field_of_two_types_in_two_streams_is_refused() -> None:
    data = {"a": [{"ts": 1, "x": 1}], "b": [{"ts": 2, "x": "t"}]}
    with pytest.raises(
        DataError, match="field 'x' is int64 in stream 'a' and string in stream 'b'"
    ):
        open_feed(data, [Stream("a"), Stream("b")])


def test_widths_of_one_type_are_joined() -> None:
    a = pa.table({"ts": [1], "x": pa.array([1], pa.int8())})
    b = pa.table({"ts": [2], "x": pa.array([2**40])})
    feed = open_feed({"a": a, "b": b}, [Stream("a"), Stream("b")])
    assert feed.schema.field("x").type == pa.int64()
    tables = [batch.table for batch in read(feed)[0]]
    assert pa.concat_tables(tables).column("x").to_pylist() == [1, 2**40]


def test_errors_of_every_stream_arrive() -> None:
    data = {"a": [{"ts": None}, {"ts": 1}], "b": [{"ts": 2}, {"ts": None}]}
    _, errors = read(open_feed(data, [Stream("a"), Stream("b")]))
    assert [len(error) for error in errors] == [1, 1]


def test_the_arrays_are_integers_of_64_bits() -> None:
    batch = read(feed_of([{"ts": 1}]))[0][0]
    assert batch.time_us.dtype == np.int64


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_batches")
def test_a_file_in_order_is_streamed_and_one_out_of_order_is_loaded_and_sorted(
    tmp_path: Path,
) -> None:
    for name, times in (("sorted", range(9)), ("unsorted", [*range(8), 0])):
        pq.write_table(pa.table({"ts": list(times)}), tmp_path / f"{name}.parquet")
    feed = feed_of(tmp_path / "sorted.parquet")
    assert times_of(feed) == [1000 * t for t in range(9)]
    assert feed.notes == []
    feed = feed_of(tmp_path / "unsorted.parquet")
    assert times_of(feed) == [0, *(1000 * t for t in range(8))]
    assert feed.notes == [
        f"stream 's' ({tmp_path}/unsorted.parquet): 1 of 9 events came after one with a later "
        "time; sorted by time"
    ]


def test_of_a_long_file_only_a_few_batches_are_held(tmp_path: Path) -> None:
    path = tmp_path / "long.parquet"
    pq.write_table(pa.table({"ts": pa.array(np.arange(3_000_000))}), path, row_group_size=250_000)
    feed = feed_of(path)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in feed.read()]
    assert len(held) > 20
    assert max(held) < 12_000_000  # of 24 million in the file
    assert max(held[15:]) < 6_000_000


@pytest.mark.usefixtures("small_batches")
def test_rows_without_a_time_do_not_count_when_a_file_is_checked_for_order(tmp_path: Path) -> None:
    pq.write_table(pa.table({"ts": [1, 2, None, 3, 4, 5, None, 6]}), tmp_path / "a.parquet")
    feed = feed_of(tmp_path / "a.parquet")
    assert times_of(feed) == [1000, 2000, 3000, 4000, 5000, 6000]
    assert feed.notes == []
    assert sum(len(error) for error in read(feed)[1]) == 2
