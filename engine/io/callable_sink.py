"""Tables of results -> calls of a Python function."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from cep.engine.state.snapshot import Value


class CallableSink:
    """Calls `function(table)` with rows.

    In a job with the guarantee "at-least-once" it is called as rows come, before the checkpoint
    after them: a restart calls it again with the rows since the last checkpoint. With
    "at-most-once" the rows wait in memory until that checkpoint is safe: a crash before they are
    handed out loses them. It is called on a thread of the job, one call after the other; while it
    runs, the source waits once the queues are full. An exception ends the job.
    """

    def __init__(self, function: Callable[[pa.Table], Any], what: str = "matches") -> None:
        self.what = what
        self._function = function
        self._at_once = True
        self._waiting: list[pa.Table] = []
        self._prepared: deque[list[pa.Table]] = deque()  # per checkpoint that is not yet safe

    @property
    def commits(self) -> bool:
        return False

    @property
    def place(self) -> str:
        return f"{self.what} -> {self}"

    def __str__(self) -> str:
        function = self._function
        return f"function {getattr(function, '__qualname__', type(function).__name__)}"

    def open(self, state: Value | None, *, at_once: bool) -> None:
        """There is nothing to go on from: rows that waited are gone."""
        self._at_once = at_once
        self._waiting = []
        self._prepared.clear()

    def write(self, table: pa.Table) -> None:
        """Call the function, or keep the rows until they may be handed out."""
        if self._at_once:
            self._function(table)
        else:
            self._waiting.append(table)

    def prepare(self) -> Value:
        """The rows so far belong to this checkpoint; nothing of them is kept in it."""
        self._prepared.append(self._waiting)
        self._waiting = []
        return None

    def commit(self, state: Value) -> None:
        """Hand out the rows of the oldest checkpoint that was prepared."""
        for table in self._prepared.popleft():
            self._function(table)

    def close(self) -> None:
        """Nothing is held."""
