"""Codes of pairs, of a key and a member, few of which are in use -> rows of a table for those."""

from __future__ import annotations

import numpy as np

from cep.engine.batch import Bools, Int64s
from cep.engine.kernels import layout
from cep.engine.kernels import pairs as kernels
from cep.engine.state.interning import IntegerCodes


class PairSlots(IntegerCodes):
    """What `KeySlots` is, for pairs (key code x members + member): the code of a pair is its slot.

    Costs some 24 bytes per pair that has a slot, none for the others.
    """

    def __init__(self, members: int, capacity: int = 1024) -> None:
        super().__init__(1 << (capacity - 1).bit_length())
        self._members = members

    @property
    def count(self) -> int:
        return self._count

    @property
    def codes(self) -> Int64s:
        """The pairs by slot."""
        return self._known[: self._count]

    def members_of(self, slots: Int64s) -> Int64s:
        """Of which member the pairs in these slots are."""
        return self.codes[slots] % self._members

    def slot(self, pair: int) -> int:
        """The slot of one pair, -1 where it has none."""
        return int(self.find(np.array([pair]))[0])

    def ask(self, codes: Int64s, wanted: Bools) -> tuple[Int64s, Int64s]:
        """The slot of each pair, -1 where it has none and is not wanted; and the pairs to `add`.

        These are the distinct wanted pairs that have no slot, and get those that are named here.
        """
        slots, fresh = np.empty(len(codes), np.int64), np.empty(len(codes), np.int64)
        while True:
            table = self._slots, self._known, self._count
            count = kernels.ask(codes, wanted, *table, slots, fresh)
            if count != kernels.TABLE_IS_FULL:
                return slots, fresh[:count]
            self._grow()

    def add(self, codes: Int64s) -> None:
        """Give the next slots to these distinct pairs, which have none."""
        self.encode(codes)

    def keep(self, slots: Int64s) -> None:
        """Only these pairs have a slot from now on, the i-th of them slot i."""
        self._become(self.codes[slots])

    def renumber(self, codes: Int64s) -> None:
        """Key i is from now on what was codes[i] (sorted); the keys of all pairs are among them."""
        keys, members = np.divmod(self.codes, self._members)
        self._become(np.searchsorted(codes, keys) * self._members + members)

    def _become(self, pairs: Int64s) -> None:
        self._slots.fill(-1)
        self._count = 0
        self.encode(pairs)

    def gather(
        self,
        key: int,
        members: Int64s,
        masks: Int64s,
        begins: int,
        constants: int,
        room: tuple[int, int],
        events: layout.Events,
    ) -> int:
        """See `RunArena.gather`. `room`: slots, and captures, that there may be at most.

        -1: there may have to be more; what has been given a slot by then need not have state.
        """
        while True:
            held, self._count = kernels.gather(
                key,
                self._members,
                members,
                masks,
                begins,
                constants,
                *room,
                self._slots,
                self._known,
                self._count,
                events.rows,
                events.inputs,
            )
            if held != kernels.TABLE_IS_FULL:
                return held
            self._grow()
