"""Saved state -> running state, where the rules may have changed in between."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Restored:
    """What became of each statement's state when a detector was made from a snapshot.

    `kept`: as it was, with its state. `fresh`: it has changed and starts without state. `new`: it
    was not there. `dropped`: it is no longer there, and its state is gone.
    """

    kept: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = []
        for what in ("kept", "fresh", "new", "dropped"):
            names = getattr(self, what)
            if names:
                parts.append(f"{what}: {', '.join(names)}")
        return "; ".join(parts) or "nothing"
