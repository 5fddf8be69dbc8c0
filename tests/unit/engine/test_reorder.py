"""The reorder buffer and its sorting: complete, in order, with every column as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.engine.batch import EventBatch, Int64s
from cep.engine.time.reorder import ReorderBuffer, Sizes
from cep.engine.time.sorting import break_ties, sorted_rows

SCHEMA = pa.schema([("id", pa.int64()), ("kind", pa.dictionary(pa.int32(), pa.string()))])

SIZES = (Sizes(), Sizes(1, 1, 1), Sizes(2, 0, 0), Sizes(5, 4, 2), Sizes(1 << 20, 3, 1))

Row = tuple[int, int, int]  # stream, time, id


def add(buffer: ReorderBuffer, stream: int, times: Sequence[int], first_id: int) -> list[Row]:
    ids = list(range(first_id, first_id + len(times)))
    kinds = pa.array([f"k{i % 3}" for i in ids], pa.string()).dictionary_encode()
    table = pa.table([pa.array(ids, pa.int64()), kinds], schema=SCHEMA)
    buffer.add(stream, table, np.array(times, np.int64))
    return [(stream, time, i) for time, i in zip(times, ids, strict=True)]


def rows_of(batch: EventBatch) -> list[Row]:
    ids: Any = batch.table.column("id").to_pylist()
    assert batch.table.schema == SCHEMA
    assert batch.table.column("kind").to_pylist() == [f"k{i % 3}" for i in ids]
    streams = np.zeros(len(batch), np.int16) if batch.stream is None else batch.stream
    return list(zip(streams.tolist(), batch.time_us.tolist(), ids, strict=True))


def buffer_of(streams: int, sizes: Sizes | None = None) -> ReorderBuffer:
    return ReorderBuffer([None] * streams, SCHEMA, sizes)


def address_of(table: pa.Table) -> int:
    column: Any = table.column("id")
    address: int = column.chunk(0).buffers()[1].address
    return address


# -- the buffer ------------------------------------------------------------------------------------


def test_events_up_to_the_watermark_come_out_and_the_others_stay() -> None:
    buffer = buffer_of(1)
    add(buffer, 0, [1, 4, 9], 0)
    add(buffer, 0, [2, 5, 7], 3)
    assert rows_of(buffer.release(5)) == [(0, 1, 0), (0, 2, 3), (0, 4, 1), (0, 5, 4)]
    assert (len(buffer), buffer.oldest_us) == (2, 7)
    assert buffer.count(8) == 1
    assert rows_of(buffer.release(9)) == [(0, 7, 5), (0, 9, 2)]
    assert (len(buffer), buffer.oldest_us, buffer.nbytes) == (0, None, 0)


def test_events_of_the_same_time_come_out_by_stream_and_then_by_arrival() -> None:
    buffer = buffer_of(3)
    for i, stream in enumerate((2, 0, 1, 0, 2)):
        add(buffer, stream, [5], i)
    assert rows_of(buffer.release(5)) == [(0, 5, 1), (0, 5, 3), (1, 5, 2), (2, 5, 0), (2, 5, 4)]


def test_what_is_released_from_one_run_is_not_copied() -> None:
    buffer = buffer_of(1)
    times = np.array([1, 2, 3], np.int64)
    table = pa.table({"id": [0, 1, 2], "kind": pa.array(["a", "b", "c"]).dictionary_encode()})
    buffer.add(0, table, times)
    released = buffer.release(2)
    assert np.shares_memory(released.time_us, times)
    assert address_of(released.table) == address_of(table)


def test_nothing_to_release_is_a_batch_without_rows() -> None:
    released = buffer_of(2).release(5)
    assert len(released) == 0
    assert released.table.schema == SCHEMA
    assert released.stream is not None


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 3), st.sampled_from(SIZES))
def test_any_runs_and_any_watermarks_give_the_sorted_events(
    data: st.DataObject, streams: int, sizes: Sizes
) -> None:
    buffer = buffer_of(streams, sizes)
    added: list[Row] = []
    out: list[Row] = []
    watermark = 0
    for _ in range(data.draw(st.integers(0, 12))):
        stream = data.draw(st.integers(0, streams - 1))
        later = st.integers(watermark + 1, watermark + 20)
        times = sorted(data.draw(st.lists(later, max_size=8)))
        added += add(buffer, stream, times, len(added))
        watermark += data.draw(st.integers(0, 8))
        out += rows_of(buffer.release(watermark))
        if data.draw(st.booleans()):
            again = buffer_of(streams, sizes)
            again.restore(buffer.snapshot())
            buffer = again
    assert len(buffer) == len(added) - len(out)
    out += rows_of(buffer.release(2**62))
    assert out == sorted(added, key=lambda row: (row[1], row[0], row[2]))


def test_a_small_rest_lets_go_of_the_events_that_came_with_it() -> None:
    buffer = buffer_of(1)
    add(buffer, 0, list(range(10_000)), 0)
    buffer.release(9_000)
    (rest,) = buffer.snapshot()["runs"][0]
    assert len(rest["time_us"]) == 999
    assert rest["table"].get_total_buffer_size() < 20_000


def test_many_single_events_share_a_few_runs() -> None:
    buffer = buffer_of(1)
    for i in range(300):
        add(buffer, 0, [(i * 7) % 300], i)
    assert len(buffer.snapshot()["runs"][0]) < 12
    assert buffer.release(300).time_us.tolist() == list(range(300))


def test_events_far_ahead_of_the_others_do_not_leave_a_run_each() -> None:
    buffer = buffer_of(1, Sizes(small=8, runs=20))
    for i in range(300):
        add(buffer, 0, [*range(10 * i, 10 * i + 9), 10_000 - i], 10 * i)
        assert len(buffer.release(10 * i + 8)) == 9
    assert len(buffer.snapshot()["runs"][0]) <= 76
    assert buffer.release(10_000).time_us.tolist() == list(range(9_701, 10_001))


# -- tie-breakers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        pytest.param(pa.array([3, None, 1, 3, 2]), [2, 4, 0, 3, 1], id="integers"),
        pytest.param(pa.array([0.5, None, -1.0, 0.5, 0.0]), [2, 4, 0, 3, 1], id="floats"),
        pytest.param(pa.array(["c", None, "a", "c", "b"]), [2, 4, 0, 3, 1], id="texts"),
        pytest.param(
            pa.array(["c", None, "a", "c", "b"]).dictionary_encode(), [2, 4, 0, 3, 1], id="codes"
        ),
        pytest.param(pa.array([True, None, False, True, False]), [2, 4, 0, 3, 1], id="booleans"),
        pytest.param(pa.array([3, None, 1, 3, 2], pa.timestamp("us")), [2, 4, 0, 3, 1], id="times"),
        pytest.param(pa.nulls(5), [0, 1, 2, 3, 4], id="nothing"),
    ],
)
def test_a_tie_breaker_orders_events_of_the_same_time(values: Any, ids: list[int]) -> None:
    table = pa.table({"id": [0, 1, 2, 3, 4, 5], "by": pa.concat_arrays([values, values[:1]])})
    buffer = ReorderBuffer(["by"], table.schema)
    buffer.add(0, table.slice(0, 2), np.array([7, 7]))
    buffer.add(0, table.slice(2), np.array([7, 7, 7, 8]))
    assert buffer.release(8).table.column("id").to_pylist() == [*ids, 5]


def test_a_tie_breaker_orders_its_own_stream_only() -> None:
    schema = pa.schema([("id", pa.int64()), ("by", pa.int64())])
    buffer = ReorderBuffer([None, "by"], schema)
    buffer.add(1, pa.table({"id": [0, 1], "by": [2, 1]}), np.array([5, 5]))
    buffer.add(0, pa.table({"id": [2, 3], "by": [9, 8]}), np.array([5, 5]))
    assert buffer.release(5).table.column("id").to_pylist() == [2, 3, 1, 0]


# -- sorting ---------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from((0, 1, 2_047, 2_048, 5_000)),
    st.sampled_from((1, 2, 2_048, 2_049, 1 << 22, 1 << 33, 1 << 43, 1 << 44, 1 << 45, 1 << 60)),
)
def test_rows_are_sorted_by_time_and_keep_their_order_in_ties(
    seed: int, size: int, spread: int
) -> None:
    random = np.random.default_rng(seed)
    times: Int64s = random.integers(0, spread, size) - spread // 2
    rows: Int64s = np.flatnonzero(random.random(size) < 0.9)
    before = rows.copy()
    expected = rows[np.argsort(times[rows], kind="stable")]
    assert sorted_rows(times, rows).tolist() == expected.tolist()
    assert rows.tolist() == before.tolist()


def test_rows_without_equal_times_need_no_tie_breaker() -> None:
    rows = np.array([2, 0, 1])
    assert break_ties(np.array([2, 3, 1]), None, rows) is rows
