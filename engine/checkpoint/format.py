"""A snapshot <-> the bytes of one checkpoint file, in which no byte can change unnoticed.

    header     128 bytes: magic, version, length of the file, length and SHA-256 of the manifest,
               zeros, and at its end the SHA-256 of its first 96 bytes
    manifest   JSON, spaces behind it up to a multiple of 64 bytes:
               {"tree": ..., "blobs": [{"offset": ..., "length": ..., "sha256": ...}, ...]}
               (tree: see cep.engine.checkpoint.tree)
    blobs      each at a multiple of 64 bytes, zeros behind it up to the next one

Numbers are little-endian. A blob's SHA-256 covers the zeros behind it, the manifest's the spaces
behind it, the header's the manifest's: so the header's SHA-256 stands for the whole file, and every
byte is under one of them. Magic, version and the header's checksum stay where they are in all later
versions. The checksums find damage, not malice: who can write files can write checksums. But no
file makes the reader run anything, or allocate more than a small multiple of the file's length.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

import numpy as np

from cep.engine.checkpoint.errors import CheckpointError, DamagedCheckpointError
from cep.engine.checkpoint.tree import Blob, MalformedError, Where, place, put_together, take_apart
from cep.engine.state.snapshot import Snapshot

MAGIC = b"\x89CEP\r\n\x1a\n"  # as in PNG: not text, and damaged by whatever mends line ends
VERSION = 1
HEADER = struct.Struct("<8sI4xQQ32s32x")  # magic, version, file, manifest, the manifest's SHA-256
SHA_BYTES = 32
HEADER_BYTES = HEADER.size + SHA_BYTES
ALIGNMENT = 64
CHUNK_BYTES = 1 << 22  # what is read and hashed at a time, while it is in the cache

ZEROS = np.zeros(ALIGNMENT, np.uint8)


class Readable(Protocol):
    """Bytes that come one after the other; `readinto` returns how many, 0 at the end."""

    def readinto(self, into: memoryview, /) -> int | None: ...


# -- writing ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Encoded:
    """A checkpoint file in memory: `parts` one after the other are its bytes.

    Large parts are the snapshot's own arrays, not copies. `sha256` (the header's, hexadecimal)
    differs where any byte of the file differs.
    """

    parts: tuple[Blob, ...]
    size_bytes: int
    sha256: str


def encode(snapshot: Snapshot) -> Encoded:
    """The file of a snapshot whose arrays nobody changes any more. One pass of SHA-256 over it.

    CheckpointError names a value that a checkpoint cannot hold.
    """
    tree, blobs = take_apart(snapshot)
    described = _describe(blobs)
    manifest = json.dumps({"tree": tree, "blobs": described}, separators=(",", ":")).encode("ascii")
    manifest += b" " * _missing(len(manifest))
    size = HEADER_BYTES + len(manifest) + sum(b.size + _missing(b.size) for b in blobs)
    header = HEADER.pack(MAGIC, VERSION, size, len(manifest), hashlib.sha256(manifest).digest())
    sha = hashlib.sha256(header)
    start = np.frombuffer(header + sha.digest() + manifest, np.uint8)
    parts = (start, *(part for blob in blobs for part in _padded(blob)))
    return Encoded(parts, size, sha.hexdigest())


def write(snapshot: Snapshot, file: IO[bytes]) -> Encoded:
    """Write the snapshot's file; what was written is returned. It is not yet safe from a crash."""
    encoded = encode(snapshot)
    for part in encoded.parts:
        file.write(part.data)
    return encoded


def _missing(length: int) -> int:
    """How many bytes there are up to the next multiple of 64."""
    return -length % ALIGNMENT


def _padded(blob: Blob) -> Iterator[Blob]:
    yield from (part for part in (blob, ZEROS[: _missing(blob.size)]) if part.size)


def _describe(blobs: Sequence[Blob]) -> list[dict[str, int | str]]:
    """Offset (from the manifest's end), length without padding and checksum of each blob."""
    described: list[dict[str, int | str]] = []
    offset = 0
    for blob in blobs:
        sha = hashlib.sha256()
        for part in _padded(blob):
            sha.update(part.data)
        described.append({"offset": offset, "length": blob.size, "sha256": sha.hexdigest()})
        offset += blob.size + _missing(blob.size)
    return described


# -- reading ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file that was read whole and undamaged."""

    snapshot: Snapshot
    size_bytes: int
    sha256: str


def read(source: bytes | IO[bytes], name: str = "checkpoint") -> Snapshot:
    """The snapshot in a file (or its bytes), of arrays of their own that may be written to.

    DamagedCheckpointError if a single byte is not what was written, CheckpointError if a later
    version of this package wrote it. `name` is for messages.
    """
    if isinstance(source, bytes):
        return decode(BytesReader(source), len(source), name).snapshot
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    return decode(_FileReader(source), size, name).snapshot


def decode(source: Readable, size: int, name: str) -> Decoded:
    """`read` for bytes that come from anywhere; `size` is how many there are."""
    reader = _Reader(source, size, name)
    manifest = reader.manifest()
    blobs = _Blobs(reader, manifest["blobs"])
    try:
        snapshot = put_together(manifest["tree"], blobs.take)
    except MalformedError as error:
        raise reader.damaged(f"its manifest makes no sense: {error}") from error
    blobs.check_all_taken()
    return Decoded(snapshot, size, reader.sha256)


def verify(source: Readable, size: int, name: str) -> str:
    """The file's SHA-256 if all its checksums are right; nothing of its size is allocated.

    Raises as `read` does, but does not look into the tree.
    """
    reader = _Reader(source, size, name)
    blobs = _Blobs(reader, reader.manifest()["blobs"])
    scratch = np.empty(min(CHUNK_BYTES, size), np.uint8)
    for number, blob in enumerate(blobs.described):
        blobs.check(number, (f"blob {number}",), _pieces(scratch, blob.length))
    blobs.check_all_taken()
    return reader.sha256


def _pieces(scratch: Blob, length: int) -> Iterator[Blob]:
    """The same memory again and again, `length` bytes in all."""
    for start in range(0, length, CHUNK_BYTES):
        yield scratch[: min(CHUNK_BYTES, length - start)]


class BytesReader:
    """Bytes in memory, to be read one after the other."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._rest = memoryview(data)

    def readinto(self, into: memoryview) -> int:
        count = min(len(into), len(self._rest))
        into[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class _FileReader:
    """A binary file that may know `read` alone."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readinto(self, into: memoryview) -> int:
        data = self._file.read(len(into))
        into[: len(data)] = data
        return len(data)


class _Reader:
    """Reads header and manifest, then whatever it is asked for; all errors name the file."""

    def __init__(self, source: Readable, size: int, name: str) -> None:
        self._source = source
        self._name = name
        self.size = size
        self.position = 0
        self.sha256 = ""

    def damaged(self, reason: str) -> DamagedCheckpointError:
        return DamagedCheckpointError(self._name, reason)

    def fill(self, into: Blob) -> None:
        """Read exactly as many bytes as `into` has."""
        view = into.data
        while len(view):
            count = self._source.readinto(view)
            if not count:
                raise self.damaged(f"cut off after {self.position} bytes of {self.size}")
            view = view[count:]
            self.position += count

    def take(self, length: int) -> bytes:
        """The next `length` bytes, which must be within the file's size."""
        data = np.empty(length, np.uint8)
        self.fill(data)
        return data.tobytes()

    def manifest(self) -> Any:
        """The manifest, once header and manifest are known to be as they were written."""
        length, sha = self._header()
        data = self.take(length)
        if hashlib.sha256(data).digest() != sha:
            raise self.damaged(f"its manifest (bytes {HEADER_BYTES} to {self.position}) is damaged")
        try:
            manifest = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self.damaged(f"its manifest is not JSON: {error}") from error
        if not (isinstance(manifest, dict) and manifest.keys() >= {"tree", "blobs"}):
            raise self.damaged("its manifest has no tree or no blobs")
        return manifest

    def _header(self) -> tuple[int, bytes]:
        """Length and checksum of the manifest."""
        if self.size < HEADER_BYTES:
            raise self.damaged(f"not a checkpoint: {self.size} bytes are too few")
        header = self.take(HEADER_BYTES)
        magic, version, size, length, sha = HEADER.unpack_from(header)
        if magic != MAGIC:
            raise self.damaged(f"not a checkpoint: it begins with {magic!r}")
        if hashlib.sha256(header[: HEADER.size]).digest() != header[HEADER.size :]:
            raise self.damaged(f"its header (bytes 0 to {HEADER_BYTES}) is damaged")
        if version != VERSION:
            raise CheckpointError(
                f"{self._name}: of format version {version}, and this is a reader of version "
                f"{VERSION}; read it with the version of cep that wrote it, or a later one"
            )
        if size != self.size:
            raise self.damaged(f"{self.size} bytes long where its header says {size}")
        if length > size - HEADER_BYTES:
            raise self.damaged(f"its manifest of {length} bytes does not fit into it")
        self.sha256 = header[HEADER.size :].hex()
        return length, sha


@dataclass(frozen=True, slots=True)
class _Described:
    length: int
    sha256: str


class _Blobs:
    """The blobs of a file, which are read one after the other."""

    def __init__(self, reader: _Reader, described: object) -> None:
        self._reader = reader
        self._taken = 0
        self.described = self._checked(described)

    def _checked(self, described: object) -> list[_Described]:
        """What the manifest says of the blobs, if they lie side by side and fill the file."""
        if not isinstance(described, list):
            raise self._reader.damaged("its manifest has no list of blobs")
        offset, blobs = 0, []
        for number, blob in enumerate(described):
            match blob:
                case {"offset": int(at), "length": int(length), "sha256": str(sha)} if (
                    at == offset and length >= 0
                ):
                    blobs.append(_Described(length, sha))
                    offset += length + _missing(length)
                case _:
                    raise self._reader.damaged(f"its manifest is wrong about blob {number}")
        if self._reader.position + offset != self._reader.size:
            raise self._reader.damaged("its blobs do not fill it")
        return blobs

    def take(self, number: int, length: int | None, where: Where) -> Blob:
        """Blob `number`, which must be the next one and have that length, in memory of its own."""
        if number != self._taken or number >= len(self.described):
            raise MalformedError(f"{place(where)}: blob {number} is not the next one")
        expected = self.described[number].length
        if length is not None and length != expected:
            raise MalformedError(f"{place(where)}: {length} bytes of {expected}")
        blob = np.empty(expected, np.uint8)
        starts = range(0, expected, CHUNK_BYTES)
        self.check(number, where, (blob[start : start + CHUNK_BYTES] for start in starts))
        return blob

    def check(self, number: int, where: Where, pieces: Iterator[Blob]) -> None:
        """Fill the pieces with blob `number`; all of it must be what was written."""
        self._taken = number + 1
        start = self._reader.position
        blob = self.described[number]
        sha = hashlib.sha256()
        for piece in pieces:
            self._reader.fill(piece)
            sha.update(piece.data)
        sha.update(self._reader.take(_missing(blob.length)))
        if sha.hexdigest() != blob.sha256:
            end = self._reader.position
            raise self._reader.damaged(f"{place(where)} (bytes {start} to {end}) is damaged")

    def check_all_taken(self) -> None:
        if self._taken != len(self.described):
            raise self._reader.damaged(f"only {self._taken} of its blobs are used")
