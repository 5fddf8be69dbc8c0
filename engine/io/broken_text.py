"""Columns of others' making (files, tables) -> the same without rows whose text is no UTF-8.

Arrow's readers and other programs hand out whatever bytes there are; Python could not read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.batch import Bools, Int64s
from cep.engine.ingest.event_time import is_text
from cep.engine.io.source import Chunk, Source
from cep.engine.results import ErrorBatch


def checked(source: Source, declared: Mapping[str, DataType]) -> Source:
    """A source without such rows. See `without_broken_text`."""

    def read(columns: Sequence[str] | None) -> Iterator[Chunk]:
        for chunk in source.read(columns):
            yield without_broken_text(chunk, declared, source.label)

    return replace(source, read=read)


def without_broken_text(chunk: Chunk, declared: Mapping[str, DataType], label: str) -> Chunk:
    """Rows with broken text in a declared field are set aside, which costs a pass over all text.

    Raises DataError for such text in another field.
    """
    broken = [name for name in chunk.table.schema.names if _is_broken(chunk.table, name, label)]
    if not broken:
        return chunk
    for name in broken:
        if name not in declared:
            hint = "declare it in a `stream` statement and such rows are set aside"
            raise DataError(f"{label}: column {name!r} is not UTF-8 text; {hint}")
    table = shown = chunk.table
    found: list[tuple[str, Int64s]] = []
    taken = np.zeros(table.num_rows, np.bool_)
    for name in broken:
        texts, is_bad = _as_shown(table.column(name))
        shown = shown.set_column(table.schema.names.index(name), name, texts)
        found.append((name, np.flatnonzero(is_bad & ~taken)))
        taken |= is_bad
    errors = [_set_aside(shown.take(rows), name) for name, rows in found]
    return Chunk(table.filter(pa.array(~taken)), [*chunk.broken, *errors])


def _is_broken(table: pa.Table, name: str, label: str) -> bool:
    column = table.column(name)
    type_: Any = column.type
    if not is_text(type_.value_type if pa.types.is_dictionary(type_) else type_):
        return False
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            return True
        raise DataError(f"{label}: column {name!r} is damaged: {error}") from error
    return False


def _as_shown(column: Any) -> tuple[Any, Bools]:
    """(the texts with escapes for bytes that are none, where those are)."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    is_large = pa.types.is_large_string(column.type)
    type_ = pa.large_binary() if is_large else pa.binary()
    values = [value for part in column.chunks for value in part.view(type_).to_pylist()]
    texts = [None if v is None else v.decode("utf-8", "backslashreplace") for v in values]
    pairs = zip(values, texts, strict=True)
    is_bad = np.array([text is not None and text.encode() != value for value, text in pairs])
    return pa.array(texts, column.type), is_bad


def _set_aside(events: pa.Table, name: str) -> ErrorBatch:
    values = events.column(name).cast(pa.string()).combine_chunks()
    return ErrorBatch(f"{name} is not text", events, values=values)
