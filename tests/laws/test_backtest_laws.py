"""Scores over random data and labels: as counted one by one, the same in parts and in sweeps."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cep
from tests.reference.scoring import Span, case_of, reference_scores

law = settings(max_examples=60, suppress_health_check=list(HealthCheck))

BEGIN = datetime(2025, 3, 1, 20)  # noqa: DTZ001 - the data have no zone

RULES = cep.compile("""
parameter $limit = 4;
parameter $gap = 5 hours;
stream payments (id int, ts timestamp, key int, worth int) time ts then id;
feature sum_before on payments as sum(worth) over 6 hours by key excluding current;
pattern large from payments match t define t as worth > $limit after match no skip;
pattern rising from payments by key
  match a -> b within $gap define a as worth < 5, b as worth > a.worth
  after match skip past last event;
pattern silent from payments by key
  match a -> not b within 5 hours define a as sum_before > $limit, b as true
  after match no skip;
""")
PATTERNS = ("large", "rising", "silent")
TYPES: dict[str, Any] = {
    "id": pa.int64(),
    "ts": pa.timestamp("us"),
    "key": pa.int64(),
    "worth": pa.int64(),
    "fraud": pa.bool_(),
    "case": pa.int64(),
}
SCHEMA = pa.schema(TYPES)


def moments(hours: int) -> st.SearchStrategy[datetime]:
    return st.integers(0, hours).map(lambda hour: BEGIN + timedelta(hours=hour))


@st.composite
def payments(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = st.fixed_dictionaries(
        {
            "ts": moments(40),
            "key": st.integers(0, 2),
            "worth": st.integers(0, 9),
            "fraud": st.booleans(),
            "case": st.sampled_from([None, 0, 1, 2]),
        }
    )
    return [{"id": at, **row} for at, row in enumerate(draw(st.lists(rows, max_size=25)))]


@st.composite
def spans_of_time(draw: st.DrawFn) -> list[Span]:
    """Spans of each key that do not overlap: bounds in order, taken in pairs."""
    spans: list[Span] = []
    for key in range(3):
        bounds = sorted(draw(st.sets(moments(45), max_size=6)))
        for start, end in zip(bounds[::2], bounds[1::2], strict=False):
            spans.append((key, start, end, len(spans)))
    return draw(st.permutations(spans))


def table(events: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(events, SCHEMA)


def given_scores(backtest: cep.Backtest, pattern: str, names: list[str]) -> dict[str, Any]:
    row = next(r for r in backtest.scores.to_arrow().to_pylist() if r["pattern"] == pattern)
    row["delay"] = None if row["delay"] is None else row["delay"] / timedelta(microseconds=1)
    return {name: row[name] for name in names}


def expect_reference(
    backtest: cep.Backtest,
    events: list[dict[str, Any]],
    cases: dict[int, Any],
    spans: list[Span] | None = None,
) -> None:
    result = RULES.run(table(events))
    for pattern in (*PATTERNS, "all"):
        matches = [m for m in result.matches if pattern in (m.pattern, "all")]
        expected = reference_scores(events, cases, matches, spans or [])
        if not events:
            expected |= {"cases": 0, "case_recall": None, "loss_prevented": None}
        assert given_scores(backtest, pattern, list(expected)) == pytest.approx(expected)


@law
@given(payments())
def test_labelled_events_are_scored_as_counted_one_by_one(events: list[dict[str, Any]]) -> None:
    cases = {
        e["id"]: ("alone", e["id"]) if e["case"] is None else e["case"]
        for e in events
        if e["fraud"]
    }
    backtest = cep.backtest(RULES, table(events), "fraud", case="case", amount="worth")
    expect_reference(backtest, events, cases)


@law
@given(payments(), spans_of_time())
def test_spans_are_scored_as_counted_one_by_one(
    events: list[dict[str, Any]], spans: list[Span]
) -> None:
    given_spans = pa.table(
        {
            "key": pa.array([span[0] for span in spans], pa.int64()),
            "start": pa.array([span[1] for span in spans], pa.timestamp("us")),
            "end": pa.array([span[2] for span in spans], pa.timestamp("us")),
        }
    )
    numbered = [(*span[:3], at) for at, span in enumerate(spans)]
    cases = {e["id"]: c for e in events if (c := case_of(e, numbered)) is not None}
    backtest = cep.backtest(RULES, table(events), given_spans, amount="worth")
    expect_reference(backtest, events, cases, numbered)


@law
@given(payments())
def test_all_of_the_time_is_the_whole(events: list[dict[str, Any]]) -> None:
    whole = cep.backtest(RULES, table(events), "fraud", case="case", amount="worth")
    part = whole.between(BEGIN, BEGIN + timedelta(hours=100))
    assert part.scores.to_arrow().equals(whole.scores.to_arrow())
    assert whole.between(None, None).scores.to_arrow().equals(whole.scores.to_arrow())


ADDITIVE = ["alerts", "flagged", "hits", "labelled", "cases", "cases_found", "loss_prevented"]


@law
@given(payments(), moments(40))
def test_parts_add_up_to_the_whole(events: list[dict[str, Any]], cut: datetime) -> None:
    whole = cep.backtest(RULES, table(events), "fraud", case="case", amount="worth")
    parts = (whole.between(None, cut), whole.between(cut, None))
    for pattern in (*PATTERNS, "all"):
        total = given_scores(whole, pattern, ADDITIVE)
        first, second = (given_scores(part, pattern, ADDITIVE) for part in parts)
        for name in ADDITIVE:
            assert (first[name] or 0) + (second[name] or 0) == pytest.approx(total[name] or 0)


SETTINGS = st.lists(
    st.fixed_dictionaries(
        {
            "limit": st.integers(2, 7),
            "gap": st.sampled_from(["2 hours", "5 hours", "1 day"]),
        }
    ),
    min_size=1,
    max_size=5,
)


@law
@given(payments(), SETTINGS)
def test_a_trial_of_a_sweep_is_a_backtest_with_these_parameters(
    events: list[dict[str, Any]], tried: list[dict[str, Any]]
) -> None:
    options: dict[str, Any] = {"labels": "fraud", "case": "case", "amount": "worth"}
    sweep = cep.sweep(RULES, table(events), settings=tried, **options)
    for trial, setting in zip(sweep, tried, strict=True):
        alone = cep.backtest(RULES.with_parameters(**setting), table(events), **options)
        assert trial.setting == setting
        assert trial.scores.to_arrow().equals(alone.scores.to_arrow())
