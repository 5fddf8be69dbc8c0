"""Runs that end without a match in, rows that say where and by what out, where that is asked."""

from __future__ import annotations

from cep.engine.kernels.jit import inlined, kernel
from cep.engine.kernels.layout import (
    END_REASON,
    END_STATE,
    ENDED,
    FINAL,
    KEY_HEAD,
    KEY_IN_HAND,
    NO_EVENT,
    OPEN,
    OUT_AT_US,
    OUT_KEY,
    OUT_NODE,
    OUT_SEQUENCE,
    RUN_NEXT,
    RUN_NODE,
    RUN_STATE,
    Arena,
    Int64s,
)


@inlined
def trace(arena: Arena, node: int, state: int, at_us: int, sequence: int, reason: int) -> None:
    """`sequence`: of the event that ended it, -1 where time alone did."""
    at = arena.counters[ENDED]
    if at < 0:
        return
    arena.ended[at, OUT_NODE] = node
    arena.ended[at, OUT_AT_US] = at_us
    arena.ended[at, OUT_SEQUENCE] = sequence
    arena.ended[at, OUT_KEY] = arena.counters[KEY_IN_HAND]
    arena.ended[at, END_STATE] = state
    arena.ended[at, END_REASON] = reason
    arena.counters[ENDED] = at + 1


@inlined
def trace_run(arena: Arena, run: int, at_us: int, sequence: int, reason: int) -> None:
    """One that a match has dropped was traced then."""
    if arena.runs[run, RUN_STATE] > FINAL:
        trace(arena, arena.runs[run, RUN_NODE], arena.runs[run, RUN_STATE], at_us, sequence, reason)


@kernel
def trace_open(arena: Arena, keys: Int64s, at_us: int) -> None:
    """The runs that are open when the stream ends at this time; there is room for all of them."""
    for key in range(keys.shape[0]):
        arena.counters[KEY_IN_HAND] = key
        run = keys[key, KEY_HEAD]
        while run >= 0:
            trace_run(arena, run, at_us, NO_EVENT, OPEN)
            run = arena.runs[run, RUN_NEXT]
