"""A week of simulated time does not fill memory. The long form is of millions of events:

python -m tests.simulation.week
"""

from __future__ import annotations

import pytest

from tests.simulation.week import Week, days_of, grown

SHORT = Week(events=17_000, keys=20, shops=20, rows=100, single_every=8, singles=16, look_every=12)
TABLES = ("state.key_space.KEYS", "runtime.runtime.TEXTS", "operators.features.operator.TEXTS")


def test_a_week_of_events_leaves_no_more_behind_than_two_days(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tables that are cleaned only where they are large are large soon."""
    for place in TABLES:
        monkeypatch.setattr(f"cep.engine.{place}_KEPT_MIN", 256)
    reports = list(days_of(SHORT))
    assert [report.day for report in reports] == list(range(1, 8))
    assert grown(reports[1], reports[-1], slack=4_096) == []
    for name, count in reports[-1].found.items():
        assert count > reports[-2].found[name], name
