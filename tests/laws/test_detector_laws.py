"""Laws of the live detector: how events arrive, and where it stops and goes on, does not matter.

Any arrival order within the lateness gives what sorted events give; any split into batches, one
event at a time included, and any number of workers the same; a detector that is saved and made
anew at any point goes on as if it had never stopped; and a replay gives the same match ids.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cep
from cep.engine.algebra.pattern import Pattern
from cep.engine.algebra.plan import RuleSet
from cep.engine.checkpoint.format import read, write
from cep.engine.state.snapshot import Snapshot
from tests.reference.random_patterns import STREAM, event_streams, patterns

pytestmark = pytest.mark.filterwarnings("ignore::cep.rules.RuleWarning")

Events = list[dict[str, Any]]
Row = tuple[Any, ...]
LATENESS_US = 4_000
law = settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)


def rules_of(pattern: Pattern, *, lateness_us: int = LATENESS_US, key: Sequence[str] = ()) -> Any:
    stream = replace(STREAM, lateness_us=lateness_us, tie_breaker="id")
    chosen = replace(pattern, streams=(STREAM.name,), key=tuple(key))
    return cep.compile(RuleSet((stream,), (chosen,)))


class Seen:
    """What a detector has put out so far."""

    def __init__(self) -> None:
        self.matches: list[Row] = []
        self.timeouts: list[Row] = []
        self.late: list[int] = []

    def add(self, result: cep.Result) -> None:
        self.matches += [_row(match) for match in result.matches]
        self.timeouts += [_row(run) for run in result.timeouts]
        if len(result.late):
            ids: Any = result.late.to_arrow().column("id")
            self.late += ids.to_pylist()

    def sorted(self) -> tuple[list[Row], list[Row], list[int]]:
        return sorted(self.matches), sorted(self.timeouts), self.late


def _row(match: Any) -> Row:
    taken = {name: [event["id"] for event in events] for name, events in match.events.items()}
    return match.pattern, match.id, str(match.at), str(sorted(taken.items()))


def run(
    rules: Any, events: Events, cuts: Iterable[int] = (), stops: Iterable[int] = (), **options: Any
) -> tuple[list[Row], list[Row], list[int]]:
    """Everything that comes out of the events, handed over in batches that end at `cuts`.

    At `stops`, a subset of the cuts, the detector is saved, written, read and made anew.
    """
    detector, seen = cep.Detector(rules, **options), Seen()
    ends = sorted({0, len(events), *(min(cut, len(events)) for cut in (*cuts, *stops))})
    for begin, end in pairwise(ends):
        seen.add(detector.process_batch(events[begin:end]))
        if end in set(stops):
            saved = written_and_read(detector.snapshot())
            detector.close()
            detector = cep.Detector.from_snapshot(saved, rules, **options)
            assert detector.restored is not None
            assert detector.restored.fresh == detector.restored.new == []
    seen.add(detector.finish())
    detector.close()
    return seen.sorted()


def written_and_read(snapshot: Snapshot) -> Snapshot:
    file = io.BytesIO()
    write(snapshot, file)
    return read(file.getvalue())


def shuffled(events: Events, delays: Sequence[int]) -> Events:
    """The events as they arrive when each is late by its delay, in ms."""
    delayed = [(e["ts"] + delays[i % len(delays)], i, e) for i, e in enumerate(events)]
    return [event for _, _, event in sorted(delayed, key=lambda item: item[:2])]


@law
@given(patterns(), event_streams(most=12), st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_arrival_within_the_lateness_gives_what_sorted_events_give(
    pattern: Pattern, events: Events, delays: list[int]
) -> None:
    rules = rules_of(pattern)
    arrived = run(rules, shuffled(events, delays))
    assert arrived == run(rules, events)
    assert arrived[2] == []


@law
@given(
    patterns(),
    event_streams(most=12),
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.lists(st.integers(1, 11), max_size=5),
)
def test_any_split_into_batches_gives_the_same_output(
    pattern: Pattern, events: Events, delays: list[int], cuts: list[int]
) -> None:
    rules, arrived = rules_of(pattern, key=["k"]), shuffled(events, delays)
    whole = run(rules, arrived)
    assert run(rules, arrived, cuts) == whole
    assert run(rules, arrived, range(13)) == whole


@law
@given(
    patterns(),
    event_streams(most=12),
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.lists(st.integers(1, 11), min_size=1, max_size=3),
)
def test_a_detector_that_is_saved_and_made_anew_goes_on_as_if_it_had_not_stopped(
    pattern: Pattern, events: Events, delays: list[int], stops: list[int]
) -> None:
    rules, arrived = rules_of(pattern, key=["k"]), shuffled(events, delays)
    assert run(rules, arrived, stops=stops) == run(rules, arrived)


@settings(law, max_examples=25)
@given(
    patterns(),
    event_streams(most=12),
    st.lists(st.integers(1, 11), min_size=1, max_size=2),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_any_number_of_workers_before_and_after_a_restart_gives_the_same_output(
    pattern: Pattern, events: Events, stops: list[int], before: int, after: int
) -> None:
    rules = rules_of(pattern, key=["k", "price"])
    detector, seen = cep.Detector(rules, workers=before), Seen()
    seen.add(detector.process_batch(events[: stops[0]]))
    saved = detector.snapshot()
    detector.close()
    detector = cep.Detector.from_snapshot(saved, rules, workers=after)
    seen.add(detector.process_batch(events[stops[0] :]))
    seen.add(detector.finish())
    detector.close()
    assert seen.sorted() == run(rules, events)
