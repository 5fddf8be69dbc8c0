"""Rules that run on and on: a source that can be read again, sinks, checkpoints, a guarantee.

source ──► detector ──► sinks           job = Job(FileSource("in"), rules, [FileSink("out")],
   └── position, state, rows ──► checkpoints                 checkpoint="checkpoints")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Unpack

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.io.sink import Sink
from cep.engine.state.snapshot import Snapshot
from cep.jobs.explain import explain_job
from cep.jobs.loop import JobLoop, JobPlan
from cep.jobs.options import (
    JobDetector,
    Store,
    as_source,
    check_guarantee,
    check_sinks,
    parse_every,
    parse_guarantee,
)
from cep.jobs.status import Counts, JobStatus
from cep.jobs.tables import OWN
from cep.options import JobOptions
from cep.rules import Rules
from cep.rules import compile as compile_rules

Start = Callable[[Snapshot | None], JobDetector]


class Job:
    """Rules on a source, with results in sinks, that survives the end of its process.

    `source`: a FileSource, an IterableSource, a path, or a dict from stream name to these. `rules`:
    `cep.Rules` or their text. `sinks`: one or more FileSinks and CallableSinks, each of which takes
    one table of the results. `checkpoint`: a directory or URL (or a function that opens a store);
    one is made `every` so much time (`timedelta`, seconds, "10 seconds") or so many rows ("5000
    rows"), and the last `keep` are kept. `guarantee`: "exactly-once", "at-least-once" or
    "at-most-once", see docs/jobs.md. `workers`: threads that detect. `options` are
    those of `cep.Detector` (`tables`, `schemas`, `time`, ...); `detector` is a function from a
    snapshot (None: begin) to a detector where it is not to be `cep.Detector`.

    Raises DataError where source, sinks and checkpoints cannot hold the guarantee. Nothing is read
    or written before `run()`.
    """

    def __init__(
        self,
        source: Any,
        rules: Rules | str,
        sinks: Sink | Sequence[Sink],
        *,
        checkpoint: str | os.PathLike[str] | Callable[[], Store] | None = None,
        every: timedelta | float | str = "10 seconds",
        guarantee: str = "exactly-once",
        keep: int = 3,
        workers: int = 1,
        detector: Start | None = None,
        **options: Unpack[JobOptions],
    ) -> None:
        self._source = as_source(source)
        self._rules = compile_rules(rules) if isinstance(rules, str) else rules
        self._sinks = tuple(sinks) if isinstance(sinks, Sequence) else (sinks,)
        self._guarantee = parse_guarantee(guarantee)
        self._every = parse_every(every)
        self._workers = workers
        check_sinks(self._sinks)
        _check_tables(self._sinks, self._rules)
        check_guarantee(
            self._guarantee, self._source, self._sinks, has_store=checkpoint is not None
        )
        self._open_store = _store_at(checkpoint, keep)
        self._start = detector or _detector_of(self._rules, workers, options)
        self._counts = Counts()
        self._loop: JobLoop | None = None
        self._is_asked_to_stop = False

    @property
    def guarantee(self) -> str:
        """What holds from end to end: "exactly-once", "at-least-once" or "at-most-once"."""
        return self._guarantee.value

    def run(self, until: Callable[[JobStatus], bool] | None = None) -> JobStatus:
        """Go on from the last checkpoint, else begin; returns once the job has stopped.

        That is at the end of a bounded source (which is then finished for good: absences and
        windows at the end are decided), after `stop()`, or once `until(status)` is true, which is
        asked after each batch that was read. Raises JobError with the cause where anything fails:
        nothing of what the guarantee promises is lost by it, run the job again.
        """
        if self._loop is not None:
            raise DataError("this job is running already")
        self._counts = Counts()
        loop = self._loop = JobLoop(self._plan(), self._counts)
        if self._is_asked_to_stop:
            loop.stop()
        try:
            loop.run(until)
        finally:
            self._loop, self._is_asked_to_stop = None, False
        return self.status()

    def stop(self) -> None:
        """Ask `run()` to return: what has been read is worked on, a last checkpoint is made.

        Does not wait. May be called by another thread or a signal handler, also before `run()`. A
        source that blocks (an iterable that waits for its next item) is noticed when it comes back.
        """
        self._is_asked_to_stop = True
        if (loop := self._loop) is not None:
            loop.stop()

    def status(self) -> JobStatus:
        """How far the job is; its `str()` is a line of text."""
        return self._counts.status()

    def explain(self) -> str:
        """The dataflow as text: source, operators, sinks, and how rows go from one to another."""
        return explain_job(self._source, self._rules, self._sinks, self._workers, self.guarantee)

    def _plan(self) -> JobPlan:
        declared = declared_fields(self._rules)
        checked = (self._open_store, self._every, self._guarantee)
        return JobPlan(self._source, declared, self._start, self._sinks, *checked)


def declared_fields(rules: Rules) -> Mapping[str, Mapping[str, DataType]]:
    """Stream -> its declared fields; "" is the stream of rules that have only one."""
    fields = {s.name: {f.name: f.type for f in s.fields} for s in rules.base_streams}
    return {**fields, "": next(iter(fields.values()))} if len(fields) == 1 else fields


def _check_tables(sinks: Sequence[Sink], rules: Rules) -> None:
    """DataError for a sink of a table that there is not."""
    made = rules.rule_set
    derived = [*(plan.name for plan in made.aggregates), *(plan.name for plan in made.joins)]
    for sink in sinks:
        if sink.what not in (*OWN, *derived):
            known = ", ".join((*OWN, *derived))
            raise DataError(f"a sink of {sink.what!r}: the results have {known}")


def _store_at(checkpoint: Any, keep: int) -> Callable[[], Store] | None:
    """Opened by `run`: a store is locked while it is open."""
    if checkpoint is None or callable(checkpoint):
        return checkpoint  # type: ignore[no-any-return]

    def open_store() -> Store:
        from cep.engine.checkpoint.store import CheckpointStore

        return CheckpointStore(checkpoint, keep=keep)

    return open_store


def _detector_of(rules: Rules, workers: int, options: JobOptions) -> Start:
    def start(snapshot: Snapshot | None) -> JobDetector:
        """Imported here: compiled kernels cost time that a refused job need not spend."""
        from cep.detector import Detector

        if snapshot is None:
            return Detector(rules, workers=workers, **options)
        return Detector.from_snapshot(snapshot, rules, workers=workers, **options)

    return start
