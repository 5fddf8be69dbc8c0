"""A rule file, or a directory of them: their texts, and word whenever they may have changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from threading import Event

from cep.engine.algebra.errors import DataError
from cep.engine.io.clock import wait
from cep.engine.io.text_files import read_text

ENDING = ".cep"
QUIET_MS = 100  # without a change, before those that were are told: editors write several files
GROUP_MS = 1_600  # after which they are told in any case
ROUND_MS = 200  # how often to look whether the directory is still the same one
ROUNDS = 25  # after which to look at the files in any case: some file systems tell nothing
AGAIN_S = 1.0  # before a directory that is not there is looked for again


Watched = Callable[[], Iterable[Collection[object]]]


def read_rule_files(path: str) -> dict[str, str]:
    """The text of a rule file, or of all `*.cep` of a directory in the order of their names.

    By their paths. What begins with a dot is some editor's own. Raises DataError where the path, or
    a file, cannot be read.
    """
    if not Path(path).is_dir():
        return {path: read_text(path)}
    try:
        names = sorted(entry.name for entry in os.scandir(path) if entry.is_file())
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    own = [name for name in names if name.endswith(ENDING) and not name.startswith(".")]
    return {file: read_text(file) for file in (str(Path(path, name)) for name in own)}


def changes(path: str, stop: Event) -> Iterator[None]:
    """Yields once it watches, then whenever the files may have changed, until `stop` is set.

    A file is watched by way of its directory, for editors put a new file in its place. Raises
    ImportError where watchfiles is not installed.
    """
    try:
        from watchfiles import watch
    except ImportError as error:
        message = "watching rule files needs watchfiles: pip install 'cep[watch]'"
        raise ImportError(message) from error
    directory = path if Path(path).is_dir() else str(Path(path).parent)
    watched = partial(
        watch,
        directory,
        watch_filter=None,
        debounce=GROUP_MS,
        step=QUIET_MS,
        stop_event=stop,
        rust_timeout=ROUND_MS,
        yield_on_timeout=True,
        recursive=False,
        raise_interrupt=False,
    )
    return _changes(directory, stop, watched)


def _changes(directory: str, stop: Event, watched: Watched) -> Iterator[None]:
    """A directory that makes way for another one of its name is watched anew."""
    while not stop.is_set():
        known = _identity(directory)
        if known is None:
            yield
            wait(stop, AGAIN_S)
            continue
        for number, several in enumerate(watched()):
            if several or number % ROUNDS == 0:
                yield
            if _identity(directory) != known:
                break


def _identity(directory: str) -> tuple[int, int] | None:
    """Which directory it is; None: it is not there."""
    try:
        found = Path(directory).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
