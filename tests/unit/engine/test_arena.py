"""Runs, captures and waiting matches in tiny buffers, checked after each step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cep.engine.kernels import layout
from cep.engine.state.arena import RunArena
from tests.unit.engine.arena_check import check_arena
from tests.unit.engine.runtime_tools import Running, letters, named, shown, tables_of

TABLES = tables_of(letters("a -> b"))
B, A = 1, 2  # the automaton is built from its end: condition 0 is that of b
STARTS = int(TABLES.automaton.settings[layout.START_ANY])


def fed(arena: RunArena, masks: list[int], key: int = 0, start: int = 0) -> None:
    """One event per mask, a second apart; bit i of a mask is condition i."""
    rows = np.zeros((len(masks), layout.EVENT_FIELDS), np.int64)
    rows[:, layout.EVENT_SEQUENCE] = np.arange(start, start + len(masks))
    rows[:, layout.EVENT_TIME_US] = rows[:, layout.EVENT_SEQUENCE] * 1_000_000
    rows[:, layout.EVENT_KEY] = key
    rows[:, layout.EVENT_MASK] = masks
    inputs = np.zeros((len(masks), 0), np.int64)
    codes, begins = rows[:, layout.EVENT_KEY].copy(), np.array(masks) & STARTS != 0
    rows[:, layout.EVENT_KEY] = arena.slots_of(codes, begins, start * 1_000_000)
    rows = np.ascontiguousarray(rows[rows[:, layout.EVENT_KEY] >= 0])
    arena.process(layout.Events(rows, inputs, inputs.view(np.float64), np.empty(0, np.int64)))


@pytest.mark.parametrize("capacity", [1, 2])
def test_buffers_grow_as_runs_come(capacity: int) -> None:
    arena = RunArena(TABLES, capacity)
    for start in range(20):
        fed(arena, [A], start=start)
        check_arena(arena, states=2, variables=2)
        assert arena.open_runs == start + 1
    fed(arena, [B], start=20)
    found = arena.take_found()
    assert found.offsets.tolist() == list(range(0, 42, 2))
    assert found.sequence[:4].tolist() == [0, 20, 1, 20]
    assert arena.open_runs == 0
    check_arena(arena, states=2, variables=2)


def test_captures_are_shared_and_forgotten_when_no_run_holds_them() -> None:
    arena = RunArena(TABLES, 1)
    fed(arena, [A, A, B])
    assert arena.node_count == 4
    assert arena.take_found().sequence.tolist() == [0, 2, 1, 2]
    fed(arena, [A], start=3)
    arena.tidy(3_000_000)
    assert arena.node_count == 1
    assert arena.sequences_from(0).tolist() == [3]
    check_arena(arena, states=2, variables=2)


def test_keys_can_be_renumbered_and_forgotten() -> None:
    arena = RunArena(TABLES, 1)
    fed(arena, [A], key=5)
    assert arena.active_keys().tolist() == [5]
    arena.keep_keys(np.array([3, 5]))
    assert arena.active_keys().tolist() == [1]
    fed(arena, [B], key=0, start=1)
    assert arena.open_runs == 1
    fed(arena, [B], key=1, start=2)
    assert arena.take_found().sequence.tolist() == [0, 2]


@pytest.mark.parametrize("match", ["a -> b", "a+ -> b", "a ->> b -> c", "permute(a, b, c)"])
@given(
    words=st.lists(st.sampled_from(["ax", "bx", "cx", "ay", "by", "cy"]), max_size=14),
    capacity=st.sampled_from([1, 2]),
    skip=st.sampled_from(["no skip", "skip past last event", "skip to next row"]),
)
def test_the_arena_is_whole_after_every_event(
    match: str, words: list[str], capacity: int, skip: str
) -> None:
    pattern = letters(match, f"within 6 seconds after match {skip}", by="by k")
    running = Running(pattern, capacity=capacity, slice_rows=1)
    for word in words:
        running.feed([named(word)])
    running.finish()
    assert running.runtime.open_runs == 0
    assert len(shown(running.output.matches)) == sum(map(len, running.output.matches))
