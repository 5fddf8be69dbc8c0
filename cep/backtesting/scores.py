"""What a pattern found, met with the labels -> its scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cep.backtesting.found import NEVER, Found
from cep.backtesting.intervals import (
    UNKNOWN,
    Estimate,
    Floats,
    resampled_medians,
    spread_of,
    wilson,
)
from cep.backtesting.scope import Scope
from cep.engine.batch import Int64s


@dataclass(frozen=True, slots=True)
class Score:
    """How well one pattern, or several as one, finds what is labelled.

    `flagged` events, of which `hits` are labelled; `labelled`: all that are. `precision`, `recall`
    and `f1` are of events. `alerts` are matches; `alert_precision`: the share of them that are
    about something labelled. `case_recall`: the share of the `cases` of which there is an alert.
    `delay`: the median time from the first labelled event of a case to the first alert about it, in
    microseconds, of the cases found. `loss_prevented`: what the labelled events are worth that come
    at the time of the first alert about their case or later, its own event included; `loss_share`:
    of what all are worth. Intervals: Wilson (1927) for precisions and recalls; for the others the
    percentiles of a seeded bootstrap over days.
    """

    pattern: str
    alerts: int
    flagged: int
    hits: int
    labelled: int
    cases: int
    cases_found: int
    alerts_per_day: Estimate = UNKNOWN
    precision: Estimate = UNKNOWN
    recall: Estimate = UNKNOWN
    f1: Estimate = UNKNOWN
    alert_precision: Estimate = UNKNOWN
    case_recall: Estimate = UNKNOWN
    delay: Estimate = UNKNOWN
    loss_prevented: Estimate = UNKNOWN
    loss_share: Estimate = UNKNOWN


def score(pattern: str, found: Found, scope: Scope) -> Score:
    """The scores of what was found, within the scope."""
    if not scope.days:
        return Score(pattern, 0, 0, 0, 0, 0, 0)
    sure, labels = scope.confidence, scope.labels
    rows = flagged_rows(found, scope)
    is_true = labels.case[rows] >= 0
    is_inside = scope.holds(found.at_us)
    alerts = scope.per_day(found.at_us[is_inside])
    true = scope.per_day(labels.time_us[rows[is_true]])
    is_found = found.first_us[scope.cases] != NEVER
    hits = int(is_true.sum())
    worth = {} if labels.amount is None else _worth(found, scope)
    return Score(
        pattern,
        alerts=int(alerts.sum()),
        flagged=len(rows),
        hits=hits,
        labelled=scope.labelled,
        cases=len(is_found),
        cases_found=int(is_found.sum()),
        alerts_per_day=_ratio(alerts, np.ones(scope.days), scope),
        precision=wilson(hits, len(rows), sure),
        recall=wilson(hits, scope.labelled, sure),
        f1=_ratio(2 * true, scope.per_day(labels.time_us[rows]) + scope.labelled_per_day, scope),
        alert_precision=wilson(int(found.is_hit[is_inside].sum()), int(alerts.sum()), sure),
        case_recall=wilson(int(is_found.sum()), len(is_found), sure),
        delay=_delay(found, scope),
        **worth,
    )


def flagged_rows(found: Found, scope: Scope) -> Int64s:
    """The flagged rows that lie in the scope."""
    return found.flagged[scope.holds(scope.labels.time_us[found.flagged])]


def cases_found(found: Found, scope: Scope) -> Int64s:
    """The numbers of the cases of the scope of which there is an alert."""
    is_found = found.first_us[scope.cases] != NEVER
    return np.extract(is_found, scope.cases)


def delays_us(found: Found, scope: Scope) -> Int64s:
    """(cases found,) from the first labelled event to the first alert; negative: before it."""
    cases = cases_found(found, scope)
    return found.first_us[cases] - scope.labels.begin_us[cases]


def _ratio(above: Int64s | Floats, below: Int64s | Floats, scope: Scope) -> Estimate:
    """A ratio of sums over days, resampled."""
    total = float(below.sum())
    if total == 0:
        return UNKNOWN
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample without such days
        resampled = (scope.draws @ above) / (scope.draws @ below)
    return spread_of(float(above.sum()) / total, resampled, scope.confidence)


def _delay(found: Found, scope: Scope) -> Estimate:
    delays = delays_us(found, scope)
    if not len(delays):
        return UNKNOWN
    day = scope.day_of(scope.labels.begin_us[cases_found(found, scope)])
    resampled = resampled_medians(delays, day, scope.draws)
    return spread_of(float(np.median(delays)), resampled, scope.confidence)


def _worth(found: Found, scope: Scope) -> dict[str, Estimate]:
    saved = scope.amounts_per_day(scope.labels.amounts_from(found.first_us))
    total = spread_of(float(saved.sum()), scope.draws @ saved, scope.confidence)
    share = _ratio(saved, scope.worth_per_day, scope)
    return {"loss_prevented": total, "loss_share": share}
