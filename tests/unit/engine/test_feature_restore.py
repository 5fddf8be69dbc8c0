"""Features that share a queue, saved under one set of rules and restored under another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cep
from cep.engine.algebra.expression import Aggregated, Expression, Literal
from cep.engine.algebra.pattern import Stream, StreamField
from cep.engine.algebra.plan import Feature, Over
from cep.engine.batch import EventBatch
from cep.engine.runtime.enrich import Enricher
from tests.reference.features import Happening, feature_values
from tests.unit.engine.feature_tools import (
    BOOLEAN,
    FIELDS,
    FLOAT,
    STREAMS,
    TYPES,
    agg,
    feature,
    happening,
    op,
    table_of,
)
from tests.unit.engine.test_feature_reference import (
    IN_PYTHON,
    OVERS,
    STEPS,
    VALUES,
    Spread,
    assert_equal,
    events_of,
    spread,
)

FIELDS_OF_STREAMS = tuple(StreamField(name, kind) for name, kind in TYPES.items())
BASE = [Stream(name, FIELDS_OF_STREAMS) for name in STREAMS]
HOUR = Over(range_us=10)


@dataclass
class Running:
    """Features under some rules, and what they have found."""

    features: Sequence[Feature]
    shards: int = 1
    found: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        functions: Any = {"spread": Spread(FLOAT)}
        self.enricher = Enricher(BASE, [], self.features, self.shards, 1, functions)

    def feed(self, events: Sequence[Happening]) -> Running:
        if not events:
            return self
        streams = np.array([STREAMS[e.stream] for e in events], np.int16)
        times = np.array([e.time_us for e in events], np.int64)
        with np.errstate(all="ignore"):  # kernels as plain Python
            added = self.enricher.add(
                EventBatch(table_of(events), times, streams),
                self._on_shards,
            )
        for f in self.features:
            column: Any = added.batch.table.column(f.name)
            if f.value.type in (TYPES["s"], TYPES["d"]):
                column = column.cast("int64")
            self.found.setdefault(f.name, []).extend(column.to_pylist())
        return self

    def _on_shards(self, work: Callable[[int], None]) -> Sequence[Future[None]]:
        for shard in range(self.shards):
            work(shard)
        return ()

    def then(self, features: Sequence[Feature], shards: int = 1) -> Running:
        """Restored into these features: those that are equal are kept."""
        other = Running(features, shards)
        kept = {("a", f.name) for f in features if f in self.features}
        kept |= {("b", f.name) for f in features if f in self.features}
        other.enricher.restore(self.enricher.snapshot(), kept)
        return other


def last(running: Running) -> dict[str, Any]:
    return {name: values[-1] for name, values in running.found.items()}


BEFORE = [happening(1, x=1.0, t="a"), happening(2, x=5.0, t="b"), happening(3, k=2, x=9.0, t="z")]
AFTER = [happening(4, x=2.0, t="c"), happening(5, k=2, x=7.0, t="y"), happening(6, x=2.0, t="b")]
NAMED = {
    "sum": agg("sum", "x"),
    "avg": agg("avg", "x"),
    "first": agg("first", "t"),
    "last": agg("last", "t"),
    "max": agg("max", "t"),
    "median": agg("median", "x"),
    "distinct": agg("count_distinct", "t"),
    "collect": agg("collect", "x"),
    "count": agg("count"),
}
WHOLE = {
    "sum": 10.0,
    "avg": 2.5,
    "first": "a",
    "last": "b",
    "max": "c",
    "median": 2.0,
    "distinct": 3,
    "collect": "[1.0, 5.0, 2.0, 2.0]",
    "count": 4,
}
SINCE = {
    "sum": 4.0,
    "avg": 2.0,
    "first": "c",
    "last": "b",
    "max": "c",
    "median": 2.0,
    "distinct": 2,
    "collect": "[2.0, 2.0]",
    "count": 2,
}
SHARDS = pytest.mark.parametrize("shards", [(1, 1), (1, 3), (3, 1)])


def named(*names: str, over: Over = HOUR) -> list[Feature]:
    return [feature(NAMED[name], over, name) for name in names]


@SHARDS
@pytest.mark.parametrize("over", [HOUR, Over(events=5), Over()])
@pytest.mark.parametrize("added", NAMED)
def test_an_added_sibling_begins_and_the_others_go_on(
    added: str, over: Over, shards: tuple[int, int]
) -> None:
    others = [name for name in NAMED if name != added]
    before = Running(named(*others, over=over), shards[0]).feed(BEFORE)
    after = before.then(named(*others, added, over=over), shards[1]).feed(AFTER)
    assert last(after) == WHOLE | {added: SINCE[added]}


@SHARDS
@pytest.mark.parametrize("over", [HOUR, Over(events=5), Over()])
@pytest.mark.parametrize("kept", NAMED)
def test_what_is_left_of_a_group_goes_on(kept: str, over: Over, shards: tuple[int, int]) -> None:
    before = Running(named(*NAMED, over=over), shards[0]).feed(BEFORE)
    after = before.then(named(kept, over=over), shards[1]).feed(AFTER)
    assert last(after) == {kept: WHOLE[kept]}


def test_features_may_change_their_order() -> None:
    after = Running(named(*NAMED)).feed(BEFORE).then(named(*reversed(NAMED))).feed(AFTER)
    assert last(after) == WHOLE


def test_a_changed_value_begins_though_a_sibling_keeps_the_same_sum() -> None:
    before = Running(named("sum", "avg")).feed(BEFORE)
    changed = feature(op(NAMED["sum"], "*", Literal(2, type=FLOAT), FLOAT), HOUR, "avg")
    assert last(before.then([*named("sum"), changed]).feed(AFTER)) == {"sum": 10.0, "avg": 8.0}


def test_another_reach_is_another_queue_which_begins() -> None:
    before = Running(named("sum", "last")).feed(BEFORE)
    after = before.then([*named("last"), *named("sum", over=Over(range_us=11))]).feed(AFTER)
    assert last(after) == {"last": "b", "sum": 4.0}


def test_a_group_of_which_nothing_is_kept_begins() -> None:
    after = Running(named("sum")).feed(BEFORE).then(named("avg", "count")).feed(AFTER)
    assert last(after) == {"avg": 2.0, "count": 2}


def test_what_has_begun_later_goes_on_through_the_next_restore() -> None:
    running = Running(named("sum")).feed(BEFORE).then(named("sum", "avg", "count")).feed(AFTER[:2])
    running = running.then(named("sum", "avg", "count", "median"), 3).feed(AFTER[2:])
    assert last(running) == {"sum": 10.0, "avg": 2.0, "count": 2, "median": 2.0}


def test_texts_that_only_a_removed_feature_held_are_forgotten_in_the_end() -> None:
    before = Running(named("sum", "distinct")).feed(BEFORE)
    after = before.then(named("sum")).feed(AFTER)
    saved = after.enricher.snapshot()["states"]
    ((name, state),) = saved.items()
    assert name == "0: on 'a' from 'a' over 10 us by 'k'"
    assert state["shards"][0]["texts"].num_rows == 0


def test_queues_that_were_apart_stay_apart() -> None:
    """What `late` reads was two features deep and is not any more: it is as deep as `early` now."""
    a, read = feature(NAMED["sum"], HOUR, "a"), replace(FIELDS["x"], name="a")
    early = feature(Aggregated("sum", read, type=FLOAT), HOUR, "early")
    middle = feature(Aggregated("avg", read, type=FLOAT), HOUR, "middle")
    late = feature(Aggregated("sum", replace(read, name="middle"), type=FLOAT), HOUR, "late")
    before = Running([a, early, middle, late]).feed(BEFORE)
    changed = feature(agg("max", "x"), HOUR, "middle")
    after = before.then([a, changed, early, late]).feed(AFTER)
    assert last(after) == {"a": 10.0, "middle": 2.0, "early": 25.0, "late": 8.5}
    assert len(after.enricher.operators) == 3  # `a` and `middle` together


# -- anything ------------------------------------------------------------------------------------


@st.composite
def changes(draw: st.DrawFn) -> list[list[Feature]]:
    """Features of one queue under one set of rules after the other; names stand for values."""
    stream, source = draw(st.sampled_from([("a", None), ("a", "b")]))
    where = draw(st.sampled_from([None, op(FIELDS["i"], ">", FIELDS["d"], BOOLEAN)]))
    over, key = draw(OVERS), draw(st.sampled_from([("k",), ()]))
    excluding = draw(st.booleans())
    numbers = st.sampled_from(range(len(POOL)))
    pool = draw(st.lists(numbers, min_size=2, max_size=8, unique=True))
    sets = st.lists(st.sampled_from(pool), min_size=1, max_size=8, unique=True)
    return [
        [Feature(f"f{n}", stream, POOL[n], over, key, source, where, excluding) for n in draw(sets)]
        for _ in range(3)
    ]


POOL: list[Expression] = [*VALUES, *IN_PYTHON, *IN_PYTHON[:1]]


@settings(max_examples=200)
@given(changes(), STEPS, st.lists(st.integers(0, 30), min_size=2, max_size=2), st.data())
def test_a_kept_feature_has_never_stopped_and_a_new_one_has_seen_nothing_before(
    rules: list[list[Feature]],
    steps: list[tuple[int, str, dict[str, Any]]],
    stops: list[int],
    data: st.DataObject,
) -> None:
    events = events_of(steps)
    borders = [0, *sorted(min(stop, len(events)) for stop in stops), len(events)]
    running, since = Running(rules[0]), dict.fromkeys((f.name for f in rules[0]), 0)
    for number, features in enumerate(rules):
        begin, end = borders[number], borders[number + 1]
        if number > 0:
            running = running.then(features, data.draw(st.integers(1, 3)))
            since = {f.name: since.get(f.name, begin) for f in features}
        running.feed(events[begin:end])
        for f in features if end > begin else ():
            seen = feature_values(f, events[since[f.name] : end], {"spread": spread})
            assert_equal(running.found[f.name], seen[begin - since[f.name] :], f)


# -- what is said of it --------------------------------------------------------------------------

RULES = """
stream payments (ts timestamp, card int, amount float) time ts;
feature spent on payments as sum(amount) over 1 hour by card;
{more}
pattern much from payments by card match a -> b within 1 hour
  define a as amount > 50, b as spent > 100 select b.spent as spent;
"""
COUNTED = """feature n on payments as count(*) over 1 hour by card;
pattern many from payments by card match a define a as n > 1 select a.n as n;"""


def payment(minute: int, amount: float) -> dict[str, Any]:
    return {"ts": f"2025-03-03 12:{minute:02}", "card": 1, "amount": amount}


def saved(more: str = "") -> Any:
    detector = cep.Detector(RULES.format(more=more))
    detector.process(payment(0, 60.0))
    return detector.snapshot()


def found(detector: cep.Detector, minute: int = 1) -> list[tuple[str, dict[str, Any]]]:
    matches = detector.process(payment(minute, 61.0)).matches
    return sorted(((m.pattern, m.values) for m in matches), key=lambda match: match[0])


@pytest.mark.parametrize("workers", [1, 3])
def test_a_detector_says_what_began_and_what_went_on(workers: int) -> None:
    rules = RULES.format(more=COUNTED)
    detector = cep.Detector.from_snapshot(saved(), rules, workers=workers)
    assert str(detector.restored) == "kept: much, spent; new: many, n"
    assert found(detector) == [("much", {"spent": 121.0})]
    assert found(detector, 2) == [("many", {"n": 2})]


def test_a_removed_sibling_is_dropped() -> None:
    detector = cep.Detector.from_snapshot(saved(COUNTED), RULES.format(more=""))
    assert str(detector.restored) == "kept: much, spent; dropped: many, n"
    assert found(detector) == [("much", {"spent": 121.0})]


def test_a_changed_feature_is_named_and_the_pattern_that_reads_it_keeps_its_runs() -> None:
    rules = RULES.format(more="").replace("sum(amount)", "sum(amount) * 2")
    with pytest.warns(cep.RuleWarning, match="spent has changed since its state was saved"):
        detector = cep.Detector.from_snapshot(saved(), rules)
    assert str(detector.restored) == "kept: much; fresh: spent"
    assert found(detector) == [("much", {"spent": 122.0})]


def test_a_changed_running_aggregate_begins_with_all_that_it_counts() -> None:
    counts = "aggregate counts from payments by card select count(*) as {};\n"
    reads = (
        counts + "pattern reads from counts by card match a define a as {} > 0 select a.{} as n;"
    )
    with pytest.warns(cep.RuleWarning) as caught:
        detector = cep.Detector.from_snapshot(
            saved(reads.format("n", "n", "n")), RULES.format(more=reads.format("m", "m", "m"))
        )
    assert [str(w.message).split()[0] for w in caught] == ["counts", "reads"]
    assert str(detector.restored) == "kept: much, spent; fresh: counts, reads"
    assert ("reads", {"n": 1}) in found(detector)


def test_an_unchanged_running_aggregate_goes_on_beside_new_features() -> None:
    counts = """aggregate counts from payments by card select count(*) as n;
pattern reads from counts by card match a define a as n > 0 select a.n as n;"""
    total = """feature total on payments as sum(amount) over all by card;
pattern totals from payments by card match a define a as total > 0 select a.total as total;"""
    detector = cep.Detector.from_snapshot(saved(counts), RULES.format(more=total + counts))
    assert str(detector.restored) == "kept: counts, much, reads, spent; new: totals, total"
    assert dict(found(detector)) == {
        "much": {"spent": 121.0},
        "reads": {"n": 2},
        "totals": {"total": 61.0},
    }


def test_features_of_the_same_name_are_told_apart_by_their_streams() -> None:
    one = """
stream a (ts timestamp, k int, x float) time ts;
stream b (ts timestamp, k int, x float) time ts;
feature s on a as sum(x) over 1 hour by k;
feature s on b as sum(x) over 1 hour by k;
pattern p from a, b by k match u -> v
  define u as a where s > 0, v as b where s > 0;
"""
    rules = one.replace("s on b as sum", "s on b as max")
    detector = cep.Detector(one)
    detector.process({"ts": "2025-03-03 12:00", "k": 1, "x": 1.0}, "a")
    with pytest.warns(cep.RuleWarning, match="s on b has changed"):
        detector = cep.Detector.from_snapshot(detector.snapshot(), rules)
    assert str(detector.restored) == "kept: p, s on a; fresh: s on b"


def test_nan_is_no_reason_to_begin() -> None:
    before = Running(named("sum", "median")).feed([happening(1, x=math.nan)])
    assert math.isnan(last(before.then(named("median")).feed(AFTER))["median"])


DERIVED = """
stream payments (ts timestamp, card int, amount float) time ts;
pattern big from payments by card match a define a as amount > 10 select a.amount as amount;
feature bigs on {stream} as {value} over all by card;
pattern sums from {stream} by card match a define a as bigs > 0 select a.bigs as bigs;
"""


def test_a_new_task_takes_over_what_another_has_of_a_feature() -> None:
    rules = DERIVED.format(stream="big", value="sum(amount)")
    both = """pattern both from big, payments by card match a -> b
  define a as big where bigs > 0, b as payments select a.bigs as bigs;"""
    detector = cep.Detector(rules)
    detector.process(payment(0, 60.0))
    detector = cep.Detector.from_snapshot(detector.snapshot(), rules + both)
    assert str(detector.restored) == "kept: big, sums, bigs; new: both"
    assert found(detector) == [("big", {"amount": 61.0}), ("sums", {"bigs": 121.0})]
    assert ("both", {"bigs": 121.0}) in found(detector, 2)


def test_what_moves_to_where_it_has_no_state_begins_and_says_so() -> None:
    """`sums` is worked on behind `big`, once what it reads is computed from that."""
    detector = cep.Detector(DERIVED.format(stream="payments", value="sum(amount)"))
    detector.process(payment(0, 60.0))
    rules = DERIVED.format(stream="payments", value="sum(amount) from big")
    with pytest.warns(cep.RuleWarning) as caught:
        detector = cep.Detector.from_snapshot(detector.snapshot(), rules)
    assert [str(w.message).split()[0] for w in caught] == ["sums", "bigs"]
    assert str(detector.restored) == "kept: big; fresh: sums, bigs"
