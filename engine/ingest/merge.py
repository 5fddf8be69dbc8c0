"""Several streams, each in time order -> one sequence of batches in time order.

logins     |--1--3--|--8-- ...          a row may go out once every stream that goes on
transfers  |--2--------6--| ...         has been read up to a later time: here 1, 2 and 3
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.batch import EventBatch
from cep.engine.columns.data import data_type_of
from cep.engine.ingest.conform import plain_type
from cep.engine.ingest.feed import Ingested

END_OF_TIME = 2**63 - 1


def union_schema(schemas: Mapping[str, pa.Schema]) -> pa.Schema:
    """One column per field name of any stream. DataError where two streams mean two types by it."""
    types: dict[str, pa.DataType] = {}
    owner: dict[str, str] = {}
    for stream, schema in schemas.items():
        for column in schema:
            known = types.setdefault(column.name, column.type)
            first = owner.setdefault(column.name, stream)
            if known != column.type:
                types[column.name] = _common(column.name, known, column.type, first, stream)
    return pa.schema(list(types.items()))


def _common(name: str, one: pa.DataType, two: pa.DataType, first: str, second: str) -> pa.DataType:
    """The wider of two Arrow types of the same data type."""
    if pa.types.is_null(one) or pa.types.is_null(two):
        return two if pa.types.is_null(one) else one
    if data_type_of(one) is not None and data_type_of(one) is data_type_of(two):
        schemas = [pa.schema([(name, plain_type(t))]) for t in (one, two)]
        try:
            merged: pa.DataType = (
                pa.unify_schemas(schemas, promote_options="permissive").field(0).type
            )
            return merged
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            pass  # such as timestamps with and without a zone
    message = (
        f"field {name!r} is {one} in stream {first!r} and {two} in stream {second!r}: "
        "declare it with the same type in both, or rename it in one"
    )
    raise DataError(message)


def as_union(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns of the union, NULL where it has no such column."""
    columns = []
    for column in schema:
        if column.name not in table.schema.names:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, column.type)]))
        else:
            values = table.column(column.name)
            columns.append(values if values.type == column.type else values.cast(column.type))
    return pa.Table.from_arrays(columns, schema=schema)


@dataclass(slots=True)
class _Buffer:
    """What has been read of one stream and not yet handed out."""

    stream: int
    steps: Iterator[Ingested]
    batch: EventBatch
    has_more: bool = True

    @property
    def safe_us(self) -> int:
        """Every event of the stream before this time is in the buffer."""
        if not self.has_more:
            return END_OF_TIME
        return int(self.batch.time_us[-1]) if len(self.batch) else -END_OF_TIME

    def extend(self, batch: EventBatch, schema: pa.Schema) -> None:
        if len(batch) == 0:
            return
        table = as_union(batch.table, schema)
        if len(self.batch) == 0:
            self.batch = EventBatch(table, batch.time_us)
            return
        times = np.concatenate([self.batch.time_us, batch.time_us])
        self.batch = EventBatch(pa.concat_tables([self.batch.table, table]), times)

    def split(self, before_us: int) -> EventBatch:
        """Remove and return the events before that time."""
        size = int(np.searchsorted(self.batch.time_us, before_us, side="left"))
        taken = self.batch.slice(0, size)
        self.batch = self.batch.slice(size, len(self.batch))
        return taken


def merge(lanes: Sequence[Iterator[Ingested]], schema: pa.Schema) -> Iterator[Ingested]:
    """Merge by time, on equal times in the order of `lanes`; holds a batch or two per stream."""
    nothing = EventBatch(schema.empty_table(), np.zeros(0, np.int64))
    buffers = [_Buffer(stream, steps, nothing) for stream, steps in enumerate(lanes)]
    while any(buffer.has_more or len(buffer.batch) for buffer in buffers):
        slowest = min(buffers, key=lambda buffer: buffer.safe_us)
        step = next(slowest.steps, None) if slowest.has_more else None
        if step is None:
            slowest.has_more = False
        else:
            slowest.extend(step.batch, schema)
        ready = _merged(buffers, min(buffer.safe_us for buffer in buffers), schema)
        errors, rows = ([], 0) if step is None else (step.errors, step.rows)
        if len(ready) or errors or rows:
            yield Ingested(ready, errors, rows)


def _merged(buffers: Sequence[_Buffer], before_us: int, schema: pa.Schema) -> EventBatch:
    parts = [(buffer.stream, buffer.split(before_us)) for buffer in buffers]
    times = np.concatenate([part.time_us for _, part in parts])
    streams = np.repeat(
        np.array([stream for stream, _ in parts], np.int16), [len(part) for _, part in parts]
    )
    table = pa.concat_tables([part.table for _, part in parts])
    if sum(len(part) > 0 for _, part in parts) > 1:
        order = np.argsort(times, kind="stable")
        table = table.unify_dictionaries().take(order)
        times, streams = times[order], streams[order]
    return EventBatch(table, times, streams)
