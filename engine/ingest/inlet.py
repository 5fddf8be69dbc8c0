"""What a caller hands to a live stream (one event, a table) -> events with the stream's columns.

The first data of a stream, or its declaration, say what its columns are; whatever comes later is
brought to the same columns, so that events of different calls can stand in one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.algebra.pattern import Stream
from cep.engine.ingest.conform import ARROW_TYPES
from cep.engine.ingest.feed import Converted, StreamPlan, convert, joined, plan_stream
from cep.engine.ingest.unknown_fields import seen
from cep.engine.io.dicts import note_ignored
from cep.engine.io.readers import open_source
from cep.engine.io.source import Chunk, did_you_mean, table_source


class Inlet:
    """One live stream. `plan` says what its events look like.

    `schema`: its columns. Without `has_time` the clock gives the events their times, and a column
    of times is like any other. A stream that declares its fields has these and no others: what else
    the data have is not kept (`ignored` names some of them).
    """

    def __init__(self, stream: Stream, schema: pa.Schema, *, has_time: bool = True) -> None:
        self._declared: dict[str, DataType] = {f.name: f.type for f in stream.fields}
        self._label = f"stream {stream.name!r}" if stream.name else "the data"
        if self._declared:
            schema = _only(schema, self._declared)
        source = table_source(schema.empty_table(), "the data")
        self.plan: StreamPlan = plan_stream(stream, source, has_time=has_time)
        self.ignored: set[str] = set()

    @property
    def stream(self) -> Stream:
        """The stream with all its fields and its time."""
        return self.plan.stream

    @property
    def is_declared(self) -> bool:
        """Whether the rules say what fields the stream has: others are ignored."""
        return bool(self._declared)

    def read(self, data: Any) -> Converted:
        """The events, in the order in which they come. Raises DataError for other columns."""
        ignored = self.ignored if self._declared else None
        source = open_source(data, self._declared, self._label, ignored)
        chunks = source.read(None) if source.schema.names else iter(())
        parts = [self._converted(chunk) for chunk in chunks]
        return joined(parts, self.plan.schema)

    def _converted(self, chunk: Chunk) -> Converted:
        table = self._as_planned(chunk.table)
        return convert(self.plan, Chunk(table, chunk.broken))

    def _as_planned(self, table: pa.Table) -> pa.Table:
        """The columns of the plan, in its order; a field that no event has is NULL."""
        wanted = self.plan.schema
        if table.schema.names == wanted.names:
            return self._cast(table)
        extra = [name for name in table.schema.names if name not in wanted.names]
        if extra and not self._declared:
            near = did_you_mean(extra[0], wanted.names) or ";"
            message = f"{self._label}: a field {extra[0]!r} that the data before did not have{near}"
            raise DataError(f"{message} declare it in a `stream` statement, or give `schemas`")
        note_ignored(self.ignored, extra)
        missing = [name for name in wanted.names if name not in table.schema.names]
        if self.stream.time is not None and self.stream.time in missing:
            message = f"{self._label}: no column {self.stream.time!r}, the event time"
            unknown = frozenset(self.ignored)
            told = f"; {seen(self.stream.time, unknown)}" if unknown else ""
            raise DataError(message + told)
        for name in missing:
            nothing: Any = pa.nulls(table.num_rows, wanted.field(name).type)
            table = table.append_column(name, nothing)
        return self._cast(table.select(wanted.names))

    def _cast(self, table: pa.Table) -> pa.Table:
        """A field that nobody declared keeps the type that it had first.

        Declared ones are cast value by value later, where those that do not fit are set aside.
        """
        for place, field in enumerate(self.plan.schema):
            column = table.column(place)
            if field.name in self.plan.declared or column.type == field.type:
                continue
            try:
                cast: Any = column.cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                message = f"{self._label}: field {field.name!r} is {column.type}"
                hint = "declare its type in a `stream` statement"
                raise DataError(f"{message}, before it was {field.type}; {hint}") from error
            table = table.set_column(place, field.name, cast)
        return table


def schema_of_data(data: Any, stream: Stream) -> pa.Schema:
    """The columns that the data have."""
    return open_source(data, {f.name: f.type for f in stream.fields}).schema


def declared_schema(stream: Stream) -> pa.Schema:
    """The columns of a stream that declares them."""
    return pa.schema([(f.name, ARROW_TYPES[f.type]) for f in stream.fields])


def _only(schema: pa.Schema, declared: Mapping[str, DataType]) -> pa.Schema:
    """The declared fields: as the data have them, or as their type says."""
    fields = []
    for name, type_ in declared.items():
        found = schema.field(name).type if name in schema.names else ARROW_TYPES[type_]
        fields.append(pa.field(name, found))
    return pa.schema(fields)
