"""Snapshots -> checkpoints written by one thread in the background, while events go on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from cep.engine.checkpoint.errors import CheckpointError
from cep.engine.checkpoint.store import CheckpointInfo, CheckpointStore
from cep.engine.io.clock import now_seconds
from cep.engine.state.snapshot import Snapshot

OnDurable = Callable[[CheckpointInfo], None]


@dataclass(frozen=True, slots=True)
class WriteMetrics:
    """What the last successful write cost, and how many there were.

    `seconds` lie between the begin of the write and its being durable; `waited_seconds` is how long
    the caller was held up because the write before had not ended.
    """

    writes: int = 0
    seconds: float = 0.0
    size_bytes: int = 0
    waited_seconds: float = 0.0


class CheckpointWriter:
    """Writes one snapshot at a time; a second one waits until the first is written.

    An error of a write (or of what was to be done once it is durable) is raised once, by whatever
    is called next: `submit`, `result` or `close`. `submit` writes nothing when it raises. The store
    stays open.
    """

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cep-checkpoint")
        self._running: Future[CheckpointInfo] | None = None
        self._last: CheckpointInfo | None = None
        self._closed = False
        self.metrics = WriteMetrics()

    def submit(self, snapshot: Snapshot, on_durable: OnDurable | None = None) -> float:
        """Begin to write a snapshot that nobody changes any more; how many seconds it had to wait.

        `on_durable` is called in the background thread as soon as the checkpoint survives a crash:
        sinks may commit what belongs to it. It is not called where the write fails.
        """
        if self._closed:
            raise CheckpointError("this checkpoint writer is closed; make another one")
        started = now_seconds()
        self.result()
        waited = now_seconds() - started
        self._running = self._thread.submit(self._write, snapshot, on_durable, waited)
        return waited

    def is_writing(self) -> bool:
        return self._running is not None and not self._running.done()

    def result(self) -> CheckpointInfo | None:
        """Wait for the write in progress; the last checkpoint that was written, None before any."""
        running = self._running
        if running is not None:
            try:
                self._last = running.result()
            finally:
                if running.done():  # not where the wait itself was interrupted
                    self._running = None
        return self._last

    def close(self) -> None:
        """Wait for the write in progress, raise its error, and end the thread."""
        self._closed = True
        try:
            self.result()
        finally:
            self._thread.shutdown()

    def _write(
        self, snapshot: Snapshot, on_durable: OnDurable | None, waited: float
    ) -> CheckpointInfo:
        started = now_seconds()

        def durable(info: CheckpointInfo) -> None:
            seconds = now_seconds() - started
            count = self.metrics.writes + 1
            self.metrics = WriteMetrics(count, seconds, info.size_bytes, waited)
            if on_durable is not None:
                on_durable(info)

        return self._store.write(snapshot, durable)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; an error that is under way already is not hidden by one of the last write."""
        if error is None:
            self.close()
            return
        try:
            self.close()
        except Exception as later:
            error.add_note(f"and the last checkpoint failed: {later}")
