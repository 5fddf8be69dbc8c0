"""How far a file has been read, and whether what was read is still there.

growing text   |########## read ##########|----- not yet -----|
               ^ 4 KiB here        4 KiB ^ here are remembered as a hash
whole file     size and hash of both ends of the file
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from cep.engine.algebra.errors import DataError
from cep.engine.state.snapshot import Value

MARK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class FileState:
    """`offset` counts bytes, rows for Parquet; `size` is the file's when it was last looked at.

    `is_done`: at that size it has been read as far as it can be.

    `marked` bytes are what the hash `mark` speaks for: all of a file that is read as a whole, of a
    text file those before the offset. `line` is the number of the next line, `header` that of CSV.
    """

    offset: int = 0
    size: int = 0
    marked: int = 0
    mark: bytes = b""
    is_done: bool = False
    line: int = 1
    header: tuple[str, ...] = ()

    def encode(self) -> Value:
        """As a position holds it."""
        numbers = [self.offset, self.size, self.marked, self.line]
        return [*numbers, self.is_done, self.mark, list(self.header)]

    @staticmethod
    def decode(value: Value) -> FileState:
        """The inverse of `encode`."""
        offset, size, marked, line, is_done, mark, header = value
        return FileState(offset, size, marked, mark, bool(is_done), line, tuple(header))


def file_size(path: str) -> int:
    """In bytes. DataError where there is no such file."""
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def mark_of(path: str, size: int) -> bytes:
    """A hash of both ends of the first `size` bytes of a file."""
    try:
        with open(path, "rb") as file:
            digest = hashlib.blake2b(file.read(min(size, MARK_BYTES)), digest_size=16)
            file.seek(max(size - MARK_BYTES, 0))
            digest.update(file.read(min(size, MARK_BYTES)))
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    return digest.digest()


def check_unchanged(path: str, state: FileState, *, is_text: bool) -> None:
    """DataError where the file is not what it was when it was read up to here.

    Text may have grown since, but not inside the line that was read last.
    """
    size = file_size(path)
    advice = "give back the file as it was, or start again with another checkpoint directory"
    if size < state.marked:
        message = f"{path}: it shrank: it has {size:,} bytes, {state.marked:,} had been read"
        raise DataError(f"{message}; {advice}")
    if not is_text and size > state.marked > 0:
        message = f"{path}: it grew from {state.marked:,} to {size:,} bytes after it had been read"
        raise DataError(f"{message}; {advice}")
    if state.marked and mark_of(path, state.marked) != state.mark:
        message = f"{path}: it is not the file that was read: its first {state.marked:,} bytes"
        raise DataError(f"{message} have changed; {advice}")
    if is_text and size > state.offset > 0 and not _ends_line(path, state.offset):
        message = f"{path}: line {state.line} was read when it had no end yet, and has grown since"
        raise DataError(f"{message}; a file that is still written needs follow=True")


def _ends_line(path: str, offset: int) -> bool:
    with open(path, "rb") as file:
        file.seek(offset - 1)
        return file.read(1) == b"\n"
