"""What every input looks like to the engine: a schema and chunks of rows, read when asked for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import pyarrow as pa

from cep.engine.results import ErrorBatch

ROWS_PER_BATCH = 1 << 17
COLUMNS_FEW = 100  # which may all be NULL
CELLS_PER_VALUE = 16


class Access(Enum):
    """How often an input can be read."""

    MEMORY = "it is in memory already"
    FILE = "it can be read again"
    ONCE = "it is gone once it has been read"


class Chunk(NamedTuple):
    """Some rows in the order of the input, and the broken ones that were found among them."""

    table: pa.Table
    broken: Sequence[ErrorBatch] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """One input. `read(columns)` yields its rows, only those columns where some are named.

    `label` is what messages call it. `rows` is None where nobody knows before reading.
    """

    label: str
    schema: pa.Schema
    access: Access
    read: Callable[[Sequence[str] | None], Iterator[Chunk]]
    rows: int | None = None


def table_source(table: pa.Table, label: str, broken: Sequence[ErrorBatch] = ()) -> Source:
    """A table in memory: one chunk, nothing copied."""

    def read(columns: Sequence[str] | None) -> Iterator[Chunk]:
        yield Chunk(table if columns is None else table.select(list(columns)), broken)

    return Source(label, table.schema, Access.MEMORY, read, table.num_rows)


def once_source(schema: pa.Schema, chunks: Iterable[Chunk], label: str) -> Source:
    """An input that can be read a single time; chunks hold all columns."""

    def read(columns: Sequence[str] | None) -> Iterator[Chunk]:
        assert columns is None, "an input that is read once is read whole"
        yield from chunks

    return Source(label, schema, Access.ONCE, read)


def is_mostly_null(columns: int, rows: int, values: int) -> bool:
    """Whether a table with so many values would be many times as large as they are.

    Rows with ever new fields would make it so: each is a column of all rows.
    """
    return columns > COLUMNS_FEW and columns * rows > CELLS_PER_VALUE * values


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
