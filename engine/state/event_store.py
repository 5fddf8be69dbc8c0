"""Captured events, kept while a run or a result can still reach them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.batch import EventBatch, Int64s
from cep.engine.state.snapshot import Snapshot, Value

CHUNKS_MAX = 64
WAITING_MAX = 1024  # single events that wait to become a chunk


class EventStore:
    """Events by sequence, their place in the stream.

    Chunks are appended in order; `keep` drops what nobody needs any more. When there are many, the
    last ones are merged until each is more than twice as long as the one behind it: so an event is
    copied O(log n) times, and there are few chunks to look in.
    """

    def __init__(self) -> None:
        self._sequences: list[Int64s] = []
        self._batches: list[EventBatch] = []
        self._waiting: list[tuple[int, int, Sequence[Any]]] = []  # sequence, time, values
        self._schema: pa.Schema | None = None  # of those that wait
        self._waiting_weight = 0  # characters
        self._weight = 0  # bytes of the others

    def __len__(self) -> int:
        return sum(len(s) for s in self._sequences) + len(self._waiting)

    @property
    def weight(self) -> int:
        """How much the events take, about in bytes. O(1)."""
        return self._weight + self._waiting_weight

    @property
    def bytes_held(self) -> int:
        """The size of the events held. O(chunks)."""
        return sum(batch.table.nbytes + 16 * len(batch) for batch in self._batches)

    def add(self, sequences: Int64s, batch: EventBatch) -> None:
        """Take in events with rising sequences, all above those held, without their positions."""
        self._gather()
        self._add(sequences, batch)

    def add_one(
        self, sequence: int, time_us: int, values: Sequence[Any], schema: pa.Schema
    ) -> None:
        """Take in one event of a feed of one stream, above those held, as values of its columns."""
        self._schema = schema
        self._waiting.append((sequence, time_us, values))
        self._waiting_weight += sum(len(value) for value in values if type(value) is str)
        if len(self._waiting) >= WAITING_MAX:
            self._gather()

    def _gather(self) -> None:
        """Make a chunk of the events that came one by one."""
        if self._waiting:
            assert self._schema is not None
            sequences, times, rows = zip(*self._waiting, strict=True)
            self._waiting, self._waiting_weight = [], 0
            table = table_of_rows(rows, self._schema)
            batch = EventBatch(table, np.array(times, np.int64))
            self._add(np.array(sequences, np.int64), batch)

    def _add(self, sequences: Int64s, batch: EventBatch) -> None:
        if len(sequences):
            self._weight += batch.table.nbytes
            self._sequences.append(sequences)
            self._batches.append(replace(batch, position=None))
        if len(self._batches) > CHUNKS_MAX:
            self._merge_last()

    def take(self, sequences: Int64s) -> EventBatch:
        """The events with these sequences, in this order; all of them must be held.

        O(m log n) for m of them, and a copy of each.
        """
        self._gather()
        begins = np.array([chunk[0] for chunk in self._sequences])
        chunks = np.searchsorted(begins, sequences, side="right") - 1
        touched = np.unique(chunks).tolist()
        if len(touched) <= 1:
            return self._taken(touched[0] if touched else 0, sequences)
        order = np.argsort(chunks, kind="stable")
        parts = [self._taken(chunk, sequences[chunks == chunk]) for chunk in touched]
        return take_rows(_joined(parts), np.argsort(order))

    def _taken(self, chunk: int, sequences: Int64s) -> EventBatch:
        rows = np.searchsorted(self._sequences[chunk], sequences)
        return take_rows(self._batches[chunk], rows)

    def keep(self, sequences: Int64s) -> None:
        """Hold these events and forget the others."""
        self._gather()
        if len(self) == 0:
            return
        self._merge()
        rows = np.flatnonzero(np.isin(self._sequences[0], sequences))
        batch, held = take_rows(self._batches[0], rows), self._sequences[0][rows]
        self._batches, self._sequences, self._weight = [], [], 0
        self.add(held, batch)

    def snapshot(self) -> Snapshot:
        """The events held. Nothing is copied: what has been added is not changed any more."""
        self._gather()
        if not self._batches:
            return {}
        self._merge()
        (batch,), (sequences,) = self._batches, self._sequences
        saved: Snapshot = {"events": batch.table, "time_us": batch.time_us, "sequence": sequences}
        return saved if batch.stream is None else saved | {"stream": batch.stream}

    def restore(self, saved: Mapping[str, Value]) -> None:
        """Hold what a snapshot holds and nothing else."""
        self._batches, self._sequences, self._weight = [], [], 0
        self._waiting, self._waiting_weight = [], 0
        if saved:
            batch = EventBatch(saved["events"], saved["time_us"], saved.get("stream"))
            self.add(saved["sequence"], batch)

    def _merge(self) -> None:
        self._merge_from(0)

    def _merge_last(self) -> None:
        """Merge the last chunks, together with those before that are not much longer than they."""
        begin = len(self._sequences) - 1
        size = len(self._sequences[begin])
        while begin > 0 and len(self._sequences[begin - 1]) <= 2 * size:
            begin -= 1
            size += len(self._sequences[begin])
        self._merge_from(begin)

    def _merge_from(self, begin: int) -> None:
        if len(self._batches) - begin > 1:
            self._batches[begin:] = [_joined(self._batches[begin:])]
            self._sequences[begin:] = [np.concatenate(self._sequences[begin:])]


def table_of_rows(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Rows of values as they are in Arrow (times as microseconds) -> a table."""
    columns = zip(*rows, strict=True)
    arrays: Any = [
        pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _joined(batches: list[EventBatch]) -> EventBatch:
    """At least one batch, one behind the other."""
    streams = [batch.stream for batch in batches if batch.stream is not None]
    tables = [batch.table for batch in batches]
    table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    times = np.concatenate([batch.time_us for batch in batches])
    return EventBatch(table, times, np.concatenate(streams) if streams else None)


def take_rows(batch: EventBatch, rows: Int64s) -> EventBatch:
    """The batch's rows with these indices, copied, so that the batch itself can be let go."""
    stream = None if batch.stream is None else batch.stream[rows]
    position = None if batch.position is None else batch.position[rows]
    indices: Any = pa.array(rows)
    return EventBatch(batch.table.take(indices), batch.time_us[rows], stream, position)
