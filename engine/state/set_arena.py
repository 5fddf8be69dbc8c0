"""Growable buffers around the kernel of sets: all partial matches of an automaton, by the set."""

from __future__ import annotations

import numpy as np

from cep.engine.algebra.errors import DataError
from cep.engine.automaton.tables import Tables
from cep.engine.batch import Bools, Int64s
from cep.engine.kernels import layout
from cep.engine.kernels import sets as kernels
from cep.engine.state import set_snapshot
from cep.engine.state.chains import Chains
from cep.engine.state.evaluator import Evaluator
from cep.engine.state.key_rows import enlarged
from cep.engine.state.set_conversion import as_sets
from cep.engine.state.set_matches import listed
from cep.engine.state.snapshot import Parts, Snapshot

CAPTURES_MAX = 1 << 26  # in the matches that one slice makes: some gigabytes of results


class SetArena(Evaluator):
    """The sets of one automaton, or of several that are alike, over all keys.

    `touch`: by condition the states that an event may change for which it holds (`sets.process`).
    """

    def __init__(
        self, tables: Tables, touch: Int64s, capacity: int = 1024, members: int = 1
    ) -> None:
        self._automaton = tables.automaton
        self._touch = touch
        no_state = np.full(len(self._automaton.states), kernels.NOTHING, np.int64)
        no_state[kernels.OPEN] = 0
        begins = int(self._automaton.settings[layout.START_ANY])
        super().__init__(no_state, begins, capacity, members)
        self._found: list[Chains] = []
        self._captures_at_last_count = capacity
        self._now_us = 0
        self.sets = kernels.Sets(
            np.zeros(kernels.COUNTERS, np.int64),
            np.zeros((capacity, kernels.CAPTURE_FIELDS), np.int64),
            np.zeros((capacity, kernels.OUT_FIELDS), np.int64),
            np.zeros(len(no_state), np.int64),
        )

    # ------------------------------------------------------------------ events and time

    def process(self, events: layout.Events) -> None:
        """Offer the events, in order, to the sets of their keys (slots of `slots_of`)."""
        done, size = 0, len(events.rows)
        while done < size:
            done = kernels.process(self._automaton, self._touch, self.sets, events, done, self.keys)
            if done < size:
                self._make_room(int(events.rows[done, layout.EVENT_TIME_US]))

    def expire(self, now_us: int, closing_us: int = -1) -> None:
        """Let go of the sets that are over at this time."""
        del closing_us  # no match waits
        self._now_us = now_us
        kernels.expire(self._automaton, self.sets, self.used_keys, now_us)

    # ------------------------------------------------------------------ what came out

    @property
    def has_told(self) -> bool:
        """Whether something came out that has not been taken."""
        return bool(self._found) or bool(self.sets.counters[kernels.FOUND])

    def take_found(self) -> Chains:
        """The matches found since the last call."""
        self.read_out()
        found, self._found = Chains.joined(self._found), []
        return found

    def read_out(self) -> None:
        """List the matches that came out."""
        count = int(self.sets.counters[kernels.FOUND])
        if count:
            self.sets.counters[kernels.FOUND] = 0  # also where they are too many
            self._found.append(self._listed(count))

    def _listed(self, rows: int) -> Chains:
        found = listed(self._automaton, self.sets, rows, CAPTURES_MAX)
        if found is None:
            message = (
                f"there are too many matches to list: more than {CAPTURES_MAX:,} events in them"
            )
            raise DataError(f"{message}; ask for less with `within`, or count them (rules.count)")
        out = self.sets.found[found.of_row]
        return Chains(
            found.offsets,
            found.variable,
            found.sequence,
            out[:, kernels.OUT_AT_US].copy(),
            out[:, kernels.OUT_SEQUENCE].copy(),
            self.members_of(out[:, kernels.OUT_KEY]),
        )

    # ------------------------------------------------------------------ what is held

    def _has_state(self) -> Bools:
        has: Bools = self.used_keys[:, kernels.OPEN] != 0
        return has

    def _keys_have_moved(self) -> None:
        """Nothing else knows rows."""

    def open_runs_by_key(self) -> tuple[Int64s, Int64s]:
        """(codes of keys, how many partial matches each had open when `expire` was called)."""
        keys = self.used_keys
        counts = np.empty((self.capture_count, 2), np.int64)
        opened = np.empty(len(keys), np.int64)
        kernels.count_open(self._automaton, self.sets, keys, self._now_us, counts, opened)
        return self._slots.codes, opened

    @property
    def spare_captures(self) -> int:
        """Captures for which there is room."""
        return len(self.sets.captures) - self.capture_count

    @property
    def capture_count(self) -> int:
        """Captures held, reachable or not."""
        return int(self.sets.counters[kernels.CAPTURES])

    @property
    def bytes_held(self) -> int:
        """The size of all buffers, used or spare."""
        return self.keys.nbytes + sum(int(buffer.nbytes) for buffer in self.sets)

    def has_captured(self, sequence: int) -> bool:
        """Whether this event, the last one that was offered, is held."""
        count = self.capture_count
        return count > 0 and int(self.sets.captures[count - 1, kernels.SEQUENCE]) == sequence

    def sequences_from(self, sequence: int) -> Int64s:
        """The events from this one on that sets hold, or held until lately, in any order."""
        held = self.sets.captures[: self.capture_count, kernels.SEQUENCE]
        return held[held >= sequence]

    def is_worth_compacting(self) -> bool:
        """Whether captures have doubled since the unreachable ones were last dropped."""
        return self.capture_count > 2 * self._captures_at_last_count

    def tidy(self, now_us: int, room: int = 0) -> None:
        """Forget what is over at this time, and what no set can reach."""
        self.read_out()
        now_us = self.settled_us(now_us)
        self.expire(now_us)
        self._compact(now_us)
        self._drop_idle_keys()
        self._make_spare(room)

    def _compact(self, now_us: int) -> None:
        self.compactions += 1
        number = np.zeros(self.capture_count, np.int64)
        kernels.compact(self._automaton, self.sets, self.used_keys, now_us, number)
        self._captures_at_last_count = max(self.capture_count, 1024)

    def _make_room(self, now_us: int) -> None:
        """For what one event may make."""
        made = len(self._automaton.edges)
        if len(self.sets.found) - self.sets.counters[kernels.FOUND] < made:
            self._grow_found(made)
        if self.spare_captures < made:
            self.read_out()
            now_us = self.settled_us(now_us)
            self.expire(now_us)
            self._compact(now_us)
            self._make_spare(made)

    def _grow_found(self, made: int) -> None:
        size = len(self.sets.found)
        self.sets = self.sets._replace(found=enlarged(self.sets.found, 2 * size + made))

    def _make_spare(self, room: int) -> None:
        """Captures for so many more, and for half as many as there can be."""
        used, size = self.capture_count, len(self.sets.captures)
        if size - used < max(size // 2, room):
            larger = enlarged(self.sets.captures, max(2 * size, used + room))
            self.sets = self.sets._replace(captures=larger)

    # ------------------------------------------------------------------ snapshots

    def snapshot(self) -> Snapshot:
        """Copies of all state; matches must have been taken before."""
        assert not self.has_told
        slots = np.flatnonzero(self._has_state())
        return {
            "codes": self._slots.codes[slots],
            "heads": self.keys[slots, 1:],
            "captures": self.sets.captures[: self.capture_count].copy(),
        }

    def split(self, saved: Snapshot, owners: Int64s, count: int) -> list[Snapshot]:
        """Of a snapshot that of the keys of each owner: key i is of owners[i], of so many."""
        return set_snapshot.split(saved, owners, count)

    def restore(self, parts: Parts) -> None:
        """Go on from these snapshots, as far as their keys belong here. Nothing is held before."""
        assert self._slots.count == self.capture_count == 0
        if not parts:
            return
        states = len(self._automaton.states)
        codes, heads, captures = set_snapshot.joined(
            [(as_sets(saved, states), renamed) for saved, renamed in parts]
        )
        self._make_spare(len(captures))
        self._resize_keys(max(len(self.keys), len(codes)))
        self._slots.add(codes)
        held = self.used_keys
        held[:, 1:] = heads
        held[:, kernels.OPEN] = (heads >= 0) @ (1 << np.arange(1, heads.shape[1] + 1))
        self.sets.captures[: len(captures)] = captures
        self.sets.counters[kernels.CAPTURES] = len(captures)
        self._captures_at_last_count = max(len(captures), 1024)
