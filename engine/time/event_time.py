"""Events in the order of their arrival -> events in time order, by watermarks.

    batch ─► too far ahead of the clock? ─► late? ─► sort, hold ─► what the watermark has passed
                     │ implausible           │ late                     ready

Where the rules declare neither lateness nor sources nor a tie-breaker, and there is one stream (or
the caller says that all streams arrive in one order), nothing is held: a batch that is in order
passes as it is. There an event of the time of the last one is on time, one before it is late.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Stream
from cep.engine.batch import Bools, EventBatch, Int64s
from cep.engine.state.event_store import take_rows
from cep.engine.state.snapshot import Snapshot
from cep.engine.time.arrivals import Arrived, LateBatch, Results, TimeStatus, numbered
from cep.engine.time.columns import conformed, widened
from cep.engine.time.lane import END_US, START_US
from cep.engine.time.reorder import ReorderBuffer
from cep.engine.time.sorting import is_ascending, sorted_rows
from cep.engine.time.watermarks import HeldBy, Watermarks, known_us


class EventTime:
    """Event time over several streams; see `Arrivals` for what its methods mean.

    `schema`: the union of the streams' columns. `ahead_us`: an event further ahead of the clock
    than this is returned as implausible, as if it had not come: one wrong clock would make all
    other events late. `held_max`: a batch that would leave more events than this in the buffer is
    refused with a DataError that says who holds the watermark back; nothing has changed then.
    `in_order_over_all`: see `Watermarks`.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        schema: pa.Schema,
        *,
        ahead_us: int | None = None,
        held_max: int | None = None,
        in_order_over_all: bool = False,
    ) -> None:
        self._streams = tuple(streams)
        self._ahead_us, self._held_max = ahead_us, held_max
        self._watermarks = Watermarks(streams, in_order_over_all=in_order_over_all)
        self._implausible = 0
        self._buffer: ReorderBuffer | None = None
        self.schema = schema
        if not (in_order_over_all or _passes(streams)):
            self.schema = widened(schema)
            self._buffer = ReorderBuffer([s.tie_breaker for s in streams], self.schema)
        self._results = Results(self.schema, len(self._streams))

    @property
    def watermark_us(self) -> int:
        return self._watermarks.watermark_us

    # ------------------------------------------------------------------ events

    def add(self, stream: int, batch: EventBatch, clock_us: int | None = None) -> Arrived:
        """O(n) for the watermarks and to sort the batch, and what `ReorderBuffer.release` costs.

        Raises DataError for a stream that has ended and for a buffer that would be too full.
        """
        self._watermarks.read_clock(clock_us)
        table = conformed(batch.table, self.schema)
        events = numbered(stream, len(self._streams), table, batch.time_us)
        events, implausible = self._set_implausible_aside(events)
        met = self._observe(stream, events)
        self._implausible += 0 if implausible is None else len(implausible)
        is_late = None if met is None else events.time_us <= met
        if self._buffer is None:
            ready = events if is_late is None else take_rows(events, np.flatnonzero(~is_late))
        else:
            self._hold(self._buffer, stream, events, is_late)
            ready = self._buffer.release(self.watermark_us)
        if met is None or is_late is None:
            return self._results.arrived(ready, self.watermark_us, implausible=implausible)
        late = LateBatch(take_rows(events, np.flatnonzero(is_late)), met[is_late])
        before = self._ready_before(ready, is_late, late)
        return self._results.arrived(ready, self.watermark_us, late, before, implausible)

    # ------------------------------------------------------------------ one event

    @property
    def holds_nothing(self) -> bool:
        """Events pass as they come, so that one may go past the columns: `passes`, `take_next`."""
        return self._buffer is None

    def passes(self, stream: int, time_us: int | None, clock_us: int) -> int | None:
        """The time of an event that is neither late nor implausible; None: `add` knows."""
        if time_us is None or not self._watermarks.is_next(stream, time_us):
            return None
        if self._ahead_us is not None:
            clock_us = max(clock_us, self._watermarks.clock_us)
            if time_us > clock_us + self._ahead_us:
                return None
        return time_us

    def take_next(self, stream: int, time_us: int, clock_us: int) -> None:
        """`add` of one event that `passes`: it is ready."""
        self._watermarks.take_next(stream, time_us, clock_us)

    def _set_implausible_aside(self, events: EventBatch) -> tuple[EventBatch, EventBatch | None]:
        if self._ahead_us is None:
            return events, None
        limit_us = min(self._watermarks.clock_us + self._ahead_us, END_US)
        if self._watermarks.clock_us == START_US:
            raise DataError("events too far ahead of the clock are looked for: give its reading")
        is_far = events.time_us > limit_us
        if not is_far.any():
            return events, None
        rows, far = np.flatnonzero(~is_far), np.flatnonzero(is_far)
        return take_rows(events, rows), take_rows(events, far)

    def _observe(self, stream: int, events: EventBatch) -> Int64s | None:
        """The watermark that each event has met, None where none is late."""
        sources = self._watermarks.source_codes(stream, events.table)
        if self._buffer is None or self._held_max is None:
            return self._watermarks.observe(stream, events.time_us, sources)
        saved = self._watermarks.saved()
        met = self._watermarks.observe(stream, events.time_us, sources)
        on_time = events.time_us if met is None else events.time_us[events.time_us > met]
        held = len(self._buffer) - self._buffer.count(self.watermark_us)
        held += int((on_time > self.watermark_us).sum())
        if held > self._held_max:
            held_by = self._watermarks.held_by()
            self._watermarks.undo(saved)
            raise DataError(_too_full(held, self._held_max, held_by))
        return met

    def _hold(
        self, buffer: ReorderBuffer, stream: int, events: EventBatch, is_late: Bools | None
    ) -> None:
        """Those on time, sorted, into the buffer."""
        if is_late is None and is_ascending(events.time_us):
            buffer.add(stream, events.table, events.time_us)
            return
        rows = np.arange(len(events)) if is_late is None else np.flatnonzero(~is_late)
        order = sorted_rows(events.time_us, rows)
        buffer.add(stream, events.table.take(order), events.time_us[order])

    def _ready_before(self, ready: EventBatch, is_late: Bools, late: LateBatch) -> Int64s:
        """How many of the events now ready had been set free when each late one came."""
        if self._buffer is None:
            before: Int64s = np.cumsum(~is_late, dtype=np.int64)[is_late]
            return before
        return np.searchsorted(ready.time_us, late.watermark_us, side="right")

    # ------------------------------------------------------------------ time

    def tick(self, clock_us: int) -> Arrived:
        """Sources that have been silent for too long are left out: see `Watermarks.tick`."""
        self._watermarks.tick(clock_us)
        return self._release()

    def advance(self, time_us: int, stream: int | None = None) -> Arrived:
        self._watermarks.advance(time_us, stream)
        return self._release()

    def finish(self, stream: int | None = None) -> Arrived:
        self._watermarks.finish(stream)
        return self._release()

    def _release(self) -> Arrived:
        if self._buffer is None:
            return self._results.arrived(self._results.nothing, self.watermark_us)
        return self._results.arrived(self._buffer.release(self.watermark_us), self.watermark_us)

    # ------------------------------------------------------------------ from outside

    def status(self) -> TimeStatus:
        buffer = self._buffer
        return TimeStatus(
            watermark_us=known_us(self.watermark_us),
            streams=self._watermarks.status(),
            held_by=self._watermarks.held_by(),
            held=0 if buffer is None else len(buffer),
            held_bytes=0 if buffer is None else buffer.nbytes,
            oldest_held_us=None if buffer is None else buffer.oldest_us,
            implausible=self._implausible,
        )

    def snapshot(self) -> Snapshot:
        return {
            "watermarks": self._watermarks.snapshot(self.schema),
            "buffer": None if self._buffer is None else self._buffer.snapshot(),
            "implausible": self._implausible,
        }

    def restore(self, snapshot: Snapshot, clock_us: int | None = None) -> None:
        """Become what the snapshot was made of, in an EventTime made with the same arguments.

        `clock_us`, the clock at the restart: the stop counts as silence of no source. None: it is
        as if there had been no stop.
        """
        self._watermarks.restore(snapshot["watermarks"], clock_us)
        if self._buffer is not None:
            self._buffer.restore(snapshot["buffer"])
        self._implausible = snapshot["implausible"]


def _passes(streams: Sequence[Stream]) -> bool:
    """Whether no event ever has to wait for another."""
    if len(streams) > 1:
        return False
    (stream,) = streams
    return not (stream.lateness_us or stream.partition or stream.tie_breaker is not None)


def _too_full(held: int, held_max: int, held_by: HeldBy | None) -> str:
    who = "nobody" if held_by is None else str(held_by)
    return (
        f"{held:,} events would wait for their turn, more than {held_max:,}: {who} holds the "
        "watermark back; declare when a source is idle, finish it, or allow more"
    )
