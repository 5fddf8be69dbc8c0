"""An automaton's tables and a batch of events in, advanced runs, matches and timed-out runs out.

The runs of a key form a linked list in the order of their first events; what a run captured is a
node with a parent, shared by the runs that branch from it, and carries the registers that
conditions across events read:

    keys ──► run ──► run ──► run          state, start, time of the event taken last
              │       │       │
    nodes:   a#1 ◄── b#2 ◄── b#5          variable, event, registers

Patterns whose automata differ in constants only share all this: to the kernel the keys of each are
keys of their own, and an event says which constants are meant. Row 0 of the runs is the virtual run
that waits for a first event. Python validates, interns and grows buffers between calls: when an
event might need more room than is left, `process` returns its index before touching it.
"""

from __future__ import annotations

from cep.engine.kernels.capture import capture, is_new_state_of_node
from cep.engine.kernels.deadlines import expire_key, first_deadline, reach, schedule
from cep.engine.kernels.guards import accepts, is_final_after, is_killed
from cep.engine.kernels.jit import helper, inlined, kernel
from cep.engine.kernels.layout import (
    ACROSS,
    BLOCKED,
    DISTINCT_RUNS,
    DONE,
    DROPS_OLDEST,
    EDGE_ACTION,
    EDGE_FORBID,
    EDGE_REQUIRE,
    EDGE_TARGET,
    EDGE_VARIABLE,
    EVENT_KEY,
    EVENT_MASK,
    EVENT_SEQUENCE,
    EVENT_TIME_US,
    FINAL,
    FREE_RUNS,
    KEY_HEAD,
    KEY_IN_HAND,
    KEY_RUNS,
    KEY_TAIL,
    KEY_WAITING,
    LIMITED,
    NEGATED,
    NEVER,
    NOT_NEXT,
    RUN_NEXT,
    RUN_NODE,
    RUN_PREVIOUS_US,
    RUN_START,
    RUN_START_US,
    RUN_STATE,
    RUNS_DROPPED,
    RUNS_MAX,
    RUNS_PER_KEY_MAX,
    RUNS_PER_STEP,
    RUNS_REFUSED,
    START_ANY,
    START_CHILD,
    START_RUN,
    STATE_ACROSS,
    STATE_EDGES,
    STATE_EDGES_END,
    TAKE,
    UNLESS,
    UNLESS_MET,
    Arena,
    Automaton,
    Events,
    Int64s,
    Programs,
)
from cep.engine.kernels.lists import append_run, drop_first_run, free_run, has_room, new_run
from cep.engine.kernels.machine import truths
from cep.engine.kernels.tracing import trace_run
from cep.engine.kernels.waiting import complete, release

# ---------------------------------------------------------------------- steps


@helper
def is_admitted(automaton: Automaton, arena: Arena, keys: Int64s, key: int, origin: int) -> bool:
    """Whether one more run that goes on from `origin` is within the limits, or room is made for it.

    KEY_RUNS counts the key's runs without the one in hand, of which nothing is left but what it
    becomes.
    """
    settings = automaton.settings
    open_runs = arena.runs.shape[0] - 1 - arena.counters[FREE_RUNS]
    if origin != START_RUN:
        open_runs -= 1
    if keys[key, KEY_RUNS] >= settings[RUNS_PER_KEY_MAX]:
        if not settings[DROPS_OLDEST]:
            arena.counters[RUNS_REFUSED] += 1
            return False
        if keys[key, KEY_HEAD] >= 0:
            drop_first_run(arena, keys, key)
            arena.counters[RUNS_DROPPED] += 1
    elif open_runs >= settings[RUNS_MAX]:
        arena.counters[RUNS_REFUSED] += 1
        return False
    return True


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
    if automaton.settings[LIMITED] and not is_admitted(automaton, arena, keys, key, origin):
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
    time_us = events.rows[event, EVENT_TIME_US]
    sequence = events.rows[event, EVENT_SEQUENCE]
    if unless >= 0 and run != START_RUN and (bits >> unless) & 1:
        trace_run(arena, run, time_us, sequence, UNLESS_MET)
        return
    killed = run != START_RUN and is_killed(automaton, state, bits)
    goes_on = run == START_RUN
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
            goes_on = True
            add_run(automaton, arena, keys, key, run, target, taken, previous_us, sequence)
        if is_complete:
            goes_on = True
            began = sequence if run == START_RUN else arena.runs[run, RUN_START]
            complete(automaton, arena, taken, began, time_us, sequence)
    if not goes_on:
        trace_run(arena, run, time_us, sequence, NEGATED if killed else NOT_NEXT)


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
    arena.counters[KEY_IN_HAND] = key
    arena.counters[START_CHILD] = -1  # the same event may have been offered to another pattern
    begins = events.rows[event, EVENT_MASK] & automaton.settings[START_ANY] != 0
    while run != START_RUN or begins:
        following = arena.runs[run, RUN_NEXT]
        if run != START_RUN:
            keys[key, KEY_RUNS] -= 1  # what it becomes is counted anew
        if arena.runs[run, RUN_STATE] >= 0:
            step(automaton, programs, events, event, arena, keys, key, run)
        if run == START_RUN:
            break
        free_run(arena, run)
        run = START_RUN if following < 0 else following
    if arena.counters[DONE] > 0 or keys[key, KEY_WAITING] >= 0:
        at_us = events.rows[event, EVENT_TIME_US]
        release(automaton, arena, keys, key, at_us, event, events.rows[event, EVENT_SEQUENCE])


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

    Then counters[BLOCKED] is the key that needs it. O(events x (1 + open runs of the event's key)).
    """
    size: int = events.rows.shape[0]
    bounded = automaton.settings[RUNS_MAX] != NEVER
    for event in range(begin, size):
        key = events.rows[event, EVENT_KEY]
        time_us = events.rows[event, EVENT_TIME_US]
        # How many runs are open in all depends on the time that has come for all keys.
        if bounded and reach(automaton, arena, keys, time_us) >= 0:
            return event
        if (
            keys[key, KEY_HEAD] < 0
            and not events.rows[event, EVENT_MASK] & automaton.settings[START_ANY]
        ):
            continue
        made = (keys[key, KEY_RUNS] + 1) * automaton.settings[RUNS_PER_STEP]
        if not has_room(arena, keys, key, made):
            arena.counters[BLOCKED] = key
            return event
        if first_deadline(automaton, arena, keys, key) <= time_us:
            expire_key(automaton, arena, keys, key, time_us)
        advance(automaton, programs, events, event, arena, keys, key)
        schedule(automaton, arena, keys, key)
    return size
