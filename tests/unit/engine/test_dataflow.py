"""Rule sets bound to streams: order, levels, fields, what is left out, what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cep.dsl import parse_rules
from cep.engine.algebra.aggregates import AggregateFunction
from cep.engine.algebra.expression import Aggregated, DataType, Field
from cep.engine.algebra.pattern import Pattern, Stream, StreamField
from cep.engine.algebra.plan import (
    Aggregate,
    Dataflow,
    Feature,
    Lookup,
    NodeKind,
    Over,
)
from cep.engine.dataflow.build import base_streams, build_dataflow

STREAMS = """
stream transactions (card text, merchant int, ts timestamp, amount float) time ts;
stream labels (card text, at timestamp, fraud int) time at;
"""
TABLE = "table merchants (merchant int, risk float, name text) by merchant;"
VERSIONS = "table merchants (merchant int, risk float, at timestamp) by merchant time at;"


def dataflow(text: str, streams: str = STREAMS) -> Dataflow:
    rules, _ = parse_rules(streams + text)
    built, problems = build_dataflow(rules, base_streams(rules))
    assert problems == []
    return built


def problems_of(text: str, streams: str = STREAMS) -> list[str]:
    rules, _ = parse_rules(streams + text)
    return [problem.message for problem in build_dataflow(rules, base_streams(rules))[1]]


def fields(stream: Stream) -> list[str]:
    return [f"{column.name} {column.type}" for column in stream.fields]


# ---- order


def test_what_reads_a_stream_runs_a_level_after_what_makes_it() -> None:
    built = dataflow("""
        aggregate by_hour from twice window tumbling 1 hour select count(*) as n;
        pattern often from by_hour match h define h as n > 2;
        pattern twice from transactions by card match a -> b define a as amount > 1, b as true;
        join both from twice, labels by card within 1 day select labels.fraud
    """)
    assert [(node.name, node.level, node.reads) for node in built.nodes] == [
        ("twice", 0, ("transactions",)),
        ("by_hour", 1, ("twice",)),
        ("both", 1, ("twice", "labels")),
        ("often", 2, ("by_hour",)),
    ]
    assert [stream.name for stream in built.streams] == ["labels", "transactions"]


def test_statements_that_read_each_other_in_a_circle_are_a_problem() -> None:
    assert problems_of("""
        aggregate a from p window tumbling 1 hour select count(*) as n;
        pattern p from a match x define x as n > 1
    """) == ["a circle: 'a' reads 'p', 'p' reads 'a'"]


def test_a_circle_may_go_through_a_feature() -> None:
    assert problems_of("""
        feature f on transactions as count(*) from rows over 1 hour by card;
        aggregate rows from transactions by card select card, sum(f) as s
    """) == ["a circle: 'f' reads 'rows', 'rows' reads 'f'"]


# ---- derived streams


def test_rows_of_windows_have_what_is_selected_and_the_bounds() -> None:
    (node,) = dataflow("""
        aggregate a from transactions by card window tumbling 1 hour
          select card, window_end as upto, count(*) as n, avg(amount) as mean
    """).nodes
    assert node.kind is NodeKind.AGGREGATE
    assert fields(node.stream) == [
        "card text",
        "upto timestamp",
        "n int",
        "mean float",
        "window_start timestamp",
        "window_end timestamp",
    ]


def test_windows_by_count_are_bounded_by_ordinals() -> None:
    (node,) = dataflow(
        "aggregate a from labels window count 5 select window_end, max(at) as t"
    ).nodes
    assert fields(node.stream) == ["window_end int", "t timestamp", "window_start int"]


def test_matches_have_their_key_their_times_and_what_is_selected() -> None:
    (node,) = dataflow("""
        pattern p from transactions by card, merchant match a define a as amount > 1
          select a.amount, merchant, a.ts as "end"
    """).nodes
    assert fields(node.stream) == [
        "card text",
        "start timestamp",
        "amount float",
        "merchant int",
        "end timestamp",
    ]


def test_pairs_have_their_key_and_what_is_selected() -> None:
    (node,) = dataflow(
        "join j from transactions, labels by card within 1 day select labels.fraud"
    ).nodes
    assert fields(node.stream) == ["card text", "fraud int"]


# ---- features


def test_features_are_bound_in_an_order_in_which_each_reads_earlier_ones() -> None:
    built = dataflow(
        """
        feature share on transactions as amount / spent over 1 event by card;
        feature spent on transactions as sum(amount) over 1 hour by card;
        pattern p from transactions by card match a define a as share > 0.5
    """.replace("amount / spent", "max(amount / spent)")
    )
    assert [(f.name, f.value.type, f.over) for f in built.features] == [
        ("spent", DataType.FLOAT, Over(range_us=3_600_000_000)),
        ("share", DataType.FLOAT, Over(events=1)),
    ]
    assert built.feature_levels == (0, 0)
    assert fields(built.stream("transactions"))[-2:] == ["spent float", "share float"]


def test_a_feature_that_nothing_reads_is_left_out_with_a_warning() -> None:
    text = """
        feature unread on transactions as sum(fed) over all;
        feature fed on transactions as count(*) over all;
        pattern p from transactions match a define a as amount > 1
    """
    rules, _ = parse_rules(STREAMS + text)
    built, problems = build_dataflow(rules, base_streams(rules))
    assert built.features == ()
    assert fields(built.stream("transactions")) == [
        "card text",
        "merchant int",
        "ts timestamp",
        "amount float",
    ]
    assert [(p.message, p.warning) for p in problems] == [
        ("feature 'unread' is never read: it is not computed", True),
        ("feature 'fed' is never read: it is not computed", True),
    ]


def test_a_feature_may_be_the_key_and_the_source_of_others() -> None:
    built = dataflow("""
        feature bucket on transactions as count(*) over all by card;
        aggregate a from transactions by bucket window tumbling 1 hour select bucket, count(*) as n
    """)
    assert [f.name for f in built.features] == ["bucket"]


def test_a_feature_of_another_stream_brings_that_stream_along() -> None:
    built = dataflow("""
        feature frauds on transactions as count(*) from labels where fraud = 1 over 21 days by card;
        pattern p from transactions by card match a define a as frauds > 0
    """)
    assert [stream.name for stream in built.streams] == ["transactions", "labels"]


def test_features_of_derived_streams_have_the_level_of_their_readers() -> None:
    built = dataflow("""
        aggregate rate from transactions by card window tumbling 1 hour select card, count(*) as n;
        feature before on rate as avg(n) over 1 day by card excluding current;
        feature lately on transactions as max(n) from rate over 1 day by card;
        pattern p from rate by card match a define a as n > 2 * before;
        pattern q from transactions by card match a define a as lately > 5
    """)
    assert list(zip((f.name for f in built.features), built.feature_levels, strict=True)) == [
        ("before", 1),
        ("lately", 1),
    ]
    assert [(node.name, node.level) for node in built.nodes] == [("rate", 0), ("p", 1), ("q", 1)]
    assert fields(built.stream("rate"))[-1] == "before float"


# ---- running aggregates


def test_an_aggregate_without_a_window_is_a_pattern_over_features() -> None:
    built = dataflow("""
        aggregate so_far from transactions by card where amount > 1
          select count(*) as n, sum(amount) / count(*) as mean having n > 2 and max(amount) < 9
    """)
    (node,) = built.nodes
    assert node.kind is NodeKind.RUNNING
    assert isinstance(node.plan, Pattern)
    assert str(node.plan) == (
        "pattern so_far\n"
        "  from transactions by card\n"
        "  match transactions\n"
        '  define transactions as transactions where amount > 1 and ("so_far#1" > 2 and '
        '"so_far#3" < 9)\n'
        "  after match no skip\n"
        '  select card, "so_far#1" as n, "so_far#2" / "so_far#1" as mean;'
    )
    assert [(f.name, f.value, f.over, f.key) for f in built.features] == [
        ("so_far#1", Aggregated("count"), Over(), ("card",)),
        ("so_far#2", Aggregated("sum", Field("amount")), Over(), ("card",)),
        ("so_far#3", Aggregated("max", Field("amount")), Over(), ("card",)),
    ]
    assert fields(node.stream) == ["card text", "n int", "mean float"]


def test_having_says_columns_as_well_as_aggregates() -> None:
    (node,) = dataflow("""
        aggregate a from transactions by card window tumbling 1 hour
          select card as c, sum(amount) as total having total > 5 and card <> c
    """).nodes
    assert isinstance(node.plan, Aggregate)
    sides = getattr(node.plan.having, "left", None), getattr(node.plan.having, "right", None)
    assert [getattr(side, "left", None) for side in sides] == [
        Aggregated("sum", Field("amount")),
        Field("card"),
    ]


# ---- tables


def test_a_table_is_looked_up_by_fields_of_the_event() -> None:
    built = dataflow(
        TABLE
        + """pattern p from transactions by card match a -> b
          define a as merchants.risk > 0.5, b as merchants.name <> a."merchants.name"
          select merchants.risk"""
    )
    assert built.lookups == (
        Lookup("transactions", "merchants.risk", "merchants", "risk", ("merchant",)),
        Lookup("transactions", "merchants.name", "merchants", "name", ("merchant",)),
    )
    assert [table.name for table in built.tables] == ["merchants"]
    assert fields(built.stream("transactions"))[-2:] == [
        "merchants.risk float",
        "merchants.name text",
    ]
    (node,) = built.nodes
    assert isinstance(node.plan, Pattern)
    assert node.plan.select[0].value == Field("merchants.risk")


def test_a_table_with_a_time_is_a_stream_of_versions_and_comes_first() -> None:
    built = dataflow(
        VERSIONS + "pattern p from transactions match a define a as merchants.risk > 0.5"
    )
    assert built.lookups == ()
    assert built.features == (
        Feature(
            "merchants.risk",
            "transactions",
            Aggregated("last", Field("risk")),
            Over(),
            key=("merchant",),
            source="merchants",
        ),
    )
    assert [stream.name for stream in built.streams] == ["merchants", "transactions"]
    assert built.streams[0].time == "at"


def test_features_aggregates_and_joins_look_things_up_too() -> None:
    built = dataflow(
        TABLE
        + """
        feature risk on transactions as sum(amount * merchants.risk) / merchants.risk over 1 hour;
        aggregate a from transactions where merchants.name = 'x' window session 5 minutes
          select sum(risk) as r;
        join j from transactions, labels by card within 1 day
          where transactions."merchants.risk" > 1 select labels.fraud
        """
    )
    assert {lookup.name for lookup in built.lookups} == {"merchants.risk", "merchants.name"}


def test_a_variable_hides_a_table_of_its_name() -> None:
    text = (
        TABLE
        + "pattern p from transactions match merchants -> b "
        + ("define merchants as true, b as amount > merchants.amount")
    )
    assert problems_of(text) == ["nothing is looked up in table 'merchants'"]


def test_of_several_streams_those_with_the_key_look_it_up() -> None:
    built = dataflow(
        TABLE
        + """pattern p from transactions, labels by card match a -> b
          define a as transactions, b as labels unless merchants.risk > 1"""
    )
    assert [lookup.stream for lookup in built.lookups] == ["transactions"]


def test_rows_of_windows_look_things_up() -> None:
    built = dataflow(
        TABLE
        + """
        aggregate rate from transactions by merchant window tumbling 1 hour
          select merchant, count(*) as n;
        pattern p from rate by merchant match a define a as n > 5 and merchants.risk > 1
        """
    )
    assert built.lookups[0].stream == "rate"
    assert fields(built.nodes[0].stream)[-1] == "merchants.risk float"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "table t (card int, x int) by card; pattern p from labels match a define a as t.x > 1",
            "'card' is text in stream labels and int in table t",
        ),
        (
            "table t (id int, x int) by id; pattern p from labels match a define a as t.x > 1",
            "table t is looked up by 'id': no such field in stream labels",
        ),
        (
            "table t (card text, x int) by card; pattern p from labels match a define a as t.y > 1",
            "no field 'y' in table t",
        ),
        (
            "table t (card text, x int) by card; pattern p from t match a define a as x > 1",
            "'t' is a table, not a stream",
        ),
    ],
)
def test_a_lookup_that_cannot_be_done_is_a_problem(text: str, message: str) -> None:
    assert message in problems_of(text)


# ---- data


def test_streams_without_fields_are_open_until_the_data_come() -> None:
    rules, _ = parse_rules("""
        table merchants (merchant int, risk float) by merchant;
        feature spent on t as sum(amount) over 1 hour by card;
        aggregate a from t by card window tumbling 1 hour select card, sum(spent) as s;
        pattern p from a by card match x define x as s > 5;
        pattern q from t match x define x as merchants.risk > 1 and spent > 2
    """)
    streams = base_streams(rules)
    assert streams == {"t": Stream("t")}
    _, problems = build_dataflow(rules, streams)
    assert problems == []
    kinds = {"card": DataType.TEXT, "amount": DataType.INTEGER, "merchant": DataType.INTEGER}
    known = Stream("t", tuple(StreamField(name, kind) for name, kind in kinds.items()))
    built, problems = build_dataflow(rules, {"t": known})
    assert problems == []
    assert fields(built.stream("t")) == [
        *("card text", "amount int", "merchant int"),
        *("merchants.risk float", "spent int"),
    ]
    wrong = replace(known, fields=known.fields[:1])
    _, problems = build_dataflow(rules, {"t": wrong})
    assert [problem.message for problem in problems] == [
        "table merchants is looked up by 'merchant': no such field in stream t",
        "no field 'amount' in stream t",
    ]


def test_a_table_without_fields_has_those_of_its_data() -> None:
    rules, _ = parse_rules(
        STREAMS + "table m by merchant; pattern p from transactions match a define a as m.risk > 1"
    )
    data = Stream(
        "m", (StreamField("merchant", DataType.INTEGER), StreamField("risk", DataType.FLOAT))
    )
    built, problems = build_dataflow(rules, {**base_streams(rules), "m": data})
    assert problems == []
    assert fields(built.stream("transactions"))[-1] == "m.risk float"


def test_patterns_alone_are_bound_as_ever() -> None:
    rules, _ = parse_rules("pattern p match a define a as x > 1")
    streams = base_streams(rules)
    assert streams == {"": Stream("")}
    built, problems = build_dataflow(rules, streams)
    assert problems == []
    assert [node.reads for node in built.nodes] == [("",)]
    assert [stream.name for stream in built.streams] == [""]


def test_a_pattern_without_from_reads_the_only_stream() -> None:
    built = dataflow("pattern p match a define a as x > 1", "stream s (x int);")
    assert [node.reads for node in built.nodes] == [("s",)]
    assert problems_of("pattern p match a define a as x > 1") == [
        "pattern 'p' does not say which stream it reads"
    ]


# ---- functions of the user


def test_functions_of_the_user_have_their_types() -> None:
    function = AggregateFunction(
        "longest",
        create=lambda: "",
        add=lambda longest, text: max(longest, text, key=len),
        merge=lambda one, other: max(one, other, key=len),
        result=lambda longest: longest,
        type=DataType.TEXT,
        argument=DataType.TEXT,
    )
    text = "aggregate a from transactions window tumbling 1 hour select longest({}) as l"
    functions = {"longest": function}

    def built(argument: str) -> tuple[Dataflow, list[str]]:
        rules, _ = parse_rules(STREAMS + text.format(argument), functions=functions)
        found, problems = build_dataflow(rules, base_streams(rules), functions)
        return found, [problem.message for problem in problems]

    assert fields(built("card")[0].nodes[0].stream)[0] == "l text"
    assert built("amount")[1] == ["'amount' is a float: longest takes text"]
