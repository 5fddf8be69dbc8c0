"""The wall clock, read here and nowhere else."""

from __future__ import annotations

import time


def now_seconds() -> float:
    """A monotonic reading in seconds; only differences between two readings mean something."""
    return time.perf_counter()


def now_us() -> int:
    """Wall-clock time in whole microseconds since 1970, UTC; it may be set back."""
    return time.time_ns() // 1_000
