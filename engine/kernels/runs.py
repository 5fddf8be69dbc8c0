"""One pattern's tables and a batch of events in, advanced runs, matches and timed-out runs out.

The runs of a key form a linked list in the order of their first events; what a run captured is a
node with a parent, shared by the runs that branch from it, and carries the registers that
conditions across events read:

    keys ──► run ──► run ──► run          state, start, time of the event taken last
              │       │       │
    nodes:   a#1 ◄── b#2 ◄── b#5          variable, event, registers

Row 0 of the runs is the virtual run that waits for a first event. Python validates, interns and
grows buffers between calls: when an event might need more room than is left, `process` returns its
index before touching it.
"""

from __future__ import annotations

from cep.engine.kernels.capture import capture, is_new_state_of_node
from cep.engine.kernels.jit import helper, inlined, kernel
from cep.engine.kernels.layout import (
    ACROSS,
    CLOSING,
    DISTINCT_RUNS,
    DONE,
    DROPPED,
    EDGE_ACTION,
    EDGE_FINALS,
    EDGE_FINALS_END,
    EDGE_FORBID,
    EDGE_REQUIRE,
    EDGE_TARGET,
    EDGE_VARIABLE,
    EVENT_KEY,
    EVENT_MASK,
    EVENT_SEQUENCE,
    EVENT_TIME_US,
    FINAL,
    FOUND,
    FREE_RUNS,
    FREE_WAITINGS,
    HAS_WINDOWS,
    KEEP_TIMEOUTS,
    KEY_HEAD,
    KEY_RUNS,
    KEY_TAIL,
    KEY_WAITING,
    KEY_WAITINGS,
    NEVER,
    NO_EVENT,
    NODES,
    OUT_AT_US,
    OUT_NODE,
    RUN_NEXT,
    RUN_NODE,
    RUN_PREVIOUS_US,
    RUN_START,
    RUN_START_US,
    RUN_STATE,
    RUNS_PER_STEP,
    START_ANY,
    START_RUN,
    STATE_ACROSS,
    STATE_EDGES,
    STATE_EDGES_END,
    STATE_KILLS,
    STATE_KILLS_END,
    STATE_PENDING,
    STATE_WINDOW_US,
    TAKE,
    TIMED_OUT,
    UNLESS,
    WITHIN_US,
    Arena,
    Automaton,
    Events,
    Int64s,
    Programs,
)
from cep.engine.kernels.lists import append_run, drop_first_run, free_run, new_run
from cep.engine.kernels.machine import truths
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
def time_out(arena: Arena, node: int, at_us: int, automaton: Automaton) -> None:
    if not automaton.settings[KEEP_TIMEOUTS]:
        return
    at = arena.counters[TIMED_OUT]
    before = at - 1
    while before >= 0 and arena.timed_out[before, OUT_AT_US] == at_us:
        if arena.timed_out[before, OUT_NODE] == node:
            return  # another run of the same captures has said so
        before -= 1
    arena.timed_out[at, OUT_NODE] = node
    arena.timed_out[at, OUT_AT_US] = at_us
    arena.counters[TIMED_OUT] = at + 1


@helper
def expire_key(automaton: Automaton, arena: Arena, keys: Int64s, key: int, now_us: int) -> None:
    """End the key's runs whose time is up by now, in the order of their deadlines."""
    due = first_deadline(automaton, arena, keys, key)
    while due <= now_us and due != NEVER:
        if automaton.settings[HAS_WINDOWS]:
            end_due_runs(automaton, arena, keys, key, due)
        else:
            end_first_runs(automaton, arena, keys, key, due)
        release(automaton, arena, keys, key, due, NO_EVENT)
        due = first_deadline(automaton, arena, keys, key)


@helper
def end_first_runs(automaton: Automaton, arena: Arena, keys: Int64s, key: int, due: int) -> None:
    """Only `within` bounds the runs: the first to begin are the first to end."""
    while keys[key, KEY_HEAD] >= 0 and deadline(automaton, arena, keys[key, KEY_HEAD]) == due:
        end_run(automaton, arena, keys, key, keys[key, KEY_HEAD], due)
        drop_first_run(arena, keys, key)


@helper
def end_due_runs(automaton: Automaton, arena: Arena, keys: Int64s, key: int, due: int) -> None:
    run = keys[key, KEY_HEAD]
    keys[key, KEY_HEAD] = -1
    keys[key, KEY_TAIL] = -1
    keys[key, KEY_RUNS] = 0
    while run >= 0:
        following = arena.runs[run, RUN_NEXT]
        if deadline(automaton, arena, run) == due:
            end_run(automaton, arena, keys, key, run, due)
            free_run(arena, run)
        else:
            append_run(arena, keys, key, run)
        run = following


@helper
def end_run(
    automaton: Automaton, arena: Arena, keys: Int64s, key: int, run: int, at_us: int
) -> None:
    node = arena.runs[run, RUN_NODE]
    state = arena.runs[run, RUN_STATE]
    if automaton.states[max(state, DROPPED - state), STATE_PENDING]:
        if state < 0:
            return
        complete(automaton, arena, node, arena.runs[run, RUN_START], at_us, NEVER)
    else:
        time_out(arena, node, at_us, automaton)


# ---------------------------------------------------------------------- steps


@inlined
def accepts(bits: int, require: int, forbid: int) -> bool:
    return bits & require == require and bits & forbid == 0


@inlined
def is_killed(automaton: Automaton, state: int, bits: int) -> bool:
    for kill in range(
        automaton.states[state, STATE_KILLS], automaton.states[state, STATE_KILLS_END]
    ):
        if accepts(bits, automaton.guards[kill, 0], automaton.guards[kill, 1]):
            return True
    return False


@inlined
def is_final_after(automaton: Automaton, edge: int, bits: int) -> bool:
    for final in range(automaton.edges[edge, EDGE_FINALS], automaton.edges[edge, EDGE_FINALS_END]):
        if accepts(bits, automaton.guards[final, 0], automaton.guards[final, 1]):
            return True
    return False


@inlined
def add_run(
    automaton: Automaton,
    arena: Arena,
    keys: Int64s,
    key: int,
    origin: int,
    state: int,
    node: int,
    time_us: int,
    sequence: int,
) -> None:
    """A run that goes on from `origin`, in another state or with one more event.

    `time_us`: of the event taken last; `sequence`: of the event under test.
    """
    if automaton.settings[DISTINCT_RUNS] and not is_new_state_of_node(arena, state, node, sequence):
        return
    run = new_run(arena)
    arena.runs[run, RUN_STATE] = state
    arena.runs[run, RUN_NODE] = node
    if origin == START_RUN:
        arena.runs[run, RUN_START] = sequence
        arena.runs[run, RUN_START_US] = time_us
    else:
        arena.runs[run, RUN_START] = arena.runs[origin, RUN_START]
        arena.runs[run, RUN_START_US] = arena.runs[origin, RUN_START_US]
    arena.runs[run, RUN_PREVIOUS_US] = time_us
    append_run(arena, keys, key, run)


@inlined
def step(
    automaton: Automaton,
    programs: Programs,
    events: Events,
    event: int,
    arena: Arena,
    keys: Int64s,
    key: int,
    run: int,
) -> None:
    """Offer the event to one run and add what it becomes; the run itself is left to the caller."""
    state = arena.runs[run, RUN_STATE]
    node = arena.runs[run, RUN_NODE]
    states, edges = automaton.states, automaton.edges
    bits = truths(
        arena,
        programs,
        events,
        event,
        node,
        states[state, STATE_ACROSS],
        automaton.settings[ACROSS],
    )
    unless = automaton.settings[UNLESS]
    if unless >= 0 and run != START_RUN and (bits >> unless) & 1:
        return
    killed = run != START_RUN and is_killed(automaton, state, bits)
    time_us = events.rows[event, EVENT_TIME_US]
    sequence = events.rows[event, EVENT_SEQUENCE]
    for edge in range(states[state, STATE_EDGES], states[state, STATE_EDGES_END]):
        if not accepts(bits, edges[edge, EDGE_REQUIRE], edges[edge, EDGE_FORBID]):
            continue
        target = edges[edge, EDGE_TARGET]
        taken = node
        previous_us = arena.runs[run, RUN_PREVIOUS_US]
        is_complete = target == FINAL
        if edges[edge, EDGE_ACTION] == TAKE:
            taken = capture(arena, programs, events, event, node, edges[edge, EDGE_VARIABLE])
            previous_us = time_us
            is_complete = is_complete or is_final_after(automaton, edge, bits)
        if target != FINAL and not killed:
            add_run(automaton, arena, keys, key, run, target, taken, previous_us, sequence)
        if is_complete:
            began = sequence if run == START_RUN else arena.runs[run, RUN_START]
            complete(automaton, arena, taken, began, time_us, sequence)


@inlined
def advance(
    automaton: Automaton,
    programs: Programs,
    events: Events,
    event: int,
    arena: Arena,
    keys: Int64s,
    key: int,
) -> None:
    """Offer the event to every run of its key, oldest first, then to the one that has not begun."""
    run = START_RUN if keys[key, KEY_HEAD] < 0 else keys[key, KEY_HEAD]
    keys[key, KEY_HEAD] = -1
    keys[key, KEY_TAIL] = -1
    keys[key, KEY_RUNS] = 0
    begins = events.rows[event, EVENT_MASK] & automaton.settings[START_ANY] != 0
    while run != START_RUN or begins:
        following = arena.runs[run, RUN_NEXT]
        if arena.runs[run, RUN_STATE] >= 0:
            step(automaton, programs, events, event, arena, keys, key, run)
        if run == START_RUN:
            break
        free_run(arena, run)
        run = START_RUN if following < 0 else following
    if arena.counters[DONE] > 0 or keys[key, KEY_WAITING] >= 0:
        release(automaton, arena, keys, key, events.rows[event, EVENT_TIME_US], event)


@inlined
def has_room(automaton: Automaton, arena: Arena, keys: Int64s, key: int) -> bool:
    """Whether the next event of this key fits, whatever it does."""
    made = (keys[key, KEY_RUNS] + 1) * automaton.settings[RUNS_PER_STEP]
    done = made + keys[key, KEY_RUNS] + keys[key, KEY_WAITINGS]
    counters = arena.counters
    fits: bool = (
        counters[FREE_RUNS] >= made
        and arena.nodes.shape[0] - counters[NODES] >= made
        and counters[FREE_WAITINGS] >= made + keys[key, KEY_RUNS]
        and arena.heap.shape[0] >= done
        and arena.found.shape[0] - counters[FOUND] >= done
        and arena.timed_out.shape[0] - counters[TIMED_OUT] >= keys[key, KEY_RUNS]
    )
    return fits


@kernel
def process(
    automaton: Automaton,
    programs: Programs,
    events: Events,
    begin: int,
    arena: Arena,
    keys: Int64s,
) -> int:
    """Run events begin.. in order; the index of the first one not run, for lack of room.

    O(events x (1 + open runs of the event's key)).
    """
    size: int = events.rows.shape[0]
    for event in range(begin, size):
        key = events.rows[event, EVENT_KEY]
        if (
            keys[key, KEY_HEAD] < 0
            and not events.rows[event, EVENT_MASK] & automaton.settings[START_ANY]
        ):
            continue
        if not has_room(automaton, arena, keys, key):
            return event
        time_us = events.rows[event, EVENT_TIME_US]
        if first_deadline(automaton, arena, keys, key) <= time_us:
            expire_key(automaton, arena, keys, key, time_us)
        advance(automaton, programs, events, event, arena, keys, key)
    return size


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
        if not has_room(automaton, arena, keys, key):
            return key
        expire_key(automaton, arena, keys, key, now_us)
        if closing_us >= 0:
            release(automaton, arena, keys, key, closing_us, CLOSING)
    return size
