"""The numbers of a job: how far it is, what came out, what its checkpoints cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cep.jobs.tables import OWN
from cep.results.values import counted


@dataclass(frozen=True, slots=True)
class JobStatus:
    """`state`: new, running, stopping, stopped, finished (its input has ended) or failed.

    `rows` have been read since the very first start, `restored_rows` of them before this process.
    `written`: rows per sink in this process. `errors` counts broken rows and those set aside.
    `pause_us`: how long the last checkpoint kept the detector from working; `write_us`: how long it
    took to write. `restored`: the number of the checkpoint from which the job went on, or None.
    `position` of the source and `detector` (its own status) are those of the last checkpoint.
    """

    state: str
    rows: int = 0
    batches: int = 0
    errors: int = 0
    written: dict[str, int] = field(default_factory=dict)
    checkpoints: int = 0
    checkpoint: int | None = None
    restored: int | None = None
    restored_rows: int = 0
    pause_us: int = 0
    write_us: int = 0
    position: Any = None
    detector: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{self.state}: {counted(self.rows, 'row')} read"]
        if self.restored is not None:
            parts.append(f"went on from checkpoint {self.restored} at {self.restored_rows:,}")
        parts += [f"{rows:,} {_named(what)}" for what, rows in self.written.items()]
        if self.errors:
            parts.append(f"{counted(self.errors, 'row')} with errors")
        if self.checkpoint is not None:
            cost = (
                f"(pause {self.pause_us / 1000:.1f} ms, written in {self.write_us / 1000:.1f} ms)"
            )
            parts.append(f"checkpoint {self.checkpoint} {cost}")
        return ", ".join(parts)


def _named(what: str) -> str:
    return what if what in OWN else f"rows of {what}"


@dataclass(slots=True)
class Counts:
    """The same while it changes: each field belongs to one thread of the job."""

    state: str = "new"
    rows: int = 0
    batches: int = 0
    errors: int = 0
    written: Counter[str] = field(default_factory=Counter)
    checkpoints: int = 0
    checkpoint: int | None = None
    restored: int | None = None
    restored_rows: int = 0
    pause_us: int = 0
    write_us: int = 0
    position: Any = None
    detector: dict[str, Any] = field(default_factory=dict)

    def status(self) -> JobStatus:
        """As it is now."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return JobStatus(**{**values, "written": dict(self.written)})
