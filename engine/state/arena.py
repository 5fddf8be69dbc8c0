"""Growable buffers around the run kernel: the state of one automaton over all keys."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np

from cep.engine.automaton.tables import Tables
from cep.engine.batch import Bools, Int64s
from cep.engine.kernels import chains, deadlines, layout, runs, tracing
from cep.engine.state.arena_snapshot import fill, gather, link_free, save, split
from cep.engine.state.chains import Chains, Ended, nearest_runs
from cep.engine.state.evaluator import Evaluator
from cep.engine.state.key_rows import enlarged
from cep.engine.state.limits import Limit, limited
from cep.engine.state.set_conversion import as_runs
from cep.engine.state.snapshot import Parts, Snapshot

NO_STATE = np.full(layout.KEY_FIELDS, -1, np.int64)  # the row of a key
NO_STATE[[layout.KEY_RUNS, layout.KEY_WAITINGS]] = 0
NO_STATE[layout.KEY_TIMER] = layout.NEVER
BUFFERS = attrgetter(*(n for n in layout.Arena._fields if not n.endswith("_f")))  # _f: views
FAULTS_MAX = 4096  # faults told apart per call; more of one call are counted with the last event


class RunArena(Evaluator):
    """All runs of a pattern, their captures and the per-key lists, grown as the kernel asks.

    `capacity` is the first size of every buffer; tests make it tiny. `traced`: runs that end
    without a match are told, too. `members`: how many patterns share the runs.
    """

    def __init__(
        self,
        tables: Tables,
        capacity: int = 1024,
        limit: Limit | None = None,
        *,
        traced: bool = False,
        members: int = 1,
    ) -> None:
        begins = int(tables.automaton.settings[layout.START_ANY])
        super().__init__(NO_STATE, begins, capacity, members)
        self._tables = tables
        self._automaton = limited(tables.automaton, limit)
        if traced:
            self._automaton = _telling_time(self._automaton)
        self._nodes_at_last_count = capacity
        self._found: list[Chains] = []
        self._timed_out: list[Chains] = []
        self._ended: list[Ended] = []
        self.arena = _empty_arena(tables, capacity)
        self._traced = traced
        self.arena.counters[layout.ENDED] = 0 if traced else layout.UNTRACED

    # ------------------------------------------------------------------ running

    def process(self, events: layout.Events) -> None:
        """Offer the events, in order, to the runs of their keys (slots of `slots_of`)."""
        done, size = 0, len(events.rows)
        while done < size:
            done = runs.process(
                self._automaton, self._tables.programs, events, done, self.arena, self.keys
            )
            if done < size:
                key = int(self.arena.counters[layout.BLOCKED])
                self._free_nodes(key, int(events.rows[done, layout.EVENT_TIME_US]))
                self._make_room(key, self._made(key))

    def expire(self, now_us: int, closing_us: int = -1) -> None:
        """Let event time reach now_us for every key. `closing_us` >= 0: for the last time."""
        if self.open_runs == 0 and self.held_back == 0:
            return
        done, size = 0, self._slots.count
        keys = self.keys[:size]
        while done < size:
            done = deadlines.expire(self._automaton, self.arena, keys, done, now_us, closing_us)
            if done < size:
                self._make_room(done, 0)

    def advance_to(self, now_us: int) -> None:
        """`expire` for the keys where that can show: other runs end when memory is needed.

        O(log keys) per key that is due, O(1) where none is.
        """
        while self.next_due_us <= now_us:
            blocked = deadlines.wake(self._automaton, self.arena, self.keys, now_us)
            if blocked >= 0:
                self._make_room(blocked, 0)

    @property
    def next_due_us(self) -> int:
        """No deadline before this time makes a match or a timed-out run; NEVER: there is none."""
        if self.arena.counters[layout.TIMERS] == 0:
            return layout.NEVER
        return int(self.arena.timers[0, layout.TIMER_DUE_US])

    @property
    def has_told(self) -> bool:
        """Whether something came out that has not been taken."""
        counters = self.arena.counters
        return bool(
            counters[layout.FOUND]
            or counters[layout.TIMED_OUT]
            or counters[layout.ENDED] > 0
            or self._found
            or self._timed_out
            or self._ended
        )

    def take_found(self) -> Chains:
        """The matches found since the last call."""
        self.read_out()
        found, self._found = Chains.joined(self._found), []
        return found

    def take_timed_out(self) -> Chains:
        """The runs that timed out since the last call."""
        self.read_out()
        timed_out, self._timed_out = Chains.joined(self._timed_out), []
        return timed_out

    def take_ended(self) -> Ended:
        """The runs that ended without a match since the last call, where that is traced."""
        self.read_out()
        ended, self._ended = Ended.joined(self._ended), []
        return ended

    def trace_open(self, now_us: int) -> None:
        """The stream has ended: open runs have ended with it."""
        if self._traced:
            self.read_out()
            self._grow("ended", 0, self.open_runs)
            tracing.trace_open(self.arena, self.used_keys, now_us)

    def take_faults(self) -> list[tuple[int, int, int]]:
        """(event, condition, code) of each fault of the last `process`."""
        count = int(self.arena.counters[layout.FAULTS])
        self.arena.counters[layout.FAULTS] = 0
        return [(int(e), int(c), int(code)) for e, c, code in self.arena.faults[:count]]

    def read_out(self) -> None:
        """Copy what came out, so that the captures behind it need not be kept."""
        for counter, out, parts in (
            (layout.FOUND, self.arena.found, self._found),
            (layout.TIMED_OUT, self.arena.timed_out, self._timed_out),
        ):
            count = int(self.arena.counters[counter])
            if count:
                parts.append(self._chains(out[:count]))
                self.arena.counters[counter] = 0
        if self.arena.counters[layout.ENDED] > 0:
            self._ended.append(self._read_ended())
            self.arena.counters[layout.ENDED] = 0

    def _read_ended(self) -> Ended:
        out = self.arena.ended[: int(self.arena.counters[layout.ENDED])]
        missing = self._tables.missing[out[:, layout.END_STATE]]
        rows = self._nearest(out, missing)  # before chains are copied: runs can be many, and long
        out = out[rows]
        states, reasons = out[:, layout.END_STATE].copy(), out[:, layout.END_REASON].copy()
        return Ended(self._chains(out), states, missing[rows], reasons)

    def _nearest(self, out: Int64s, missing: Int64s) -> Int64s:
        """Rows of those that came nearest of the runs that began at the same event."""
        nodes = np.ascontiguousarray(out[:, layout.OUT_NODE])
        first, total = np.empty(len(out), np.int64), np.empty(len(out), np.int64)
        chains.chain_firsts(self.arena.nodes, nodes, first, total)
        last = self.arena.nodes[nodes, layout.NODE_SEQUENCE]
        return nearest_runs(first, missing, out[:, layout.OUT_AT_US], last, total)

    def _chains(self, out: Int64s) -> Chains:
        nodes = np.ascontiguousarray(out[:, layout.OUT_NODE])
        offsets = np.zeros(len(out) + 1, np.int64)
        chains.chain_lengths(self.arena.nodes, nodes, offsets[1:])
        np.cumsum(offsets, out=offsets)
        variable = np.empty(offsets[-1], np.int64)
        sequence = np.empty(offsets[-1], np.int64)
        chains.write_chains(self.arena.nodes, nodes, offsets, variable, sequence)
        at_us, cause = out[:, layout.OUT_AT_US].copy(), out[:, layout.OUT_SEQUENCE].copy()
        member = self._slots.members_of(out[:, layout.OUT_KEY])
        return Chains(offsets, variable, sequence, at_us, cause, member)

    # ------------------------------------------------------------------ keys

    def _has_state(self) -> Bools:
        keys = self.used_keys
        has: Bools = (keys[:, layout.KEY_HEAD] >= 0) | (keys[:, layout.KEY_WAITING] >= 0)
        return has

    def _keys_have_moved(self) -> None:
        if self.arena.counters[layout.TIMERS] > 0:
            self._schedule_all()

    def open_runs_by_key(self) -> tuple[Int64s, Int64s]:
        """(codes of keys, how many open runs each has)."""
        return self._slots.codes, self.used_keys[:, layout.KEY_RUNS]

    def held_back_by_key(self) -> tuple[Int64s, Int64s]:
        """(codes of keys, how many completed matches of each wait for earlier runs)."""
        return self._slots.codes, self.used_keys[:, layout.KEY_WAITINGS]

    @property
    def held_back(self) -> int:
        """Completed matches that wait for runs that began earlier."""
        return len(self.arena.waiting) - int(self.arena.counters[layout.FREE_WAITINGS])

    # ------------------------------------------------------------------ captures

    @property
    def node_count(self) -> int:
        """Captures held, reachable or not."""
        return int(self.arena.counters[layout.NODES])

    @property
    def spare_captures(self) -> int:
        """Captures for which there is room."""
        return len(self.arena.nodes) - self.node_count

    @property
    def open_runs(self) -> int:
        """Runs that have taken an event and are not yet decided, or not yet known to be."""
        return len(self.arena.runs) - 1 - int(self.arena.counters[layout.FREE_RUNS])

    @property
    def refused(self) -> int:
        """Runs that a limit did not let come into being, since the arena is there."""
        return int(self.arena.counters[layout.RUNS_REFUSED])

    @property
    def bytes_held(self) -> int:
        """The size of all buffers, used or spare."""
        return self.keys.nbytes + sum(int(buffer.nbytes) for buffer in BUFFERS(self.arena))

    @property
    def dropped(self) -> int:
        """Runs that made way for younger ones, since the arena is there."""
        return int(self.arena.counters[layout.RUNS_DROPPED])

    def sequences_from(self, sequence: int) -> Int64s:
        """The events from this one on that runs hold, or held until lately, in any order."""
        held = self.arena.nodes[: self.node_count, layout.NODE_SEQUENCE]
        return held[held >= sequence]

    def has_captured(self, sequence: int) -> bool:
        """Whether this event, the last one that was offered, is held."""
        count = self.node_count
        return count > 0 and int(self.arena.nodes[count - 1, layout.NODE_SEQUENCE]) == sequence

    def is_worth_compacting(self) -> bool:
        """Whether captures have doubled since the unreachable ones were last dropped."""
        return self.node_count > 2 * self._nodes_at_last_count

    def tidy(self, now_us: int, room: int = 0) -> None:
        """End the runs whose time is up, and forget what no run and no waiting match can reach."""
        self.expire(self.settled_us(now_us))
        self._compact()
        self._drop_idle_keys()
        self._make_spare(room)

    def _compact(self) -> None:
        """Forget captures that no run and no waiting match can reach. O(nodes + runs)."""
        self.compactions += 1
        self.read_out()
        keys = self.used_keys
        number = np.zeros(self.node_count, np.int64)
        chains.mark_reachable(self.arena, keys, number)
        chains.keep_reachable(self.arena, number)
        chains.renumber_holders(self.arena, keys, number)
        self._nodes_at_last_count = max(self.node_count, 1024)

    # ------------------------------------------------------------------ texts in registers

    @cached_property
    def text_registers(self) -> Int64s:
        """Which registers hold codes of texts."""
        return np.array(self._tables.machine.text_registers(), np.int64)

    def used_texts(self) -> Int64s:
        """The codes of texts that registers hold, distinct and sorted. O(captures)."""
        return np.unique(np.concatenate([np.empty(0, np.int64), *self._held_texts()]))

    def rename_texts(self, mapping: Int64s) -> None:
        """The text with code c has code mapping[c] from now on; every one in use has one."""
        for register, held in zip(self.text_registers, self._where_held(), strict=True):
            column = self.arena.registers[: self.node_count, register]
            column[held] = mapping[column[held]]

    def _held_texts(self) -> Iterator[Int64s]:
        for register, held in zip(self.text_registers, self._where_held(), strict=True):
            yield np.unique(self.arena.registers[: self.node_count, register][held])

    def _where_held(self) -> Iterator[Bools]:
        """For each register of texts the captures in which it is not NULL."""
        valid = self.arena.nodes[: self.node_count, layout.NODE_VALID]
        for register in self.text_registers:
            yield valid >> register & 1 != 0

    # ------------------------------------------------------------------ snapshots

    def split(self, saved: Snapshot, owners: Int64s, count: int) -> list[Snapshot]:
        """Of a snapshot that of the keys of each owner: key i is of owners[i], of so many."""
        return split(saved, owners, count)

    def snapshot(self) -> Snapshot:
        """Copies of all state; matches and timed-out runs must have been taken before."""
        assert not any(len(part.at_us) for part in (*self._found, *self._timed_out))
        counters = self.arena.counters
        assert counters[layout.FOUND] == counters[layout.TIMED_OUT] == 0
        slots = np.flatnonzero(self._has_state())
        return save(self.arena, self.keys, slots, self._slots.codes[slots])

    def restore(self, parts: Parts) -> None:
        """Go on from these snapshots, as far as their keys belong here. The arena must be empty.

        Texts in registers keep their codes: see `rename_texts`.
        """
        assert self._slots.count == self.node_count == 0
        if not parts:
            return
        registers = self.arena.registers.shape[1]
        automaton = self._tables.automaton
        saved = gather([(as_runs(part, automaton, registers), codes) for part, codes in parts])
        held = len(saved.nodes)
        self._grow("nodes", 0, held)
        self._grow("registers", 0, held)
        self._grow("runs", layout.START_RUN + 1, len(saved.runs))
        self._grow("waiting", 0, len(saved.waiting))
        self._resize_keys(max(len(self.keys), len(saved.codes)))
        self._slots.add(saved.codes)
        fill(self.arena, self.keys, saved)
        self._nodes_at_last_count = max(held, 1024)
        self._schedule_all()

    # ------------------------------------------------------------------ growth

    def _free_nodes(self, key: int, now_us: int) -> None:
        """Where captures lack room for the key's next event, drop old ones before growing."""
        if self.spare_captures >= self._made(key):
            return
        self._compact()  # before `expire`, which would see no room
        self.expire(self.settled_us(now_us))
        self._compact()
        self._make_spare(self._slots.count)  # as many as were walked over: O(1) per capture made

    def _make_spare(self, room: int) -> None:
        used, size = self.node_count, len(self.arena.nodes)
        if size - used < max(size // 2, room):
            self._grow("nodes", used, max(used, room))
            self._grow("registers", used, max(used, room))

    def _made(self, key: int) -> int:
        """The most captures that the key's next event can make."""
        open_runs = int(self.keys[key, layout.KEY_RUNS])
        return (open_runs + 1) * int(self._automaton.settings[layout.RUNS_PER_STEP])

    def _make_room(self, key: int, made: int) -> None:
        """Grow whatever the key might overflow with so many new runs (see lists.has_room)."""
        open_runs = int(self.keys[key, layout.KEY_RUNS])
        done = made + 2 * open_runs + int(self.keys[key, layout.KEY_WAITINGS])
        counters = self.arena.counters
        self._grow("nodes", self.node_count, made)
        self._grow("registers", self.node_count, made)
        self._grow("found", int(counters[layout.FOUND]), done)
        self._grow("timed_out", int(counters[layout.TIMED_OUT]), open_runs)
        if self._traced:
            self._grow("ended", int(counters[layout.ENDED]), 2 * done)
        self._grow("done", 0, done)
        self._grow("heap", 0, done)
        self._grow_timers()
        self._grow_list("runs", layout.RUN_NEXT, layout.FREE_RUN, layout.FREE_RUNS, made)
        self._grow_list(
            "waiting", layout.WAITING_NEXT, layout.FREE_WAITING, layout.FREE_WAITINGS, done
        )

    def _grow_timers(self) -> None:
        """Make room for one timer more by dropping those that mean nothing, or else for many."""
        size = len(self.arena.timers)
        if self.arena.counters[layout.TIMERS] < size:
            return
        self._schedule_all()
        used = int(self.arena.counters[layout.TIMERS])
        if 2 * used > size:
            self._grow("timers", used, size)

    def _schedule_all(self) -> None:
        """Make the timers anew, at most one per key. O(keys)."""
        self._grow("timers", 0, self._slots.count)
        deadlines.schedule_all(self._automaton, self.arena, self.used_keys)

    def _grow(self, name: str, used: int, more: int) -> None:
        """Make room for so many more rows, at least twice as many as there are."""
        array: Int64s = getattr(self.arena, name)
        if len(array) - used >= more:
            return
        larger = enlarged(array, max(2 * len(array), used + more))
        changed: dict[str, Any] = {name: larger}
        self.arena = self.arena._replace(**changed)
        if name == "registers":
            self.arena = self.arena._replace(registers_f=larger.view(np.float64))

    def _grow_list(self, name: str, link: int, free: int, count: int, more: int) -> None:
        """Enlarge a table whose free rows are linked by a column."""
        counters = self.arena.counters
        size = len(getattr(self.arena, name))
        self._grow(name, size - int(counters[count]), more)
        table: Int64s = getattr(self.arena, name)
        if len(table) > size:
            link_free(table[size:, link], size, int(counters[free]))
            counters[free] = size
            counters[count] += len(table) - size


def _telling_time(automaton: layout.Automaton) -> layout.Automaton:
    """Runs end when their time has come, not when memory is needed: their events are told then."""
    settings = automaton.settings.copy()
    settings[layout.TELLS_TIME] = 1
    return automaton._replace(settings=settings)


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
        found=np.zeros((capacity, layout.OUT_FIELDS), np.int64),
        timed_out=np.zeros((capacity, layout.OUT_FIELDS), np.int64),
        ended=np.zeros((capacity, layout.END_FIELDS), np.int64),
        faults=np.zeros((FAULTS_MAX, 3), np.int64),
        done=np.zeros((capacity, 2), np.int64),
        heap=np.zeros((capacity, 2), np.int64),
        timers=np.zeros((capacity, 2), np.int64),
        slots=slots,
        slots_f=slots.view(np.float64),
    )
    link_free(arena.runs[1:, layout.RUN_NEXT], layout.START_RUN + 1, -1)
    link_free(arena.waiting[:, layout.WAITING_NEXT], 0, -1)
    arena.runs[layout.START_RUN, layout.RUN_NODE] = -1
    arena.counters[layout.FREE_RUN] = layout.START_RUN + 1
    arena.counters[layout.FREE_RUNS] = capacity
    arena.counters[layout.START_CHILD] = -1
    arena.counters[layout.FREE_WAITINGS] = capacity
    return arena
