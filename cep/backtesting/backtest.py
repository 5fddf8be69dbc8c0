"""Rules scored against labels: the scores, and what is behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cep.backtesting.checks import known_name
from cep.backtesting.found import Found, together
from cep.backtesting.periods import bound_us, periods
from cep.backtesting.scope import Scope
from cep.backtesting.score_table import ALL, ScoreTable, score_table
from cep.backtesting.scores import cases_found, delays_us, flagged_rows
from cep.engine.algebra.errors import DataError
from cep.engine.batch import Bools, Int64s
from cep.results.columns import take
from cep.results.values import counted

Unit = Literal["events", "cases"]


@dataclass(frozen=True, eq=False)
class Backtest:
    """What rules found of labelled data. Made by `cep.backtest`.

    `stream` is the labelled one, `data` its rows, `notes` what the run had to say. Parts of it,
    by time or by pattern, are backtests again, and nothing is run for them.
    """

    stream: str
    data: pa.Table
    notes: tuple[str, ...]
    _found: Mapping[str, Found]
    _scope: Scope

    @property
    def patterns(self) -> tuple[str, ...]:
        return tuple(self._found)

    @property
    def has_cases(self) -> bool:
        """Whether labelled events belong to cases: the labels are spans, or `case` was given."""
        return self._scope.labels.cases is not None

    @cached_property
    def scores(self) -> ScoreTable:
        """A row for each pattern and one for all of them as one, with confidence intervals."""
        return score_table(self._found, self._scope)

    @cached_property
    def _all(self) -> Found:
        return together(self._found.values(), len(self._scope.labels.begin_us))

    # ---- parts

    def only(self, *patterns: str) -> Backtest:
        """Some of the patterns as a set. Raises DataError for one that there is not."""
        for name in patterns:
            known_name("no pattern", name, self.patterns)
        return replace(self, _found={name: self._found[name] for name in patterns})

    def between(self, start: datetime | str | None, end: datetime | str | None) -> Backtest:
        """What happened from `start` (included) to `end` (excluded); None: no bound.

        An event is counted where its own time lies, an alert where it was found, a case where its
        first labelled event lies. Bounds are datetimes or their texts, in UTC without a zone.
        """
        part = self._scope.part(bound_us(start, "start"), bound_us(end, "end"))
        return replace(self, _scope=part)

    def by_time(self, every: str | timedelta) -> pa.Table:
        """The scores of each period: start, end (excluded), then the columns of `scores`.

        `every`: "1 month" (of the calendar), or a duration such as "7 days". DataError for periods
        of no length, or more than 10,000.
        """
        parts = [self._period(*bounds) for bounds in periods(every, *self._scope.bounds_us)]
        return pa.concat_tables(parts) if parts else self._period(0, 0).slice(0, 0)

    def _period(self, start_us: int, end_us: int) -> pa.Table:
        part = replace(self, _scope=self._scope.part(start_us, end_us))
        table = part.scores.to_arrow()
        for place, (name, time_us) in enumerate((("start", start_us), ("end", end_us))):
            times: Any = pa.array([time_us] * table.num_rows, pa.timestamp("us"))
            table = table.add_column(place, name, times)
        return table

    # ---- what is behind the scores

    def delays(self, pattern: str = ALL) -> npt.NDArray[np.timedelta64]:
        """(cases found,) from the first labelled event of a case to the first alert about it."""
        known_name("no pattern", pattern, (*self.patterns, ALL))
        found = self._all if pattern == ALL else self._found[pattern]
        return delays_us(found, self._scope).astype("timedelta64[us]")

    @property
    def missed(self) -> pa.Table:
        """The labelled events that no pattern flags, as rows of the data."""
        labels = self._scope.labels
        inside = labels.labelled[self._scope.holds(labels.time_us[labels.labelled])]
        return take(self.data, np.setdiff1d(inside, self._all.flagged, assume_unique=True))

    @property
    def missed_cases(self) -> pa.Table:
        """The cases that no alert is about: what they are called, case_begin, case_events.

        With amounts also case_amount. Raises DataError where there are no cases.
        """
        labels = self._scope.labels
        if labels.cases is None:
            raise DataError("there are no cases: give `case`, or spans as labels")
        missed = np.setdiff1d(self._scope.cases, cases_found(self._all, self._scope))
        table = take(labels.cases, missed)
        begin: Any = pa.array(labels.begin_us[missed], pa.timestamp("us"))
        sizes: Any = pa.array(labels.case_sizes[missed])
        table = table.append_column("case_begin", begin).append_column("case_events", sizes)
        if labels.amount is None:
            return table
        amounts: Any = pa.array(labels.case_amounts[missed])
        return table.append_column("case_amount", amounts)

    @property
    def false_alerts(self) -> pa.Table:
        """The flagged events that are not labelled: pattern, then the row of the data.

        An event that several patterns flag is there once for each. A field called pattern is
        `event_pattern`.
        """
        parts = []
        for name in self.patterns:
            rows = self._rows(name)
            false = take(self.data, rows[self._scope.labels.case[rows] < 0])
            names = ["event_pattern" if n == "pattern" else n for n in false.schema.names]
            of: Any = pa.array([name] * false.num_rows, pa.string())
            parts.append(false.rename_columns(names).add_column(0, "pattern", of))
        if not parts:
            raise DataError("no patterns: nothing was scored")
        return pa.concat_tables(parts)

    def overlap(self, unit: Unit = "events") -> pa.Table:
        """How many flagged events, or cases found, each pattern has in common with each other.

        A row and a column for each pattern; on the diagonal stands what it has at all.
        """
        has = self._membership(unit)[1].astype(np.float64)
        common = (has @ has.T).astype(np.int64)
        columns = dict(zip(self.patterns, common, strict=True))
        return pa.table({"pattern": list(self.patterns), **columns})

    def contributions(self) -> pa.Table:
        """What each pattern adds to all others: what it alone flags, and finds.

        Columns pattern, true_events and false_events; cases where there are cases.
        """
        rows, has = self._membership("events")
        alone = has & (has.sum(axis=0) == 1)
        is_true = self._scope.labels.case[rows] >= 0
        columns: dict[str, Any] = {
            "pattern": list(self.patterns),
            "true_events": (alone & is_true).sum(axis=1),
            "false_events": (alone & ~is_true).sum(axis=1),
        }
        if self.has_cases:
            found = self._membership("cases")[1]
            columns["cases"] = (found & (found.sum(axis=0) == 1)).sum(axis=1)
        return pa.table(columns)

    def _membership(self, unit: Unit) -> tuple[Int64s, Bools]:
        """(numbers of rows or cases, shape (n,); whether each pattern has them, (patterns, n))."""
        known_name("no unit", unit, ("events", "cases"))
        of = self._rows if unit == "events" else self._cases
        several = [of(name) for name in self.patterns]
        numbers = np.unique(np.concatenate([np.zeros(0, np.int64), *several]))
        has = np.zeros((len(several), len(numbers)), np.bool_)
        for place, members in enumerate(several):
            has[place, np.searchsorted(numbers, members)] = True
        return numbers, has

    def _rows(self, pattern: str) -> Int64s:
        return flagged_rows(self._found[pattern], self._scope)

    def _cases(self, pattern: str) -> Int64s:
        return cases_found(self._found[pattern], self._scope)

    # ---- text

    def __str__(self) -> str:
        notes = [f"note: {note}" for note in self.notes]
        return "\n".join([self._headline(), str(self.scores), *notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from cep.display.scores import scores_html

        return scores_html(self._headline(), self.scores.rows(), self.notes)

    def _headline(self) -> str:
        scope = self._scope
        parts = [counted(scope.events, "event"), f"{scope.labelled:,} labelled"]
        if self.has_cases:
            parts.append(counted(len(scope.cases), "case"))
        return ", ".join([*parts, counted(scope.days, "day")])
