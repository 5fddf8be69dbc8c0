"""An object store (S3, Google Cloud Storage, Azure, memory) -> a place for whole files.

Needs `obstore`, which the extra `cep[s3]` installs. A put is atomic and refuses to write over an
object (`If-None-Match: *`): that is all the locking object stores offer, and all that is needed. It
is also one request, and most stores take no more than 5 GB in one.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cep.engine.checkpoint.errors import CheckpointError
from cep.engine.checkpoint.format import Encoded, Readable
from cep.engine.checkpoint.places import TakenError

if TYPE_CHECKING:
    from obstore.store import MemoryStore, ObjectStore

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "memory")
TIMEOUT = "15m"  # of one request: obstore's own 30 s are too few for a large checkpoint
OWNER = "cepwriter"
CHUNK_BYTES = 1 << 23

_memories: dict[str, MemoryStore] = {}


def is_url(place: str) -> bool:
    return "://" in place and not place.startswith("file://")


def open_url(url: str, options: Mapping[str, Any]) -> Objects:
    """`memory://NAME` is the same for the whole process; options are those of obstore's stores."""
    store = _obstore_store()
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        raise CheckpointError(
            f"{url}: unknown kind of place; use a directory, s3://, gs:// or az://"
        )
    if scheme == "memory":
        if url not in _memories:
            _memories[url] = store.MemoryStore()
        return Objects(_memories[url], url)
    client = {"timeout": TIMEOUT, **options.get("client_options", {})}
    with _errors(url, "opened"):
        opened = store.from_url(url, **{**options, "client_options": client})
    return Objects(opened, url.rstrip("/"))


def _obstore_store() -> Any:
    try:
        import obstore.store
    except ImportError as error:
        raise CheckpointError(
            "checkpoints in an object store need obstore: pip install 'cep[s3]'"
        ) from error
    return obstore.store


class Objects:
    """The objects directly under a store's prefix."""

    def __init__(self, store: ObjectStore, where: str) -> None:
        self._store = store
        self._where = where

    def path(self, name: str) -> str:
        return f"{self._where}/{name}"

    def sizes(self) -> dict[str, int]:
        import obstore

        with _errors(self._where, "read"):
            listed = obstore.list_with_delimiter(self._store)
            return {entry["path"]: entry["size"] for entry in listed["objects"]}

    def put(self, name: str, file: Encoded) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        # Not a random draw that anything depends on: it tells this put from any other.
        owner = f"process {os.getpid()} on {socket.gethostname()}, {uuid.uuid4().hex}"
        parts = [part.data for part in file.parts]
        with _errors(self.path(name), "written"):
            try:
                obstore.put(self._store, name, parts, mode="create", attributes={OWNER: owner})
            except AlreadyExistsError:
                found = self._owner(name)
                if found != owner:  # else it is ours: the answer to a first try was lost
                    raise TakenError(self.path(name), found.partition(",")[0]) from None

    def _owner(self, name: str) -> str:
        import obstore

        attributes = obstore.get(self._store, name, options={"head": True}).attributes
        return str(attributes.get(OWNER, ""))

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[Readable, int]]:
        import obstore

        with _errors(self.path(name), "read"):
            found = obstore.get(self._store, name)
            yield _Chunks(found.stream(min_chunk_size=CHUNK_BYTES)), found.meta["size"]

    def delete(self, name: str) -> None:
        import obstore

        with _errors(self.path(name), "deleted"):
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                return

    def close(self) -> None:
        """There is nothing to give back."""


class _Chunks:
    """Chunks of bytes, to be read one after the other in pieces of any size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readinto(self, into: memoryview) -> int:
        while not len(self._rest):
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(into), len(self._rest))
        into[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


@contextmanager
def _errors(path: str, verb: str) -> Iterator[None]:
    """Errors of obstore, which may be Python's own, as CheckpointErrors that name the place."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: cannot be {verb}: there is no such object") from error
    except (BaseError, OSError, ValueError) as error:
        reason = str(error).partition("\n\nDebug source")[0]
        raise CheckpointError(f"{path}: cannot be {verb}: {reason}") from error
