"""Captured chains read out, and the captures that nobody can reach any more."""

from __future__ import annotations

from cep.engine.kernels.jit import kernel
from cep.engine.kernels.layout import (
    KEY_HEAD,
    KEY_WAITING,
    NODE_CHILD,
    NODE_PARENT,
    NODE_SEQUENCE,
    NODE_SIBLING,
    NODE_VARIABLE,
    NODES,
    RUN_NEXT,
    RUN_NODE,
    START_CHILD,
    WAITING_NEXT,
    WAITING_NODE,
    Arena,
    Int64s,
)


@kernel
def chain_lengths(nodes: Int64s, last: Int64s, lengths: Int64s) -> None:
    """How many events the chain up to each of these nodes holds; shapes (m,)."""
    for i in range(last.size):
        node = last[i]
        length = 0
        while node >= 0:
            length += 1
            node = nodes[node, NODE_PARENT]
        lengths[i] = length


@kernel
def chain_firsts(nodes: Int64s, last: Int64s, first: Int64s, total: Int64s) -> None:
    """The first event of the chain up to each of these nodes, and the sum of all; shapes (m,)."""
    for i in range(last.size):
        node = last[i]
        sequence = 0
        total[i] = 0
        while node >= 0:
            sequence = nodes[node, NODE_SEQUENCE]
            total[i] += sequence
            node = nodes[node, NODE_PARENT]
        first[i] = sequence


@kernel
def write_chains(
    nodes: Int64s, last: Int64s, offsets: Int64s, variable: Int64s, sequence: Int64s
) -> None:
    """The chains themselves, first event first; chain i goes to offsets[i]:offsets[i + 1]."""
    for i in range(last.size):
        node = last[i]
        at = offsets[i + 1] - 1
        while node >= 0:
            variable[at] = nodes[node, NODE_VARIABLE]
            sequence[at] = nodes[node, NODE_SEQUENCE]
            at -= 1
            node = nodes[node, NODE_PARENT]


@kernel
def mark_reachable(arena: Arena, keys: Int64s, reachable: Int64s) -> None:
    """Set reachable[node] to 1 for every node that a run or a waiting match holds."""
    for key in range(keys.shape[0]):
        run = keys[key, KEY_HEAD]
        while run >= 0:
            node = arena.runs[run, RUN_NODE]
            while node >= 0 and reachable[node] == 0:
                reachable[node] = 1
                node = arena.nodes[node, NODE_PARENT]
            run = arena.runs[run, RUN_NEXT]
        waiting = keys[key, KEY_WAITING]
        while waiting >= 0:
            node = arena.waiting[waiting, WAITING_NODE]
            while node >= 0 and reachable[node] == 0:
                reachable[node] = 1
                node = arena.nodes[node, NODE_PARENT]
            waiting = arena.waiting[waiting, WAITING_NEXT]


@kernel
def keep_reachable(arena: Arena, number: Int64s) -> None:
    """Move up the nodes for which `number` is 1; of those it is the new number afterwards.

    A node stands behind its parent, before and after. Siblings are looked for among the captures of
    one event, which is over by now.
    """
    nodes, registers, kept = arena.nodes, arena.registers, 0
    for node in range(number.size):
        if number[node] == 0:
            continue
        number[node] = kept
        for column in range(nodes.shape[1]):
            nodes[kept, column] = nodes[node, column]
        for register in range(registers.shape[1]):
            registers[kept, register] = registers[node, register]
        if nodes[kept, NODE_PARENT] >= 0:
            nodes[kept, NODE_PARENT] = number[nodes[kept, NODE_PARENT]]
        nodes[kept, NODE_CHILD] = -1
        nodes[kept, NODE_SIBLING] = -1
        kept += 1
    arena.counters[START_CHILD] = -1
    arena.counters[NODES] = kept


@kernel
def renumber_holders(arena: Arena, keys: Int64s, number: Int64s) -> None:
    """Point runs and waiting matches at the nodes' new numbers."""
    for key in range(keys.shape[0]):
        run = keys[key, KEY_HEAD]
        while run >= 0:
            arena.runs[run, RUN_NODE] = number[arena.runs[run, RUN_NODE]]
            run = arena.runs[run, RUN_NEXT]
        waiting = keys[key, KEY_WAITING]
        while waiting >= 0:
            arena.waiting[waiting, WAITING_NODE] = number[arena.waiting[waiting, WAITING_NODE]]
            waiting = arena.waiting[waiting, WAITING_NEXT]
