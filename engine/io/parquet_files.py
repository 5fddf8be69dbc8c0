"""Parquet files -> `Source`, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from cep.engine.algebra.errors import DataError
from cep.engine.io.source import ROWS_PER_BATCH, Access, Chunk, Source


def parquet_source(files: Sequence[str], label: str) -> Source:
    """One source over files of the same schema; only a batch is in memory at a time."""
    schema, rows = None, 0
    for file in files:
        try:
            with pq.ParquetFile(file) as opened:
                found = opened.schema_arrow.remove_metadata()
                rows += opened.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(file, error) from error
        check_same_columns(file, found, schema, files[0])
        schema = found
    assert schema is not None, "a source has at least one file"

    def read(columns: Sequence[str] | None) -> Iterator[Chunk]:
        for file in files:
            yield from _read_file(file, columns)

    return Source(label, schema, Access.FILE, read, rows)


def check_same_columns(file: str, found: pa.Schema, schema: pa.Schema | None, of: str) -> None:
    """DataError where a file has other columns than `schema`, which is that of `of`."""
    if schema is not None and not schema.equals(found):
        raise DataError(f"{file}: other columns than {of}: {_difference(schema, found)}")


def rows_from(file: str, first: int, schema: pa.Schema | None, rows: int) -> Iterator[pa.Table]:
    """The rows of a file from number `first` on, `rows` at a time; row groups before are not read.

    `schema`: of the files before this one, None for the first. DataError as for `parquet_source`.
    """
    try:
        with pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as opened:
            found = opened.schema_arrow.remove_metadata()
            check_same_columns(file, found, schema, "the files before it")
            group, skipped = _group_of(opened.metadata, first)
            groups = list(range(group, opened.num_row_groups))
            for batch in opened.iter_batches(rows, row_groups=groups):
                part = batch.slice(max(first - skipped, 0))
                skipped += batch.num_rows
                if part.num_rows:
                    yield pa.Table.from_batches([part]).replace_schema_metadata()
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def _group_of(metadata: pq.FileMetaData, row: int) -> tuple[int, int]:
    """(the row group with that row, the rows before the group)."""
    before = 0
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).num_rows
        if before + size > row:
            return group, before
        before += size
    return metadata.num_row_groups, before


def _read_file(file: str, columns: Sequence[str] | None) -> Iterator[Chunk]:
    wanted = None if columns is None else list(columns)
    try:
        # A buffer size makes the reader fetch pages as it goes, not whole column chunks; without
        # `pre_buffer=False` it would hold on to every row group that it has passed.
        with pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as opened:
            for batch in opened.iter_batches(ROWS_PER_BATCH, columns=wanted):
                yield Chunk(pa.Table.from_batches([batch]).replace_schema_metadata())
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: str, error: Exception) -> DataError:
    return DataError(f"{file}: cannot be read as Parquet: {str(error).partition(chr(10))[0]}")


def _difference(one: pa.Schema, other: pa.Schema) -> str:
    for name in one.names:
        if name not in other.names:
            return f"it has no {name!r}"
        if one.field(name).type != other.field(name).type:
            return f"{name!r} is {other.field(name).type}, not {one.field(name).type}"
    return f"it also has {', '.join(repr(n) for n in other.names if n not in one.names) or 'order'}"
