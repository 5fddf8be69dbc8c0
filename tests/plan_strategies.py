"""Hypothesis strategies: random valid statements of every kind, as they stand in a rule file."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from cep.engine.algebra.aggregates import AGGREGATES
from cep.engine.algebra.expression import (
    Aggregated,
    Binary,
    Captured,
    Case,
    DataType,
    Expression,
    Field,
    IsNull,
    Literal,
    Unary,
)
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
from tests.strategies import literals

MINUTE_US = 60_000_000
FIELDS = ("x", "window", "over", "by", "having", "select", "two words", "every", "all", "Größe")
TABLES = ("merchants", "table")

names = st.sampled_from(FIELDS)
keys = st.lists(names, max_size=2, unique=True).map(tuple)
durations = st.integers(1, 5_000).map(lambda n: n * 1_000)
units = st.sampled_from(("s", "ms", "us", "ns"))

# ---- expressions


def _above(leaves: SearchStrategy[Expression]) -> SearchStrategy[Expression]:
    operators = st.sampled_from(("and", "or", "=", "<", "+", "-", "*", "||"))

    def above(inner: SearchStrategy[Expression]) -> SearchStrategy[Expression]:
        return st.one_of(
            st.builds(Binary, operators, inner, inner),
            st.builds(Unary, st.sampled_from(("not", "-")), inner),
            st.builds(IsNull, inner, st.booleans()),
            st.builds(Case, st.tuples(st.tuples(inner, inner)), st.one_of(st.none(), inner)),
        )

    return st.recursive(leaves, above, max_leaves=4)


def members(of: tuple[str, ...]) -> SearchStrategy[Expression]:
    return st.builds(Captured, st.just("last"), st.sampled_from(of), names.map(Field))


def of_event() -> SearchStrategy[Expression]:
    """What `where` and arguments of aggregates may say."""
    return _above(st.one_of(literals(), names.map(Field), members(TABLES)))


def aggregated() -> SearchStrategy[Expression]:
    plain = sorted(name for name, form in AGGREGATES.items() if not form.fraction)
    fractions = st.sampled_from((0, 0.5, 0.95, 1)).map(lambda p: (Literal(p),))
    quantiles = st.sampled_from(("quantile", "approx_quantile"))
    return st.one_of(
        st.just(Aggregated("count")),
        st.builds(Aggregated, st.sampled_from(plain), of_event()),
        st.builds(Aggregated, quantiles, names.map(Field), fractions),
    )


def of_row(fields: tuple[str, ...]) -> SearchStrategy[Expression]:
    """What the columns of an aggregate may say."""
    plain = [st.sampled_from(fields).map(Field)] if fields else []
    return _above(st.one_of(literals(), aggregated(), *plain))


@st.composite
def outputs(draw: DrawFn, values: SearchStrategy[Expression]) -> tuple[Output, ...]:
    chosen = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    return tuple(Output(name, draw(values)) for name in chosen)


# ---- statements


@st.composite
def columns(draw: DrawFn) -> tuple[StreamField, ...]:
    kinds = [kind for kind in DataType if kind is not DataType.NULL]
    first = draw(st.integers(0, len(kinds) - 1))
    return tuple(
        StreamField(name, kinds[(first + number) % len(kinds)])
        for number, name in enumerate(FIELDS)
    )


@st.composite
def streams(draw: DrawFn, name: str) -> Stream:
    time = draw(st.one_of(st.none(), names))
    partition = draw(keys)
    return Stream(
        name,
        draw(st.one_of(st.just(()), columns())),
        time=time,
        time_unit="ms" if time is None else draw(units),
        lateness_us=draw(st.one_of(st.just(0), durations)),
        tie_breaker=None if time is None else draw(st.one_of(st.none(), names)),
        partition=partition,
        idle_us=draw(st.one_of(st.none(), durations)) if partition else None,
    )


@st.composite
def tables(draw: DrawFn, name: str) -> Table:
    key = draw(st.lists(names, min_size=1, max_size=2, unique=True))
    rest = st.sampled_from([name for name in FIELDS if name not in key])
    time = draw(st.one_of(st.none(), rest))
    unit = "ms" if time is None else draw(units)
    return Table(name, draw(columns()), tuple(key), time, unit)


@st.composite
def features(draw: DrawFn, name: str) -> Feature:
    value = draw(aggregated())
    if draw(st.booleans()):
        value = Binary("/", value, draw(of_event()))
    spans = (
        durations.map(lambda us: Over(range_us=us)),
        st.integers(1, 9).map(lambda n: Over(None, n)),
    )
    return Feature(
        name,
        stream=draw(names),
        value=value,
        over=draw(st.one_of(st.just(Over()), *spans)),
        key=draw(keys),
        source=draw(st.one_of(st.none(), names)),
        where=draw(st.one_of(st.none(), of_event())),
        excluding_current=draw(st.booleans()),
    )


@st.composite
def windows(draw: DrawFn) -> Window:
    kind = draw(st.sampled_from(WindowKind))
    if kind is WindowKind.SESSION:
        gaps = durations.map(lambda us: Literal(us, DataType.DURATION))
        return Window(kind, gap=draw(st.one_of(gaps, names.map(Field), of_event())))
    if kind is WindowKind.COUNT:
        slide = draw(st.one_of(st.none(), st.integers(1, 9)))
        return Window(kind, size_events=draw(st.integers(9, 100)), slide_events=slide)
    slide_us = draw(durations)
    size_us = slide_us * draw(st.integers(1, 9))
    offset_us = draw(st.integers(-MINUTE_US, MINUTE_US))
    return Window(kind, size_us, None if kind is WindowKind.TUMBLING else slide_us, offset_us)


@st.composite
def aggregates(draw: DrawFn, name: str) -> Aggregate:
    window, key = draw(st.one_of(st.none(), windows())), draw(keys)
    readable = key if window is None else (*key, "window_start", "window_end")
    select = draw(outputs(of_row(readable)))
    columns = (*readable, *(output.name for output in select))
    timed = window is not None and window.kind is not WindowKind.COUNT
    return Aggregate(
        name,
        stream=draw(names),
        select=select,
        key=key,
        window=window,
        where=draw(st.one_of(st.none(), of_event())),
        having=draw(st.one_of(st.none(), of_row(columns))),
        lateness_us=draw(durations) if timed and draw(st.booleans()) else 0,
        discarding=timed and draw(st.booleans()),
        early_us=draw(durations) if timed and draw(st.booleans()) else None,
    )


@st.composite
def joins(draw: DrawFn, name: str) -> Join:
    left, right = draw(st.lists(names, min_size=2, max_size=2, unique=True))
    of_pair = _above(st.one_of(literals(), members((left, right))))
    low_us, high_us = sorted(draw(st.tuples(*2 * (st.integers(-MINUTE_US, MINUTE_US),))))
    window = None
    if draw(st.booleans()):
        offset_us = draw(st.integers(-MINUTE_US, MINUTE_US))
        window = Window(WindowKind.TUMBLING, draw(durations), None, offset_us)
        low_us, high_us = 0, 0
    elif draw(st.booleans()):
        low_us, high_us = 0, abs(high_us)
    return Join(
        name,
        left,
        right,
        select=draw(outputs(of_pair)),
        key=draw(keys),
        low_us=low_us,
        high_us=high_us,
        window=window,
        where=draw(st.one_of(st.none(), of_pair)),
    )


@st.composite
def rule_sets(draw: DrawFn) -> RuleSet:
    """Statements of every kind that `validate_rules` has no errors for; their names are odd."""
    return RuleSet(
        streams=(draw(streams("stream")),),
        tables=tuple(draw(tables(name)) for name in TABLES),
        features=(draw(features("feature")),),
        aggregates=(draw(aggregates("aggregate")),),
        joins=(draw(joins("join")),),
    )
