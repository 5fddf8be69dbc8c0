"""The benchmark of metrics compares what is scraped with what there was."""

from __future__ import annotations

from typing import Any

import pytest

import cep
from benchmarks import measure_metrics
from benchmarks.measure_metrics import Metrics, metrics_section
from benchmarks.measure_metrics import measure_metrics as measure
from benchmarks.measure_stateful import QUICK_STATE
from benchmarks.metrics import Work
from benchmarks.process import WrongOutputError

RULES = "stream s (ts timestamp, x float) time ts; pattern p from s match a define a as x > 1"
EVENTS = [{"ts": f"2025-03-03 12:00:{second:02}", "x": second / 10} for second in range(20)]


@pytest.mark.parametrize("batch", [None, 8])
def test_what_is_scraped_is_compared_with_what_came_out(batch: int | None) -> None:
    calls = EVENTS if batch is None else [EVENTS[:8], EVENTS[8:16], EVENTS[16:]]
    work, scrapes = Work(cep.compile(RULES), calls, batch), list[float]()
    assert work.events == 20
    assert work.run(scrapes)[1]
    assert work.run(None)[1]
    assert 1 <= len(work.lasting(0.001).calls) <= len(calls)


def test_other_counts_than_there_were_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {"events": 1, "seconds": 1.0, "ratio": 1.0, "scrape": 0.001, "right": False}

    def measured(*_: Any) -> list[dict[str, Any]]:
        return [dict(numbers)]

    monkeypatch.setattr(measure_metrics, "measured", measured)
    with pytest.raises(WrongOutputError, match="single events, Q1: other events or matches"):
        measure(QUICK_STATE, lambda _: None)


def test_the_section_shows_the_cost_in_percent() -> None:
    section = metrics_section([Metrics("single events", 100_000, 2.0, 1.012, 0.0034)])
    assert "| single events |   50,000 |            1.2% |         3.4 |" in section
