"""A directory with the last checkpoints and the journal of what came behind them."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from cep.engine.algebra.errors import DataError
from cep.engine.checkpoint.store import CheckpointInfo, CheckpointStore
from cep.engine.io.journal import Journal, Survives
from cep.engine.state.snapshot import Snapshot

JOURNAL = "journal.sqlite"


class Durability:
    """Of one process: a second one that opens the directory is refused with a CheckpointError."""

    def __init__(self, place: str, kept: int, survives: Survives) -> None:
        if "://" in place:
            raise DataError(
                f"checkpoints={place!r}: a journal must be in a directory of its machine"
            )
        self._store = CheckpointStore(place, keep=kept)
        try:
            self.journal = Journal(Path(place) / JOURNAL, survives)
        except BaseException:
            self._store.close()
            raise
        self._positions: deque[int] = deque(maxlen=kept)
        self.written = 0

    def latest(self) -> Snapshot | None:
        """The newest checkpoint that is not damaged; None where there is none at all."""
        found = self._store.latest()
        return None if found is None else found.snapshot

    def write(self, snapshot: Snapshot) -> CheckpointInfo:
        """Keep a snapshot of a `Core`, and let go of entries that no kept checkpoint needs.

        Whoever appends to the journal meanwhile may do so.
        """
        info = self._store.write(snapshot)
        self.written += 1
        self._positions.append(snapshot["position"])
        if len(self._positions) == self._positions.maxlen:
            self.journal.forget(self._positions[0])
        return info

    def close(self) -> None:
        """Let others use the directory."""
        try:
            self.journal.close()
        finally:
            self._store.close()
