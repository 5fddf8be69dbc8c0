"""Hypothesis strategies: expressions of every type over rows of every kind of value."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from cep.engine.algebra.expression import DataType, Expression, Literal
from tests.unit.engine.expression_tools import (
    among,
    between,
    call,
    case,
    cast,
    exp,
    f,
    is_null,
    like,
    neg,
    no,
    op,
)

BOOLEAN, INTEGER, FLOAT = DataType.BOOLEAN, DataType.INTEGER, DataType.FLOAT
TEXT, TIMESTAMP, DURATION = DataType.TEXT, DataType.TIMESTAMP, DataType.DURATION
MOST = 2**63 - 1
ROWS = 5

Exprs = st.SearchStrategy[Expression]

INTS = st.sampled_from([0, 1, -1, 2, 3, -7, 10, 2**31, 2**53, 2**53 + 1, MOST, -MOST - 1])
FLOATS = st.sampled_from(
    [0.0, 0.5, -1.5, 2.0, -7.0, 2.0**53, 2.0**63, -(2.0**63), 1e300, math.inf, -math.inf, math.nan]
)
TEXTS = st.sampled_from(["", "a", "b", "ab", "a%b", "é", " 7 ", "12", "-3.5", "nan", "true"])
TIMES = st.integers(-(10**15), 10**15)
SPANS = st.sampled_from([0, 1, -1, 1_500_000, 86_400_000_000, 2**62])
BOOLS = st.booleans()

DATA: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "i": (pa.int64(), INTS),
    "j": (pa.int64(), INTS),
    "x": (pa.float64(), FLOATS),
    "y": (pa.float64(), FLOATS),
    "t": (pa.string(), TEXTS),
    "u": (pa.string(), TEXTS),
    "b": (pa.bool_(), BOOLS),
    "c": (pa.bool_(), BOOLS),
    "s": (pa.timestamp("us"), TIMES),
    "r": (pa.timestamp("us"), TIMES),
    "d": (pa.duration("us"), SPANS),
}
DATA_NAMES = ("n", *DATA)
FIELDS = {
    BOOLEAN: "bc",
    INTEGER: "ij",
    FLOAT: "xy",
    TEXT: "tu",
    TIMESTAMP: "sr",
    DURATION: "d",
}
CONSTANTS: dict[DataType, st.SearchStrategy[Any]] = {
    BOOLEAN: BOOLS,
    INTEGER: INTS.filter(lambda i: i > -(2**63)),
    FLOAT: FLOATS,
    TEXT: TEXTS,
    TIMESTAMP: TIMES,
    DURATION: SPANS,
}
LAYOUTS = st.sampled_from(["plain", "dictionary", "large", "chunked"])


def leaf(kind: DataType) -> Exprs:
    unit = kind if kind in (TIMESTAMP, DURATION) else None
    fields = st.sampled_from([f(name) for name in FIELDS[kind]])
    constants = CONSTANTS[kind].map(lambda value: Literal(value, unit))
    return fields | fields | constants | st.just(Literal(None))


@cache
def tree(kind: DataType, depth: int) -> Exprs:
    return leaf(kind) if depth == 0 else st.one_of(leaf(kind), *NODES[kind](depth - 1))


def arithmetic(left: DataType, operators: str, right: DataType, depth: int) -> Exprs:
    return st.builds(op, tree(left, depth), st.sampled_from(operators), tree(right, depth))


def comparison(left: DataType, right: DataType, depth: int) -> Exprs:
    signs = ["=", "<>"] if left is BOOLEAN else ["=", "<>", "<", "<=", ">", ">="]
    return st.builds(op, tree(left, depth), st.sampled_from(signs), tree(right, depth))


def choice(kind: DataType, depth: int) -> list[Exprs]:
    """What there is for every type."""
    value, condition = tree(kind, depth), tree(BOOLEAN, depth)
    return [
        st.builds(lambda c, v, w: case((c, v), otherwise=w), condition, value, value),
        st.builds(lambda a, b: call("coalesce", a, b), value, value),
        st.builds(lambda a, b: call("nullif", a, b), value, value),
    ]


def of(name: str, *arguments: Exprs) -> Exprs:
    return st.builds(lambda *found: call(name, *found), *arguments)


def booleans(depth: int) -> list[Exprs]:
    b, i, t = tree(BOOLEAN, depth), tree(INTEGER, depth), tree(TEXT, depth)
    kinds = [BOOLEAN, INTEGER, FLOAT, TEXT, TIMESTAMP, DURATION]
    anything = st.one_of(*(tree(kind, depth) for kind in kinds))
    return [
        st.builds(op, b, st.sampled_from(["and", "or"]), b),
        st.builds(no, b),
        *(comparison(kind, kind, depth) for kind in kinds),
        comparison(INTEGER, FLOAT, depth),
        comparison(FLOAT, INTEGER, depth),
        st.builds(is_null, anything, BOOLS),
        st.builds(lambda o, a, n: among(o, *a, negated=n), i, st.lists(i | tree(FLOAT, 0)), BOOLS),
        st.builds(lambda o, a, n: among(o, *a, negated=n), t, st.lists(t, min_size=1), BOOLS),
        st.builds(between, i, i, tree(FLOAT, depth), BOOLS),
        st.builds(like, t, st.sampled_from(["a%", "%b", "_", "%a%", "a\\%b", ""]), BOOLS),
        *(of(name, t, t) for name in ("contains", "starts_with", "ends_with")),
        *choice(BOOLEAN, depth),
    ]


def integers(depth: int) -> list[Exprs]:
    i, t, s = tree(INTEGER, depth), tree(TEXT, depth), tree(TIMESTAMP, depth)
    return [
        arithmetic(INTEGER, "+-*%", INTEGER, depth),
        arithmetic(INTEGER, "+-*%", INTEGER, depth),
        i.map(neg),
        st.builds(lambda e: cast(e, INTEGER), tree(FLOAT, depth) | t | tree(BOOLEAN, depth)),
        *(of(name, i) for name in ("abs", "sign", "floor", "round")),
        of("least", i, i),
        of("greatest", i, i, i),
        of("length", t),
        of("position", t, t),
        *(of(name, s) for name in ("year", "month", "hour", "second", "day_of_week")),
        *choice(INTEGER, depth),
    ]


def floats(depth: int) -> list[Exprs]:
    x, i, d = tree(FLOAT, depth), tree(INTEGER, depth), tree(DURATION, depth)
    return [
        arithmetic(FLOAT, "+-*/%", FLOAT, depth),
        arithmetic(INTEGER, "/", INTEGER, depth),
        arithmetic(INTEGER, "+-*/%", FLOAT, depth),
        arithmetic(DURATION, "/", DURATION, depth),
        x.map(neg),
        st.builds(lambda e: cast(e, FLOAT), i | tree(TEXT, depth)),
        *(of(name, x) for name in ("abs", "sign", "floor", "ceil", "sqrt")),
        of("least", x, i),
        of("greatest", x, x),
        of("epoch", d),
        *choice(FLOAT, depth),
    ]


def texts(depth: int) -> list[Exprs]:
    t, small = tree(TEXT, depth), st.sampled_from([f("n"), exp(0), exp(1), exp(-1), exp(3)])
    return [
        st.builds(op, t, st.just("||"), t),
        *(of(name, t) for name in ("upper", "lower", "trim", "ltrim", "rtrim")),
        *(of(name, t, small) for name in ("left", "right", "substr")),
        of("substr", t, small, small),
        of("replace", t, t, t),
        of("greatest", t, t),
        st.builds(lambda e: cast(e, TEXT), tree(INTEGER, depth) | tree(BOOLEAN, depth)),
        st.builds(lambda e: cast(e, TEXT), tree(TIMESTAMP, depth)),
        *choice(TEXT, depth),
    ]


def times(depth: int) -> list[Exprs]:
    units = ["year", "quarter", "month", "week", "day", "hour", "minute", "second"]
    s = tree(TIMESTAMP, depth)
    return [
        st.builds(
            lambda unit, e: call("date_trunc", unit, e),
            st.sampled_from(units),
            s,
        ),
        of("least", s, s),
        arithmetic(TIMESTAMP, "+-", DURATION, depth),
        arithmetic(DURATION, "+", TIMESTAMP, depth),
        *choice(TIMESTAMP, depth),
    ]


def spans(depth: int) -> list[Exprs]:
    return [
        arithmetic(DURATION, "+-%", DURATION, depth),
        arithmetic(TIMESTAMP, "-", TIMESTAMP, depth),
        arithmetic(DURATION, "*", INTEGER, depth),
        arithmetic(DURATION, "*/", FLOAT, depth),
        tree(DURATION, depth).map(neg),
        of("abs", tree(DURATION, depth)),
        *choice(DURATION, depth),
    ]


NODES: dict[DataType, Any] = {
    BOOLEAN: booleans,
    INTEGER: integers,
    FLOAT: floats,
    TEXT: texts,
    TIMESTAMP: times,
    DURATION: spans,
}


@st.composite
def plain_tables(draw: st.DrawFn) -> pa.Table:
    """Columns of the types that Python's values become."""
    columns: dict[str, Any] = {"n": pa.array([0, 1, -1, 2, None])}
    for name, (kind, values) in DATA.items():
        some = draw(st.sampled_from([values, values | st.none()]))
        data = draw(st.lists(some, min_size=ROWS, max_size=ROWS))
        columns[name] = pa.array(data, kind)
    return pa.table(columns)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """The same, with texts in all the ways that Arrow holds them."""
    columns: dict[str, Any] = dict(zip(DATA_NAMES, draw(plain_tables()).columns, strict=True))
    for name in "tu":
        columns[name] = laid_out(columns[name].combine_chunks(), draw(LAYOUTS))
    return pa.table(columns)


def laid_out(texts: Any, layout: str) -> Any:
    match layout:
        case "dictionary":
            return texts.dictionary_encode()
        case "large":
            return texts.cast(pa.large_string())
        case "chunked":
            return pa.chunked_array([texts[:2], texts[2:]])
    return texts
