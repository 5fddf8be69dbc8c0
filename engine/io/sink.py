"""What a job writes to: tables, made final at each checkpoint."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa

from cep.engine.state.snapshot import Value


class Sink(Protocol):
    """Where one table of the results goes.

    `what`: which one (matches, timeouts, errors, late, or a stream that the rules make). `commits`:
    rows become visible with the checkpoint after them and not before, each exactly once. `place`
    tells sinks apart: a job has one sink for a place, and a checkpoint holds its state by it.

    `open` comes first, also for the next run of the job; then `write`s and, at each checkpoint,
    `prepare` are called by one thread. `commit` follows each `prepare` in order, maybe on another
    thread while rows are written.
    """

    @property
    def what(self) -> str: ...
    @property
    def commits(self) -> bool: ...
    @property
    def place(self) -> str: ...

    def open(self, state: Value | None, *, at_once: bool) -> None:
        """Begin, or go on from the state in a checkpoint: what it names is committed again.

        `at_once`: rows may be handed out before the checkpoint is safe (at least once), or there is
        none; a sink that cannot take rows back hands them out as they come. Without it nothing is
        handed out before `commit`.
        """
        ...

    def write(self, table: pa.Table) -> None:
        """Take rows. Blocks for as long as the sink cannot take more."""
        ...

    def prepare(self) -> Value:
        """Put all rows taken so far where they survive; the state to be kept in the checkpoint."""
        ...

    def commit(self, state: Value) -> None:
        """The checkpoint with this state is safe: make its rows visible. Idempotent."""
        ...

    def close(self) -> None:
        """Let go of everything; rows that are not prepared are given up."""
        ...
