"""Events in the order of their arrival -> the same events, each at the time when it arrived."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Stream
from cep.engine.batch import EventBatch
from cep.engine.state.snapshot import Snapshot
from cep.engine.time.arrivals import Arrived, Results, TimeStatus, numbered
from cep.engine.time.columns import conformed
from cep.engine.time.lane import END_US, START_US
from cep.engine.time.watermarks import StreamStatus, known_us


class ProcessingTime:
    """The time of an event is the clock when it arrives; see `Arrivals` for the methods.

    No event is late and none is held. Events of one clock reading share their time, so the
    watermark is always the clock - 1 us. The streams' own time columns stay as they are.
    """

    def __init__(self, streams: Sequence[Stream], schema: pa.Schema) -> None:
        self._streams = tuple(streams)
        self._results = Results(schema, len(self._streams))
        self._clock_us = START_US + 1
        self._events = [0] * len(self._streams)
        self._finished: set[int] = set()
        self.schema = schema

    @property
    def watermark_us(self) -> int:
        is_over = len(self._finished) == len(self._streams)
        return END_US if is_over else self._clock_us - 1

    def add(self, stream: int, batch: EventBatch, clock_us: int | None = None) -> Arrived:
        """Take in events at this reading of the clock (None: at the last one).

        Raises DataError for a stream that has ended, and where no clock has been read yet.
        """
        if stream in self._finished:
            name = self._streams[stream].name
            raise DataError(f"stream {name!r} has been declared finished and has an event")
        self._read(clock_us)
        if self._clock_us == START_US + 1:
            raise DataError("events get their time from the clock: give its reading")
        self._events[stream] += len(batch)
        times = np.full(len(batch), self._clock_us, np.int64)
        table = conformed(batch.table, self.schema)
        ready = numbered(stream, len(self._streams), table, times)
        return self._results.arrived(ready, self.watermark_us)

    @property
    def holds_nothing(self) -> bool:
        """Events pass as they come: see `EventTime`."""
        return True

    def passes(self, stream: int, time_us: int | None, clock_us: int) -> int | None:
        """The time of an event that comes now; None: `add` knows why it cannot."""
        return None if stream in self._finished else max(self._clock_us, clock_us)

    def take_next(self, stream: int, time_us: int, clock_us: int) -> None:
        """`add` of one event: it is ready."""
        self._events[stream] += 1
        self._read(time_us)

    def tick(self, clock_us: int) -> Arrived:
        self._read(clock_us)
        return self._nothing()

    def advance(self, time_us: int, stream: int | None = None) -> Arrived:
        """Later events get a time beyond this one; all streams read the same clock."""
        self._read(time_us + 1 if time_us < END_US else END_US)
        return self._nothing()

    def finish(self, stream: int | None = None) -> Arrived:
        self._finished |= set(range(len(self._streams))) if stream is None else {stream}
        return self._nothing()

    def _read(self, clock_us: int | None) -> None:
        if clock_us is not None:
            self._clock_us = max(self._clock_us, clock_us)

    def _nothing(self) -> Arrived:
        return self._results.arrived(self._results.nothing, self.watermark_us)

    def status(self) -> TimeStatus:
        watermark_us = known_us(self.watermark_us)
        latest_us = known_us(self._clock_us - 1)
        streams = tuple(
            StreamStatus(
                stream=stream.name,
                watermark_us=watermark_us,
                latest_us=latest_us if self._events[i] else None,
                lateness_us=0,
                is_idle=False,
                is_finished=i in self._finished,
                events=self._events[i],
                late=0,
                sources=1,
                slowest=(),
            )
            for i, stream in enumerate(self._streams)
        )
        return TimeStatus(watermark_us, streams, None, 0, 0, None, 0)

    def snapshot(self) -> Snapshot:
        finished = sorted(self._finished)
        return {"clock_us": self._clock_us, "events": list(self._events), "finished": finished}

    def restore(self, snapshot: Snapshot, clock_us: int | None = None) -> None:
        """Become what the snapshot was made of; the clock goes on from `clock_us`."""
        self._clock_us = snapshot["clock_us"]
        self._events, self._finished = list(snapshot["events"]), set(snapshot["finished"])
        self._read(clock_us)
