"""Partial matches by the set: an event costs the same, however many of them there are.

Where each condition reads one event alone, an event does the same to all partial matches of a key
that rest in one state. They are one *set*: a list of captures, the youngest first. A capture that
continues partial matches points at the set that these were, as it was then:

    await c:   b#7 ──► b#4                      next: what else is in the set
                │       │ earlier
    await b:   a#6 ──► a#5 ──► a#2 ──► a#1      four partial matches end with b#7, three with b#4

Lists grow at their heads only, so a pointer at a capture stands for the list as it was when that
was made. A capture knows the latest start of all that end with it, and the latest from it on in its
list: there a window ends a walk, and matches are listed in time linear in their number and lengths.
It is the structure of CORE (Bucchi, Grez, Quintana, Riveros, Vansummeren, "CORE: a Complex Event
Recognition Engine", PVLDB 15(9), 2022, section 5) with lists for unions: what comes into a state
comes in the order of time.
"""

from __future__ import annotations

from typing import NamedTuple

from cep.engine.kernels.guards import accepts, is_final_after, is_killed
from cep.engine.kernels.jit import inlined, kernel
from cep.engine.kernels.layout import (
    BITS_MAX,
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
    NEVER,
    START_ANY,
    STATE_EDGES,
    STATE_EDGES_END,
    TAKE,
    UNLESS,
    WITHIN_US,
    Automaton,
    Events,
    Int64s,
    word,
)


class Sets(NamedTuple):
    """Captures (n, 8), what came out (f, 5), and for one event the sets before it (s,).

    A capture stands behind all that it points at.
    """

    counters: Int64s
    captures: Int64s
    found: Int64s
    before: Int64s


CAPTURES, FOUND = range(2)  # counters: rows in use
COUNTERS = 2
EARLIER = 0  # the set that it continues, by its first capture; -1: it begins
NEXT = 1  # the next in its own set; -1: there is none that counts
VARIABLE = 2  # UNION: no capture, but the set that it points at is part of this one
SEQUENCE = 3  # of the event at which it was made
START_US, STARTS_US = 4, 5  # the latest start of what ends with it; of it and those behind it
DEPTH, DEPTHS = 6, 7  # the most rows that a walk from it can take; of it and those behind it
CAPTURE_FIELDS = 8
UNION = -1
OUT_CAPTURE, OUT_AT_US, OUT_SEQUENCE, OUT_KEY = range(4)  # found: all matches that end with it
OUT_WHOLE = 4  # those of its whole set
OUT_FIELDS = 5

# keys (k, s): for each state but the first the first capture of its set; column 0: the states whose
# set is not empty, as bits
OPEN = 0
NOTHING = word(-1)
STATES_MAX = BITS_MAX
RESTLESS = BITS_MAX  # in `touch` (64,), behind the conditions: states that every event may change


@inlined
def touched_by(touch: Int64s, bits: int) -> int:
    """The states that an event may change for which these conditions hold, as bits."""
    touched: int = touch[RESTLESS]
    condition = 0
    while bits >> condition != 0:
        if bits >> condition & 1:
            touched |= touch[condition]
        condition += 1
    return touched


@inlined
def limit_of(automaton: Automaton, time_us: int) -> int:
    """What began before is over at this time."""
    within_us = automaton.settings[WITHIN_US]
    return time_us - within_us + 1 if within_us > 0 else -NEVER


@inlined
def new_capture(
    sets: Sets, earlier: int, variable: int, sequence: int, start_us: int, depth: int
) -> int:
    at: int = sets.counters[CAPTURES]
    sets.counters[CAPTURES] = at + 1
    captures = sets.captures
    captures[at, EARLIER] = earlier
    captures[at, NEXT] = -1
    captures[at, VARIABLE] = variable
    captures[at, SEQUENCE] = sequence
    captures[at, START_US] = start_us
    captures[at, STARTS_US] = start_us
    captures[at, DEPTH] = depth
    captures[at, DEPTHS] = depth
    return at


@inlined
def enter(sets: Sets, keys: Int64s, key: int, state: int, capture: int, limit_us: int) -> None:
    """Put a capture in front of a state's set; what is over there is left behind."""
    captures, behind = sets.captures, keys[key, state]
    if behind >= 0 and captures[behind, STARTS_US] >= limit_us:
        captures[capture, NEXT] = behind
        captures[capture, STARTS_US] = max(
            captures[capture, STARTS_US], captures[behind, STARTS_US]
        )
        captures[capture, DEPTHS] = max(captures[capture, DEPTHS], captures[behind, DEPTHS])
    keys[key, state] = capture
    keys[key, OPEN] |= 1 << state


@inlined
def report(sets: Sets, capture: int, time_us: int, sequence: int, key: int, whole: int) -> None:
    at = sets.counters[FOUND]
    sets.counters[FOUND] = at + 1
    sets.found[at, OUT_CAPTURE] = capture
    sets.found[at, OUT_AT_US] = time_us
    sets.found[at, OUT_SEQUENCE] = sequence
    sets.found[at, OUT_KEY] = key
    sets.found[at, OUT_WHOLE] = whole


@inlined
def stay(
    automaton: Automaton, sets: Sets, keys: Int64s, key: int, state: int, bits: int, limit_us: int
) -> None:
    """What is left of a state's set when its partial matches let the event pass."""
    head = keys[key, state]
    keys[key, state] = NOTHING
    keys[key, OPEN] &= ~(1 << state)
    if sets.captures[head, STARTS_US] < limit_us:
        head = NOTHING
    sets.before[state] = head
    if head < 0 or is_killed(automaton, state, bits):
        return
    edges = automaton.edges
    for edge in range(
        automaton.states[state, STATE_EDGES], automaton.states[state, STATE_EDGES_END]
    ):
        ignores = edges[edge, EDGE_ACTION] != TAKE and edges[edge, EDGE_TARGET] == state
        if ignores and accepts(bits, edges[edge, EDGE_REQUIRE], edges[edge, EDGE_FORBID]):
            keys[key, state] = head
            keys[key, OPEN] |= 1 << state


@inlined
def go_on(
    automaton: Automaton,
    sets: Sets,
    events: Events,
    event: int,
    keys: Int64s,
    key: int,
    state: int,
    limit_us: int,
) -> None:
    """What the event makes of the partial matches that rested in a state (0: of none)."""
    bits = events.rows[event, EVENT_MASK]
    time_us, sequence = events.rows[event, EVENT_TIME_US], events.rows[event, EVENT_SEQUENCE]
    edges, set_before = automaton.edges, NOTHING
    start_us, depth = time_us, 0
    if state > 0:
        set_before = sets.before[state]
        start_us = sets.captures[set_before, STARTS_US]
        depth = sets.captures[set_before, DEPTHS]
    lives = state == 0 or not is_killed(automaton, state, bits)
    completed = 0  # variables, as bits: ways to take an event that differ in nothing else are one
    has_passed = False
    for edge in range(
        automaton.states[state, STATE_EDGES], automaton.states[state, STATE_EDGES_END]
    ):
        if not accepts(bits, edges[edge, EDGE_REQUIRE], edges[edge, EDGE_FORBID]):
            continue
        target = edges[edge, EDGE_TARGET]
        if edges[edge, EDGE_ACTION] != TAKE:
            if target == FINAL:
                if not has_passed:
                    report(sets, set_before, time_us, sequence, key, 1)
                has_passed = True
            elif lives and target != state:
                united = new_capture(sets, set_before, UNION, sequence, start_us, depth + 1)
                enter(sets, keys, key, target, united, limit_us)
            continue
        variable = edges[edge, EDGE_VARIABLE]
        is_complete = target == FINAL or is_final_after(automaton, edge, bits)
        is_complete = is_complete and not completed >> variable & 1
        goes_on = target != FINAL and lives
        if not is_complete and not goes_on:
            continue
        taken = new_capture(sets, set_before, variable, sequence, start_us, depth + 1)
        if goes_on:
            enter(sets, keys, key, target, taken, limit_us)
        if is_complete:
            completed |= 1 << variable
            report(sets, taken, time_us, sequence, key, 0)


@inlined
def advance(
    automaton: Automaton,
    touch: Int64s,
    sets: Sets,
    events: Events,
    event: int,
    keys: Int64s,
    key: int,
) -> None:
    """Offer the event to the sets of its key that it can change, then let it begin."""
    bits = events.rows[event, EVENT_MASK]
    limit_us = limit_of(automaton, events.rows[event, EVENT_TIME_US])
    unless = automaton.settings[UNLESS]
    touched = 0
    if unless >= 0 and bits >> unless & 1:
        for state in range(keys.shape[1]):
            keys[key, state] = NOTHING
        keys[key, OPEN] = 0
    elif keys[key, OPEN] != 0:
        touched = touched_by(touch, bits) & keys[key, OPEN]
    state = 1
    while touched >> state != 0:
        if touched >> state & 1:
            stay(automaton, sets, keys, key, state, bits, limit_us)
        state += 1
    state = 1
    while touched >> state != 0:
        if touched >> state & 1 and sets.before[state] >= 0:
            go_on(automaton, sets, events, event, keys, key, state, limit_us)
        state += 1
    if bits & automaton.settings[START_ANY]:
        go_on(automaton, sets, events, event, keys, key, 0, limit_us)


@kernel
def process(
    automaton: Automaton, touch: Int64s, sets: Sets, events: Events, begin: int, keys: Int64s
) -> int:
    """Run events begin.. in order; the index of the first one not run, for lack of room.

    `touch`: by condition the states that an event may change for which it holds, as bits.
    O(events x states that an event touches).
    """
    size: int = events.rows.shape[0]
    made = automaton.edges.shape[0]
    for event in range(begin, size):
        key = events.rows[event, EVENT_KEY]
        if (
            keys[key, OPEN] == 0
            and not events.rows[event, EVENT_MASK] & automaton.settings[START_ANY]
        ):
            continue
        if (
            sets.captures.shape[0] - sets.counters[CAPTURES] < made
            or sets.found.shape[0] - sets.counters[FOUND] < made
        ):
            return event
        advance(automaton, touch, sets, events, event, keys, key)
    return size


# ---------------------------------------------------------------------- matches read out


@inlined
def first_alive(captures: Int64s, capture: int, limit_us: int) -> int:
    """From this one on in its list the first with a start that counts, -1: there is none."""
    at = capture
    while at >= 0 and captures[at, START_US] < limit_us:
        at = -1 if captures[at, STARTS_US] < limit_us else captures[at, NEXT]
    return at


@inlined
def descend(captures: Int64s, stack: Int64s, top: int, limit_us: int) -> int:
    """Complete the walk on the stack by the first match below it; its new height."""
    while captures[stack[top], EARLIER] >= 0:
        stack[top + 1] = first_alive(captures, captures[stack[top], EARLIER], limit_us)
        top += 1
    return top


@inlined
def following(captures: Int64s, stack: Int64s, top: int, floor: int, limit_us: int) -> int:
    """The walk to the next match; -1: there is none. Rows up to `floor` stay."""
    while top > floor:
        other = first_alive(captures, captures[stack[top], NEXT], limit_us)
        if other >= 0:
            stack[top] = other
            return descend(captures, stack, top, limit_us)
        top -= 1
    return NOTHING


@inlined
def first_walk(sets: Sets, row: int, stack: Int64s, limit_us: int) -> int:
    stack[0] = sets.found[row, OUT_CAPTURE]
    if sets.found[row, OUT_WHOLE] != 0:
        stack[0] = first_alive(sets.captures, stack[0], limit_us)
    return descend(sets.captures, stack, 0, limit_us)


@kernel
def count_found(automaton: Automaton, sets: Sets, stack: Int64s, most: int, sizes: Int64s) -> bool:
    """Of each row of what came out (matches, captures in them) -> sizes (f, 2).

    `stack`: as high as the deepest of them, and one more. False: there are more than `most`
    captures in all. O(captures in all matches), or O(most).
    """
    total = 0
    for row in range(sizes.shape[0]):
        limit_us = limit_of(automaton, sets.found[row, OUT_AT_US])
        floor = NOTHING if sets.found[row, OUT_WHOLE] != 0 else 0
        sizes[row, 0] = 0
        sizes[row, 1] = 0
        top = first_walk(sets, row, stack, limit_us)
        while top >= 0:
            sizes[row, 0] += 1
            for at in range(top + 1):
                sizes[row, 1] += sets.captures[stack[at], VARIABLE] != UNION
            if total + sizes[row, 1] > most:
                return False
            top = following(sets.captures, stack, top, floor, limit_us)
        total += sizes[row, 1]
    return True


@kernel
def write_found(
    automaton: Automaton,
    sets: Sets,
    sizes: Int64s,
    stack: Int64s,
    offsets: Int64s,
    variable: Int64s,
    sequence: Int64s,
) -> None:
    """All matches, of each row the oldest first: match i is offsets[i]:offsets[i + 1].

    Shapes (matches + 1,), (captures,); `sizes` as counted, offsets[0] is 0.
    """
    captures, match, end = sets.captures, 0, 0
    for row in range(sizes.shape[0]):
        limit_us = limit_of(automaton, sets.found[row, OUT_AT_US])
        floor = NOTHING if sets.found[row, OUT_WHOLE] != 0 else 0
        match += sizes[row, 0]
        end += sizes[row, 1]
        at_match, at = match, end
        top = first_walk(sets, row, stack, limit_us)
        while top >= 0:
            offsets[at_match] = at
            at_match -= 1
            for place in range(top + 1):
                if captures[stack[place], VARIABLE] != UNION:
                    at -= 1
                    variable[at] = captures[stack[place], VARIABLE]
                    sequence[at] = captures[stack[place], SEQUENCE]
            top = following(captures, stack, top, floor, limit_us)


# ---------------------------------------------------------------------- how many they are


@inlined
def plus(count: int, more: int) -> int:
    """The sum, NEVER where it is too large to be written down."""
    return NEVER if count > NEVER - more else count + more


@kernel
def count_open(
    automaton: Automaton, sets: Sets, keys: Int64s, now_us: int, counts: Int64s, opened: Int64s
) -> None:
    """How many partial matches each key has open at this time -> opened (k,). O(captures).

    `counts` (captures, 2): of those that end with each capture, and of its list from it on.
    """
    captures = sets.captures
    limit_us = limit_of(automaton, now_us)
    for at in range(counts.shape[0]):
        earlier, behind = captures[at, EARLIER], captures[at, NEXT]
        if earlier >= 0:
            counts[at, 0] = counts[earlier, 1]
        else:
            counts[at, 0] = 1 if captures[at, START_US] >= limit_us else 0
        counts[at, 1] = counts[at, 0]
        if behind >= 0:
            counts[at, 1] = plus(counts[at, 0], counts[behind, 1])
    for key in range(opened.size):
        opened[key] = 0
        for state in range(1, keys.shape[1]):
            if keys[key, state] >= 0:
                opened[key] = plus(opened[key], counts[keys[key, state], 1])


# ---------------------------------------------------------------------- what nobody needs


@kernel
def expire(automaton: Automaton, sets: Sets, keys: Int64s, now_us: int) -> None:
    """Let go of the sets of which nothing can count at this time."""
    limit_us = limit_of(automaton, now_us)
    for key in range(keys.shape[0]):
        state = 1
        while keys[key, OPEN] >> state != 0:
            if (
                keys[key, OPEN] >> state & 1
                and sets.captures[keys[key, state], STARTS_US] < limit_us
            ):
                keys[key, state] = NOTHING
                keys[key, OPEN] &= ~(1 << state)
            state += 1


@kernel
def compact(automaton: Automaton, sets: Sets, keys: Int64s, now_us: int, number: Int64s) -> None:
    """Forget the captures that no set can reach, or that are over at this time.

    `number` (captures,) is 0 before. What came out must have been read.
    """
    captures = sets.captures
    limit_us = limit_of(automaton, now_us)
    for key in range(keys.shape[0]):
        for state in range(1, keys.shape[1]):
            if keys[key, state] >= 0:
                number[keys[key, state]] = 1
    for at in range(number.size - 1, -1, -1):
        if number[at] != 0:
            captures[at, NEXT] = first_alive(captures, captures[at, NEXT], limit_us)
            if captures[at, NEXT] >= 0:
                number[captures[at, NEXT]] = 1
            if captures[at, EARLIER] >= 0:
                number[captures[at, EARLIER]] = 1
    kept = 0
    for at in range(number.size):
        if number[at] != 0:
            number[at] = kept
            for column in range(CAPTURE_FIELDS):
                captures[kept, column] = captures[at, column]
            for link in (EARLIER, NEXT):
                if captures[kept, link] >= 0:
                    captures[kept, link] = number[captures[kept, link]]
            kept += 1
    sets.counters[CAPTURES] = kept
    for key in range(keys.shape[0]):
        for state in range(1, keys.shape[1]):
            if keys[key, state] >= 0:
                keys[key, state] = number[keys[key, state]]


@kernel
def spread(captures: Int64s, owner_of: Int64s) -> None:
    """Give all that a capture points at its owner; -1: nobody reaches it. Shapes (n, 8), (n,)."""
    for at in range(owner_of.size - 1, -1, -1):
        if owner_of[at] >= 0:
            for link in (EARLIER, NEXT):
                if captures[at, link] >= 0:
                    owner_of[captures[at, link]] = owner_of[at]
