"""A history and its pattern, perhaps changed, in; matches and near misses as row numbers out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cep.engine.algebra.pattern import Pattern
from cep.engine.algebra.plan import flow_of
from cep.engine.batch import EventBatch
from cep.engine.results import MatchBatch, Output
from cep.engine.runtime.runtime import Runtime
from cep.results.attempts import PatternAttempts, attempts_of
from cep.results.layout import Layout
from cep.whynot.history import History

Taken = tuple[tuple[int, str], ...]
"""The rows that a run took, each with the variable that took it."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of a pattern's runs over a history: event i of it has position i."""

    attempts: PatternAttempts
    matches: list[Taken]

    def has_match(self, begin: Taken) -> bool:
        """Whether some match took these events first."""
        return any(match[: len(begin)] == begin for match in self.matches)


def replay(history: History, pattern: Pattern, events: EventBatch) -> Replay:
    """Run a bound pattern over events of the history's key, to the end of the stream."""
    output = _run(history, pattern, events)
    fields = frozenset(events.table.schema.names)
    layout = Layout(
        (pattern,), history.streams, events.table.schema, (fields,) * len(history.streams)
    )
    attempts = attempts_of(layout, output.matches, output.ended).parts[pattern.name]
    return Replay(attempts, [taken for batch in output.matches for taken in _chains(batch)])


def _run(history: History, pattern: Pattern, events: EventBatch) -> Output:
    runtime = Runtime(flow_of([pattern], history.streams), traced=True)
    output = Output()
    if len(events):
        output.extend(runtime.process(EventBatch(events.table, events.time_us, events.stream)))
    output.extend(runtime.finish())
    return output


def _chains(batch: MatchBatch) -> Iterator[Taken]:
    for index in range(len(batch)):
        yield taken_by(batch, index)


def taken_by(batch: MatchBatch, index: int) -> Taken:
    """The events of a match or run."""
    places = slice(int(batch.offsets[index]), int(batch.offsets[index + 1]))
    rows = batch.event_position[batch.row[places]].tolist()
    names = [batch.variables[number] for number in batch.variable[places].tolist()]
    return tuple(zip(rows, names, strict=True))


def inserted(
    events: EventBatch, before: int, row: pa.Table, time_us: int, stream: int
) -> EventBatch:
    """The events with one more before this row."""
    table = pa.concat_tables([events.table.slice(0, before), row, events.table.slice(before)])
    streams = None if events.stream is None else np.insert(events.stream, before, stream)
    return EventBatch(table, np.insert(events.time_us, before, time_us), streams)


def without(events: EventBatch, row: int) -> EventBatch:
    """The events without this one."""
    table = pa.concat_tables([events.table.slice(0, row), events.table.slice(row + 1)])
    stream = None if events.stream is None else np.delete(events.stream, row)
    return EventBatch(table, np.delete(events.time_us, row), stream)
