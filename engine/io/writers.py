"""Tables, one after the other -> a Parquet, CSV or JSON lines file (or a text stream).

A file appears under its name when it is complete; until then it is `NAME.partial`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from cep.engine.algebra.errors import DataError

FORMATS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".jsonl": "jsonl"}
FORMATS[".ndjson"] = "jsonl"


class Writer(Protocol):
    """Takes tables of one schema; `close` makes what was written complete."""

    def write(self, table: pa.Table) -> None: ...
    def close(self) -> None: ...


def format_of(path: str) -> str:
    """`parquet`, `csv` or `jsonl`, by the ending. DataError for any other."""
    ending = os.path.splitext(path.lower())[1]
    if ending not in FORMATS:
        known = ", ".join(FORMATS)
        raise DataError(f"{path}: cannot tell the format from {ending!r}; known are {known}")
    return FORMATS[ending]


@contextmanager
def open_writer(path: str, schema: pa.Schema, format_: str) -> Iterator[Writer]:
    """A writer for a new file; nothing is left behind under `path` where writing fails."""
    partial = f"{path}.partial"
    try:
        writer = file_writer(partial, schema, format_)
        try:
            yield writer
        finally:
            writer.close()
        os.replace(partial, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def file_writer(path: str, schema: pa.Schema, format_: str) -> Writer:
    """A writer for exactly this file, which is complete once it is closed."""
    if format_ == "parquet":
        return _ParquetWriter(path, schema)
    return TextWriter(open(path, "w", encoding="utf-8", newline=""), format_, closes=True)


class _ParquetWriter:
    """Collects small tables, so that a file has row groups of a useful size."""

    ROWS_PER_GROUP = 1 << 17

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema)
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def write(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= self.ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting, self._rows = [], 0

    def close(self) -> None:
        self._flush()
        self._writer.close()


class TextWriter:
    """CSV with a header, or JSON lines, to an open text stream."""

    def __init__(self, stream: TextIO, format_: str, *, closes: bool = False) -> None:
        self._stream = stream
        self._format = format_
        self._closes = closes
        self._has_header = False

    def write(self, table: pa.Table) -> None:
        if self._format == "jsonl":
            for row in table.to_pylist():
                self._stream.write(json_text(row) + "\n")
            return
        sink = pa.BufferOutputStream()
        options = pcsv.WriteOptions(include_header=not self._has_header)
        pcsv.write_csv(_flat(table), sink, options)
        self._has_header = True
        self._stream.write(sink.getvalue().to_pybytes().decode())

    def close(self) -> None:
        if self._closes:
            self._stream.close()


def _flat(table: pa.Table) -> pa.Table:
    """CSV has no nested values: they become JSON text. Nor has it NULL columns."""
    for place, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            values = [None if v is None else json_text(v) for v in table.column(place).to_pylist()]
            table = table.set_column(place, field.name, pa.array(values, pa.string()))
        elif pa.types.is_null(field.type) or pa.types.is_duration(field.type):
            type_ = pa.string() if pa.types.is_null(field.type) else pa.int64()
            table = table.set_column(place, field.name, table.column(place).cast(type_))
    return table


def json_text(value: Any) -> str:
    """JSON; times in ISO 8601, durations in seconds, null for NaN and infinity, which it lacks."""
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.total_seconds() if hasattr(value, "total_seconds") else str(value)
