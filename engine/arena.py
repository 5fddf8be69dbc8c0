"""Growable buffers around the run kernel: the state of one pattern over all keys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cep.engine.batch import Int64s
from cep.engine.kernels import runs as kernels
from cep.engine.tables import Tables

FAULTS_MAX = 4096  # faults told apart per call; more of one call are counted with the last event

Int32s = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Chains:
    """Captured events of several matches: match i is [offsets[i]:offsets[i + 1]]."""

    offsets: Int64s
    variable: Int32s
    sequence: Int64s
    at_us: Int64s


class RunArena:
    """All runs of a pattern, their captures and the per-key lists, grown as the kernel asks.

    `capacity` is the first size of every buffer; tests make it tiny.
    """

    def __init__(self, tables: Tables, capacity: int = 1024) -> None:
        self._tables = tables
        words = (len(tables.flat.states) + 63) // 64
        registers = len(tables.machine.registers)
        self._nodes_at_last_count = capacity
        self.arena = _empty_arena(capacity, words, registers, max(tables.slots, 8))
        self.keys = kernels.Keys(*(np.empty(0, np.int64) for _ in kernels.Keys._fields))

    # ------------------------------------------------------------------ running

    def process(self, events: kernels.Events) -> None:
        """Offer the events, in order, to the runs of their keys."""
        done, size = 0, len(events.time_us)
        while done < size:
            done = kernels.process(
                self._tables.automaton, self._tables.programs, events, done, self.arena, self.keys
            )
            if done < size:
                self._make_room(int(events.key[done]))

    def expire(self, now_us: int, closing_us: int = -1) -> None:
        """Let event time reach now_us for every key. `closing_us` >= 0: for the last time."""
        done, size = 0, len(self.keys.head)
        while done < size:
            done = kernels.expire(
                self._tables.automaton, self.arena, self.keys, done, now_us, closing_us
            )
            if done < size:
                self._make_room(done)

    def take_found(self) -> Chains:
        """The matches found since the last call."""
        return self._take(kernels.FOUND, self.arena.found_node, self.arena.found_at_us)

    def take_timed_out(self) -> Chains:
        return self._take(
            kernels.TIMED_OUT, self.arena.timed_out_node, self.arena.timed_out_at_us
        )

    def take_faults(self) -> list[tuple[int, int, int]]:
        """(event, condition, code) of each fault of the last `process`."""
        count = int(self.arena.counters[kernels.FAULTS])
        self.arena.counters[kernels.FAULTS] = 0
        columns = (self.arena.fault_event, self.arena.fault_condition, self.arena.fault_code)
        return list(zip(*(c[:count].tolist() for c in columns), strict=True))

    def _take(self, counter: int, nodes: Int64s, at_us: Int64s) -> Chains:
        count = int(self.arena.counters[counter])
        self.arena.counters[counter] = 0
        offsets = np.zeros(count + 1, np.int64)
        kernels.chain_lengths(self.arena, nodes[:count], offsets[1:])
        np.cumsum(offsets, out=offsets)
        variable = np.empty(offsets[-1], np.int32)
        sequence = np.empty(offsets[-1], np.int64)
        kernels.write_chains(self.arena, nodes[:count], offsets, variable, sequence)
        return Chains(offsets, variable, sequence, at_us[:count].copy())

    # ------------------------------------------------------------------ keys

    def ensure_keys(self, count: int) -> None:
        """Have room for keys 0..count - 1."""
        size = len(self.keys.head)
        if count > size:
            fresh = _empty_keys(max(count, 2 * size))
            for new, old in zip(fresh, self.keys, strict=True):
                new[:size] = old
            self.keys = fresh

    def active_keys(self) -> npt.NDArray[np.bool_]:
        """Which keys have state."""
        active: npt.NDArray[np.bool_] = (self.keys.head >= 0) | (self.keys.waiting >= 0)
        return active

    def keep_keys(self, codes: Int64s) -> None:
        """Key i is from now on what was key codes[i]; all others have no state."""
        fresh = _empty_keys(len(codes))
        held = codes < len(self.keys.head)
        for new, old in zip(fresh, self.keys, strict=True):
            new[held] = old[codes[held]]
        self.keys = fresh

    # ------------------------------------------------------------------ captures

    @property
    def node_count(self) -> int:
        return int(self.arena.counters[kernels.NODES])

    @property
    def open_runs(self) -> int:
        return int(self.keys.runs.sum())

    def sequences_since(self, node: int) -> Int64s:
        """The distinct events, sorted, that nodes from this number on captured."""
        found: Int64s = np.unique(self.arena.node_sequence[node : self.node_count])
        return found

    def is_worth_compacting(self) -> bool:
        return self.node_count > 2 * self._nodes_at_last_count

    def compact(self) -> None:
        """Forget captures that no run and no waiting match can reach. O(nodes + runs)."""
        count = self.node_count
        reachable = np.zeros(count, np.int64)
        kernels.mark_reachable(self.arena, self.keys, reachable)
        number = np.cumsum(reachable) - 1
        kernels.renumber_holders(self.arena, self.keys, number)
        kept = np.flatnonzero(reachable)
        self._move_nodes(kept, number, reachable)
        self.arena.counters[kernels.NODES] = len(kept)
        self._nodes_at_last_count = max(len(kept), 1024)

    def _move_nodes(self, kept: Int64s, number: Int64s, reachable: Int64s) -> None:
        arena, size = self.arena, len(kept)
        for name in _NODE_ARRAYS:
            array = getattr(arena, name)
            array[:size] = array[kept]
        parents = arena.node_parent[:size]
        arena.node_parent[:size] = np.where(parents < 0, -1, number[parents])
        # Siblings are looked for among the captures of one event, which is over by now.
        arena.node_child[:size] = -1
        arena.node_sibling[:size] = -1

    # ------------------------------------------------------------------ growth

    def _make_room(self, key: int) -> None:
        """Grow whatever the next event of this key might overflow (see kernels.has_room)."""
        runs = int(self.keys.runs[key])
        made = (runs + 1) * int(self._tables.automaton.settings[kernels.RUNS_PER_STEP])
        done = made + 2 * runs + int(self.keys.waitings[key])
        counters = self.arena.counters
        grown = {
            **self._grown(_NODE_ARRAYS, int(counters[kernels.NODES]), made),
            **self._grown(_FOUND_ARRAYS, int(counters[kernels.FOUND]), done),
            **self._grown(_TIMED_OUT_ARRAYS, int(counters[kernels.TIMED_OUT]), runs),
        }
        self.arena = self.arena._replace(**grown)
        self._alias_registers()
        if counters[kernels.FREE_RUNS] < made:
            self._grow_runs(made)
        if counters[kernels.FREE_WAITINGS] < done:
            self._grow_waiting(done)
        self.arena = self.arena._replace(**self._grown(_SCRATCH_ARRAYS, 0, done))

    def _grown(self, names: tuple[str, ...], used: int, more: int) -> dict[str, object]:
        size = len(getattr(self.arena, names[0]))
        if size - used >= more:
            return {}
        return {n: _enlarged(getattr(self.arena, n), 2 * size + more) for n in names}

    def _alias_registers(self) -> None:
        self.arena = self.arena._replace(registers_f=self.arena.registers.view(np.float64))

    def _grow_runs(self, more: int) -> None:
        size = len(self.arena.run_next)
        wanted = 2 * size + more
        arrays = {n: _enlarged(getattr(self.arena, n), wanted) for n in _RUN_ARRAYS}
        self.arena = self.arena._replace(**arrays)
        counters = self.arena.counters
        _link_free(self.arena.run_next, size, int(counters[kernels.FREE_RUN]))
        counters[kernels.FREE_RUN] = size
        counters[kernels.FREE_RUNS] += wanted - size

    def _grow_waiting(self, more: int) -> None:
        size = len(self.arena.waiting_next)
        wanted = 2 * size + more
        arrays = {n: _enlarged(getattr(self.arena, n), wanted) for n in _WAITING_ARRAYS}
        self.arena = self.arena._replace(**arrays)
        counters = self.arena.counters
        _link_free(self.arena.waiting_next, size, int(counters[kernels.FREE_WAITING]))
        counters[kernels.FREE_WAITING] = size
        counters[kernels.FREE_WAITINGS] += wanted - size


_ARRAYS = kernels.Arena._fields
_RUN_ARRAYS = tuple(n for n in _ARRAYS if n.startswith("run_"))
_NODE_ARRAYS = (
    *(n for n in _ARRAYS if n.startswith("node_")),
    "registers",
    "registers_valid",
)
_WAITING_ARRAYS = tuple(n for n in _ARRAYS if n.startswith("waiting_"))
_SCRATCH_ARRAYS = ("done_node", "done_start", "heap_node", "heap_start")
_FOUND_ARRAYS = tuple(n for n in _ARRAYS if n.startswith("found_"))
_TIMED_OUT_ARRAYS = tuple(n for n in _ARRAYS if n.startswith("timed_out_"))
_NARROW = {"run_state": np.int32, "node_variable": np.int32}
_WORDS = {"node_states", "registers_valid"}


def _empty_keys(count: int) -> kernels.Keys:
    none = [np.full(count, -1, np.int64) for _ in range(5)]
    keys = kernels.Keys(*none)
    keys.runs[:] = 0
    keys.waitings[:] = 0
    return keys


def _empty_arena(capacity: int, words: int, registers: int, slots: int) -> kernels.Arena:
    arrays: dict[str, npt.NDArray[np.generic]] = {
        name: np.zeros(capacity, np.uint64 if name in _WORDS else _NARROW.get(name, np.int64))
        for name in _ARRAYS
    }
    arrays["counters"] = np.zeros(kernels.COUNTERS, np.int64)
    arrays["node_states"] = np.zeros((capacity, words), np.uint64)
    arrays["registers"] = np.zeros((capacity, registers), np.int64)
    arrays["registers_f"] = arrays["registers"].view(np.float64)
    for name in ("fault_event", "fault_condition", "fault_code"):
        arrays[name] = np.zeros(FAULTS_MAX, np.int64)
    for name in ("slots", "slot_null", "slot_fault"):
        arrays[name] = np.zeros(slots, np.int64)
    arrays["slots_f"] = arrays["slots"].view(np.float64)
    arena = kernels.Arena(**arrays)
    _link_free(arena.run_next, 0, -1)
    _link_free(arena.waiting_next, 0, -1)
    arena.counters[kernels.FREE_RUNS] = capacity
    arena.counters[kernels.FREE_WAITINGS] = capacity
    return arena


def _link_free(links: Int64s, begin: int, rest: int) -> None:
    """Chain the slots from `begin` on into a free list that goes on with `rest`."""
    links[begin:] = np.arange(begin + 1, len(links) + 1)
    links[-1] = rest


def _enlarged(array: npt.NDArray[np.generic], size: int) -> npt.NDArray[np.generic]:
    larger = np.zeros((size, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
