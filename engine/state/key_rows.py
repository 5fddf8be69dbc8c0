"""Rows of a table for the keys that have state, given and taken away as it comes and goes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from cep.engine.batch import Bools, Int64s
from cep.engine.kernels import layout
from cep.engine.state.key_slots import KeySlots
from cep.engine.state.pair_slots import PairSlots


class KeyRows(ABC):
    """What the state of one automaton, or of several that are alike, knows of keys.

    What is held and what is walked over grows with the keys that have state, not with all keys.
    `no_state`: the row of a key without any. `begins`: the conditions of which one must hold for a
    key to come to state. `members`: of several patterns a key's code is that of a pair.
    """

    def __init__(self, no_state: Int64s, begins: int, capacity: int, members: int) -> None:
        self._no_state = no_state
        self._begins = begins
        self._slots: KeySlots | PairSlots = KeySlots()
        if members > 1:
            self._slots = PairSlots(members, capacity)
        self.keys = self._empty_keys(capacity)

    # ------------------------------------------------------------------ of the state behind it

    @property
    @abstractmethod
    def spare_captures(self) -> int:
        """Captures for which there is room."""

    @abstractmethod
    def tidy(self, now_us: int, room: int = 0) -> None:
        """End what is over at this time and forget what nobody can reach, idle keys among it.

        Afterwards there is room for that many captures, and for as many as are held.
        """

    @abstractmethod
    def read_out(self) -> None:
        """Copy what came out, so that what it points at need not be kept."""

    @abstractmethod
    def _has_state(self) -> Bools:
        """Which of the rows in use."""

    @abstractmethod
    def _keys_have_moved(self) -> None:
        """Rows have other numbers now."""

    # ------------------------------------------------------------------ rows

    @property
    def used_keys(self) -> Int64s:
        """The rows in use."""
        return self.keys[: self._slots.count]

    def slots_of(self, codes: Int64s, begins: Bools, now_us: int) -> Int64s:
        """The rows of these keys in `keys`, -1 where nothing can happen to the key.

        `begins`: where an event could begin a match; such keys get a row. Event time is now_us.
        """
        beginning = int(np.count_nonzero(begins))
        if self.spare_captures < beginning:
            self.tidy(now_us, beginning)
        slots, fresh = self._slots.ask(codes, begins)
        if self._slots.count + len(fresh) > len(self.keys):
            self.tidy(now_us, beginning)
            slots, fresh = self._slots.ask(codes, begins)
            self._reserve_keys(len(fresh))
        if len(fresh):
            self._slots.add(fresh)
        return slots

    def gather(
        self, key: int, members: Int64s, masks: Int64s, constants: int, events: layout.Events
    ) -> int:
        """The first of the events, once for each member where something can happen to the key.

        `masks`: what holds for each. `constants`: of each member. `events`: with room for all of
        them; the first has its time, sequence and inputs. Returns how many there are now.
        For several members.
        """
        slots = self._slots
        assert isinstance(slots, PairSlots)
        while True:
            room = len(self.keys), self.spare_captures
            held = slots.gather(key, members, masks, self._begins, constants, room, events)
            if held >= 0:
                return held
            beginning = int(np.count_nonzero(masks & self._begins))
            self.tidy(int(events.rows[0, layout.EVENT_TIME_US]), beginning)
            self._reserve_keys(beginning)

    def members_of(self, slots: Int64s) -> Int64s:
        """Of which patterns the keys in these rows are."""
        return self._slots.members_of(slots)

    def slot_of(self, code: int) -> int:
        """The row of one key in `keys`, -1 where it has none."""
        return self._slots.slot(code)

    def slot_for(self, code: int, now_us: int) -> int:
        """The same; the key gets one where it has none."""
        slot = self._slots.slot(code)
        if slot >= 0 and self.spare_captures > 0:
            return slot
        return int(self.slots_of(np.array([code]), np.ones(1, np.bool_), now_us)[0])

    # ------------------------------------------------------------------ fewer of them, and more

    def active_keys(self) -> Int64s:
        """Codes of the keys that have state."""
        return self._slots.codes[self._has_state()]

    def keep_keys(self, codes: Int64s) -> None:
        """Key i is from now on what was key codes[i] (sorted); no other key has state."""
        self.read_out()
        self._drop_idle_keys()
        self._slots.renumber(codes)

    def _drop_idle_keys(self) -> None:
        kept = np.flatnonzero(self._has_state())
        held, before = self.keys[kept], self._slots.count
        self._slots.keep(kept)
        self.keys[: len(kept)] = held
        self.keys[len(kept) : before] = self._no_state
        self._keys_have_moved()

    def _reserve_keys(self, more: int) -> None:
        """Room for so many more keys."""
        total = self._slots.count + more
        if 2 * total > len(self.keys):
            self._resize_keys(max(total, 2 * len(self.keys)))

    def _resize_keys(self, size: int) -> None:
        used, fresh = self.used_keys, self._empty_keys(size)
        fresh[: len(used)] = used
        self.keys = fresh

    def _empty_keys(self, count: int) -> Int64s:
        return np.tile(self._no_state, (count, 1))


def enlarged(array: Int64s, size: int) -> Int64s:
    """A copy with so many rows; the new ones are 0."""
    larger = np.zeros((size, *array.shape[1:]), np.int64)
    larger[: len(array)] = array
    return larger
