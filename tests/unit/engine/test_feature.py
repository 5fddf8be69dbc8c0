"""Features over trailing windows: what an event sees, what goes wrong, what is kept how long."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cep.engine.algebra.errors import CepError
from cep.engine.algebra.expression import Aggregated, Field, Literal
from cep.engine.algebra.plan import Over
from cep.engine.operators.features.operator import FeatureOperator, group_features
from cep.engine.operators.features.plan import FeatureGroup
from tests.reference.features import Happening
from tests.unit.engine.feature_tools import (
    BOOLEAN,
    FIELDS,
    FLOAT,
    INTEGER,
    NULL,
    TEXT,
    TIMESTAMP,
    Driver,
    agg,
    feature,
    happening,
    op,
    values_of,
)

X, I, T = FIELDS["x"], FIELDS["i"], FIELDS["t"]  # noqa: E741
SECOND = 1_000_000
DAY = 86_400 * SECOND


def amounts(*pairs: tuple[int, float | None]) -> list[Happening]:
    return [happening(time_us, x=x) for time_us, x in pairs]


# -- what an event sees ---------------------------------------------------------------------------


def test_a_range_ends_just_before_what_is_as_old_as_it_is_long() -> None:
    events = amounts((0, 1.0), (9, 2.0), (10, 4.0), (18, 8.0), (19, 16.0))
    found = values_of(feature(agg("sum", "x"), Over(range_us=10)), events)
    assert found == [1.0, 3.0, 6.0, 14.0, 28.0]


def test_events_of_one_time_see_those_that_arrived_before_them() -> None:
    events = amounts((5, 1.0), (5, 2.0), (5, 4.0))
    assert values_of(feature(agg("sum", "x"), Over(range_us=1)), events) == [1.0, 3.0, 7.0]


def test_the_last_events_count_the_current_one_unless_it_is_excluded() -> None:
    events = amounts((0, 1.0), (0, 2.0), (7, 4.0), (9, 8.0))
    over = Over(events=2)
    assert values_of(feature(agg("sum", "x"), over), events) == [1.0, 3.0, 6.0, 12.0]
    before = feature(agg("sum", "x"), over, excluding_current=True)
    assert values_of(before, events) == [None, 1.0, 3.0, 6.0]


def test_over_all_nothing_is_left_behind() -> None:
    events = amounts((0, 1.0), (DAY, 2.0), (1000 * DAY, 4.0))
    assert values_of(feature(agg("sum", "x")), events) == [1.0, 3.0, 7.0]


def test_a_condition_chooses_what_is_aggregated_but_not_who_gets_the_value() -> None:
    events = amounts((0, 5.0), (1, 1.0), (2, 7.0))
    large = op(X, ">", Literal(2.0, type=FLOAT), BOOLEAN)
    assert values_of(feature(agg("count"), where=large), events) == [1, 1, 2]


def test_another_stream_is_read_up_to_the_row_of_the_event() -> None:
    events = [
        happening(0, "b", x=1.0),
        happening(1, "a", x=50.0),
        happening(1, "b", x=2.0),
        happening(2, "a"),
        happening(2, "a", k=7),
    ]
    found = values_of(feature(agg("max", "x"), source="b"), events)
    assert found == [None, 1.0, None, 2.0, None]


def test_without_a_key_all_events_are_seen_and_an_event_without_key_sees_nothing() -> None:
    events = [happening(0, k=1, i=1), happening(0, k=None, i=2), happening(0, k=3, i=4)]
    assert values_of(feature(agg("sum", "i"), key=()), events) == [1, 3, 7]
    count = op(agg("count"), "+", Literal(1, type=INTEGER), INTEGER)
    assert values_of(feature(count), events) == [2, None, 2]


def test_nulls_are_passed_over_except_by_first_and_last() -> None:
    events = amounts((0, None), (1, 3.0), (2, None), (3, 5.0), (4, None))
    functions = ("count", "sum", "avg", "min", "median", "count_distinct", "first", "last")
    features = [feature(agg(function, "x"), name=function) for function in functions]
    assert dict(zip(functions, values_of(features, events), strict=True)) == {
        "count": [0, 1, 1, 2, 2],
        "sum": [None, 3.0, 3.0, 8.0, 8.0],
        "avg": [None, 3.0, 3.0, 4.0, 4.0],
        "min": [None, 3.0, 3.0, 3.0, 3.0],
        "median": [None, 3.0, 3.0, 4.0, 4.0],
        "count_distinct": [0, 1, 1, 2, 2],
        "first": [None] * 5,
        "last": [None, 3.0, None, 5.0, None],
    }


def test_texts_are_ordered_counted_and_collected() -> None:
    texts = ["pear", "fig", None, 'a "b"', "fig"]
    events = [happening(i, t=t) for i, t in enumerate(texts)]
    functions = ("min", "max", "first", "last", "count_distinct", "collect")
    features = [feature(agg(fn, "t"), Over(range_us=3), name=fn) for fn in functions]
    assert dict(zip(functions, values_of(features, events), strict=True)) == {
        "min": ["pear", "fig", "fig", 'a "b"', 'a "b"'],
        "max": ["pear", "pear", "pear", "fig", "fig"],
        "first": ["pear", "pear", "pear", "fig", None],
        "last": ["pear", "fig", None, 'a "b"', "fig"],
        "count_distinct": [1, 2, 2, 2, 2],
        "collect": [
            '["pear"]',
            '["pear", "fig"]',
            '["pear", "fig"]',
            '["fig", "a \\"b\\""]',
            '["a \\"b\\"", "fig"]',
        ],
    }


def test_quantiles_lie_between_two_values_where_they_must() -> None:
    events = [happening(n, i=i, d=d) for n, (i, d) in enumerate([(10, 1), (20, 4), (40, 4)])]
    found = values_of(
        [
            feature(agg("median", "i"), name="m"),
            feature(agg("quantile", "i", 0.25), name="q"),
            feature(agg("median", "d"), name="d"),
        ],
        events,
    )
    assert found == [[10.0, 15.0, 20.0], [10.0, 12.5, 15.0], [1, 2, 4]]


def test_a_value_may_set_the_event_against_its_aggregates() -> None:
    events = amounts((0, 2.0), (1, 4.0), (2, None), (3, 9.0))
    ratio = op(X, "/", agg("avg", "x"), FLOAT)
    found = values_of(feature(ratio, excluding_current=True), events)
    assert found == [None, 2.0, None, 3.0]


def test_one_stream_needs_no_numbers_and_a_value_no_fields() -> None:
    features = [
        feature(agg("sum", "x"), name="s"),
        feature(Literal(7, type=INTEGER), name="c"),
    ]
    driver = Driver(features, two_streams=False)
    driver.feed(amounts((0, 1.0), (1, 2.0)))
    assert driver.found == {"s": [1.0, 3.0], "c": [7, 7]}


def test_aggregates_of_null_are_those_of_nothing() -> None:
    null = Literal(None, type=NULL)
    features = [
        feature(Aggregated("sum", null, type=NULL), name="s"),
        feature(Aggregated("count", null, type=INTEGER), name="c"),
        feature(Aggregated("collect", null, type=TEXT), name="j"),
    ]
    assert values_of(features, amounts((0, 1.0), (1, 2.0))) == [[None, None], [0, 0], ["[]", "[]"]]


class Latest:
    """A user's function over times, or over events without an argument: the largest value."""

    create = staticmethod(lambda: None)
    add = staticmethod(lambda held, value: value if held is None else max(held, value))
    merge = add
    result = staticmethod(lambda held: held)


def test_a_function_of_the_user_is_given_times_as_microseconds_and_true_for_no_argument() -> None:
    features = [
        feature(Aggregated("latest", FIELDS["s"], type=TIMESTAMP), Over(range_us=3), "s"),
        feature(Aggregated("latest", None, type=BOOLEAN), Over(range_us=3), "e"),
    ]
    driver = Driver(features, functions={"latest": Latest()})
    driver.feed([happening(0, s=5), happening(1, s=9)])
    driver.restart(2)
    driver.feed([happening(2, s=7), happening(4, s=None)])
    assert driver.found == {"s": [5, 9, 9, 7], "e": [True] * 4}


# -- sums that do not drift -----------------------------------------------------------------------


def test_a_sum_over_months_of_sliding_equals_the_exact_sum_of_its_window() -> None:
    rng = np.random.default_rng(5)
    scale = rng.choice([1e-2, 1.0, 1e11], 4000)
    numbers = np.round(rng.normal(size=4000) * scale, 2)
    numbers[1::2] = -numbers[0::2] + np.round(rng.normal(size=2000), 2)  # large ones cancel
    times = np.sort(rng.integers(0, 120 * DAY, 4000))
    events = amounts(*zip(times.tolist(), numbers.tolist(), strict=True))
    found = values_of(feature(agg("sum", "x"), Over(range_us=2 * DAY)), events)
    begins = np.searchsorted(times, times - 2 * DAY, side="right")
    assert found == [math.fsum(numbers[b : i + 1]) for i, b in enumerate(begins)]


def test_what_is_not_finite_leaves_together_with_its_event() -> None:
    events = amounts((0, math.inf), (1, -math.inf), (2, 1.0), (3, math.nan), (4, 2.0), (6, 3.0))
    found = values_of(feature(agg("sum", "x"), Over(range_us=3)), events)
    assert [repr(value) for value in found] == ["inf", "nan", "nan", "nan", "nan", "5.0"]


# -- what goes wrong ------------------------------------------------------------------------------


def test_an_integer_sum_that_does_not_fit_is_reported_and_null_until_it_fits_again() -> None:
    events = [happening(n, i=i) for n, i in enumerate([2**63 - 1, 1, -5, -(2**63), -1])]
    driver = Driver(
        [feature(agg("sum", "i"), Over(events=2)), feature(agg("avg", "i"), Over(events=2), "g")]
    )
    driver.feed(events[:1])
    driver.feed(events[1:])
    assert driver.found["f"] == [2**63 - 1, None, -4, None, None]
    assert driver.found["g"] == [2.0**63, 2.0**62, -2.0, -(2.0**62), -(2.0**62)]
    assert driver.failures == [("integer overflow", "f", [1, 3, 4])]


def test_errors_in_arguments_conditions_and_values_are_reported_once_where_they_count() -> None:
    over_i = op(I, "%", FIELDS["k"], INTEGER)
    total = Aggregated("sum", over_i, type=INTEGER)
    where = op(op(I, "%", FIELDS["d"], INTEGER), "=", Literal(0, type=INTEGER), BOOLEAN)
    value = op(total, "%", I, INTEGER)
    driver = Driver([feature(value, where=where, key=("b",))])
    fields: list[dict[str, Any]] = [
        {"k": 2, "i": 6, "d": 3},
        {"k": 0, "i": 6, "d": 3},
        {"k": 2, "i": 6, "d": 0},
        {"k": 2, "i": 0, "d": 3},
    ]
    driver.feed([happening(n, b=True, **f) for n, f in enumerate(fields)])
    driver.feed([happening(9, "b", b=True, k=0, i=0, d=0)])
    assert driver.found["f"] == [0, 0, 0, None, None]
    assert driver.failures == [
        ("division by zero", "f", [2]),
        ("division by zero", "f", [1]),
        ("division by zero", "f", [3]),
    ]


class Fussy:
    """A user's function that fails over the value 13 and says text over 7."""

    create = staticmethod(lambda: 0)
    merge = staticmethod(lambda a, b: a + b)

    @staticmethod
    def add(total: int, value: int) -> int:
        if value == 13:
            raise ValueError("13 is unlucky")
        return total + value

    @staticmethod
    def result(total: int) -> Any:
        return "seven" if total == 7 else total


@pytest.mark.parametrize("over", [Over(), Over(range_us=3)])
def test_what_a_function_of_the_user_raises_is_reported_and_the_value_null(over: Over) -> None:
    value = Aggregated("fussy", I, type=INTEGER)
    driver = Driver([feature(value, over)], functions={"fussy": Fussy()})
    driver.feed([happening(n, i=i) for n, i in enumerate([5, 2, None, 13, 1])])
    assert driver.found["f"] == [5, None, None, None, None]
    unlucky = "fussy: ValueError: 13 is unlucky"
    wrong = "fussy: its result is str, not int"
    assert sorted(driver.failures) == [(unlucky, "f", [3, 4]), (wrong, "f", [1, 2])]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Aggregated("mode", I, type=INTEGER), "mode is not an aggregate function"),
        (Aggregated("sum", None, type=INTEGER), "sum has no argument: only count can"),
        (Aggregated("quantile", I, (Literal(1.5),), type=FLOAT), "quantile of 1.5: it must be"),
        (Aggregated("quantile", I, (Literal("a"),), type=FLOAT), "quantile of a: it must be"),
    ],
)
def test_an_aggregate_that_cannot_be_computed_is_refused(value: Aggregated, message: str) -> None:
    with pytest.raises(CepError, match=message):
        FeatureOperator([feature(value)], {"a": 0})


def test_a_mean_of_durations_that_rounds_out_of_range_is_reported() -> None:
    driver = Driver([feature(agg("avg", "d"))])
    driver.feed([happening(0, d=2**63 - 1), happening(1, d=1)])
    assert driver.found["f"] == [None, 2**62]
    assert driver.failures == [("integer overflow", "f", [0])]


# -- groups ---------------------------------------------------------------------------------------


def test_features_that_differ_in_their_values_alone_share_a_queue() -> None:
    over = Over(range_us=5)
    features = [
        feature(agg("sum", "x"), over, "a"),
        feature(agg("sum", "x"), Over(range_us=6), "b"),
        feature(agg("count"), over, "c", source="a"),
        feature(agg("count"), over, "d", source="b"),
        feature(agg("count"), over, "e", excluding_current=True),
    ]
    assert names(group_features(features)) == [["a", "c"], ["b"], ["d"], ["e"]]


def test_a_feature_that_reads_another_comes_behind_it() -> None:
    a = Field("a", type=FLOAT)
    features = [
        feature(agg("sum", "x"), name="a"),
        feature(Aggregated("max", a, type=FLOAT), name="b"),
        feature(agg("count"), name="c"),
        feature(op(Field("b"), "-", agg("min", "x"), FLOAT), name="d"),
        feature(agg("count"), name="e", where=op(a, ">", X, BOOLEAN)),
        feature(agg("count"), name="f", key=("a",)),
        feature(Aggregated("max", a, type=FLOAT), name="g", source="b"),
    ]
    expected = [["a", "c"], ["g"], ["b"], ["e"], ["f"], ["d"]]
    assert names(group_features(features)) == expected


def names(groups: list[FeatureGroup]) -> list[list[str]]:
    return [[f.name for f in group.features] for group in groups]


def test_arguments_that_are_asked_for_twice_are_kept_once() -> None:
    functions = ("sum", "avg", "count", "min", "stddev", "median", "count_distinct")
    group = FeatureGroup(tuple(feature(agg(fn, "x"), name=fn) for fn in functions))
    plan = FeatureOperator(group, {"a": 0}).plan
    assert (plan.inputs, len(plan.tables.slots), len(plan.tables.trees)) == ((X,), 4, 1)


# -- what is kept ---------------------------------------------------------------------------------


def driven(over: Over, values: list[Aggregated], keys: int) -> Driver:
    """Every key has one event, one after the other; the runtime forgets idle keys now and then."""
    features = [feature(value, over, f"f{n}") for n, value in enumerate(values)]
    driver = Driver(features)
    for begin in range(0, keys, 50):
        driver.feed([happening(n, k=n, x=float(n), t=str(n)) for n in range(begin, begin + 50)])
        driver.advance(begin + 48)
        driver.forget_idle_keys(begin + 48)
    return driver


def test_ever_new_keys_do_not_pile_up() -> None:
    values = [agg("sum", "x"), agg("median", "x"), agg("last", "t")]
    few, many = (driven(Over(range_us=20), values, keys) for keys in (200, 2000))
    assert few.operator.sizes(0) == many.operator.sizes(0)
    assert len(many.codes[0]) == 21
    assert many.found["f0"][-1] == 1999.0


def test_values_in_python_of_ever_new_keys_do_not_pile_up() -> None:
    driver = Driver([feature(agg("collect", "x"), Over(range_us=10))])
    for n in range(0, 6000, 500):
        driver.feed([happening(n + i, k=n + i, x=1.0) for i in range(500)])
        driver.advance(n + 499)
    assert driver.operator.sizes(0)["events"] <= 1024 + 500
    assert len(driver.operator.active_keys(0)) <= 1024 + 500


def test_without_a_runtime_that_forgets_keys_old_events_make_room_for_new_ones() -> None:
    driver = Driver([feature(agg("sum", "x"), Over(range_us=10), key=("i",))], capacity=8)
    driver.feed([happening(n, i=n % 10, x=1.0) for n in range(5000)])
    assert driver.operator.sizes(0)["events"] <= 32


def test_over_all_a_key_costs_no_more_with_every_event() -> None:
    driver = Driver([feature(agg("sum", "x")), feature(agg("stddev", "x"), name="s")])
    driver.feed([happening(n, x=1.0) for n in range(500)])
    assert driver.operator.sizes(0)["events"] == 0
    assert driver.operator.active_keys(0).tolist() == [0]


def test_a_key_is_active_while_a_later_event_could_see_something() -> None:
    driver = Driver([feature(agg("sum", "x"), Over(range_us=10))])
    driver.feed([happening(5, x=1.0)])
    assert driver.operator.active_keys(0, 14).tolist() == [0]
    assert driver.operator.active_keys(0, 15).tolist() == []
    assert driver.operator.active_keys(0).tolist() == [0]


def test_texts_that_no_queue_holds_are_forgotten() -> None:
    driver = Driver([feature(agg("max", "t"), Over(range_us=3))])
    for n in range(50):
        driver.operator._cleaning.entries = 8
        driver.feed([happening(n, t=f"{n:03}"), happening(n, t=f"{n:03} again")])
    assert driver.found["f"][-1] == "049 again"
    assert len(driver.operator._texts) < 20


def test_a_snapshot_is_a_copy_that_later_events_do_not_change() -> None:
    driver = Driver(
        [feature(agg("sum", "x"), Over(events=3)), feature(agg("median", "x"), Over(events=3), "m")]
    )
    driver.feed(amounts((0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)))
    snapshot = driver.operator.snapshot(0)
    driver.feed(amounts((4, 100.0), (5, 200.0)))
    driver.operator = driver._new_operator()
    driver.operator.restore(0, [(snapshot, np.array([0]))])
    driver.feed(amounts((6, 5.0)))
    assert (driver.found["f"][-1], driver.found["m"][-1]) == (12.0, 4.0)


def test_a_restored_shard_leaves_out_the_keys_of_others() -> None:
    driver = Driver(
        [
            feature(agg("sum", "x"), Over(range_us=9)),
            feature(agg("collect", "x"), Over(range_us=9), "c"),
        ]
    )
    driver.feed([happening(0, k=1, x=1.0), happening(1, k=2, x=2.0), happening(2, k=2, x=3.0)])
    snapshot = driver.operator.snapshot(0)
    other = driver._new_operator()
    other.restore(0, [(snapshot, np.array([-1, 4]))])
    assert other.active_keys(0).tolist() == [4]
    assert other.sizes(0)["events"] == 2


def test_shards_may_run_at_the_same_time() -> None:
    features = [feature(agg(fn, "x"), Over(range_us=40), fn) for fn in ("sum", "median", "collect")]
    events = [happening(n, k=n % 7, x=float(n * n % 11)) for n in range(400)]
    one, three = Driver(features), Driver(features, shards=3, together=True)
    one.feed(events)
    three.feed(events)
    assert one.found == three.found


def test_columns_have_the_types_that_they_are_bound_to() -> None:
    values = [
        agg("sum", "i"),
        agg("avg", "i"),
        agg("last", "t"),
        agg("last", "s"),
        agg("last", "b"),
    ]
    driver = Driver([feature(value, name=f"f{n}") for n, value in enumerate(values)])
    driver.feed([happening(0)])
    expected = [pa.int64(), pa.float64(), pa.string(), pa.timestamp("us"), pa.bool_()]
    assert driver.types == expected


# -- many values of one key -----------------------------------------------------------------------

VALUES = st.lists(st.integers(-20, 20), min_size=1, max_size=120)


@given(VALUES, st.integers(1, 60))
def test_order_statistics_hold_over_long_windows(numbers: list[int], width: int) -> None:
    over = Over(events=width)
    features = [
        feature(agg("median", "i"), over, "m"),
        feature(agg("count_distinct", "i"), over, "d"),
        feature(agg("min", "i"), over, "l"),
    ]
    events = [happening(n, i=i) for n, i in enumerate(numbers)]
    windows = [numbers[max(0, n + 1 - width) : n + 1] for n in range(len(numbers))]
    assert values_of(features, events) == [
        [float(np.median(w)) for w in windows],
        [len(set(w)) for w in windows],
        [min(w) for w in windows],
    ]


def test_texts_may_come_as_dictionaries() -> None:
    driver = Driver([feature(agg("max", "t"))])
    batch = driver._batch

    def encoded(events: Any) -> Any:
        plain = batch(events)
        at = plain.table.schema.get_field_index("t")
        texts: Any = plain.table.column("t")
        table = plain.table.set_column(at, "t", texts.dictionary_encode())
        return type(plain)(table, plain.time_us, plain.stream)

    driver._batch = encoded  # type: ignore[method-assign]
    driver.feed([happening(n, t=t) for n, t in enumerate(["b", None, "c", "a"])])
    assert driver.found["f"] == ["b", "b", "c", "c"]
    assert agg("max", "t").type is TEXT
