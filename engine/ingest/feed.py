"""The caller's data -> `EventBatch`es in time order, with the rows that are no events set aside.

    source ── chunk ──► conform to the declared types ──► event times ──► in order? ──► EventBatch
                              │ values that do not fit        │ no time        │ no: sort
                              ▼                               ▼                ▼
                            errors                          errors           a note

What is in memory (or small) is sorted where it has to be. A file is read twice: its time column
first, to know whether it can be streamed. What can be read only once must come in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.algebra.pattern import Stream, StreamField
from cep.engine.batch import EventBatch, Int64s
from cep.engine.columns.data import data_type_of
from cep.engine.ingest.conform import (
    check_conformable,
    conform,
    conformed_type,
    plain_type,
    timestamps_of,
)
from cep.engine.ingest.event_time import IS_NULL, TimeColumn, in_calendar, is_text, read_times
from cep.engine.io.readers import open_source
from cep.engine.io.source import ROWS_PER_BATCH, Access, Chunk, Source, did_you_mean
from cep.engine.io.unfit import with_article
from cep.engine.results import ErrorBatch
from cep.engine.time.sorting import break_ties

TIME_NAMES = ("ts", "time", "timestamp", "event_time")
ROWS_HELD = 4 * ROWS_PER_BATCH  # an input up to this size is taken as a whole and can be sorted


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """How the rows of one source become events of one stream.

    `stream` has all its fields and its time; `schema` is that of the tables handed out.
    """

    stream: Stream
    schema: pa.Schema
    declared: Mapping[str, DataType]


class Ingested(NamedTuple):
    """A step of the input. `rows`: read in this step, errors included."""

    batch: EventBatch
    errors: list[ErrorBatch]
    rows: int


class Converted(NamedTuple):
    """Events in the order of the input; `finest` is what to sort them by."""

    batch: EventBatch
    finest: Int64s
    errors: list[ErrorBatch]
    rows: int


def plan_stream(stream: Stream, source: Source, *, has_time: bool = True) -> StreamPlan:
    """What the rules declare met with what the data has.

    Without `has_time` the stream of the plan has no time: somebody else gives it to the events.
    Raises DataError for a missing column, a type that cannot become the declared one, no time.
    """
    if not source.schema.names:
        return StreamPlan(stream, source.schema, {})  # an empty list: nothing to conform
    declared = {field.name: field.type for field in stream.fields}
    where = _where(stream, source)
    _check_names(source.schema, where)
    for name, type_ in declared.items():
        if name not in source.schema.names:
            raise DataError(_missing(name, source.schema.names, where))
        arrow = source.schema.field(name).type
        check_conformable(arrow, type_, f"{where}: field {name!r}")
    for name in (*stream.partition, *([stream.tie_breaker] if stream.tie_breaker else [])):
        if name not in source.schema.names:
            raise DataError(_missing(name, source.schema.names, where))
    if not has_time:
        schema = pa.schema([_conformed(f, declared.get(f.name)) for f in source.schema])
        fields = tuple(_stream_fields(schema, stream))
        return StreamPlan(replace(stream, fields=fields, time=None), schema, declared)
    time = stream.time or _find_time(source.schema.names, stream, where)
    if time not in source.schema.names:
        raise DataError(_missing(time, source.schema.names, where))
    arrow = source.schema.field(time).type
    if time not in declared and (is_text(plain_type(arrow)) or pa.types.is_null(arrow)):
        declared[time] = DataType.TIMESTAMP  # text as event time is a time for conditions, too
    schema = pa.schema([_conformed(f, declared.get(f.name)) for f in source.schema])
    fields = tuple(_stream_fields(schema, stream))
    full = replace(stream, fields=fields, time=time)
    return StreamPlan(full, schema, declared)


def _where(stream: Stream, source: Source) -> str:
    return f"stream {stream.name!r} ({source.label})" if stream.name else source.label


def _conformed(column: Any, declared: DataType | None) -> Any:
    type_ = column.type
    if declared is not None:
        type_ = conformed_type(type_, declared)
    elif data_type_of(type_) is None:
        type_ = plain_type(type_)  # a dictionary of numbers
    return pa.field(column.name, type_)


def _stream_fields(schema: pa.Schema, stream: Stream) -> Iterator[StreamField]:
    spans = {field.name: field.span for field in stream.fields}
    for column in schema:
        type_ = data_type_of(column.type)
        if type_ is not None:
            yield StreamField(column.name, type_, spans.get(column.name))


def _check_names(schema: pa.Schema, where: str) -> None:
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise DataError(f"{where}: two columns are called {twice[0]!r}")


def _missing(name: str, names: Sequence[str], where: str) -> str:
    available = ", ".join(names) or "no columns at all"
    near = did_you_mean(name, names) or ";"
    return f"{where}: no column {name!r}{near} it has: {available}"


def _find_time(names: Sequence[str], stream: Stream, where: str) -> str:
    found = [name for name in names if name.lower() in TIME_NAMES]
    if len(found) == 1:
        return found[0]
    what = f"no column is called {', '.join(TIME_NAMES[:-1])} or {TIME_NAMES[-1]}"
    if found:
        what = f"several columns may be it ({', '.join(found)})"
    raise DataError(
        f"{where}: which column is the event time? {what}; say it in the rules with "
        f"`stream {stream.name or 'NAME'} time {found[0] if found else 'COLUMN'};`, "
        f"the columns are: {', '.join(names)}"
    )


def convert(plan: StreamPlan, chunk: Chunk) -> Converted:
    """Cast, find event times, set bad rows aside. No copy of what is already as it should be."""
    table, stream = chunk.table, plan.stream
    nothing = np.zeros(table.num_rows, np.int64)
    times = TimeColumn(nothing, nothing)
    if stream.time is not None:
        times = read_times(table.column(stream.time), stream.time, stream.time_unit)
    columns, bad = [], []
    for column in plan.schema:
        values = table.column(column.name)
        if column.name == stream.time and values.type != column.type:
            columns.append(timestamps_of(times, column.type))
            continue
        declared = plan.declared.get(column.name)
        if declared is not None:
            values, rows = conform(values, declared, column.type, stream.time_unit)
            bad.append((f"{column.name} is not {with_article(declared)}", column.name, rows))
        elif values.type != column.type:
            values = values.cast(column.type)
        columns.append(values)
    made = pa.Table.from_arrays(columns, schema=plan.schema)
    bad = [*((reason, str(stream.time), rows) for reason, rows in times.bad), *bad]
    errors, keep = _set_aside(table, times.time_us, bad)
    errors = [*chunk.broken, *errors]
    read = table.num_rows + sum(len(error) for error in chunk.broken)
    if keep is None:
        return Converted(EventBatch(made, times.time_us), times.finest, errors, read)
    batch = EventBatch(made.take(keep), times.time_us[keep])
    return Converted(batch, times.finest[keep], errors, read)


def joined(parts: Sequence[Converted], schema: pa.Schema) -> Converted:
    """Several parts as one, in their order."""
    if len(parts) == 1:
        return parts[0]
    none = np.zeros(0, np.int64)
    table = pa.concat_tables([part.batch.table for part in parts] or [schema.empty_table()])
    times = np.concatenate([none, *(part.batch.time_us for part in parts)])
    finest = np.concatenate([none, *(part.finest for part in parts)])
    errors = [error for part in parts for error in part.errors]
    return Converted(EventBatch(table, times), finest, errors, sum(part.rows for part in parts))


def _set_aside(
    table: pa.Table, time_us: Int64s, bad: Iterable[tuple[str, str, Int64s]]
) -> tuple[list[ErrorBatch], Int64s | None]:
    """(bad rows, each under its first reason; the rows that are left, None for all)."""
    is_good = np.ones(table.num_rows, np.bool_)
    errors = []
    for reason, name, rows in bad:
        new = rows[is_good[rows]]
        if len(new) == 0:
            continue
        is_good[new] = False
        events = table.take(new)
        is_time = reason.startswith("time ")
        shown = None if reason == IS_NULL.format(name=repr(name)) else _texts(events.column(name))
        times = None if is_time else time_us[new]
        errors.append(ErrorBatch(reason, events, times, values=shown))
    return errors, (np.flatnonzero(is_good) if errors else None)


def _texts(column: Any) -> Any:
    if not in_calendar(column):
        return column.cast(pa.string()).combine_chunks()
    return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())


@dataclass(slots=True)
class Lane:
    """One stream's events in time order."""

    plan: StreamPlan
    source: Source
    notes: list[str] = field(default_factory=list)

    def read(self) -> Iterator[Ingested]:
        if not self.plan.schema.names:
            return
        chunks = self.source.read(None)
        head, is_all = _take_rows(chunks, ROWS_HELD)
        if is_all:
            yield from self._whole(head)
        elif self.source.access is Access.FILE and self._is_ordered():
            yield from self._streamed(chain(_emptying(head), chunks), None)
        elif self.source.access is Access.FILE:
            yield from self._whole([*head, *chunks])
        else:
            last = None
            for step in self._whole(head):
                last = _last(step.batch, last)
                yield step
            yield from self._streamed(chunks, last)

    def _whole(self, chunks: list[Chunk]) -> Iterator[Ingested]:
        """All rows at once: sorted if need be, then handed out in slices."""
        if not chunks:
            return
        whole = joined([convert(self.plan, chunk) for chunk in chunks], self.plan.schema)
        batch = self._sorted(whole.batch, whole.finest)
        if whole.rows > len(batch):
            yield Ingested(batch.slice(0, 0), whole.errors, whole.rows - len(batch))
        for start in range(0, len(batch), ROWS_PER_BATCH):
            piece = batch.slice(start, min(start + ROWS_PER_BATCH, len(batch)))
            yield Ingested(piece, [], len(piece))

    def _sorted(self, batch: EventBatch, finest: Int64s) -> EventBatch:
        """In order of time; ties by the stream's tie-breaker, else as they came."""
        if is_ascending(finest):
            return self._without_ties(batch, finest, np.arange(len(batch)))
        late = int((finest < np.maximum.accumulate(finest)).sum())
        self.notes.append(
            f"{_where(self.plan.stream, self.source)}: {late:,} of {len(batch):,} events came "
            "after one with a later time; sorted by time"
        )
        return self._without_ties(batch, finest, np.argsort(finest, kind="stable"))

    def _without_ties(self, batch: EventBatch, finest: Int64s, order: Int64s) -> EventBatch:
        """The batch in this order, with events of the same time in that of the tie-breaker."""
        name = self.plan.stream.tie_breaker
        if name is not None:
            order = break_ties(finest, batch.table.column(name), order)
        if is_ascending(order):
            return batch
        return EventBatch(batch.table.unify_dictionaries().take(order), batch.time_us[order])

    def _is_ordered(self) -> bool:
        """One pass over the time column alone. With a tie-breaker a batch does not say enough."""
        if self.plan.stream.tie_breaker is not None:
            return False
        stream = self.plan.stream
        assert stream.time is not None, "a planned stream has a time"
        last = None
        for chunk in self.source.read([stream.time]):
            times = read_times(chunk.table.column(0), stream.time, stream.time_unit)
            keep = times.good_rows()
            finest = times.finest if keep is None else times.finest[keep]
            if len(finest) == 0:
                continue
            if not is_ascending(finest) or (last is not None and finest[0] < last):
                return False
            last = finest[-1]
        return True

    def _streamed(self, chunks: Iterable[Chunk], last: int | None) -> Iterator[Ingested]:
        for chunk in chunks:
            made = convert(self.plan, chunk)
            batch = self._sorted(made.batch, made.finest)
            if last is not None and len(batch) and batch.time_us[0] < last:
                raise DataError(
                    f"{_where(self.plan.stream, self.source)}: event times go back by "
                    f"{(last - int(batch.time_us[0])) / 1e6:g} s; an input that is read in "
                    "batches must be in time order: give a table or a file, which can be sorted"
                )
            last = _last(batch, last)
            yield Ingested(batch, made.errors, made.rows)


def _emptying(chunks: list[Chunk]) -> Iterator[Chunk]:
    """The chunks, each let go of once it has been used."""
    chunks.reverse()
    while chunks:
        yield chunks.pop()


def is_ascending(values: Int64s) -> bool:
    return len(values) < 2 or bool((values[1:] >= values[:-1]).all())


def _last(batch: EventBatch, before: int | None) -> int | None:
    return int(batch.time_us[-1]) if len(batch) else before


def _take_rows(chunks: Iterator[Chunk], rows: int) -> tuple[list[Chunk], bool]:
    """(chunks of more than `rows` rows or all there are, whether that is all)."""
    taken, size = [], 0
    for chunk in chunks:
        taken.append(chunk)
        size += chunk.table.num_rows
        if size > rows:
            return taken, False
    return taken, True


@dataclass(frozen=True, slots=True)
class Feed:
    """All input of a run. `streams` are complete and in the order of the batches' stream index."""

    streams: tuple[Stream, ...]
    schema: pa.Schema
    rows: int | None
    lanes: tuple[Lane, ...]

    @property
    def notes(self) -> list[str]:
        return [note for lane in self.lanes for note in lane.notes]

    @property
    def own_fields(self) -> tuple[frozenset[str], ...]:
        """The columns of each stream, those included that conditions cannot read."""
        return tuple(frozenset(lane.plan.schema.names) for lane in self.lanes)

    @property
    def is_void(self) -> bool:
        """No columns, so no events either: an empty list of dicts, an empty file."""
        return not self.lanes

    def read(self) -> Iterator[Ingested]:
        """The events of all streams, merged by time; on equal times in the order of `streams`."""
        if len(self.lanes) == 1:
            yield from self.lanes[0].read()
        elif self.lanes:
            from cep.engine.ingest.merge import merge

            yield from merge([lane.read() for lane in self.lanes], self.schema)


def open_feed(data: Mapping[str, Any], streams: Sequence[Stream]) -> Feed:
    """`data`: one input per stream, by name. Raises DataError for what cannot be read."""
    sources = [_open(data[stream.name], stream) for stream in streams]
    if all(not source.schema.names for source in sources):
        return Feed(tuple(streams), pa.schema([]), 0, ())
    plans = [plan_stream(*pair) for pair in zip(streams, sources, strict=True)]
    if len(plans) == 1:
        schema = plans[0].schema
    else:
        from cep.engine.ingest.merge import union_schema

        schema = union_schema({plan.stream.name: plan.schema for plan in plans})
    counts = [source.rows for source in sources]
    rows = None if None in counts else sum(count or 0 for count in counts)
    lanes = tuple(Lane(*pair) for pair in zip(plans, sources, strict=True))
    return Feed(tuple(plan.stream for plan in plans), schema, rows, lanes)


def _open(data: Any, stream: Stream) -> Source:
    return open_source(data, {f.name: f.type for f in stream.fields})
