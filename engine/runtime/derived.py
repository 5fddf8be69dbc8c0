"""Matches -> rows of the stream that a node makes; rows of several streams -> one feed of events.

Rows have a time and a position among what happens at that time. One that an event caused stands
where that event stands; one that time alone caused before the events of its time; a window's row
behind them. Sorted by (time, position) the rows of a node come in the same order however the input
was cut into batches and however many shards there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.pattern import Pattern, Stream
from cep.engine.algebra.plan import Node
from cep.engine.batch import EventBatch, Int64s
from cep.engine.columns.data import ARROW_TYPES
from cep.engine.columns.measures import evaluate_outputs
from cep.engine.ingest.merge import as_union
from cep.engine.operators.fed import Fed
from cep.engine.results import ErrorBatch, MatchBatch, RowBatch
from cep.engine.state.event_store import take_rows

BEFORE_EVENTS = -(1 << 62)  # positions of what time alone causes, plus a sequence
BEHIND_EVENTS = 1 << 62  # positions of windows' rows, plus a sequence


def match_rows(
    node: Node, batch: MatchBatch, cause: Int64s, fed: Fed | None
) -> tuple[RowBatch, list[ErrorBatch]]:
    """The rows of a pattern's matches, and what could not be computed of its select list.

    `cause`, shape (m,): sequence of the event that each match came out at, -1: none. `fed`: the
    slice that these events are in.
    """
    pattern = node.plan
    assert isinstance(pattern, Pattern), "only patterns have matches"
    arrays, failed = evaluate_outputs(batch, pattern.select)
    columns: dict[str, Any] = {
        output.name: array for output, array in zip(pattern.select, arrays, strict=True)
    }
    last: Any = pa.array(batch.row[batch.offsets[1:] - 1])
    for name in pattern.key:
        if name not in columns:
            columns[name] = batch.events.column(name).take(last)
    columns.setdefault("start", pa.array(batch.start_us, pa.timestamp("us")))
    columns.setdefault("end", pa.array(batch.end_us, pa.timestamp("us")))
    position = _positions(batch, cause, fed)
    order = np.lexsort((position, batch.at_us))
    table = as_stream(columns, node.stream).take(pa.array(order))  # type: ignore[arg-type]
    rows = RowBatch(node.name, table, batch.at_us[order], position[order])
    errors = [
        ErrorBatch(
            error.reason, batch.events.take(last.take(pa.array(error.rows))), None, node.name
        )
        for error in failed
    ]
    return rows, errors


def _positions(batch: MatchBatch, cause: Int64s, fed: Fed | None) -> Int64s:
    first = batch.event_position[batch.row[batch.offsets[:-1]]]
    position: Int64s = first + BEFORE_EVENTS
    caused = cause >= 0
    if caused.any():
        assert fed is not None, "without events nothing is caused by one"
        position[caused] = fed.positions[cause[caused] - fed.base]
    return position


def as_stream(columns: dict[str, Any], stream: Stream) -> pa.Table:
    """Columns by name -> a table with the stream's fields, in their order and types."""
    arrays = [_typed(columns[field.name], ARROW_TYPES[field.type]) for field in stream.fields]
    return pa.table(arrays, names=[field.name for field in stream.fields])


def _typed(column: Any, type_: pa.DataType) -> Any:
    return column if column.type == type_ else column.cast(type_)


class FeedMerger:
    """Rows of several streams, one step of each at a time, -> batches of one feed."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._numbers = {stream.name: number for number, stream in enumerate(streams)}
        types = {f.name: ARROW_TYPES[f.type] for stream in streams for f in stream.fields}
        self._schema = pa.schema(list(types.items()))
        self._is_one = len(streams) == 1

    def renumbered(self, batch: EventBatch, numbers: Mapping[str, int]) -> EventBatch:
        """Events of base streams, which have these numbers there, as they stand in this feed."""
        table = as_union(batch.table, self._schema)
        if self._is_one:
            return EventBatch(table, batch.time_us)
        if batch.stream is None:
            (name,) = numbers
            streams = np.full(len(batch), self._numbers[name], np.int16)
        else:
            here = np.zeros(max(numbers.values()) + 1, np.int16)
            for name, number in numbers.items():
                here[number] = self._numbers[name]
            streams = here[batch.stream]
        return EventBatch(table, batch.time_us, streams)

    def merge(self, parts: Sequence[tuple[str, EventBatch]]) -> EventBatch | None:
        """The events of (stream, batch) in order of time and position; None where there are none.

        Of equal time and position those of the first part come first.
        """
        held = [(self._numbers[name], batch) for name, batch in parts if len(batch)]
        if not held:
            return None
        times = np.concatenate([batch.time_us for _, batch in held])
        positions = np.concatenate([_position(batch) for _, batch in held])
        streams = np.repeat(
            np.array([number for number, _ in held], np.int16), [len(batch) for _, batch in held]
        )
        table = pa.concat_tables([as_union(batch.table, self._schema) for _, batch in held])
        merged = EventBatch(table, times, None if self._is_one else streams, positions)
        if len(held) == 1:
            return merged
        order = np.lexsort((positions, times))
        return take_rows(
            EventBatch(table.unify_dictionaries(), times, merged.stream, positions), order
        )


def _position(batch: EventBatch) -> Int64s:
    assert batch.position is not None, "what is merged has positions"
    return batch.position


def only_stream(batch: EventBatch, number: int) -> EventBatch:
    """The events of one stream of a feed, as a batch of their own."""
    assert batch.position is not None, "what is merged has positions"
    if batch.stream is None:
        return batch
    found = take_rows(batch, np.flatnonzero(batch.stream == number))
    return EventBatch(found.table, found.time_us, None, found.position)
