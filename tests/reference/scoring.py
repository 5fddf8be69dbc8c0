"""Scores of matches, counted one by one: what `cep.backtest` must give, without intervals.

Events are dicts with `id` (their place in the data), `ts` (a datetime), `key` and `worth`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from statistics import median
from typing import Any

from cep.results.result import Match

Event = Mapping[str, Any]
Span = tuple[Any, datetime, datetime, Any]  # key, start, end (both included), case


def case_of(event: Event, spans: Sequence[Span]) -> Any:
    """The case in which an event lies; None where it is not labelled."""
    return case_at(event["key"], event["ts"], spans)


def case_at(key: Any, time: datetime, spans: Sequence[Span]) -> Any:
    return next((c for k, start, end, c in spans if k == key and start <= time <= end), None)


def reference_scores(
    events: Sequence[Event],
    case_of_event: Mapping[int, Any],
    matches: Iterable[Match],
    spans: Sequence[Span] = (),
) -> dict[str, Any]:
    """The scores of all matches as one. `case_of_event`: id -> case, of the labelled events."""
    flagged: set[int] = set()
    first_alert: dict[Any, datetime] = {}
    alerts = true_alerts = 0
    for match in matches:
        taken = [event for several in match.events.values() for event in several]
        cases = [case_of_event.get(event["id"]) for event in taken]
        cases += [case_at(event["key"], match.at, spans) for event in taken]
        about = {case for case in cases if case is not None}
        for case in about:
            first_alert[case] = min(match.at, first_alert.get(case, match.at))
        flagged |= {event["id"] for event in taken}
        alerts += 1
        true_alerts += bool(about)
    begins = begins_of(events, case_of_event, spans)
    hits = len(flagged & set(case_of_event))
    saved = [
        event["worth"]
        for event in events
        if (case := case_of_event.get(event["id"])) in first_alert
        and event["ts"] >= first_alert[case]
    ]
    delays = [(at - begins[case]) / timedelta(microseconds=1) for case, at in first_alert.items()]
    return {
        "alerts": alerts,
        "flagged": len(flagged),
        "hits": hits,
        "labelled": len(case_of_event),
        "cases": len(begins),
        "cases_found": len(first_alert),
        "precision": share(hits, len(flagged)),
        "recall": share(hits, len(case_of_event)),
        "f1": share(2 * hits, len(flagged) + len(case_of_event)),
        "alert_precision": share(true_alerts, alerts),
        "case_recall": share(len(first_alert), len(begins)),
        "delay": median(delays) if delays else None,
        "loss_prevented": sum(saved),
    }


def begins_of(
    events: Sequence[Event], case_of_event: Mapping[int, Any], spans: Sequence[Span]
) -> dict[Any, datetime]:
    """Case -> the time of its first labelled event, without one the start of its first span."""
    begins: dict[Any, datetime] = {}
    for event in events:
        case = case_of_event.get(event["id"])
        if case is not None:
            begins[case] = min(event["ts"], begins.get(case, event["ts"]))
    starts: dict[Any, datetime] = {}
    for _, start, _, case in spans:
        starts[case] = min(start, starts.get(case, start))
    return starts | begins


def share(part: int, whole: int) -> float | None:
    return float(Fraction(part, whole)) if whole else None
