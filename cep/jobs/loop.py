"""Source -> detector -> sinks, each on a thread of its own, with barriers in between.

source thread ─ Events, Barrier, Tick ─► detector thread ─ Rows, PreCommit ─► sink thread ─┐
     ▲ waits while a channel is full                                                       │ Write
     └─────────────────── the last barrier is done ◄──── checkpoint thread ◄───────────────┘

A barrier follows the events before it through all channels. At a barrier the detector takes its
snapshot, the sinks prepare (all rows so far are where they survive), the checkpoint thread writes
position, snapshot and the sinks' states as one checkpoint, and only then the sinks commit. A
restart reads the last checkpoint: its position, its snapshot, its prepared rows.

Sinks that cannot take anything back hand rows out before the checkpoint (at least once) or keep
them until it is safe (at most once).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.checkpoint.store import CheckpointInfo
from cep.engine.io.clock import now_seconds, wait
from cep.engine.io.file_sink import commit_for
from cep.engine.io.replay.source import Declared, ReplaySource
from cep.engine.io.sink import Sink
from cep.engine.results import ErrorBatch
from cep.engine.state.snapshot import Snapshot, Value
from cep.jobs.channel import AbortedError, Channel
from cep.jobs.guarantee import Guarantee
from cep.jobs.options import Every, JobDetector, JobError, Store
from cep.jobs.status import Counts, JobStatus
from cep.jobs.tables import count_errors, has_rows, table_of
from cep.observability import logs

FORMAT = "cep job 1"
BATCHES_WAITING = 2  # in each channel
ENDED: Any = object()


@dataclass(frozen=True, slots=True)
class JobPlan:
    """Everything a loop needs; the same for every run of a job."""

    source: ReplaySource
    declared: Declared
    start_detector: Callable[[Snapshot | None], JobDetector]
    sinks: Sequence[Sink]
    open_store: Callable[[], Store] | None
    every: Every
    guarantee: Guarantee

    @property
    def at_once(self) -> bool:
        """Sinks need not wait for the checkpoint: rows may come twice, or there is none."""
        return self.guarantee is Guarantee.AT_LEAST_ONCE or self.open_store is None


class Last(Enum):
    """Why a barrier is the last one."""

    STOP = "stopped"
    END = "finished"


@dataclass(frozen=True, slots=True)
class Events:
    stream: str | None
    table: pa.Table
    broken: Sequence[ErrorBatch]
    position: Value
    rows: int  # read so far, these included


@dataclass(frozen=True, slots=True)
class Barrier:
    position: Value
    rows: int
    last: Last | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing has come for a while: let the clock tell."""


@dataclass(frozen=True, slots=True)
class Rows:
    result: Any  # None: there were broken rows only
    broken: Sequence[ErrorBatch]


@dataclass(frozen=True, slots=True)
class PreCommit:
    number: int
    barrier: Barrier
    snapshot: Snapshot | None
    processed: int


@dataclass(frozen=True, slots=True)
class Write:
    number: int
    content: Snapshot
    states: dict[str, Value]
    last: Last | None


Message = Events | Barrier | Tick


class JobLoop:
    """One run of a job. `run` blocks; `stop` may come from any thread, also before `run`."""

    def __init__(self, plan: JobPlan, counts: Counts) -> None:
        self._plan = plan
        self._counts = counts
        self._inbox: Channel[Message] = Channel(BATCHES_WAITING)
        self._outbox: Channel[Rows | PreCommit] = Channel(BATCHES_WAITING)
        self._writes: Channel[Write] = Channel(1)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._store: Store | None = None
        self._position: Value = None
        self._number = 0  # of the last checkpoint that the detector thread has begun
        self._ticks_have_rows = False  # rows that no event read has caused, not yet in a checkpoint
        self._processed = 0  # batches since the very first start; belongs to the detector thread
        self._done_number = 0  # of the last checkpoint that is committed

    # ---- from outside

    def stop(self) -> None:
        """Read no further; what was read is worked on and kept in a last checkpoint."""
        self._stop.set()

    def run(self, until: Callable[[JobStatus], bool] | None) -> None:
        """To the end of the source, until `stop` or `until`. Raises JobError for any failure."""
        try:
            detector = self._restore()
            if detector is not None:
                self._counts.state = "running"
                try:
                    self._run_threads(detector, until)
                finally:
                    detector.close()
        except Exception as error:
            self._failure = self._failure or error
        finally:
            self._close()
        if self._failure is not None:
            self._counts.state = "failed"
            raise self._failed(self._failure) from self._failure

    def _run_threads(
        self, detector: JobDetector, until: Callable[[JobStatus], bool] | None
    ) -> None:
        work: list[tuple[str, Callable[[], None]]] = [
            ("source", lambda: self._read(until)),
            ("detector", lambda: self._detect(detector)),
            ("sinks", self._sink),
            ("checkpoints", self._write),
        ]
        threads = [
            threading.Thread(target=self._guarded, args=pair, name=f"cep job: {pair[0]}")
            for pair in work
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException as error:  # such as KeyboardInterrupt: no thread outlives run()
            self._fail(error)
            for thread in threads:
                thread.join()
            raise

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except AbortedError:
            pass
        except BaseException as error:
            error.add_note(f"in the {name} thread of the job")
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._stop.set()
        for channel in (self._inbox, self._outbox, self._writes):
            channel.abort()

    def _failed(self, error: BaseException) -> BaseException:
        if not isinstance(error, Exception):
            return error
        kept = self._counts.checkpoint or self._counts.restored
        from_where = "from its beginning" if kept is None else f"from checkpoint {kept}"
        if self._store is None and self._plan.guarantee is Guarantee.AT_MOST_ONCE:
            from_where = "with what the source has then"
        what = str(error) or type(error).__name__
        return JobError(f"the job has failed: {what}; run it again and it goes on {from_where}")

    def _close(self) -> None:
        for opened in (*self._plan.sinks, self._store):
            try:
                if opened is not None:
                    opened.close()
            except Exception as error:
                self._failure = self._failure or error

    # ---- going on from a checkpoint

    def _restore(self) -> JobDetector | None:
        """The detector as it was, or None where the job has finished already."""
        if self._plan.open_store is not None:
            self._store = self._plan.open_store()
        found = None if self._store is None else self._store.latest()
        content: Snapshot = {} if found is None else found.snapshot
        if found is not None:
            self._take_over(content)
        self._open_sinks(content.get("sinks", {}))
        if content.get("finished", False):
            self._counts.state = Last.END.value
            return None
        return self._plan.start_detector(content.get("detector"))

    def _take_over(self, content: Snapshot) -> None:
        if content.get("format") != FORMAT:
            message = f"the checkpoint is not one of a job ({content.get('format')!r:.40})"
            raise DataError(f"{message}: give another checkpoint directory")
        counts = self._counts
        counts.restored = counts.checkpoint = self._number = self._done_number = content["number"]
        self._processed = content["batches"]
        counts.restored_rows = counts.rows = content["rows"]
        self._position = counts.position = content["position"]

    def _open_sinks(self, states: Snapshot) -> None:
        places = {sink.place for sink in self._plan.sinks}
        for place, state in states.items():
            if place not in places and state is not None:
                commit_for(place, state)
        for sink in self._plan.sinks:
            sink.open(states.get(sink.place), at_once=self._plan.at_once)

    # ---- the source thread

    def _read(self, until: Callable[[JobStatus], bool] | None) -> None:
        timer = _Timer(self._plan.every, self._counts.rows)
        pieces = self._plan.source.read(self._position, self._plan.declared)
        last = Last.STOP
        while not self._stop.is_set():
            piece = next(pieces, ENDED)
            if piece is ENDED:
                last = Last.END
                break
            if piece is None:
                self._inbox.offer(Tick())
                self._barrier_if_due(timer)
                wait(self._stop, self._plan.source.poll_seconds)
                continue
            self._position = piece.position
            self._counts.rows += piece.table.num_rows + sum(map(len, piece.broken))
            events = (piece.stream, piece.table, piece.broken, piece.position, self._counts.rows)
            self._inbox.put(Events(*events))
            self._barrier_if_due(timer)
            if until is not None and until(self._counts.status()):
                break
        if last is Last.STOP and self._failure is None:
            self._counts.state = "stopping"
        self._inbox.put(Barrier(self._position, self._counts.rows, last))

    def _barrier_if_due(self, timer: _Timer) -> None:
        """One checkpoint at a time; none where nothing has been read since the last."""
        if self._done_number < timer.asked:
            return
        if timer.is_due(self._counts.rows, always=self._ticks_have_rows):
            self._ticks_have_rows = False
            timer.begin(self._counts.rows, self._done_number + 1)
            self._inbox.put(Barrier(self._position, self._counts.rows))

    # ---- the detector thread

    def _detect(self, detector: JobDetector) -> None:
        while True:
            message = self._inbox.get()
            if isinstance(message, Events):
                self._process(detector, message)
            elif isinstance(message, Tick):
                self._tick(detector)
            else:
                self._barrier(detector, message)
                if message.last is not None:
                    return

    def _process(self, detector: JobDetector, events: Events) -> None:
        result = None
        if events.table.num_rows:
            result = detector.process_batch(events.table, events.stream)
            self._processed += 1
        self._counts.batches += 1
        self._outbox.put(Rows(result, events.broken))

    def _tick(self, detector: JobDetector) -> None:
        if not self._processed:
            return  # it does not know its streams yet
        result = detector.tick()
        if has_rows(result):
            self._ticks_have_rows = True
            self._outbox.put(Rows(result, ()))

    def _barrier(self, detector: JobDetector, barrier: Barrier) -> None:
        is_finished = barrier.last is Last.END
        if is_finished:
            self._outbox.put(Rows(detector.finish(), ()))
        begun = now_seconds()
        # The state of a finished detector is of no use: nothing can follow.
        is_kept = self._store is not None and not is_finished
        snapshot = detector.snapshot() if is_kept else None
        self._counts.pause_us = round((now_seconds() - begun) * 1e6)
        self._counts.detector = detector.status()
        self._number += 1
        self._outbox.put(PreCommit(self._number, barrier, snapshot, self._processed))

    # ---- the sink thread

    def _sink(self) -> None:
        while True:
            message = self._outbox.get()
            if isinstance(message, Rows):
                self._write_rows(message)
                continue
            states = {sink.place: sink.prepare() for sink in self._plan.sinks}
            content = self._content(message, states)
            self._writes.put(Write(message.number, content, states, message.barrier.last))
            if message.barrier.last is not None:
                return

    def _write_rows(self, rows: Rows) -> None:
        self._counts.errors += count_errors(rows.result, rows.broken)
        for sink in self._plan.sinks:
            table = table_of(rows.result, sink.what, rows.broken)
            if table is not None and table.num_rows:
                sink.write(table)
                self._counts.written[sink.what] += table.num_rows

    def _content(self, message: PreCommit, states: dict[str, Value]) -> Snapshot:
        return {
            "format": FORMAT,
            "number": message.number,
            "guarantee": self._plan.guarantee.value,
            "rows": message.barrier.rows,
            "batches": message.processed,
            "finished": message.barrier.last is Last.END,
            "position": message.barrier.position,
            "detector": message.snapshot,
            "sinks": states,
        }

    # ---- the checkpoint thread

    def _write(self) -> None:
        while True:
            write = self._writes.get()
            begun = now_seconds()
            if self._store is not None:
                info = self._store.write(write.content)
                if isinstance(info, CheckpointInfo):
                    logs.wrote(info, now_seconds() - begun)
                self._counts.checkpoint = write.number
                self._counts.checkpoints += 1
            for sink in self._plan.sinks:
                sink.commit(write.states[sink.place])
            self._counts.position = write.content["position"]
            self._counts.write_us = round((now_seconds() - begun) * 1e6)
            self._done_number = write.number
            if write.last is not None:
                self._counts.state = write.last.value
                return


class _Timer:
    """When the next checkpoint is due, and up to which one the source has asked for them."""

    def __init__(self, every: Every, rows: int) -> None:
        self._every = every
        self.asked = 0
        self._rows = rows
        self._begun = now_seconds()

    def is_due(self, rows: int, *, always: bool) -> bool:
        """`always`: there is something to keep although nothing has been read."""
        new = rows - self._rows
        return (new > 0 or always) and self._every.is_due(now_seconds() - self._begun, new)

    def begin(self, rows: int, number: int) -> None:
        self._rows, self._begun, self.asked = rows, now_seconds(), number
