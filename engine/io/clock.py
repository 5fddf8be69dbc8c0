"""The wall clock, read here and nowhere else."""

from __future__ import annotations

import time


def now_seconds() -> float:
    """A monotonic reading in seconds; only differences between two readings mean something."""
    return time.perf_counter()
