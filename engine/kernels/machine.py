"""Programs over slots: conditions that read the event under test and what a run has captured."""

from __future__ import annotations

import math

import numpy as np

from cep.engine.ingest.event_time import EARLIEST_US, LATEST_US
from cep.engine.kernels.codes import Fault, Op, Register
from cep.engine.kernels.jit import helper, inlined
from cep.engine.kernels.layout import (
    CODE_A,
    CODE_B,
    CODE_C,
    CODE_OP,
    CODE_TO,
    EVENT_CONSTANTS,
    EVENT_MASK,
    EVENT_VALID,
    FAULT_CODE,
    FAULT_CONDITION,
    FAULT_EVENT,
    FAULTS,
    NODE_VALID,
    REGISTER_KIND,
    SLOT_FAULT,
    SLOT_NULL,
    SLOT_VALUE,
    ZERO,
    Arena,
    Events,
    Floats,
    Int64s,
    Programs,
)


@inlined
def add_fault(arena: Arena, event: int, condition: int, code: int) -> None:
    at = arena.counters[FAULTS]
    if at < arena.faults.shape[0]:
        arena.faults[at, FAULT_EVENT] = event
        arena.faults[at, FAULT_CONDITION] = condition
        arena.faults[at, FAULT_CODE] = code
        arena.counters[FAULTS] = at + 1


@helper
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


@inlined
def compares(order: int, kind: int) -> bool:
    """Whether = <> < <= > >= (kinds 0 to 5) accepts an order: -1, 0, 1, or 2 for not comparable."""
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


@helper
def run_integer(slots: Int64s, slots_f: Floats, op: int, to: int, a: int, b: int) -> int:
    """Checked 64-bit arithmetic on slots; returns the fault.

    Only unsigned arithmetic may overflow: the compiler takes for granted that signed never does.
    """
    x = slots[a, SLOT_VALUE]
    y = slots[b, SLOT_VALUE]
    low = -9223372036854775808
    if op == Op.ADD_I:
        z = np.int64(np.uint64(x) + np.uint64(y))
        if (x >= 0) == (y >= 0) and (z >= 0) != (x >= 0):
            return Fault.OVERFLOW
    elif op == Op.SUBTRACT_I:
        z = np.int64(np.uint64(x) - np.uint64(y))
        if (x >= 0) != (y >= 0) and (z >= 0) != (x >= 0):
            return Fault.OVERFLOW
    elif op == Op.MULTIPLY_I:
        z = np.int64(np.uint64(x) * np.uint64(y))
        if x != 0 and ((x == -1 and y == low) or (y == -1 and x == low)):
            return Fault.OVERFLOW
        if x != 0 and x != -1 and z // x != y:
            return Fault.OVERFLOW
    elif op == Op.MODULO_I:
        if y == 0:
            return Fault.DIVISION_BY_ZERO
        z = x % y if y != -1 else x - x
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
    slots[to, SLOT_VALUE] = z
    return Fault.NONE


@helper
def run_float(slots: Int64s, slots_f: Floats, op: int, to: int, a: int, b: int) -> int:
    """Float arithmetic and functions on slots; returns the fault."""
    x = slots_f[a, SLOT_VALUE]
    y = slots_f[b, SLOT_VALUE]
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
        z = np.floor(abs(x))
        if abs(x) - z >= 0.5:
            z += 1.0  # ties go away from zero
        z = np.copysign(z, x)
    else:  # TRUNCATE
        z = np.trunc(x)
    slots_f[to, SLOT_VALUE] = z
    return Fault.NONE


@inlined
def run_logic(slots: Int64s, slots_f: Floats, op: int, to: int, a: int, b: int) -> None:
    """Three-valued and, or: where one side decides, the other's NULL does not count.

    The right side's fault does not count where the left side has decided.
    """
    decisive = 0 if op == Op.AND else 1
    null = max(slots[a, SLOT_NULL], slots[b, SLOT_NULL])
    left = slots[a, SLOT_NULL] == 0 and slots[a, SLOT_VALUE] == decisive
    right = slots[b, SLOT_NULL] == 0 and slots[b, SLOT_VALUE] == decisive
    fault = slots[a, SLOT_FAULT]
    if not left:
        fault = max(fault, slots[b, SLOT_FAULT])
    slots[to, SLOT_VALUE] = decisive if left or right else 1 - decisive
    slots[to, SLOT_NULL] = 0 if left or right else null
    slots[to, SLOT_FAULT] = fault


@inlined
def move_slot(slots: Int64s, slots_f: Floats, to: int, source: int, fault: int) -> None:
    slots[to, SLOT_VALUE] = slots[source, SLOT_VALUE]
    slots[to, SLOT_NULL] = slots[source, SLOT_NULL]
    slots[to, SLOT_FAULT] = max(fault, slots[source, SLOT_FAULT])


@helper
def run_choice(slots: Int64s, slots_f: Floats, op: int, to: int, a: int, b: int, c: int) -> None:
    """Instructions for which a NULL operand does not make a NULL result."""
    if op == Op.IS_NULL:
        slots[to, SLOT_VALUE] = slots[a, SLOT_NULL]
        slots[to, SLOT_FAULT] = slots[a, SLOT_FAULT]
        slots[to, SLOT_NULL] = 0
    elif op == Op.COALESCE:
        move_slot(slots, slots_f, to, b if slots[a, SLOT_NULL] else a, slots[a, SLOT_FAULT])
    elif op == Op.CHOOSE:
        chosen = b if slots[a, SLOT_NULL] == 0 and slots[a, SLOT_VALUE] == 1 else c
        move_slot(slots, slots_f, to, chosen, slots[a, SLOT_FAULT])
    else:  # EXTREME_I, EXTREME_F
        fault = max(slots[a, SLOT_FAULT], slots[b, SLOT_FAULT])
        if slots[a, SLOT_NULL] or slots[b, SLOT_NULL]:
            move_slot(slots, slots_f, to, b if slots[a, SLOT_NULL] else a, fault)
            return
        if op == Op.EXTREME_I:
            less = slots[a, SLOT_VALUE] < slots[b, SLOT_VALUE]
        else:
            x = slots_f[a, SLOT_VALUE]
            y = slots_f[b, SLOT_VALUE]
            if math.isnan(x) or math.isnan(y):
                move_slot(slots, slots_f, to, b if math.isnan(x) else a, fault)
                return
            less = x < y
        move_slot(slots, slots_f, to, a if less == (c == 0) else b, fault)


@inlined
def load(arena: Arena, programs: Programs, events: Events, event: int, node: int, at: int) -> None:
    """NULL, CONST, INPUT, REGISTER: a leaf's value into a slot; raw bits serve both banks."""
    op = programs.code[at, CODE_OP]
    to = programs.code[at, CODE_TO]
    a = programs.code[at, CODE_A]
    arena.slots[to, SLOT_FAULT] = 0
    arena.slots[to, SLOT_NULL] = 0
    if op == Op.CONST:
        first = events.rows[event, EVENT_CONSTANTS]
        arena.slots[to, SLOT_VALUE] = programs.constants[first + a]
    elif op == Op.INPUT:
        arena.slots[to, SLOT_VALUE] = events.inputs[event, a]
        held = events.rows[event, EVENT_VALID] & (1 << a) != 0
        arena.slots[to, SLOT_NULL] = 0 if held else 1
    elif op == Op.REGISTER:
        if node >= 0:
            arena.slots[to, SLOT_VALUE] = arena.registers[node, a]
            held = arena.nodes[node, NODE_VALID] & (1 << a) != 0
            arena.slots[to, SLOT_NULL] = 0 if held else 1
        else:  # nothing captured yet: counts are 0, all else is NULL
            kind = programs.registers[a, REGISTER_KIND]
            arena.slots[to, SLOT_VALUE] = 0
            counts = kind == Register.COUNT or kind == Register.COUNT_VALID
            arena.slots[to, SLOT_NULL] = 0 if counts else 1
    else:
        arena.slots[to, SLOT_VALUE] = 0
        arena.slots[to, SLOT_NULL] = 1


@helper
def run_strict(slots: Int64s, slots_f: Floats, code: Int64s, text_rank: Int64s, at: int) -> None:
    """Instructions whose result is NULL when an operand is."""
    op = code[at, CODE_OP]
    to = code[at, CODE_TO]
    a = code[at, CODE_A]
    b = code[at, CODE_B]
    c = code[at, CODE_C]
    two = (
        (op >= Op.ADD_I and op <= Op.MODULO_I)
        or (op >= Op.ADD_F and op <= Op.MODULO_F)
        or (op >= Op.COMPARE_I and op <= Op.COMPARE_IF)
        or op == Op.POWER
        or (op >= Op.DIVIDE_OR_NULL and op <= Op.REAL_SUM)
    )
    fault = slots[a, SLOT_FAULT]
    null = slots[a, SLOT_NULL]
    if two:
        fault = max(fault, slots[b, SLOT_FAULT])
        null = max(null, slots[b, SLOT_NULL])
    if null == 0:
        own = Fault.NONE + 0
        if op == Op.COMPARE_F:
            x = slots_f[a, SLOT_VALUE]
            y = slots_f[b, SLOT_VALUE]
            if x < y:
                order = -1
            elif x > y:
                order = 1
            else:
                order = 0 if x == y else 2
            slots[to, SLOT_VALUE] = compares(order, c)
        elif op == Op.COMPARE_I:
            i = slots[a, SLOT_VALUE]
            k = slots[b, SLOT_VALUE]
            order = -1 if i < k else (1 if i > k else 0)
            slots[to, SLOT_VALUE] = compares(order, c)
        elif op == Op.COMPARE_IF:
            order = compare_integer_float(slots[a, SLOT_VALUE], slots_f[b, SLOT_VALUE])
            slots[to, SLOT_VALUE] = compares(order, c)
        elif op == Op.NOT:
            slots[to, SLOT_VALUE] = 1 - slots[a, SLOT_VALUE]
        elif op == Op.RANK:
            slots[to, SLOT_VALUE] = text_rank[slots[a, SLOT_VALUE]]
        elif op == Op.TO_FLOAT:
            slots_f[to, SLOT_VALUE] = np.float64(slots[a, SLOT_VALUE])
        elif op == Op.TO_INTEGER:
            x = slots_f[a, SLOT_VALUE]
            if x >= -9223372036854775808.0 and x < 9223372036854775808.0:
                slots[to, SLOT_VALUE] = np.int64(x)
            else:
                own = Fault.CAST + 0
        elif op == Op.DIVIDE_OR_NULL:
            if slots_f[b, SLOT_VALUE] == 0.0:
                null = 1
            else:
                slots_f[to, SLOT_VALUE] = slots_f[a, SLOT_VALUE] / slots_f[b, SLOT_VALUE]
        elif op == Op.SAMPLE_DEVIATION:
            n = slots[b, SLOT_VALUE]
            if n < 2:
                null = 1
            else:
                slots_f[to, SLOT_VALUE] = math.sqrt(max(0.0, slots_f[a, SLOT_VALUE]) / (n - 1))
        elif op == Op.WHOLE_SUM:
            slots[to, SLOT_VALUE] = slots[a, SLOT_VALUE]
            if slots[b, SLOT_VALUE] != 0:
                own = Fault.OVERFLOW + 0
        elif op == Op.IN_CALENDAR:
            slots[to, SLOT_VALUE] = slots[a, SLOT_VALUE]
            if slots[a, SLOT_VALUE] < EARLIEST_US or slots[a, SLOT_VALUE] > LATEST_US:
                own = Fault.OVERFLOW + 0
        elif op == Op.REAL_SUM:
            carried = np.float64(slots[b, SLOT_VALUE]) * 18446744073709551616.0
            slots_f[to, SLOT_VALUE] = np.float64(slots[a, SLOT_VALUE]) + carried
        elif op <= Op.ABS_I:
            own = run_integer(slots, slots_f, op, to, a, b)
        else:
            own = run_float(slots, slots_f, op, to, a, b)
        if own != Fault.NONE:
            fault = own
            null = 1
    slots[to, SLOT_FAULT] = fault
    slots[to, SLOT_NULL] = null


@inlined
def compute(slots: Int64s, slots_f: Floats, code: Int64s, text_rank: Int64s, at: int) -> None:
    """An instruction that reads slots only."""
    op = code[at, CODE_OP]
    if op == Op.AND or op == Op.OR:
        run_logic(slots, slots_f, op, code[at, CODE_TO], code[at, CODE_A], code[at, CODE_B])
    elif op >= Op.IS_NULL and op <= Op.EXTREME_F:
        to = code[at, CODE_TO]
        run_choice(slots, slots_f, op, to, code[at, CODE_A], code[at, CODE_B], code[at, CODE_C])
    else:
        run_strict(slots, slots_f, code, text_rank, at)


@inlined
def holds(
    arena: Arena, programs: Programs, events: Events, event: int, node: int, condition: int
) -> bool:
    """Whether the program of a condition is true for this event and what `node` captured.

    What cannot be computed is NULL; that it could not is a fault, whatever comes of it.
    """
    slots = arena.slots
    for at in range(programs.start[condition], programs.start[condition + 1]):
        if programs.code[at, CODE_OP] <= Op.REGISTER:
            load(arena, programs, events, event, node, at)
        else:
            compute(slots, arena.slots_f, programs.code, events.text_rank, at)
    if slots[0, SLOT_FAULT] != 0:
        add_fault(arena, event, condition, slots[0, SLOT_FAULT])
    result: bool = slots[0, SLOT_NULL] == 0 and slots[0, SLOT_VALUE] == 1
    return result


@inlined
def truths(
    arena: Arena,
    programs: Programs,
    events: Events,
    event: int,
    node: int,
    wanted: int,
    across: int,
) -> int:
    """The event's condition bits for a run: column parts, and programs for the wanted ones."""
    mask: int = events.rows[event, EVENT_MASK]
    result = mask & ~across
    pending = mask & wanted
    condition = ZERO
    while pending:
        if pending & 1 and holds(arena, programs, events, event, node, condition):
            result |= 1 << condition
        pending >>= 1
        condition += 1
    return result
