"""How kernels see tables, events and state: bundles of arrays, and the names of their columns.

Records are rows of int64 arrays, so that what belongs together shares a cache line, and a kernel
takes few arrays. -1 stands for none. Conditions, inputs and registers are bits of one word each.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

BITS_MAX = 63  # per word; the sign bit is left alone


def word(value: int) -> int:
    """A constant that can be an argument.

    Numba compiles another version of a function for each plain integer that it is called with.
    """
    return cast(int, np.int64(value))


ZERO = word(0)
NEVER = word((1 << 63) - 1)
NO_EVENT = word(-1)  # in place of an event: time alone has moved
CLOSING = word(-2)  # in place of an event: none will come any more

TAKE, IGNORE = 0, 1  # EDGE_ACTION
FINAL = -1  # EDGE_TARGET: the pattern is complete
DROPPED = -1  # a run skipped by a match is in state DROPPED - s, where s was its state
FAULT_SKIP_TARGET = word(100)  # beside codes.Fault: a fault of the pattern, not of a condition
START_RUN = 0  # row of the run that has taken nothing yet
NO_SKIP, TO_NEXT_ROW, PAST_LAST_EVENT, TO_FIRST, TO_LAST = range(5)  # settings[SKIP]


class Automaton(NamedTuple):
    """Flattened NFA: proceed edges are gone, guards are masks over condition bits.

    edges (e, 7), states (s, 7), guards (g, 2) of require and forbid words, settings.
    """

    edges: Int64s
    states: Int64s
    guards: Int64s
    settings: Int64s


EDGE_ACTION, EDGE_REQUIRE, EDGE_FORBID, EDGE_VARIABLE, EDGE_TARGET = range(5)
EDGE_FINALS, EDGE_FINALS_END = 5, 6  # guards under which the run is complete after the edge
EDGE_FIELDS = 7
STATE_EDGES, STATE_EDGES_END, STATE_KILLS, STATE_KILLS_END = range(4)
STATE_WINDOW_US, STATE_PENDING = 4, 5
STATE_ACROSS = 6  # the conditions tested here that need a program
STATE_FIELDS = 7
WITHIN_US, UNLESS, SKIP, SKIP_VARIABLE, LONGEST, KEEP_TIMEOUTS = range(6)
DISTINCT_RUNS, RUNS_PER_STEP, HAS_WINDOWS = 6, 7, 8
ACROSS = 9  # all conditions that need a program
START_ANY = 10  # conditions of which one must hold for a run to begin
TELLS_TIME = 11  # a deadline alone makes a match or a timed-out run
LIMITED = 12  # at least one of the two bounds on open runs is set; NEVER: no bound
RUNS_PER_KEY_MAX, RUNS_MAX = 13, 14
DROPS_OLDEST = 15  # at RUNS_PER_KEY_MAX the oldest run makes way; else what is new is refused
SETTINGS = 16


class Programs(NamedTuple):
    """Instructions of condition c: code[start[c]:start[c + 1]], columns op, to, a, b, c.

    constants: raw words of either bank. registers (r, 4): kind, variable or -1, input or -1,
    whether it is a float.
    """

    start: Int64s
    code: Int64s
    constants: Int64s
    registers: Int64s


CODE_OP, CODE_TO, CODE_A, CODE_B, CODE_C = range(5)
REGISTER_KIND, REGISTER_VARIABLE, REGISTER_INPUT, REGISTER_FLOAT = range(4)


class Events(NamedTuple):
    """The events that concern the pattern, in time order: rows (n, 6), inputs (n, i) as raw words.

    `inputs_f` is the same memory as `inputs`. `text_rank`: code -> place in the order of texts.
    """

    rows: Int64s
    inputs: Int64s
    inputs_f: Floats
    text_rank: Int64s


EVENT_TIME_US, EVENT_SEQUENCE, EVENT_KEY = range(3)
EVENT_MASK = 3  # truth of the column part of each condition
EVENT_VALID = 4  # which inputs are not NULL
EVENT_CONSTANTS = 5  # where the constants begin: patterns of one automaton have each their own
EVENT_FIELDS = 6


class Arena(NamedTuple):
    """Runs, the nodes they captured, completed matches that wait, and what came out.

    `registers_f` and `slots_f` are the same memory as `registers` and `slots`.
    """

    counters: Int64s
    runs: Int64s
    nodes: Int64s
    registers: Int64s
    registers_f: Floats
    waiting: Int64s
    found: Int64s
    timed_out: Int64s
    ended: Int64s  # runs that ended without a match, where that is traced
    faults: Int64s
    done: Int64s  # matches completed by the step in hand
    heap: Int64s  # the waiting matches of the key in hand
    timers: Int64s  # wake-up times of keys: a binary heap, earliest first
    slots: Int64s
    slots_f: Floats


FREE_RUN, FREE_RUNS, NODES, FREE_WAITING, FREE_WAITINGS, FOUND, TIMED_OUT, FAULTS, DONE = range(9)
START_CHILD = 9  # NODE_CHILD of the virtual run
TIMERS = 10
RUNS_REFUSED, RUNS_DROPPED = 11, 12  # by a limit
BLOCKED = 13  # the key that lacked room
ENDED = 14  # rows of `ended`; below 0: ends are not traced
KEY_IN_HAND = 15  # what comes out is of this key
COUNTERS = 16
UNTRACED = word(-(1 << 62))
RUN_STATE, RUN_NODE, RUN_START_US, RUN_START, RUN_PREVIOUS_US, RUN_NEXT = range(6)
RUN_FIELDS = 6
NODE_PARENT, NODE_VARIABLE, NODE_SEQUENCE = range(3)
NODE_CHILD, NODE_SIBLING = 3, 4  # the child made last; the one its parent made before it
NODE_COMPLETED = 5  # sequence of the event at which it became a match
NODE_VALID = 6  # which registers are not NULL
NODE_SEEN = 7  # sequence of the event for which the words from NODE_STATES on are kept
NODE_STATES = 8  # states in which a run holds this node, as a bit set
SAVED_PARENT, SAVED_VARIABLE, SAVED_SEQUENCE, SAVED_COMPLETED, SAVED_VALID = range(5)
SAVED_FIELDS = 5  # what a snapshot holds of a node
WAITING_NODE, WAITING_START, WAITING_NEXT = range(3)
WAITING_FIELDS = 3
MATCH_NODE, MATCH_START = range(2)  # done, heap
OUT_NODE, OUT_AT_US = range(2)  # found, timed_out
OUT_SEQUENCE = 2  # of the event whose step made it known; -1: time alone did
OUT_KEY = 3
OUT_FIELDS = 4
END_STATE, END_REASON = 4, 5  # ended: as in found, and in which state, by what
END_FIELDS = 6
TIME_UP, NEGATED, UNLESS_MET, NOT_NEXT, SKIPPED, OPEN = range(6)  # END_REASON
TIMER_DUE_US, TIMER_KEY = range(2)  # timers
FAULT_EVENT, FAULT_CONDITION, FAULT_CODE = range(3)
SLOT_VALUE, SLOT_NULL, SLOT_FAULT = range(3)

# keys (k, 6): the lists of a key's runs and of its waiting matches, and when it must be looked at
KEY_HEAD, KEY_TAIL, KEY_RUNS, KEY_WAITING, KEY_WAITINGS = range(5)
KEY_TIMER = 5  # the time of its entry in `timers`; NEVER: it has none
KEY_FIELDS = 6

# sources of a stream (s, 5): what event time knows of each
SOURCE_LATEST_US, SOURCE_SPOKE_US, SOURCE_IDLE, SOURCE_EVENTS, SOURCE_LATE = range(5)
SOURCE_FIELDS = 5
