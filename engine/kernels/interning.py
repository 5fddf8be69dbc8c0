"""Integers in, dense codes out: an open-addressing hash table in two arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.engine.kernels.jit import inlined, kernel

Int64s = npt.NDArray[np.int64]


@inlined
def slot_of(value: int, size: int) -> int:
    """The first slot to look at: a Fibonacci hash (Knuth, TAOCP vol. 3, 6.4), its halves folded.

    The lower half of the product knows nothing of the upper half of a pair of codes.
    """
    mixed = np.uint64(value) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    slot: int = np.int64(mixed & np.uint64(size - 1))  # type: ignore[assignment]
    return slot


@kernel
def find(values: Int64s, slots: Int64s, known: Int64s, codes: Int64s) -> None:
    """Write the code of each value, -1 where it has none; tables as in `encode`."""
    mask = slots.size - 1
    for i in range(values.size):
        at = slot_of(values[i], slots.size)
        while slots[at] >= 0 and known[slots[at]] != values[i]:
            at = (at + 1) & mask
        codes[i] = slots[at]


@kernel
def encode(
    values: Int64s, begin: int, slots: Int64s, known: Int64s, count: int, codes: Int64s
) -> tuple[int, int]:
    """Write the code of each value; unknown values get the next ones.

    `slots`, size a power of two: code per slot, -1 where empty. `known[code]` is the value.
    Returns (values done, codes in use): stops before the table is more than half full.
    """
    mask = slots.size - 1
    for i in range(begin, values.size):
        value = values[i]
        at = slot_of(value, slots.size)
        while slots[at] >= 0 and known[slots[at]] != value:
            at = (at + 1) & mask
        if slots[at] < 0:
            if 2 * (count + 1) > slots.size:
                return i, count
            slots[at] = count
            known[count] = value
            count += 1
        codes[i] = slots[at]
    return values.size, count
