"""Wake-up times of keys: a binary heap of (time, key) rows, earliest first (Williams, 1964).

A key has at most one entry that counts, the one whose time is in KEY_TIMER. An entry may be early,
since what it was made for may have ended before; then the key is looked at for nothing and gets
its next time. An entry whose time is not in KEY_TIMER means nothing.
"""

from __future__ import annotations

from cep.engine.kernels.jit import helper
from cep.engine.kernels.layout import (
    KEY_TIMER,
    NEVER,
    TIMER_DUE_US,
    TIMER_KEY,
    TIMERS,
    ZERO,
    Arena,
    Int64s,
)


@helper
def add_timer(arena: Arena, keys: Int64s, key: int, due_us: int) -> None:
    """Wake the key at this time, which is earlier than what was said of it before."""
    timers = arena.timers
    at = arena.counters[TIMERS]
    arena.counters[TIMERS] = at + 1
    while at > 0 and due_us < timers[(at - 1) >> 1, TIMER_DUE_US]:
        timers[at, TIMER_DUE_US] = timers[(at - 1) >> 1, TIMER_DUE_US]
        timers[at, TIMER_KEY] = timers[(at - 1) >> 1, TIMER_KEY]
        at = (at - 1) >> 1
    timers[at, TIMER_DUE_US] = due_us
    timers[at, TIMER_KEY] = key
    keys[key, KEY_TIMER] = due_us


@helper
def drop_first_timer(arena: Arena, keys: Int64s) -> None:
    timers = arena.timers
    if keys[timers[0, TIMER_KEY], KEY_TIMER] == timers[0, TIMER_DUE_US]:
        keys[timers[0, TIMER_KEY], KEY_TIMER] = NEVER
    last = arena.counters[TIMERS] - 1
    arena.counters[TIMERS] = last
    timers[0, TIMER_DUE_US] = timers[last, TIMER_DUE_US]
    timers[0, TIMER_KEY] = timers[last, TIMER_KEY]
    sink_timer(timers, ZERO, last)


@helper
def sink_timer(timers: Int64s, at: int, size: int) -> None:
    due_us = timers[at, TIMER_DUE_US]
    key = timers[at, TIMER_KEY]
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and timers[child + 1, TIMER_DUE_US] < timers[child, TIMER_DUE_US]:
            child += 1
        if due_us <= timers[child, TIMER_DUE_US]:
            break
        timers[at, TIMER_DUE_US] = timers[child, TIMER_DUE_US]
        timers[at, TIMER_KEY] = timers[child, TIMER_KEY]
        at = child
    timers[at, TIMER_DUE_US] = due_us
    timers[at, TIMER_KEY] = key
