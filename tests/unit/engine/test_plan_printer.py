"""The canonical text of rule sets, and the law that it parses to an equal rule set."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from cep.dsl import parse_rules
from cep.engine.algebra.expression import Aggregated, DataType, Field, Literal
from cep.engine.algebra.pattern import Output
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
from cep.engine.algebra.plan_printer import print_aggregate, print_feature, print_join, print_table
from cep.engine.algebra.validation_plan import validate_rules
from tests.plan_strategies import rule_sets

MINUTE_US = 60_000_000
COUNT = Output("n", Aggregated("count"))


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(rule_sets())
def test_a_printed_rule_set_parses_to_an_equal_rule_set(rules: RuleSet) -> None:
    assert [problem for problem in validate_rules(rules) if not problem.warning] == []
    assert parse_rules(str(rules))[0] == rules


def test_every_kind_of_statement_is_printed_one_after_the_other() -> None:
    rules = RuleSet(
        features=(Feature("f", "s", Aggregated("count"), Over()),),
        tables=(Table("t", (), ("k",)),),
        aggregates=(Aggregate("a", "s", (COUNT,)),),
    )
    assert str(rules) == (
        "table t by k;\n\n"
        "feature f on s\n  as count(*)\n  over all;\n\n"
        "aggregate a\n  from s\n  select count(*) as n;"
    )


def test_a_table_is_printed_with_the_unit_of_its_time() -> None:
    assert (
        print_table(Table("t", (), ("a", "b"), "at", "s")) == "table t by a, b time at in seconds;"
    )


def test_a_feature_is_printed_with_how_far_it_looks_back() -> None:
    feature = Feature("f", "s", Aggregated("sum", Field("x")), Over(events=3), ("k",))
    assert print_feature(feature) == "feature f on s\n  as sum(x)\n  over 3 events by k;"


def test_the_gap_of_a_session_is_a_time_or_stands_in_brackets() -> None:
    texts = []
    for gap in (
        Literal(MINUTE_US, DataType.DURATION),
        Field("gap"),
        Literal(-1, DataType.DURATION),
    ):
        window = Window(WindowKind.SESSION, gap=gap)
        texts.append(print_aggregate(Aggregate("a", "s", (COUNT,), window=window)).split("\n  ")[2])
    assert texts == [
        "window session 1 minute",
        'window session ("gap")',
        "window session (-1 microsecond)",
    ]


def test_a_join_from_no_time_on_is_printed_with_within() -> None:
    def bounds(low_us: int, high_us: int) -> str:
        join = Join("j", "a", "b", (COUNT,), low_us=low_us, high_us=high_us)
        return print_join(join).split("\n  ")[2]

    assert bounds(0, MINUTE_US) == "within 1 minute"
    assert bounds(0, 0) == "within 0 seconds"
    assert bounds(-MINUTE_US, 0) == "between -1 minute and 0 seconds"
    assert bounds(1_000_000, MINUTE_US) == "between 1 second and 1 minute"
