"""The registry of aggregate functions, and those of the user."""

from __future__ import annotations

import pytest

from cep.engine.algebra.aggregates import (
    AGGREGATES,
    AggregateFunction,
    aggregate_type,
    functions_by_name,
    problem_with_parameters,
)
from cep.engine.algebra.errors import RuleError
from cep.engine.algebra.expression import DataType, Field, Literal


def function(name: str, argument: DataType | None = None) -> AggregateFunction:
    return AggregateFunction(
        name,
        create=lambda: 0,
        add=lambda total, value: total + value,
        merge=lambda one, other: one + other,
        result=lambda total: total,
        type=DataType.INTEGER,
        argument=argument,
    )


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        ("count", DataType.TEXT, DataType.INTEGER),
        ("count_distinct", DataType.TEXT, DataType.INTEGER),
        ("sum", DataType.INTEGER, DataType.INTEGER),
        ("sum", DataType.DURATION, DataType.DURATION),
        ("avg", DataType.INTEGER, DataType.FLOAT),
        ("avg", DataType.DURATION, DataType.DURATION),
        ("median", DataType.INTEGER, DataType.FLOAT),
        ("quantile", DataType.DURATION, DataType.DURATION),
        ("stddev", DataType.INTEGER, DataType.FLOAT),
        ("min", DataType.TIMESTAMP, DataType.TIMESTAMP),
        ("last", DataType.BOOLEAN, DataType.BOOLEAN),
        ("collect", DataType.INTEGER, DataType.TEXT),
        ("avg", DataType.NULL, DataType.NULL),
    ],
)
def test_the_type_of_an_aggregate(name: str, argument: DataType, expected: DataType) -> None:
    assert aggregate_type(name, Field("x", type=argument), {}) is expected


def test_counting_events_needs_no_argument() -> None:
    assert aggregate_type("count", None, {}) is DataType.INTEGER
    assert [name for name, form in AGGREGATES.items() if form.star] == ["count"]


def test_quantiles_have_a_fraction_and_nothing_else_has_a_constant() -> None:
    assert problem_with_parameters("quantile", (Literal(0.5),)) is None
    assert problem_with_parameters("approx_quantile", (Literal(1),)) is None
    assert problem_with_parameters("sum", ()) is None
    assert problem_with_parameters("quantile", ()) == "quantile takes two arguments, not 1"
    assert problem_with_parameters("sum", (Literal(1),)) == "sum takes one argument, not 2"
    for wrong in (Literal(1.5), Literal(True), Literal("x"), Literal(None)):
        assert "between 0 and 1" in (problem_with_parameters("quantile", (wrong,)) or "")


def test_functions_of_the_user_are_known_by_their_names() -> None:
    mine, other = function("mine"), function("other")
    assert functions_by_name([mine, other]) == {"mine": mine, "other": other}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Mine"], "'Mine' is no name for a function"),
        (["my own"], "'my own' is no name for a function"),
        (["sum"], "the language has a function 'sum'"),
        (["upper"], "the language has a function 'upper'"),
        (["prev"], "the language has a function 'prev'"),
        (["mine", "mine"], "two functions 'mine'"),
    ],
)
def test_a_function_of_the_user_needs_a_name_of_its_own(names: list[str], message: str) -> None:
    with pytest.raises(RuleError) as caught:
        functions_by_name([function(name) for name in names])
    assert [problem.message for problem in caught.value.problems] == [message]
