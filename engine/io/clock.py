"""The wall clock, read here and nowhere else."""

from __future__ import annotations

import threading
import time

# A monotonic reading in seconds; only differences between two readings mean something.
now_seconds = time.perf_counter


def wait(wakes: threading.Event, seconds: float) -> bool:
    """Sleep until the event is set, but no longer than this; whether it is set."""
    return wakes.wait(seconds)


def now_us() -> int:
    """Wall-clock time in whole microseconds since 1970, UTC; it may be set back."""
    return time.time_ns() // 1_000
