"""Pairs, of a key and a member of a family of patterns, in a hash table -> slots, and events there.

`slots`, `known`, `count` are a table as in `interning.encode`; the code of a pair is its slot.
"""

from __future__ import annotations

from cep.engine.kernels.gather import Bools
from cep.engine.kernels.interning import slot_of
from cep.engine.kernels.jit import inlined, kernel
from cep.engine.kernels.layout import (
    EVENT_CONSTANTS,
    EVENT_KEY,
    EVENT_MASK,
    EVENT_SEQUENCE,
    EVENT_TIME_US,
    EVENT_VALID,
    Int64s,
    word,
)

NO_ROOM = word(-1)
TABLE_IS_FULL = word(-2)


@inlined
def place_of(pair: int, slots: Int64s, known: Int64s) -> int:
    """Where in the table the pair stands, or would."""
    at = slot_of(pair, slots.size)
    while slots[at] >= 0 and known[slots[at]] != pair:
        at = (at + 1) & (slots.size - 1)
    return at


@inlined
def forget_last(fresh: Int64s, given: int, slots: Int64s, known: Int64s) -> None:
    """Take the pairs out that went in last, in reverse order: no other was put behind them."""
    for i in range(given - 1, -1, -1):
        slots[place_of(fresh[i], slots, known)] = -1


@kernel
def ask(
    pairs: Int64s,
    wanted: Bools,
    slots: Int64s,
    known: Int64s,
    count: int,
    found: Int64s,
    fresh: Int64s,
) -> int:
    """`gather.ask` for pairs. TABLE_IS_FULL, where it must be larger for that."""
    given = 0
    for i in range(pairs.size):
        at = place_of(pairs[i], slots, known)
        if slots[at] < 0 and wanted[i]:
            if 2 * (count + given + 1) > slots.size:
                forget_last(fresh, given, slots, known)
                return TABLE_IS_FULL
            slots[at] = count + given
            known[count + given] = pairs[i]
            fresh[given] = pairs[i]
            given += 1
        found[i] = slots[at]
    forget_last(fresh, given, slots, known)
    return given


@kernel
def gather(
    key: int,
    size: int,
    members: Int64s,
    masks: Int64s,
    begins: int,
    constants: int,
    slots_most: int,
    nodes_room: int,
    slots: Int64s,
    known: Int64s,
    count: int,
    rows: Int64s,
    inputs: Int64s,
) -> tuple[int, int]:
    """Copy row 0 to a row for each member whose pair with the key has a slot, or is given one.

    A pair, key x size + member, is given the next slot where the event may begin a run: where one
    of the conditions `begins` holds. Returns (rows, slots in use). Instead of rows NO_ROOM, where
    more than `slots_most` slots would be in use or more than `nodes_room` runs may begin, or
    TABLE_IS_FULL, where it must be larger; then the call can be made again.
    """
    beginning = 0
    for i in range(members.size):
        beginning += masks[i] & begins != 0
    if beginning > nodes_room:
        return NO_ROOM, count
    held = 0
    for i in range(members.size):
        pair = key * size + members[i]
        at = place_of(pair, slots, known)
        if slots[at] < 0:
            if masks[i] & begins == 0:
                continue
            if count >= slots_most:
                return NO_ROOM, count
            if 2 * (count + 1) > slots.size:
                return TABLE_IS_FULL, count
            slots[at] = count
            known[count] = pair
            count += 1
        rows[held, EVENT_TIME_US] = rows[0, EVENT_TIME_US]
        rows[held, EVENT_SEQUENCE] = rows[0, EVENT_SEQUENCE]
        rows[held, EVENT_KEY] = slots[at]
        rows[held, EVENT_MASK] = masks[i]
        rows[held, EVENT_VALID] = rows[0, EVENT_VALID]
        rows[held, EVENT_CONSTANTS] = constants * members[i]
        for number in range(inputs.shape[1]):
            inputs[held, number] = inputs[0, number]
        held += 1
    return held, count
