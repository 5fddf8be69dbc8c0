"""Patterns over batches: keys, streams, faults, growth, and what is forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from cep.engine.algebra.pattern import Stream
from cep.engine.results import Output
from tests.unit.engine.runtime_tools import (
    EVENTS,
    Row,
    Running,
    batch_of,
    failures,
    letters,
    named,
    pattern_of,
    run,
    shown,
)


def rows_of(words: str) -> list[Row]:
    return [named(word) for word in words.split()]


def by_key(condition: str, match: str = "a b") -> Any:
    """A pattern over the numbers of one key: `a` is any event, `b` meets the condition."""
    return pattern_of(
        f"pattern p by k match {match} define a as name = 'a', b as name = 'b' and {condition} "
        "after match no skip"
    )


# -- keys -----------------------------------------------------------------------------------------


def test_each_key_has_its_own_runs() -> None:
    output = run(letters("a b", by="by k"), rows_of("ax ay bx cy by bx"))
    assert shown(output.matches) == ["a0 b2"]


def test_without_a_key_all_events_are_one_sequence() -> None:
    output = run(letters("a b"), rows_of("ax by ay bx"))
    assert shown(output.matches) == ["a0 b1", "a2 b3"]


def test_keys_of_several_fields_are_told_apart_field_by_field() -> None:
    rows = [
        named("a1", n=1),
        named("a1", n=2),
        named("b1", n=2),
        named("b1", n=1),
        named("a2", n=1),
        named("b1", n=None),
    ]
    output = run(letters("a b", by="by k, n"), rows)
    assert sorted(shown(output.matches)) == ["a0 b3", "a1 b2"]
    assert failures(output) == [("key field 'n' is NULL", None, None, 1)]


def test_two_patterns_by_the_same_fields_share_their_keys() -> None:
    first, second = letters("a b", by="by k"), letters("a -> c", by="by k")
    running = Running(first, second)
    running.feed(rows_of("ax ay cx cy ay by"))
    assert len(running.runtime.tasks[0].spaces) == 1
    assert sorted(shown(running.output.matches)) == ["a0 c2", "a1 c3", "a4 b5"]


def test_an_event_without_a_key_is_an_error_once_and_no_event_of_any_run() -> None:
    rows = [named("ax"), {"name": "a", "k": None}, {"name": "b", "k": None}, named("bx")]
    running = Running(letters("a b", by="by k"), letters("a b", by="by k"), slice_rows=100)
    output = running.feed(rows)
    assert [shown([batch]) for batch in output.matches] == [["a0 b3"], ["a0 b3"]]
    assert failures(output) == [("key field 'k' is NULL", None, None, 2)]


@pytest.mark.parametrize("number", [-1, 0, 2**63 - 1, -(2**63)])
def test_integer_keys_are_exact(number: int) -> None:
    other = number - 1 if number > 0 else number + 1
    rows = [named("a", n=number), named("a", n=other), named("b", n=number)]
    assert shown(run(letters("a b", by="by n"), rows).matches) == ["a0 b2"]


# -- several streams ------------------------------------------------------------------------------


def test_a_variable_takes_only_events_of_its_stream() -> None:
    logins, wires = Stream("logins", EVENTS.fields), Stream("wires", EVENTS.fields)
    pattern = pattern_of(
        "pattern p from logins, wires by k match a -> b after match no skip "
        "define a as logins where name = 'a', b as wires where name = 'b'",
        logins,
        wires,
    )
    running = Running(pattern, streams=(logins, wires))
    output = running.feed(rows_of("a a b b"), [1, 0, 0, 1])
    assert shown(output.matches) == ["a1 b3"]
    assert output.matches[0].event_stream is not None
    assert output.matches[0].event_stream.tolist() == [0, 1]


# -- conditions across events ---------------------------------------------------------------------


def test_a_condition_across_events_is_of_the_run_not_of_the_key() -> None:
    rows = [named("a", n=1), named("a", n=5), named("b", n=4), named("b", n=7)]
    pattern = by_key("n > a.n", "a -> b")
    assert shown(run(pattern, rows).matches) == ["a0 b2", "a1 b3"]


def test_null_on_either_side_of_a_condition_is_not_true() -> None:
    pairs = [(None, 1), (1, None), (1, 1), (None, None), (1, 2)]
    rows = [
        named(f"{name}{i}", n=n)
        for i, pair in enumerate(pairs)
        for name, n in zip("ab", pair, strict=True)
    ]
    output = run(by_key("n = a.n"), rows)
    assert shown(output.matches) == ["a4 b5"]
    assert output.errors == []


def test_the_value_over_no_event_is_null_unless_the_condition_says_otherwise() -> None:
    rows = [named("b", t="z"), named("b", t=None)]
    text = "pattern p match b define b as upper(coalesce(last(b.t), 'z')) = 'Z' after match no skip"
    assert shown(run(pattern_of(text), rows).matches) == ["b0", "b1"]


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("n + a.n > 0", "integer overflow"),
        ("1 % (n - a.n) = 0", "division by zero"),
        ("sqrt(a.x - 1e300) > 0", "argument outside the function's domain"),
        ("cast(a.x * 1e300 as int) = 0", "value does not fit an integer"),
    ],
)
def test_what_cannot_be_computed_is_counted_with_its_pattern_and_variable(
    condition: str, reason: str
) -> None:
    most = 2**63 - 1
    rows = [named("a", n=most, x=1.0), named("b", n=most), named("c"), named("b", n=most)]
    running = Running(by_key(condition, "a -> b"), slice_rows=100)
    output = running.feed(rows)
    assert shown(output.matches) == []
    assert failures(output) == [(reason, "p", "b", 2)]
    assert output.errors[0].events["n"].to_pylist() == [most, most]


def test_a_fault_of_many_runs_at_one_event_is_one_row() -> None:
    rows = [*(named("a", n=2**63 - 1) for _ in range(5)), named("b", n=1)]
    output = run(by_key("n + a.n > 0", "a -> b"), rows, slice_rows=100)
    assert failures(output) == [("integer overflow", "p", "b", 1)]


def test_a_column_that_cannot_be_computed_is_counted_with_its_variable() -> None:
    pattern = pattern_of("pattern p match a define a as 1 % n = 0")
    output = run(pattern, [named("a", n=0), named("a", n=1)])
    assert shown(output.matches) == ["a1"]
    assert failures(output) == [("division by zero", "p", "a", 1)]


# -- time -----------------------------------------------------------------------------------------


def test_time_ends_runs_and_completes_absences() -> None:
    running = Running(letters("a -> not b within 5 seconds"))
    running.feed(rows_of("a"))
    assert running.runtime.open_runs == 1
    assert shown(running.done(running.runtime.advance_to(4_999_998)).matches) == []
    output = running.done(running.runtime.advance_to(5_000_000))
    assert shown(output.matches) == ["a0"]
    assert output.matches[0].at_us.tolist() == [5_000_000]
    assert running.runtime.open_runs == 0


def test_runs_that_run_out_of_time_are_reported_where_asked_for() -> None:
    pattern = letters("a -> b", "within 2 seconds on timeout select a.name as who")
    output = run(pattern, rows_of("a c c b a"))
    assert shown(output.matches) == []
    assert shown(output.timeouts) == ["a0", "a4"]
    assert [batch.at_us.tolist() for batch in output.timeouts] == [[2_000_000], [6_000_000]]


# -- growth ---------------------------------------------------------------------------------------

SHAPES = [
    "a ->> b",
    "a+ -> b",
    "a+ combinations -> b",
    "a{2,} -> (b | c)",
    "permute(a, b, c)",
    "a -> (b -> c)+ -> d",
    "a? b* c",
    "a -> not b within 4 seconds",
]
SKIPS = [
    "after match no skip",
    "after match skip to next row",
    "after match skip past last event",
    "after match skip to last a",
]


def found_at(output: Output) -> list[tuple[str, int]]:
    """Each match and when it was found; between two keys the order is open."""
    found = [
        (text, at) for b in output.matches for text, at in zip(shown([b]), b.at_us, strict=True)
    ]
    return sorted(found)


WORDS = "ax bx ay cx ax by dx cy ax bx cx dx ay ay by bx cx cx dx dy ax ax bx cx dx"


@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("match", SHAPES)
def test_tiny_buffers_and_slices_change_nothing(match: str, skip: str) -> None:
    clauses = skip if "not b" in match else f"within 9 seconds {skip}"
    pattern = letters(match, clauses, by="by k")
    roomy = run(pattern, rows_of(WORDS), capacity=4096, slice_rows=100)
    assert len(shown(roomy.matches)) > 0
    for capacity in (1, 2):
        for slice_rows in (1, 7):
            tiny = run(pattern, rows_of(WORDS), capacity=capacity, slice_rows=slice_rows)
            assert found_at(tiny) == found_at(roomy)


# -- memory ---------------------------------------------------------------------------------------


def test_keys_events_and_captures_that_nobody_needs_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cep.engine.state.key_space.KEYS_KEPT_MIN", 64)
    pattern = letters("a -> b", "within 3 seconds", by="by k")
    running = Running(pattern, slice_rows=1000)
    sizes = []
    for batch in range(60):
        keys = [f"a{batch * 100 + i}" for i in range(100)]
        running.feed(rows_of(" ".join(keys)))
        (task,) = running.runtime.tasks
        (space,) = task.spaces.values()
        runs = task.operators[0].shards[0].runs
        sizes.append((len(space.shards[0].codes), len(task.store), len(runs.sequences_from(0))))
        assert running.runtime.open_runs <= 3
    keys_kept, events_kept, nodes_kept = (max(column) for column in zip(*sizes, strict=True))
    assert keys_kept <= 400
    assert events_kept <= 4200
    assert nodes_kept <= 4200
    assert runs.bytes_held <= 500_000


def test_a_run_outlives_that_its_neighbours_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cep.engine.state.key_space.KEYS_KEPT_MIN", 4)
    running = Running(letters("a -> b", by="by k, n"), slice_rows=50)
    running.feed([named("akept", n=-7)])
    for batch in range(40):
        rows = [named(f"{name}{batch}{i}", n=i) for i in range(50) for name in "ab"]
        running.feed(rows)
    output = running.feed([named("bkept", n=-7)])
    assert shown(output.matches) == ["a0 b4001"]
    assert output.matches[0].events["n"].to_pylist() == [-7, -7]


def test_an_empty_batch_is_nothing() -> None:
    running = Running(letters("a b"))
    assert shown(running.done(running.runtime.process(batch_of([], []))).matches) == []
