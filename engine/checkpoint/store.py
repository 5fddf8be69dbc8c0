"""Snapshots -> numbered checkpoints and named savepoints at one place, and the newest of them back.

`checkpoint-00000012.ckpt` is a checkpoint: numbers rise, a number is never used twice, and old ones
are deleted. `savepoint-NAME.ckpt` is one that somebody asked for, and is never deleted.

What is deleted: after a write, whatever is older than the `keep`th newest checkpoint that is known
to be good. Known is one that this store has written, or has read without finding damage; where it
knows too few it reads files (once each) before it deletes any. So a damaged file never takes the
place of a good one, and it lies there, to be looked at, until it is older than the good ones.

Two jobs at one place: the second is refused, in a directory when it opens it (a lock), in an object
store when one of the two writes a number that the other has already written or passed.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlparse

from cep.engine.checkpoint.errors import (
    CheckpointError,
    CheckpointWarning,
    DamagedCheckpointError,
)
from cep.engine.checkpoint.format import Decoded, Encoded, decode, encode, verify
from cep.engine.checkpoint.objects import Objects, is_url, open_url
from cep.engine.checkpoint.places import Directory, Place, TakenError
from cep.engine.state.snapshot import Snapshot

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CHECKPOINT = re.compile(r"checkpoint-([0-9]{8,})\.ckpt")
SAVEPOINT = re.compile(r"savepoint-(.+)\.ckpt")
SAVEPOINT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """A checkpoint (or a savepoint: `number` is None) that was written or read without damage.

    `sha256` differs where any byte of the file differs.
    """

    path: str
    number: int | None
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file that was passed over, and what is wrong with it."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Restored:
    """A snapshot that was read, and the newer files that are damaged."""

    info: CheckpointInfo
    snapshot: Snapshot
    damaged: tuple[Damaged, ...] = ()


class CheckpointStore:
    """The checkpoints of one job, in a directory or under the URL of an object store.

    `place` is a path, a URL (`s3://bucket/prefix`, `gs://`, `az://`, `memory://name`) or a store of
    obstore; `storage_options` are arguments of obstore's store of that kind (`endpoint`,
    `access_key_id`, ...; what is missing comes from the environment). A `read_only` store takes no
    lock, so it can look on while a job writes.

    Close it, or use it in a `with`: until then a directory is locked. One thread writes at a time.
    """

    def __init__(
        self,
        place: str | os.PathLike[str] | ObjectStore,
        *,
        keep: int = 3,
        read_only: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        if keep < 1:
            raise CheckpointError(f"keep={keep}: at least 1 checkpoint must be kept")
        self._options = dict(storage_options or {})
        self._place = _open(place, read_only, self._options)
        self._keep = keep
        self._read_only = read_only
        self._closed = False
        self._good: dict[int, bool] = {}  # by number; what is not in it is not known
        try:
            self._next = max(self.numbers(), default=0) + 1
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others write here. Harmless if repeated."""
        self._closed = True
        self._place.close()

    # -- what there is -----------------------------------------------------------------------------

    def numbers(self) -> list[int]:
        """The numbers of all checkpoints, damaged ones too, oldest first."""
        return sorted(_numbers(self._place.sizes()))

    def savepoints(self) -> list[str]:
        """The names of all savepoints, in the order of the alphabet."""
        found = (SAVEPOINT.fullmatch(name) for name in self._place.sizes())
        return sorted(match[1] for match in found if match)

    # -- writing -----------------------------------------------------------------------------------

    def write(
        self, snapshot: Snapshot, on_durable: Callable[[CheckpointInfo], None] | None = None
    ) -> CheckpointInfo:
        """Write the next checkpoint, then delete what is too old.

        `on_durable` is called in between: from then on the checkpoint survives any crash. Where it
        raises, nothing is deleted. CheckpointError if the checkpoint cannot be written. It may be
        there nevertheless (an answer of an object store may be lost, and the next start finds it);
        its number is not used again.
        """
        self._check_writable()
        encoded = encode(snapshot)
        number, self._next = self._next, self._next + 1
        numbers = self._claim(number, encoded)
        self._good[number] = True
        info = self._info(checkpoint_name(number), encoded)
        if on_durable is not None:
            on_durable(info)
        self._delete_old(numbers)
        return info

    def _claim(self, number: int, encoded: Encoded) -> list[int]:
        """Write that checkpoint; the numbers of all. CheckpointError if another job writes here."""
        name = checkpoint_name(number)
        try:
            self._place.put(name, encoded)
        except TakenError as error:
            raise self._another_job(name, error.owner) from error
        numbers = sorted(_numbers(self._place.sizes()))
        if numbers and numbers[-1] > number:  # it deleted this number, and more, before we came
            self._place.delete(name)
            raise self._another_job(checkpoint_name(numbers[-1]), "")
        return numbers

    def _another_job(self, name: str, owner: str) -> CheckpointError:
        who = f" ({owner})" if owner else ""
        return CheckpointError(
            f"{self._place.path(name)}: another job{who} writes to this directory; "
            "stop one of them, and start the other from the newest checkpoint"
        )

    def write_savepoint(self, name: str, snapshot: Snapshot) -> CheckpointInfo:
        """Write a checkpoint under a name of its own. CheckpointError if the name is in use."""
        self._check_writable()
        if not SAVEPOINT_NAME.fullmatch(name):
            raise CheckpointError(
                f"savepoint {name!r}: use up to 100 letters, digits, '.', '_' and '-', "
                "the first a letter or digit"
            )
        encoded = encode(snapshot)
        self._place.put(savepoint_name(name), encoded)
        return self._info(savepoint_name(name), encoded)

    def _check_writable(self) -> None:
        if self._closed or self._read_only:
            state = "closed" if self._closed else "open for reading only"
            raise CheckpointError(f"{self._place.path('')}: this store is {state}; open it anew")

    # -- deleting ----------------------------------------------------------------------------------

    def _delete_old(self, numbers: list[int]) -> None:
        if len(numbers) <= self._keep:
            return
        good = 0
        for number in reversed(numbers):
            if good < self._keep:
                good += self._is_good(number)
            else:
                self._delete(number)

    def _is_good(self, number: int) -> bool:
        """Whether it counts as kept. One that cannot be read just now does not, and stays."""
        if number not in self._good:
            name = checkpoint_name(number)
            try:
                with self._place.open(name) as (source, size):
                    verify(source, size, self._place.path(name))
                self._good[number] = True
            except DamagedCheckpointError as error:
                self._good[number] = False
                _warn(f"{error.name}: damaged ({error.reason}); it is not counted as kept")
            except CheckpointError:
                return False
        return self._good[number]

    def _delete(self, number: int) -> None:
        try:
            self._place.delete(checkpoint_name(number))
            self._good.pop(number, None)
        except CheckpointError as error:
            _warn(f"an old checkpoint stays: {error}")

    # -- reading -----------------------------------------------------------------------------------

    def latest(self) -> Restored | None:
        """The newest checkpoint that is not damaged; None if there are no checkpoints at all.

        Damaged ones are passed over with a CheckpointWarning each, and named in the result.
        CheckpointError if all are damaged, and also if one cannot be read for another reason (no
        permission, no connection, a later version of the format): to go back further than
        necessary is not for the store to decide.
        """
        damaged: list[Damaged] = []
        for number in reversed(self.numbers()):
            try:
                restored = self._read(checkpoint_name(number))
            except DamagedCheckpointError as error:
                self._good[number] = False
                damaged.append(Damaged(error.name, error.reason))
                continue
            for file in damaged:
                _warn(f"{file.path}: damaged ({file.reason}); {restored.info.path} is used instead")
            return Restored(restored.info, restored.snapshot, tuple(damaged))
        if damaged:
            raise CheckpointError(_none_is_readable(damaged))
        return None

    def read(self, which: int | str | os.PathLike[str]) -> Restored:
        """A checkpoint by number, a savepoint by name, or any such file by its path or URL.

        A text without '/' is a savepoint's name, or the name of a file at this place.
        """
        if isinstance(which, int):
            return self._read(checkpoint_name(which))
        path = os.fspath(which)
        if "/" in path or not isinstance(which, str):
            return read_checkpoint(path, self._options)
        is_file = CHECKPOINT.fullmatch(path) or SAVEPOINT.fullmatch(path)
        return self._read(path if is_file else savepoint_name(path))

    def _read(self, name: str) -> Restored:
        restored = _read(self._place, name)
        if restored.info.number is not None:
            self._good[restored.info.number] = True
        return restored

    def _info(self, name: str, file: Encoded | Decoded) -> CheckpointInfo:
        return _info(self._place, name, file)


def read_checkpoint(
    path: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> Restored:
    """A checkpoint or savepoint by the path or URL of its file; nothing is locked."""
    folder, _, name = os.fspath(path).rpartition("/")
    place = _open(
        folder or ("/" if os.fspath(path).startswith("/") else "."), True, storage_options
    )
    return _read(place, name)


def checkpoint_name(number: int) -> str:
    return f"checkpoint-{number:08}.ckpt"


def savepoint_name(name: str) -> str:
    return f"savepoint-{name}.ckpt"


def _numbers(names: Mapping[str, int]) -> Iterator[int]:
    """Numbers of checkpoints; names that only look like one are somebody else's."""
    for name in names:
        match = CHECKPOINT.fullmatch(name)
        if match and checkpoint_name(int(match[1])) == name:
            yield int(match[1])


def _open(
    place: str | os.PathLike[str] | ObjectStore, read_only: bool, options: Mapping[str, Any] | None
) -> Place:
    if not isinstance(place, (str, os.PathLike)):
        return Objects(place, repr(place))
    path = os.fspath(place)
    if is_url(path):
        return open_url(path, options or {})
    if path.startswith("file://"):
        path = unquote(urlparse(path).path)
    return Directory(path, read_only=read_only)


def _read(place: Place, name: str) -> Restored:
    with place.open(name) as (source, size):
        decoded = decode(source, size, place.path(name))
    return Restored(_info(place, name, decoded), decoded.snapshot)


def _info(place: Place, name: str, file: Encoded | Decoded) -> CheckpointInfo:
    match = CHECKPOINT.fullmatch(name)
    number = int(match[1]) if match else None
    return CheckpointInfo(place.path(name), number, file.size_bytes, file.sha256)


def _none_is_readable(damaged: list[Damaged]) -> str:
    files = "".join(f"\n  {file.path}: {file.reason}" for file in damaged)
    return (
        f"all {len(damaged)} checkpoints are damaged; start from a savepoint, or in an empty "
        f"directory from the beginning:{files}"
    )


def _warn(text: str) -> None:
    warnings.warn(text, CheckpointWarning, stacklevel=3)
