"""Completed matches: out at once, or waiting for earlier runs, and what each of them skips."""

from __future__ import annotations

from cep.engine.kernels.jit import helper, inlined
from cep.engine.kernels.layout import (
    CLOSING,
    DONE,
    DROPPED,
    FAULT_SKIP_TARGET,
    FINAL,
    FOUND,
    FREE_WAITING,
    FREE_WAITINGS,
    KEEP_TIMEOUTS,
    KEY_HEAD,
    KEY_IN_HAND,
    KEY_WAITING,
    KEY_WAITINGS,
    LONGEST,
    MATCH_NODE,
    MATCH_START,
    NEVER,
    NO_EVENT,
    NO_SKIP,
    NODE_COMPLETED,
    NODE_PARENT,
    NODE_SEQUENCE,
    NODE_VARIABLE,
    OUT_AT_US,
    OUT_KEY,
    OUT_NODE,
    OUT_SEQUENCE,
    PAST_LAST_EVENT,
    RUN_NEXT,
    RUN_START,
    RUN_STATE,
    SKIP,
    SKIP_VARIABLE,
    SKIPPED,
    TO_LAST,
    TO_NEXT_ROW,
    WAITING_NEXT,
    WAITING_NODE,
    WAITING_START,
    ZERO,
    Arena,
    Automaton,
    Int64s,
)
from cep.engine.kernels.lists import drop_first_run, first_open_run
from cep.engine.kernels.machine import add_fault
from cep.engine.kernels.tracing import trace, trace_run


@inlined
def emit(arena: Arena, node: int, at_us: int, sequence: int) -> None:
    at = arena.counters[FOUND]
    arena.found[at, OUT_NODE] = node
    arena.found[at, OUT_AT_US] = at_us
    arena.found[at, OUT_SEQUENCE] = sequence
    arena.found[at, OUT_KEY] = arena.counters[KEY_IN_HAND]
    arena.counters[FOUND] = at + 1


@inlined
def complete(
    automaton: Automaton, arena: Arena, node: int, start: int, at_us: int, sequence: int
) -> None:
    """A run is a match, at the event of this sequence: out at once, or noted for `release`.

    `sequence` NEVER: time alone made it one.
    """
    if arena.nodes[node, NODE_COMPLETED] == sequence:
        return
    arena.nodes[node, NODE_COMPLETED] = sequence
    settings = automaton.settings
    if settings[SKIP] == NO_SKIP and settings[LONGEST] == 0:
        emit(arena, node, at_us, NO_EVENT if sequence == NEVER else sequence)
        return
    at = arena.counters[DONE]
    arena.done[at, MATCH_NODE] = node
    arena.done[at, MATCH_START] = start
    arena.counters[DONE] = at + 1


@helper
def release(
    automaton: Automaton,
    arena: Arena,
    keys: Int64s,
    key: int,
    at_us: int,
    event: int,
    sequence: int,
) -> None:
    """Report the completed matches that no earlier open run can overtake, and skip after each.

    `event` may be NO_EVENT, or CLOSING: no event will come, so a longest match is known.
    `sequence`: of the event, else NO_EVENT.
    """
    if arena.counters[DONE] == 0 and keys[key, KEY_WAITING] < 0:
        return
    arena.counters[KEY_IN_HAND] = key
    longest = automaton.settings[LONGEST] != 0
    size = load_waiting(arena, keys, key)
    for i in range(arena.counters[DONE]):
        size = push_waiting(
            arena, arena.done[i, MATCH_NODE], arena.done[i, MATCH_START], size, longest
        )
    arena.counters[DONE] = 0
    while size > 0:
        start = arena.heap[0, MATCH_START]
        first = first_open_run(arena, keys, key)
        if first >= 0 and not (event == CLOSING and longest):
            earliest = arena.runs[first, RUN_START]
            if earliest < start or (longest and earliest == start):
                break
        node = arena.heap[0, MATCH_NODE]
        size = pop_waiting(arena, size)
        emit(arena, node, at_us, sequence)
        limit = skip_limit(automaton, arena, node, start, event)
        size = prune_waiting(arena, limit, size, at_us, sequence)
        skip_runs(automaton, arena, keys, key, limit, event, at_us, sequence)
    store_waiting(arena, keys, key, size)


@helper
def load_waiting(arena: Arena, keys: Int64s, key: int) -> int:
    """The key's waiting matches into the heap arrays; how many they are."""
    size = 0
    waiting = keys[key, KEY_WAITING]
    while waiting >= 0:
        arena.heap[size, MATCH_NODE] = arena.waiting[waiting, WAITING_NODE]
        arena.heap[size, MATCH_START] = arena.waiting[waiting, WAITING_START]
        size += 1
        following = arena.waiting[waiting, WAITING_NEXT]
        arena.waiting[waiting, WAITING_NEXT] = arena.counters[FREE_WAITING]
        arena.counters[FREE_WAITING] = waiting
        arena.counters[FREE_WAITINGS] += 1
        waiting = following
    keys[key, KEY_WAITING] = -1
    keys[key, KEY_WAITINGS] = 0
    return size


@helper
def store_waiting(arena: Arena, keys: Int64s, key: int, size: int) -> None:
    for i in range(size - 1, -1, -1):
        waiting = arena.counters[FREE_WAITING]
        arena.counters[FREE_WAITING] = arena.waiting[waiting, WAITING_NEXT]
        arena.counters[FREE_WAITINGS] -= 1
        arena.waiting[waiting, WAITING_NODE] = arena.heap[i, MATCH_NODE]
        arena.waiting[waiting, WAITING_START] = arena.heap[i, MATCH_START]
        arena.waiting[waiting, WAITING_NEXT] = keys[key, KEY_WAITING]
        keys[key, KEY_WAITING] = waiting
    keys[key, KEY_WAITINGS] = size


@helper
def push_waiting(arena: Arena, node: int, start: int, size: int, longest: bool) -> int:
    """Add a match; where only the longest counts it takes the place of one with the same start."""
    if longest:
        for i in range(size):
            if arena.heap[i, MATCH_START] == start:
                arena.heap[i, MATCH_NODE] = node
                return size
    at = size
    while at > 0 and start < arena.heap[(at - 1) >> 1, MATCH_START]:
        arena.heap[at, MATCH_NODE] = arena.heap[(at - 1) >> 1, MATCH_NODE]
        arena.heap[at, MATCH_START] = arena.heap[(at - 1) >> 1, MATCH_START]
        at = (at - 1) >> 1
    arena.heap[at, MATCH_NODE] = node
    arena.heap[at, MATCH_START] = start
    return size + 1


@helper
def pop_waiting(arena: Arena, size: int) -> int:
    """Remove the first: the last takes its place and sinks."""
    arena.heap[0, MATCH_NODE] = arena.heap[size - 1, MATCH_NODE]
    arena.heap[0, MATCH_START] = arena.heap[size - 1, MATCH_START]
    sink_waiting(arena, ZERO, size - 1)
    return size - 1


@helper
def sink_waiting(arena: Arena, at: int, size: int) -> None:
    node = arena.heap[at, MATCH_NODE]
    start = arena.heap[at, MATCH_START]
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and arena.heap[child + 1, MATCH_START] < arena.heap[child, MATCH_START]:
            child += 1
        if start <= arena.heap[child, MATCH_START]:
            break
        arena.heap[at, MATCH_NODE] = arena.heap[child, MATCH_NODE]
        arena.heap[at, MATCH_START] = arena.heap[child, MATCH_START]
        at = child
    arena.heap[at, MATCH_NODE] = node
    arena.heap[at, MATCH_START] = start


@helper
def prune_waiting(arena: Arena, limit: int, size: int, at_us: int, sequence: int) -> int:
    kept = ZERO
    for i in range(size):
        if arena.heap[i, MATCH_START] <= limit:
            trace(arena, arena.heap[i, MATCH_NODE], FINAL, at_us, sequence, SKIPPED)
        else:
            arena.heap[kept, MATCH_NODE] = arena.heap[i, MATCH_NODE]
            arena.heap[kept, MATCH_START] = arena.heap[i, MATCH_START]
            kept += 1
    if kept < size:
        for at in range((kept >> 1) - 1, -1, -1):
            sink_waiting(arena, at, kept)
    return kept


@helper
def skip_limit(automaton: Automaton, arena: Arena, node: int, start: int, event: int) -> int:
    """Runs that began at or before this sequence are dropped after a match; -1: none are."""
    strategy = automaton.settings[SKIP]
    if strategy == NO_SKIP:
        return -1
    if strategy == TO_NEXT_ROW:
        return start
    if strategy == PAST_LAST_EVENT:
        limit: int = arena.nodes[node, NODE_SEQUENCE]
        return limit
    resume = -1  # sequence of the event at which matching resumes
    while node >= 0:
        if arena.nodes[node, NODE_VARIABLE] == automaton.settings[SKIP_VARIABLE]:
            resume = arena.nodes[node, NODE_SEQUENCE]
            if strategy == TO_LAST:
                break
        node = arena.nodes[node, NODE_PARENT]
    if resume < 0:
        add_fault(arena, event, ZERO, FAULT_SKIP_TARGET)
        return -1
    return resume - 1


@helper
def skip_runs(
    automaton: Automaton,
    arena: Arena,
    keys: Int64s,
    key: int,
    limit: int,
    event: int,
    at_us: int,
    sequence: int,
) -> None:
    """Drop the open runs that began at or before `limit`.

    A run dropped because time moved stays in the list, its state marked, until the key's next
    event: it is still reported as timed out where its own deadline comes first.
    """
    if event < 0 and automaton.settings[KEEP_TIMEOUTS]:
        run = keys[key, KEY_HEAD]
        while run >= 0 and arena.runs[run, RUN_START] <= limit:
            trace_run(arena, run, at_us, sequence, SKIPPED)
            arena.runs[run, RUN_STATE] = min(
                arena.runs[run, RUN_STATE], DROPPED - arena.runs[run, RUN_STATE]
            )
            run = arena.runs[run, RUN_NEXT]
        return
    while keys[key, KEY_HEAD] >= 0 and arena.runs[keys[key, KEY_HEAD], RUN_START] <= limit:
        trace_run(arena, keys[key, KEY_HEAD], at_us, sequence, SKIPPED)
        drop_first_run(arena, keys, key)
