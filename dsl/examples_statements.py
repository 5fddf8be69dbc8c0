"""Wrong streams, tables, features, aggregates and joins of the commonest kinds."""

from __future__ import annotations

from cep.dsl.example import Example

FEATURE = "feature f on s as sum(x)"
AGGREGATE = "aggregate a from s by k"
JOIN = "join j from a, b by k"
VALUES = ("sum(x)", "x + sum(x)", "sum(x) / count(*)", "-sum(x)", "x = sum(x)", "(sum(x))", "not x")


def feature_rests(*rests: str) -> tuple[str, ...]:
    return tuple(f"{FEATURE} {rest}" for rest in rests)


def aggregate_rests(*rests: str) -> tuple[str, ...]:
    return tuple(f"{AGGREGATE} {rest}" for rest in rests)


def join_rests(*rests: str) -> tuple[str, ...]:
    return tuple(f"{JOIN} {rest}" for rest in rests)


OF_FEATURES = (
    Example(
        "'on' is missing before '{token}'",
        "a feature is written: feature NAME on STREAM as sum(amount) over 1 hour by card",
        ("feature f s as sum(x)", "feature f as sum(x)", "feature f from s", "feature f"),
        any_token=True,
    ),
    Example(
        "'as' is missing before '{token}'",
        "a feature is written: feature NAME on STREAM as sum(amount) over 1 hour by card",
        ("feature f on s sum(x)", "feature f on s over 1 hour", "feature f on s"),
        any_token=True,
    ),
    Example(
        "'over' what?",
        "write over 1 hour, over 10 events or over all",
        feature_rests("over", "over hour", "over the last hour", "over by k", "over (1 hour)"),
        any_token=True,
    ),
    Example(
        "a unit is missing after '{before}'",
        "write over 1 hour for a time, over 10 events for the last ten",
        feature_rests("over 5", "over 5 by k", "over 5, 6"),
        any_token=True,
    ),
    Example(
        "'current' is missing after 'excluding'",
        "write: excluding current",
        feature_rests("over 1 hour excluding", "over all excluding x", "excluding event"),
        any_token=True,
    ),
    Example(
        "a feature has one value",
        "write a feature for each",
        tuple(f"feature f on s as {value}, count(*)" for value in VALUES),
    ),
    Example(
        "'{token}' cannot stand in a feature",
        "its clauses are from, where, over, by and excluding current; windows and columns are for "
        "aggregates",
        (
            *(f"feature f on s as {value} window" for value in VALUES),
            *(f"feature f on s as {value} select" for value in VALUES),
            *feature_rests("over 1 hour window", "over 1 hour select", "by k window"),
            *feature_rests("over all select", "over all partition", "over 3 events partition"),
            *feature_rests("over 1 hour partition", "over 3 events window"),
        ),
    ),
)

OF_AGGREGATES = (
    Example(
        "which kind of window?",
        "write window tumbling 1 hour, sliding 10 minutes every 1 minute, cumulating 1 day every "
        "1 hour, session 30 minutes or count 100",
        aggregate_rests("window 10 minutes", "window hopping 5 minutes", "window", "window by k")
        + join_rests("window 1 hour", "window x", "window"),
        any_token=True,
    ),
    Example(
        "a duration is missing after '{before}'",
        "write a number and a unit: 10 minutes, 30 seconds, 500 ms",
        (
            *aggregate_rests("window tumbling", "window tumbling select x", "window tumbling by k"),
            *aggregate_rests("window sliding", "window sliding every 1 minute", "early every x"),
            *aggregate_rests("window cumulating x", "window sliding 5 s every", "early every"),
            *aggregate_rests("window cumulating 1 day every x", "window tumbling 5 s offset"),
            *aggregate_rests("window tumbling 5 s offset -x", "lateness discarding", "lateness"),
            *join_rests("within", "within select x", "between", "between x", "between 5 s and"),
            *join_rests("between -x", "between 5 s and -x", "window tumbling"),
            "stream s idle after",
            "stream s idle after x",
            "stream s lateness",
        ),
        any_token=True,
    ),
    Example(
        "'every' is missing after the size of the window",
        "write: window sliding 10 minutes every 1 minute, window cumulating 1 day every 1 hour",
        aggregate_rests("window sliding 5 minutes", "window cumulating 1 day")
        + aggregate_rests("window sliding 5 minutes select x", "window sliding 5 minutes by k")
        + aggregate_rests("window cumulating 1 day select x", "window cumulating 1 day by k"),
        any_token=True,
    ),
    Example(
        "'session' needs the time without events that ends it",
        "write session 30 minutes, or an expression in brackets: session (gap)",
        aggregate_rests("window session", "window session gap", "window session select x"),
        any_token=True,
    ),
    Example(
        "'count' needs a number of events",
        "write window count 100, or window count 100 every 10",
        aggregate_rests("window count", "window count x", "window count 10 every x")
        + aggregate_rests("window count 5.5", "window count 10 every"),
        any_token=True,
    ),
    Example(
        "a number of events has no unit",
        "write window count 100; for a time write window tumbling 1 hour",
        aggregate_rests("window count 5 minutes", "window count 100 every 5 minutes"),
    ),
    Example(
        "'every' is missing after 'early'",
        "write: early every 10 seconds",
        aggregate_rests("early 10 seconds", "early", "early select x"),
        any_token=True,
    ),
    Example(
        "'{token}' is not written here",
        "the key fields follow 'by': aggregate NAME from STREAM by merchant ...",
        (
            *aggregate_rests("group by k", "window tumbling 1 hour group by k"),
            *("aggregate a from s group by k", "aggregate a from s lateness 5 s group"),
        ),
    ),
    Example(
        "'as' does not follow the name",
        "an aggregate is written: aggregate NAME from STREAM by FIELD window tumbling 1 hour "
        "select FIELD, count(*) as n",
        ("aggregate a as select x",),
    ),
    Example(
        "'from' is missing before '{token}'",
        "an aggregate is written: aggregate NAME from STREAM by FIELD window tumbling 1 hour "
        "select FIELD, count(*) as n",
        ("aggregate a s by k", "aggregate a (s)", "aggregate from s by k"),
    ),
    Example(
        "'*' is no column",
        "name the columns: select merchant, count(*) as n",
        aggregate_rests("select *", "select k, *") + join_rests("within 5 s select *"),
    ),
    Example(
        "',' is missing before '{token}'",
        "columns are separated by commas: select merchant, count(*) as n",
        aggregate_rests("select k count(*)", "select k as x y", "select count(*) k")
        + aggregate_rests("select sum(x) + 1.5 / y z", "select 'x' y", "select a.x y")
        + join_rests("within 5 s select a.x b.y", "within 5 s select a.x as x b.y"),
    ),
    Example(
        "the list ends with ','",
        "leave the ',' out, or go on with the list",
        aggregate_rests("select k,", "by k,") + join_rests("within 5 s select a.x,"),
        caret_before=True,
    ),
)

OF_JOINS = (
    Example(
        "'{token}' stands before 'where' and 'select'",
        "a join is written: join NAME from LEFT, RIGHT by FIELD within 10 minutes where ... "
        "select ...",
        tuple(
            f"{JOIN} {clause} {word}"
            for clause in ("where a.x = 5", "where a.x", "where a.x = b.x", "select a.x")
            for word in ("within 5 s", "by k", "from a", "window x")
        )
        + tuple(f"{JOIN} where a.x = 'x' {word}" for word in ("within 5 s", "by k", "window x"))
        + join_rests("select a.x as y within 5 s"),
    ),
    Example(
        "'on' is not written here",
        "both streams have the key fields of 'by'; further conditions follow 'where'",
        (
            *join_rests("on a.x = b.x", "within 5 s on x", "between 5 s and 6 s on x"),
            *("join j from a, b on a.x = b.x", "join j on x"),
        ),
    ),
    Example(
        "a stream keeps its name in a join",
        "read its fields as STREAM.FIELD; pairs of one stream are a pattern: match a ->> b",
        ("join j from s as x, s as y", "join j from a, b as y"),
    ),
    Example(
        "'from' is missing before '{token}'",
        "a join is written: join NAME from LEFT, RIGHT by FIELD within 10 minutes select ...",
        ("join j a, b", "join j (a, b)", "join j a join b"),
    ),
    Example(
        "'and' is missing after 'between'",
        "write: between -5 minutes and 10 minutes",
        join_rests("between 5 s", "between 5 s to 6 s", "between -5 s", "between 5 s, 6 s"),
        any_token=True,
    ),
)

OF_SOURCES = (
    Example(
        "'after' is missing after 'idle'",
        "write: idle after 1 minute",
        ("stream s idle 5 minutes", "stream s idle", "stream s idle x"),
        any_token=True,
    ),
    Example(
        "'then' needs the field that orders events of the same time",
        "write: time ts then id",
        ("stream s time ts then", "stream s time ts then 5", "stream s time ts then (a)"),
        any_token=True,
    ),
    Example(
        "'{token}' is not written here",
        "the key of a table follows 'by': table merchants (merchant int, risk float) by merchant",
        (
            *("table m (a int) key a", "table m key a", "table m (a int) on a"),
            *("table m (a int, b int) key a", "table m (a int, b int) on a"),
            "table m (a int) using a",
        ),
    ),
    Example(
        "'(' is missing before '{token}'",
        "the fields of a table stand in brackets: table merchants (merchant int, risk float) by "
        "merchant",
        ('table m "card" text',),
    ),
)

OF_PARAMETERS = (
    Example(
        "the name of a parameter begins with $",
        "a parameter is written: parameter $limit float = 500;",
        ("parameter limit = 500", "parameter float limit = 500", "parameter 'limit' = 500"),
        any_token=True,
    ),
    Example(
        "'=' and a value are missing before '{token}'",
        "a parameter is written: parameter $limit float = 500;",
        (
            "parameter $limit",
            "parameter $limit float",
            "parameter $limit 500",
            "parameter $x text 'x'",
        ),
        any_token=True,
    ),
    Example(
        "a value is missing behind '='",
        "write a number, a text in quotes, true or false, a duration or a timestamp",
        ("parameter $limit =", "parameter $limit float ="),
    ),
)

CLAUSES_OF_STATEMENTS = OF_PARAMETERS + OF_FEATURES + OF_AGGREGATES + OF_JOINS + OF_SOURCES
"""Where two share a state and token, the later one wins."""
