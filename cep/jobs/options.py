"""What a job is asked for -> checked options, or an error that says what cannot be held."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import pyarrow as pa

from cep.engine.algebra.errors import CepError, DataError
from cep.engine.io.replay.files import FileSource
from cep.engine.io.replay.source import ReplaySource
from cep.engine.io.replay.streams import StreamsSource
from cep.engine.io.sink import Sink
from cep.engine.state.snapshot import Snapshot
from cep.jobs.guarantee import Guarantee


class JobError(CepError):
    """A job that ended because one of its parts failed; the reason is its `__cause__`."""


class Found(Protocol):
    """A checkpoint that was read."""

    @property
    def snapshot(self) -> Snapshot: ...


class Store(Protocol):
    """Keeps checkpoints: `write` returns once one is safe, `latest` finds it again."""

    def write(self, snapshot: Snapshot) -> Any: ...
    def latest(self) -> Found | None: ...
    def close(self) -> None: ...


class JobDetector(Protocol):
    """What a job needs of `cep.Detector`; called by one thread."""

    def process_batch(self, table: pa.Table, stream: str | None = None) -> Any: ...
    def tick(self) -> Any: ...
    def finish(self) -> Any: ...
    def snapshot(self) -> Snapshot: ...
    def status(self) -> dict[str, Any]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Every:
    """When a checkpoint is due: after so many seconds, or rows read."""

    seconds: float | None = None
    rows: int | None = None

    def is_due(self, seconds: float, rows: int) -> bool:
        if self.rows is not None:
            return rows >= self.rows
        return self.seconds is not None and seconds >= self.seconds


def parse_every(every: timedelta | float | str) -> Every:
    """Seconds, a timedelta, "10 seconds" or "5000 rows". DataError for anything else."""
    if isinstance(every, str) and (found := re.fullmatch(r"\s*([\d_,]+)\s+rows?\s*", every)):
        made = Every(rows=int(found[1].replace("_", "").replace(",", "")))
    elif isinstance(every, str):
        from cep.dsl.parts import parse_duration

        made = Every(seconds=parse_duration(every) / 1e6)
    elif isinstance(every, timedelta):
        made = Every(seconds=every.total_seconds())
    else:
        made = Every(seconds=float(every))
    if (made.rows or made.seconds or 0) <= 0:
        message = f"every={every!r}: a checkpoint must be some time or some rows after the last"
        raise DataError(f'{message}, such as "10 seconds" or "5000 rows"')
    return made


def as_source(source: Any) -> ReplaySource:
    """A source, a path, or a dict from stream name to either."""
    if isinstance(source, Mapping):
        return StreamsSource({name: as_source(one) for name, one in source.items()})
    if isinstance(source, (str, os.PathLike)):
        return FileSource(source)
    if not hasattr(source, "read") or not hasattr(source, "has_positions"):
        message = f"a job cannot read from {type(source).__name__}: give a FileSource, an"
        raise DataError(f"{message} IterableSource, a path, or a dict from stream to these")
    return source  # type: ignore[no-any-return]


def check_guarantee(
    guarantee: Guarantee, source: ReplaySource, sinks: Sequence[Sink], *, has_store: bool
) -> None:
    """DataError where source, sinks and checkpoints together cannot hold what is promised."""
    lacking = []
    if guarantee is not Guarantee.AT_MOST_ONCE and not source.has_positions:
        lacking.append(
            f"the source ({source}) has no positions, so what was read since the last checkpoint "
            "is lost with the process: give a FileSource, or an IterableSource whose items have "
            "positions"
        )
    if guarantee is Guarantee.AT_MOST_ONCE and source.has_positions and not has_store:
        lacking.append(
            f"there are no checkpoints, so a restart reads all of the source ({source}) again: add "
            "checkpoint=DIRECTORY"
        )
    if guarantee is Guarantee.EXACTLY_ONCE:
        if not has_store:
            lacking.append(
                "there are no checkpoints, so a restart begins again: add checkpoint=DIRECTORY"
            )
        lacking += [
            f"the sink {sink.place!r} cannot take back what it was given since the last "
            "checkpoint: use a FileSink"
            for sink in sinks
            if not sink.commits
        ]
    if lacking:
        raise DataError(
            f"{guarantee} cannot be held: {'; '.join(lacking)}; or be content with "
            f"guarantee={str(_other(source))!r}"
        )


def _other(source: ReplaySource) -> Guarantee:
    """What holds without checkpoints, and with any sink."""
    return Guarantee.AT_LEAST_ONCE if source.has_positions else Guarantee.AT_MOST_ONCE


def check_sinks(sinks: Sequence[Sink]) -> None:
    """DataError for no sink, and for two that write to the same place."""
    if not sinks:
        raise DataError("a job without a sink has no output: give a FileSink or a CallableSink")
    places = [sink.place for sink in sinks]
    for place in places:
        if places.count(place) > 1:
            raise DataError(f"two sinks write to {place}: give each a directory of its own")


def parse_guarantee(guarantee: str) -> Guarantee:
    """By its name; DataError for another."""
    try:
        return Guarantee(guarantee)
    except ValueError:
        known = ", ".join(Guarantee)
        raise DataError(f"guarantee={guarantee!r}: there are {known}") from None
