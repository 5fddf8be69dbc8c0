"""The benchmarks measure what they say: engine and plain loops count the same matches."""

from __future__ import annotations

import pyarrow as pa
import pytest

import cep
from benchmarks.measure import Measured, check_many
from benchmarks.oracle import count_matches
from benchmarks.process import WrongOutputError
from benchmarks.queries import QUERIES, many_rules, rules
from benchmarks.report import render
from cep.datasets import benchmark_transactions


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return benchmark_transactions(n=60_000, cards=50)


@pytest.mark.parametrize("skip", [True, False])
def test_the_engine_finds_as_many_matches_as_plain_loops(table: pa.Table, skip: bool) -> None:
    found = {name: len(cep.compile(rules(name, skip=skip)).run(table).matches) for name in QUERIES}
    assert found == count_matches(table, skip=skip)
    assert min(found.values()) > 0


def test_overlapping_matches_are_more_than_those_that_skipping_leaves(table: pa.Table) -> None:
    assert count_matches(table, skip=True)["Q1"] < count_matches(table, skip=False)["Q1"]


def test_many_rules_are_as_many_different_patterns() -> None:
    patterns = cep.compile(many_rules(200)).patterns
    assert len({str(pattern).split("\n", 1)[1] for pattern in patterns}) == 200


def test_each_of_many_patterns_finds_what_it_finds_alone(table: pa.Table) -> None:
    check_many(12, table)


def test_a_pattern_that_finds_less_among_others_is_reported(
    table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.measure.one_rule", lambda _: rules("Q3"))
    with pytest.raises(WrongOutputError, match=r"p0: \d+ matches among 2, \d+ alone"):
        check_many(2, table)


def test_the_report_shows_events_per_second_and_the_cost_per_pattern() -> None:
    one = Measured(
        name="20 patterns",
        events=2_000_000,
        patterns=20,
        matches=12_345,
        seconds=0.5,
        compile=0.02,
        warm_up=1.5,
        before_mb=300.0,
        peak_mb=350.0,
        alone=20.0,
    )
    page = render("2025-03-03", (2_000_000, 50_000, 5), [one], [one], [one])
    assert "| 20 patterns |             4.00 |   0.500 |  12,345 |" in page
    assert (
        "| 20 patterns |             4.00 |                     12.5 |  20.0 |  12,345 |     350 |"
        in page
    )
