"""Scores -> a table: for programs in Arrow, for people in text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from cep.backtesting.checks import known_name
from cep.backtesting.found import Found, together
from cep.backtesting.intervals import UNKNOWN, Estimate
from cep.backtesting.scope import Scope
from cep.backtesting.scores import Score, score
from cep.results.tabular import Tabular

ALL = "all"
"""The row of all patterns as one."""

OF_CASES = ("cases", "cases_found", "case_recall")
ESTIMATES = tuple(f.name for f in fields(Score) if isinstance(f.default, Estimate))


class ScoreTable(Tabular):
    """A row for each pattern, in the order of the rules, and one for "all" of them as one.

    `table["name"]` is the Score of a pattern; DataError for a name that has none.
    """

    def __init__(self, scores: Sequence[Score], *, has_cases: bool) -> None:
        self._scores = tuple(scores)
        self.has_cases = has_cases

    def __len__(self) -> int:
        return len(self._scores)

    def __getitem__(self, pattern: str) -> Score:
        known_name("no scores of a pattern", pattern, self.names)
        return self._scores[self.names.index(pattern)]

    def __iter__(self) -> Iterator[Score]:
        return iter(self._scores)

    @property
    def names(self) -> tuple[str, ...]:
        """The patterns, then "all"."""
        return tuple(score.pattern for score in self._scores)

    def to_arrow(self) -> pa.Table:
        """pattern, counts, then NAME, NAME_low, NAME_high for every score with an interval.

        Delays are durations; NULL is what is not known: the precision of what flags nothing, what
        is of cases or amounts where there are none.
        """
        columns: dict[str, Any] = {}
        for each in fields(Score):
            values = [getattr(score, each.name) for score in self._scores]
            if each.name in OF_CASES and not self.has_cases:
                values = [UNKNOWN if each.name in ESTIMATES else None] * len(self)
            columns |= _arrow_columns(each.name, values)
        return pa.table(columns)

    def __str__(self) -> str:
        return text_table(list(self.rows()))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from cep.display.scores import scores_html

        return scores_html(None, self.rows(), ())

    def rows(self) -> Iterator[list[str]]:
        """The texts of the table: a head, then a row for each pattern."""
        has_amounts = any(math.isfinite(score.loss_prevented.value) for score in self._scores)
        of_cases = ["alerts true", "cases found"] if self.has_cases else []
        worth = ["loss prevented"] if has_amounts else []
        yield ["pattern", "alerts/day", "precision", "recall", "F1", *of_cases, "delay", *worth]
        for each in self._scores:
            cases = [share_text(each.alert_precision), share_text(each.case_recall)]
            yield [
                each.pattern,
                _number_text(each.alerts_per_day.value),
                share_text(each.precision),
                share_text(each.recall),
                _number_text(each.f1.value, ".3f"),
                *(cases if self.has_cases else []),
                delay_text(each.delay.value),
                *([_number_text(each.loss_share.value, ".1%")] if has_amounts else []),
            ]


def score_table(found: Mapping[str, Found], scope: Scope) -> ScoreTable:
    """The scores of what each pattern found, and of all of it as one."""
    labels = scope.labels
    scores = [score(name, each, scope) for name, each in found.items()]
    everything = score(ALL, together(found.values(), len(labels.begin_us)), scope)
    return ScoreTable([*scores, everything], has_cases=labels.cases is not None)


def _arrow_columns(name: str, values: Sequence[Any]) -> dict[str, Any]:
    if name not in ESTIMATES:
        return {name: pa.array(values, pa.string() if name == "pattern" else pa.int64())}
    parts = {"": "value", "_low": "low", "_high": "high"}
    return {
        f"{name}{ending}": _arrow_numbers(name, [getattr(value, part) for value in values])
        for ending, part in parts.items()
    }


def _arrow_numbers(name: str, values: Sequence[float]) -> Any:
    """Numbers with NULL for NaN; delays as durations."""
    numbers = np.asarray(values, np.float64)
    unknown = np.isnan(numbers)
    if name != "delay":
        return pa.array(numbers, mask=unknown)
    whole = np.rint(np.where(unknown, 0, numbers)).astype("timedelta64[us]")
    return pa.array(whole, pa.duration("us"), mask=unknown)


# ---- text


def share_text(estimate: Estimate) -> str:
    """`.944 (.935-.951)`."""
    if math.isnan(estimate.value):
        return "-"
    low, high = (f"{bound:.3f}".removeprefix("0") for bound in (estimate.low, estimate.high))
    return f"{estimate.value:.3f} ({low}-{high})"


def _number_text(value: float, form: str = ",.3g") -> str:
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if form == ",.3g" and abs(value) >= 1000 else f"{value:{form}}"


def delay_text(delay_us: float) -> str:
    """A delay to the second, or to the microsecond where it is shorter than that."""
    if math.isnan(delay_us):
        return "-"
    whole = round(delay_us / 1e6) * 1_000_000 if abs(delay_us) >= 1e6 else round(delay_us)
    sign = "-" if whole < 0 else ""
    return f"{sign}{timedelta(microseconds=abs(whole))}"


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts as columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)
