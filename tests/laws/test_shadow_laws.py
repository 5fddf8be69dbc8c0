"""Rules in the shadow: nothing of them is seen, and once promoted they are as if updated to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cep
from tests.laws.test_update_laws import FEATURE, KEPT, OTHERS, STREAM, event_lists, rules

law = settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
CHANGED = STREAM + FEATURE + KEPT.replace("x > 2", "x > 1")


def told(result: cep.Result) -> list[Any]:
    """All that has come out."""
    found: list[Any] = [(match.pattern, match.id, match.at) for match in result]
    found += [(name, result.tables[name].to_pylist()) for name in result.tables]
    return [*found, result.late.to_arrow().to_pylist(), result.timeouts.to_arrow().to_pylist()]


@law
@given(
    event_lists(),
    st.integers(0, 24),
    st.integers(0, 24),
    st.sampled_from([*map(rules, OTHERS), CHANGED]),
    st.integers(1, 2),
)
@pytest.mark.filterwarnings("ignore::cep.RuleWarning")
def test_what_is_promoted_is_as_if_it_had_been_an_update_when_the_shadow_began(
    events: list[dict[str, Any]], begin: int, end: int, new: str, workers: int
) -> None:
    with (
        cep.Detector(rules(OTHERS[1])) as steady,
        cep.Detector(rules(OTHERS[1])) as updated,
        cep.Detector(rules(OTHERS[1]), workers=workers) as detector,
    ):
        shadow, followed = None, 0
        for place, event in enumerate(events):
            if place == begin:
                updated.update(new)
                shadow = detector.shadow(new)
            if shadow is not None and place == begin + end:
                assert shadow.report().events == followed
                shadow.promote()
            found = told(detector.process(event))
            is_old = shadow is None or shadow.is_running
            followed += shadow is not None and shadow.is_running
            before, after = told(steady.process(event)), told(updated.process(event))
            assert found == (before if is_old else after)
        assert shadow is None or shadow.error is None
