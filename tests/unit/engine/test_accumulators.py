"""What aggregates give over a window: exact sums, sums without drift, and what has no value."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from array import array
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cep.engine.algebra.errors import CepError
from cep.engine.algebra.expression import Aggregated, DataType, Expression, Field, Literal
from cep.engine.algebra.pattern import Output
from cep.engine.algebra.plan import Aggregate, Window, WindowKind
from cep.engine.batch import EventBatch
from cep.engine.operators.fed import Fed
from cep.engine.operators.windows.accumulators import squared_deviations
from cep.engine.operators.windows.accumulators_gathered import quantile_of
from cep.engine.operators.windows.operator import WindowOperator
from cep.engine.operators.windows.rows import WindowRows
from cep.engine.state.interning import TextCodes
from tests.unit.engine.window_tools import Longest

ARROW: dict[DataType, pa.DataType] = {
    DataType.INTEGER: pa.int64(),
    DataType.FLOAT: pa.float64(),
    DataType.TEXT: pa.string(),
    DataType.BOOLEAN: pa.bool_(),
    DataType.TIMESTAMP: pa.timestamp("us"),
    DataType.DURATION: pa.duration("us"),
    DataType.NULL: pa.null(),
}
NAN, INFINITY = float("nan"), float("inf")


def rows_of(node: Expression, kind: DataType, values: Sequence[Any], pane: int = 3) -> WindowRows:
    """One window over all values, cut into panes of so many."""
    window = Window(WindowKind.SLIDING, 10_001 * pane, 10_000 * pane, -2000 * pane)
    plan = Aggregate("windows", "events", (Output("value", node),), (), window)
    texts = TextCodes()
    operator = WindowOperator(plan, None, texts, {"longest": Longest()}, capacity=1)
    table = pa.table({"x": pa.array(values, ARROW[kind])})
    prepared = operator.prepare(Fed(EventBatch(table, np.arange(len(values))), 0, texts))
    operator.process(0, prepared, prepared.rows, np.zeros(len(values), np.int64), -1)
    operator.advance_to(0, 2**63 - 1)
    made = operator.take(lambda shard, codes: [])
    assert made is not None
    assert len(made) == 1
    return made


def value_of(
    function: str,
    kind: DataType,
    values: Sequence[Any],
    result: DataType | None = None,
    parameters: tuple[Literal, ...] = (),
) -> Any:
    node = Aggregated(function, Field("x", type=kind), parameters, type=result or kind)
    made = rows_of(node, kind, values)
    assert made.failures == []
    return made.table.column("value")[0].as_py()


INTEGER, FLOAT, TEXT = DataType.INTEGER, DataType.FLOAT, DataType.TEXT
DURATION, TIMESTAMP, BOOLEAN = DataType.DURATION, DataType.TIMESTAMP, DataType.BOOLEAN


def test_sums_of_integers_are_exact_far_beyond_what_floats_hold() -> None:
    assert value_of("sum", INTEGER, [2**62, 2**62 - 1, 1, -1]) == 2**63 - 1
    assert value_of("sum", INTEGER, [-(2**63), 2**62, 2**62, 5]) == 5


def test_a_sum_that_does_not_fit_is_an_error_and_null() -> None:
    node = Aggregated("sum", Field("x", type=INTEGER), type=INTEGER)
    made = rows_of(node, INTEGER, [2**63 - 1, 0, 0, 1])
    assert made.table.column("value").to_pylist() == [None]
    (failure,) = made.failures
    assert (failure.reason, failure.output) == ("integer overflow", "value")
    assert failure.rows.num_rows == 1


def test_an_average_of_integers_may_have_a_sum_that_does_not_fit() -> None:
    assert value_of("avg", INTEGER, [2**62, 2**62, 2**62], FLOAT) == 2.0**62


def test_sums_of_floats_do_not_drift() -> None:
    assert value_of("sum", FLOAT, [0.1] * 10) == 1.0
    assert value_of("sum", FLOAT, [1e16, 1.0, -1e16, 1.0]) == 2.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [([INFINITY, 1.0], INFINITY), ([INFINITY, -INFINITY], NAN), ([NAN, 1.0], NAN)],
)
def test_sums_of_what_is_not_finite_are_what_ieee_says(
    values: list[float], expected: float
) -> None:
    assert str(value_of("sum", FLOAT, values)) == str(expected)


amounts = st.integers(-(10**15), 10**15).map(lambda n: n / 1000)


@given(st.lists(amounts | st.just(NAN), min_size=1, max_size=150), st.floats(0, 1))
def test_quantiles_are_bit_for_bit_those_of_numpy(values: list[float], fraction: float) -> None:
    found = quantile_of(array("d", values), fraction)
    assert repr(found) == repr(float(np.quantile(values, fraction)))


@given(st.lists(amounts, min_size=1, max_size=12), st.integers(1, 5))
def test_sums_of_floats_are_the_exact_sum_rounded_however_cut_into_panes(
    values: list[float], pane: int
) -> None:
    node = Aggregated("sum", Field("x", type=FLOAT), type=FLOAT)
    made = rows_of(node, FLOAT, values, pane)
    assert made.table.column("value")[0].as_py() == float(sum(map(Fraction, values)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 3.0], math.sqrt(2.0)),
        ([0.1, 0.1, 0.1, 0.1], 0.0),
        ([1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0], math.sqrt(30.0)),
        ([5.0], None),
        ([None, None], None),
    ],
)
def test_the_deviation_of_a_sample_keeps_its_digits_where_the_mean_is_large(
    values: list[float | None], expected: float | None
) -> None:
    assert value_of("stddev", FLOAT, values) == expected


def test_the_deviation_of_integers() -> None:
    assert value_of("stddev", INTEGER, [2, 4, 4, 4, 5, 5, 7, 9], FLOAT) == pytest.approx(
        statistics.stdev([2, 4, 4, 4, 5, 5, 7, 9])
    )


def test_squared_deviations_less_than_their_rounding_are_none() -> None:
    counts = np.array([2])
    total = np.array([2.0]), np.array([0.0])
    squares = np.array([2.0]), np.array([-1e-31])
    assert squared_deviations(counts, total, squares).tolist() == [0.0]


@pytest.mark.parametrize(
    ("function", "kind", "values", "expected"),
    [
        ("min", INTEGER, [3, None, -2, 5], -2),
        ("max", INTEGER, [3, None, -2, 5], 5),
        ("min", FLOAT, [NAN, 2.0, 1.0], 1.0),
        ("max", FLOAT, [1.0, 2.0, NAN], 2.0),
        ("min", TEXT, ["b", "é", None, "ab"], "ab"),
        ("max", TEXT, ["b", "é", None, "ab"], "é"),
        ("min", BOOLEAN, [True, False], False),
        ("first", TEXT, ["b", None, "a"], "b"),
        ("last", TEXT, ["b", "a", None], None),
        ("first", INTEGER, [None, 4], None),
        ("last", BOOLEAN, [True, False, True], True),
        ("min", INTEGER, [None], None),
        ("sum", INTEGER, [None, None], None),
        ("sum", DataType.NULL, [None, None], None),
    ],
)
def test_extremes_and_ends(
    function: str, kind: DataType, values: list[Any], expected: object
) -> None:
    assert value_of(function, kind, values) == expected


def test_an_extreme_of_nothing_but_nan_is_nan() -> None:
    assert math.isnan(value_of("max", FLOAT, [NAN, NAN]))


def test_counts_of_nothing_are_0() -> None:
    assert value_of("count", TEXT, [None, None], INTEGER) == 0
    assert value_of("count", DataType.NULL, [None], INTEGER) == 0
    assert value_of("count_distinct", TEXT, [None, None], INTEGER) == 0
    assert value_of("approx_count_distinct", TEXT, [None], INTEGER) == 0
    assert value_of("collect", TEXT, [None], TEXT) == "[]"
    assert value_of("median", FLOAT, [None]) is None


def test_times_and_durations_keep_their_types() -> None:
    second = dt.timedelta(seconds=1)
    assert value_of("sum", DURATION, [second, 2 * second]) == 3 * second
    assert value_of("avg", DURATION, [second, 2 * second]) == 1.5 * second
    assert value_of("median", DURATION, [second, 2 * second]) == 1.5 * second
    morning = dt.datetime(2026, 1, 31, 8)  # noqa: DTZ001 - Arrow has none either
    assert value_of("max", TIMESTAMP, [morning, morning - second]) == morning
    assert value_of("collect", TIMESTAMP, [morning], TEXT) == '["2026-01-31 08:00:00.000000"]'


def test_equal_values_are_counted_once() -> None:
    assert value_of("count_distinct", FLOAT, [0.0, -0.0, NAN, -NAN, 1.0], INTEGER) == 3
    assert value_of("count_distinct", TEXT, ["a", "b", "a"], INTEGER) == 2
    assert value_of("count_distinct", BOOLEAN, [True, True], INTEGER) == 1
    assert value_of("approx_count_distinct", FLOAT, [0.0, -0.0, 1.0], INTEGER) == 2
    assert value_of("approx_count_distinct", BOOLEAN, [True, False], INTEGER) == 2


def test_many_values_are_counted_nearly() -> None:
    found = value_of("approx_count_distinct", INTEGER, list(range(3000)) * 2, INTEGER)
    assert found == pytest.approx(3000, rel=0.05)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_quantiles_are_those_of_numpy(fraction: float) -> None:
    values = [4.0, 1.0, 7.5, 2.0, 2.0, 9.0]
    found = value_of("quantile", FLOAT, values, FLOAT, (Literal(fraction),))
    assert found == np.quantile(values, fraction)
    few = value_of("approx_quantile", FLOAT, values, FLOAT, (Literal(fraction),))
    assert few == found


def test_quantiles_of_many_values_are_nearly_right() -> None:
    values = [float((i * 7919) % 3000) for i in range(3000)]
    found = value_of("approx_quantile", FLOAT, values, FLOAT, (Literal(0.9),))
    assert found == pytest.approx(2700.0, abs=30.0)


def test_collected_values_are_json() -> None:
    assert value_of("collect", TEXT, ['a "b"', None, "é"], TEXT) == '["a \\"b\\"", "é"]'
    assert value_of("collect", FLOAT, [0.5, NAN, INFINITY], TEXT) == "[0.5, null, null]"
    assert value_of("collect", INTEGER, [2**62, -1], TEXT) == "[4611686018427387904, -1]"
    assert value_of("collect", BOOLEAN, [True, False], TEXT) == "[true, false]"


def test_a_user_defined_function_reads_values_and_merges_panes() -> None:
    values = ["a", "bb", None, "c", "dddd", "ee"]
    assert value_of("longest", TEXT, values) == "dddd"


def test_a_function_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CepError, match="there is no aggregate function mode"):
        value_of("mode", INTEGER, [1])
