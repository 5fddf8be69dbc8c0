"""`cep run` with --follow or --checkpoint-dir: options -> a job, run until it is stopped."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import typer

from cep.engine.io.callable_sink import CallableSink
from cep.engine.io.file_sink import FileSink
from cep.engine.io.replay.files import FileSource
from cep.engine.io.sink import Sink
from cep.engine.io.writers import TextWriter
from cep.jobs.guarantee import Guarantee
from cep.jobs.job import Job
from cep.rules import Rules


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What the command line says about a job. `directories`: per table, None for stdout."""

    follow: bool
    checkpoint: str | None
    every: str
    guarantee: Guarantee | None
    directories: Mapping[str, str | None]
    format: str | None


def run_job(rules: Rules, inputs: Any, options: JobOptions) -> None:
    """Run, let SIGINT and SIGTERM stop it with a last checkpoint, say how far it came."""
    job = make_job(rules, inputs, options)
    with stopped_by_signals(job):
        status = job.run()
    typer.echo(f"{status} ({job.guarantee})", err=True)


def make_job(rules: Rules, inputs: Any, options: JobOptions) -> Job:
    """The strongest guarantee that holds, unless one is asked for."""
    sinks = list(_sinks(options))
    can_commit = options.checkpoint is not None and all(sink.commits for sink in sinks)
    strongest = Guarantee.EXACTLY_ONCE if can_commit else Guarantee.AT_LEAST_ONCE
    return Job(
        _source(inputs, options.follow),
        rules,
        sinks,
        checkpoint=options.checkpoint,
        every=options.every,
        guarantee=options.guarantee or strongest,
    )


def _source(inputs: Any, follow: bool) -> Any:
    named = inputs if isinstance(inputs, dict) else {"": inputs}
    if "-" in named.values():
        message = "a job cannot read stdin, which cannot be read again: give a file or a directory"
        raise typer.BadParameter(message, param_hint="--input")
    sources = {name: FileSource(path, follow=follow) for name, path in named.items()}
    return sources.get("", sources)


def _sinks(options: JobOptions) -> Iterator[Sink]:
    format_ = options.format
    for what, directory in options.directories.items():
        if directory is not None:
            _check_directory(directory)
            if format_ == "table":
                message = "a table is for the terminal only"
                raise typer.BadParameter(message, param_hint="--format")
            yield FileSink(directory, what, format_ or "parquet")
        elif what == "matches":
            if format_ not in (None, "jsonl", "csv"):
                message = f"{format_} needs --output DIRECTORY"
                raise typer.BadParameter(message, param_hint="--format")
            yield CallableSink(_Printer(format_ or "jsonl"))


def _check_directory(directory: str) -> None:
    if Path(directory).is_file() or Path(directory).suffix in (".parquet", ".csv", ".jsonl"):
        message = f"{directory}: a job writes many files, so this must be a directory"
        raise typer.BadParameter(message, param_hint="--output")


class _Printer:
    """Rows as text on stdout, at once."""

    def __init__(self, format_: str) -> None:
        self._writer = TextWriter(sys.stdout, format_)

    def __call__(self, table: pa.Table) -> None:
        self._writer.write(table)
        sys.stdout.flush()


@contextmanager
def stopped_by_signals(job: Job) -> Iterator[None]:
    """The first SIGINT or SIGTERM stops the job in good order, a second one does what it did."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: object) -> None:
        job.stop()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
