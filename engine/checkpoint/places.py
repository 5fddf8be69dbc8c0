"""A local directory -> a place for whole files that are there completely or not at all.

`Place` is what a store needs of a directory or an object store. A new file appears in one step and
survives a crash of the machine from then on; nothing is ever written over another file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar, Protocol

from cep.engine.checkpoint.errors import CheckpointError, DamagedCheckpointError
from cep.engine.checkpoint.format import Encoded, Readable

PARTIAL = re.compile(r"(checkpoint|savepoint)-[\w.-]+\.ckpt\.partial")
LOCK = "checkpoints.lock"


class TakenError(CheckpointError):
    """There is a file of this name already; `owner` says who wrote it, where that is known."""

    def __init__(self, path: str, owner: str = "") -> None:
        self.owner = owner
        super().__init__(f"{path}: exists already, and is never written over; use another name")


class Place(Protocol):
    """Somewhere files lie under names without folders."""

    def sizes(self) -> dict[str, int]:
        """Name and size in bytes of each file."""

    def put(self, name: str, file: Encoded) -> None:
        """Once this returns the file is there and survives a crash. TakenError if one is there."""

    def open(self, name: str) -> AbstractContextManager[tuple[Readable, int]]:
        """The bytes of a file, and how many they are."""

    def delete(self, name: str) -> None:
        """No error if there is no such file."""

    def path(self, name: str) -> str:
        """The file's full name, for messages."""

    def close(self) -> None: ...


class Directory:
    """A local directory. It belongs to one writer at a time, from opening to `close`.

    The lock is the kernel's (flock), so that it ends with the process, however that ends.
    """

    def __init__(self, path: str, *, read_only: bool) -> None:
        self._path = os.path.abspath(path)
        self._lock: _Lock | None = None
        with self._errors("", "opened"):
            if read_only:
                os.listdir(self._path)
                return
            os.makedirs(self._path, exist_ok=True)
            _sync(os.path.dirname(self._path))
            self._lock = _Lock(self._path)
            self._delete_leftovers()

    def _delete_leftovers(self) -> None:
        """What a killed process had begun to write. Only its owner may call this."""
        for name in os.listdir(self._path):
            if PARTIAL.fullmatch(name):
                self.delete(name)

    def path(self, name: str) -> str:
        return os.path.join(self._path, name)

    def sizes(self) -> dict[str, int]:
        with self._errors("", "read"), os.scandir(self._path) as entries:
            return {e.name: e.stat().st_size for e in entries if e.is_file()}

    def put(self, name: str, file: Encoded) -> None:
        """Write under another name, fsync, rename, fsync the directory."""
        partial = self.path(f"{name}.partial")
        if os.path.exists(self.path(name)):
            raise TakenError(self.path(name))
        with self._errors(name, "written"):
            try:
                _write(partial, file)
                os.rename(partial, self.path(name))
                _sync(self._path)
            finally:
                if os.path.exists(partial):
                    os.unlink(partial)

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[Readable, int]]:
        with self._errors(name, "read"):
            path = self.path(name)
            with open(path, "rb", buffering=0) as file:  # tidy: the file a checkpoint is read from
                yield file, os.fstat(file.fileno()).st_size

    def delete(self, name: str) -> None:
        with self._errors(name, "deleted"):
            if os.path.exists(self.path(name)):
                os.unlink(self.path(name))

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()

    @contextmanager
    def _errors(self, name: str, verb: str) -> Iterator[None]:
        path = self.path(name) if name else self._path
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno == errno.EIO and verb == "read" and name:
                raise DamagedCheckpointError(path, f"the disk cannot read it: {reason}") from error
            raise CheckpointError(f"{path}: cannot be {verb}: {reason}") from error


def _write(path: str, file: Encoded) -> None:
    with open(path, "wb") as out:  # tidy: the file a checkpoint is written to
        for part in file.parts:
            out.write(part.data)
        out.flush()
        os.fsync(out.fileno())


def _sync(directory: str) -> None:
    """Make names in a directory survive a crash."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- one writer per directory ----------------------------------------------------------------------


class _Lock:
    """Held from construction on. CheckpointError if another process, or this one, holds it.

    The lock file stays: deleting it would let two processes lock two files of the same name.
    """

    held: ClassVar[weakref.WeakSet[_Lock]] = weakref.WeakSet()

    def __init__(self, directory: str) -> None:
        descriptor = os.open(os.path.join(directory, LOCK), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            raise CheckpointError(_taken(directory, owner)) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode())
        self.release = weakref.finalize(self, os.close, descriptor)
        _Lock.held.add(self)


def _taken(directory: str, owner: str) -> str:
    pid, _, host = owner.partition(" ")
    who = f"process {pid} on {host}" if pid else "another process"
    if pid == str(os.getpid()):
        who = f"this process ({pid})"
    return (
        f"{directory}: another job writes its checkpoints there: {who}; "
        "stop it, or use another directory"
    )


def _release_in_child() -> None:
    """A forked child shares its parent's locks and would hold them after the parent's death."""
    for lock in list(_Lock.held):
        lock.release()


os.register_at_fork(after_in_child=_release_in_child)
