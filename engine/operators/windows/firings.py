"""(key code, window) -> how often it has fired, for windows that late events have made fire again.

A window is forgotten when it closes. Telling which have closed costs nothing while none has.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

import numpy as np

from cep.engine.batch import Int64s


class Firings:
    """Counts by window and key; the windows in a heap, so that the first to close is at hand."""

    def __init__(self) -> None:
        self._counts: dict[int, dict[int, int]] = {}  # window -> key code -> times that it fired
        self._windows: list[int] = []  # a heap of the windows in `_counts`

    def of(self, code: int, window: int, otherwise: int) -> int:
        """How often the key's window has fired; `otherwise` where nothing is known of it."""
        counts = self._counts.get(window)
        return otherwise if counts is None else counts.get(code, otherwise)

    def put(self, code: int, window: int, count: int) -> None:
        """O(log windows) for the first key of a window, else O(1)."""
        if window not in self._counts:
            self._counts[window] = {}
            heappush(self._windows, window)
        self._counts[window][code] = count

    def close(self, last: int) -> None:
        """Forget the windows up to this one. O(1) where there is none, else O(log windows) each."""
        while self._windows and self._windows[0] <= last:
            del self._counts[heappop(self._windows)]

    def keep_keys(self, codes: Int64s) -> None:
        """Key i is from now on what was codes[i] (sorted); every key with a count is among them."""
        for window, counts in self._counts.items():
            places = np.searchsorted(codes, list(counts)).tolist()
            self._counts[window] = dict(zip(places, counts.values(), strict=True))

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """(key code, window, count), in no order."""
        for window, counts in self._counts.items():
            for code, count in counts.items():
                yield code, window, count
