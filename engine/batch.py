"""What the engine is fed: a batch of events as columns, in event-time order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events ordered by time, ties in arrival order.

    `table` has one row per event and one column per field (over several streams: the union of their
    fields, NULL where an event's stream has no such field). `time_us`, shape (n,): event time in
    microseconds since 1970, no NULLs. `stream`, shape (n,): index into the streams of the schema,
    None where there is one stream. `position`, shape (n,): where each event stands among those of
    its time, over all streams; None: in the order of the rows.
    """

    table: pa.Table
    time_us: Int64s
    stream: npt.NDArray[np.int16] | None = None
    position: Int64s | None = None

    def __len__(self) -> int:
        return len(self.time_us)

    def slice(self, start: int, stop: int) -> EventBatch:
        rows = slice(start, stop)
        stream = None if self.stream is None else self.stream[rows]
        position = None if self.position is None else self.position[rows]
        table = self.table.slice(start, stop - start)
        return EventBatch(table, self.time_us[rows], stream, position)
