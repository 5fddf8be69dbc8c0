"""Whatever the caller holds (a table, dicts, a path) -> `Source`.

pyarrow, pandas, polars, any Arrow PyCapsule    in memory, no copy where the owner makes none
RecordBatchReader, an iterable of dicts         read once, in batches
list of dicts                                   in memory
str, Path                                       a file, a directory or a glob; "-" is stdin
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.io.broken_text import checked
from cep.engine.io.csv_files import csv_source
from cep.engine.io.dicts import dicts_source
from cep.engine.io.frames import frame_source
from cep.engine.io.json_lines import json_lines_source, json_stream_source
from cep.engine.io.parquet_files import parquet_source
from cep.engine.io.source import ROWS_PER_BATCH, Access, Chunk, Source, once_source, table_source

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
COMPRESSED = (".gz", ".bz2", ".zst")
ENDINGS = ", ".join((*FORMATS, "these with .gz"))


def open_source(
    data: Any,
    declared: Mapping[str, DataType],
    label: str = "the data",
    ignored: set[str] | None = None,
) -> Source:
    """The input as a `Source`. `declared`: the fields whose type the rules state.

    A declared field is not guessed at: text formats hand it over as written. `ignored`: where it is
    given no other fields are read of dicts and objects, and the names of some of them put there.
    Raises DataError for a missing or unreadable file and for a type that holds no events.
    """
    is_columns = hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")
    if is_columns or isinstance(data, (str, os.PathLike)):
        return checked(_open_columns(data, declared, label), declared)
    if isinstance(data, Iterable) and not isinstance(data, (bytes, bytearray, Mapping)):
        return dicts_source(data, declared, label, ignored)
    message = (
        f"cannot read events from {type(data).__name__}: give a pandas, polars or pyarrow table, "
        "a list of dicts, or the path of a Parquet, CSV or JSONL file"
    )
    raise DataError(message)


def _open_columns(data: Any, declared: Mapping[str, DataType], label: str) -> Source:
    if isinstance(data, (str, os.PathLike)):
        return open_path(os.fspath(data), declared)
    if isinstance(data, pa.RecordBatchReader):
        return _reader_source(data, label)
    if not hasattr(data, "__arrow_c_stream__"):  # a record batch
        return table_source(without_views(pa.Table.from_batches([pa.record_batch(data)])), label)
    if type(data).__module__.partition(".")[0] == "pandas":
        return frame_source(data, declared, label)
    return table_source(without_views(pa.table(data)), label)


def to_read_twice(data: Any) -> Any:
    """The same data where they can be read again; what is gone once it has been read, in memory."""
    if isinstance(data, pa.RecordBatchReader):
        return data.read_all()
    if hasattr(data, "__arrow_c_stream__") and not hasattr(data, "__len__"):
        return pa.table(data)
    return list(data) if isinstance(data, Iterator) else data


def without_views(table: pa.Table) -> pa.Table:
    """Text views (what polars hands out) as plain text: Arrow's functions do not take them yet."""
    for place, column in enumerate(table.schema):
        is_coded = pa.types.is_dictionary(column.type)
        if pa.types.is_string_view(column.type.value_type if is_coded else column.type):
            values: Any = table.column(place)
            chunks = [_plain_text(chunk) for chunk in values.chunks]
            plain = pa.chunked_array(chunks) if chunks else pa.array([], pa.large_string())
            table = table.set_column(place, column.name, plain)
    return table


def _plain_text(array: Any) -> Any:
    if not pa.types.is_dictionary(array.type):
        return array.cast(pa.large_string())
    texts = array.dictionary.cast(pa.large_string())
    return pa.DictionaryArray.from_arrays(array.indices, texts)


def _reader_source(reader: pa.RecordBatchReader, label: str) -> Source:
    def chunks() -> Iterator[Chunk]:
        for batch in reader:
            for start in range(0, batch.num_rows, ROWS_PER_BATCH):
                table = pa.Table.from_batches([batch.slice(start, ROWS_PER_BATCH)])
                yield Chunk(without_views(table))

    return once_source(without_views(reader.schema.empty_table()).schema, chunks(), label)


def open_path(path: str, declared: Mapping[str, DataType]) -> Source:
    """A file, a directory of files of one format, or a glob; in the order of their names."""
    if path == "-":
        return json_stream_source(sys.stdin.buffer, declared, "stdin")
    files = files_at(path)
    kinds = {format_of(file) for file in files}
    if len(kinds) > 1:
        raise DataError(f"{path}: files of different formats ({', '.join(sorted(kinds))})")
    for file in files:
        check_content(file, next(iter(kinds)))
    match kinds.pop():
        case "parquet":
            return parquet_source(files, path)
        case "csv":
            return csv_source(files, path, declared)
        case _:
            return json_lines_source(files, path, declared)


def files_at(path: str) -> list[str]:
    """The file, or those of a directory or glob in the order of their names. DataError: none."""
    if os.path.isdir(path):
        files = sorted(str(file) for file in Path(path).iterdir() if is_known(file.name))
        if not files:
            raise DataError(f"{path}: no file in this directory ends in {ENDINGS}")
        return files
    if os.path.exists(path):
        return [path]
    files = sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) else []
    if not files:
        raise DataError(f"{path}: no such file{_near(path)}")
    return files


def _near(path: str) -> str:
    from cep.engine.io.source import did_you_mean

    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        return f" (and no directory {folder!r})"
    return did_you_mean(os.path.basename(path), os.listdir(folder))


def is_known(name: str) -> bool:
    """Whether a file of a directory is input: a known ending, and neither `.` nor `_` in front."""
    return not name.startswith((".", "_")) and _ending(name) in FORMATS


def _ending(name: str) -> str:
    stem, ending = os.path.splitext(name.lower())
    return os.path.splitext(stem)[1] if ending in COMPRESSED else ending


def format_of(path: str) -> str:
    """`parquet`, `csv` or `jsonl`, by the ending. DataError for any other."""
    kind = FORMATS.get(_ending(path))
    if kind is None:
        ending = _ending(path) or "no ending"
        raise DataError(f"{path}: cannot tell the format from {ending!r}; known are {ENDINGS}")
    return kind


def check_content(path: str, kind: str) -> None:
    """Refuse a file that is not what its ending says, before anything tries to read it."""
    try:
        with open(path, "rb") as file:
            begin = file.read(4)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    is_parquet = begin == b"PAR1"
    if kind == "parquet" and not is_parquet:
        shown = begin.decode("ascii", "backslashreplace")
        raise DataError(f"{path}: not a Parquet file (it begins with {shown!r}, not 'PAR1')")
    if kind != "parquet" and is_parquet:
        raise DataError(f"{path}: this is a Parquet file; rename it to end in .parquet")


__all__ = [
    "Access",
    "Chunk",
    "Source",
    "check_content",
    "files_at",
    "format_of",
    "is_known",
    "open_path",
    "open_source",
]
