"""Windows aligned to time: event times -> panes -> numbers of windows -> their starts and ends.

Times are exact: ends beyond what 64 bits hold are the last moment there is, and starts the first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cep.engine.algebra.errors import Problem, RuleError
from cep.engine.algebra.plan import Window, WindowKind
from cep.engine.batch import Int64s
from cep.engine.columns.arithmetic import INT64_MAX, INT64_MIN
from cep.engine.kernels import windows_layout as layout

BEYOND = 2**62  # no window has a number like this


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Panes of `pane_us` from `offset_us` on; `size` and `slide` count panes.

    Cumulating windows are numbered by their last pane, and `size` of them share a start.
    """

    pane_us: int
    offset_us: int
    size: int
    slide: int
    cumulates: bool = False

    def words(self, alone: bool) -> Int64s:
        """The grid for the kernels; `alone`: entries are windows."""
        grid = np.zeros(layout.GRID, np.int64)
        grid[layout.SIZE], grid[layout.SLIDE] = self.size, self.slide
        grid[layout.CUMULATES], grid[layout.ALONE] = self.cumulates, alone
        return grid

    @property
    def has_gaps(self) -> bool:
        """Whether there are events that no window covers."""
        return self.slide > self.size

    def panes(self, time_us: Int64s) -> Int64s:
        """The pane of each time; times before 1970 round down like all others."""
        quotient, rest = divmod(self.offset_us, self.pane_us)
        if len(time_us) and (one := self._one_pane(time_us)) is not None:
            return np.full(len(time_us), one)
        panes: Int64s = time_us // self.pane_us - quotient
        if rest:
            panes -= time_us % self.pane_us < rest
        return panes

    def _one_pane(self, time_us: Int64s) -> int | None:
        """The pane of all times, where it is one: division costs more than the rest of it."""
        low, high = int(time_us.min()), int(time_us.max())
        first, last = ((t - self.offset_us) // self.pane_us for t in (low, high))
        return first if first == last else None

    def first_windows(self, panes: Int64s) -> Int64s:
        """The first window that covers each pane."""
        if self.cumulates:
            return panes
        first: Int64s = (panes - self.size) // self.slide + 1
        return first

    def last_windows(self, panes: Int64s) -> Int64s:
        """The last one; less than the first where the pane lies between windows."""
        last: Int64s = panes // self.slide
        return panes // self.size * self.size + self.size - 1 if self.cumulates else last

    def ended(self, watermark_us: int) -> int:
        """The last window whose last moment is at or before the watermark."""
        if watermark_us >= INT64_MAX:
            return BEYOND
        panes_ended = (watermark_us + 1 - self.offset_us) // self.pane_us
        if self.cumulates:
            return max(panes_ended - 1, -BEYOND)
        return max((panes_ended - self.size) // self.slide, -BEYOND)

    def starts_us(self, windows: Int64s) -> Int64s:
        if self.cumulates:
            windows = windows // self.size * self.size
        return _saturated(windows, self.pane_us * self.slide, self.offset_us)

    def ends_us(self, windows: Int64s) -> Int64s:
        size = 1 if self.cumulates else self.size
        return _saturated(windows, self.pane_us * self.slide, self.offset_us + size * self.pane_us)


def _saturated(numbers: Int64s, step: int, offset: int) -> Int64s:
    """Numbers * step + offset, or the nearest 64-bit integer."""
    low, high = -((offset - INT64_MIN) // step), (INT64_MAX - offset) // step
    base, rest = divmod(offset, step)
    within = np.clip(numbers, max(low, INT64_MIN), min(high, INT64_MAX))
    found = (within + base) * step + rest
    found[numbers < low] = INT64_MIN
    found[numbers > high] = INT64_MAX
    return found


def grid_of(window: Window) -> WindowGrid:
    """The grid of tumbling, sliding and cumulating windows. Raises RuleError for one without sense.

    A size that is no multiple of the step has no cumulating windows.
    """
    size = window.size_us or 0
    slide = size if window.slide_us is None else window.slide_us
    if size <= 0 or slide <= 0:
        raise RuleError([Problem("a window must be longer than nothing")])
    if window.kind is WindowKind.CUMULATING:
        if size % slide:
            raise RuleError([Problem("the size of a cumulating window must be whole steps of it")])
        return WindowGrid(slide, window.offset_us % size, size // slide, 1, cumulates=True)
    pane = math.gcd(size, slide)
    return WindowGrid(pane, window.offset_us % slide, size // pane, slide // pane)


@dataclass(frozen=True, slots=True)
class CountGrid:
    """Windows of `size_events`, one every `slide_events`, over the events of a key.

    `fills`: window n begins at event n slide and fires when it is full (SQL); else window n ends
    with event (n + 1) slide, whatever it has by then (Flink's countWindow).
    """

    pane_events: int
    size: int
    slide: int
    shift: int

    def words(self) -> Int64s:
        grid = np.zeros(layout.GRID, np.int64)
        grid[layout.SIZE], grid[layout.SLIDE], grid[layout.SHIFT] = (
            self.size,
            self.slide,
            self.shift,
        )
        grid[layout.FROM_ZERO] = 1
        return grid

    def starts(self, windows: Int64s) -> Int64s:
        first: Int64s = np.maximum(windows * self.slide + self.shift, 0) * self.pane_events
        return first

    def ends(self, windows: Int64s) -> Int64s:
        return (windows * self.slide + self.shift + self.size) * self.pane_events


def count_grid_of(window: Window, fills: bool) -> CountGrid:
    size = window.size_events or 0
    slide = size if window.slide_events is None else window.slide_events
    if size <= 0 or slide <= 0:
        raise RuleError([Problem("a window must have at least one event")])
    pane = math.gcd(size, slide)
    shift = 0 if fills else (slide - size) // pane
    return CountGrid(pane, size // pane, slide // pane, shift)
