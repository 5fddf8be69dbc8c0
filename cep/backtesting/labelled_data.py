"""Data with labels -> the labelled stream's rows, numbered, and what is true of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cep.backtesting.checks import known_name
from cep.backtesting.found import ROW
from cep.backtesting.labels import LabelOptions, Labels
from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Stream
from cep.engine.batch import Int64s
from cep.engine.ingest.event_time import read_times
from cep.engine.ingest.feed import plan_stream
from cep.engine.io.readers import open_source
from cep.engine.io.source import Source, table_source
from cep.results.values import counted
from cep.rules import Rules


@dataclass(frozen=True, slots=True)
class LabelledData:
    """A labelled stream with its rows as they were given, and all data to run over.

    In `data` the labelled stream has the number of each row beside its columns: undeclared columns
    stay with the events that matches take, and so does this one.
    """

    stream: Stream
    table: pa.Table
    labels: Labels
    data: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, rules: Rules, data: Any, options: LabelOptions, name: str | None) -> LabelledData:
        """Raises DataError, see `cep.backtest`."""
        given, tables = rules.by_name(data)
        streams = {stream.name: stream for stream in rules.base_streams}
        if name is not None:
            known_name("stream: the rules read no stream", name, streams)
        elif len(streams) == 1:
            name = next(iter(streams))
        else:
            name = _labelled(given, streams, options)
        table, notes = _read(_open(given[name], streams[name]))
        stream = plan_stream(streams[name], table_source(table, "the data")).stream
        labels = options.read(table, _times(table, stream), stream.time_unit)
        numbered = _numbered(table, streams[name], stream)
        return cls(stream, table, labels, {**given, **tables, name: numbered}, notes)


def _labelled(
    given: Mapping[str, Any], streams: Mapping[str, Stream], options: LabelOptions
) -> str:
    """Which stream is labelled: the one that has all the columns that the labels are about."""
    wanted = options.columns
    fitting = [
        name
        for name, stream in streams.items()
        if not isinstance(given[name], Iterator)  # to look at it would be to read it
        and wanted <= set(_open(given[name], stream).schema.names)
    ]
    if len(fitting) != 1:
        which = f"{len(fitting)} streams have" if fitting else "no stream has"
        columns = f"the columns {', '.join(sorted(wanted))}"
        message = f"which stream is labelled? {which} {columns}"
        raise DataError(f"{message}; say it: stream=..., one of {', '.join(streams)}")
    return fitting[0]


def _open(data: Any, stream: Stream) -> Source:
    return open_source(data, {f.name: f.type for f in stream.fields})


def _read(source: Source) -> tuple[pa.Table, tuple[str, ...]]:
    chunks = list(source.read(None))
    broken = sum(len(error) for chunk in chunks for error in chunk.broken)
    tables = [chunk.table for chunk in chunks] or [source.schema.empty_table()]
    notes = (f"{source.label}: {counted(broken, 'row')} could not be read",) if broken else ()
    return pa.concat_tables(tables), notes


def _times(table: pa.Table, stream: Stream) -> Int64s:
    """(n,) event times. Raises DataError for a row without one: what it counts for is unclear."""
    if stream.time is None:
        raise DataError("the labelled data have no columns")
    times = read_times(table.column(stream.time), stream.time, stream.time_unit)
    if times.bad:
        reason, rows = times.bad[0]
        raise DataError(f"the labelled data, row {int(rows[0])}: {reason}; leave such rows out")
    return times.time_us


def _numbered(table: pa.Table, declared: Stream, full: Stream) -> pa.Table:
    """The rows with their numbers; of columns that the rules do not declare, and so do not read,
    none is dragged along.
    """
    if declared.fields:
        read = {full.time, full.tie_breaker, *full.partition}
        read |= {field.name for field in declared.fields}
        table = table.select([name for name in table.schema.names if name in read])
    numbers: Any = pa.array(np.arange(table.num_rows))
    return table.append_column(ROW, numbers)
