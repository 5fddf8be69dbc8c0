"""NDJSON of anybody's making -> columns, with the lines that are no events told apart.

Arrow's reader makes columns of a body at once. It is told the fields, since it would make a column
of every name that it meets. Whatever it does not take is read line by line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pydantic_core import from_json

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.batch import Int64s
from cep.engine.io.dicts import table_of_dicts
from cep.engine.io.json_columns import columns_of_lines

pc: Any = pyarrow.compute
FIELDS_MAX = 1_000  # of a stream that declares none
BROKEN_SHOWN = 100
NAMES_KEPT = 100
NAME_SHOWN = 100


class MalformedError(DataError):
    """A body that is no JSON object at all."""


@dataclass(slots=True)
class UnknownFields:
    """Names of fields that no rule knows; the first hundred, so that nobody can fill memory."""

    names: set[str] = field(default_factory=set)

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            if len(self.names) >= NAMES_KEPT:
                return
            self.names.add(f"{name:.{NAME_SHOWN}}")


@dataclass(slots=True)
class Lines:
    """The events of a body. `numbers`, shape (rows,): the line of each event, from 1.

    `ids`: what each event has in the field that was asked for, as it was written.
    `broken`: what is wrong with the lines that are no events, the first hundred of `broken_count`.
    """

    table: pa.Table
    numbers: Int64s
    ids: list[Any] = field(default_factory=list)
    broken: list[dict[str, Any]] = field(default_factory=list)
    broken_count: int = 0

    def refuse(self, line: int, reason: str) -> None:
        """Say that a line is no event."""
        self.broken_count += 1
        if len(self.broken) < BROKEN_SHOWN:
            self.broken.append({"line": line, "reason": reason})

    def part(self, begin: int, end: int) -> Lines:
        """Some of the events, by their rows; none of its lines is broken."""
        some = slice(begin, end)
        return Lines(self.table.slice(begin, end - begin), self.numbers[some], self.ids[some])

    def add_broken(self, part: Lines) -> None:
        """Those lines of a part of it that were no events after all."""
        self.broken += part.broken[: BROKEN_SHOWN - len(self.broken)]
        self.broken_count += part.broken_count

    def refuse_all(self) -> DataError:
        """What to raise where none of the lines is an event."""
        first = self.broken[0] if self.broken else {"line": 1, "reason": "it is empty"}
        message = f"line {first['line']}: {first['reason']}"
        return DataError(f"no line of the body is an event; {message}")


def read_lines(
    body: bytes,
    declared: Mapping[str, DataType],
    unknown: UnknownFields,
    id_field: str | None = None,
) -> Lines:
    """One JSON object per line; empty lines count, but are none.

    With `declared` fields the table has these alone, with the types that Arrow finds for what is
    written. Raises DataError for a body with no event in it, and for more field names than can be.
    """
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n")
    table = _columns(body, declared, unknown) if declared else None
    if table is not None:
        ids = [] if id_field is None else table.column(id_field).to_pylist()
        return Lines(table, np.arange(1, table.num_rows + 1), ids)
    found = _line_by_line(body, declared, unknown, id_field)
    if not found.table.num_rows:
        raise found.refuse_all()
    return found


# -- all at once -----------------------------------------------------------------------------------


def _columns(
    body: bytes, declared: Mapping[str, DataType], unknown: UnknownFields
) -> pa.Table | None:
    """What Arrow makes of it; None where each line has to be looked at."""
    schema = _schema_like(body[: body.find(b"\n") % (len(body) + 1)], declared, unknown)
    table = None if schema is None else columns_of_lines(body, schema, "ignore")
    return table if table is not None and _is_json(table) else None


def _schema_like(
    line: bytes, declared: Mapping[str, DataType], unknown: UnknownFields
) -> pa.Schema | None:
    """Types by which the values of the first line are kept as they are written."""
    try:
        row = from_json(line, allow_inf_nan=False)
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    unknown.add(name for name in row if name not in declared)
    types = {name: _type_of(row.get(name), type_) for name, type_ in declared.items()}
    return None if None in types.values() else pa.schema(types)  # type: ignore[arg-type]


_WHERE_MISSING: dict[DataType, pa.DataType] = {
    DataType.BOOLEAN: pa.bool_(),
    DataType.INTEGER: pa.int64(),
    DataType.FLOAT: pa.float64(),
}


def _type_of(value: Any, declared: DataType) -> pa.DataType | None:
    match value:
        case None:
            return _WHERE_MISSING.get(declared, pa.string())
        case bool():
            return pa.bool_()
        case str():
            return pa.string()
        case int() if declared is not DataType.FLOAT:
            return pa.int64()
        case int() | float() if declared is DataType.FLOAT:
            return pa.float64()
    return None  # a float where whole numbers may follow, a list, an object


def _is_json(table: pa.Table) -> bool:
    """Arrow takes NaN and Infinity for numbers, which JSON has not."""
    floats = (column for column in table.columns if pa.types.is_floating(column.type))
    return all(pc.all(pc.is_finite(column)).as_py() is not False for column in floats)


# -- line by line ----------------------------------------------------------------------------------


def _line_by_line(
    body: bytes, declared: Mapping[str, DataType], unknown: UnknownFields, id_field: str | None
) -> Lines:
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    found = Lines(pa.table({}), np.empty(0, np.int64))
    for number, text in enumerate(body.split(b"\n"), 1):
        if not text.strip():
            continue
        try:
            row = event_of(text, declared, unknown)
        except DataError as error:
            found.refuse(number, str(error))
            continue
        rows.append(row)
        numbers.append(number)
    _check_names(rows)
    found.table = table_of_dicts(rows, declared, "the body") if rows else found.table
    found.numbers = np.array(numbers, np.int64)
    found.ids = [] if id_field is None else [row.get(id_field) for row in rows]
    return found


def event_of(
    text: bytes, declared: Mapping[str, DataType], unknown: UnknownFields
) -> dict[str, Any]:
    """One event: a JSON object with some field that is known. Raises DataError for what is none.

    With `declared` fields it has no others.
    """
    try:
        row = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedError(f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise MalformedError(f"an event is a JSON object, this is {_kind(row)}: {text[:60]!r}")
    if declared and not row.keys() <= declared.keys():
        unknown.add(name for name in row if name not in declared)
        row = {name: value for name, value in row.items() if name in declared}
    if not row:
        known = f"; the stream has {', '.join(declared):.200}" if declared else ""
        raise DataError(f"the event has no field that is known{known}")
    return row


_KINDS = {str: "a text", list: "a list", bool: "a truth value", type(None): "null"}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


def _check_names(rows: Sequence[Mapping[str, Any]]) -> None:
    names: set[str] = set()
    for row in rows:
        names.update(row)
        if len(names) > FIELDS_MAX:
            message = f"more than {FIELDS_MAX:,} field names in one body"
            raise DataError(f"{message}; declare the fields of the stream in the rules")
