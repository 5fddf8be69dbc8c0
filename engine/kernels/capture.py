"""What runs capture: nodes with a parent, shared by the runs that branch, and their registers."""

from __future__ import annotations

import math

import numpy as np

from cep.engine.kernels.codes import Register
from cep.engine.kernels.jit import helper, inlined
from cep.engine.kernels.layout import (
    BITS_MAX,
    EVENT_SEQUENCE,
    EVENT_VALID,
    NODE_CHILD,
    NODE_COMPLETED,
    NODE_PARENT,
    NODE_SEEN,
    NODE_SEQUENCE,
    NODE_SIBLING,
    NODE_STATES,
    NODE_VALID,
    NODE_VARIABLE,
    NODES,
    REGISTER_FLOAT,
    REGISTER_INPUT,
    REGISTER_KIND,
    REGISTER_VARIABLE,
    START_CHILD,
    Arena,
    Events,
    Programs,
)


@inlined
def is_new_state_of_node(arena: Arena, state: int, node: int, sequence: int) -> bool:
    """Whether no run at this event holds the node in this state yet; notes that one does now."""
    if arena.nodes[node, NODE_SEEN] != sequence:
        arena.nodes[node, NODE_SEEN] = sequence
        for word in range(NODE_STATES, arena.nodes.shape[1]):
            arena.nodes[node, word] = 0
    word = NODE_STATES + state // BITS_MAX
    bit = 1 << (state % BITS_MAX)
    if arena.nodes[node, word] & bit:
        return False
    arena.nodes[node, word] |= bit
    return True


@inlined
def capture(
    arena: Arena, programs: Programs, events: Events, event: int, parent: int, variable: int
) -> int:
    """The node that says: after `parent`, `variable` took this event. Asked twice, the same one."""
    sequence = events.rows[event, EVENT_SEQUENCE]
    sibling = arena.counters[START_CHILD] if parent < 0 else arena.nodes[parent, NODE_CHILD]
    child: int = sibling
    while child >= 0 and arena.nodes[child, NODE_SEQUENCE] == sequence:
        if arena.nodes[child, NODE_VARIABLE] == variable:
            return child
        child = arena.nodes[child, NODE_SIBLING]
    node: int = arena.counters[NODES]
    arena.counters[NODES] = node + 1
    arena.nodes[node, NODE_PARENT] = parent
    arena.nodes[node, NODE_VARIABLE] = variable
    arena.nodes[node, NODE_SEQUENCE] = sequence
    arena.nodes[node, NODE_CHILD] = -1
    arena.nodes[node, NODE_SIBLING] = sibling
    arena.nodes[node, NODE_COMPLETED] = -1
    arena.nodes[node, NODE_SEEN] = -1
    if parent < 0:
        arena.counters[START_CHILD] = node
    else:
        arena.nodes[parent, NODE_CHILD] = node
    if programs.registers.shape[0] > 0:
        update_registers(arena, programs, events, event, parent, variable, node)
    return node


@inlined
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
        arena.nodes[node, NODE_VALID] = 0
        for r in range(count):
            arena.registers[node, r] = 0
            kind = programs.registers[r, REGISTER_KIND]
            if kind == Register.COUNT or kind == Register.COUNT_VALID:
                arena.nodes[node, NODE_VALID] |= 1 << r
    else:
        arena.nodes[node, NODE_VALID] = arena.nodes[parent, NODE_VALID]
        for r in range(count):
            arena.registers[node, r] = arena.registers[parent, r]
    for r in range(count):
        wanted = programs.registers[r, REGISTER_VARIABLE]
        if wanted < 0 or wanted == variable:
            update_register(arena, programs, events, event, node, r)


@inlined
def update_register(
    arena: Arena, programs: Programs, events: Events, event: int, node: int, r: int
) -> None:
    kind = programs.registers[r, REGISTER_KIND]
    source = programs.registers[r, REGISTER_INPUT]
    as_float = programs.registers[r, REGISTER_FLOAT] != 0
    own = 1 << r
    if kind == Register.COUNT:
        arena.registers[node, r] += 1
        return
    valid = events.rows[event, EVENT_VALID] & (1 << source) != 0
    had = arena.nodes[node, NODE_VALID] & own != 0
    if kind == Register.COUNT_VALID:
        if valid:
            arena.registers[node, r] += 1
        return
    if kind == Register.LAST or kind == Register.FIRST:
        if kind == Register.LAST or not first_is_set(arena, programs, node, r):
            set_register(arena, events, event, source, node, r, valid)
        return
    if not valid or kind == Register.CARRY:
        return
    if kind == Register.MEAN or kind == Register.DEVIATION:
        update_moment(arena, programs, events, event, node, r)
        return
    if not had:
        set_register(arena, events, event, source, node, r, valid)
        if kind == Register.SUM and not as_float:
            arena.registers[node, r + 1] = 0
            arena.nodes[node, NODE_VALID] |= own << 1
        return
    if as_float:
        x = events.inputs_f[event, source]
        held_f = arena.registers_f[node, r]
        if kind == Register.SUM:
            arena.registers_f[node, r] = held_f + x
        elif (
            (kind == Register.MIN and x < held_f)
            or (kind == Register.MAX and x > held_f)
            or math.isnan(held_f)
        ):
            arena.registers_f[node, r] = x
        return
    i = events.inputs[event, source]
    held = arena.registers[node, r]
    if kind == Register.SUM:
        total = np.int64(np.uint64(held) + np.uint64(i))  # signed must not overflow
        arena.registers[node, r] = total
        if held < 0 and i < 0 and total >= 0:
            arena.registers[node, r + 1] -= 1
        elif held >= 0 and i >= 0 and total < 0:
            arena.registers[node, r + 1] += 1
    elif (
        (kind == Register.MIN and i < held)
        or (kind == Register.MAX and i > held)
        or (kind == Register.MIN_TEXT and events.text_rank[i] < events.text_rank[held])
        or (kind == Register.MAX_TEXT and events.text_rank[i] > events.text_rank[held])
    ):
        arena.registers[node, r] = i


@inlined
def first_is_set(arena: Arena, programs: Programs, node: int, r: int) -> bool:
    """Whether an earlier node of the chain was taken by the register's variable (NULLs count)."""
    wanted = programs.registers[r, REGISTER_VARIABLE]
    parent = arena.nodes[node, NODE_PARENT]
    if parent >= 0 and arena.nodes[parent, NODE_VALID] & (1 << r):
        return True
    while parent >= 0:
        if wanted < 0 or arena.nodes[parent, NODE_VARIABLE] == wanted:
            return True
        parent = arena.nodes[parent, NODE_PARENT]
    return False


@inlined
def set_register(
    arena: Arena, events: Events, event: int, source: int, node: int, r: int, valid: bool
) -> None:
    own = 1 << r
    arena.registers[node, r] = events.inputs[event, source]  # raw bits: either bank
    if valid:
        arena.nodes[node, NODE_VALID] |= own
    else:
        arena.nodes[node, NODE_VALID] &= ~own


@helper
def update_moment(
    arena: Arena, programs: Programs, events: Events, event: int, node: int, r: int
) -> None:
    """Welford: mean += (x - mean) / n; deviation += (x - mean before) * (x - mean after).

    The compiler lays the registers out as count, mean, deviation of the same input, so that by the
    time the deviation is updated both count and mean are already new.
    """
    source = programs.registers[r, REGISTER_INPUT]
    x = events.inputs_f[event, source]
    arena.nodes[node, NODE_VALID] |= 1 << r
    count_at = companion(programs, r, Register.COUNT_VALID)
    n = arena.registers[node, count_at]
    if programs.registers[r, REGISTER_KIND] == Register.MEAN:
        arena.registers_f[node, r] += (x - arena.registers_f[node, r]) / n
        return
    mean = arena.registers_f[node, companion(programs, r, Register.MEAN)]
    before = (mean * n - x) / (n - 1) if n > 1 else x
    arena.registers_f[node, r] += (x - before) * (x - mean)


@helper
def companion(programs: Programs, r: int, kind: int) -> int:
    """The register of another kind over the same variable and input."""
    for other in range(programs.registers.shape[0]):
        if (
            programs.registers[other, REGISTER_KIND] == kind
            and programs.registers[other, REGISTER_VARIABLE]
            == programs.registers[r, REGISTER_VARIABLE]
            and programs.registers[other, REGISTER_INPUT] == programs.registers[r, REGISTER_INPUT]
        ):
            return other
    return r
