"""Matches counted without being made: an automaton whose conditions each read one event.

What an event does to the numbers of partial matches in all states is a linear map. The matches that
end at an event and began inside the window are a row of the product of the maps of the window's
events, so counting slides over a product: two stacks (the "two-stacks" algorithm for sliding-window
aggregation; Tangwongsan, Hirzel, Schneider, "Low-Latency Sliding-Window Aggregation in Worst-Case
Constant Time", DEBS 2017, section 2), of which the older one needs to keep one row each. Constant
time per event, on average, whatever the window and the number of matches; compare GRETA (Poppe,
Lei, Rundensteiner, Maier, PVLDB 11(1), 2017), which propagates numbers from event to event.
"""

from __future__ import annotations

from typing import NamedTuple

from cep.engine.kernels.guards import accepts, is_final_after, is_killed
from cep.engine.kernels.jit import inlined, kernel
from cep.engine.kernels.layout import (
    EDGE_ACTION,
    EDGE_FORBID,
    EDGE_REQUIRE,
    EDGE_TARGET,
    EDGE_VARIABLE,
    FINAL,
    START_ANY,
    STATE_EDGES,
    STATE_EDGES_END,
    TAKE,
    UNLESS,
    WITHIN_US,
    Automaton,
    Int64s,
    word,
)
from cep.engine.kernels.sets import touched_by

COUNTED_MAX = word(1 << 62)
TOO_MANY = word(-1)


class Counting(NamedTuple):
    """Room for counting; s states, n events in a window.

    older (n, s): the first row of the products from each event of the older stack on. turned (s, s)
    makes them; younger (s, s): the product over the younger stack; before (s, s): what they were.
    moves (e, 2): from and to which state; left (s,): the states that partial matches leave; ends
    (s, 2): a state and how many matches each partial match there becomes. sizes: of the last three.
    """

    older: Int64s
    turned: Int64s
    younger: Int64s
    before: Int64s
    row: Int64s
    moves: Int64s
    left: Int64s
    ends: Int64s
    sizes: Int64s


MOVES, LEFT, ENDS, EXCEEDED = range(4)  # sizes
SIZES = 4


@inlined
def read_state(automaton: Automaton, room: Counting, state: int, bits: int) -> None:
    """Add to moves and ends what the event does to the partial matches of a state."""
    edges = automaton.edges
    lives = state == 0 or not is_killed(automaton, state, bits)
    completed, passes, matches = 0, 0, 0
    for edge in range(
        automaton.states[state, STATE_EDGES], automaton.states[state, STATE_EDGES_END]
    ):
        if not accepts(bits, edges[edge, EDGE_REQUIRE], edges[edge, EDGE_FORBID]):
            continue
        target = edges[edge, EDGE_TARGET]
        if target != FINAL and lives:
            at = room.sizes[MOVES]
            room.sizes[MOVES] = at + 1
            room.moves[at, 0] = state
            room.moves[at, 1] = target
        if edges[edge, EDGE_ACTION] != TAKE:
            passes |= 1 if target == FINAL else 0
        elif target == FINAL or is_final_after(automaton, edge, bits):
            variable = edges[edge, EDGE_VARIABLE]
            matches += 1 - (completed >> variable & 1)
            completed |= 1 << variable
    if matches + passes > 0:
        at = room.sizes[ENDS]
        room.sizes[ENDS] = at + 1
        room.ends[at, 0] = state
        room.ends[at, 1] = matches + passes


@inlined
def read_event(automaton: Automaton, touch: Int64s, room: Counting, bits: int) -> None:
    """The map of an event: what is not in it stays as it is."""
    for size in range(EXCEEDED):
        room.sizes[size] = 0
    unless = automaton.settings[UNLESS]
    ended = unless >= 0 and bits >> unless & 1 != 0
    touched = touched_by(touch, bits)
    for state in range(1, automaton.states.shape[0]):
        if ended or touched >> state & 1:
            room.left[room.sizes[LEFT]] = state
            room.sizes[LEFT] += 1
            if not ended:
                read_state(automaton, room, state, bits)
    if bits & automaton.settings[START_ANY]:
        read_state(automaton, room, 0, bits)


@inlined
def add(room: Counting, table: Int64s, row: int, column: int, count: int) -> None:
    table[row, column] += count
    if table[row, column] > COUNTED_MAX or table[row, column] < 0:
        room.sizes[EXCEEDED] = 1
        table[row, column] = 0


@inlined
def apply_behind(room: Counting, rows: int) -> None:
    """Younger = younger x map, in its first rows."""
    table, before = room.younger, room.before
    for row in range(rows):
        for at in range(room.sizes[MOVES]):
            before[row, room.moves[at, 0]] = table[row, room.moves[at, 0]]
        for at in range(room.sizes[LEFT]):
            table[row, room.left[at]] = 0
        for at in range(room.sizes[MOVES]):
            add(room, table, row, room.moves[at, 1], before[row, room.moves[at, 0]])


@inlined
def apply_in_front(room: Counting) -> None:
    """Turned = map x turned."""
    table, before = room.turned, room.before
    for at in range(room.sizes[MOVES]):
        for column in range(table.shape[1]):
            before[room.moves[at, 1], column] = table[room.moves[at, 1], column]
    for at in range(room.sizes[LEFT]):
        for column in range(table.shape[1]):
            table[room.left[at], column] = 0
    for at in range(room.sizes[MOVES]):
        for column in range(table.shape[1]):
            add(room, table, room.moves[at, 0], column, before[room.moves[at, 1], column])


@inlined
def become_identity(table: Int64s) -> None:
    for row in range(table.shape[0]):
        for column in range(table.shape[1]):
            table[row, column] = 1 if row == column else 0


@inlined
def partial_matches(room: Counting, oldest: int) -> None:
    """How many there are in each state -> row. `oldest` < 0: the older stack is empty."""
    states = room.row.size
    for column in range(states):
        if oldest < 0:
            room.row[column] = room.younger[0, column]
            continue
        total, about = 0, 0.0
        for state in range(states):
            total += room.older[oldest, state] * room.younger[state, column]
            about += float(room.older[oldest, state]) * float(room.younger[state, column])
        if about > COUNTED_MAX:
            room.sizes[EXCEEDED] = 1
        room.row[column] = total


@kernel
def count_matches(
    automaton: Automaton,
    touch: Int64s,
    room: Counting,
    times: Int64s,
    masks: Int64s,
    ends: Int64s,
    found: Int64s,
) -> int:
    """Count the matches of each key -> found (k,); keys done, or TOO_MANY at the first too large.

    times, masks (n,): the events of key 0 up to ends[0], those of key 1 behind them and so on, in
    time order. `touch` as in `sets.process`. No window has more events than `older` has rows.
    """
    within_us = automaton.settings[WITHIN_US]
    rows = automaton.states.shape[0] if within_us > 0 else 1
    begin = 0
    for key in range(ends.size):
        first, split, base, total = begin, begin, begin, 0
        room.sizes[EXCEEDED] = 0
        become_identity(room.younger)
        for event in range(begin, ends[key]):
            while within_us > 0 and first < event and times[first] <= times[event] - within_us:
                first += 1
            if first > split:  # all of the older stack is over, and some of the younger one
                become_identity(room.turned)
                for at in range(event - 1, first - 1, -1):
                    read_event(automaton, touch, room, masks[at])
                    apply_in_front(room)
                    for column in range(rows):
                        room.older[at - first, column] = room.turned[0, column]
                become_identity(room.younger)
                base, split = first, event
            read_event(automaton, touch, room, masks[event])
            if room.sizes[ENDS] > 0:
                partial_matches(room, first - base if first < split else -1)
                for at in range(room.sizes[ENDS]):
                    more, each = room.row[room.ends[at, 0]], room.ends[at, 1]
                    if more > (COUNTED_MAX - total) // each:
                        room.sizes[EXCEEDED] = 1
                    else:
                        total += more * each
            apply_behind(room, rows)
            if room.sizes[EXCEEDED] != 0:
                return TOO_MANY
        found[key] = total
        begin = ends[key]
    return begin
