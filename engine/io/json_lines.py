"""JSON Lines -> `Source`, block by block; a line that is no JSON object goes to the errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.io.dicts import as_schema, chunk_of_dicts
from cep.engine.io.json_columns import columns_of_lines
from cep.engine.io.source import COLUMNS_FEW, Access, Chunk, Source, is_mostly_null, once_source
from cep.engine.io.unfit import DEPTH_MAX, is_too_deep
from cep.engine.results import ErrorBatch

BLOCK_BYTES = 1 << 23
FIRST_BYTES = 1 << 16  # from which it is told what fields there are


def json_lines_source(files: Sequence[str], label: str, declared: Mapping[str, DataType]) -> Source:
    """Types are those of the first block; declared fields keep what is written for a later cast."""
    first = next(_file_chunks(files[0], None, declared), None)
    schema = pa.schema([]) if first is None else first.table.schema

    def read(columns: Sequence[str] | None) -> Iterator[Chunk]:
        for file in files:
            for chunk in _file_chunks(file, schema, declared):
                yield chunk if columns is None else Chunk(chunk.table.select(list(columns)))

    return Source(label, schema, Access.FILE, read)


def json_stream_source(stream: BinaryIO, declared: Mapping[str, DataType], label: str) -> Source:
    """JSON Lines from a pipe: read once."""
    chunks = _chunks(stream, None, declared, label)
    first = next(chunks, None)
    if first is None:
        return once_source(pa.schema([]), (), label)

    def all_chunks() -> Iterator[Chunk]:
        yield first
        yield from chunks

    return once_source(first.table.schema, all_chunks(), label)


def _file_chunks(
    file: str, schema: pa.Schema | None, declared: Mapping[str, DataType]
) -> Iterator[Chunk]:
    try:
        with pa.input_stream(file, compression="detect") as stream:
            yield from _chunks(stream, schema, declared, file)
    except (pa.ArrowException, OSError) as error:
        text = str(error).partition("\n")[0]
        raise DataError(f"{file}: cannot be read as JSON lines: {text}") from error


def _chunks(
    stream: Any, schema: pa.Schema | None, declared: Mapping[str, DataType], label: str
) -> Iterator[Chunk]:
    line = 1
    for block in _whole_lines(stream):
        chunk = parse_lines(block, schema, declared, label, line)
        schema = chunk.table.schema if schema is None else schema
        yield chunk
        line += block.count(b"\n")


def _whole_lines(stream: Any) -> Iterator[bytes]:
    """Blocks of about BLOCK_BYTES that end where a line ends."""
    rest = b""
    while data := stream.read(BLOCK_BYTES):
        data = rest + data
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if end:
            yield data[:end]
    if rest.strip():
        yield rest


def parse_lines(
    block: bytes,
    schema: pa.Schema | None,
    declared: Mapping[str, DataType],
    label: str,
    line: int,
) -> Chunk:
    """Whole lines, the first of which is number `line` of the input. `schema`: of the rows before.

    Raises DataError for what is no JSON lines at all and for fields that the rows before lacked.
    """
    if line == 1 and block.lstrip()[:1] == b"[":
        message = f"{label}: holds a JSON array; write one object per line (JSON lines)"
        raise DataError(message)
    return _parse(block, schema, declared, label, line)


def _parse(
    block: bytes,
    schema: pa.Schema | None,
    declared: Mapping[str, DataType],
    label: str,
    line: int,
) -> Chunk:
    """Arrow's reader where it accepts the block, else line by line to find what is wrong."""
    where = f"{label}, lines from {line:,} on"
    if not block.strip():
        return Chunk((schema or pa.schema([])).empty_table())
    broken: list[ErrorBatch] = []
    table = _columns(block, schema)
    if table is None:
        rows, broken = _parse_lines(block, line, label)
        if line == 1 and not rows:
            first = broken[0].events.column("row")[0].as_py()
            raise DataError(f"{label}: not JSON lines, no line is an object; {first}") from None
        table, unfit = chunk_of_dicts(rows, declared, where)
        broken += unfit
    return Chunk(table if schema is None else as_schema(table, schema, declared, where), broken)


def _columns(block: bytes, schema: pa.Schema | None) -> pa.Table | None:
    """By Arrow's reader, None where it does not accept the block.

    Without a `schema` the first lines say what fields there are: others may be ever new, and each
    would be a column of all rows.
    """
    if schema is None:
        begin = block[: block.rfind(b"\n", 0, FIRST_BYTES) + 1] or block
        table = columns_of_lines(begin, None, has_blanks=True)
        if table is None or len(begin) == len(block):
            return table
        schema = table.schema
    columns = len(schema.names)
    if columns > COLUMNS_FEW and is_mostly_null(columns, block.count(b"\n"), block.count(b":")):
        return None
    return columns_of_lines(block, schema, "error", has_blanks=True)


def _parse_lines(block: bytes, line: int, label: str) -> tuple[list[Any], list[ErrorBatch]]:
    rows, bad = [], []
    for number, text in enumerate(block.splitlines(), line):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            bad.append(f"line {number}: {error}: {text.decode('utf-8', 'replace'):.200}")
            continue
        if not isinstance(row, dict):
            bad.append(f"line {number}: not an object: {text.decode('utf-8', 'replace'):.200}")
        elif is_too_deep(list(row.values())):
            what = f"nested more than {DEPTH_MAX} deep"
            bad.append(f"line {number}: {what}: {text.decode('utf-8', 'replace'):.200}")
        else:
            rows.append(row)
    if not bad:
        return rows, []
    table = pa.table({"row": pa.array(bad, pa.string())})
    return rows, [ErrorBatch(f"broken line in {label}", table)]
