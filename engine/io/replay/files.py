"""A file, a directory or a glob -> its rows from any position on, also while it grows."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.io.readers import check_content, files_at, format_of, is_known
from cep.engine.io.replay.file_readers import Reading, known_schema, read_parts
from cep.engine.io.replay.file_state import FileState, check_unchanged, file_size
from cep.engine.io.replay.source import (
    Declared,
    Piece,
    Pieces,
    check_position,
    fields_of,
    schema_bytes,
    schema_of,
)
from cep.engine.io.source import ROWS_PER_BATCH
from cep.engine.state.snapshot import Value

KIND = "files"
BYTES_PER_BATCH = 1 << 22
Fields = Mapping[str, DataType]


@dataclass(frozen=True, slots=True)
class FileSource:
    """Parquet, CSV and JSON Lines files, in the order of their names.

    `path` is a file, a directory or a glob. With `follow` reading goes on for ever: CSV and JSON
    Lines files are read as they grow, up to their last whole line, and new files of a directory or
    glob are read once they appear, whatever their name; Parquet and compressed files must appear
    whole (written under a name that begins with a dot, then renamed). `stream`: which stream of the
    rules the rows belong to. `format` is "parquet", "csv" or "jsonl" where the names do not say it.
    Types that the rules do not declare are those of the first rows.

    A position holds for each file how far it has been read, and a hash by which a file that shrank
    or was overwritten is found out (DataError). Files that have been read to the end may be
    deleted. Costs: a position has some 100 bytes per file, polling a call of `stat` per file.
    """

    path: str | os.PathLike[str]
    follow: bool = False
    stream: str | None = None
    format: str | None = None
    batch_rows: int = ROWS_PER_BATCH
    batch_bytes: int = BYTES_PER_BATCH
    poll_seconds: float = 0.2

    @property
    def has_positions(self) -> bool:
        return True

    @property
    def follows(self) -> bool:
        return self.follow

    def __str__(self) -> str:
        return f"files {os.fspath(self.path)}{', followed' if self.follow else ''}"

    def read(self, position: Value | None = None, declared: Declared | None = None) -> Pieces:
        """See `ReplaySource.read`."""
        fields = fields_of(declared or {}, self.stream)
        return _Files(self, fields, _decode(position, str(self))).read()


@dataclass(slots=True)
class _Position:
    """How far each file has been read, by its name below the source's folder."""

    schema: pa.Schema | None = None
    files: dict[str, FileState] = field(default_factory=dict)

    def encode(self) -> Value:
        files = {name: state.encode() for name, state in self.files.items()}
        return {"source": KIND, "schema": schema_bytes(self.schema), "files": files}


def _decode(position: Value | None, what: str) -> _Position:
    if position is None:
        return _Position()
    value = check_position(position, KIND, what)
    files = {name: FileState.decode(state) for name, state in value["files"].items()}
    return _Position(schema_of(value["schema"]), files)


class _Files:
    """One reading of a `FileSource`."""

    def __init__(self, source: FileSource, fields: Fields, position: _Position) -> None:
        self._source = source
        self._path = os.fspath(source.path)
        self._folder = _folder(self._path)
        self._fields = fields
        self._position = position
        self._format = source.format

    def read(self) -> Pieces:
        self._check()
        while True:
            is_idle = True
            for path in self._paths():
                for piece in self._read_file(path):
                    is_idle = False
                    yield piece
            if not self._source.follow:
                return
            if is_idle:
                yield None

    def _check(self) -> None:
        """What has been read must be there still, unless it was read to its end."""
        for name, state in self._position.files.items():
            path = os.path.join(self._folder, name)
            if os.path.exists(path):
                check_unchanged(path, state, is_text=self._how(path).is_text(path))
            elif not state.is_done or (self._how(path).is_text(path) and state.offset < state.size):
                message = f"{path}: no such file, and it had not been read to its end"
                raise DataError(f"{message}: give it back or start with another checkpoint")

    def _paths(self) -> list[str]:
        """The files there are now; none is an error only where none will come."""
        if not os.path.isdir(self._folder):
            raise DataError(f"{self._path}: no directory {self._folder!r} to look into")
        if os.path.isdir(self._path):
            names = sorted(name for name in os.listdir(self._path) if self._is_input(name))
            found = [os.path.join(self._path, name) for name in names]
        elif os.path.exists(self._path):
            found = [self._path]
        else:
            found = sorted(glob.glob(self._path, recursive=True))
        if not found and not self._source.follow and not self._position.files:
            found = files_at(self._path)  # says what is wrong
        return found

    def _is_input(self, name: str) -> bool:
        return is_known(name) or (self._source.format is not None and name[0] not in "._")

    def _read_file(self, path: str) -> Iterator[Piece]:
        name, how = os.path.relpath(path, self._folder), self._how(path)
        state = self._position.files.get(name, FileState())
        size = file_size(path)
        if state.is_done and (size == state.size or not how.is_text(path)):
            return
        if state == FileState():
            check_content(path, how.format)
        elif how.is_text(path):
            check_unchanged(path, state, is_text=True)
        for chunk, behind in read_parts(path, state, self._position.schema, how):
            self._position.schema = self._position.schema or known_schema(chunk)
            state = self._position.files[name] = behind
            yield Piece(chunk.table, self._position.encode(), self._source.stream, chunk.broken)
        seen = max(size, state.offset) if how.is_text(path) else state.size
        self._position.files[name] = replace(state, size=seen, is_done=True)

    def _how(self, path: str) -> Reading:
        source = self._source
        found = source.format or format_of(path)
        if self._format not in (None, found):
            message = f"{self._path}: files of different formats ({self._format}, {found})"
            raise DataError(message)
        self._format = found
        return Reading(found, self._fields, source.batch_rows, source.batch_bytes, source.follow)


def _folder(path: str) -> str:
    """The folder that file names in positions are relative to."""
    if os.path.isdir(path):
        return path
    folder = path
    while glob.has_magic(folder):
        folder = os.path.dirname(folder)
    return (os.path.dirname(folder) if folder == path else folder) or "."
