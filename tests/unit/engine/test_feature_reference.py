"""Random features over random events: the operator equals the plain reference, run in any way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.engine.algebra.expression import Aggregated, DataType, Expression, walk
from cep.engine.algebra.plan import Feature, Over
from tests.reference.features import Happening, feature_values
from tests.unit.engine.feature_tools import (
    BOOLEAN,
    FIELDS,
    FLOAT,
    INTEGER,
    TYPES,
    Driver,
    agg,
    op,
)


@dataclass(frozen=True)
class Spread:
    """Largest less smallest, as a user would write it; its accumulators change."""

    type: DataType = INTEGER

    @staticmethod
    def create() -> list[int]:
        return []

    @staticmethod
    def add(values: list[int], value: int) -> list[int]:
        values.append(value)
        return values

    @staticmethod
    def merge(values: list[int], others: list[int]) -> list[int]:
        values.extend(others)
        return values

    @staticmethod
    def result(values: list[int]) -> float | None:
        return float(max(values) - min(values)) if values else None


def spread(values: list[int]) -> float | None:
    return float(max(values) - min(values)) if values else None


VALUES: list[Expression] = [
    agg("count"),
    *(agg(function, name) for name in "ixd" for function in ("sum", "avg", "median")),
    *(agg(function, name) for name in "ix" for function in ("stddev", "approx_count_distinct")),
    *(agg(function, name) for name in "ixtsd" for function in ("min", "max")),
    *(agg(function, name) for name in "ixtbsd" for function in ("first", "last", "count")),
    *(agg("count_distinct", name) for name in "ixtbsd"),
    *(agg("quantile", name, p) for name, p in (("i", 0.25), ("x", 0.9), ("x", 1.0), ("d", 0.0))),
    op(agg("sum", "x"), "/", agg("count", "x"), FLOAT),
    op(FIELDS["x"], ">", agg("avg", "x"), BOOLEAN),
]
IN_PYTHON: list[Expression] = [agg("spread", "i"), *(agg("collect", name) for name in "ixtbsd")]

OVERS = st.one_of(
    st.builds(Over, range_us=st.integers(1, 6)),
    st.builds(Over, events=st.integers(1, 4)),
    st.just(Over()),
)
REALS = st.sampled_from([0.0, -0.0, 0.1, -0.1, 2.5, 1e12, -1e12, math.nan, math.inf, -math.inf])
OWN: dict[str, st.SearchStrategy[Any]] = {
    "k": st.sampled_from([None, 0, 1, 1, 2]),
    "i": st.none() | st.sampled_from([0, 1, -3, 7, 2**62, -(2**62)]),
    "x": st.none() | REALS,
    "t": st.none() | st.sampled_from(["", "a", "b", "é", 'say "a"']),
    "b": st.none() | st.booleans(),
    "s": st.none() | st.integers(0, 3),
    "d": st.none() | st.integers(-2, 5),
}
ROWS = st.fixed_dictionaries(OWN)
STEP = st.tuples(st.sampled_from([0, 0, 1, 1, 2, 9]), st.sampled_from("aab"), ROWS)
STEPS = st.lists(STEP, min_size=3, max_size=30)


@st.composite
def plans(draw: st.DrawFn, values: list[Expression]) -> list[Feature]:
    """Features of one group."""
    stream, source = draw(st.sampled_from([("a", None), ("a", "a"), ("a", "b"), ("b", "a")]))
    where = draw(st.sampled_from([None, op(FIELDS["i"], ">", FIELDS["d"], BOOLEAN)]))
    key = draw(st.sampled_from([("k",), ()]))
    over, excluding = draw(OVERS), draw(st.booleans())
    chosen = draw(st.lists(st.sampled_from(values), min_size=1, max_size=12, unique=True))
    return [
        Feature(f"f{n}", stream, value, over, key, source, where, excluding)
        for n, value in enumerate(chosen)
    ]


def events_of(steps: list[tuple[int, str, dict[str, Any]]]) -> list[Happening]:
    time_us, events = 0, []
    for step, stream, fields in steps:
        time_us += step
        events.append(Happening(stream, time_us, {name: fields[name] for name in TYPES}))
    return events


def run(driver: Driver, events: list[Happening], cuts: list[int], acts: list[str]) -> None:
    """Feed the events in parts; after each part something that may not show."""
    borders = sorted({min(cut, len(events)) for cut in cuts} | {0, len(events)})
    for number, (begin, end) in enumerate(pairwise(borders)):
        driver.feed(events[begin:end])
        act = acts[number % len(acts)]
        past_us = events[end - 1].time_us - 1
        if act == "advance":
            driver.advance(past_us)
        elif act == "forget":
            driver.forget_idle_keys(past_us)
        elif act == "restart":
            driver.restart(1 + number % 3)
        elif act == "texts":
            driver.operator._cleaning.entries = 0


def assert_equal(found: list[Any], expected: list[Any], feature: Feature) -> None:
    assert len(found) == len(expected)
    for mine, plain in zip(found, expected, strict=True):
        if isinstance(plain, float) and is_rounded(feature.value):
            assert mine == pytest.approx(plain, rel=1e-12, abs=1e-3, nan_ok=True), feature
        else:
            same = mine == plain or (plain != plain and mine != mine)
            assert same, (feature, found, expected)
            assert type(mine) is type(plain)


def is_rounded(value: Expression) -> bool:
    """Whether the value may differ in the last bits: sums never do."""
    nodes = [node for node in walk(value) if isinstance(node, Aggregated)]
    return any(node.function in ("avg", "stddev") for node in nodes)


ACTS = st.lists(
    st.sampled_from(["nothing", "advance", "forget", "restart", "texts"]), min_size=1, max_size=3
)
CUTS = st.lists(st.integers(0, 30), max_size=8)


@settings(max_examples=300)
@given(plans(VALUES), STEPS, CUTS, ACTS, st.integers(1, 3))
def test_the_operator_equals_the_reference_however_it_is_run(
    features: list[Feature],
    steps: list[tuple[int, str, dict[str, Any]]],
    cuts: list[int],
    acts: list[str],
    shards: int,
) -> None:
    check(features, events_of(steps), cuts, acts, shards)


@settings(max_examples=100)
@given(plans(VALUES + 4 * IN_PYTHON), STEPS, CUTS, ACTS, st.integers(1, 3))
def test_what_is_computed_in_python_equals_the_reference_too(
    features: list[Feature],
    steps: list[tuple[int, str, dict[str, Any]]],
    cuts: list[int],
    acts: list[str],
    shards: int,
) -> None:
    check(features, events_of(steps), cuts, acts, shards)


def check(
    features: list[Feature], events: list[Happening], cuts: list[int], acts: list[str], shards: int
) -> None:
    if features[0].key == ():
        shards, acts = 1, [act for act in acts if act != "restart"] or ["nothing"]
    driver = Driver(features, shards, functions={"spread": Spread(FLOAT)})
    run(driver, events, cuts, acts)
    for feature in features:
        expected = feature_values(feature, events, {"spread": spread})
        assert_equal(driver.found[feature.name], expected, feature)


OVERS_OF_SEEDS = [Over(range_us=9), Over(events=5), Over(range_us=3), Over(events=1), Over()]
POOL: dict[str, list[Any]] = {
    "k": [1, 1, 2, 2, 3, None],
    "i": [None, 0, 1, -3, 7, 2**62, -(2**62)],
    "x": [None, 0.1, -0.1, 2.5, 1e12, -1e12, math.nan],
    "t": [None, "", "a", "b", "é", "c", "d", "e"],
    "b": [None, True, False],
    "s": [None, 0, 1, 2, 3],
    "d": [None, -2, 0, 5],
}


@pytest.mark.parametrize("seed", range(25))
def test_long_queues_survive_restarts_and_cleaning(seed: int) -> None:
    rng = np.random.default_rng(seed)
    over = OVERS_OF_SEEDS[seed % len(OVERS_OF_SEEDS)]
    chosen = rng.choice(len(VALUES + IN_PYTHON), 10, replace=False)
    features = [
        Feature(f"f{n}", "a", (VALUES + IN_PYTHON)[n], over, ("k",), None, None, seed % 2 == 0)
        for n in chosen.tolist()
    ]
    drawn = {name: rng.integers(0, len(pool), 70).tolist() for name, pool in POOL.items()}
    times = np.cumsum(rng.integers(0, 3, 70)).tolist()
    events = [
        Happening("a", time_us, {name: POOL[name][drawn[name][n]] for name in POOL})
        for n, time_us in enumerate(times)
    ]
    acts = rng.choice(["advance", "forget", "restart", "texts"], 40).tolist()
    check(features, events, list(range(0, 70, 2)), acts, 1 + seed % 3)
