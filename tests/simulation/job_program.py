"""A job from files to files that can be told to kill itself, as a program or in a forked process.

    python -m tests.simulation.job_program FOLDER [--guarantee G] [--format F] [--kill-at POINT:N]

Reads FOLDER/in, writes FOLDER/out, keeps checkpoints in FOLDER/checkpoints. With `--kill-at` the
process ends itself by SIGKILL when it comes to the POINT for the Nth time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

import cep
from cep.engine.checkpoint.store import CheckpointStore
from cep.engine.io.callable_sink import CallableSink
from cep.engine.io.file_sink import FileSink
from cep.engine.io.replay.files import FileSource
from cep.engine.io.sink import Sink
from cep.jobs.job import Job
from cep.jobs.status import JobStatus
from tests.simulation.fakes import JsonStore, SumDetector

RULES = cep.compile(
    """
    stream s (ts timestamp, id integer, key text, value integer) time ts lateness 3 seconds;
    pattern rise from s by key match a -> b within 20 seconds
      define a as value < 3, b as value > a.value + 2 select a.id as first, b.id as last;
    pattern silent from s by key match a -> not b within 8 seconds
      define a as value = 7, b as value < 7 select a.id as first;
    aggregate sums from s by key window tumbling 10 seconds
      select key, window_start, sum(value) as total, count(*) as n;
    """
)
CALLED = "called"
TABLES = {"matches": "out", "late": "late", "sums": "sums"}  # table -> folder of its sink
POINTS = (
    "fsync",
    "after fsync",
    "replace",
    "after replace",
    "rename",
    "after rename",
    "unlink",
    "process_batch",
    "after process_batch",
    "snapshot",
    "after snapshot",
    "prepare",
    "after prepare",
    "store write",
    "after store write",
    "commit",
    "after commit",
)


@dataclass(frozen=True)
class Case:
    """What is run. `rows`: a job that follows its input stops once it has read so many.

    `real`: the rules above with `cep.Detector` and the checkpoint store, else the fakes.
    """

    folder: Path
    guarantee: str = "exactly-once"
    format: str = "jsonl"
    every: str = "100 rows"
    follow: bool = False
    rows: int = 0
    real: bool = False


class Appended:
    """What a function was called with, as lines of a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, table: pa.Table) -> None:
        self._folder.mkdir(exist_ok=True)
        text = "".join(json.dumps(row, default=str) + "\n" for row in table.to_pylist())
        with (self._folder / "part-called.jsonl").open("ab", buffering=0) as file:
            file.write(text.encode())


def make_job(case: Case) -> Job:
    source = FileSource(
        case.folder / "in",
        follow=case.follow,
        batch_rows=40,
        batch_bytes=1500,
        poll_seconds=0.001,
    )
    tables = TABLES if case.real else {"matches": TABLES["matches"]}
    sinks: list[Sink] = [
        FileSink(case.folder / to, what, case.format) for what, to in tables.items()
    ]
    if case.guarantee != "exactly-once":
        sinks.append(CallableSink(Appended(case.folder / CALLED)))
    store = case.folder / "checkpoints"
    return Job(
        source,
        RULES,
        sinks,
        checkpoint=store if case.real else lambda: JsonStore(store),
        every=case.every,
        guarantee=case.guarantee,
        detector=None if case.real else SumDetector,
    )


def run(case: Case, kill_at: str | None = None) -> JobStatus:
    """The job to its end, unless it is killed."""
    if kill_at is not None:
        plant(kill_at)
    until = (lambda status: bool(status.rows >= case.rows)) if case.follow else None
    return make_job(case).run(until)


def plant(kill_at: str) -> None:
    """Wrap what may be the point in functions that count, and kill at the Nth time."""
    point, _, times = kill_at.rpartition(":")
    assert point in POINTS, point
    counts: Counter[str] = Counter()
    guard = threading.Lock()

    def reached(name: str) -> None:
        with guard:
            counts[name] += 1
            if name == point and counts[name] == int(times):
                os.kill(os.getpid(), signal.SIGKILL)

    for name in ("fsync", "replace", "rename", "unlink"):
        _wrap(os, name, name, reached)
    for name in ("process_batch", "snapshot"):
        _wrap(SumDetector, name, name, reached)
        _wrap(cep.Detector, name, name, reached)
    for name in ("prepare", "commit"):
        _wrap(FileSink, name, name, reached)
    for store in (JsonStore, CheckpointStore):
        _wrap(store, "write", "store write", reached)


def _wrap(owner: Any, name: str, point: str, reached: Callable[[str], None]) -> None:
    inner = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        reached(point)
        result = inner(*arguments, **named)
        reached(f"after {point}")
        return result

    setattr(owner, name, wrapped)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--guarantee", default="exactly-once")
    parser.add_argument("--format", default="jsonl")
    parser.add_argument("--kill-at")
    parser.add_argument("--real", action="store_true")
    options = parser.parse_args()
    case = Case(options.folder, options.guarantee, options.format, real=options.real)
    print(run(case, options.kill_at))


if __name__ == "__main__":
    main()
