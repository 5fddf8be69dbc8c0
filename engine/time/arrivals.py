"""What comes out of the treatment of time: events in order, late ones, and how they interleave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from cep.engine.batch import EventBatch, Int64s
from cep.engine.state.snapshot import Snapshot
from cep.engine.time.watermarks import HeldBy, StreamStatus

FAR_US = 2**62  # differences to the end of time would overflow


@dataclass(frozen=True, slots=True)
class LateBatch:
    """Late events in the order of their arrival.

    `watermark_us`, shape (n,): the watermark that each met, >= its own time; it never falls.
    """

    events: EventBatch
    watermark_us: Int64s

    def __len__(self) -> int:
        return len(self.watermark_us)

    @property
    def late_by_us(self) -> Int64s:
        """How far each was behind the watermark; 0 is late, too."""
        reached = np.minimum(self.watermark_us, FAR_US)
        behind: Int64s = reached - self.events.time_us
        return behind

    def slice(self, start: int, stop: int) -> LateBatch:
        return LateBatch(self.events.slice(start, stop), self.watermark_us[start:stop])


@dataclass(frozen=True, slots=True)
class Step:
    """Work on `ready`, bring event time to `watermark_us`, then hear of the `late` events."""

    ready: EventBatch
    watermark_us: int
    late: LateBatch


@dataclass(frozen=True, slots=True)
class Arrived:
    """What a batch of events, or a word about time, has set free.

    `ready` is in order. `late[i]` came when `ready[:ready_before[i]]` was all that the watermark
    had set free. `implausible`: events too far ahead of the clock, which no watermark has heard of.
    """

    ready: EventBatch
    late: LateBatch
    ready_before: Int64s
    implausible: EventBatch
    watermark_us: int

    def steps(self) -> Iterator[Step]:
        """The same in the order in which it happened; one step where nothing is late.

        Steps of several batches, put together, do not depend on how the input was cut.
        """
        begin, late_begin = 0, 0
        for late_end in self._ends():
            late = self.late.slice(late_begin, late_end)
            end = int(self.ready_before[late_begin])
            yield Step(self.ready.slice(begin, end), int(late.watermark_us[0]), late)
            begin, late_begin = end, late_end
        rest = self.ready.slice(begin, len(self.ready)) if begin else self.ready
        yield Step(rest, self.watermark_us, self.late.slice(len(self.late), len(self.late)))

    def _ends(self) -> list[int]:
        """Where the late events end that have met the same watermark behind the same events."""
        if len(self.late) == 0:
            return []
        changes = (np.diff(self.late.watermark_us) != 0) | (np.diff(self.ready_before) != 0)
        return [*(np.flatnonzero(changes) + 1).tolist(), len(self.late)]


@dataclass(frozen=True, slots=True)
class TimeStatus:
    """How far event time has come, as plain data. None: nothing is known yet.

    `held`: events in the reorder buffer, with their bytes (about) and the least of their times.
    """

    watermark_us: int | None
    streams: tuple[StreamStatus, ...]
    held_by: HeldBy | None
    held: int
    held_bytes: int
    oldest_held_us: int | None
    implausible: int


class Arrivals(Protocol):
    """Events of several streams in the order of their arrival -> events in time order.

    Streams are numbered as in `EventBatch.stream`. `clock_us` is a reading of the wall clock; one
    that is set back stands still. A batch need not be in time order, its `stream` and `position`
    are not read; tables may have the columns of their stream or of all.
    """

    @property
    def schema(self) -> pa.Schema:
        """That of the tables that come out."""

    @property
    def watermark_us(self) -> int: ...

    def add(self, stream: int, batch: EventBatch, clock_us: int | None = None) -> Arrived:
        """Take in events of one stream."""

    def tick(self, clock_us: int) -> Arrived:
        """Time has passed by the clock, and all that came by then has been added."""

    def advance(self, time_us: int, stream: int | None = None) -> Arrived:
        """No event with time <= `time_us` follows, of the stream or of any."""

    def finish(self, stream: int | None = None) -> Arrived:
        """The stream has ended, or (None) all: what is held comes out, the watermark is NEVER."""

    def status(self) -> TimeStatus: ...

    def snapshot(self) -> Snapshot: ...

    def restore(self, snapshot: Snapshot, clock_us: int | None = None) -> None: ...


class Results:
    """Makes `Arrived`, with the empty parts that most have."""

    def __init__(self, schema: pa.Schema, streams: int) -> None:
        none = np.zeros(0, np.int64)
        stream = np.zeros(0, np.int16) if streams > 1 else None
        self.nothing = EventBatch(schema.empty_table(), none, stream)
        self._no_late = LateBatch(self.nothing, none)

    def arrived(
        self,
        ready: EventBatch,
        watermark_us: int,
        late: LateBatch | None = None,
        ready_before: Int64s | None = None,
        implausible: EventBatch | None = None,
    ) -> Arrived:
        none = self._no_late
        return Arrived(
            ready,
            none if late is None else late,
            none.watermark_us if ready_before is None else ready_before,
            self.nothing if implausible is None else implausible,
            watermark_us,
        )


def numbered(stream: int, streams: int, table: pa.Table, time_us: Int64s) -> EventBatch:
    """Events of one of `streams` streams."""
    numbers = np.full(len(time_us), stream, np.int16) if streams > 1 else None
    return EventBatch(table, time_us, numbers)
