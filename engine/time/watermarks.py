"""Event times as they arrive -> watermarks: how far event time has come, and who holds it back.

A watermark w promises that no event with time <= w follows; an event that comes nevertheless is
late. The rules are Flink's (bounded out-of-orderness, split-wise watermarks, idle sources):

    source    greatest event time seen - lateness - 1 us; one per tuple of `Stream.partition`
    stream    the least of its sources that have spoken and are not idle
    total     the least of the streams that are not idle; a stream that sent nothing holds it back

None of them ever falls. A source or stream from which nothing has come for `idle_us` by the clock
is left out until it speaks again; where all are idle the total stays where it is. One difference:
Flink raises a stream's watermark every 200 ms, here each event raises it, so that what is late
depends on the order of arrival alone and not on how the input is cut into batches.

Times lie within +- 2**62 us.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Stream
from cep.engine.batch import Int64s
from cep.engine.kernels.layout import (
    SOURCE_EVENTS,
    SOURCE_IDLE,
    SOURCE_LATE,
    SOURCE_LATEST_US,
)
from cep.engine.state.snapshot import Snapshot
from cep.engine.time.lane import END_US, START_US, Lane, least_us
from cep.engine.time.sources import Source, SourceCodes

SOURCES_SHOWN = 5
LATENESS_MAX_US = 2**61  # 73,000 years: more could overflow, and means no more


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source of a stream; `source` has its values of the partition fields, () for all.

    `watermark_us` and `latest_us` (greatest event time seen) are None before its first event.
    """

    source: Source
    watermark_us: int | None
    latest_us: int | None
    is_idle: bool
    events: int
    late: int


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream, with its `slowest` sources: those that speak and are furthest behind."""

    stream: str
    watermark_us: int | None
    latest_us: int | None
    lateness_us: int
    is_idle: bool
    is_finished: bool
    events: int
    late: int
    sources: int
    slowest: tuple[SourceStatus, ...]


@dataclass(frozen=True, slots=True)
class HeldBy:
    """Who holds the total watermark back.

    `behind_us`: how far its watermark is behind the most advanced source; None: nothing has come
    from it yet.
    """

    stream: str
    source: Source
    behind_us: int | None

    def __str__(self) -> str:
        name = f"stream {self.stream!r}" if self.stream else "the stream"
        if self.source:
            name = f"source {', '.join(map(str, self.source))} of {name}"
        if self.behind_us is None:
            return f"{name}, which has sent nothing yet,"
        return f"{name}, {self.behind_us / 1e6:g} s behind the most advanced,"


class Watermarks:
    """The watermarks of all streams, numbered as in `EventBatch.stream`.

    `in_order_over_all`: the events of all streams together arrive in time order, so they share one
    watermark. Raises DataError where a stream declares that it does not.
    """

    def __init__(self, streams: Sequence[Stream], *, in_order_over_all: bool = False) -> None:
        self._streams = tuple(streams)
        self._codes = [SourceCodes(stream.partition) for stream in streams]
        self._finished: set[int] = set()
        if in_order_over_all:
            _check_in_order(streams)
            lane = Lane.of(", ".join(s.name for s in streams), 0, None, 1)
            self._lanes = [lane]
        else:
            self._lanes = [_lane_of(stream) for stream in streams]
        self._is_shared = in_order_over_all
        self._total_us = START_US
        self._clock_us = self._started_us = START_US

    @property
    def watermark_us(self) -> int:
        """The total; START_US as long as nothing is known."""
        return self._total_us

    @property
    def clock_us(self) -> int:
        """The greatest reading of the clock; START_US as long as there was none."""
        return self._clock_us

    def source_codes(self, stream: int, table: pa.Table) -> Int64s | None:
        """The source of every row; None where the stream has but one."""
        return self._codes[stream].encode(table) if self._streams[stream].partition else None

    def observe(
        self, stream: int, times: Int64s, sources: Int64s | None, clock_us: int | None = None
    ) -> Int64s | None:
        """Take in events in the order of their arrival; the watermark that each has met.

        An event is late where its time <= what it met; None: none is late. Raises DataError where
        the stream has ended.
        """
        self.read_clock(clock_us)
        self.check_open(stream)
        lane = self._lane(stream)
        lane.make_room(len(self._codes[stream]))
        if len(times) == 0:
            return None
        others_us = min(
            (o.watermark_us for o in self._lanes if self._counts(o) and o is not lane),
            default=END_US,
        )
        total_us, met = lane.observe(times, sources, self._clock_us, others_us, self._total_us)
        self._raise_to(total_us)
        return met

    def is_next(self, stream: int, time_us: int) -> bool:
        """Whether an event of this time is not late and may come."""
        return time_us > self._total_us and stream not in self._finished

    def take_next(self, stream: int, time_us: int, clock_us: int) -> None:
        """`observe` of one event that `is_next`, of the only stream, or where all are in order."""
        self.read_clock(clock_us)
        lane = self._lane(stream)
        lane.take_next(time_us, self._clock_us)
        self._raise_to(lane.watermark_us)

    def read_clock(self, clock_us: int | None) -> None:
        """Note a reading of the clock; one that is set back stands still."""
        if clock_us is None:
            return
        if self._clock_us == START_US:
            self._started_us = clock_us
        self._clock_us = max(self._clock_us, clock_us)

    def tick(self, clock_us: int) -> None:
        """Leave out who has been silent for too long. Nothing else makes a source idle.

        So call it when what has come by then has been taken in: after a pause of the whole input
        nobody must seem idle whose events only wait.
        """
        self.read_clock(clock_us)
        for lane in self._lanes:
            lane.silence(self._clock_us, self._started_us)
        self._raise_to(least_us(self._lanes))

    def advance(self, time_us: int, stream: int | None = None) -> None:
        """Promise that no event with time <= `time_us` follows, of the stream or of any.

        It only ever raises a watermark. Streams that arrive in one order share the promise.
        """
        for lane in self._lanes if stream is None else [self._lane(stream)]:
            lane.promise(time_us)
        self._raise_to(time_us if stream is None else least_us(self._lanes))

    def finish(self, stream: int | None = None) -> None:
        """The stream, or all streams, have ended: they hold nothing back any more."""
        self._finished |= set(range(len(self._streams))) if stream is None else {stream}
        for i, lane in enumerate(self._lanes):
            fed_by = range(len(self._streams)) if self._is_shared else [i]
            lane.is_finished = self._finished.issuperset(fed_by)
        self._raise_to(least_us(self._lanes))

    def check_open(self, stream: int) -> None:
        if stream in self._finished:
            name = self._streams[stream].name
            raise DataError(f"stream {name!r} has been declared finished and has an event")

    def _lane(self, stream: int) -> Lane:
        return self._lanes[0 if self._is_shared else stream]

    def _counts(self, lane: Lane) -> bool:
        return not lane.is_finished and not lane.is_idle

    def _raise_to(self, total_us: int) -> None:
        """The one place where the total changes."""
        self._total_us = max(self._total_us, int(total_us))

    # ------------------------------------------------------------------ undo, snapshots

    def saved(self) -> tuple[list[Lane], int]:
        """What `undo` goes back to: everything that `observe` changes but clock and numbering."""
        return [lane.copy() for lane in self._lanes], self._total_us

    def undo(self, saved: tuple[list[Lane], int]) -> None:
        self._lanes, self._total_us = saved

    def snapshot(self, schema: pa.Schema) -> Snapshot:
        """Copies of all that is known; `schema` has the partition fields."""
        return {
            "total_us": self._total_us,
            "clock_us": self._clock_us,
            "started_us": self._started_us,
            "finished": sorted(self._finished),
            "partitions": [list(stream.partition) for stream in self._streams],
            "lanes": [_lane_snapshot(lane) for lane in self._lanes],
            "sources": [
                codes.to_table(schema) if stream.partition else None
                for codes, stream in zip(self._codes, self._streams, strict=True)
            ],
        }

    def restore(self, snapshot: Snapshot, clock_us: int | None = None) -> None:
        """Become what the snapshot was made of, for the same streams.

        `clock_us`, the clock at the restart: what has passed since the last reading counts as
        silence of nobody. None: the clock goes on where it stood.
        """
        self._total_us = snapshot["total_us"]
        self._clock_us, self._started_us = snapshot["clock_us"], snapshot["started_us"]
        self._finished = set(snapshot["finished"])
        for lane, state in zip(self._lanes, snapshot["lanes"], strict=True):
            lane.records = state["records"].copy()
            lane.watermark_us = state["watermark_us"]
            lane.is_finished = state["is_finished"]
            lane.waited_in_vain = state["waited_in_vain"]
        for codes, table in zip(self._codes, snapshot["sources"], strict=True):
            if table is not None:
                codes.restore(table)
        if clock_us is not None and self._clock_us != START_US:
            self._skip_clock(clock_us)

    def _skip_clock(self, clock_us: int) -> None:
        skipped = max(clock_us - self._clock_us, 0)
        self._clock_us += skipped
        self._started_us += skipped
        for lane in self._lanes:
            lane.skip_clock(skipped)

    # ------------------------------------------------------------------ status

    def status(self, sources_shown: int = SOURCES_SHOWN) -> tuple[StreamStatus, ...]:
        """Plain data on every stream (one entry where they share a watermark)."""
        names = [[()]] if self._is_shared else [self._names(i) for i in range(len(self._lanes))]
        return tuple(
            _stream_status(lane, found, sources_shown)
            for lane, found in zip(self._lanes, names, strict=True)
        )

    def held_by(self) -> HeldBy | None:
        """The source that the total watermark waits for; None where none counts."""
        counted = [i for i, lane in enumerate(self._lanes) if self._counts(lane)]
        if not counted:
            return None
        slowest = min(counted, key=lambda i: self._lanes[i].watermark_us)
        lane = self._lanes[slowest]
        if not lane.has_spoken.any():
            behind = None if lane.watermark_us == START_US else self._behind(lane.watermark_us)
            return HeldBy(lane.name, (), behind)
        own = np.where(lane.is_active, lane.source_watermarks_us, END_US)
        source = int(own.argmin())
        name = () if self._is_shared else self._names(slowest)[source]
        return HeldBy(lane.name, name, self._behind(max(int(own[source]), START_US)))

    def _behind(self, watermark_us: int) -> int:
        foremost = max(int(lane.source_watermarks_us.max(initial=START_US)) for lane in self._lanes)
        return max(foremost - watermark_us, 0)

    def _names(self, stream: int) -> list[Source]:
        return self._codes[stream].names if self._streams[stream].partition else [()]


def _lane_of(stream: Stream) -> Lane:
    sources = 0 if stream.partition else 1
    lateness_us = min(stream.lateness_us, LATENESS_MAX_US)
    return Lane.of(stream.name, lateness_us, stream.idle_us, sources)


def _check_in_order(streams: Sequence[Stream]) -> None:
    for stream in streams:
        if stream.lateness_us or stream.partition or stream.tie_breaker is not None:
            message = (
                f"stream {stream.name!r} declares a lateness, a partition or a tie-breaker, so "
                "its events cannot be taken in the order in which all streams arrive: leave that "
                "out of the rules, or do not ask for this order"
            )
            raise DataError(message)


def _lane_snapshot(lane: Lane) -> Snapshot:
    return {
        "records": lane.records.copy(),
        "watermark_us": lane.watermark_us,
        "is_finished": lane.is_finished,
        "waited_in_vain": lane.waited_in_vain,
    }


def known_us(time_us: int) -> int | None:
    return None if time_us == START_US else time_us


def _stream_status(lane: Lane, names: Sequence[Source], shown: int) -> StreamStatus:
    records, watermarks = lane.records, lane.source_watermarks_us
    active = np.flatnonzero(lane.is_active)
    slowest = active[np.argsort(watermarks[active], kind="stable")[:shown]]
    return StreamStatus(
        stream=lane.name,
        watermark_us=known_us(lane.watermark_us),
        latest_us=known_us(int(records[:, SOURCE_LATEST_US].max(initial=START_US))),
        lateness_us=lane.lateness_us,
        is_idle=lane.is_idle,
        is_finished=lane.is_finished,
        events=int(records[:, SOURCE_EVENTS].sum()),
        late=int(records[:, SOURCE_LATE].sum()),
        sources=len(records),
        slowest=tuple(
            SourceStatus(
                source=names[i],
                watermark_us=known_us(int(watermarks[i])),
                latest_us=known_us(int(records[i, SOURCE_LATEST_US])),
                is_idle=bool(records[i, SOURCE_IDLE]),
                events=int(records[i, SOURCE_EVENTS]),
                late=int(records[i, SOURCE_LATE]),
            )
            for i in slowest
        ),
    )
