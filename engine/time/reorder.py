"""Events of all streams in any order -> those that the watermark has passed, in time order.

Each batch that comes is sorted by itself and kept as a run. A watermark cuts a prefix off every run
without a copy; the prefixes are merged. So an event is moved twice, however long it is held:

    run 1   1 4 | 9          watermark 6          1 2 4 5
    run 2   2 5 | 7 8   ──────────────────────►   held: 9, 7 8

Order: time, number of the stream, the stream's tie-breaker, arrival. Events with the same time
always leave together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cep.engine.batch import EventBatch, Int64s
from cep.engine.state.snapshot import Snapshot
from cep.engine.time.sorting import break_ties, is_ascending


@dataclass(frozen=True, slots=True)
class Sizes:
    """When work is worth its while: no size changes what comes out.

    About `merged_max` events are merged at a time. Runs of up to `small` events are merged when
    another comes, so that batches of one event do not make a run each; rests of runs are when a
    stream has more than `runs` of them.
    """

    merged_max: int = 1 << 20
    small: int = 1 << 14
    runs: int = 64


@dataclass(slots=True)
class Run:
    """Events of one stream in time order; `taken_in` is how many they were at first."""

    table: pa.Table
    time_us: Int64s
    taken_in: int

    def cut(self, watermark_us: int) -> tuple[pa.Table, Int64s]:
        """Remove and return the events up to the watermark; no copy."""
        size = self.count(watermark_us)
        table, times = self.table.slice(0, size), self.time_us[:size]
        self.table, self.time_us = self.table.slice(size), self.time_us[size:]
        return table, times

    def count(self, watermark_us: int) -> int:
        return int(np.searchsorted(self.time_us, watermark_us, side="right"))

    def shrink(self) -> None:
        """Copy a small rest, so that it does not keep the memory of all that came with it."""
        if 4 * len(self.time_us) < self.taken_in:
            self.table = self.table.take(np.arange(len(self.time_us)))
            self.time_us, self.taken_in = self.time_us.copy(), len(self.time_us)


class ReorderBuffer:
    """Holds events until event time has passed them.

    `tie_breakers`: one per stream, the field or None; `schema` is that of all tables.
    """

    def __init__(
        self, tie_breakers: Sequence[str | None], schema: pa.Schema, sizes: Sizes | None = None
    ) -> None:
        self._tie_breakers = tuple(tie_breakers)
        self._schema = schema
        self._sizes = sizes or Sizes()
        self._runs: list[list[Run]] = [[] for _ in tie_breakers]
        self._worth_merging = [self._sizes.runs for _ in tie_breakers]

    def __len__(self) -> int:
        return sum(len(run.time_us) for run in self._all())

    @property
    def nbytes(self) -> int:
        """Bytes of the events held, without what their runs have kept beside them."""
        return sum(run.table.nbytes + run.time_us.nbytes for run in self._all())

    @property
    def oldest_us(self) -> int | None:
        """The least time of an event held."""
        return min((int(run.time_us[0]) for run in self._all()), default=None)

    def count(self, watermark_us: int) -> int:
        """How many events that watermark would release."""
        return sum(run.count(watermark_us) for run in self._all())

    def add(self, stream: int, table: pa.Table, time_us: Int64s) -> None:
        """Hold events of one stream, ascending in time, ties in the order of their arrival."""
        if len(time_us) == 0:
            return
        runs = self._runs[stream]
        runs.append(Run(table, time_us, len(time_us)))
        while len(runs) > 1 and len(runs[-1].time_us) <= self._sizes.small:
            if len(runs[-2].time_us) > min(2 * len(runs[-1].time_us), self._sizes.small):
                break
            runs[-2:] = [_as_one(runs[-2:])]

    def release(self, watermark_us: int) -> EventBatch:
        """Remove and return all events with time <= the watermark, in order.

        O(r log k) for r events from k runs.
        """
        parts = [self._release(limit) for limit in self._limits(watermark_us)]
        if len(parts) == 1:
            return parts[0]
        table = pa.concat_tables([part.table for part in parts])
        times = np.concatenate([part.time_us for part in parts])
        streams = [part.stream for part in parts if part.stream is not None]
        return EventBatch(table, times, np.concatenate(streams) if streams else None)

    def _limits(self, watermark_us: int) -> Int64s | list[int]:
        """Watermarks up to this one that release a bounded number of events each.

        Arrow copies what it merges into one array, and one array holds no more than 2 GiB of text.
        """
        rows = self.count(watermark_us)
        if rows <= self._sizes.merged_max:
            return [watermark_us]
        times = np.concatenate([run.time_us[: run.count(watermark_us)] for run in self._all()])
        places = np.arange(self._sizes.merged_max - 1, rows, self._sizes.merged_max)
        times.partition(places)
        return np.unique(np.append(times[places], watermark_us))

    def _release(self, watermark_us: int) -> EventBatch:
        tables, times, streams = [self._schema.empty_table()], [np.zeros(0, np.int64)], [0]
        for stream, runs in enumerate(self._runs):
            for run in runs:
                if run.time_us[0] <= watermark_us:
                    table, time_us = run.cut(watermark_us)
                    run.shrink()
                    tables.append(table)
                    times.append(time_us)
                    streams.append(stream)
            self._runs[stream] = [run for run in runs if len(run.time_us)]
            self._merge_rests(stream)
        if len(tables) == 2:
            del tables[0], times[0], streams[0]
        return self._in_order(tables, times, streams)

    def _in_order(
        self, tables: Sequence[pa.Table], times: Sequence[Int64s], streams: Sequence[int]
    ) -> EventBatch:
        """Prefixes of runs as one batch, streams in their order and older runs first."""
        table = pa.concat_tables(tables)
        time_us = np.concatenate(times) if len(times) > 1 else times[0]
        stream = np.repeat(np.array(streams, np.int16), [len(part) for part in times])
        order = self._order(table, time_us, stream)
        if order is not None:
            table = table.unify_dictionaries().take(order)
            time_us, stream = time_us[order], stream[order]
        return EventBatch(table, time_us, stream if len(self._runs) > 1 else None)

    def _order(
        self, table: pa.Table, time_us: Int64s, stream: npt.NDArray[np.int16]
    ) -> Int64s | None:
        """The order of what is released; None where it is in order."""
        was_sorted = is_ascending(time_us)
        order = np.arange(len(time_us)) if was_sorted else np.argsort(time_us, kind="stable")
        for number, field in enumerate(self._tie_breakers):
            if field is None:
                continue
            places = np.flatnonzero(stream[order] == number)
            rows = order[places]
            order[places] = broken = break_ties(time_us, table.column(field), rows)
            was_sorted = was_sorted and broken is rows
        return None if was_sorted else order

    def _merge_rests(self, stream: int) -> None:
        """Merge small neighbours, now and then.

        Events far ahead of the others would leave a rest of every run behind.
        """
        runs = self._runs[stream]
        if len(runs) <= self._worth_merging[stream]:
            return
        groups, size = [[runs[0]]], len(runs[0].time_us)
        for run in runs[1:]:
            size += len(run.time_us)
            if size > self._sizes.small:
                groups.append([])
                size = len(run.time_us)
            groups[-1].append(run)
        self._runs[stream] = [_as_one(group) for group in groups]
        self._worth_merging[stream] = max(self._sizes.runs, 2 * len(groups))

    def _all(self) -> Iterator[Run]:
        for runs in self._runs:
            yield from runs

    def snapshot(self) -> Snapshot:
        """The runs of each stream; shares memory that nobody writes to. O(runs)."""
        return {
            "runs": [
                [{"table": run.table, "time_us": run.time_us} for run in runs]
                for runs in self._runs
            ]
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Hold what the snapshot holds."""
        self._runs = [
            [Run(run["table"], run["time_us"], len(run["time_us"])) for run in runs]
            for runs in snapshot["runs"]
        ]


def _as_one(runs: Sequence[Run]) -> Run:
    """Several runs of one stream, the older ones first, as one."""
    if len(runs) == 1:
        return runs[0]
    time_us = np.concatenate([run.time_us for run in runs])
    table = pa.concat_tables([run.table for run in runs]).unify_dictionaries()
    order = np.argsort(time_us, kind="stable")
    return Run(table.take(order), time_us[order], len(order))
