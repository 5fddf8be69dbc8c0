"""Python dicts and objects -> `Source`: a list at once, any other iterable in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from typing import Any
from uuid import UUID

import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.io.objects import as_dicts, plain
from cep.engine.io.source import ROWS_PER_BATCH, Chunk, Source, once_source, table_source

Row = Mapping[str, Any]


def dicts_source(rows: Iterable[Any], declared: Mapping[str, DataType], label: str) -> Source:
    """A list or tuple is in memory; a generator is read once and never held whole."""
    if isinstance(rows, Sequence):
        return table_source(table_of_dicts(rows, declared, label), label)
    iterator = iter(rows)
    first = table_of_dicts(list(islice(iterator, ROWS_PER_BATCH)), declared, label)

    def chunks() -> Iterator[Chunk]:
        yield Chunk(first)
        read = first.num_rows
        while more := list(islice(iterator, ROWS_PER_BATCH)):
            table = table_of_dicts(more, declared, label)
            yield Chunk(as_schema(table, first.schema, declared, f"{label}, rows from {read:,} on"))
            read += len(more)

    return once_source(first.schema, chunks(), label)


def table_of_dicts(rows: Sequence[Any], declared: Mapping[str, DataType], label: str) -> pa.Table:
    """Columns in the order in which their names are first seen; an absent field is NULL."""
    rows = as_dicts(rows)
    names: dict[str, None] = dict.fromkeys(declared) if not rows else {}
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            found = f"{label}: row {number} is {type(row).__name__} {row!r:.60}"
            raise DataError(f"{found}, not a dict or an object with fields")
        if row.keys() != names.keys():
            names.update(dict.fromkeys(row))
    columns = {}
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"{label}: the field name {name!r} is {type(name).__name__}, not text")
        columns[name] = column_of_values(
            [row.get(name) for row in rows], name, name in declared, label
        )
    return pa.table(columns)


def column_of_values(values: list[Any], name: str, is_declared: bool, label: str) -> Any:
    """The values as Arrow infers them; mixed ones of a declared field as text, cast later."""
    try:
        return _array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        values = [plain(value) for value in values]
        if is_declared:
            return pa.array([None if v is None else _as_text(v) for v in values], pa.string())
        raise DataError(_mixed(values, name, label)) from error


def _array(values: list[Any]) -> Any:
    """What `plain` changes is looked for only where Arrow makes no plain column."""
    try:
        array: Any = pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        if not any(isinstance(value, Enum | UUID | str) for value in values):
            raise
    else:
        if not isinstance(array.type, pa.BaseExtensionType):
            return array
    return pa.array([plain(value) for value in values])


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _mixed(values: list[Any], name: str, label: str) -> str:
    first: dict[str, int] = {}
    for number, value in enumerate(values):
        if value is not None:
            first.setdefault(type(value).__name__, number)
    seen = ", ".join(f"{kind} in row {number}" for kind, number in first.items())
    return (
        f"{label}: field {name!r} cannot become a column ({seen}); declare its type in a `stream` "
        "statement and rows that do not fit are set aside"
    )


def as_schema(
    table: pa.Table, schema: pa.Schema, declared: Mapping[str, DataType], where: str
) -> pa.Table:
    """A later chunk with the columns of the first one; DataError for what they cannot hold.

    A declared column keeps the type it has: it is cast, value by value, where errors are counted.
    """
    extra = [name for name in table.schema.names if name not in schema.names]
    if extra:
        message = f"{where}: a field {extra[0]!r} that the rows before did not have"
        raise DataError(f"{message}; declare it in a `stream` statement")
    columns = {}
    for field in schema:
        if field.name not in table.schema.names:
            columns[field.name] = pa.nulls(table.num_rows, field.type)
            continue
        column = table.column(field.name)
        try:
            columns[field.name] = column if field.name in declared else column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            message = f"{where}: field {field.name!r} is {column.type}, before it was {field.type}"
            raise DataError(f"{message}; declare its type in a `stream` statement") from error
    return pa.table(columns)
