"""A pattern's state -> a snapshot, and the snapshots of several shards -> one state again.

A snapshot says what there is, not where it stands: keys with state by code, for each key its runs
and its waiting matches in order, and captured events with their registers, parents before children.
Copying is all that happens while events wait; what nobody reaches is dropped on the way back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cep.engine.batch import Int64s
from cep.engine.kernels import layout, saving
from cep.engine.state.snapshot import Parts, Snapshot, Value


@dataclass(frozen=True, slots=True)
class Saved:
    """Keys (k,) by code, how many runs and waiting matches each has, and those key after key.

    `runs` (r, RUN_NEXT) and `waiting` (w, WAITING_NEXT) are the kernel's rows less their links;
    `nodes` (n, SAVED_FIELDS), `registers` (n, registers).
    """

    codes: Int64s
    runs_of: Int64s
    waiting_of: Int64s
    runs: Int64s
    waiting: Int64s
    nodes: Int64s
    registers: Int64s


def save(arena: layout.Arena, keys: Int64s, slots: Int64s, codes: Int64s) -> Snapshot:
    """Copies of all that the keys in these slots hold. O(keys + runs + captures)."""
    runs_of, waiting_of = keys[slots, layout.KEY_RUNS], keys[slots, layout.KEY_WAITINGS]
    runs = np.empty((int(runs_of.sum()), layout.RUN_NEXT), np.int64)
    waiting = np.empty((int(waiting_of.sum()), layout.WAITING_NEXT), np.int64)
    saving.save_lists(arena, keys, slots, runs, waiting)
    count = int(arena.counters[layout.NODES])
    nodes = np.empty((count, layout.SAVED_FIELDS), np.int64)
    saving.save_nodes(arena.nodes, nodes)
    return {
        "codes": codes,
        "runs_of": runs_of,
        "waiting_of": waiting_of,
        "runs": runs,
        "waiting": waiting,
        "nodes": nodes,
        "registers": arena.registers[:count].copy(),
    }


def split(saved: Snapshot, owners: Int64s, count: int) -> list[Snapshot]:
    """The snapshot of the keys of each owner: key i is of owner owners[i], of so many.

    O(keys + runs + captures), and a little for each owner. What nobody reaches is left out.
    """
    of_runs = np.repeat(owners, saved["runs_of"])
    of_waiting = np.repeat(owners, saved["waiting_of"])
    of_nodes = np.full(len(saved["nodes"]), -1, np.int64)
    for rows, column, mine in (
        (saved["runs"], layout.RUN_NODE, of_runs),
        (saved["waiting"], layout.WAITING_NODE, of_waiting),
    ):
        saving.mark_owners(saved["nodes"], np.ascontiguousarray(rows[:, column]), mine, of_nodes)
    order, ends = _by_owner(of_nodes, count)
    number = np.full(len(of_nodes), -1, np.int64)
    begins = np.concatenate([[0], ends])
    number[order] = np.arange(len(order)) - np.repeat(
        begins, np.diff(np.concatenate([begins, [len(order)]]))
    )
    fields: dict[str, list[Int64s]] = {
        "nodes": np.split(_renumbered(saved["nodes"], layout.SAVED_PARENT, number)[order], ends),
        "registers": np.split(saved["registers"][order], ends),
    }
    runs = _renumbered(saved["runs"], layout.RUN_NODE, number)
    waiting = _renumbered(saved["waiting"], layout.WAITING_NODE, number)
    for rows, of_rows, names in (
        (runs, of_runs, ("runs",)),
        (waiting, of_waiting, ("waiting",)),
        (None, owners, ("codes", "runs_of", "waiting_of")),
    ):
        order, ends = _by_owner(of_rows, count)
        for name in names:
            fields[name] = np.split((saved[name] if rows is None else rows)[order], ends)
    return [{name: parts[owner] for name, parts in fields.items()} for owner in range(count)]


def _by_owner(owners: Int64s, count: int) -> tuple[Int64s, Int64s]:
    """Rows that have an owner, owner by owner in their order; where each owner but the last ends.

    np.split cuts there.
    """
    order = np.argsort(owners, kind="stable")
    order = order[np.searchsorted(owners[order], 0) :]
    return order, np.searchsorted(owners[order], np.arange(1, count))


def _renumbered(rows: Int64s, column: int, number: Int64s) -> Int64s:
    """The rows with other numbers of captures in a column; -1 stays."""
    found = rows.copy()
    before = rows[:, column]
    found[:, column] = np.where(before < 0, -1, number[before])
    return found


def gather(parts: Parts) -> Saved:
    """The snapshots as one, of the keys that belong here and what they reach."""
    bases = np.cumsum([0, *(len(part["nodes"]) for part, _ in parts)])
    own = [_own(part, codes, int(at)) for (part, codes), at in zip(parts, bases, strict=False)]
    return _compacted(_joined(own))


def _own(part: Mapping[str, Value], codes: Int64s, base: int) -> Saved:
    """The keys of a part that have a code now, their captures numbered from `base` on."""
    now = codes[part["codes"]]
    mine = now >= 0
    runs = part["runs"][np.repeat(mine, part["runs_of"])]
    waiting = part["waiting"][np.repeat(mine, part["waiting_of"])]
    nodes = part["nodes"].copy()
    runs[:, layout.RUN_NODE] += base
    waiting[:, layout.WAITING_NODE] += base
    nodes[nodes[:, layout.SAVED_PARENT] >= 0, layout.SAVED_PARENT] += base
    counts = part["runs_of"][mine], part["waiting_of"][mine]
    return Saved(now[mine], *counts, runs, waiting, nodes, part["registers"])


def _joined(parts: Sequence[Saved]) -> Saved:
    return Saved(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.runs_of for part in parts]),
        np.concatenate([part.waiting_of for part in parts]),
        np.concatenate([part.runs for part in parts]),
        np.concatenate([part.waiting for part in parts]),
        np.concatenate([part.nodes for part in parts]),
        np.concatenate([part.registers for part in parts]),
    )


def _compacted(saved: Saved) -> Saved:
    """Without the captures that no run and no waiting match reaches."""
    reachable = np.zeros(len(saved.nodes), np.int64)
    runs, waiting = saved.runs.copy(), saved.waiting.copy()
    for rows, column in ((runs, layout.RUN_NODE), (waiting, layout.WAITING_NODE)):
        last = np.ascontiguousarray(rows[:, column])
        saving.mark_chains(saved.nodes, last, reachable)
    number = np.cumsum(reachable) - 1
    kept = np.flatnonzero(reachable)
    runs[:, layout.RUN_NODE] = number[runs[:, layout.RUN_NODE]]
    waiting[:, layout.WAITING_NODE] = number[waiting[:, layout.WAITING_NODE]]
    nodes = saved.nodes[kept]
    parents = nodes[:, layout.SAVED_PARENT]
    nodes[:, layout.SAVED_PARENT] = np.where(parents < 0, -1, number[parents])
    counts = saved.runs_of, saved.waiting_of
    return Saved(saved.codes, *counts, runs, waiting, nodes, saved.registers[kept])


# ---------------------------------------------------------------------- into empty tables


def fill(arena: layout.Arena, keys: Int64s, saved: Saved) -> None:
    """Put what was saved into empty tables that have room for it; key i goes to slot i."""
    count = len(saved.codes)
    first = layout.START_RUN + 1
    heads, tails = _link(arena.runs, first, layout.RUN_NEXT, saved.runs, saved.runs_of)
    keys[:count, layout.KEY_HEAD], keys[:count, layout.KEY_TAIL] = heads, tails
    keys[:count, layout.KEY_RUNS] = saved.runs_of
    heads, _ = _link(arena.waiting, 0, layout.WAITING_NEXT, saved.waiting, saved.waiting_of)
    keys[:count, layout.KEY_WAITING] = heads
    keys[:count, layout.KEY_WAITINGS] = saved.waiting_of
    _fill_nodes(arena, saved)
    counters = arena.counters
    counters[layout.FREE_RUN], counters[layout.FREE_RUNS] = _free_rows(
        arena.runs, first + len(saved.runs), layout.RUN_NEXT
    )
    counters[layout.FREE_WAITING], counters[layout.FREE_WAITINGS] = _free_rows(
        arena.waiting, len(saved.waiting), layout.WAITING_NEXT
    )


def _link(
    table: Int64s, begin: int, link: int, rows: Int64s, counts: Int64s
) -> tuple[Int64s, Int64s]:
    """Write the rows from `begin` on, linked key by key; the first and last row of each key."""
    ends = begin + np.cumsum(counts)
    table[begin : begin + len(rows), :link] = rows
    table[begin : begin + len(rows), link] = np.arange(begin + 1, begin + 1 + len(rows))
    some = counts > 0
    table[ends[some] - 1, link] = -1
    return np.where(some, ends - counts, -1), np.where(some, ends - 1, -1)


def _free_rows(table: Int64s, begin: int, link: int) -> tuple[int, int]:
    """Chain the rows from `begin` on as free; the first of them (-1: none), and how many."""
    link_free(table[begin:, link], begin, -1)
    return (begin if begin < len(table) else -1), len(table) - begin


def link_free(links: Int64s, first: int, rest: int) -> None:
    """Chain rows `first`.., whose links these are, into a free list that goes on with `rest`."""
    if len(links):
        links[:] = np.arange(first + 1, first + 1 + len(links))
        links[-1] = rest


def _fill_nodes(arena: layout.Arena, saved: Saved) -> None:
    size = len(saved.nodes)
    nodes = arena.nodes[:size]
    for column, saved_column in (
        (layout.NODE_PARENT, layout.SAVED_PARENT),
        (layout.NODE_VARIABLE, layout.SAVED_VARIABLE),
        (layout.NODE_SEQUENCE, layout.SAVED_SEQUENCE),
        (layout.NODE_COMPLETED, layout.SAVED_COMPLETED),
        (layout.NODE_VALID, layout.SAVED_VALID),
    ):
        nodes[:, column] = saved.nodes[:, saved_column]
    for column in (layout.NODE_CHILD, layout.NODE_SIBLING, layout.NODE_SEEN):
        nodes[:, column] = -1  # of the event in hand, which is over
    arena.registers[:size] = saved.registers
    arena.counters[layout.NODES] = size
