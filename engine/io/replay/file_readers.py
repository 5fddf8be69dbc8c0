"""One file, from where reading stopped -> its rows in parts, each with how far that is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.io.csv_files import delimiter_of, parse_records
from cep.engine.io.json_lines import parse_lines
from cep.engine.io.parquet_files import rows_from
from cep.engine.io.readers import COMPRESSED
from cep.engine.io.replay.file_state import FileState, file_size, mark_of
from cep.engine.io.replay.text_blocks import (
    EndOf,
    blocks,
    line_end,
    record_end,
    records_behind_header,
)
from cep.engine.io.source import Chunk


def known_schema(chunk: Chunk) -> pa.Schema | None:
    """What rows say about columns; without rows there is nothing to guess types from."""
    return chunk.table.schema if chunk.table.num_rows else None


class Part(NamedTuple):
    """Rows of a file, and its state behind them."""

    chunk: Chunk
    state: FileState


@dataclass(frozen=True, slots=True)
class Reading:
    """What is the same for all files of a source. `follow`: text files may grow."""

    format: str
    declared: Mapping[str, DataType]
    rows: int
    bytes: int
    follow: bool

    def is_text(self, path: str) -> bool:
        """Whether lines may be added to the file; others are there as a whole or not at all."""
        return self.format != "parquet" and not is_compressed(path)


def is_compressed(path: str) -> bool:
    return path.lower().endswith(COMPRESSED)


def read_parts(
    path: str, state: FileState, schema: pa.Schema | None, how: Reading
) -> Iterator[Part]:
    """What the file holds behind `state`; `schema` is that of the rows before, in all files.

    The last part's state is done; a file without more rows has no part.
    """
    make = _parquet_parts if how.format == "parquet" else _text_parts
    last: Part | None = None
    for part in make(path, state, schema, how):
        if last is not None:
            yield last
        last = part
    if last is not None:
        yield Part(last.chunk, replace(last.state, is_done=True))


def _parquet_parts(
    path: str, state: FileState, schema: pa.Schema | None, how: Reading
) -> Iterator[Part]:
    state = _whole(path, state)
    try:
        for table in rows_from(path, state.offset, schema, how.rows):
            state = replace(state, offset=state.offset + table.num_rows)
            yield Part(Chunk(table), state)
    except DataError as error:
        if not how.follow or "cannot be read as Parquet" not in str(error):
            raise
        advice = "write it under a name that begins with a dot and rename it once it is whole"
        raise DataError(f"{error}; {advice}") from error


def _whole(path: str, state: FileState) -> FileState:
    """The state of a file that does not change: its ends are marked at once."""
    if state.mark:
        return state
    size = file_size(path)
    return replace(state, size=size, marked=size, mark=mark_of(path, size))


def _text_parts(
    path: str, state: FileState, schema: pa.Schema | None, how: Reading
) -> Iterator[Part]:
    if is_compressed(path):
        state = _whole(path, state)
    is_whole = not (how.follow and how.is_text(path))
    end_of = _ends(path, state, how)
    try:
        with _open_at(path, state.offset) as stream:
            for block in blocks(stream, how.bytes, end_of, is_whole=is_whole):
                chunk, header = _parse(path, block, state, schema, how)
                schema = schema or known_schema(chunk)
                state = _behind(path, block, replace(state, header=header))
                yield Part(chunk, state)
    except (pa.ArrowException, OSError, EOFError) as error:
        text = str(error).partition("\n")[0]
        raise DataError(f"{path}: cannot be read: {text}") from error


def _ends(path: str, state: FileState, how: Reading) -> EndOf:
    if how.format == "jsonl":
        return line_end
    end_of = record_end(delimiter_of(path).encode())
    if state.header:
        return end_of
    first = records_behind_header(end_of)
    is_first = True

    def end(data: bytes) -> int:
        nonlocal is_first
        found = (first if is_first else end_of)(data)
        is_first = is_first and not found
        return found

    return end


def _open_at(path: str, offset: int) -> Any:
    """The file at a byte of its text; what is compressed is read up to there."""
    if not is_compressed(path):
        file = open(path, "rb")  # noqa: SIM115 - the caller closes it
        file.seek(offset)
        return file
    stream: Any = pa.input_stream(path, compression="detect")
    left = offset
    while left and (data := stream.read(min(left, 1 << 20))):
        left -= len(data)
    return stream


def _parse(
    path: str, block: bytes, state: FileState, schema: pa.Schema | None, how: Reading
) -> tuple[Chunk, tuple[str, ...]]:
    if how.format == "csv":
        return parse_records(block, state.header, schema, how.declared, path)
    if not block.strip():
        return Chunk((schema or pa.schema([])).empty_table()), ()
    return parse_lines(block, schema, how.declared, path, state.line), ()


def _behind(path: str, block: bytes, state: FileState) -> FileState:
    offset, line = state.offset + len(block), state.line + block.count(b"\n")
    state = replace(state, offset=offset, line=line, is_done=False)
    if is_compressed(path):
        return state
    size = os.stat(path).st_size
    return replace(state, size=size, marked=offset, mark=mark_of(path, offset))
