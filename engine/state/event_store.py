"""Captured events, kept while a run or a result can still reach them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.batch import EventBatch, Int64s
from cep.engine.state.snapshot import Snapshot, Value

CHUNKS_MAX = 64


class EventStore:
    """Events by sequence, their place in the stream.

    Chunks are appended in order; `keep` drops what nobody needs any more.
    """

    def __init__(self) -> None:
        self._sequences: list[Int64s] = []
        self._batches: list[EventBatch] = []

    def __len__(self) -> int:
        return sum(len(s) for s in self._sequences)

    def add(self, sequences: Int64s, batch: EventBatch) -> None:
        """Take in events with rising sequences, all above those held, without their positions."""
        if len(sequences):
            self._sequences.append(sequences)
            self._batches.append(replace(batch, position=None))
        if len(self._batches) > CHUNKS_MAX:
            self._merge()

    def take(self, sequences: Int64s) -> EventBatch:
        """The events with these sequences, in this order; all of them must be held."""
        self._merge()
        rows = np.searchsorted(self._sequences[0], sequences)
        return take_rows(self._batches[0], rows)

    def keep(self, sequences: Int64s) -> None:
        """Hold these events and forget the others."""
        if len(self) == 0:
            return
        self._merge()
        rows = np.flatnonzero(np.isin(self._sequences[0], sequences))
        self._batches = [take_rows(self._batches[0], rows)]
        self._sequences = [self._sequences[0][rows]]

    def snapshot(self) -> Snapshot:
        """The events held. Nothing is copied: what has been added is not changed any more."""
        if not self._batches:
            return {}
        self._merge()
        (batch,), (sequences,) = self._batches, self._sequences
        saved: Snapshot = {"events": batch.table, "time_us": batch.time_us, "sequence": sequences}
        return saved if batch.stream is None else saved | {"stream": batch.stream}

    def restore(self, saved: Mapping[str, Value]) -> None:
        """Hold what a snapshot holds and nothing else."""
        self._batches, self._sequences = [], []
        if saved:
            batch = EventBatch(saved["events"], saved["time_us"], saved.get("stream"))
            self.add(saved["sequence"], batch)

    def _merge(self) -> None:
        if len(self._batches) == 1:
            return
        tables = [b.table for b in self._batches]
        streams = [b.stream for b in self._batches if b.stream is not None]
        table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
        times = np.concatenate([b.time_us for b in self._batches])
        stream = np.concatenate(streams) if streams else None
        self._batches = [EventBatch(table, times, stream)]
        self._sequences = [np.concatenate(self._sequences)]


def take_rows(batch: EventBatch, rows: Int64s) -> EventBatch:
    """The batch's rows with these indices, copied, so that the batch itself can be let go."""
    stream = None if batch.stream is None else batch.stream[rows]
    position = None if batch.position is None else batch.position[rows]
    indices: Any = pa.array(rows)
    return EventBatch(batch.table.take(indices), batch.time_us[rows], stream, position)
