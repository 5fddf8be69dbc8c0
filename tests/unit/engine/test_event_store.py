"""Captured events: added in order, taken in any, kept while needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

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


def test_an_empty_store_keeps_nothing() -> None:
    store = EventStore()
    store.keep(sequences(1))
    assert len(store) == 0


def test_many_small_chunks_are_joined() -> None:
    store = stored(*((n,) for n in range(3 * CHUNKS_MAX)))
    assert len(store) == 3 * CHUNKS_MAX
    assert numbers_of(store.take(sequences(0, 100, 191))) == [0, 100, 191]


def test_taken_rows_are_copies() -> None:
    events = batch(1, 2, 3)
    taken = take_rows(events, sequences(2))
    events.time_us[:] = 0
    assert taken.time_us.tolist() == [30]
    assert numbers_of(taken) == [3]
