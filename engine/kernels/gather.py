"""The rows of a batch that concern a pattern -> slots of their keys, and events for the runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.engine.kernels.jit import kernel
from cep.engine.kernels.layout import (
    EVENT_CONSTANTS,
    EVENT_KEY,
    EVENT_MASK,
    EVENT_SEQUENCE,
    EVENT_TIME_US,
    EVENT_VALID,
)

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
NONE = -1
FRESH = -2  # and less: -2 - place among those that are given a slot


@kernel
def ask(
    slot_of: Int32s, codes: Int64s, wanted: Bools, count: int, slots: Int64s, fresh: Int64s
) -> int:
    """Write the slot of each key code: its own, the next free one where it is wanted, else -1.

    count: slots in use. Lists the distinct codes that are given slots, in the order of these, and
    returns how many there are; `slot_of` is as before.
    """
    found = 0
    for i in range(codes.size):
        slot = slot_of[codes[i]]
        if slot == NONE and wanted[i]:
            slot = np.int32(FRESH - found)
            slot_of[codes[i]] = slot
            fresh[found] = codes[i]
            found += 1
        slots[i] = slot if slot >= NONE else count + FRESH - slot
    for place in range(found):
        slot_of[fresh[place]] = NONE
    return found


@kernel
def gather(
    rows: Int64s,
    slots: Int64s,
    masks: Int64s,
    time_us: Int64s,
    base: int,
    constants: int,
    events: Int64s,
) -> int:
    """Write the events of those rows whose key has a slot; returns how many there are.

    base: sequence of row 0 of the batch. constants: where those of the pattern begin.
    """
    count = 0
    for i in range(rows.size):
        if slots[i] >= 0:
            events[count, EVENT_TIME_US] = time_us[rows[i]]
            events[count, EVENT_SEQUENCE] = base + rows[i]
            events[count, EVENT_KEY] = slots[i]
            events[count, EVENT_MASK] = masks[i]
            events[count, EVENT_VALID] = 0
            events[count, EVENT_CONSTANTS] = constants
            count += 1
    return count
