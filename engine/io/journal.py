"""What a service has taken in since its last checkpoint, in one SQLite file.

A row is there as a whole or not at all, and it survives the end of the process (SIGKILL too) once
`append` has returned. Whether it survives a loss of power is for the caller to choose.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from cep.engine.checkpoint.errors import CheckpointError

FORMAT = 1  # `user_version` of the file
ROWS_DELETED = 500  # at a time, so that nobody who appends waits for long
TABLE = """
create table if not exists entries (
    number integer primary key,
    kind text not null,
    stream text,
    at_us integer not null,
    payload blob not null
)
"""


class Survives(StrEnum):
    """What an appended row survives.

    `power` waits for the disk with every row, which takes a millisecond or more.
    """

    KILL = "kill"
    POWER = "power"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was taken in. `at_us`: the wall clock's reading then."""

    kind: str
    stream: str | None
    at_us: int
    payload: bytes


class Journal:
    """Numbered entries in the order of their numbers. One process writes; any of its threads may.

    Raises CheckpointError where the file is no journal of this version or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], survives: Survives = Survives.KILL) -> None:
        self._path = os.fspath(path)
        with self._told():
            self._db = _connect(self._path)
            version = self._db.execute("pragma user_version").fetchone()[0]
            if version not in (0, FORMAT):
                self._db.close()
                known = f"this version reads format {FORMAT}"
                raise CheckpointError(f"{self._path}: a journal of format {version}; {known}")
            synchronous = "full" if survives is Survives.POWER else "normal"
            self._db.execute(f"pragma synchronous = {synchronous}")
            # Moving the log into the file takes a while: `forget` does it, on another thread.
            self._db.execute("pragma wal_autocheckpoint = 0")
            self._db.execute(TABLE)
            self._db.execute(f"pragma user_version = {FORMAT}")

    def append(self, number: int, entry: Entry) -> None:
        """Keep an entry: it is safe when this returns. O(size of the payload)."""
        row = (number, entry.kind, entry.stream, entry.at_us, entry.payload)
        with self._told():
            self._db.execute("insert into entries values (?, ?, ?, ?, ?)", row)

    def numbers(self) -> tuple[int, int] | None:
        """The first and the last number that is kept; None for an empty journal."""
        with self._told():
            row = self._db.execute("select min(number), max(number) from entries").fetchone()
        return None if row[0] is None else (row[0], row[1])

    def after(self, number: int) -> Iterator[tuple[int, Entry]]:
        """The entries behind a number, in their order."""
        query = "select number, kind, stream, at_us, payload from entries where number > ?"
        with self._told():
            for row in self._db.execute(f"{query} order by number", (number,)):
                yield row[0], Entry(*row[1:])

    def forget(self, number: int) -> None:
        """Delete the entries up to a number, in small steps, beside a thread that appends."""
        with self._told(), closing(_connect(self._path)) as db:
            first = db.execute("select min(number) from entries").fetchone()[0]
            for begin in range(number if first is None else first, number + 1, ROWS_DELETED):
                end = min(begin + ROWS_DELETED - 1, number)
                db.execute("delete from entries where number <= ?", (end,))
            db.execute("pragma wal_checkpoint(passive)").fetchall()

    def close(self) -> None:
        """Let go of the file. Harmless if repeated."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            message = f"{self._path}: the journal of events cannot be used: {error}"
            raise CheckpointError(message) from error


def _connect(path: str) -> sqlite3.Connection:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("pragma journal_mode = wal")
    return db
