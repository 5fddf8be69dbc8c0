"""Codes of keys, of which there may be millions -> rows of a table for those that have state."""

from __future__ import annotations

import numpy as np

from cep.engine.batch import Bools, Int64s
from cep.engine.kernels import gather as kernels


class KeySlots:
    """Key code -> slot, for the keys that one pattern holds state for.

    Costs 4 bytes per code that was ever asked for. Slots are 0..count - 1.
    """

    def __init__(self) -> None:
        self._slot_of = np.empty(0, np.int32)  # by code; -1: none
        self._codes = np.empty(0, np.int64)  # by slot, with room for more
        self.count = 0

    @property
    def codes(self) -> Int64s:
        """The keys' codes by slot."""
        return self._codes[: self.count]

    def members_of(self, slots: Int64s) -> Int64s:
        """All keys are of one pattern."""
        return np.zeros(len(slots), np.int64)

    def _reach(self, codes: int) -> None:
        """Be ready for codes below this."""
        size = len(self._slot_of)
        if codes > size:
            larger = np.full(max(codes, 2 * size), -1, np.int32)
            larger[:size] = self._slot_of
            self._slot_of = larger

    def slot(self, code: int) -> int:
        """The slot of one key, -1 where it has none."""
        return int(self._slot_of[code]) if code < len(self._slot_of) else -1

    def ask(self, codes: Int64s, wanted: Bools) -> tuple[Int64s, Int64s]:
        """The slot of each key, -1 where it has none and is not wanted; and the keys to `add`.

        These are the distinct wanted keys that have no slot, and get those that are named here.
        """
        self._reach(int(codes.max(initial=-1)) + 1)
        slots, fresh = np.empty(len(codes), np.int64), np.empty(len(codes), np.int64)
        count = kernels.ask(self._slot_of, codes, wanted, self.count, slots, fresh)
        return slots, fresh[:count]

    def add(self, codes: Int64s) -> None:
        """Give the next slots to these distinct keys, which have none. O(codes), amortised."""
        total = self.count + len(codes)
        if total > len(self._codes):
            larger = np.empty(max(total, 2 * len(self._codes)), np.int64)
            larger[: self.count] = self.codes
            self._codes = larger
        self._reach(int(codes.max(initial=-1)) + 1)
        self._codes[self.count : total] = codes
        self._slot_of[codes] = np.arange(self.count, total, dtype=np.int32)
        self.count = total

    def keep(self, slots: Int64s) -> None:
        """Only these keys have a slot from now on, the i-th of them slot i."""
        kept = self.codes[slots]
        self._slot_of[self.codes] = -1
        self.count = 0
        self.add(kept)

    def renumber(self, codes: Int64s) -> None:
        """Code i is from now on what was codes[i] (sorted); every key with a slot is among them."""
        number = np.searchsorted(codes, self.codes)
        self._slot_of = np.full(len(codes), -1, np.int32)
        self.count = 0
        self.add(number)
