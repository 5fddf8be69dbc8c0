"""One pattern's tables and a batch of events in, advanced runs, matches and timed-out runs out.

All keys' runs of a pattern live in one struct-of-arrays arena. The runs of a key form a linked list
in the order of their first events; what a run captured is a node with a parent, shared by the runs
that branch from it, and carries the registers that conditions across events read:

    keys.head ──► run ──► run ──► run          state, start, previous event's time
                   │       │       │
    nodes:     a#1 ◄── b#2 ◄── b#5             variable, event, registers

Python validates, interns and grows buffers between calls: when an event might need more room than
is left, `process` returns its index before touching it. Everything is int64 unless said otherwise;
-1 stands for none. The helpers and constants are in this file because the disk cache watches only
the file of the function it caches; `codes` may only be appended to.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.engine.kernels.codes import Fault, Op, Register
from cep.engine.kernels.jit import kernel

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

# actions of flattened edges
TAKE, IGNORE = 0, 1
FINAL = -1  # as the target of an edge
DROPPED = -1  # a run skipped by a match is in state DROPPED - s, where s was its state

# skip strategies
NO_SKIP, TO_NEXT_ROW, PAST_LAST_EVENT, TO_FIRST, TO_LAST = 0, 1, 2, 3, 4

# fields of Automaton.settings
WITHIN_US, UNLESS, SKIP, SKIP_VARIABLE, LONGEST, KEEP_TIMEOUTS, START_STATE = 0, 1, 2, 3, 4, 5, 6
DISTINCT_RUNS, RUNS_PER_STEP, HAS_WINDOWS, SETTINGS = 7, 8, 9, 10

# fields of Arena.counters
FREE_RUN, FREE_RUNS, NODES, FREE_WAITING, FREE_WAITINGS, FOUND, TIMED_OUT = 0, 1, 2, 3, 4, 5, 6
FAULTS, DONE, COUNTERS = 7, 8, 9

FAULT_SKIP_TARGET = 100  # a fault of the pattern, not of a condition
NEVER = np.iinfo(np.int64).max


class Automaton(NamedTuple):
    """Flattened NFA: proceed edges are gone, guards are masks over condition bits.

    Edges of state s are edge_start[s]:edge_start[s + 1]; after taking edge e the run is also complete
    where one of the guards final_start[e]:final_start[e + 1] holds.
    """

    edge_start: Int32s
    edge_action: Int32s
    edge_require: Words
    edge_forbid: Words
    edge_variable: Int32s
    edge_target: Int32s
    final_start: Int32s
    final_require: Words
    final_forbid: Words
    kill_start: Int32s
    kill_require: Words
    kill_forbid: Words
    state_window_us: Int64s
    state_pending: Int32s
    state_across: Words  # conditions that need a program, among those the state's guards test
    across: Words  # (1,) all conditions that need a program
    start_any: Words  # (1,) conditions of which one must hold for a run to begin
    settings: Int64s


class Programs(NamedTuple):
    """Instructions of condition c: start[c]:start[c + 1]; register r: kind, variable, input, bank."""

    start: Int32s
    code: Int32s  # (instructions, 5): op, to, a, b, c
    integers: Int64s
    floats: Floats
    registers: Int32s  # (r, 4): kind, variable or -1, input or -1, is_float


class Events(NamedTuple):
    """The events that concern the pattern, in time order; n of them."""

    time_us: Int64s
    sequence: Int64s  # place in the stream
    key: Int64s
    mask: Words  # truth of the column part of each condition
    inputs: Int64s  # (n, inputs)
    inputs_f: Floats  # the same memory
    inputs_valid: Words
    text_rank: Int64s  # code -> place in the order of texts


class Arena(NamedTuple):
    """Runs, the nodes they captured, completed matches that wait, and what came out."""

    counters: Int64s
    run_state: Int32s
    run_node: Int64s
    run_start_us: Int64s
    run_start: Int64s  # sequence of the first event
    run_previous_us: Int64s
    run_next: Int64s
    node_parent: Int64s
    node_variable: Int32s
    node_sequence: Int64s
    node_child: Int64s  # the child made last
    node_sibling: Int64s  # the child of the same parent made before
    node_completed: Int64s  # sequence of the event at which it became a match
    node_seen: Int64s  # sequence of the event for which node_states is kept
    node_states: Words  # (nodes, words): states in which a run holds this node, as a bit set
    registers: Int64s  # (nodes, r)
    registers_f: Floats  # the same memory
    registers_valid: Words
    waiting_node: Int64s
    waiting_start: Int64s
    waiting_next: Int64s
    done_node: Int64s  # matches completed by the step in hand
    done_start: Int64s
    heap_node: Int64s  # the waiting matches of the key in hand
    heap_start: Int64s
    found_node: Int64s
    found_at_us: Int64s
    timed_out_node: Int64s
    timed_out_at_us: Int64s
    fault_event: Int64s  # index into Events
    fault_condition: Int64s
    fault_code: Int64s
    slots: Int64s
    slots_f: Floats  # the same memory
    slot_null: Int64s
    slot_fault: Int64s


class Keys(NamedTuple):
    head: Int64s
    tail: Int64s
    runs: Int64s
    waiting: Int64s  # head of the list of completed matches
    waitings: Int64s


# ---------------------------------------------------------------------- lists


@kernel
def new_run(arena: Arena) -> int:
    run = arena.counters[FREE_RUN]
    arena.counters[FREE_RUN] = arena.run_next[run]
    arena.counters[FREE_RUNS] -= 1
    return run


@kernel
def free_run(arena: Arena, run: int) -> None:
    arena.run_next[run] = arena.counters[FREE_RUN]
    arena.counters[FREE_RUN] = run
    arena.counters[FREE_RUNS] += 1


@kernel
def append_run(arena: Arena, keys: Keys, key: int, run: int) -> None:
    arena.run_next[run] = -1
    if keys.tail[key] < 0:
        keys.head[key] = run
    else:
        arena.run_next[keys.tail[key]] = run
    keys.tail[key] = run
    keys.runs[key] += 1


@kernel
def is_new_state_of_node(arena: Arena, state: int, node: int, sequence: int) -> bool:
    """Whether no run at this event holds the node in this state yet; remembers that one does now."""
    if arena.node_seen[node] != sequence:
        arena.node_seen[node] = sequence
        arena.node_states[node, :] = 0
    bit = np.uint64(1) << np.uint64(state & 63)
    if arena.node_states[node, state >> 6] & bit:
        return False
    arena.node_states[node, state >> 6] |= bit
    return True


# ---------------------------------------------------------------------- captures


@kernel
def capture(
    arena: Arena, programs: Programs, events: Events, event: int, parent: int, variable: int
) -> int:
    """The node that says: after `parent`, `variable` took this event. The same one when asked twice."""
    sequence = events.sequence[event]
    sibling = -1
    if parent >= 0:
        child = arena.node_child[parent]
        sibling = child
        while child >= 0 and arena.node_sequence[child] == sequence:
            if arena.node_variable[child] == variable:
                return child
            child = arena.node_sibling[child]
    node = arena.counters[NODES]
    arena.counters[NODES] = node + 1
    arena.node_parent[node] = parent
    arena.node_variable[node] = variable
    arena.node_sequence[node] = sequence
    arena.node_child[node] = -1
    arena.node_sibling[node] = sibling
    arena.node_completed[node] = -1
    arena.node_seen[node] = -1
    if parent >= 0:
        arena.node_child[parent] = node
    if programs.registers.shape[0] > 0:
        update_registers(arena, programs, events, event, parent, variable, node)
    return node


@kernel
def update_registers(
    arena: Arena,
    programs: Programs,
    events: Events,
    event: int,
    parent: int,
    variable: int,
    node: int,
) -> None:
    count = programs.registers.shape[0]
    if parent < 0:
        arena.registers_valid[node] = 0
        for r in range(count):
            arena.registers[node, r] = 0
            kind = programs.registers[r, 0]
            if kind == Register.COUNT or kind == Register.COUNT_VALID:
                arena.registers_valid[node] |= np.uint64(1) << np.uint64(r)
    else:
        arena.registers_valid[node] = arena.registers_valid[parent]
        for r in range(count):
            arena.registers[node, r] = arena.registers[parent, r]
    for r in range(count):
        wanted = programs.registers[r, 1]
        if wanted < 0 or wanted == variable:
            update_register(arena, programs, events, event, node, r)


@kernel
def update_register(
    arena: Arena, programs: Programs, events: Events, event: int, node: int, r: int
) -> None:
    kind = programs.registers[r, 0]
    source = programs.registers[r, 2]
    as_float = programs.registers[r, 3] != 0
    own = np.uint64(1) << np.uint64(r)
    if kind == Register.COUNT:
        arena.registers[node, r] += 1
        return
    valid = events.inputs_valid[event] & (np.uint64(1) << np.uint64(source)) != 0
    had = arena.registers_valid[node] & own != 0
    if kind == Register.COUNT_VALID:
        if valid:
            arena.registers[node, r] += 1
        return
    if kind == Register.LAST or kind == Register.FIRST:
        if kind == Register.LAST or not first_is_set(arena, programs, node, r):
            set_register(arena, events, event, source, node, r, valid)
        return
    if not valid:
        return
    if kind == Register.MEAN or kind == Register.DEVIATION:
        update_moment(arena, programs, events, event, node, r)
        return
    if not had:
        set_register(arena, events, event, source, node, r, True)
        return
    if as_float:
        x = events.inputs_f[event, source]
        held_f = arena.registers_f[node, r]
        if kind == Register.SUM:
            arena.registers_f[node, r] = held_f + x
        elif (kind == Register.MIN and x < held_f) or (kind == Register.MAX and x > held_f):
            arena.registers_f[node, r] = x
        return
    i = events.inputs[event, source]
    held = arena.registers[node, r]
    if kind == Register.SUM:
        arena.registers[node, r] = held + i
        if (held > 0) == (i > 0) and (held + i > 0) != (held > 0) and held != 0 and i != 0:
            arena.registers_valid[node] &= ~own  # the sum left 64 bits: NULL, said by the caller
            add_fault(arena, event, r, -Fault.OVERFLOW)
    elif (
        (kind == Register.MIN and i < held)
        or (kind == Register.MAX and i > held)
        or (kind == Register.MIN_TEXT and events.text_rank[i] < events.text_rank[held])
        or (kind == Register.MAX_TEXT and events.text_rank[i] > events.text_rank[held])
    ):
        arena.registers[node, r] = i


@kernel
def first_is_set(arena: Arena, programs: Programs, node: int, r: int) -> bool:
    """Whether an earlier node of the chain was taken by the register's variable (NULLs count)."""
    wanted = programs.registers[r, 1]
    parent = arena.node_parent[node]
    if parent >= 0 and arena.registers_valid[parent] & (np.uint64(1) << np.uint64(r)):
        return True
    while parent >= 0:
        if wanted < 0 or arena.node_variable[parent] == wanted:
            return True
        parent = arena.node_parent[parent]
    return False


@kernel
def set_register(
    arena: Arena, events: Events, event: int, source: int, node: int, r: int, valid: bool
) -> None:
    own = np.uint64(1) << np.uint64(r)
    arena.registers[node, r] = events.inputs[event, source]  # raw bits: either bank
    if valid:
        arena.registers_valid[node] |= own
    else:
        arena.registers_valid[node] &= ~own


@kernel
def update_moment(
    arena: Arena, programs: Programs, events: Events, event: int, node: int, r: int
) -> None:
    """Welford: mean += (x - mean) / n; deviation += (x - mean before) * (x - mean after).

    The compiler lays the registers out as count, mean, deviation of the same input, so that by the
    time the deviation is updated both count and mean are already new.
    """
    source = programs.registers[r, 2]
    x = events.inputs_f[event, source]
    arena.registers_valid[node] |= np.uint64(1) << np.uint64(r)
    count_at = companion(programs, r, Register.COUNT_VALID)
    n = arena.registers[node, count_at]
    if programs.registers[r, 0] == Register.MEAN:
        arena.registers_f[node, r] += (x - arena.registers_f[node, r]) / n
        return
    mean = arena.registers_f[node, companion(programs, r, Register.MEAN)]
    before = (mean * n - x) / (n - 1) if n > 1 else x
    arena.registers_f[node, r] += (x - before) * (x - mean)


@kernel
def companion(programs: Programs, r: int, kind: int) -> int:
    """The register of another kind over the same variable and input."""
    for other in range(programs.registers.shape[0]):
        if (
            programs.registers[other, 0] == kind
            and programs.registers[other, 1] == programs.registers[r, 1]
            and programs.registers[other, 2] == programs.registers[r, 2]
        ):
            return other
    return r


# ---------------------------------------------------------------------- conditions across events


@kernel
def add_fault(arena: Arena, event: int, condition: int, code: int) -> None:
    at = arena.counters[FAULTS]
    if at < arena.fault_event.size:
        arena.fault_event[at] = event
        arena.fault_condition[at] = condition
        arena.fault_code[at] = code
        arena.counters[FAULTS] = at + 1


@kernel
def compare_integer_float(a: int, b: float) -> int:
    """-1, 0 or 1 as a is less than, equal to or greater than b, without rounding a; 2 for NaN."""
    if math.isnan(b):
        return 2
    if b >= 9223372036854775808.0:
        return -1
    if b < -9223372036854775808.0:
        return 1
    whole = math.floor(b)
    i = np.int64(whole)
    if a < i:
        return -1
    if a > i:
        return 1
    return -1 if b > whole else 0


@kernel
def compares(order: int, kind: int) -> bool:
    """Whether = <> < <= > >= (kinds 0 to 5) accepts an order of -1, 0, 1, or 2 for not comparable."""
    if order == 2:
        return kind == 1
    if kind == 0:
        return order == 0
    if kind == 1:
        return order != 0
    if kind == 2:
        return order < 0
    if kind == 3:
        return order <= 0
    if kind == 4:
        return order > 0
    return order >= 0


@kernel
def run_integer(arena: Arena, op: int, to: int, a: int, b: int) -> int:
    """Checked 64-bit arithmetic on slots; returns the fault."""
    x = arena.slots[a]
    y = arena.slots[b]
    low = -9223372036854775808
    if op == Op.ADD_I:
        z = x + y
        if (x >= 0) == (y >= 0) and (z >= 0) != (x >= 0):
            return Fault.OVERFLOW
    elif op == Op.SUBTRACT_I:
        z = x - y
        if (x >= 0) != (y >= 0) and (z >= 0) != (x >= 0):
            return Fault.OVERFLOW
    elif op == Op.MULTIPLY_I:
        z = x * y
        if x != 0 and ((x == -1 and y == low) or (y == -1 and x == low)):
            return Fault.OVERFLOW
        if x != 0 and x != -1 and z // x != y:
            return Fault.OVERFLOW
    elif op == Op.MODULO_I:
        if y == 0:
            return Fault.DIVISION_BY_ZERO
        z = 0 if y == -1 else x % y
        if z != 0 and (z < 0) != (x < 0):
            z -= y  # Python's remainder has the sign of the divisor, SQL's of the dividend
    elif op == Op.NEG_I:
        if x == low:
            return Fault.OVERFLOW
        z = -x
    else:  # ABS_I
        if x == low:
            return Fault.OVERFLOW
        z = abs(x)
    arena.slots[to] = z
    return Fault.NONE


@kernel
def run_float(arena: Arena, op: int, to: int, a: int, b: int) -> int:
    """Float arithmetic and functions on slots; returns the fault."""
    x = arena.slots_f[a]
    y = arena.slots_f[b]
    z = x
    if op == Op.ADD_F:
        z = x + y
    elif op == Op.SUBTRACT_F:
        z = x - y
    elif op == Op.MULTIPLY_F:
        z = x * y
    elif op == Op.DIVIDE_F:
        if y == 0.0:
            return Fault.DIVISION_BY_ZERO
        z = x / y
    elif op == Op.MODULO_F:
        if y == 0.0:
            return Fault.DIVISION_BY_ZERO
        z = np.fmod(x, y)
    elif op == Op.NEG_F:
        z = -x
    elif op == Op.ABS_F:
        z = abs(x)
    elif op == Op.SQRT:
        if x < 0.0:
            return Fault.DOMAIN
        z = math.sqrt(x)
    elif op == Op.LN or op == Op.LOG10:
        if x <= 0.0:
            return Fault.DOMAIN
        z = math.log(x) if op == Op.LN else math.log10(x)
    elif op == Op.EXP:
        z = np.exp(x)
    elif op == Op.POWER:
        z = np.power(x, y)
        if math.isnan(z) and not (math.isnan(x) or math.isnan(y)):
            return Fault.DOMAIN
    elif op == Op.FLOOR:
        z = np.floor(x)
    elif op == Op.CEIL:
        z = np.ceil(x)
    elif op == Op.ROUND:
        z = np.floor(x + 0.5) if x >= 0 else np.ceil(x - 0.5)
    else:  # TRUNCATE
        z = np.trunc(x)
    arena.slots_f[to] = z
    return Fault.NONE


@kernel
def run_logic(arena: Arena, op: int, to: int, a: int, b: int) -> None:
    """Three-valued and, or: where one side decides, the other's NULL and fault do not count."""
    decisive = 0 if op == Op.AND else 1
    a_null = arena.slot_null[a]
    b_null = arena.slot_null[b]
    if (a_null == 0 and arena.slots[a] == decisive) or (b_null == 0 and arena.slots[b] == decisive):
        arena.slots[to] = decisive
        arena.slot_null[to] = 0
        arena.slot_fault[to] = 0
        return
    fault = max(arena.slot_fault[a], arena.slot_fault[b])
    arena.slots[to] = 1 - decisive
    arena.slot_null[to] = max(a_null, b_null)
    arena.slot_fault[to] = fault


@kernel
def move_slot(arena: Arena, to: int, source: int, fault: int) -> None:
    arena.slots[to] = arena.slots[source]
    arena.slot_null[to] = arena.slot_null[source]
    arena.slot_fault[to] = max(fault, arena.slot_fault[source])


@kernel
def run_choice(arena: Arena, op: int, to: int, a: int, b: int, c: int) -> None:
    """Instructions for which a NULL operand does not make a NULL result."""
    if op == Op.IS_NULL:
        arena.slots[to] = arena.slot_null[a]
        arena.slot_fault[to] = arena.slot_fault[a]
        arena.slot_null[to] = 0
    elif op == Op.COALESCE:
        move_slot(arena, to, b if arena.slot_null[a] else a, arena.slot_fault[a])
    elif op == Op.CHOOSE:
        chosen = b if arena.slot_null[a] == 0 and arena.slots[a] == 1 else c
        move_slot(arena, to, chosen, arena.slot_fault[a])
    else:  # EXTREME_I, EXTREME_F
        fault = max(arena.slot_fault[a], arena.slot_fault[b])
        if arena.slot_null[a] or arena.slot_null[b]:
            move_slot(arena, to, b if arena.slot_null[a] else a, fault)
            return
        if op == Op.EXTREME_I:
            less = arena.slots[a] < arena.slots[b]
        else:
            less = arena.slots_f[a] < arena.slots_f[b]
        move_slot(arena, to, a if less == (c == 0) else b, fault)


@kernel
def load(arena: Arena, programs: Programs, events: Events, event: int, node: int, at: int) -> None:
    """NULL, CONST_*, INPUT_*, REGISTER_*: a leaf's value into a slot; raw bits serve both banks."""
    op = programs.code[at, 0]
    to = programs.code[at, 1]
    a = programs.code[at, 2]
    arena.slot_fault[to] = 0
    arena.slot_null[to] = 0
    if op == Op.CONST_I:
        arena.slots[to] = programs.integers[a]
    elif op == Op.CONST_F:
        arena.slots_f[to] = programs.floats[a]
    elif op == Op.INPUT_I or op == Op.INPUT_F:
        arena.slots[to] = events.inputs[event, a]
        held = events.inputs_valid[event] & (np.uint64(1) << np.uint64(a)) != 0
        arena.slot_null[to] = 0 if held else 1
    elif op == Op.REGISTER_I or op == Op.REGISTER_F:
        if node >= 0:
            arena.slots[to] = arena.registers[node, a]
            held = arena.registers_valid[node] & (np.uint64(1) << np.uint64(a)) != 0
            arena.slot_null[to] = 0 if held else 1
        else:  # nothing captured yet: counts are 0, all else is NULL
            kind = programs.registers[a, 0]
            arena.slots[to] = 0
            counts = kind == Register.COUNT or kind == Register.COUNT_VALID
            arena.slot_null[to] = 0 if counts else 1
    else:
        arena.slots[to] = 0
        arena.slot_null[to] = 1


@kernel
def run_strict(arena: Arena, programs: Programs, events: Events, at: int) -> None:
    """Instructions whose result is NULL when an operand is."""
    op = programs.code[at, 0]
    to = programs.code[at, 1]
    a = programs.code[at, 2]
    b = programs.code[at, 3]
    c = programs.code[at, 4]
    two = (
        (op >= Op.ADD_I and op <= Op.MODULO_I)
        or (op >= Op.ADD_F and op <= Op.MODULO_F)
        or (op >= Op.COMPARE_I and op <= Op.COMPARE_IF)
        or op == Op.POWER
        or op == Op.DIVIDE_OR_NULL
        or op == Op.SAMPLE_DEVIATION
    )
    fault = arena.slot_fault[a]
    null = arena.slot_null[a]
    if two:
        fault = max(fault, arena.slot_fault[b])
        null = max(null, arena.slot_null[b])
    if null == 0:
        own = Fault.NONE + 0
        if op == Op.COMPARE_F:
            x = arena.slots_f[a]
            y = arena.slots_f[b]
            order = 2 if math.isnan(x) or math.isnan(y) else (x > y) - (x < y)
            arena.slots[to] = compares(order, c)
        elif op == Op.COMPARE_I:
            i = arena.slots[a]
            k = arena.slots[b]
            arena.slots[to] = compares((i > k) - (i < k), c)
        elif op == Op.COMPARE_IF:
            order = compare_integer_float(arena.slots[a], arena.slots_f[b])
            arena.slots[to] = compares(order, c)
        elif op == Op.NOT:
            arena.slots[to] = 1 - arena.slots[a]
        elif op == Op.RANK:
            arena.slots[to] = events.text_rank[arena.slots[a]]
        elif op == Op.TO_FLOAT:
            arena.slots_f[to] = np.float64(arena.slots[a])
        elif op == Op.TO_INTEGER:
            x = arena.slots_f[a]
            if x >= -9223372036854775808.0 and x < 9223372036854775808.0:
                arena.slots[to] = np.int64(x)
            else:
                own = Fault.CAST + 0
        elif op == Op.DIVIDE_OR_NULL:
            if arena.slots_f[b] == 0.0:
                null = 1
            else:
                arena.slots_f[to] = arena.slots_f[a] / arena.slots_f[b]
        elif op == Op.SAMPLE_DEVIATION:
            n = arena.slots[b]
            if n < 2:
                null = 1
            else:
                arena.slots_f[to] = math.sqrt(max(0.0, arena.slots_f[a]) / (n - 1))
        elif op <= Op.ABS_I:
            own = run_integer(arena, op, to, a, b)
        else:
            own = run_float(arena, op, to, a, b)
        if own != Fault.NONE:
            fault = own
            null = 1
    arena.slot_fault[to] = fault
    arena.slot_null[to] = null


@kernel
def holds(
    arena: Arena, programs: Programs, events: Events, event: int, node: int, condition: int
) -> bool:
    """Whether the program of a condition is true for this event and what `node` captured."""
    for at in range(programs.start[condition], programs.start[condition + 1]):
        op = programs.code[at, 0]
        if op <= Op.REGISTER_F:
            load(arena, programs, events, event, node, at)
        elif op == Op.AND or op == Op.OR:
            run_logic(arena, op, programs.code[at, 1], programs.code[at, 2], programs.code[at, 3])
        elif op >= Op.IS_NULL and op <= Op.EXTREME_F:
            run_choice(
                arena,
                op,
                programs.code[at, 1],
                programs.code[at, 2],
                programs.code[at, 3],
                programs.code[at, 4],
            )
        else:
            run_strict(arena, programs, events, at)
    if arena.slot_fault[0] != 0:
        add_fault(arena, event, condition, arena.slot_fault[0])
        return False
    return arena.slot_null[0] == 0 and arena.slots[0] == 1


@kernel
def truths(
    arena: Arena,
    programs: Programs,
    events: Events,
    event: int,
    node: int,
    wanted: np.uint64,
    across: np.uint64,
) -> np.uint64:
    """The event's condition bits for a run: column parts, and programs for the wanted ones."""
    mask = events.mask[event]
    result = mask & ~across
    pending = mask & wanted
    condition = 0
    while pending:
        if pending & np.uint64(1) and holds(arena, programs, events, event, node, condition):
            result |= np.uint64(1) << np.uint64(condition)
        pending >>= np.uint64(1)
        condition += 1
    return result


@kernel
def accepts(bits: np.uint64, require: np.uint64, forbid: np.uint64) -> bool:
    return bits & require == require and bits & forbid == 0


# ---------------------------------------------------------------------- matches


@kernel
def emit(arena: Arena, node: int, at_us: int) -> None:
    at = arena.counters[FOUND]
    arena.found_node[at] = node
    arena.found_at_us[at] = at_us
    arena.counters[FOUND] = at + 1


@kernel
def complete(
    automaton: Automaton, arena: Arena, node: int, start: int, at_us: int, sequence: int
) -> None:
    """A run has become a match, at the event of this sequence: out at once, or noted for `release`."""
    if arena.node_completed[node] == sequence:
        return
    arena.node_completed[node] = sequence
    settings = automaton.settings
    if settings[SKIP] == NO_SKIP and settings[LONGEST] == 0:
        emit(arena, node, at_us)
        return
    at = arena.counters[DONE]
    arena.done_node[at] = node
    arena.done_start[at] = start
    arena.counters[DONE] = at + 1


@kernel
def release(
    automaton: Automaton, arena: Arena, keys: Keys, key: int, at_us: int, event: int, final: bool
) -> None:
    """Report the completed matches that no earlier open run can overtake, and skip after each.

    `event` -1: time alone has moved. `final`: no event will come, so a longest match is known.
    """
    if arena.counters[DONE] == 0 and keys.waiting[key] < 0:
        return
    longest = automaton.settings[LONGEST] != 0
    size = load_waiting(arena, keys, key)
    for i in range(arena.counters[DONE]):
        size = push_waiting(arena, arena.done_node[i], arena.done_start[i], size, longest)
    arena.counters[DONE] = 0
    while size > 0:
        start = arena.heap_start[0]
        first = first_open_run(arena, keys, key)
        if first >= 0 and not (final and longest):
            earliest = arena.run_start[first]
            if earliest < start or (longest and earliest == start):
                break
        node = arena.heap_node[0]
        size = pop_waiting(arena, size)
        emit(arena, node, at_us)
        limit = skip_limit(automaton, arena, node, start, event)
        size = prune_waiting(arena, limit, size)
        skip_runs(automaton, arena, keys, key, limit, event)
    store_waiting(arena, keys, key, size)


@kernel
def first_open_run(arena: Arena, keys: Keys, key: int) -> int:
    run = keys.head[key]
    while run >= 0 and arena.run_state[run] < 0:
        run = arena.run_next[run]
    return run


# The matches of a key that wait stand in a binary heap by first event; which of two that begin at
# the same event comes first follows from the textbook moves below, as the conformance cases show.


@kernel
def load_waiting(arena: Arena, keys: Keys, key: int) -> int:
    """The key's waiting matches into the heap arrays; how many they are."""
    size = 0
    waiting = keys.waiting[key]
    while waiting >= 0:
        arena.heap_node[size] = arena.waiting_node[waiting]
        arena.heap_start[size] = arena.waiting_start[waiting]
        size += 1
        following = arena.waiting_next[waiting]
        arena.waiting_next[waiting] = arena.counters[FREE_WAITING]
        arena.counters[FREE_WAITING] = waiting
        arena.counters[FREE_WAITINGS] += 1
        waiting = following
    keys.waiting[key] = -1
    keys.waitings[key] = 0
    return size


@kernel
def store_waiting(arena: Arena, keys: Keys, key: int, size: int) -> None:
    for i in range(size - 1, -1, -1):
        waiting = arena.counters[FREE_WAITING]
        arena.counters[FREE_WAITING] = arena.waiting_next[waiting]
        arena.counters[FREE_WAITINGS] -= 1
        arena.waiting_node[waiting] = arena.heap_node[i]
        arena.waiting_start[waiting] = arena.heap_start[i]
        arena.waiting_next[waiting] = keys.waiting[key]
        keys.waiting[key] = waiting
    keys.waitings[key] = size


@kernel
def push_waiting(arena: Arena, node: int, start: int, size: int, longest: bool) -> int:
    """Add a match; where only the longest counts it takes the place of one with the same start."""
    if longest:
        for i in range(size):
            if arena.heap_start[i] == start:
                arena.heap_node[i] = node
                return size
    at = size
    while at > 0 and start < arena.heap_start[(at - 1) >> 1]:
        arena.heap_node[at] = arena.heap_node[(at - 1) >> 1]
        arena.heap_start[at] = arena.heap_start[(at - 1) >> 1]
        at = (at - 1) >> 1
    arena.heap_node[at] = node
    arena.heap_start[at] = start
    return size + 1


@kernel
def pop_waiting(arena: Arena, size: int) -> int:
    """Remove the first: the last takes its place and sinks."""
    arena.heap_node[0] = arena.heap_node[size - 1]
    arena.heap_start[0] = arena.heap_start[size - 1]
    sink_waiting(arena, 0, size - 1)
    return size - 1


@kernel
def sink_waiting(arena: Arena, at: int, size: int) -> None:
    node = arena.heap_node[at]
    start = arena.heap_start[at]
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and arena.heap_start[child + 1] < arena.heap_start[child]:
            child += 1
        if start <= arena.heap_start[child]:
            break
        arena.heap_node[at] = arena.heap_node[child]
        arena.heap_start[at] = arena.heap_start[child]
        at = child
    arena.heap_node[at] = node
    arena.heap_start[at] = start


@kernel
def prune_waiting(arena: Arena, limit: int, size: int) -> int:
    kept = 0
    for i in range(size):
        if arena.heap_start[i] > limit:
            arena.heap_node[kept] = arena.heap_node[i]
            arena.heap_start[kept] = arena.heap_start[i]
            kept += 1
    if kept < size:
        for at in range((kept >> 1) - 1, -1, -1):
            sink_waiting(arena, at, kept)
    return kept


@kernel
def skip_limit(
    automaton: Automaton, arena: Arena, node: int, start: int, event: int
) -> int:
    """Runs that began at or before this sequence are dropped after a match; -1: none are."""
    strategy = automaton.settings[SKIP]
    if strategy == NO_SKIP:
        return -1
    if strategy == TO_NEXT_ROW:
        return start
    if strategy == PAST_LAST_EVENT:
        return arena.node_sequence[node]
    limit = -1
    while node >= 0:
        if arena.node_variable[node] == automaton.settings[SKIP_VARIABLE]:
            limit = arena.node_sequence[node] - 1
            if strategy == TO_LAST:
                return limit
        node = arena.node_parent[node]
    if limit < 0:
        add_fault(arena, event, 0, FAULT_SKIP_TARGET)
    return limit


@kernel
def skip_runs(
    automaton: Automaton, arena: Arena, keys: Keys, key: int, limit: int, event: int
) -> None:
    """Drop the open runs that began at or before `limit`.

    A run dropped because time moved stays in the list, its state marked, until the key's next event:
    it is still reported as timed out where its own deadline comes first.
    """
    if event < 0 and automaton.settings[KEEP_TIMEOUTS]:
        run = keys.head[key]
        while run >= 0 and arena.run_start[run] <= limit:
            arena.run_state[run] = min(arena.run_state[run], DROPPED - arena.run_state[run])
            run = arena.run_next[run]
        return
    while keys.head[key] >= 0 and arena.run_start[keys.head[key]] <= limit:
        drop_first_run(arena, keys, key)


@kernel
def drop_first_run(arena: Arena, keys: Keys, key: int) -> None:
    run = keys.head[key]
    keys.head[key] = arena.run_next[run]
    if keys.head[key] < 0:
        keys.tail[key] = -1
    keys.runs[key] -= 1
    free_run(arena, run)


# ---------------------------------------------------------------------- time


@kernel
def deadline(automaton: Automaton, arena: Arena, run: int) -> int:
    """The event time at which the run dies, or, pending, becomes a match."""
    result = NEVER
    within_us = automaton.settings[WITHIN_US]
    if within_us > 0:
        result = arena.run_start_us[run] + within_us
    state = arena.run_state[run]
    window_us = automaton.state_window_us[max(state, DROPPED - state)]
    if window_us > 0:
        result = min(result, arena.run_previous_us[run] + window_us)
    return result


@kernel
def first_deadline(automaton: Automaton, arena: Arena, keys: Keys, key: int) -> int:
    """The earliest deadline among a key's runs. O(1) where only `within` bounds them."""
    run = keys.head[key]
    result = NEVER
    while run >= 0:
        result = min(result, deadline(automaton, arena, run))
        if not automaton.settings[HAS_WINDOWS]:
            return result
        run = arena.run_next[run]
    return result


@kernel
def time_out(arena: Arena, node: int, at_us: int, automaton: Automaton) -> None:
    if not automaton.settings[KEEP_TIMEOUTS]:
        return
    at = arena.counters[TIMED_OUT]
    before = at - 1
    while before >= 0 and arena.timed_out_at_us[before] == at_us:
        if arena.timed_out_node[before] == node:
            return  # another run of the same captures has said so
        before -= 1
    arena.timed_out_node[at] = node
    arena.timed_out_at_us[at] = at_us
    arena.counters[TIMED_OUT] = at + 1


@kernel
def expire_key(automaton: Automaton, arena: Arena, keys: Keys, key: int, now_us: int) -> None:
    """End the key's runs whose time is up by now, in the order of their deadlines."""
    due = first_deadline(automaton, arena, keys, key)
    while due <= now_us and due != NEVER:
        if automaton.settings[HAS_WINDOWS]:
            end_due_runs(automaton, arena, keys, key, due)
        else:
            end_first_runs(automaton, arena, keys, key, due)
        release(automaton, arena, keys, key, due, -1, False)
        due = first_deadline(automaton, arena, keys, key)


@kernel
def end_first_runs(
    automaton: Automaton, arena: Arena, keys: Keys, key: int, due: int
) -> None:
    """Only `within` bounds the runs: the first to begin are the first to end."""
    while keys.head[key] >= 0 and deadline(automaton, arena, keys.head[key]) == due:
        end_run(automaton, arena, keys, key, keys.head[key], due)
        drop_first_run(arena, keys, key)


@kernel
def end_due_runs(automaton: Automaton, arena: Arena, keys: Keys, key: int, due: int) -> None:
    run = keys.head[key]
    keys.head[key] = -1
    keys.tail[key] = -1
    keys.runs[key] = 0
    while run >= 0:
        following = arena.run_next[run]
        if deadline(automaton, arena, run) == due:
            end_run(automaton, arena, keys, key, run, due)
            free_run(arena, run)
        else:
            append_run(arena, keys, key, run)
        run = following


@kernel
def end_run(
    automaton: Automaton, arena: Arena, keys: Keys, key: int, run: int, at_us: int
) -> None:
    node = arena.run_node[run]
    state = arena.run_state[run]
    if automaton.state_pending[max(state, DROPPED - state)]:
        if state < 0:
            return
        complete(automaton, arena, node, arena.run_start[run], at_us, NEVER)
    else:
        time_out(arena, node, at_us, automaton)


# ---------------------------------------------------------------------- steps


@kernel
def is_killed(automaton: Automaton, state: int, bits: np.uint64) -> bool:
    for kill in range(automaton.kill_start[state], automaton.kill_start[state + 1]):
        if accepts(bits, automaton.kill_require[kill], automaton.kill_forbid[kill]):
            return True
    return False


@kernel
def is_final_after(automaton: Automaton, edge: int, bits: np.uint64) -> bool:
    for final in range(automaton.final_start[edge], automaton.final_start[edge + 1]):
        if accepts(bits, automaton.final_require[final], automaton.final_forbid[final]):
            return True
    return False


@kernel
def add_run(
    automaton: Automaton,
    arena: Arena,
    keys: Keys,
    key: int,
    state: int,
    node: int,
    start: int,
    start_us: int,
    previous_us: int,
    sequence: int,
) -> None:
    if automaton.settings[DISTINCT_RUNS] and not is_new_state_of_node(arena, state, node, sequence):
        return
    run = new_run(arena)
    arena.run_state[run] = state
    arena.run_node[run] = node
    arena.run_start[run] = start
    arena.run_start_us[run] = start_us
    arena.run_previous_us[run] = previous_us
    append_run(arena, keys, key, run)


@kernel
def step(
    automaton: Automaton,
    programs: Programs,
    events: Events,
    event: int,
    arena: Arena,
    keys: Keys,
    key: int,
    state: int,
    node: int,
    start: int,
    start_us: int,
    previous_us: int,
) -> None:
    """Offer the event to one run (node -1: to the virtual run at the start) and add what it becomes."""
    bits = truths(
        arena, programs, events, event, node, automaton.state_across[state], automaton.across[0]
    )
    killed = node >= 0 and is_killed(automaton, state, bits)
    time_us = events.time_us[event]
    sequence = events.sequence[event]
    for edge in range(automaton.edge_start[state], automaton.edge_start[state + 1]):
        if not accepts(bits, automaton.edge_require[edge], automaton.edge_forbid[edge]):
            continue
        target = automaton.edge_target[edge]
        if automaton.edge_action[edge] == TAKE:
            taken = capture(
                arena, programs, events, event, node, automaton.edge_variable[edge]
            )
            began, began_us = start, start_us
            if node < 0:
                began, began_us = sequence, time_us
            if target != FINAL and not killed:
                add_run(
                    automaton, arena, keys, key, target, taken, began, began_us, time_us, sequence
                )
            if target == FINAL or is_final_after(automaton, edge, bits):
                complete(automaton, arena, taken, began, time_us, sequence)
        elif node >= 0:
            if target == FINAL:
                complete(automaton, arena, node, start, time_us, sequence)
            elif not killed:
                add_run(
                    automaton,
                    arena,
                    keys,
                    key,
                    target,
                    node,
                    start,
                    start_us,
                    previous_us,
                    sequence,
                )


@kernel
def is_ended_by_unless(
    automaton: Automaton, programs: Programs, events: Events, event: int, arena: Arena, node: int
) -> bool:
    unless = automaton.settings[UNLESS]
    if unless < 0:
        return False
    bit = np.uint64(1) << np.uint64(unless)
    if not events.mask[event] & bit:
        return False
    if automaton.across[0] & bit:
        return holds(arena, programs, events, event, node, unless)
    return True


@kernel
def advance(
    automaton: Automaton,
    programs: Programs,
    events: Events,
    event: int,
    arena: Arena,
    keys: Keys,
    key: int,
) -> None:
    """Offer the event to every run of its key, then to a new one."""
    run = keys.head[key]
    keys.head[key] = -1
    keys.tail[key] = -1
    keys.runs[key] = 0
    while run >= 0:
        following = arena.run_next[run]
        node = arena.run_node[run]
        state = arena.run_state[run]
        start = arena.run_start[run]
        start_us = arena.run_start_us[run]
        previous_us = arena.run_previous_us[run]
        ended = state < 0 or is_ended_by_unless(
            automaton, programs, events, event, arena, node
        )
        free_run(arena, run)
        if not ended:
            step(
                automaton,
                programs,
                events,
                event,
                arena,
                keys,
                key,
                state,
                node,
                start,
                start_us,
                previous_us,
            )
        run = following
    state = automaton.settings[START_STATE]
    if events.mask[event] & automaton.start_any[0]:
        step(automaton, programs, events, event, arena, keys, key, state, -1, -1, 0, 0)
    release(automaton, arena, keys, key, events.time_us[event], event, False)


@kernel
def has_room(automaton: Automaton, arena: Arena, keys: Keys, key: int) -> bool:
    """Whether the next event of this key fits, whatever it does."""
    made = (keys.runs[key] + 1) * automaton.settings[RUNS_PER_STEP]
    done = made + keys.runs[key] + keys.waitings[key]
    counters = arena.counters
    return (
        counters[FREE_RUNS] >= made
        and arena.node_parent.size - counters[NODES] >= made
        and counters[FREE_WAITINGS] >= made + keys.runs[key]
        and arena.heap_node.size >= done
        and arena.found_node.size - counters[FOUND] >= done
        and arena.timed_out_node.size - counters[TIMED_OUT] >= keys.runs[key]
    )


@kernel
def process(
    automaton: Automaton,
    programs: Programs,
    events: Events,
    begin: int,
    arena: Arena,
    keys: Keys,
) -> int:
    """Run events begin.. in order; the index of the first one not run, for lack of room.

    O(events x (1 + open runs of the event's key)).
    """
    for event in range(begin, events.time_us.size):
        key = events.key[event]
        if keys.head[key] < 0 and not events.mask[event] & automaton.start_any[0]:
            continue
        if not has_room(automaton, arena, keys, key):
            return event
        if keys.head[key] >= 0:
            expire_key(automaton, arena, keys, key, events.time_us[event])
        advance(automaton, programs, events, event, arena, keys, key)
    return events.time_us.size


@kernel
def expire(
    automaton: Automaton, arena: Arena, keys: Keys, begin: int, now_us: int, closing_us: int
) -> int:
    """Time reaches now_us for keys begin..; the first key not reached, for lack of room.

    `closing_us` >= 0: no event will come any more, so completed matches wait for nothing; they are
    reported as found at this time.
    """
    for key in range(begin, keys.head.size):
        if keys.head[key] < 0 and keys.waiting[key] < 0:
            continue
        if not has_room(automaton, arena, keys, key):
            return key
        expire_key(automaton, arena, keys, key, now_us)
        if closing_us >= 0:
            release(automaton, arena, keys, key, closing_us, -1, True)
    return keys.head.size


# ---------------------------------------------------------------------- chains


@kernel
def chain_lengths(arena: Arena, nodes: Int64s, lengths: Int64s) -> None:
    """How many events each node's chain holds; shapes (m,)."""
    for i in range(nodes.size):
        node = nodes[i]
        length = 0
        while node >= 0:
            length += 1
            node = arena.node_parent[node]
        lengths[i] = length


@kernel
def write_chains(
    arena: Arena, nodes: Int64s, offsets: Int64s, variable: Int32s, sequence: Int64s
) -> None:
    """The chains themselves, first event first; chain i goes to offsets[i]:offsets[i + 1]."""
    for i in range(nodes.size):
        node = nodes[i]
        at = offsets[i + 1] - 1
        while node >= 0:
            variable[at] = arena.node_variable[node]
            sequence[at] = arena.node_sequence[node]
            at -= 1
            node = arena.node_parent[node]


@kernel
def mark_reachable(arena: Arena, keys: Keys, reachable: Int64s) -> None:
    """Set reachable[node] to 1 for every node that a run or a waiting match holds."""
    for key in range(keys.head.size):
        run = keys.head[key]
        while run >= 0:
            node = arena.run_node[run]
            while node >= 0 and reachable[node] == 0:
                reachable[node] = 1
                node = arena.node_parent[node]
            run = arena.run_next[run]
        waiting = keys.waiting[key]
        while waiting >= 0:
            node = arena.waiting_node[waiting]
            while node >= 0 and reachable[node] == 0:
                reachable[node] = 1
                node = arena.node_parent[node]
            waiting = arena.waiting_next[waiting]


@kernel
def renumber_holders(arena: Arena, keys: Keys, number: Int64s) -> None:
    """Point runs and waiting matches at the nodes' new numbers."""
    for key in range(keys.head.size):
        run = keys.head[key]
        while run >= 0:
            arena.run_node[run] = number[arena.run_node[run]]
            run = arena.run_next[run]
        waiting = keys.waiting[key]
        while waiting >= 0:
            arena.waiting_node[waiting] = number[arena.waiting_node[waiting]]
            waiting = arena.waiting_next[waiting]
