"""Growable buffers around the run kernel: the state of one pattern over all keys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cep.engine.batch import Bools, Int64s
from cep.engine.kernels import chains, layout, runs
from cep.engine.tables import Tables

FAULTS_MAX = 4096  # faults told apart per call; more of one call are counted with the last event


@dataclass(frozen=True, slots=True)
class Chains:
    """Captured events of several matches: match i is [offsets[i]:offsets[i + 1]]."""

    offsets: Int64s
    variable: Int64s
    sequence: Int64s
    at_us: Int64s


class RunArena:
    """All runs of a pattern, their captures and the per-key lists, grown as the kernel asks.

    `capacity` is the first size of every buffer; tests make it tiny.
    """

    def __init__(self, tables: Tables, capacity: int = 1024) -> None:
        self._tables = tables
        self._nodes_at_last_count = capacity
        self.arena = _empty_arena(tables, capacity)
        self.keys = _empty_keys(0)

    # ------------------------------------------------------------------ running

    def process(self, events: layout.Events) -> None:
        """Offer the events, in order, to the runs of their keys."""
        done, size = 0, len(events.rows)
        while done < size:
            done = runs.process(
                self._tables.automaton, self._tables.programs, events, done, self.arena, self.keys
            )
            if done < size:
                self._make_room(int(events.rows[done, layout.EVENT_KEY]))

    def expire(self, now_us: int, closing_us: int = -1) -> None:
        """Let event time reach now_us for every key. `closing_us` >= 0: for the last time."""
        done, size = 0, len(self.keys)
        while done < size:
            done = runs.expire(
                self._tables.automaton, self.arena, self.keys, done, now_us, closing_us
            )
            if done < size:
                self._make_room(done)

    def take_found(self) -> Chains:
        """The matches found since the last call."""
        return self._take(layout.FOUND, self.arena.found)

    def take_timed_out(self) -> Chains:
        """The runs that timed out since the last call."""
        return self._take(layout.TIMED_OUT, self.arena.timed_out)

    def take_faults(self) -> list[tuple[int, int, int]]:
        """(event, condition, code) of each fault of the last `process`."""
        count = int(self.arena.counters[layout.FAULTS])
        self.arena.counters[layout.FAULTS] = 0
        return [(int(e), int(c), int(code)) for e, c, code in self.arena.faults[:count]]

    def _take(self, counter: int, out: Int64s) -> Chains:
        count = int(self.arena.counters[counter])
        self.arena.counters[counter] = 0
        nodes = np.ascontiguousarray(out[:count, layout.OUT_NODE])
        offsets = np.zeros(count + 1, np.int64)
        chains.chain_lengths(self.arena.nodes, nodes, offsets[1:])
        np.cumsum(offsets, out=offsets)
        variable = np.empty(offsets[-1], np.int64)
        sequence = np.empty(offsets[-1], np.int64)
        chains.write_chains(self.arena.nodes, nodes, offsets, variable, sequence)
        return Chains(offsets, variable, sequence, out[:count, layout.OUT_AT_US].copy())

    # ------------------------------------------------------------------ keys

    def ensure_keys(self, count: int) -> None:
        """Have room for keys 0..count - 1."""
        size = len(self.keys)
        if count > size:
            fresh = _empty_keys(max(count, 2 * size))
            fresh[:size] = self.keys
            self.keys = fresh

    def active_keys(self) -> Bools:
        """Which keys have state."""
        has_runs = self.keys[:, layout.KEY_HEAD] >= 0
        active: Bools = has_runs | (self.keys[:, layout.KEY_WAITING] >= 0)
        return active

    def keep_keys(self, codes: Int64s) -> None:
        """Key i is from now on what was key codes[i]; all others have no state."""
        fresh = _empty_keys(len(codes))
        held = codes < len(self.keys)
        fresh[held] = self.keys[codes[held]]
        self.keys = fresh

    # ------------------------------------------------------------------ captures

    @property
    def node_count(self) -> int:
        """Captures held, reachable or not."""
        return int(self.arena.counters[layout.NODES])

    @property
    def open_runs(self) -> int:
        """Runs that have taken an event and are not yet decided."""
        return int(self.keys[:, layout.KEY_RUNS].sum())

    def sequences_since(self, node: int) -> Int64s:
        """The distinct events, sorted, that nodes from this number on captured."""
        found: Int64s = np.unique(self.arena.nodes[node : self.node_count, layout.NODE_SEQUENCE])
        return found

    def is_worth_compacting(self) -> bool:
        """Whether captures have doubled since the unreachable ones were last dropped."""
        return self.node_count > 2 * self._nodes_at_last_count

    def compact(self) -> None:
        """Forget captures that no run and no waiting match can reach. O(nodes + runs)."""
        reachable = np.zeros(self.node_count, np.int64)
        chains.mark_reachable(self.arena, self.keys, reachable)
        number = np.cumsum(reachable) - 1
        chains.renumber_holders(self.arena, self.keys, number)
        kept = np.flatnonzero(reachable)
        self._move_nodes(kept, number)
        self.arena.counters[layout.NODES] = len(kept)
        self._nodes_at_last_count = max(len(kept), 1024)

    def _move_nodes(self, kept: Int64s, number: Int64s) -> None:
        nodes, size = self.arena.nodes, len(kept)
        nodes[:size] = nodes[kept]
        self.arena.registers[:size] = self.arena.registers[kept]
        parents = nodes[:size, layout.NODE_PARENT]
        nodes[:size, layout.NODE_PARENT] = np.where(parents < 0, -1, number[parents])
        # Siblings are looked for among the captures of one event, which is over by now.
        nodes[:size, layout.NODE_CHILD] = -1
        nodes[:size, layout.NODE_SIBLING] = -1
        self.arena.counters[layout.START_CHILD] = -1

    # ------------------------------------------------------------------ growth

    def _make_room(self, key: int) -> None:
        """Grow whatever the next event of this key might overflow (see runs.has_room)."""
        open_runs = int(self.keys[key, layout.KEY_RUNS])
        made = (open_runs + 1) * int(self._tables.automaton.settings[layout.RUNS_PER_STEP])
        done = made + 2 * open_runs + int(self.keys[key, layout.KEY_WAITINGS])
        counters = self.arena.counters
        self._grow("nodes", int(counters[layout.NODES]), made)
        self._grow("registers", int(counters[layout.NODES]), made)
        self.arena = self.arena._replace(registers_f=self.arena.registers.view(np.float64))
        self._grow("found", int(counters[layout.FOUND]), done)
        self._grow("timed_out", int(counters[layout.TIMED_OUT]), open_runs)
        self._grow("done", 0, done)
        self._grow("heap", 0, done)
        self._grow_list("runs", layout.RUN_NEXT, layout.FREE_RUN, layout.FREE_RUNS, made)
        self._grow_list(
            "waiting", layout.WAITING_NEXT, layout.FREE_WAITING, layout.FREE_WAITINGS, done
        )

    def _grow(self, name: str, used: int, more: int) -> None:
        array: Int64s = getattr(self.arena, name)
        if len(array) - used < more:
            self.arena = self.arena._replace(**{name: _enlarged(array, 2 * len(array) + more)})

    def _grow_list(self, name: str, link: int, free: int, count: int, more: int) -> None:
        """Enlarge a table whose free rows are linked by a column."""
        counters = self.arena.counters
        size = len(getattr(self.arena, name))
        self._grow(name, size - int(counters[count]), more)
        table: Int64s = getattr(self.arena, name)
        if len(table) > size:
            _link_free(table[:, link], size, int(counters[free]))
            counters[free] = size
            counters[count] += len(table) - size


def _empty_keys(count: int) -> Int64s:
    keys = np.full((count, layout.KEY_FIELDS), -1, np.int64)
    keys[:, layout.KEY_RUNS] = 0
    keys[:, layout.KEY_WAITINGS] = 0
    return keys


def _empty_arena(tables: Tables, capacity: int) -> layout.Arena:
    words = -(-len(tables.flat.states) // layout.BITS_MAX)
    registers = np.zeros((capacity, len(tables.machine.registers)), np.int64)
    slots = np.zeros((max(tables.slots, 8), 3), np.int64)
    arena = layout.Arena(
        counters=np.zeros(layout.COUNTERS, np.int64),
        runs=np.zeros((capacity + 1, layout.RUN_FIELDS), np.int64),
        nodes=np.zeros((capacity, layout.NODE_STATES + words), np.int64),
        registers=registers,
        registers_f=registers.view(np.float64),
        waiting=np.zeros((capacity, layout.WAITING_FIELDS), np.int64),
        found=np.zeros((capacity, 2), np.int64),
        timed_out=np.zeros((capacity, 2), np.int64),
        faults=np.zeros((FAULTS_MAX, 3), np.int64),
        done=np.zeros((capacity, 2), np.int64),
        heap=np.zeros((capacity, 2), np.int64),
        slots=slots,
        slots_f=slots.view(np.float64),
    )
    _link_free(arena.runs[:, layout.RUN_NEXT], layout.START_RUN + 1, -1)
    _link_free(arena.waiting[:, layout.WAITING_NEXT], 0, -1)
    arena.runs[layout.START_RUN, layout.RUN_NODE] = -1
    arena.counters[layout.FREE_RUN] = layout.START_RUN + 1
    arena.counters[layout.FREE_RUNS] = capacity
    arena.counters[layout.START_CHILD] = -1
    arena.counters[layout.FREE_WAITINGS] = capacity
    return arena


def _link_free(links: Int64s, begin: int, rest: int) -> None:
    """Chain the rows from `begin` on into a free list that goes on with `rest`."""
    links[begin:] = np.arange(begin + 1, len(links) + 1)
    links[-1] = rest


def _enlarged(array: Int64s, size: int) -> Int64s:
    larger = np.zeros((size, *array.shape[1:]), np.int64)
    larger[: len(array)] = array
    return larger
