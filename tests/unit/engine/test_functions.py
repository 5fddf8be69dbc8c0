"""The scalar functions: written expectations for each, with constants and with columns."""
# ruff: noqa: DTZ001 - naive times are what comes out

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from cep.engine.algebra.expression import DataType
from cep.engine.algebra.functions import FUNCTIONS, closest, common_type
from cep.engine.columns.functions import IMPLEMENTATIONS
from tests.unit.engine.expression_tools import bound, call, errors, evaluated, f, us, values

NAN, INF = math.nan, math.inf


def test_every_function_that_can_be_written_can_be_computed() -> None:
    assert set(FUNCTIONS) == set(IMPLEMENTATIONS)


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        ("abs", [-3, 3, None], [3, 3, None]),
        ("abs", [-1.5], [1.5]),
        ("round", [2.5, -2.5, 0.4, None], [3.0, -3.0, 0.0, None]),
        ("round", [7], [7]),
        ("floor", [1.5, -1.5], [1.0, -2.0]),
        ("floor", [2**53 + 1], [2**53 + 1]),
        ("ceil", [1.5, -1.5], [2.0, -1.0]),
        ("sign", [-5, 0, 5], [-1, 0, 1]),
        ("sign", [-0.5, 2.0], [-1.0, 1.0]),
        ("sqrt", [9, 2, None], [3.0, math.sqrt(2), None]),
        ("ln", [1.0], [0.0]),
        ("log10", [1000], [3.0]),
        ("exp", [0, 1000], [1.0, INF]),
        ("upper", ["aé", None], ["AÉ", None]),
        ("lower", ["AÉ"], ["aé"]),
        ("length", ["", "aé"], [0, 2]),
        ("trim", ["  a b "], ["a b"]),
        ("ltrim", ["  a "], ["a "]),
        ("rtrim", [" a  "], [" a"]),
        ("to_int", ["7"], [7]),
        ("to_float", ["7.5"], [7.5]),
        ("year", [datetime(2024, 4, 1, 13, 5, 9)], [2024]),
        ("month", [datetime(2024, 4, 1, 13, 5, 9)], [4]),
        ("day", [datetime(2024, 4, 1, 13, 5, 9)], [1]),
        ("hour", [datetime(2024, 4, 1, 13, 5, 9), None], [13, None]),
        ("minute", [datetime(2024, 4, 1, 13, 5, 9)], [5]),
        ("second", [datetime(2024, 4, 1, 13, 5, 9)], [9]),
        ("day_of_week", [datetime(2024, 4, 1), datetime(2024, 4, 7)], [1, 7]),
        ("epoch", [datetime(1970, 1, 1, 0, 1, 0, 500000)], [60.5]),
    ],
)
def test_a_function_of_one_argument(function: str, x: list[Any], expected: list[Any]) -> None:
    assert values(call(function, f("x")), x=x) == expected


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        ("round", (1.256, 2), 1.26),
        ("round", (1250.0, -2), 1300.0),
        ("round", (1e308, 2), 1e308),
        ("round", (1.5, 400), 1.5),
        ("round", (1e300, -400), 0.0),
        ("round", (-INF, 2), -INF),
        ("power", (2, 10), 1024.0),
        ("power", (-2.0, 3), -8.0),
        ("mod", (7, 3), 1),
        ("mod", (-7.5, 2), -1.5),
        ("least", (3, 1, None, 2), 1),
        ("greatest", (3, 1.5), 3.0),
        ("least", ("b", "a"), "a"),
        ("least", (None, None), None),
        ("coalesce", (None, 2, 3), 2),
        ("nullif", (1, 1), None),
        ("nullif", (1, 2), 1),
        ("nullif", ("a", "a"), None),
        ("substr", ("hello", 2, 3), "ell"),
        ("substr", ("hello", 2), "ello"),
        ("substr", ("hello", 0, 2), "h"),
        ("substr", ("hello", -5, 2), ""),
        ("substr", ("hello", 9, 2), ""),
        ("substr", ("hello", 2, 2**62), "ello"),
        ("replace", ("banana", "an", "x"), "bxxa"),
        ("replace", ("abc", "", "x"), "abc"),
        ("concat", ("a", "b", "c"), "abc"),
        ("concat", ("a", None), None),
        ("contains", ("banana", "nan"), True),
        ("starts_with", ("banana", "ban"), True),
        ("ends_with", ("banana", "ban"), False),
        ("position", ("banana", "nan"), 3),
        ("position", ("bañana", "na"), 5),
        ("position", ("abc", "x"), 0),
        ("left", ("hello", 2), "he"),
        ("left", ("hello", -2), "hel"),
        ("left", ("hello", 0), ""),
        ("right", ("hello", 2), "lo"),
        ("right", ("hello", -2), "llo"),
        ("right", ("hello", 0), ""),
        ("regexp_like", ("order 66", "[0-9]+$"), True),
        ("epoch", (us(1_500_000),), 1.5),
    ],
)
def test_constants_and_columns_give_the_same(
    function: str, arguments: tuple[object, ...], expected: object
) -> None:
    assert values(call(function, *arguments)) == [expected]
    columns: dict[str, list[object]] = {}
    fields: list[object] = []
    for i, argument in enumerate(arguments):
        in_a_column = function != "regexp_like" or i == 0
        if in_a_column and isinstance(argument, (int, float, str)):
            columns[f"x{i}"] = [argument, argument]
            fields.append(f(f"x{i}"))
        else:
            fields.append(argument)
    if columns:
        assert values(call(function, *fields), **columns) == [expected, expected]
        mixed = call(function, fields[0], *arguments[1:])
        assert values(mixed, **columns) == [expected, expected]


def test_functions_of_several_columns_see_each_rows_nulls() -> None:
    t, n = ["hello", None, "abc", "xyz"], [1, 2, None, 3]
    assert values(call("left", f("t"), f("n")), t=t, n=n) == ["h", None, None, "xyz"]
    assert values(call("concat", f("t"), "-"), t=t) == ["hello-", None, "abc-", "xyz-"]
    assert values(call("position", f("t"), f("u")), t=["abc", None], u=["c", "c"]) == [3, None]


def test_least_and_greatest_pass_over_null_and_nan() -> None:
    x, y = [1.0, None, NAN, None], [2.0, 3.0, 4.0, None]
    assert values(call("least", f("x"), f("y")), x=x, y=y) == [1.0, 3.0, 4.0, None]
    assert values(call("greatest", f("x"), f("y")), x=x, y=y) == [2.0, 3.0, 4.0, None]
    assert values(call("greatest", f("t"), "b"), t=["a", None, "c"]) == ["b", "b", "c"]


def test_coalesce_and_nullif_row_by_row() -> None:
    assert values(call("coalesce", f("x"), f("y"), 0), x=[1, None, None], y=[9, 2, None]) == [
        1,
        2,
        0,
    ]
    assert values(call("coalesce", f("t"), "none"), t=["a", None]) == ["a", "none"]
    assert values(call("nullif", f("t"), "n/a"), t=["a", "n/a", None]) == ["a", None, None]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("year", datetime(2024, 1, 1)),
        ("quarter", datetime(2024, 4, 1)),
        ("month", datetime(2024, 5, 1)),
        ("week", datetime(2024, 5, 13)),
        ("day", datetime(2024, 5, 16)),
        ("hour", datetime(2024, 5, 16, 13)),
        ("minute", datetime(2024, 5, 16, 13, 5)),
        ("second", datetime(2024, 5, 16, 13, 5, 9)),
    ],
)
def test_date_trunc_gives_the_start_of_the_unit(unit: str, expected: datetime) -> None:
    moment = datetime(2024, 5, 16, 13, 5, 9, 123456)
    assert values(call("date_trunc", unit, f("t")), t=[moment, None]) == [expected, None]


def test_times_before_1970_are_cut_downwards() -> None:
    moment = datetime(1969, 12, 31, 23, 59, 59, 500000)
    assert values(call("date_trunc", "second", f("t")), t=[moment]) == [
        datetime(1969, 12, 31, 23, 59, 59)
    ]
    assert values(call("second", f("t")), t=[moment]) == [59]


@pytest.mark.parametrize(
    ("function", "x", "reason"),
    [
        ("sqrt", -1.0, "sqrt is not defined there"),
        ("ln", 0.0, "ln is not defined there"),
        ("log10", -1.0, "log10 is not defined there"),
        ("to_int", "abc", "cannot cast 'abc' to int"),
        ("to_float", "1,5", "cannot cast '1,5' to float"),
    ],
)
def test_outside_of_its_domain_a_function_is_null_and_an_error(
    function: str, x: object, reason: str
) -> None:
    table = pa.table({"x": [x]})
    assert evaluated(call(function, f("x")), table) == ([None], [(reason, [0])])


def test_power_knows_division_by_zero_and_roots_of_negative_numbers() -> None:
    assert errors(call("power", f("x"), -1), x=[0, 2]) == [("division by zero", [0])]
    assert errors(call("power", f("x"), 0.5), x=[-4.0, 4.0]) == [
        ("power is not defined there", [0])
    ]


def test_a_negative_length_is_an_error_of_substr() -> None:
    table = pa.table({"t": ["abc", "abc"], "n": [-1, 2]})
    assert evaluated(call("substr", f("t"), 1, f("n")), table) == (
        [None, "ab"],
        [("negative length in substr", [0])],
    )
    assert evaluated(call("substr", f("t"), 1, -1), table)[0] == [None, None]


def test_nan_goes_in_and_comes_out() -> None:
    table = pa.table({"x": [NAN]})
    for function in ("sqrt", "ln", "exp", "abs", "floor", "round", "sign"):
        (found,), wrong = evaluated(call(function, f("x")), table)
        assert math.isnan(found), function
        assert wrong == []


def test_int_meets_float_as_float_and_null_fits_anything() -> None:
    assert common_type([DataType.INTEGER, DataType.FLOAT]) is DataType.FLOAT
    assert common_type([DataType.NULL, DataType.TEXT]) is DataType.TEXT
    assert common_type([DataType.INTEGER, DataType.TEXT]) is None
    assert common_type([DataType.NULL]) is DataType.NULL
    assert bound(call("greatest", 1, 2.5), pa.table({"x": [1]})).type is DataType.FLOAT


def test_a_misspelt_name_finds_its_neighbour_whatever_the_case() -> None:
    assert closest("amuont", ["amount", "kind"]) == "did you mean 'amount'?"
    assert closest("KIND", ["amount", "kind"]) == "did you mean 'kind'?"
    assert closest("zzz", ["amount", "kind"]) is None
