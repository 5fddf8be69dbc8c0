"""The lists of a key's runs: linked rows of the arena, oldest first event first."""

from __future__ import annotations

from cep.engine.kernels.jit import inlined
from cep.engine.kernels.layout import (
    ENDED,
    FOUND,
    FREE_RUN,
    FREE_RUNS,
    FREE_WAITINGS,
    KEY_HEAD,
    KEY_RUNS,
    KEY_TAIL,
    KEY_WAITINGS,
    NODES,
    RUN_NEXT,
    RUN_STATE,
    TIMED_OUT,
    TIMERS,
    Arena,
    Int64s,
)


@inlined
def new_run(arena: Arena) -> int:
    run: int = arena.counters[FREE_RUN]
    arena.counters[FREE_RUN] = arena.runs[run, RUN_NEXT]
    arena.counters[FREE_RUNS] -= 1
    return run


@inlined
def free_run(arena: Arena, run: int) -> None:
    arena.runs[run, RUN_NEXT] = arena.counters[FREE_RUN]
    arena.counters[FREE_RUN] = run
    arena.counters[FREE_RUNS] += 1


@inlined
def append_run(arena: Arena, keys: Int64s, key: int, run: int) -> None:
    arena.runs[run, RUN_NEXT] = -1
    if keys[key, KEY_TAIL] < 0:
        keys[key, KEY_HEAD] = run
    else:
        arena.runs[keys[key, KEY_TAIL], RUN_NEXT] = run
    keys[key, KEY_TAIL] = run
    keys[key, KEY_RUNS] += 1


@inlined
def drop_first_run(arena: Arena, keys: Int64s, key: int) -> None:
    run = keys[key, KEY_HEAD]
    keys[key, KEY_HEAD] = arena.runs[run, RUN_NEXT]
    if keys[key, KEY_HEAD] < 0:
        keys[key, KEY_TAIL] = -1
    keys[key, KEY_RUNS] -= 1
    free_run(arena, run)


@inlined
def first_open_run(arena: Arena, keys: Int64s, key: int) -> int:
    run: int = keys[key, KEY_HEAD]
    while run >= 0 and arena.runs[run, RUN_STATE] < 0:
        run = arena.runs[run, RUN_NEXT]
    return run


# The matches of a key that wait stand in a binary heap by first event; which of two that begin at
# the same event comes first follows from the textbook moves below, as the conformance cases show.


@inlined
def has_room(arena: Arena, keys: Int64s, key: int, made: int) -> bool:
    """Whether all that this key's runs can come to fits, with so many new ones."""
    done = made + keys[key, KEY_RUNS] + keys[key, KEY_WAITINGS]
    counters = arena.counters
    fits: bool = (
        counters[FREE_RUNS] >= made
        and arena.nodes.shape[0] - counters[NODES] >= made
        and counters[FREE_WAITINGS] >= made + keys[key, KEY_RUNS]
        and arena.heap.shape[0] >= done
        and arena.found.shape[0] - counters[FOUND] >= done
        and arena.timed_out.shape[0] - counters[TIMED_OUT] >= keys[key, KEY_RUNS]
        and arena.ended.shape[0] - counters[ENDED] >= 2 * done
        and arena.timers.shape[0] > counters[TIMERS]
    )
    return fits
