"""The benchmark of the service counts what the answers say, and compares it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import measure_service
from benchmarks.measure_service import Served, service_section
from benchmarks.measure_stateful import QUICK_STATE
from benchmarks.process import WrongOutputError
from benchmarks.service import batched, shared, transactions


def test_all_events_of_a_card_go_over_the_same_connection_in_their_order() -> None:
    table = transactions(20, [[30, 1, 1], [50, 1, 4]])
    rows = table.to_pylist()[30:]
    lines = [json.dumps(row, default=str).encode() for row in rows]
    owners = table.column("card").to_numpy()[30:]
    each = shared(lines, owners % 4, 4)
    assert sorted(line for mine in each for line in mine) == sorted(lines)
    for mine in each:
        ids = [json.loads(line)["id"] for line in mine]
        assert ids == sorted(ids)
    cards = [{json.loads(line)["card"] for line in mine} for mine in each]
    assert sum(map(len, cards)) == len(set.union(*cards))
    assert len({row["ts"] for row in rows}) == 1


def test_lines_are_put_together_in_requests_of_one_size() -> None:
    assert list(batched([b"a", b"b", b"c"], 2)) == [[b"a", b"b"], [b"c"]]


def test_other_answers_than_a_run_finds_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: Any) -> list[dict[str, Any]]:
        return [{"right": False, "told": [1, 1, 9, 0], "expected": [2, 2, 9, 0], "loads": []}]

    monkeypatch.setattr(measure_service, "measured", measured)
    with pytest.raises(WrongOutputError, match=r"plain: .* are \[1, 1, 9, 0\] instead of"):
        measure_service.measure_service(QUICK_STATE, lambda _: None)


def test_the_section_shows_requests_per_second_and_latencies() -> None:
    one = Served("plain", "single events", 1_000, 0.5, 0.25, [0.0003, 0.001, 0.002, 0.03], [0, 1])
    section = service_section([one])
    assert "| single events |   plain |    2,000 |          4,000 |      0.30 |" in section
    assert "up to       2 us         1 #" in section
