"""`select` over many matches at once, against written values and against the plain evaluator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.engine.algebra.expression import DataType, Expression
from cep.engine.binding.patterns import bind_pattern
from cep.engine.columns.measures import evaluate_outputs
from cep.engine.results import MatchBatch
from tests.reference.expressions import evaluate
from tests.unit.engine.expression_tools import (
    call,
    cap,
    cast,
    f,
    op,
    selecting,
    stream_of,
)

MOST = 2**63 - 1
Taken = list[list[tuple[str, int]]]  # per match: (variable, row of the table), in order


def batch_of(table: pa.Table, matches: Taken, *values: Expression) -> MatchBatch:
    pattern, problems = bind_pattern(
        selecting(*values, variables=("a", "b", "c")), {"": stream_of(table)}
    )
    assert problems == []
    names = ("a", "b", "c")
    flat = [entry for match in matches for entry in match]
    n = table.num_rows
    return MatchBatch(
        pattern=pattern,
        variables=names,
        offsets=np.cumsum([0, *map(len, matches)], dtype=np.int64),
        variable=np.array([names.index(v) for v, _ in flat], np.int32),
        row=np.array([row for _, row in flat], np.int64),
        at_us=np.zeros(len(matches), np.int64),
        events=table,
        event_time_us=np.arange(n, dtype=np.int64),
        event_stream=None,
        event_position=np.arange(n, dtype=np.int64),
    )


def selected(table: pa.Table, matches: Taken, value: Expression) -> list[Any]:
    return results(table, matches, value)[0]


def results(table: pa.Table, matches: Taken, value: Expression) -> tuple[list[Any], list[Any]]:
    batch = batch_of(table, matches, value)
    (array,), errors = evaluate_outputs(batch, batch.pattern.select)
    found: Any = array
    return found.to_pylist(), [(e.reason, e.rows.tolist()) for e in errors]


TABLE = pa.table(
    {
        "x": [1, 2, None, 4, 5, 6],
        "y": [0.5, None, 2.5, math.nan, 4.5, 5.5],
        "t": ["p", "q", None, "r", "q", "a"],
    }
)
# one match with two a's and a b; one without an a; one whose only a is NULL
MATCHES: Taken = [
    [("a", 0), ("a", 1), ("b", 3)],
    [("b", 4), ("b", 5)],
    [("a", 2), ("b", 3)],
]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f("x"), [4, 6, 4]),
        (f("t"), ["r", "a", "r"]),
        (cap("count", "a"), [2, 0, 1]),
        (cap("count", None), [3, 2, 2]),
        (cap("count", "a", f("x")), [2, 0, 0]),
        (cap("sum", "a", f("x")), [3, None, None]),
        (cap("sum", None, f("x")), [7, 11, 4]),
        (cap("avg", "a", f("x")), [1.5, None, None]),
        (cap("avg", "a", f("y")), [0.5, None, 2.5]),
        (cap("min", None, f("x")), [1, 5, 4]),
        (cap("max", None, f("x")), [4, 6, 4]),
        (cap("min", None, f("y")), [0.5, 4.5, 2.5]),
        (cap("min", None, f("t")), ["p", "a", "r"]),
        (cap("max", "a", f("t")), ["q", None, None]),
        (cap("stddev", None, f("x")), [math.sqrt(7 / 3), math.sqrt(0.5), None]),
        (cap("first", "a", f("x")), [1, None, None]),
        (cap("last", "a", f("x")), [2, None, None]),
        (cap("first", "a", f("t")), ["p", None, None]),
        (cap("last", "b", f("t")), ["r", "a", "r"]),
        (cap("last", None, f("x")), [4, 6, 4]),
        (cap("first", "a", op(f("x"), "*", 10)), [10, None, None]),
        (cap("sum", "c", f("x")), [None, None, None]),
        (cap("first", "c", f("t")), [None, None, None]),
        (cap("count", "c"), [0, 0, 0]),
        (op(f("x"), "-", cap("first", "a", f("x"))), [3, None, None]),
        (op(cap("count", "a"), ">", 1), [True, False, False]),
        (call("coalesce", cap("sum", "a", f("x")), 0), [3, 0, 0]),
    ],
    ids=str,
)
def test_a_column_of_the_select_list(value: Expression, expected: list[Any]) -> None:
    assert selected(TABLE, MATCHES, value) == pytest.approx(expected)


def test_sum_and_avg_of_integers_do_not_lose_digits() -> None:
    table = pa.table({"x": [2**53, 1, 2**62, -(2**62)]})
    assert selected(table, [[("a", 0), ("a", 1)]], cap("sum", "a", f("x"))) == [2**53 + 1]
    assert selected(table, [[("a", 2), ("a", 3), ("a", 1)]], cap("sum", "a", f("x"))) == [1]


def test_a_sum_past_64_bits_is_null_and_an_error_of_its_match() -> None:
    table = pa.table({"x": [MOST, 1, 5, -MOST]})
    matches: Taken = [[("a", 2)], [("a", 0), ("a", 1)], [("a", 0), ("a", 1), ("a", 3)]]
    value = cap("sum", "a", f("x"))
    assert results(table, matches, value) == ([5, None, 1], [("integer overflow", [1])])
    assert selected(table, matches, cap("avg", "a", f("x"))) == [5.0, 2.0**62, 1 / 3]


def test_an_error_in_an_argument_is_one_of_the_matches_that_use_it() -> None:
    table = pa.table({"t": ["1", "x", "3"]})
    matches: Taken = [[("a", 0), ("a", 1)], [("a", 2)], [("a", 1), ("a", 2)]]
    number = cast(f("t"), DataType.INTEGER)
    wrong = "cannot cast 'x' to int"
    assert results(table, matches, cap("sum", "a", number)) == ([1, 3, 3], [(wrong, [0, 2])])
    assert results(table, matches, cap("first", "a", number)) == ([1, 3, None], [(wrong, [2])])
    assert results(table, [[("a", 0)]], cap("sum", "a", number)) == ([1], [])
    assert results(table, matches, cap("last", "a", number)) == ([None, 3, 3], [(wrong, [0])])


def test_an_error_outside_of_the_captures_is_one_of_its_match() -> None:
    value = op(1, "/", cap("count", "a"))
    assert results(TABLE, MATCHES, value) == ([0.5, None, 1.0], [("division by zero", [1])])


def test_no_matches_give_empty_columns_of_the_right_types() -> None:
    values = (f("t"), cap("sum", "a", f("x")), cap("max", "a", f("t")), cap("stddev", "a", f("y")))
    batch = batch_of(TABLE, [], *values)
    arrays, errors = evaluate_outputs(batch, batch.pattern.select)
    kinds = [pa.string(), pa.int64(), pa.string(), pa.float64()]
    assert [(len(a), a.type) for a in arrays] == [(0, kind) for kind in kinds]
    assert errors == []


def test_a_select_list_without_fields_still_has_a_row_per_match() -> None:
    batch = batch_of(TABLE, MATCHES, cap("count", None), op(1, "+", 1))
    arrays: list[Any] = evaluate_outputs(batch, batch.pattern.select)[0]
    assert [a.to_pylist() for a in arrays] == [[3, 2, 2], [2, 2, 2]]


def test_chunked_dictionary_texts_are_gathered() -> None:
    chunks = [pa.array(["p", "q"]).dictionary_encode(), pa.array(["r", None]).dictionary_encode()]
    columns: Any = {"t": pa.chunked_array(chunks)}
    table = pa.table(columns)
    matches: Taken = [[("a", 3), ("b", 0)], [("a", 2), ("b", 1)]]
    assert selected(table, matches, cap("first", "a", f("t"))) == [None, "r"]
    assert selected(table, matches, cap("max", None, f("t"))) == ["p", "r"]
    assert selected(table, matches, f("t")) == ["p", "q"]


# ---------------------------------------------------------------- against the plain evaluator

INTS = st.none() | st.sampled_from([0, 1, -1, 7, 2**53 + 1, MOST, -MOST - 1])
FLOATS = st.none() | st.sampled_from([0.0, 1.5, -2.5, math.nan, math.inf])
TEXTS = st.none() | st.sampled_from(["", "a", "b", "ba"])
MATCH = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), min_size=1, max_size=6)
VALUES = st.one_of(
    st.sampled_from(["sum", "avg", "min", "max", "first", "last", "count"]).flatmap(
        lambda name: st.builds(
            cap, st.just(name), st.sampled_from(["a", "b", None]), st.sampled_from([f("x"), f("y")])
        )
    ),
    st.builds(
        cap,
        st.sampled_from(["min", "max", "first", "last", "count"]),
        st.sampled_from(["a", "b", None]),
        st.just(f("t")),
    ),
    st.builds(cap, st.just("stddev"), st.sampled_from(["a", None]), st.just(f("y"))),
)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    xs=st.lists(INTS, min_size=6, max_size=6),
    ys=st.lists(FLOATS, min_size=6, max_size=6),
    ts=st.lists(TEXTS, min_size=6, max_size=6),
    matches=st.lists(MATCH, max_size=5),
    value=VALUES,
)
def test_columns_over_matches_equal_the_plain_evaluator(
    xs: list[Any], ys: list[Any], ts: list[Any], matches: Taken, value: Expression
) -> None:
    table = pa.table({"x": pa.array(xs, pa.int64()), "y": pa.array(ys, pa.float64()), "t": ts})
    table = table.set_column(2, "t", pa.array(ts, pa.string()))
    events = table.to_pylist()
    batch = batch_of(table, matches, value)
    typed = batch.pattern.select[0].value
    expected = []
    for match in matches:
        captured: dict[str, list[Any]] = {}
        for variable, row in match:
            captured.setdefault(variable, []).append(events[row])
        taken = [events[row] for _, row in match]
        expected.append(evaluate(typed, taken[-1], captured, taken))
    found: Any = evaluate_outputs(batch, batch.pattern.select)[0][0]
    assert found.to_pylist() == pytest.approx(expected, nan_ok=True)
