"""What expressions are worth over columns: NULL, NaN, exact integers, errors, Arrow layouts."""
# ruff: noqa: DTZ001 - naive times are what comes out

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cep.engine.algebra.expression import DataType, Literal
from cep.engine.columns.evaluator import ColumnEvaluator, column_of, data_type_of, to_arrow
from tests.unit.engine.expression_tools import (
    among,
    between,
    bound,
    call,
    case,
    cast,
    errors,
    evaluated,
    f,
    is_null,
    like,
    neg,
    no,
    op,
    us,
    values,
)

NAN = math.nan
LEAST, MOST = -(2**63), 2**63 - 1

LEFT = [True, True, True, False, False, False, None, None, None]
RIGHT = [True, False, None, True, False, None, True, False, None]


# ---------------------------------------------------------------- three-valued logic


def test_and_is_false_where_either_is_false_and_null_where_it_could_be_either() -> None:
    expected = [True, False, None, False, False, False, None, False, None]
    assert values(op(f("a"), "and", f("b")), a=LEFT, b=RIGHT) == expected


def test_or_is_true_where_either_is_true_and_null_where_it_could_be_either() -> None:
    expected = [True, True, True, True, False, None, True, None, None]
    assert values(op(f("a"), "or", f("b")), a=LEFT, b=RIGHT) == expected


def test_and_and_or_without_nulls() -> None:
    a, b = [True, True, False, False], [True, False, True, False]
    assert values(op(f("a"), "and", f("b")), a=a, b=b) == [True, False, False, False]
    assert values(op(f("a"), "or", f("b")), a=a, b=b) == [True, True, True, False]


def test_not_of_null_is_null() -> None:
    assert values(no(f("a")), a=[True, False, None]) == [False, True, None]


def test_a_null_constant_is_an_operand_like_any_other() -> None:
    assert values(op(f("a"), "and", None), a=[True, False, None]) == [None, False, None]
    assert values(op(None, "or", f("a")), a=[True, False, None]) == [True, None, None]
    assert values(op(f("x"), "=", None), x=[1, 2]) == [None, None]
    assert values(op(f("x"), "+", None), x=[1, 2]) == [None, None]


def test_comparing_with_null_is_null_and_true_rows_takes_only_true() -> None:
    table = pa.table({"x": [1, None, 3]})
    condition = bound(op(f("x"), ">", 1), table)
    assert evaluated(condition, table)[0] == [False, None, True]
    assert ColumnEvaluator(table).true_rows(condition).tolist() == [False, False, True]


def test_is_null_is_never_null() -> None:
    assert values(is_null(f("x")), x=[1, None]) == [False, True]
    assert values(is_null(f("x"), negated=True), x=[1, None]) == [True, False]
    assert values(is_null(f("x")), x=pa.nulls(2)) == [True, True]


def test_in_with_a_null_item_is_true_or_null() -> None:
    assert values(among(f("x"), 1, None), x=[1, 2, None]) == [True, None, None]
    assert values(among(f("x"), 1, None, negated=True), x=[1, 2, None]) == [False, None, None]
    assert values(among(f("x"), 1, 3), x=[1, 2, 3]) == [True, False, True]


def test_between_includes_both_ends() -> None:
    assert values(between(f("x"), 2, 3), x=[1, 2, 3, 4, None]) == [False, True, True, False, None]
    assert values(between(f("x"), 2, 3, negated=True), x=[1, 2, 4]) == [True, False, True]
    assert values(between(f("x"), 2, None), x=[1, 3]) == [False, None]


def test_case_takes_the_first_branch_that_is_true() -> None:
    rule = case((op(f("x"), ">", 10), "high"), (op(f("x"), ">", 5), "mid"), otherwise="low")
    assert values(rule, x=[20, 7, 1, None]) == ["high", "mid", "low", "low"]


def test_case_without_else_is_null_and_int_meets_float_as_float() -> None:
    assert values(case((op(f("x"), ">", 0), 1), (op(f("x"), "<", 0), 0.5)), x=[1, -1, 0]) == [
        1.0,
        0.5,
        None,
    ]


# ---------------------------------------------------------------- comparisons


def test_integers_of_64_bits_compare_exactly() -> None:
    x = [2**53, 2**53 + 1, MOST - 1, MOST]
    assert values(op(f("x"), "=", 2**53 + 1), x=x) == [False, True, False, False]
    assert values(op(f("x"), "<", MOST), x=x) == [True, True, True, False]


def test_an_integer_field_compares_exactly_with_a_float_constant() -> None:
    x = [2**53, 2**53 + 1]
    assert values(op(f("x"), "=", 2.0**53), x=x) == [True, False]
    assert values(op(f("x"), ">", 2.0**53), x=x) == [False, True]
    assert values(op(f("x"), "<=", 2.0**53), x=x) == [True, False]


def test_a_float_field_compares_exactly_with_an_integer_constant() -> None:
    y = [2.0**53, 2.0**53 + 2]
    assert values(op(f("y"), "=", 2**53 + 1), y=y) == [False, False]
    assert values(op(f("y"), "<", 2**53 + 1), y=y) == [True, False]
    assert values(op(f("y"), ">=", 2**53 + 1), y=y) == [False, True]


def test_integer_and_float_fields_compare_exactly_row_by_row() -> None:
    x = [2**53 + 1, 3, 3, MOST, LEAST, 0, 5, 5]
    y = [2.0**53, 2.5, 3.0, 2.0**63, -(2.0**63), NAN, math.inf, -math.inf]
    expected = {
        "<": [False, False, False, True, False, False, True, False],
        "<=": [False, False, True, True, True, False, True, False],
        "=": [False, False, True, False, True, False, False, False],
        "<>": [True, True, False, True, False, True, True, True],
        ">=": [True, True, True, False, True, False, False, True],
        ">": [True, True, False, False, False, False, False, True],
    }
    for operator, wanted in expected.items():
        assert values(op(f("x"), operator, f("y")), x=x, y=y) == wanted, operator


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("<", [True, True, False]),
        ("<=", [True, True, False]),
        ("=", [False, False, False]),
        ("<>", [True, True, True]),
        (">=", [False, False, True]),
        (">", [False, False, True]),
    ],
)
def test_an_integer_lies_below_or_above_a_fraction(operator: str, expected: list[bool]) -> None:
    assert values(op(f("x"), operator, -1.5), x=[-3, -2, -1]) == expected


@pytest.mark.parametrize("beyond", [1e300, math.inf])
def test_every_integer_lies_between_floats_beyond_64_bits(beyond: float) -> None:
    assert values(op(f("x"), "<", beyond), x=[LEAST, MOST]) == [True, True]
    assert values(op(f("x"), ">", -beyond), x=[LEAST, MOST]) == [True, True]


def test_nan_compares_false_except_for_unequal() -> None:
    y = [NAN, 1.0]
    assert values(op(f("y"), "=", f("y")), y=y) == [False, True]
    assert values(op(f("y"), "<>", f("y")), y=y) == [True, False]
    assert values(op(f("y"), "<", 5), y=y) == [False, True]
    assert values(op(f("y"), ">", 0), y=y) == [False, True]
    assert values(op(f("x"), "<>", NAN), x=[1]) == [True]


def test_texts_compare_by_code_point() -> None:
    t = ["a", "B", "é", "z", None]
    assert values(op(f("t"), "<", "a"), t=t) == [False, True, False, False, None]
    assert values(op("a", "<", f("t")), t=t) == [False, False, True, True, None]


LAYOUTS: dict[str, Any] = {
    "plain": lambda a: a,
    "large": lambda a: a.cast(pa.large_string()),
    "view": lambda a: a.cast(pa.string_view()),
    "dictionary": lambda a: a.dictionary_encode(),
    "small dictionary": lambda a: pa.DictionaryArray.from_arrays(
        a.dictionary_encode().indices.cast(pa.int8()), a.dictionary_encode().dictionary
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_text_means_the_same_in_every_arrow_layout(layout: str) -> None:
    t = LAYOUTS[layout](pa.array(["x", None, "y", "x"]))
    u = LAYOUTS[layout](pa.array(["x", "x", "z", None]))
    assert values(op(f("t"), "=", "x"), t=t) == [True, None, False, True]
    assert values(op("x", "<>", f("t")), t=t) == [False, None, True, False]
    assert values(op(f("t"), "=", f("u")), t=t, u=u) == [True, None, False, None]
    assert values(among(f("t"), "y", "w"), t=t) == [False, None, True, False]
    assert values(op(f("t"), "||", "!"), t=t) == ["x!", None, "y!", "x!"]
    assert values(call("upper", f("t")), t=t) == ["X", None, "Y", "X"]
    assert values(call("length", f("t")), t=t) == [1, None, 1, 1]
    assert values(f("t"), t=t) == ["x", None, "y", "x"]


def test_a_dictionary_with_a_null_value_or_no_values_at_all() -> None:
    inside = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["x", None]))
    nothing = pa.DictionaryArray.from_arrays(
        pa.array([None, None], pa.int32()), pa.array([], pa.string())
    )
    assert values(op(f("t"), "=", "x"), t=inside) == [True, None]
    assert values(op(f("t"), "=", "x"), t=nothing) == [None, None]


def test_like_knows_percent_underscore_and_backslash() -> None:
    t = ["abc", "a%c", "ac", "a\nc", "ABC", None]
    assert values(like(f("t"), "a_c"), t=t) == [True, True, False, True, False, None]
    assert values(like(f("t"), "a%c"), t=t) == [True, True, True, True, False, None]
    assert values(like(f("t"), "a\\%c"), t=t) == [False, True, False, False, False, None]
    assert values(like(f("t"), "a%", negated=True), t=t) == [False] * 4 + [True, None]
    assert values(like(f("t"), "a.c"), t=t) == [False, False, False, False, False, None]


def test_a_long_list_of_integers_or_texts_is_searched_at_once() -> None:
    x = [2**53, 2**53 + 1, None, 5]
    items = [*range(10), 2**53 + 1]
    assert values(among(f("x"), *items), x=x) == [False, True, None, True]
    assert values(among(f("x"), *items, negated=True), x=x) == [True, False, None, False]
    t = pa.array(["a", "b", None]).dictionary_encode()
    assert values(among(f("t"), "b", "c", negated=True), t=t) == [True, False, None]


def test_a_long_repetitive_text_column_is_coded_when_it_is_read_again() -> None:
    table = pa.table({"t": ["a", "b", None, "c"] * 5_000})
    evaluator = ColumnEvaluator(table)
    counts = [
        int(evaluator.true_rows(bound(op(f("t"), operator, "b"), table)).sum())
        for operator in ("=", "<>", "<", "<=", ">", ">=")
    ]
    assert counts == [5_000, 10_000, 5_000, 10_000, 5_000, 10_000]
    assert evaluator.evaluate(f("t")).is_dictionary


@pytest.mark.parametrize("part", ["", "a", "b", "c", "z"])
def test_every_number_of_texts_that_fit_is_spread_over_the_rows(part: str) -> None:
    t = ["a", "b", "ab", None] * 3
    coded = pa.array(t).dictionary_encode()
    assert values(call("contains", f("t"), part), t=coded) == [
        None if text is None else part in text for text in t
    ]


# ---------------------------------------------------------------- arithmetic


def test_division_always_gives_a_float_and_remainder_keeps_the_sign_of_the_left() -> None:
    assert values(op(f("x"), "/", 2), x=[7, -7]) == [3.5, -3.5]
    assert values(op(f("x"), "%", 3), x=[7, -7]) == [1, -1]
    assert values(op(f("x"), "%", -3), x=[7, -7]) == [1, -1]
    assert values(op(f("y"), "%", 1), y=[2.5, -2.5]) == [0.5, -0.5]


def test_integers_stay_integers() -> None:
    x = [2**53 + 1]
    assert values(op(f("x"), "+", 1), x=x) == [2**53 + 2]
    assert values(op(f("x"), "*", 3), x=x) == [3 * 2**53 + 3]
    assert values(neg(f("x")), x=x) == [-(2**53) - 1]


def test_times_and_durations_add_up() -> None:
    t = [datetime(2024, 4, 1, 12, 0)]
    u = [datetime(2024, 4, 1, 11, 59, 30)]
    assert values(op(f("t"), "-", f("u")), t=t, u=u) == [timedelta(seconds=30)]
    assert values(op(f("t"), "+", us(1_000_000)), t=t) == [datetime(2024, 4, 1, 12, 0, 1)]
    assert values(op(op(f("t"), "-", f("u")), "*", 1.5), t=t, u=u) == [timedelta(seconds=45)]
    assert values(op(op(f("t"), "-", f("u")), "/", us(1_000_000)), t=t, u=u) == [30.0]
    assert values(op(us(3), "/", 2)) == [timedelta(microseconds=2)]


def test_a_text_constant_compared_with_a_timestamp_is_one() -> None:
    t = [datetime(2024, 4, 1), datetime(2024, 4, 2)]
    assert values(op(f("t"), ">=", "2024-04-02"), t=t) == [False, True]
    assert values(between(f("t"), "2024-04-01", "2024-04-01 12:00"), t=t) == [True, False]


def test_floats_follow_ieee() -> None:
    y = [1e308, NAN]
    found = values(op(f("y"), "*", 10), y=y)
    assert found[0] == math.inf
    assert math.isnan(found[1])


# ---------------------------------------------------------------- errors


def test_division_by_zero_is_null_and_an_error() -> None:
    table = pa.table({"x": [1, 2, None], "y": [0, 2, 0]})
    assert evaluated(op(f("x"), "/", f("y")), table) == ([None, 1.0, None], [ZERO_IN_ROW_0])
    assert evaluated(op(f("x"), "%", f("y")), table) == ([None, 0, None], [ZERO_IN_ROW_0])
    assert evaluated(op(1.5, "/", f("y")), table)[1] == [("division by zero", [0, 2])]


ZERO_IN_ROW_0 = ("division by zero", [0])


@pytest.mark.parametrize(
    ("x", "operator", "y"),
    [
        (MOST, "+", 1),
        (LEAST, "+", -1),
        (LEAST, "-", 1),
        (0, "-", LEAST),
        (2**62, "*", 2),
        (LEAST, "*", -1),
        (-1, "*", LEAST),
        (2**32, "*", 2**31),
    ],
)
def test_integer_overflow_is_null_and_an_error(x: int, operator: str, y: int) -> None:
    table = pa.table({"x": [x, 1], "y": [y, 1]})
    found, wrong = evaluated(op(f("x"), operator, f("y")), table)
    assert found[0] is None
    assert found[1] is not None
    assert wrong == [("integer overflow", [0])]
    assert evaluated(op(f("x"), operator, y), table)[0][0] is None


@pytest.mark.parametrize(
    ("x", "operator", "y", "result"),
    [
        (MOST - 1, "+", 1, MOST),
        (LEAST + 1, "-", 1, LEAST),
        (2**31, "*", 2**31, 2**62),
        (-(2**62), "*", 2, LEAST),
        (LEAST, "%", -1, 0),
    ],
)
def test_what_just_fits_is_right(x: int, operator: str, y: int, result: int) -> None:
    assert evaluated(op(f("x"), operator, f("y")), pa.table({"x": [x], "y": [y]})) == ([result], [])


def test_times_end_with_the_year_9999() -> None:
    table = pa.table({"t": [datetime(9999, 12, 31, 23, 59, 59), datetime(2024, 4, 1)]})
    found, wrong = evaluated(op(f("t"), "+", us(1_000_000)), table)
    assert found == [None, datetime(2024, 4, 1, 0, 0, 1)]
    assert wrong == [("time outside the years 1 to 9999", [0])]
    far = pa.table({"t": pa.array([MOST, LEAST, 0]).view(pa.timestamp("us"))})
    for value in (call("year", f("t")), call("date_trunc", "day", f("t")), cast(f("t"), TEXT)):
        assert evaluated(value, far)[1] == [("time outside the years 1 to 9999", [0, 1])]


TEXT = DataType.TEXT


def test_the_least_integer_has_no_positive_twin() -> None:
    assert errors(neg(f("x")), x=[LEAST, 5]) == [("integer overflow", [0])]
    assert errors(call("abs", f("x")), x=[5, LEAST]) == [("integer overflow", [1])]


def test_an_error_in_a_constant_is_one_of_every_row() -> None:
    assert errors(op(f("x"), ">", op(1, "/", 0)), x=[1, 2]) == [("division by zero", [0, 1])]


def test_what_the_left_side_has_decided_cannot_go_wrong_on_the_right() -> None:
    ratio = op(op(f("x"), "/", f("y")), ">", 2)
    data = pa.table({"x": [9, 9, 9], "y": [0, 3, None]})
    assert evaluated(op(op(f("y"), "<>", 0), "and", ratio), data) == ([False, True, None], [])
    assert evaluated(op(op(f("y"), "=", 0), "or", ratio), data) == ([True, True, None], [])
    assert evaluated(op(ratio, "and", op(f("y"), "<>", 0)), data)[1] == [("division by zero", [0])]
    guarded = case((op(f("y"), "<>", 0), op(f("x"), "/", f("y"))), otherwise=0)
    assert evaluated(guarded, data) == ([0.0, 3.0, 0.0], [])


def test_coalesce_does_not_look_past_the_first_value() -> None:
    table = pa.table({"x": [1, None], "y": [0, 0]})
    assert evaluated(call("coalesce", f("x"), op(1, "/", f("y"))), table) == (
        [1.0, None],
        [("division by zero", [1])],
    )


def test_errors_belong_to_the_expressions_that_contain_them() -> None:
    table = pa.table({"x": [1, 2], "y": [0, 1]})
    wrong = bound(op(op(f("x"), "/", f("y")), ">", 1), table)
    fine = bound(op(f("x"), ">", 1), table)
    evaluator = ColumnEvaluator(table)
    evaluator.true_rows(fine)
    evaluator.true_rows(wrong)
    assert evaluator.errors_of(fine) == ()
    assert [e.rows.tolist() for e in evaluator.errors_of(wrong)] == [[0]]
    assert [e.reason for e in evaluator.errors] == ["division by zero"]


def test_an_operand_that_stands_twice_fails_once() -> None:
    ratio = op(f("x"), "/", 0)
    assert errors(op(ratio, "+", ratio), x=[1]) == [("division by zero", [0])]


# ---------------------------------------------------------------- casts


def test_casts_of_text_that_is_no_number_name_the_text() -> None:
    t = ["12", " -7 ", "abc", "9223372036854775808", None, "1.5", "+5"]
    found, wrong = evaluated(cast(f("t"), DataType.INTEGER), pa.table({"t": t}))
    assert found == [12, -7, None, None, None, None, 5]
    assert wrong == [
        ("cannot cast 'abc' to int", [2]),
        ("cannot cast '9223372036854775808' to int", [3]),
        ("cannot cast '1.5' to int", [5]),
    ]


def test_only_the_first_wrong_texts_get_a_reason_of_their_own() -> None:
    found = errors(cast(f("t"), DataType.INTEGER), t=[f"x{i}" for i in range(30)])
    assert len(found) == 21
    assert found[-1] == ("cannot cast text to int", list(range(20, 30)))


def test_casts_between_the_types() -> None:
    assert values(cast(f("x"), DataType.INTEGER), x=[1.9, -1.9]) == [1, -1]
    assert values(cast(f("x"), DataType.FLOAT), x=["1.5", " 1e3", "inf"]) == [1.5, 1000.0, math.inf]
    assert values(cast(f("x"), DataType.TEXT), x=[True, False]) == ["true", "false"]
    assert values(cast(f("x"), DataType.TEXT), x=[1, None]) == ["1", None]
    assert values(cast(f("x"), DataType.INTEGER), x=[True, False]) == [1, 0]
    assert values(cast(f("x"), DataType.BOOLEAN), x=["TRUE", "false"]) == [True, False]
    assert values(cast(f("x"), DataType.TIMESTAMP), x=["2024-04-01", "2024-04-01 12:00+02:00"]) == [
        datetime(2024, 4, 1),
        datetime(2024, 4, 1, 10),
    ]
    assert values(cast("5", DataType.INTEGER)) == [5]
    assert values(cast(None, DataType.INTEGER)) == [None]


@pytest.mark.parametrize("value", [NAN, math.inf, 2.0**63, -1e300])
def test_a_float_that_is_no_64_bit_integer_cannot_be_cast(value: float) -> None:
    found, wrong = evaluated(cast(f("x"), DataType.INTEGER), pa.table({"x": [value]}))
    assert found == [None]
    assert wrong == [("cannot cast to int: too large or nan", [0])]


@pytest.mark.parametrize("text", ["2024-13-01", "2024-02-30", "yesterday", "", "2024-04-01 25:00"])
def test_a_text_that_is_no_time_cannot_be_cast(text: str) -> None:
    found, wrong = evaluated(cast(f("t"), DataType.TIMESTAMP), pa.table({"t": [text]}))
    assert found == [None]
    assert wrong == [(f"cannot cast '{text}' to timestamp", [0])]


# ---------------------------------------------------------------- tables of all shapes


def test_an_empty_table_gives_empty_columns() -> None:
    table = pa.table({"x": pa.array([], pa.int64()), "t": pa.array([], pa.string())})
    assert evaluated(op(op(f("x"), "+", 1), "<", 2.5), table) == ([], [])
    assert evaluated(op(call("upper", f("t")), "=", "A"), table) == ([], [])
    assert evaluated(cast(f("t"), DataType.INTEGER), table) == ([], [])
    assert evaluated(Literal(1), table) == ([], [])
    assert evaluated(case((op(f("x"), ">", 1), f("t"))), table) == ([], [])


def test_chunks_and_slices_read_as_one_column() -> None:
    ints = pa.chunked_array([[1, 2], [], [None, 4]], pa.int64())
    codes = pa.chunked_array(
        [pa.array(["p", "q"]).dictionary_encode(), pa.array(["r", "q"]).dictionary_encode()]
    )
    columns: Any = {"x": ints, "t": codes}
    table = pa.table(columns)
    assert evaluated(op(f("x"), ">", 1), table)[0] == [False, True, None, True]
    assert evaluated(op(f("t"), "=", "q"), table)[0] == [False, True, False, True]
    part = table.slice(1, 2)
    assert evaluated(op(f("x"), ">", 1), part)[0] == [True, None]
    assert evaluated(op(f("t"), "=", "q"), part)[0] == [True, False]


def test_numbers_without_nulls_are_not_copied() -> None:
    data = np.arange(10.0)
    column = column_of(pa.chunked_array([pa.array(data)]))
    assert np.shares_memory(column.values, data)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, None], pa.int8()), [1, None]),
        (pa.array([1, None], pa.uint32()), [1, None]),
        (pa.array([1, 2**63 - 1], pa.uint64()), [1, 2**63 - 1]),
        (pa.array([1.5, None], pa.float32()), [1.5, None]),
        (pa.array([Decimal("1.25"), None], pa.decimal128(9, 2)), [1.25, None]),
        (pa.array([True, None]), [True, None]),
        (pa.array([1, None], pa.timestamp("s")), [datetime(1970, 1, 1, 0, 0, 1), None]),
        (pa.array([1500, None], pa.timestamp("ms")), [datetime(1970, 1, 1, 0, 0, 1, 500000), None]),
        (
            pa.array([1999, -1], pa.timestamp("ns")),
            [datetime(1970, 1, 1, 0, 0, 0, 1), datetime(1969, 12, 31, 23, 59, 59, 999999)],
        ),
        (
            pa.array([datetime(2024, 4, 1, 12, tzinfo=UTC)], pa.timestamp("us", "Europe/Berlin")),
            [datetime(2024, 4, 1, 12)],
        ),
        (pa.array([date(1970, 1, 2), None], pa.date32()), [datetime(1970, 1, 2), None]),
        (pa.array([date(1970, 1, 2), None], pa.date64()), [datetime(1970, 1, 2), None]),
        (pa.array([2, None], pa.duration("s")), [timedelta(seconds=2), None]),
        (pa.nulls(2), [None, None]),
    ],
    ids=str,
)
def test_every_usable_arrow_type_is_read(array: Any, expected: list[Any]) -> None:
    assert values(f("x"), x=array) == expected


def test_the_types_that_expressions_cannot_use() -> None:
    assert data_type_of(pa.list_(pa.int64())) is None
    assert data_type_of(pa.binary()) is None
    assert data_type_of(pa.time64("us")) is None
    assert data_type_of(pa.dictionary(pa.int32(), pa.int64())) is None


def test_columns_go_out_as_arrow_of_one_type_each() -> None:
    table = pa.table({"t": pa.array(["x", "y"]).dictionary_encode()})
    typed = bound(f("t"), table)
    assert to_arrow(ColumnEvaluator(table).evaluate(typed), 2).type == pa.string()
    assert to_arrow(column_of(pa.nulls(2)), 2, DataType.TEXT).type == pa.string()
    moments = column_of(pa.array([1], pa.timestamp("ns", "UTC")))
    assert to_arrow(moments, 1).type == pa.timestamp("us")


def test_equal_conditions_are_evaluated_once() -> None:
    table = pa.table({"x": [1, 2, 3]})
    evaluator = ColumnEvaluator(table)
    first = evaluator.true_rows(bound(op(f("x"), ">", 1), table))
    second = evaluator.true_rows(bound(op(f("x"), ">", 1), table))
    assert first is second


def test_constants_that_look_alike_in_python_are_not_mixed_up() -> None:
    table = pa.table({"b": [True], "x": [1]})
    evaluator = ColumnEvaluator(table)
    assert evaluator.evaluate(bound(Literal(1), table)).type is DataType.INTEGER
    assert evaluator.evaluate(bound(Literal(1.0), table)).type is DataType.FLOAT
    assert evaluator.evaluate(bound(Literal(True), table)).type is DataType.BOOLEAN
