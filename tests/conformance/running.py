"""A case -> its outcome: through the public API, or by the reference matcher."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import cep
from cep.dsl import parse_rules
from cep.engine.binding.patterns import bind_pattern
from tests.conformance.checking import Outcome
from tests.conformance.loading import Case, Event
from tests.conformance.rendering import render
from tests.reference.matcher import reference_matches


@dataclass(frozen=True, slots=True)
class Runner:
    """How cases are run; `waits_for`: what a case needs that this way does not have, or None."""

    run: Callable[[Case], Outcome]
    waits_for: Callable[[Case], str | None]


def run_through_api(case: Case) -> Outcome:
    """Rule text in, a table of matches out; live where watermarks are said on the way.

    Raises what the API raises.
    """
    if case.is_live:
        from tests.conformance.live import run_live

        return run_live(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cep.RuleWarning)
        rules = cep.compile(render(case))
    result = rules.run(case.events(), end_of_stream=case.end_of_stream)
    pattern = rules.patterns[0].name
    return Outcome(
        [ids_of(match.events) for match in result.matches],
        [ids_of(timeout.events) for timeout in result.timeouts],
        missed=any(error.pattern == pattern for error in result.errors),
    )


def run_by_reference(case: Case) -> Outcome:
    """The same text, run by the plain matcher of `tests.reference`."""
    rules, _ = parse_rules(render(case))
    (stream,), (pattern,) = rules.streams, rules.patterns
    bound, problems = bind_pattern(pattern, {stream.name: stream})
    errors = [problem for problem in problems if not problem.warning]
    if errors:
        raise cep.RuleError(errors)
    events = case.events()
    result = reference_matches(bound, events, end_of_stream=case.end_of_stream)
    return Outcome(
        [ids_of(_events_of(match, events)) for match in result.matches],
        [ids_of(_events_of(run, events)) for run in result.timeouts],
        missed=bool(result.missed),
    )


def _events_of(
    match: Mapping[str, Sequence[int]], events: Sequence[Event]
) -> dict[str, list[Event]]:
    return {name: [events[index] for index in indices] for name, indices in match.items()}


def ids_of(events: Mapping[str, Iterable[Event]]) -> dict[str, list[int]]:
    return {name: [event["id"] for event in taken] for name, taken in events.items()}


THROUGH_API = Runner(run_through_api, Case.waits_for)
BY_REFERENCE = Runner(run_by_reference, lambda c: c.waits_for() or c.needs_watermarks())
