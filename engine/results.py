"""What the engine hands out: matches, timed-out runs and errors, as columns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cep.engine.algebra.pattern import Pattern
from cep.engine.batch import Int64s


@dataclass(frozen=True, slots=True)
class MatchBatch:
    """Matches (or timed-out runs) of one pattern, with every event that they captured.

    What several patterns find in one step shares one table of events, which has the others' too.

    Match i took `events` rows `row[offsets[i]:offsets[i + 1]]`, in the order in which they were
    taken, the j-th of them by variable `variables[variable[j]]`. All arrays are read-only by
    agreement. Shapes: m matches, t events taken in all, e distinct events.
    """

    pattern: Pattern  # bound: every expression has its type
    variables: tuple[str, ...]
    offsets: Int64s  # (m + 1,)
    variable: npt.NDArray[np.integer[Any]]  # (t,)
    row: Int64s  # (t,) index into `events`
    at_us: Int64s  # (m,) event time at which the match was found or the run timed out
    events: pa.Table  # (e,) all fields of the captured events, shared with other batches
    event_time_us: Int64s  # (e,)
    event_stream: npt.NDArray[np.int16] | None  # (e,) index into the schema's streams
    event_position: Int64s  # (e,) place in the input, from 0, in event-time order

    def __len__(self) -> int:
        return len(self.at_us)

    @property
    def start_us(self) -> Int64s:
        """(m,) time of each match's first event."""
        return self.event_time_us[self.row[self.offsets[:-1]]]

    @property
    def end_us(self) -> Int64s:
        """(m,) time of each match's last event."""
        return self.event_time_us[self.row[self.offsets[1:] - 1]]

    def only(self, rows: Int64s) -> MatchBatch:
        """Some of the matches, in this order."""
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return replace(
            self,
            offsets=offsets,
            variable=self.variable[places],
            row=self.row[places],
            at_us=self.at_us[rows],
        )


class Fate(IntEnum):
    """What ended a run that became no match."""

    TIME = 0
    NEGATION = 1
    UNLESS = 2
    NOT_NEXT = 3  # a strict link, and the next event was another
    SKIP = 4
    OPEN = 5  # nothing: the stream has ended


@dataclass(frozen=True, slots=True)
class EndedBatch:
    """Runs of one pattern that became no match, shapes (m,), as `runs.at_us` says when.

    `state`: of the automaton, where it waited; -1 where it was complete and another match dropped
    it. `missing`: how many events more would have made it one, at least. `cause`: the place in the
    input of the event that ended it, -1 where time alone did. `fate`: of `Fate`. Of runs that began
    at the same event in a step only the nearest is there.
    """

    runs: MatchBatch
    state: Int64s
    missing: Int64s
    fate: Int64s
    cause: Int64s


@dataclass(frozen=True, slots=True)
class ErrorBatch:
    """Events that something went wrong with, all for the same reason.

    `pattern` and `variable` name the condition that failed, where it was one.
    """

    reason: str
    events: pa.Table
    time_us: Int64s | None = None  # None: the time itself is what is missing
    pattern: str | None = None
    variable: str | None = None
    values: pa.Array[Any] | None = None  # (e,) text: the value of each event that is to blame

    def __len__(self) -> int:
        return int(self.events.num_rows)


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows of one aggregate or join (or matches as rows that others read), in their order.

    `update`, shape (n,): 0 where a window's row comes for the first time, 1, 2, ... where late
    events changed it, -1 where it is an early result; None: all are 0.
    """

    name: str
    table: pa.Table
    time_us: Int64s
    position: Int64s  # among what happens at the same time
    update: Int64s | None = None

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, slots=True)
class LateBatch:
    """Events that came too late for everything, with the watermark that each of them met."""

    stream: str
    events: pa.Table
    time_us: Int64s
    watermark_us: Int64s

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(slots=True)
class Output:
    """Everything that came out of one step of the engine."""

    matches: list[MatchBatch] = field(default_factory=list)
    timeouts: list[MatchBatch] = field(default_factory=list)
    ended: list[EndedBatch] = field(default_factory=list)  # where runs are traced
    errors: list[ErrorBatch] = field(default_factory=list)
    rows: list[RowBatch] = field(default_factory=list)
    late: list[LateBatch] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def extend(self, other: Output) -> None:
        self.matches += other.matches
        self.timeouts += other.timeouts
        self.ended += other.ended
        self.errors += other.errors
        self.rows += other.rows
        self.late += other.late
        self.notes += other.notes
