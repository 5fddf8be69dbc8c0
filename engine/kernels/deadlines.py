"""Event time in, the runs whose time is up ended in the order of their deadlines.

Time is reached for one key when its next event comes, for all keys where memory is needed, and for
the keys that wait for it when a watermark comes (see `timers`).
"""

from __future__ import annotations

from cep.engine.kernels.jit import helper, inlined, kernel
from cep.engine.kernels.layout import (
    BLOCKED,
    CLOSING,
    DONE,
    DROPPED,
    HAS_WINDOWS,
    KEEP_TIMEOUTS,
    KEY_HEAD,
    KEY_IN_HAND,
    KEY_RUNS,
    KEY_TAIL,
    KEY_TIMER,
    KEY_WAITING,
    NEVER,
    NO_EVENT,
    OUT_AT_US,
    OUT_KEY,
    OUT_NODE,
    OUT_SEQUENCE,
    RUN_NEXT,
    RUN_NODE,
    RUN_PREVIOUS_US,
    RUN_START,
    RUN_START_US,
    RUN_STATE,
    STATE_PENDING,
    STATE_WINDOW_US,
    TELLS_TIME,
    TIME_UP,
    TIMED_OUT,
    TIMER_DUE_US,
    TIMER_KEY,
    TIMERS,
    WITHIN_US,
    ZERO,
    Arena,
    Automaton,
    Int64s,
)
from cep.engine.kernels.lists import append_run, drop_first_run, free_run, has_room
from cep.engine.kernels.timers import add_timer, drop_first_timer
from cep.engine.kernels.tracing import trace_run
from cep.engine.kernels.waiting import complete, release


@inlined
def deadline(automaton: Automaton, arena: Arena, run: int) -> int:
    """The event time at which the run dies, or, pending, becomes a match."""
    result = NEVER
    within_us = automaton.settings[WITHIN_US]
    if within_us > 0:
        result = arena.runs[run, RUN_START_US] + within_us
    state = arena.runs[run, RUN_STATE]
    window_us = automaton.states[max(state, DROPPED - state), STATE_WINDOW_US]
    if window_us > 0:
        result = min(result, arena.runs[run, RUN_PREVIOUS_US] + window_us)
    return result


@inlined
def first_deadline(automaton: Automaton, arena: Arena, keys: Int64s, key: int) -> int:
    """The earliest deadline among a key's runs. O(1) where only `within` bounds them."""
    run = keys[key, KEY_HEAD]
    result = NEVER
    while run >= 0:
        result = min(result, deadline(automaton, arena, run))
        if not automaton.settings[HAS_WINDOWS]:
            return result
        run = arena.runs[run, RUN_NEXT]
    return result


@helper
def time_out(arena: Arena, node: int, at_us: int, since: int) -> None:
    at = arena.counters[TIMED_OUT]
    before = at - 1
    while before >= since and arena.timed_out[before, OUT_AT_US] == at_us:
        if arena.timed_out[before, OUT_NODE] == node:
            return  # another run of the same captures has said so
        before -= 1
    arena.timed_out[at, OUT_NODE] = node
    arena.timed_out[at, OUT_AT_US] = at_us
    arena.timed_out[at, OUT_SEQUENCE] = NO_EVENT
    arena.timed_out[at, OUT_KEY] = arena.counters[KEY_IN_HAND]
    arena.counters[TIMED_OUT] = at + 1


@helper
def expire_key(automaton: Automaton, arena: Arena, keys: Int64s, key: int, now_us: int) -> None:
    """End the key's runs whose time is up by now, in the order of their deadlines."""
    arena.counters[KEY_IN_HAND] = key
    since = arena.counters[TIMED_OUT]
    due = first_deadline(automaton, arena, keys, key)
    while due <= now_us and due != NEVER:
        if automaton.settings[HAS_WINDOWS]:
            end_due_runs(automaton, arena, keys, key, due, since)
        else:
            end_first_runs(automaton, arena, keys, key, due, since)
        if arena.counters[DONE] > 0 or keys[key, KEY_WAITING] >= 0:
            release(automaton, arena, keys, key, due, NO_EVENT, NO_EVENT)
        due = first_deadline(automaton, arena, keys, key)


@inlined
def end_first_runs(
    automaton: Automaton, arena: Arena, keys: Int64s, key: int, due: int, since: int
) -> None:
    """Only `within` bounds the runs: the first to begin are the first to end."""
    while keys[key, KEY_HEAD] >= 0 and deadline(automaton, arena, keys[key, KEY_HEAD]) == due:
        end_run(automaton, arena, keys[key, KEY_HEAD], due, since)
        drop_first_run(arena, keys, key)


@helper
def end_due_runs(
    automaton: Automaton, arena: Arena, keys: Int64s, key: int, due: int, since: int
) -> None:
    run = keys[key, KEY_HEAD]
    keys[key, KEY_HEAD] = -1
    keys[key, KEY_TAIL] = -1
    keys[key, KEY_RUNS] = 0
    while run >= 0:
        following = arena.runs[run, RUN_NEXT]
        if deadline(automaton, arena, run) == due:
            end_run(automaton, arena, run, due, since)
            free_run(arena, run)
        else:
            append_run(arena, keys, key, run)
        run = following


@inlined
def end_run(automaton: Automaton, arena: Arena, run: int, at_us: int, since: int) -> None:
    """`since`: the first row of `timed_out` that may tell of the same key and time."""
    node = arena.runs[run, RUN_NODE]
    state = arena.runs[run, RUN_STATE]
    if automaton.states[max(state, DROPPED - state), STATE_PENDING]:
        if state < 0:
            return
        complete(automaton, arena, node, arena.runs[run, RUN_START], at_us, NEVER)
    else:
        trace_run(arena, run, at_us, NO_EVENT, TIME_UP)
        if automaton.settings[KEEP_TIMEOUTS]:
            time_out(arena, node, at_us, since)


# ---------------------------------------------------------------------- all keys, and those due


@kernel
def expire(
    automaton: Automaton, arena: Arena, keys: Int64s, begin: int, now_us: int, closing_us: int
) -> int:
    """Time reaches now_us for keys begin..; the first key not reached, for lack of room.

    `closing_us` >= 0: no event will come any more, so completed matches wait for nothing; they are
    reported as found at this time.
    """
    size: int = keys.shape[0]
    for key in range(begin, size):
        if keys[key, KEY_HEAD] < 0 and keys[key, KEY_WAITING] < 0:
            continue
        if not has_room(arena, keys, key, ZERO):
            return key
        if first_deadline(automaton, arena, keys, key) <= now_us:
            expire_key(automaton, arena, keys, key, now_us)
        if closing_us >= 0:
            release(automaton, arena, keys, key, closing_us, CLOSING, NO_EVENT)
    return size


@inlined
def schedule(automaton: Automaton, arena: Arena, keys: Int64s, key: int) -> None:
    """See that the key is woken at its first deadline, where that can show."""
    if automaton.settings[TELLS_TIME] or keys[key, KEY_WAITING] >= 0:
        schedule_first(automaton, arena, keys, key)


@helper
def schedule_first(automaton: Automaton, arena: Arena, keys: Int64s, key: int) -> None:
    due_us = first_deadline(automaton, arena, keys, key)
    if due_us < keys[key, KEY_TIMER]:
        add_timer(arena, keys, key, due_us)


@helper
def reach(automaton: Automaton, arena: Arena, keys: Int64s, now_us: int) -> int:
    """Time reaches now_us for the keys that wait for it; the first that lacks room, or -1."""
    timers = arena.timers
    while arena.counters[TIMERS] > 0 and timers[0, TIMER_DUE_US] <= now_us:
        key: int = timers[0, TIMER_KEY]
        counts = keys[key, KEY_TIMER] == timers[0, TIMER_DUE_US]
        if counts and not has_room(arena, keys, key, ZERO):
            arena.counters[BLOCKED] = key
            return key
        drop_first_timer(arena, keys)
        if counts:
            expire_key(automaton, arena, keys, key, now_us)
            schedule(automaton, arena, keys, key)
    return NO_EVENT


@kernel
def wake(automaton: Automaton, arena: Arena, keys: Int64s, now_us: int) -> int:
    """`reach`. O(log keys) per key that is due, O(1) where none is."""
    return reach(automaton, arena, keys, now_us)


@kernel
def schedule_all(automaton: Automaton, arena: Arena, keys: Int64s) -> None:
    """The timers of all keys anew; there is room for as many as there are keys."""
    arena.counters[TIMERS] = 0
    for key in range(keys.shape[0]):
        keys[key, KEY_TIMER] = NEVER
        schedule(automaton, arena, keys, key)
