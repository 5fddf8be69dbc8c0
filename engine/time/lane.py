"""The events of one stream, as they arrive -> the stream's watermark, over all of its sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cep.engine.batch import Bools, Int64s
from cep.engine.kernels import event_time as kernels
from cep.engine.kernels.layout import (
    NEVER,
    SOURCE_EVENTS,
    SOURCE_FIELDS,
    SOURCE_IDLE,
    SOURCE_LATE,
    SOURCE_LATEST_US,
    SOURCE_SPOKE_US,
)
from cep.engine.time.sorting import is_ascending

END_US = int(NEVER)
START_US = -END_US
"""The watermark before the first event; also: the time of no event, the reading of no clock."""


@dataclass(slots=True)
class Lane:
    """What is known of one stream: its watermark, and a record of each source.

    A stream without `partition` is one source. `watermark_us` is the least of the sources that
    speak, each its greatest event time - lateness - 1 us, or what was promised; it never falls.
    `waited_in_vain`: nothing ever came, for longer than the stream may be silent.
    """

    name: str
    lateness_us: int
    idle_us: int | None
    records: Int64s
    watermark_us: int = START_US
    is_finished: bool = False
    waited_in_vain: bool = False

    @staticmethod
    def of(name: str, lateness_us: int, idle_us: int | None, sources: int) -> Lane:
        return Lane(name, lateness_us, idle_us, _new_records(sources))

    def copy(self) -> Lane:
        return replace(self, records=self.records.copy())

    @property
    def has_spoken(self) -> Bools:
        """Per source, whether an event of it has come."""
        return self.records[:, SOURCE_LATEST_US] > START_US

    @property
    def is_active(self) -> Bools:
        """Per source, whether it holds the watermark back."""
        active: Bools = self.has_spoken & (self.records[:, SOURCE_IDLE] == 0)
        return active

    @property
    def is_idle(self) -> bool:
        """Whether the stream is left out of the minimum over all streams."""
        return self.waited_in_vain if not self.has_spoken.any() else not self.is_active.any()

    @property
    def source_watermarks_us(self) -> Int64s:
        """Per source; START_US where none of its events has come."""
        watermarks = self.records[:, SOURCE_LATEST_US] - self.lateness_us - 1
        return np.where(self.has_spoken, watermarks, START_US)

    def promise(self, time_us: int) -> None:
        self.watermark_us = max(self.watermark_us, int(time_us))

    def make_room(self, sources: int) -> None:
        missing = sources - len(self.records)
        if missing > 0:
            self.records = np.concatenate([self.records, _new_records(missing)])

    def silence(self, clock_us: int, started_us: int) -> None:
        """Leave out the sources that have said nothing for `idle_us` by the clock."""
        if self.idle_us is None:
            return
        self.waited_in_vain = clock_us - started_us >= self.idle_us
        since = np.maximum(self.records[:, SOURCE_SPOKE_US], started_us)
        self.records[clock_us - since >= self.idle_us, SOURCE_IDLE] = 1
        active = self.is_active
        if active.any():
            self.promise(int(self.source_watermarks_us[active].min()))

    def skip_clock(self, by_us: int) -> None:
        """Time has passed by the clock that counts as nobody's silence."""
        spoke = self.records[:, SOURCE_SPOKE_US]
        spoke[spoke != START_US] += by_us

    def observe(
        self, times: Int64s, sources: Int64s | None, clock_us: int, others_us: int, total_us: int
    ) -> tuple[int, Int64s | None]:
        """Take in events: (the total watermark behind them, the one that each has met).

        None where no event is late. `sources` None: they all come from one. `others_us`: the
        least watermark of the other streams.
        """
        if sources is None:
            total_us, met = self._observe_one(times, others_us, total_us)
        else:
            total_us, met = self._observe_many(times, sources, others_us, total_us)
        if met is not None and not (times <= met).any():
            met = None
        self._count(sources, None if met is None else times <= met, len(times), clock_us)
        return total_us, met

    def take_next(self, time_us: int, clock_us: int) -> None:
        """Take in one event that is not late, of a stream that is one source."""
        record = self.records[0]
        if time_us > record[SOURCE_LATEST_US]:
            record[SOURCE_LATEST_US] = time_us
        self.promise(time_us - self.lateness_us - 1)
        record[SOURCE_EVENTS] += 1
        record[SOURCE_SPOKE_US] = clock_us
        record[SOURCE_IDLE] = 0

    def _observe_one(
        self, times: Int64s, others_us: int, total_us: int
    ) -> tuple[int, Int64s | None]:
        """One source: what an event meets follows from the greatest time before it."""
        if times[0] > total_us and is_ascending(times):
            met, latest_us = None, int(times[-1])
        else:
            greatest = np.maximum.accumulate(times)
            own = np.maximum(greatest[:-1] - self.lateness_us - 1, self.watermark_us)
            met = np.full(len(times), total_us, np.int64)
            np.maximum(np.minimum(own, others_us), total_us, out=met[1:])
            latest_us = int(greatest[-1])
        record = self.records[0]
        record[SOURCE_LATEST_US] = max(int(record[SOURCE_LATEST_US]), latest_us)
        self.promise(latest_us - self.lateness_us - 1)
        return max(total_us, min(self.watermark_us, others_us)), met

    def _observe_many(
        self, times: Int64s, sources: Int64s, others_us: int, total_us: int
    ) -> tuple[int, Int64s]:
        met = np.empty(len(times), np.int64)
        settings = (self.lateness_us, self.records, self._tree())
        watermarks = (self.watermark_us, others_us, total_us)
        times = np.ascontiguousarray(times)
        self.watermark_us, total_us = kernels.observe(times, sources, *settings, *watermarks, met)
        return int(total_us), met

    def _tree(self) -> Int64s:
        """The tournament of minima that the kernel keeps; O(sources)."""
        leaves = 1
        while leaves < len(self.records):
            leaves *= 2
        tree = np.full(2 * leaves, NEVER, np.int64)
        active = np.flatnonzero(self.is_active)
        tree[leaves + active] = self.source_watermarks_us[active]
        while leaves > 1:
            below = tree[leaves : 2 * leaves].reshape(-1, 2)
            leaves //= 2
            tree[leaves : 2 * leaves] = below.min(axis=1)
        return tree

    def _count(self, sources: Int64s | None, late: Bools | None, rows: int, clock_us: int) -> None:
        records = self.records
        if sources is None:
            spoke: Int64s | slice = slice(0, 1)
            records[0, SOURCE_EVENTS] += rows
            records[0, SOURCE_LATE] += 0 if late is None else int(late.sum())
        else:
            counts = np.bincount(sources, minlength=len(records))
            spoke = np.flatnonzero(counts)
            records[:, SOURCE_EVENTS] += counts
            if late is not None:
                records[:, SOURCE_LATE] += np.bincount(sources[late], minlength=len(records))
        records[spoke, SOURCE_SPOKE_US] = clock_us
        records[spoke, SOURCE_IDLE] = 0


def _new_records(sources: int) -> Int64s:
    records = np.zeros((sources, SOURCE_FIELDS), np.int64)
    records[:, [SOURCE_LATEST_US, SOURCE_SPOKE_US]] = START_US
    return records


def least_us(lanes: Sequence[Lane]) -> int:
    """The least watermark of the streams that count: of those not idle, else of those not ended."""
    open_lanes = [lane for lane in lanes if not lane.is_finished]
    counted = [lane for lane in open_lanes if not lane.is_idle] or open_lanes
    return min((lane.watermark_us for lane in counted), default=END_US)
