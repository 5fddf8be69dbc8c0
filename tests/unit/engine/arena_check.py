"""What must hold between any two steps of a pattern's runs."""

from __future__ import annotations

from cep.engine.kernels import layout
from cep.engine.operators.match import MatchOperator
from cep.engine.state.arena import RunArena


def check(operator: MatchOperator) -> None:
    """Assert the invariants of the operator's runs, captures and waiting matches."""
    for shard in operator.shards:
        if isinstance(shard.runs, RunArena):
            check_arena(shard.runs, len(operator.tables.flat.states), len(operator.variables))


def check_arena(runs: RunArena, states: int, variables: int) -> None:
    _check_runs(runs, states)
    _check_waiting(runs)
    _check_nodes(runs, variables)
    _check_timers(runs)
    assert runs.arena.counters[layout.DONE] == 0
    assert runs.arena.counters[layout.FOUND] <= len(runs.arena.found)
    assert runs.arena.counters[layout.TIMED_OUT] <= len(runs.arena.timed_out)


def _linked(table: layout.Int64s, head: int, link: int) -> list[int]:
    """The rows of a list from its head on; it must end."""
    rows: list[int] = []
    at = head
    while at >= 0:
        rows.append(int(at))
        assert len(rows) <= len(table), "a list that has no end"
        at = int(table[at, link])
    return rows


def _check_runs(runs: RunArena, states: int) -> None:
    """Free rows and the keys' lists share out all rows but that of the virtual run."""
    arena, counters = runs.arena, runs.arena.counters
    rows = _linked(arena.runs, int(counters[layout.FREE_RUN]), layout.RUN_NEXT)
    assert len(rows) == counters[layout.FREE_RUNS]
    for key in runs.keys:
        own = _linked(arena.runs, int(key[layout.KEY_HEAD]), layout.RUN_NEXT)
        assert len(own) == key[layout.KEY_RUNS]
        assert (own or [-1])[-1] == key[layout.KEY_TAIL]
        starts = [int(arena.runs[run, layout.RUN_START]) for run in own]
        assert starts == sorted(starts), "runs are in the order of their first events"
        for run in own:
            _check_run(runs, run, states)
        rows += own
    assert sorted(rows) == list(range(layout.START_RUN + 1, len(arena.runs)))


def _check_run(runs: RunArena, run: int, states: int) -> None:
    row = runs.arena.runs[run]
    state = int(row[layout.RUN_STATE])
    assert 0 < max(state, layout.DROPPED - state) < states, "a run rests in a state, not the start"
    assert 0 <= row[layout.RUN_NODE] < runs.node_count
    assert row[layout.RUN_START_US] <= row[layout.RUN_PREVIOUS_US]


def _check_waiting(runs: RunArena) -> None:
    arena, counters = runs.arena, runs.arena.counters
    rows = _linked(arena.waiting, int(counters[layout.FREE_WAITING]), layout.WAITING_NEXT)
    assert len(rows) == counters[layout.FREE_WAITINGS]
    for key in runs.keys:
        own = _linked(arena.waiting, int(key[layout.KEY_WAITING]), layout.WAITING_NEXT)
        assert len(own) == key[layout.KEY_WAITINGS]
        assert all(0 <= arena.waiting[w, layout.WAITING_NODE] < runs.node_count for w in own)
        rows += own
    assert sorted(rows) == list(range(len(arena.waiting)))


def _check_nodes(runs: RunArena, variables: int) -> None:
    """A node comes after its parent, and so does its event."""
    arena = runs.arena
    assert runs.node_count <= len(arena.nodes) <= len(arena.registers)
    for node in range(runs.node_count):
        row = arena.nodes[node]
        parent = int(row[layout.NODE_PARENT])
        assert -1 <= parent < node
        assert 0 <= row[layout.NODE_VARIABLE] < variables
        if parent >= 0:
            assert arena.nodes[parent, layout.NODE_SEQUENCE] < row[layout.NODE_SEQUENCE]


def _check_timers(runs: RunArena) -> None:
    """A key for which time tells something has an entry that is not later than its deadline."""
    arena, count = runs.arena, int(runs.arena.counters[layout.TIMERS])
    timers = [(int(due), int(key)) for due, key in arena.timers[:count]]
    assert all(timers[(i - 1) // 2][0] <= timers[i][0] for i in range(1, count))
    tells = runs._automaton.settings[layout.TELLS_TIME]
    for slot, key in enumerate(runs.keys):
        own = _linked(arena.runs, int(key[layout.KEY_HEAD]), layout.RUN_NEXT)
        timer = int(key[layout.KEY_TIMER])
        assert timer == layout.NEVER or (timer, slot) in timers
        if own and (tells or key[layout.KEY_WAITING] >= 0):
            assert timer <= min(_deadline(runs, run) for run in own)


def _deadline(runs: RunArena, run: int) -> int:
    row, automaton = runs.arena.runs[run], runs._automaton
    state = int(row[layout.RUN_STATE])
    window = int(automaton.states[max(state, layout.DROPPED - state), layout.STATE_WINDOW_US])
    within = int(automaton.settings[layout.WITHIN_US])
    bounds = [int(layout.NEVER)]
    bounds += [int(row[layout.RUN_START_US]) + within] if within else []
    bounds += [int(row[layout.RUN_PREVIOUS_US]) + window] if window else []
    return min(bounds)
