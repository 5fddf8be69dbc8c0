"""Late events in real Windows logs, by the delay that is granted: counts made independently.

The data are looked for as in tests/test_real_data.py and the tests are skipped where they are
absent. Rows stand in the order of their arrival; every data set is a recording of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cep.engine.algebra.pattern import Stream
from cep.engine.batch import EventBatch
from cep.engine.time.arrivals import Arrived
from cep.engine.time.event_time import EventTime

FOLDER = Path(
    os.environ.get("CEP_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)
COLUMNS = ["dataset", "event_time", "hostname", "channel"]
BATCH_ROWS = 1_000
SECOND_US = 1_000_000


@pytest.fixture(scope="module")
def recordings() -> list[EventBatch]:
    """One batch per data set."""
    path = FOLDER / "winlog_late" / "events.parquet"
    if not path.exists():
        pytest.skip("winlog_late/events.parquet is absent; CEP_SHARED_DATA names its folder")
    table = pq.read_table(path, columns=COLUMNS)
    assert table.num_rows == 376_857
    coded: Any = table.column("dataset").combine_chunks().dictionary_encode()
    numbers = coded.indices.to_numpy()
    parts = [table.take(np.flatnonzero(numbers == i)) for i in range(len(coded.dictionary))]
    return [EventBatch(part, _times(part)) for part in parts]


def _times(table: pa.Table) -> Any:
    return table.column("event_time").cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()


def arrivals(stream: Stream, recording: EventBatch) -> Iterator[Arrived]:
    engine = EventTime([stream], recording.table.schema)
    for start in range(0, len(recording), BATCH_ROWS):
        stop = min(start + BATCH_ROWS, len(recording))
        yield engine.add(0, recording.slice(start, stop))
    yield engine.finish()


@pytest.mark.parametrize(
    ("seconds", "late"), [(0, 227_746), (2, 144_907), (10, 98_302), (60, 61_642), (150, 0)]
)
def test_a_longer_lateness_leaves_fewer_events_late(
    recordings: list[EventBatch], seconds: int, late: int
) -> None:
    stream = Stream("events", lateness_us=seconds * SECOND_US)
    found = ready = 0
    for recording in recordings:
        last_us = 0
        for arrived in arrivals(stream, recording):
            found += len(arrived.late)
            ready += len(arrived.ready)
            assert (np.diff(arrived.ready.time_us, prepend=last_us) >= 0).all()
            last_us = int(arrived.ready.time_us[-1]) if len(arrived.ready) else last_us
    assert (found, found + ready) == (late, 376_857)


def test_a_watermark_per_source_leaves_only_what_begins_behind_the_others(
    recordings: list[EventBatch],
) -> None:
    """6 sources begin with an event behind all the others; 8 events more follow it there.

    A minimum that may fall, as it does when such a source appears, counts 6.
    """
    stream = Stream("events", partition=("hostname", "channel"))
    late = [arrived.late.events.table for r in recordings for arrived in arrivals(stream, r)]
    found = pa.concat_tables(late)
    sources = found.group_by(["dataset", "hostname", "channel"]).aggregate([])
    assert (found.num_rows, sources.num_rows) == (14, 6)
