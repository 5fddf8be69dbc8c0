"""Integers in, the codes that they have been given out: `interning` without taking in new ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.engine.kernels.interning import slot_of
from cep.engine.kernels.jit import kernel

Int64s = npt.NDArray[np.int64]


@kernel
def find(values: Int64s, slots: Int64s, known: Int64s, codes: Int64s) -> None:
    """Write the code of each value, -1 where it has none; `slots` and `known` as in `encode`."""
    mask = slots.size - 1
    for i in range(values.size):
        value = values[i]
        at = slot_of(value, slots.size)
        while slots[at] >= 0 and known[slots[at]] != value:
            at = (at + 1) & mask
        codes[i] = slots[at]
