"""Tables of results -> calls of a Python function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cep.engine.snapshot import Value


@dataclass(frozen=True, slots=True)
class CallableSink:
    """Calls `function(table)` for rows as they come, before the checkpoint after them.

    After a restart it is called again with the rows since the last checkpoint: at least once. (In a
    job with the guarantee "at-most-once" these rows are not repeated.) It is called on a thread of
    the job, one call after the other; while it runs, the source waits once the queues are full. An
    exception ends the job.
    """

    function: Callable[[pa.Table], Any]
    what: str = "matches"

    @property
    def commits(self) -> bool:
        return False

    @property
    def place(self) -> str:
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        return f"{self.what} -> function {name}"

    def __str__(self) -> str:
        return self.place.partition(" -> ")[2]

    def open(self, state: Value | None, *, at_once: bool) -> None:
        """There is nothing to go on from."""

    def write(self, table: pa.Table) -> None:
        """Call the function."""
        self.function(table)

    def prepare(self) -> Value:
        """All calls have returned: there is nothing to prepare."""
        return None

    def commit(self, state: Value) -> None:
        """Done already."""

    def close(self) -> None:
        """Nothing is held."""
