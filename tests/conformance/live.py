"""A case with watermarks -> its outcome, by a live detector: events arrive, watermarks are said.

The detector's own watermark stays far behind (a lateness of centuries), so that the case's alone
decide. Clock readings of cases in processing time are watermarks as well: what happened before the
reading is over.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import cep
from cep.engine.algebra.expression import DataType, Field, walk
from cep.engine.algebra.pattern import Pattern, StreamField
from cep.engine.algebra.plan import RuleSet
from tests.conformance.building import MS_US, build_pattern, stream_of
from tests.conformance.checking import Outcome
from tests.conformance.loading import Case
from tests.conformance.running import ids_of

CENTURIES_US = 40_000 * 86_400_000_000


@dataclass(frozen=True, slots=True)
class Mark:
    """What is said between two events: no event up to this time follows; or, state is saved."""

    time_us: int | None  # None: a checkpoint


def render_live(case: Case) -> str:
    """The rules of a case, for a stream whose watermarks are said and not guessed."""
    stream, pattern = stream_of(case), build_pattern(case)
    known = {field.name for field in stream.fields}
    absent = [StreamField(n, DataType.FLOAT) for n in _fields_read(pattern) if n not in known]
    stream = replace(
        stream,
        fields=(*stream.fields, *absent),
        lateness_us=CENTURIES_US,
        tie_breaker=case.data.get("secondary_order"),
    )
    return str(RuleSet((stream,), (pattern,)))


def _fields_read(pattern: Pattern) -> Iterator[str]:
    """Fields of events; some cases read one that none of their events has."""
    conditions = [d.condition for d in pattern.definitions if d.condition is not None]
    found = {n.name for c in conditions for n in walk(c) if isinstance(n, Field)}
    yield from sorted(found)


def run_live(case: Case) -> Outcome:
    """Each event by itself, in the order of arrival. Raises what the API raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cep.RuleWarning)
        rules = cep.compile(render_live(case))
    detector = cep.Detector(rules)
    outcome = Outcome()
    for mark in _marks(case, None):
        _add(outcome, detector.advance_to(mark.time_us or 0))
    for event in case.data["events"]:
        _add(outcome, detector.process(dict(event)))
        for mark in _marks(case, event["id"]):
            if mark.time_us is None:
                detector = cep.Detector.from_snapshot(detector.snapshot(), rules)
            else:
                _add(outcome, detector.advance_to(mark.time_us))
    if case.end_of_stream:
        _add(outcome, detector.finish())
    return outcome


def _marks(case: Case, after: int | None) -> Iterator[Mark]:
    """What is said behind the event of this id; None: before all."""
    if after is None:
        if case.data.get("initial_watermark") is not None:
            yield Mark(case.data["initial_watermark"] * MS_US)
        return
    for saved in case.data.get("checkpoints") or ():
        if saved["after_id"] == after:
            yield Mark(None)
    for said in case.data["watermarks"] or ():
        if said["after_id"] == after:
            yield Mark(said["ts"] * MS_US)
    for said in case.data.get("clock") or ():
        if said["after_id"] == after:
            yield Mark(said["ts"] * MS_US - 1)


def _add(outcome: Outcome, result: cep.Result) -> None:
    outcome.matches.extend(ids_of(match.events) for match in result.matches)
    outcome.timeouts.extend(ids_of(timeout.events) for timeout in result.timeouts)
    if len(result.late):
        ids: Any = result.late.to_arrow().column("id").to_pylist()
        outcome.late.extend(ids)
