"""Tables of results -> files in a directory, each complete and final once it is visible.

rows ──► .part-00000007.parquet.inprogress     written to while rows come
prepare  the same, closed and on disk           named in the checkpoint
commit   part-00000007.parquet                  once the checkpoint is safe

A restart commits what the checkpoint names and deletes all other files in progress: their rows
come again.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from typing import Any

import pyarrow as pa

from cep.engine.algebra.errors import CepError, DataError
from cep.engine.io.writers import Writer, file_writer
from cep.engine.state.snapshot import Value

FORMATS = ("parquet", "jsonl", "csv")
PENDING = ".inprogress"
PART = re.compile(r"part-(\d{8,})\.(parquet|jsonl|csv)")


class FileSink:
    """Rows of `what` as files `part-00000012.parquet` (or `.jsonl`, `.csv`) in a directory.

    With the guarantee "exactly-once" files appear with the checkpoint that follows their rows, and
    the visible files hold each row exactly once whatever happens: readers may take every file that
    they see, and may move or delete it. With "at-least-once" files appear just before the
    checkpoint is safe: after a crash between the two, a later file has the same rows again.
    With "at-most-once" they appear as with exactly-once. A checkpoint without new rows makes no
    file.

    The directory belongs to this sink alone: it is locked while the job runs. DataError if it holds
    parts that the checkpoint does not know of, for their rows would be there twice.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        what: str = "matches",
        format: str = "parquet",  # noqa: A002 - as everywhere where there are file formats
    ) -> None:
        if format not in FORMATS:
            raise DataError(f"format {format!r}: a file sink writes {', '.join(FORMATS)}")
        self.what = what
        self._directory = os.fspath(directory)
        self._format = format
        self._at_once = False
        self._next = 0
        self._open: tuple[str, pa.Schema, Writer] | None = None
        self._pending: list[str] = []  # final names, in the order in which they were written
        self._guard = threading.Lock()  # of _pending: commit comes on another thread
        self._lock: int | None = None

    @property
    def commits(self) -> bool:
        return True

    @property
    def place(self) -> str:
        return os.path.abspath(self._directory)

    def __str__(self) -> str:
        return f"{self._format} files in {self._directory}"

    def __repr__(self) -> str:
        return f"<FileSink: {self.what} as {self}>"

    # ---- begin and end

    def open(self, state: Value | None, *, at_once: bool) -> None:
        """See `Sink.open`. DataError: locked by another process, or parts from another run."""
        self._at_once, self._pending = at_once, []
        try:
            os.makedirs(self._directory, exist_ok=True)
            _sync(os.path.dirname(self.place), os.O_RDONLY | os.O_DIRECTORY)
            self._take_lock()
            self._recover(state)
        except OSError as error:
            self.close()
            raise self._unwritable(error) from error
        except CepError:
            self.close()
            raise

    def _take_lock(self) -> None:
        self._lock = os.open(self._directory, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"{self._directory}: another job writes into this directory"
            raise DataError(f"{message}; stop it, or give this one another directory") from None

    def _recover(self, state: Value | None) -> None:
        named = [] if state is None else list(state["pending"])
        self._show(named)
        for name in os.listdir(self._directory):
            if name.endswith(PENDING) and PART.fullmatch(name[1 : -len(PENDING)]):
                os.unlink(os.path.join(self._directory, name))
        self._next = 0 if state is None else state["next"]
        numbers = {
            int(found[1]) for found in map(PART.fullmatch, os.listdir(self._directory)) if found
        }
        unknown = sorted(number for number in numbers if number >= self._next)
        if unknown and not self._at_once:
            raise DataError(self._unknown_parts(unknown, state is None))
        self._next = max([self._next, *(number + 1 for number in unknown)])

    def _unknown_parts(self, numbers: list[int], is_new: bool) -> str:
        found = f"part-{numbers[0]:08}" + (f" to {numbers[-1]:08}" if len(numbers) > 1 else "")
        known = "there is no checkpoint" if is_new else "the checkpoint is older than that"
        return (
            f"{self._directory}: holds {found}, but {known}: their rows would be written a second "
            "time; remove these files or give the job another directory"
        )

    def close(self) -> None:
        """See `Sink.close`. The file in progress stays until the next `open`."""
        try:
            if self._open is not None:
                self._open[2].close()
        finally:
            self._open = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    # ---- rows

    def write(self, table: pa.Table) -> None:
        """See `Sink.write`. Other columns than before begin another file."""
        if table.num_rows == 0:
            return
        try:
            if self._open is not None and not self._open[1].equals(table.schema):
                self._finish_file()
            if self._open is None:
                self._open = self._begin_file(table.schema)
            self._open[2].write(table)
        except (OSError, pa.ArrowException) as error:
            raise self._unwritable(error) from error

    def _begin_file(self, schema: pa.Schema) -> tuple[str, pa.Schema, Writer]:
        name = f"part-{self._next:08}.{self._format}"
        self._next += 1
        return name, schema, file_writer(self._pending_path(name), schema, self._format)

    def _finish_file(self) -> None:
        """The file in progress is complete and on disk."""
        if self._open is None:
            return
        name, _, writer = self._open
        self._open = None
        writer.close()
        _sync(self._pending_path(name), os.O_RDONLY)
        with self._guard:
            self._pending.append(name)

    # ---- the two phases

    def prepare(self) -> Value:
        """See `Sink.prepare`. {next: number of the next part, pending: names not yet visible}."""
        try:
            self._finish_file()
            if self._at_once:
                self._show(self._pending)
            _sync(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        except (OSError, pa.ArrowException) as error:
            raise self._unwritable(error) from error
        with self._guard:
            return {"next": self._next, "pending": list(self._pending)}

    def commit(self, state: Value) -> None:
        """See `Sink.commit`."""
        try:
            self._show(state["pending"])
        except OSError as error:
            raise self._unwritable(error) from error

    def _show(self, names: list[str]) -> None:
        """Give files their final names. One without a pending file has its name already."""
        for name in list(names):
            if os.path.exists(self._pending_path(name)):
                os.rename(self._pending_path(name), os.path.join(self._directory, name))
        if names:
            _sync(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        with self._guard:
            self._pending = [name for name in self._pending if name not in set(names)]

    def _pending_path(self, name: str) -> str:
        return os.path.join(self._directory, f".{name}{PENDING}")

    def _unwritable(self, error: Any) -> DataError:
        reason = getattr(error, "strerror", None) or str(error)
        return DataError(f"{self._directory}: cannot be written: {reason}")


def commit_for(directory: str, state: Value) -> None:
    """Make visible what a checkpoint holds for a sink that the job has no more.

    DataError where the directory is gone: its rows may never have been seen.
    """
    if not os.path.isdir(directory):
        if state["pending"]:
            message = f"{directory}: no such directory, but the checkpoint holds rows for it"
            raise DataError(f"{message}; give it back (or a link to it) for one start of the job")
        return
    sink = FileSink(directory)
    try:
        sink.open(state, at_once=True)
    finally:
        sink.close()


def _sync(path: str, flags: int) -> None:
    """Wait until a file, or the names in a directory, are on disk."""
    opened = os.open(path, flags)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
