"""Match batches of one pattern -> columns: key, start, end, id and what `select` names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from cep.engine.algebra.pattern import Pattern
from cep.engine.batch import Int64s
from cep.engine.columns.data import pc
from cep.engine.ingest.conform import plain_type
from cep.engine.ingest.event_time import in_calendar
from cep.engine.results import ErrorBatch, MatchBatch
from cep.engine.state.hashing import Words
from cep.results.ids import event_lanes, match_ids, one_array
from cep.results.layout import Layout, value_type

EVENTS_DECODED = 256  # matches whose events become Python objects at a time


class TakenEvent(NamedTuple):
    """An event of a match, and which variable took it. `event`: its fields."""

    time: datetime
    variable: str
    event: dict[str, Any]


class EventPool:
    """The events of all matches of a table, each once; what is computed of them is shared.

    `added`: columns that are no part of what makes an event the one it is.
    """

    def __init__(self, batches: Sequence[MatchBatch], added: frozenset[str] = frozenset()) -> None:
        self.added = added
        several: dict[int, list[MatchBatch]] = {}
        for batch in batches:
            several.setdefault(id(batch.events), []).append(batch)
        self._place: dict[int, Int64s] = {}  # of a table's rows in the pool
        parts, size = [], 0
        for sharing in several.values():
            used = np.zeros(sharing[0].events.num_rows, np.bool_)
            for batch in sharing:
                used[batch.row] = True
            parts.append((sharing[0], np.flatnonzero(used)))
            self._place[id(sharing[0].events)] = np.cumsum(used) - 1 + size
            size += len(parts[-1][1])
        streams = [b.event_stream[rows] for b, rows in parts if b.event_stream is not None]
        self.table = pa.concat_tables([_only(b.events, rows) for b, rows in parts])
        self.time_us = np.concatenate([b.event_time_us[rows] for b, rows in parts])
        self.stream = np.concatenate(streams) if streams else None
        self.position = np.concatenate([b.event_position[rows] for b, rows in parts])

    @cached_property
    def lanes(self) -> list[Words]:
        """What the ids of matches are made of."""
        own = [name for name in self.table.schema.names if name not in self.added]
        return event_lanes(self.table.select(own), self.time_us)

    def joined(self, batches: Sequence[MatchBatch]) -> MatchBatch:
        """Batches of one pattern as one, over the events of the pool."""
        first = batches[0]
        taken = np.cumsum([0, *(len(b.row) for b in batches)])
        return MatchBatch(
            first.pattern,
            first.variables,
            np.concatenate(
                [*(b.offsets[:-1] + t for b, t in zip(batches, taken, strict=False)), taken[-1:]]
            ),
            np.concatenate([b.variable for b in batches]),
            np.concatenate([self._place[id(b.events)][b.row] for b in batches]),
            np.concatenate([b.at_us for b in batches]),
            self.table,
            self.time_us,
            self.stream,
            self.position,
        )


def _only(events: pa.Table, rows: Int64s) -> pa.Table:
    """These rows of the table, in order; the table itself where they are all."""
    return events if len(rows) == events.num_rows else take(events, rows)


def pick(batch: MatchBatch, matches: Int64s) -> MatchBatch:
    """These matches as a batch, over a table that has no other events."""
    return own_events(batch.only(matches))


def own_events(batch: MatchBatch) -> MatchBatch:
    """The same matches, over a table that has no other events."""
    rows, place = np.unique(batch.row, return_inverse=True)
    if len(rows) == batch.events.num_rows:
        return batch
    stream = None if batch.event_stream is None else batch.event_stream[rows]
    return replace(
        batch,
        row=place.astype(np.int64),
        events=take(batch.events, rows),
        event_time_us=batch.event_time_us[rows],
        event_stream=stream,
        event_position=batch.event_position[rows],
    )


class PatternMatches:
    """All matches of one pattern, as columns that are computed when somebody asks."""

    def __init__(self, batch: MatchBatch, layout: Layout, pool: EventPool) -> None:
        self.batch = batch
        self._pool = pool
        self.layout = layout
        self._window: tuple[int, list[dict[str, list[dict[str, Any]]]]] = (-1, [])

    @cached_property
    def pattern(self) -> Pattern:
        """As bound for this run: the batch's own may come from elsewhere."""
        return self.layout.patterns[self.layout.number[self.batch.pattern.name]]

    @cached_property
    def ids(self) -> Any:
        return match_ids(self.batch, self._pool.lanes)

    @cached_property
    def starts(self) -> Any:
        return self.times(self.batch.start_us)

    @cached_property
    def ends(self) -> Any:
        return self.times(self.batch.end_us)

    @cached_property
    def found_at(self) -> Any:
        return self.times(self.batch.at_us)

    def times(self, time_us: Int64s) -> Any:
        """Times as the data state them: with a zone, or without."""
        return pa.array(time_us, pa.timestamp("us")).cast(self.layout.time_type)

    @cached_property
    def keys(self) -> Any:
        """The key of each match, a struct where it has several fields; None without a key."""
        type_ = self.layout.key_type(self.pattern)
        if type_ is None:
            return None
        names = [name for name in self.pattern.key if name in self.batch.events.schema.names]
        first = self.batch.row[self.batch.offsets[:-1]]
        events = take(self.batch.events.select(names), first)
        columns = [one_array(column) for column in events.columns]
        plain = [c.cast(plain_type(c.type)) if plain_type(c.type) != c.type else c for c in columns]
        return plain[0] if len(plain) == 1 else pa.StructArray.from_arrays(plain, names)

    @cached_property
    def _selected(self) -> tuple[dict[str, Any], list[ErrorBatch]]:
        outputs = self.layout.outputs(self.pattern)
        if not outputs:
            return {}, []
        from cep.engine.columns.measures import evaluate_outputs

        columns, errors = evaluate_outputs(own_events(self.batch), outputs)
        pairs = zip(outputs, columns, strict=True)
        values = {output.name: column.cast(value_type(output)) for output, column in pairs}
        return values, [self._error_batch(error.reason, error.rows) for error in errors]

    def _error_batch(self, reason: str, matches: Int64s) -> ErrorBatch:
        """An error of the select list, shown with the last event of each match it is about."""
        rows = self.batch.row[self.batch.offsets[matches + 1] - 1]
        events, times = take(self.batch.events, rows), self.batch.event_time_us[rows]
        return ErrorBatch(f"select: {reason}", events, times, self.pattern.name)

    def only(self, index: int) -> PatternMatches:
        """One match by itself: what is asked of it is computed for it alone."""
        batch = pick(self.batch, np.array([index]))
        return PatternMatches(batch, self.layout, EventPool([batch], self._pool.added))

    @property
    def values(self) -> dict[str, Any]:
        """Select name -> column, NULL where the value could not be computed."""
        return self._selected[0]

    @property
    def select_errors(self) -> list[ErrorBatch]:
        """What could not be computed of `values`."""
        return self._selected[1]

    def to_table(self) -> pa.Table:
        """The columns of `Layout.arrow_schema`, in the order in which matches were found."""
        size, schema = len(self.batch), self.layout.arrow_schema
        columns: dict[str, Any] = {
            "pattern": pa.repeat(self.pattern.name, size),
            "key": self._common_keys(schema.field("key").type),
            "start": self.starts,
            "end": self.ends,
            "id": self.ids,
        }
        names = self.layout.value_columns[self.pattern.name]
        columns |= {names[name]: column for name, column in self.values.items()}
        filled = [columns.get(f.name, None) for f in schema]
        arrays = [
            pa.nulls(size, f.type) if column is None else column
            for f, column in zip(schema, filled, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=schema)

    def _common_keys(self, type_: pa.DataType) -> Any:
        keys = self.keys
        if keys is None or keys.type == type_:
            return keys
        if not pa.types.is_struct(keys.type):
            return keys.cast(type_)
        parts = [part.cast(pa.string()).fill_null("NULL") for part in keys.flatten()]
        return pc.binary_join_element_wise(*parts, ", ")

    def key_at(self, index: int) -> Any:
        """The key as a Python value: None without key fields, a tuple for several."""
        if self.keys is None:
            return None
        value = self.keys[index].as_py()
        return tuple(value.values()) if isinstance(value, dict) else value

    def events_at(self, index: int) -> dict[str, list[dict[str, Any]]]:
        """Variable -> its events, in the order in which the variables first took one."""
        start = index - index % EVENTS_DECODED
        if self._window[0] != start:
            self._window = (
                start,
                self._decode(start, min(start + EVENTS_DECODED, len(self.batch))),
            )
        return self._window[1][index - start]

    def sizes_at(self, index: int) -> dict[str, int]:
        """Variable -> number of its events, in the order of `events_at`."""
        taken = self.batch.variable[self.batch.offsets[index] : self.batch.offsets[index + 1]]
        numbers, first, sizes = np.unique(taken, return_index=True, return_counts=True)
        order = np.argsort(first)
        names = [self.batch.variables[number] for number in numbers[order]]
        return dict(zip(names, sizes[order].tolist(), strict=True))

    def taken_at(self, index: int, limit: int | None = None) -> list[TakenEvent]:
        """The events in the order in which they were taken, the first `limit` of them."""
        batch = self.batch
        taken = slice(batch.offsets[index], batch.offsets[index + 1])
        rows = batch.row[taken][:limit]
        names = [batch.variables[number] for number in batch.variable[taken][:limit]]
        times = self.times(batch.event_time_us[rows]).to_pylist()
        return list(map(TakenEvent, times, names, self._python_events(rows)))

    def _decode(self, start: int, stop: int) -> list[dict[str, list[dict[str, Any]]]]:
        batch = self.batch
        low, high = batch.offsets[start], batch.offsets[stop]
        distinct, place = np.unique(batch.row[low:high], return_inverse=True)
        rows = self._python_events(distinct)
        found = []
        for match in range(start, stop):
            events: dict[str, list[dict[str, Any]]] = {}
            for at in range(batch.offsets[match], batch.offsets[match + 1]):
                name = batch.variables[batch.variable[at]]
                events.setdefault(name, []).append(dict(rows[place[at - low]]))
            found.append(events)
        return found

    def _python_events(self, rows: Int64s) -> list[dict[str, Any]]:
        """Events as dicts, each with the fields of its own stream only."""
        events = in_microseconds(take(self.batch.events, rows)).to_pylist()
        streams = self.batch.event_stream
        if streams is None:
            return events
        own_fields = self.layout.events_of(self.pattern.name).own_fields
        own = [own_fields[number] for number in streams[rows]]
        return [
            {k: v for k, v in event.items() if k in names}
            for event, names in zip(events, own, strict=True)
        ]

    @cached_property
    def tie_breakers(self) -> list[Int64s]:
        """What orders matches that were found at the same time, most important first."""
        batch = self.batch
        begin, end = batch.offsets[:-1], batch.offsets[1:]
        positions = batch.event_position[batch.row]
        places = []
        for nth in range(4):
            at = np.minimum(begin + nth, end - 1)
            places.append(np.where(begin + nth < end, positions[at], -1))
        step = np.arange(len(batch.row)) - np.repeat(begin, end - begin)
        spread = (positions * 31 + batch.variable + 1) * (2 * step + 1) * 0x9E3779B1
        spread ^= spread >> 15
        return [*places, end - begin, np.add.reduceat(spread, begin)]


def take(table: pa.Table, rows: Int64s) -> pa.Table:
    """Those rows of the table, in that order."""
    indices: Any = pa.array(rows)
    return table.take(indices)


def in_microseconds(table: pa.Table) -> pa.Table:
    """Nanoseconds cut to microseconds: Python's datetime has no more.

    A column with times that it cannot hold at all becomes text.
    """
    for place, column_field in enumerate(table.schema):
        if not in_calendar(table.column(place)):
            texts: Any = table.column(place).cast(pa.string())
            table = table.set_column(place, column_field.name, texts)
        elif getattr(column_field.type, "unit", None) == "ns":
            zone = getattr(column_field.type, "tz", None)
            is_time = pa.types.is_timestamp(column_field.type)
            type_ = pa.timestamp("us", zone) if is_time else pa.duration("us")
            column = table.column(place).cast(type_, safe=False)
            table = table.set_column(place, column_field.name, column)
    return table
