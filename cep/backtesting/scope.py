"""The part of the labelled data that is scored, and its days."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cep.backtesting.intervals import Floats, resample_days
from cep.backtesting.labels import Labels
from cep.engine.batch import Bools, Int64s

DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Scope:
    """Events and alerts from `start_us` (included) to `end_us` (excluded); None: no bound.

    An event belongs to it by its own time, an alert by when it was found, a case by its first
    labelled event: so parts that cover the whole add up to it. What is known only after the last
    event of the data (an absence at their end) counts as if it were at its time. Days are those of
    the calendar in UTC, from that of the first to that of the last event of the part. What is
    computed here is shared by all patterns.
    """

    labels: Labels
    confidence: float = 0.95
    seed: int = 0
    start_us: int | None = None
    end_us: int | None = None

    def part(self, start_us: int | None, end_us: int | None) -> Scope:
        """What lies in both this one and the given bounds."""
        starts = [bound for bound in (self.start_us, start_us) if bound is not None]
        ends = [bound for bound in (self.end_us, end_us) if bound is not None]
        return replace(self, start_us=max(starts, default=None), end_us=min(ends, default=None))

    def holds(self, time_us: Int64s) -> Bools:
        """(n,) which times lie in it."""
        inside = np.ones(len(time_us), np.bool_)
        first, last = self.labels.extent_us
        if self.start_us is not None and self.start_us > first:
            inside &= np.minimum(time_us, last) >= self.start_us
        if self.end_us is not None and self.end_us <= last:
            inside &= np.maximum(time_us, first) < self.end_us
        return inside

    @cached_property
    def bounds_us(self) -> tuple[int, int]:
        """(first, last) time that it covers, of those of the data; first > last: there are none."""
        first, last = self.labels.extent_us
        first = first if self.start_us is None else max(first, self.start_us)
        return first, last if self.end_us is None else min(last, self.end_us - 1)

    @cached_property
    def days(self) -> int:
        first, last = self.bounds_us
        return last // DAY_US - first // DAY_US + 1 if first <= last else 0

    def day_of(self, time_us: Int64s) -> Int64s:
        """(n,) the day of each time, from 0. Only where there are days."""
        return np.clip(time_us // DAY_US - self.bounds_us[0] // DAY_US, 0, self.days - 1)

    def per_day(self, time_us: Int64s) -> Int64s:
        """(days,) how many of the times lie on each day."""
        return np.bincount(self.day_of(time_us), minlength=self.days)

    @cached_property
    def events(self) -> int:
        """The number of events, labelled or not."""
        return int(self.holds(self.labels.time_us).sum())

    @cached_property
    def labelled_us(self) -> Int64s:
        """The times of the labelled events in it."""
        times = self.labels.time_us[self.labels.labelled]
        return times[self.holds(times)]

    @property
    def labelled(self) -> int:
        return len(self.labelled_us)

    @cached_property
    def labelled_per_day(self) -> Int64s:
        return self.per_day(self.labelled_us)

    @cached_property
    def cases(self) -> Int64s:
        """The numbers of the cases that belong to it."""
        return np.flatnonzero(self.holds(self.labels.begin_us))

    @cached_property
    def case_day(self) -> Int64s:
        """(cases,) the day of each of them."""
        return self.day_of(self.labels.begin_us[self.cases])

    @cached_property
    def worth_per_day(self) -> Floats:
        """(days,) what the cases of each day are worth."""
        return self.amounts_per_day(self.labels.case_amounts)

    def amounts_per_day(self, amounts: Floats) -> Floats:
        """(days,) sums of something that every case, those of other parts as well, has."""
        sums = np.bincount(self.case_day, amounts[self.cases], minlength=self.days)
        return sums.astype(np.float64)

    @cached_property
    def draws(self) -> Floats:
        """(resamples, days) how often each day is drawn."""
        return resample_days(self.days, self.seed)
