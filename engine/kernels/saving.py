"""A pattern's state copied out of its tables for a snapshot, and what a restored one can reach."""

from __future__ import annotations

from cep.engine.kernels.jit import kernel
from cep.engine.kernels.layout import (
    KEY_HEAD,
    KEY_WAITING,
    NODE_COMPLETED,
    NODE_PARENT,
    NODE_SEQUENCE,
    NODE_VALID,
    NODE_VARIABLE,
    RUN_NEXT,
    SAVED_COMPLETED,
    SAVED_PARENT,
    SAVED_SEQUENCE,
    SAVED_VALID,
    SAVED_VARIABLE,
    WAITING_NEXT,
    Arena,
    Int64s,
)


@kernel
def save_lists(arena: Arena, keys: Int64s, slots: Int64s, runs: Int64s, waiting: Int64s) -> None:
    """The runs and waiting matches of these keys, key after key, each in the order of its list.

    Rows are those of the arena up to the link, which stands last.
    """
    saved, saved_waiting = 0, 0
    for at in range(slots.size):
        run = keys[slots[at], KEY_HEAD]
        while run >= 0:
            for column in range(RUN_NEXT):
                runs[saved, column] = arena.runs[run, column]
            saved += 1
            run = arena.runs[run, RUN_NEXT]
        match = keys[slots[at], KEY_WAITING]
        while match >= 0:
            for column in range(WAITING_NEXT):
                waiting[saved_waiting, column] = arena.waiting[match, column]
            saved_waiting += 1
            match = arena.waiting[match, WAITING_NEXT]


@kernel
def save_nodes(nodes: Int64s, saved: Int64s) -> None:
    """What of the captures outlasts the event in hand; shapes (n, ...) and (n, SAVED_FIELDS)."""
    for node in range(saved.shape[0]):
        saved[node, SAVED_PARENT] = nodes[node, NODE_PARENT]
        saved[node, SAVED_VARIABLE] = nodes[node, NODE_VARIABLE]
        saved[node, SAVED_SEQUENCE] = nodes[node, NODE_SEQUENCE]
        saved[node, SAVED_COMPLETED] = nodes[node, NODE_COMPLETED]
        saved[node, SAVED_VALID] = nodes[node, NODE_VALID]


@kernel
def mark_owners(saved: Int64s, last: Int64s, owners: Int64s, owner_of: Int64s) -> None:
    """Set owner_of[node] to owners[i] for every node of the chain up to last[i].

    No node has two owners. `owner_of` is -1 before.
    """
    for i in range(last.size):
        node = last[i]
        while node >= 0 and owner_of[node] < 0:
            owner_of[node] = owners[i]
            node = saved[node, SAVED_PARENT]


@kernel
def mark_chains(saved: Int64s, last: Int64s, reachable: Int64s) -> None:
    """Set reachable[node] to 1 for every node of the chains up to these."""
    for i in range(last.size):
        node = last[i]
        while node >= 0 and reachable[node] == 0:
            reachable[node] = 1
            node = saved[node, SAVED_PARENT]
