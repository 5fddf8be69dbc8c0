"""CSV files -> `Source`, block by block; rows with too many or too few cells go to the errors."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.io.broken_text import without_broken_text
from cep.engine.io.source import Access, Chunk, Source
from cep.engine.results import ErrorBatch

NULLS = ["", "NULL", "null", "NA", "N/A"]  # not NaN: that is a float
BLOCK_BYTES = 1 << 23
BROKEN_SHOWN = 1_000


def csv_source(files: Sequence[str], label: str, declared: Mapping[str, DataType]) -> Source:
    """Types are those declared, else what the first file's first block looks like."""
    opened, _ = _open(files[0], dict.fromkeys(declared, pa.string()), None)
    schema = opened.schema
    opened.close()
    types = {field.name: field.type for field in schema}

    def read(columns: Sequence[str] | None) -> Iterator[Chunk]:
        for file in files:
            yield from _read_file(file, types, columns)

    return Source(label, schema, Access.FILE, read)


def _open(
    file: str, types: Mapping[str, pa.DataType], columns: Sequence[str] | None
) -> tuple[Any, list[str]]:
    """(a streaming reader, the list to which it adds the broken rows that it meets)."""
    broken: list[str] = []
    try:
        stream: Any = pa.input_stream(file, compression="detect")
        reader = pcsv.open_csv(
            stream,
            read_options=pcsv.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=_parse_options(file, broken),
            convert_options=_convert_options(types, columns),
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, error) from error
    return reader, broken


def delimiter_of(file: str) -> str:
    """A tab for `.tsv` files, else a comma."""
    return "\t" if ".tsv" in file.lower() else ","


def _parse_options(file: str, broken: list[str]) -> pcsv.ParseOptions:
    def on_broken(row: Any) -> Any:
        broken.append(f"{row.actual_columns} cells for {row.expected_columns} columns: {row.text}")
        return "skip"

    return pcsv.ParseOptions(
        delimiter=delimiter_of(file), newlines_in_values=True, invalid_row_handler=on_broken
    )


def _convert_options(
    types: Mapping[str, pa.DataType], columns: Sequence[str] | None = None
) -> pcsv.ConvertOptions:
    return pcsv.ConvertOptions(
        column_types=dict(types),
        null_values=NULLS,
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        check_utf8=False,  # a row with other bytes costs itself alone, see `broken_text`
        include_columns=None if columns is None else list(columns),
    )


def parse_records(
    block: bytes,
    header: Sequence[str],
    schema: pa.Schema | None,
    declared: Mapping[str, DataType],
    file: str,
) -> tuple[Chunk, tuple[str, ...]]:
    """(rows of whole records, the file's header). `header` empty: it is the first record.

    Columns come in the order of `schema` (that of the rows before), else in that of the file, with
    the types that this block looks like, text where declared.
    """
    types: Mapping[str, pa.DataType] = dict.fromkeys(declared, pa.string())
    if schema is not None:
        types = {field.name: field.type for field in schema}
    broken: list[str] = []
    size, names = max(len(block), 1) + 1, list(header) or None
    try:
        table = pcsv.read_csv(
            io.BytesIO(block),
            pcsv.ReadOptions(use_threads=False, block_size=size, column_names=names),
            _parse_options(file, broken),
            _convert_options(types),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _unreadable(file, error) from error
    found = table.schema.names
    if schema is not None and found != schema.names:
        _check_header(file, found, schema.names)
        table = table.select(schema.names)
    chunk = Chunk(table, _take(broken, file))
    return without_broken_text(chunk, declared, file), tuple(found)


def _read_file(
    file: str, types: Mapping[str, pa.DataType], columns: Sequence[str] | None
) -> Iterator[Chunk]:
    reader, broken = _open(file, types, columns)
    wanted = list(types) if columns is None else list(columns)
    if reader.schema.names != wanted:
        _check_header(file, reader.schema.names, wanted)
    with reader:
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                break
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise _unreadable(file, error) from error
            yield Chunk(pa.Table.from_batches([batch]).select(wanted), _take(broken, file))
    if broken:
        empty = pa.schema([(name, types[name]) for name in wanted]).empty_table()
        yield Chunk(empty, _take(broken, file))


def _check_header(file: str, found: Sequence[str], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(f"{file}: no column {missing[0]!r}; it has {', '.join(found)}")


def _take(broken: list[str], file: str) -> list[ErrorBatch]:
    if not broken:
        return []
    taken, broken[:] = list(broken), []
    return [ErrorBatch(f"broken row in {file}", pa.table({"row": pa.array(taken, pa.string())}))]


def _unreadable(file: str, error: Exception) -> DataError:
    text = str(error).partition("\n")[0]
    hint = ""
    if "conversion error" in text:
        hint = "; declare the column's type in a `stream` statement and such rows are set aside"
    return DataError(f"{file}: cannot be read as CSV: {text}{hint}")
