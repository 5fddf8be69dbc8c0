"""Values -> how many of them lie below each of some bounds, as metrics systems ask for them."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

# fmt: off
SECONDS_OF_CALLS = (
    5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3,
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
)
# fmt: on
SECONDS_OF_CHECKPOINTS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
BYTES_OF_CHECKPOINTS = tuple(float(1 << power) for power in range(10, 35, 2))  # 1 KiB to 16 GiB


class Histogram:
    """Counts of values by bounds, which are upper ones and belong to what they bound.

    `add` costs some 200 nanoseconds and takes no lock: who shares one has a lock anyway.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def copy(self) -> Histogram:
        """As it is now."""
        copied = Histogram(self.bounds)
        copied.counts, copied.sum = self.counts.copy(), self.sum
        return copied

    def __len__(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def up_to(self) -> list[int]:
        """How many values were at most each bound, and at the end how many there were."""
        return list(accumulate(self.counts))
