"""What can go wrong with a checkpoint: it cannot be written or read, or it is damaged."""

from __future__ import annotations

from cep.engine.algebra.errors import CepError


class CheckpointError(CepError):
    """A checkpoint that cannot be written, read or found."""


class DamagedCheckpointError(CheckpointError):
    """A file that is not, or is no longer, the checkpoint that was written under its name."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name}: {reason}; use an older checkpoint, or a copy of this file")


class CheckpointWarning(UserWarning):
    """A damaged checkpoint was passed over, or an old file could not be deleted."""
