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
from cep.engine.io.mixed import written
from cep.engine.io.objects import as_dicts, plain
from cep.engine.io.source import (
    ROWS_PER_BATCH,
    Chunk,
    Source,
    is_mostly_null,
    once_source,
    table_source,
)
from cep.engine.io.unfit import (
    DEPTH_MAX,
    UnfitError,
    is_too_deep,
    nested_rows,
    shown,
    with_article,
)
from cep.engine.results import ErrorBatch

Row = Mapping[str, Any]
IGNORED_NAMES_MAX = 100
IGNORED_NAME_LENGTH = 100


def dicts_source(
    rows: Iterable[Any],
    declared: Mapping[str, DataType],
    label: str,
    ignored: set[str] | None = None,
) -> Source:
    """A list or tuple is in memory; a generator is read once and never held whole.

    `ignored`: where it is given only declared fields are read, and names of others are put there.
    """
    if isinstance(rows, Sequence):
        chunk = chunk_of_dicts(rows, declared, label, ignored)
        return table_source(chunk.table, label, chunk.broken)
    iterator = iter(rows)
    first = chunk_of_dicts(list(islice(iterator, ROWS_PER_BATCH)), declared, label, ignored)
    schema = first.table.schema

    def chunks() -> Iterator[Chunk]:
        yield first
        read = first.table.num_rows
        while more := list(islice(iterator, ROWS_PER_BATCH)):
            table, broken = chunk_of_dicts(more, declared, label, ignored)
            where = f"{label}, rows from {read:,} on"
            yield Chunk(as_schema(table, schema, declared, where), broken)
            read += len(more)

    return once_source(schema, chunks(), label)


def chunk_of_dicts(
    rows: Sequence[Any],
    declared: Mapping[str, DataType],
    label: str,
    ignored: set[str] | None = None,
) -> Chunk:
    """Columns in the order in which their names are first seen; an absent field is NULL.

    A row that has in a declared field what no field can hold (a list, text that is no UTF-8) is set
    aside. `ignored`: see `dicts_source`. Raises DataError for what is no row, for a row without
    fields, and for such values in other fields.
    """
    rows = as_dicts(rows)
    names = _names(rows, declared, label)
    if ignored is not None:
        note_ignored(ignored, (name for name in names if name not in declared))
        names = [name for name in names if name in declared]
    if rows and not names:
        known = f" of {', '.join(declared)}" if declared else ""
        raise DataError(f"{label}: row 0 has no field{known}")
    if is_mostly_null(len(names), len(rows), sum(map(len, rows))):
        hint = "declare those to be read in a `stream` statement"
        raise DataError(f"{label}: {len(names):,} field names, most rows have few of them; {hint}")
    columns: dict[str, Any] = {}
    unfit: dict[int, str] = {}
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            columns[name] = column_of_values(values, name, declared.get(name), label)
        except UnfitError as error:
            unfit |= dict.fromkeys([row for row in error.rows if row not in unfit], name)
    if not unfit:
        return Chunk(pa.table(columns))
    good = [row for number, row in enumerate(rows) if number not in unfit]
    rest = chunk_of_dicts(good, declared, label, ignored)
    return Chunk(rest.table, [*_set_aside(rows, unfit, names, declared), *rest.broken])


def table_of_dicts(rows: Sequence[Any], declared: Mapping[str, DataType], label: str) -> pa.Table:
    """As `chunk_of_dicts`, but with a row for each: what fits no field is text, as it is shown."""
    rows = as_dicts(rows)
    names = _names(rows, declared, label)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return pa.table(
        {n: _column_as_shown(values, n, declared.get(n), label) for n, values in columns.items()}
    )


def _column_as_shown(values: list[Any], name: str, declared: DataType | None, label: str) -> Any:
    try:
        return column_of_values(values, name, declared, label)
    except UnfitError as error:
        unfit = set(error.rows)
    texts = [shown(value) if row in unfit else value for row, value in enumerate(values)]
    return _column_as_shown(texts, name, declared, label)


def note_ignored(ignored: set[str], names: Iterable[str]) -> None:
    """Remember some of the names: events may have any, and ever others."""
    for name in names:
        if len(ignored) >= IGNORED_NAMES_MAX:
            return
        known = name[:IGNORED_NAME_LENGTH].encode("utf-8", "backslashreplace")
        ignored.add(known.decode())


def _names(rows: Sequence[Any], declared: Mapping[str, DataType], label: str) -> list[str]:
    """All fields that rows have; those that are declared where there are no rows."""
    names: dict[str, None] = dict.fromkeys(declared) if not rows else {}
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            found = f"{label}: row {number} is {type(row).__name__} {shown(row)}"
            raise DataError(f"{found}, not a dict or an object with fields")
        if row.keys() != names.keys():
            names.update(dict.fromkeys(row))
    strange: Any = next((name for name in names if not isinstance(name, str)), None)
    if strange is not None:
        kind = type(strange).__name__
        raise DataError(f"{label}: the field name {shown(strange)} is {kind}, not text")
    return list(names)


def _set_aside(
    rows: Sequence[Row],
    unfit: Mapping[int, str],
    names: Iterable[str],
    declared: Mapping[str, DataType],
) -> Iterator[ErrorBatch]:
    """The rows with a value that fits no field, by the field that it is in, as texts."""
    for name in dict.fromkeys(unfit.values()):
        bad = [rows[number] for number, field in unfit.items() if field == name]
        texts = {n: [shown(row[n]) if n in row else None for row in bad] for n in names}
        columns = {n: pa.array(column, pa.string()) for n, column in texts.items()}
        reason = f"{name} is not {with_article(declared[name])}"
        yield ErrorBatch(reason, pa.table(columns), values=columns[name])


def column_of_values(values: list[Any], name: str, declared: DataType | None, label: str) -> Any:
    """The values as Arrow infers them; mixed ones of a declared field as text, cast later.

    Raises UnfitError for values of a declared field that are no plain ones, DataError for those of
    another field that are no column.
    """
    if nested := nested_rows(values):
        if declared is not None:
            raise UnfitError(nested)
        if is_too_deep(values):
            raise DataError(f"{label}: field {name!r} is nested more than {DEPTH_MAX} deep")
    try:
        array = _array(values)
        is_bytes = pa.types.is_binary(array.type)  # also of texts with bytes among them
        if is_bytes and declared is not None:
            return pa.array(written(values, declared), pa.string())
        return array
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        if declared is not None:
            return pa.array(written(values, declared), pa.string())
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
