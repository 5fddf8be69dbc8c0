"""Tables, features, aggregates and joins as text: what they say, where they begin."""

from __future__ import annotations

import pytest

from cep.dsl import parse_rules
from cep.dsl.rules import read_rules
from cep.engine.algebra.errors import RuleError, Span
from cep.engine.algebra.expression import Aggregated, Binary, Captured, DataType, Field, Literal
from cep.engine.algebra.pattern import Output, Stream, StreamField
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

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


def rules_of(text: str) -> RuleSet:
    return parse_rules(text)[0]


def window_of(text: str) -> Window | None:
    (aggregate,) = rules_of(f"aggregate a from s {text} select count(*) as n").aggregates
    return aggregate.window


def test_a_stream_says_who_sends_it_and_what_orders_it() -> None:
    (stream,) = rules_of(
        "stream s time ts in seconds then id lateness 5 s by host, port idle after 1 minute"
    ).streams
    assert stream == Stream(
        "s",
        time="ts",
        time_unit="s",
        tie_breaker="id",
        lateness_us=5_000_000,
        partition=("host", "port"),
        idle_us=MINUTE_US,
    )


def test_a_table_has_a_key_and_maybe_a_time() -> None:
    (table,) = rules_of("table m (k int, r float, at int) by k time at in ms").tables
    columns = {"k": DataType.INTEGER, "r": DataType.FLOAT, "at": DataType.INTEGER}
    expected = tuple(StreamField(name, kind) for name, kind in columns.items())
    assert table == Table("m", expected, ("k",), "at", "ms")
    assert table.span == Span(1, 7, 1, 8)


def test_a_feature_has_its_clauses_in_any_order() -> None:
    one = "feature f on s as sum(x) from t where y = 1 over 1 hour by k excluding current"
    other = "feature f on s as sum(x) excluding current by k over 1 hour where y = 1 from t"
    expected = Feature(
        "f",
        "s",
        Aggregated("sum", Field("x")),
        Over(range_us=HOUR_US),
        key=("k",),
        source="t",
        where=Binary("=", Field("y"), Literal(1)),
        excluding_current=True,
    )
    assert rules_of(one).features == rules_of(other).features == (expected,)


def test_a_feature_looks_back_a_time_or_events_or_over_all() -> None:
    texts = ("1 hour 30 minutes", "3 events", "1 event", "all")
    overs = [rules_of(f"feature f on s as count(*) over {text}").features[0].over for text in texts]
    assert overs == [Over(90 * MINUTE_US), Over(None, 3), Over(None, 1), Over()]


def test_a_member_in_a_feature_is_one_of_a_table() -> None:
    (feature,) = rules_of(
        "table m (k int, r float) by k; feature f on s as sum(x * m.r) / m.r over all"
    ).features
    member = Captured("last", "m", Field("r"))
    assert feature.value == Binary("/", Aggregated("sum", Binary("*", Field("x"), member)), member)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("window tumbling 1 hour", Window(WindowKind.TUMBLING, HOUR_US)),
        (
            "window tumbling 1 hour offset -15 minutes",
            Window(WindowKind.TUMBLING, HOUR_US, None, -15 * MINUTE_US),
        ),
        (
            "window sliding 1 hour every 1 minute offset 30 s",
            Window(WindowKind.SLIDING, HOUR_US, MINUTE_US, 30_000_000),
        ),
        (
            "window cumulating 1 hour every 1 minute",
            Window(WindowKind.CUMULATING, HOUR_US, MINUTE_US),
        ),
        (
            "window session 1 minute",
            Window(WindowKind.SESSION, gap=Literal(MINUTE_US, DataType.DURATION)),
        ),
        (
            "window session (wait * 2)",
            Window(WindowKind.SESSION, gap=Binary("*", Field("wait"), Literal(2))),
        ),
        ("window count 100", Window(WindowKind.COUNT, size_events=100)),
        (
            "window count 100 every 10",
            Window(WindowKind.COUNT, size_events=100, slide_events=10),
        ),
        ("", None),
    ],
)
def test_a_window_is_written(text: str, window: Window | None) -> None:
    assert window_of(text) == window


def test_an_aggregate_says_when_its_rows_come() -> None:
    (aggregate,) = rules_of(
        "aggregate a from s by k where x > 1 window tumbling 1 hour lateness 1 minute discarding "
        "early every 10 s select k, sum(x), count(*), quantile(x, 0.9) as q having q > 1"
    ).aggregates
    assert aggregate == Aggregate(
        "a",
        "s",
        select=(
            Output("k", Field("k")),
            Output("sum_x", Aggregated("sum", Field("x"))),
            Output("count", Aggregated("count")),
            Output("q", Aggregated("quantile", Field("x"), (Literal(0.9),))),
        ),
        key=("k",),
        window=Window(WindowKind.TUMBLING, HOUR_US),
        where=Binary(">", Field("x"), Literal(1)),
        having=Binary(">", Field("q"), Literal(1)),
        lateness_us=MINUTE_US,
        discarding=True,
        early_us=10_000_000,
    )


@pytest.mark.parametrize(
    ("text", "low_us", "high_us"),
    [
        ("within 1 minute", 0, MINUTE_US),
        ("between -1 minute and 1 hour", -MINUTE_US, HOUR_US),
        ("between -1 hour 30 minutes and -1 hour", -90 * MINUTE_US, -HOUR_US),
        ("between 1 minute and 1 hour", MINUTE_US, HOUR_US),
    ],
)
def test_a_join_bounds_the_time_from_left_to_right(text: str, low_us: int, high_us: int) -> None:
    (join,) = rules_of(f"join j from a, b by k {text} where a.x = b.y select a.x").joins
    condition = Binary("=", Captured("last", "a", Field("x")), Captured("last", "b", Field("y")))
    select = (Output("x", Captured("last", "a", Field("x"))),)
    assert join == Join("j", "a", "b", select, ("k",), low_us, high_us, where=condition)


def test_functions_of_the_user_are_aggregates_where_they_are_known() -> None:
    text = "feature f on s as mine(x) over all"
    (feature,) = parse_rules(text, functions=["mine"])[0].features
    assert feature.value == Aggregated("mine", Field("x"))
    assert parse_rules(str(parse_rules(text, functions=["mine"])[0]), functions=["mine"])


def test_table_and_join_begin_a_statement_where_a_name_follows() -> None:
    rules = rules_of(
        "stream s (table int, join int);\npattern p match a define a as x =\ntable + 1"
    )
    assert rules.patterns[0].definition("a").condition == Binary(
        "=", Field("x"), Binary("+", Field("table"), Literal(1))
    )
    with pytest.raises(RuleError, match="';' is missing before 'table'"):
        parse_rules("stream s (x int)\ntable t (k int) by k")


def test_what_a_statement_that_cannot_be_read_was_about_is_remembered() -> None:
    reading = read_rules(
        "feature f on s as sum(x) ovr 1 hour; table t (k int by k; aggregate a frm s; pattern p ->"
    )
    assert reading.lost_features == (("s", "f"),)
    assert [table.name for table in reading.rules.tables] == ["t"]
    assert {"a", "p"} <= reading.lost
