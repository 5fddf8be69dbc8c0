"""What patterns in one pass share, and what each of them keeps for itself."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

import cep
from cep.engine.algebra.expression import Binary, DataType, Expression, Field, Literal
from cep.engine.batch import Int64s
from cep.engine.columns.evaluator import ColumnEvaluator
from cep.engine.state.key_slots import KeySlots
from cep.rules import check
from tests.unit.engine.runtime_tools import Running, letters, named

TWO_STREAMS = """
stream s (ts timestamp, k text, v text) time ts;
stream t (ts timestamp, k text, v text) time ts;
pattern p from s, t by k match a -> b within 1 hour
  define a as s where cast(v as integer) > 1, b as t where v = 'x';
"""
HELD_BACK = """
stream s (ts timestamp, name text) time ts;
pattern p from s match a -> b{2} | c -> d after match skip past last event
  define a as name = 'a', b as name = 'b', c as name = 'c', d as name = 'd';
"""


def rows(names: str, start: int = 0) -> list[dict[str, object]]:
    return [{"ts": (start + i) * 1_000_000, "name": name} for i, name in enumerate(names)]


def test_a_condition_fails_only_on_events_of_its_own_stream() -> None:
    event = {"k": "key", "v": "bad"}
    result = cep.compile(TWO_STREAMS).run({"s": [{"ts": 1, **event}], "t": [{"ts": 2, **event}]})
    assert result.errors.counts() == {("cannot cast 'bad' to int", "p", "a"): 1}


def test_matches_behind_a_run_that_never_ends_are_counted_in_a_note() -> None:
    result = check(HELD_BACK).run(rows("acdcdcd"))
    assert len(result.matches) == 0
    assert result.notes == [
        "pattern p: 3 matches are held back by runs that began earlier and never end; add `within`"
    ]


def test_one_match_held_back_is_said_in_the_singular() -> None:
    (note,) = check(HELD_BACK).run(rows("acd")).notes
    assert note.startswith("pattern p: 1 match is held back by runs")


def test_nothing_is_held_back_where_runs_end_in_time() -> None:
    bounded = HELD_BACK.replace(" after match", " within 1 hour after match")
    result = check(bounded).run(rows("acdcdcd"))
    assert len(result.matches) == 3
    assert result.notes == []


def test_patterns_share_the_table_of_the_events_that_they_matched() -> None:
    running = Running(letters("a -> b"), letters("a -> c"), slice_rows=8)
    output = running.feed([named(name) for name in "abxc"])
    first, second = output.matches
    assert first.events is second.events
    assert first.events.column("name").to_pylist() == ["a", "b", "c"]
    assert first.row.tolist() == [0, 1]
    assert second.row.tolist() == [0, 2]


def test_only_keys_in_which_a_run_began_have_a_row() -> None:
    running = Running(letters("a -> b", by="by k"))
    running.feed([named("b" + key) for key in "stuv"] + [named("aw")])
    assert running.runtime.operators[0].shards[0].family.active_keys().tolist() == [4]


def codes(*values: int) -> Int64s:
    return np.array(values, np.int64)


def test_a_key_that_is_wanted_twice_gets_one_slot() -> None:
    slots = KeySlots()
    slots.add(codes(5))
    wanted = np.array([True, False, True, True, False])
    given, fresh = slots.ask(codes(7, 3, 7, 8, 5), wanted)
    assert given.tolist() == [1, -1, 1, 2, 0]
    assert fresh.tolist() == [7, 8]
    assert slots_of(slots, 7, 8) == [-1, -1]
    slots.add(fresh)
    assert slots_of(slots, 7, 3, 8) == [1, -1, 2]


def slots_of(slots: KeySlots, *values: int) -> list[int]:
    found: list[int] = slots.ask(codes(*values), np.zeros(len(values), np.bool_))[0].tolist()
    return found


def test_kept_keys_move_down_and_the_others_lose_their_slot() -> None:
    slots = KeySlots()
    slots.add(codes(4, 9, 2))
    slots.keep(codes(0, 2))
    assert slots_of(slots, 4, 9, 2) == [0, -1, 1]
    slots.renumber(codes(2, 4))
    assert slots.codes.tolist() == [1, 0]
    assert slots_of(slots, 0, 1) == [1, 0]


def over(limit: int) -> Expression:
    field, literal = Field("n", type=DataType.INTEGER), Literal(limit, type=DataType.INTEGER)
    return Binary(">", field, literal, type=DataType.BOOLEAN)


def test_an_evaluator_forgets_what_nobody_else_asks_for() -> None:
    evaluator = ColumnEvaluator(pa.table({"n": [1, 5]}))
    kept, dropped = evaluator.true_rows(over(2)), evaluator.true_rows(over(3))
    evaluator.forget({over(2)})
    assert evaluator.true_rows(over(2)) is kept
    assert evaluator.true_rows(over(3)) is not dropped
    assert evaluator.errors == []
