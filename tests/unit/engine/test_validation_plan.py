"""Rule sets built in Python: what is wrong in their form; tests/language has what text can say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cep.engine.algebra.expression import (
    Aggregated,
    Binary,
    Captured,
    DataType,
    Expression,
    Field,
    Literal,
)
from cep.engine.algebra.pattern import (
    Definition,
    Output,
    Pattern,
    Step,
    Stream,
    StreamField,
    Variable,
)
from cep.engine.algebra.plan import (
    Aggregate,
    Feature,
    Join,
    Over,
    RuleSet,
    Table,
    Window,
    WindowKind,
)
from cep.engine.algebra.validation_plan import validate_rules

COUNT = Aggregated("count")
FEATURE = Feature("f", "s", COUNT, Over())
AGGREGATE = Aggregate("a", "s", (Output("n", COUNT),), window=Window(WindowKind.TUMBLING, 5))
JOIN = Join("j", "s", "t", (Output("x", Captured("last", "s", Field("x"))),))
RISK = Captured("last", "merchants", Field("risk"))


def messages(rules: RuleSet) -> list[str]:
    return [problem.message for problem in validate_rules(rules)]


def deep(expression: Expression) -> Expression:
    for _ in range(200):
        expression = Binary("+", expression, Literal(1))
    return expression


def test_statements_without_problems_have_none() -> None:
    assert messages(RuleSet(features=(FEATURE,), aggregates=(AGGREGATE,), joins=(JOIN,))) == []


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (Stream("s", tie_breaker="id"), "a field that breaks ties, but none with the time"),
        (Stream("s", partition=("a", "a")), "source field 'a' is named twice"),
        (Stream("s", partition=("a",), idle_us=0), "'idle after' needs a time above zero"),
    ],
)
def test_a_stream_with_a_problem(stream: Stream, message: str) -> None:
    assert messages(RuleSet(streams=(stream,))) == [message]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (Table("t", (), ()), "the table has no key"),
        (Table("t", (StreamField("a", DataType.TEXT),), ("b",)), "no key field 'b' in table t"),
        (Table("t", (), ("a", "a")), "key field 'a' is named twice"),
        (Table("t", (), ("a",), time="a"), "'a' is the time and a key of the table"),
    ],
)
def test_a_table_with_a_problem(table: Table, message: str) -> None:
    assert messages(RuleSet(tables=(table,))) == [message]


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        (replace(FEATURE, value=Aggregated("sum")), "sum needs something to look at"),
        (replace(FEATURE, value=deep(COUNT)), "an expression nested deeper than 150 levels"),
        (replace(FEATURE, over=Over(events=0)), "'over 0 events': there is nothing to look at"),
        (replace(FEATURE, over=Over(range_us=-1)), "'over' of no time: nothing is that young"),
        (replace(FEATURE, name=""), "an empty name"),
        (
            replace(FEATURE, name="\n"),
            "the name '\\n' has characters that cannot be shown",
        ),
        (
            replace(FEATURE, source="t", excluding_current=True),
            "'excluding current' says nothing: the events are those of t",
        ),
        (replace(FEATURE, value=Binary("+", COUNT, RISK)), "no table 'merchants'"),
    ],
)
def test_a_feature_with_a_problem(feature: Feature, message: str) -> None:
    assert messages(RuleSet(features=(feature,))) == [message]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"select": ()}, "the aggregate has no 'select'"),
        ({"select": AGGREGATE.select * 2}, "a second column 'n'"),
        ({"key": ("k", "k")}, "key field 'k' is named twice"),
        ({"lateness_us": -1}, "'lateness' of less than no time"),
        ({"early_us": 0}, "'early every' needs a time above zero"),
        ({"window": Window(WindowKind.TUMBLING)}, "a tumbling window of no size"),
        ({"window": Window(WindowKind.SLIDING, 5)}, "a sliding window with 'every' of no time"),
        ({"window": Window(WindowKind.SESSION)}, "a session window without a gap"),
        ({"window": Window(WindowKind.COUNT)}, "a window of no events"),
        (
            {"window": Window(WindowKind.SLIDING, 5, 6)},
            "windows begin further apart than they are long: events between them are lost",
        ),
        (
            {"window": Window(WindowKind.SESSION, gap=Literal(0, DataType.DURATION))},
            "a session with a gap of no time",
        ),
        (
            {"window": Window(WindowKind.SESSION, gap=Field("g"), offset_us=1)},
            "sessions have no offset: they begin with an event",
        ),
    ],
)
def test_an_aggregate_with_a_problem(changes: dict[str, object], message: str) -> None:
    aggregate = replace(AGGREGATE, **changes)  # type: ignore[arg-type] # names above
    assert messages(RuleSet(aggregates=(aggregate,))) == [message]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"select": ()}, "the join has no 'select'"),
        ({"window": AGGREGATE.window, "high_us": 1}, "the join has a window and bounds on time"),
        ({"where": Field("x")}, "'x' of which event?"),
        ({"where": RISK}, "no stream 'merchants' in this join"),
    ],
)
def test_a_join_with_a_problem(changes: dict[str, object], message: str) -> None:
    join = replace(JOIN, **changes)  # type: ignore[arg-type] # names above
    assert messages(RuleSet(joins=(join,))) == [message]


def test_a_pattern_may_look_things_up_in_the_tables_of_its_rules() -> None:
    pattern = Pattern("p", (Step(Variable("v")),), (Definition("v", RISK),))
    assert messages(RuleSet(patterns=(pattern,))) == ["no variable 'merchants' in the pattern"]
    table = Table("merchants", (), ("merchant",))
    assert messages(RuleSet(patterns=(pattern,), tables=(table,))) == []
