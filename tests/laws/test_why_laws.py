"""Why a match is one, over random patterns and streams: all reasons hold."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings

from cep.engine.algebra.pattern import Pattern
from cep.rules import check
from tests.reference.random_patterns import event_streams, patterns

law = settings(max_examples=200, suppress_health_check=list(HealthCheck))


@law
@given(patterns(), event_streams(most=12))
def test_every_reason_holds(pattern: Pattern, events: list[dict[str, Any]]) -> None:
    result = check(pattern).run(events)
    for match in [*result.matches[:20], *result.timeouts[:20]]:
        why = match.why()
        taken = [(variable, e["id"]) for variable, es in match.events.items() for e in es]
        assert sorted((one.variable, one.event["id"]) for one in why.taken) == sorted(taken)
        assert all(reason.holds for one in why.taken for reason in one.reasons), str(why)
