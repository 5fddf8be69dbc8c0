"""The benchmark of single events compares what it finds with a run, and draws what it measured."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import measure_latency
from benchmarks.latency import measured_calls
from benchmarks.measure_latency import Latency, histogram, latency_section
from benchmarks.measure_latency import measure_latency as measure
from benchmarks.measure_stateful import QUICK_STATE
from benchmarks.process import WrongOutputError

HIGH = [1e-4, 2e-4, 3e-3]
ONE = Latency("single events, Q1", 1, 1_000, 0.3, 0.5, 80, 0.02, 15e-6, HIGH, [], [], 7)


@pytest.mark.parametrize("batch", [None, 500])
def test_every_call_is_measured_and_matches_are_those_of_a_run(batch: int | None) -> None:
    found = measured_calls(8, rows=6_000, cards=50, batch=batch, every_s=60)
    assert found["right"]
    assert found["matches"] > 0
    assert sum(found["counts"]) == (4_000 if batch is None else 8)
    assert found["median"] <= found["high"][0] <= found["high"][2]


def test_other_matches_than_a_run_finds_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: Any) -> list[dict[str, Any]]:
        return [{"right": False}]

    monkeypatch.setattr(measure_latency, "measured", measured)
    with pytest.raises(WrongOutputError, match="single events, Q1: other matches than a run"):
        measure(QUICK_STATE, lambda _: None)


def test_the_section_has_rates_times_and_what_each_rule_takes() -> None:
    many = Latency("many", 101, 1_000, 1.0, 2.0, 90, 1.0, 8e-4, HIGH, [], [1.0], 7)
    cells = [line.split("|") for line in latency_section([ONE, many]).splitlines()]
    found = [[cell.strip() for cell in line[1:-1]] for line in cells]
    assert ["single events, Q1", "1,000", "50,000", "15", "100", "200", "3,000", "0"] in found
    assert ["many", "1,000", "1,000", "800", "100", "200", "3,000", "1"] in found
    assert ["101", "1.00", "2.00", "90", "100"] in found


def test_a_bar_grows_with_the_digits_of_a_count() -> None:
    drawn = histogram([0, 1_000, 0, 30]).splitlines()
    assert [line.split(" us")[0].split()[-1] for line in drawn] == ["2", "4", "8"]
    assert [line.count("#") for line in drawn] == [40, 0, 20]
