"""Laws of traced runs: tracing changes no match; attempts do not depend on how input arrives."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cep.engine.algebra.pattern import Pattern
from cep.engine.algebra.plan import flow_of
from cep.engine.results import Output
from cep.engine.runtime.runtime import Runtime
from cep.results.attempts import attempts_of
from cep.results.layout import Layout
from tests.laws.test_engine_laws import SCHEMA, Events, Row, batch, bound, rows, run
from tests.reference.random_patterns import STREAM, event_streams, patterns

law = settings(max_examples=200, suppress_health_check=list(HealthCheck))


def traced(pattern: Pattern, events: Events, cuts: Iterable[int] = (), **options: Any) -> Output:
    runtime, output = Runtime(flow_of([pattern], (STREAM,)), traced=True, **options), Output()
    ends = sorted({0, len(events), *(min(cut, len(events)) for cut in cuts)})
    for begin, end in pairwise(ends):
        output.extend(runtime.process(batch(events[begin:end])))
    output.extend(runtime.finish())
    runtime.close()
    return output


def attempts(pattern: Pattern, output: Output) -> list[Row]:
    """(events taken, missing, fate, time) of every attempt without a match."""
    layout = Layout((pattern,), (STREAM,), SCHEMA)
    part = attempts_of(layout, output.matches, output.ended).parts[pattern.name]
    taken = [row[2] for row in _in_order(part.runs.batch)]
    numbers = part.missing.tolist(), part.fate.tolist(), part.runs.batch.at_us.tolist()
    return list(zip(taken, *numbers, strict=True))


def _in_order(runs: Any) -> list[Row]:
    ids = runs.events.column("id").to_pylist()
    found: list[Row] = []
    for begin, end in pairwise(runs.offsets.tolist()):
        named = [(runs.variables[runs.variable[j]], ids[runs.row[j]]) for j in range(begin, end)]
        found.append((runs.pattern.name, 0, tuple(named)))
    return found


@law
@given(patterns(), event_streams(most=12))
def test_tracing_changes_no_match(pattern: Pattern, events: Events) -> None:
    chosen = bound(pattern, key=("k",))
    output = traced(chosen, events)
    assert (rows(output.matches), rows(output.timeouts)) == run([chosen], events)


@law
@given(
    patterns(),
    event_streams(most=12),
    st.lists(st.integers(1, 11), max_size=6),
    st.integers(1, 3),
    st.integers(1, 2),
)
def test_attempts_do_not_depend_on_batches_buffers_and_workers(
    pattern: Pattern, events: Events, cuts: list[int], capacity: int, workers: int
) -> None:
    chosen = bound(pattern, key=("k",))
    split = traced(chosen, events, cuts, capacity=capacity, workers=workers)
    assert attempts(chosen, split) == attempts(chosen, traced(chosen, events))


@law
@given(patterns(), event_streams(most=12))
def test_an_event_begins_one_attempt_or_matches_but_not_both(
    pattern: Pattern, events: Events
) -> None:
    chosen = bound(pattern, key=("k",))
    output = traced(chosen, events)
    begun = [taken[0][1] for taken, *_ in attempts(chosen, output)]
    matched = {named[0][1] for _, _, named in rows(output.matches)}
    assert len(begun) == len(set(begun))
    assert not matched & set(begun)
