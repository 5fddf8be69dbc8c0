"""Captured events: added in order, taken in any, kept while needed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cep.engine.batch import EventBatch, Int64s
from cep.engine.state.event_store import CHUNKS_MAX, EventStore, take_rows


def batch(*numbers: int, stream: bool = True) -> EventBatch:
    times = np.array(numbers, np.int64) * 10
    kinds = np.array([n % 2 for n in numbers], np.int16) if stream else None
    return EventBatch(pa.table({"n": pa.array(numbers, pa.int64())}), times, kinds)


def sequences(*numbers: int) -> Int64s:
    return np.array(numbers, np.int64)


def stored(*chunks: tuple[int, ...], stream: bool = True) -> EventStore:
    store = EventStore()
    for chunk in chunks:
        store.add(sequences(*chunk), batch(*chunk, stream=stream))
    return store


def numbers_of(events: EventBatch) -> list[int]:
    column: Any = events.table["n"]
    found: list[int] = column.to_pylist()
    return found


@pytest.mark.parametrize("chunks", [[(2, 5, 9)], [(2,), (5, 9)], [(2,), (), (5,), (9,)]])
def test_events_are_taken_by_sequence_in_any_order(chunks: list[tuple[int, ...]]) -> None:
    store = stored(*chunks)
    assert len(store) == 3
    taken = store.take(sequences(9, 2))
    assert numbers_of(taken) == [9, 2]
    assert taken.time_us.tolist() == [90, 20]
    assert taken.stream is not None
    assert taken.stream.tolist() == [1, 0]


def test_without_streams_there_are_no_stream_numbers() -> None:
    assert stored((1,), (2,), stream=False).take(sequences(2)).stream is None


def test_what_is_not_kept_is_forgotten() -> None:
    store = stored((1, 2), (3, 4))
    store.keep(sequences(2, 3, 77))
    assert len(store) == 2
    assert numbers_of(store.take(sequences(2, 3))) == [2, 3]
    store.add(sequences(8), batch(8))
    assert numbers_of(store.take(sequences(8, 2))) == [8, 2]
    store.keep(sequences())
    assert len(store) == 0
    store.add(sequences(9), batch(9))
    assert numbers_of(store.take(sequences(9))) == [9]


def test_an_empty_store_keeps_nothing() -> None:
    store = EventStore()
    store.keep(sequences(1))
    assert len(store) == 0


def test_many_small_chunks_are_joined() -> None:
    store = stored(*((n,) for n in range(3 * CHUNKS_MAX)))
    assert len(store) == 3 * CHUNKS_MAX
    assert numbers_of(store.take(sequences(0, 100, 191))) == [0, 100, 191]


@pytest.fixture
def merged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were copied by each merging of tables."""
    found: list[int] = []
    concat = pa.concat_tables

    def counted(tables: Any, **options: Any) -> Any:
        joined = concat(tables, **options)
        found.append(len(joined))
        return joined

    monkeypatch.setattr(pa, "concat_tables", counted)
    return found


def test_taking_a_few_events_does_not_copy_all_the_others(merged: list[int]) -> None:
    store = stored(tuple(range(10_000)))
    for number in range(10_000, 11_000):
        store.add(sequences(number), batch(number))
        assert numbers_of(store.take(sequences(number, 17))) == [number, 17]
    assert max(merged) < 2_000
    assert sum(merged) < 10_000


def test_an_event_is_copied_a_few_times_however_many_there_are(merged: list[int]) -> None:
    store = stored(*((n,) for n in range(5_000)))
    assert len(store) == 5_000
    assert sum(merged) < 8 * 5_000
    assert numbers_of(store.take(sequences(4_999, 0, 2_500))) == [4_999, 0, 2_500]


@given(
    st.lists(st.integers(0, 90), min_size=1, max_size=90),
    st.lists(st.integers(0, 10**6), max_size=9),
)
def test_chunks_of_any_sizes_give_what_one_gives(sizes: list[int], asked: list[int]) -> None:
    ends = np.cumsum([0, *sizes, 1]).tolist()
    store = stored(*(tuple(range(3 * a, 3 * b, 3)) for a, b in pairwise(ends)))
    assert len(store) == ends[-1]
    wanted = [3 * (number % ends[-1]) for number in asked]
    taken = store.take(sequences(*wanted))
    assert numbers_of(taken) == wanted
    assert taken.time_us.tolist() == [10 * number for number in wanted]
    assert taken.stream is not None
    assert taken.stream.tolist() == [number % 2 for number in wanted]


def test_taken_rows_are_copies() -> None:
    events = batch(1, 2, 3)
    taken = take_rows(events, sequences(2))
    events.time_us[:] = 0
    assert taken.time_us.tolist() == [30]
    assert numbers_of(taken) == [3]
