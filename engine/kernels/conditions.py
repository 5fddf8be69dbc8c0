"""What many patterns ask of one event: which conditions hold, and which patterns it touches.

A condition is a conjunction of atoms; equal atoms and equal conditions of all patterns are one. A
comparison of a field with a constant is an atom that needs no program. Where a condition has one,
it is reached through it (its *access*): the constants of all conditions that compare the same field
in the same way are sorted, and a binary search finds those that hold. So an event touches only the
conditions whose access holds (compare Fabret et al., "Filtering algorithms and implementation for
very fast publish/subscribe systems", SIGMOD 2001, access predicates).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from cep.engine.kernels.codes import Op
from cep.engine.kernels.jit import inlined, kernel
from cep.engine.kernels.layout import (
    CODE_A,
    CODE_OP,
    CODE_TO,
    SLOT_FAULT,
    SLOT_NULL,
    SLOT_VALUE,
    Floats,
    Int64s,
    word,
)
from cep.engine.kernels.machine import compares, compute

FALSE, TRUE, UNKNOWN, FAILED = range(4)  # truths of an atom


class Conditions(NamedTuple):
    """All that is asked of an event, by all patterns.

    atoms (a, 5); conditions (c, 4): first part, end, first user, end; parts (p,): atoms, in the
    order in which a condition decides; users (u, 2): pattern and bit; groups (g, 6) of entries
    (e, 2), which are sorted by constant; always (w,): conditions without access; patterns (n, 4):
    the bits that hold for any event, whether an event without a bit is of interest, the family, and
    the place in it; family after family. start, code, constants: programs as in `layout.Programs`,
    first those of atoms, then those of values. Names in _f are the same memory as floats.
    """

    atoms: Int64s
    atoms_f: Floats
    conditions: Int64s
    parts: Int64s
    users: Int64s
    groups: Int64s
    entries: Int64s
    entries_f: Floats
    always: Int64s
    patterns: Int64s
    start: Int64s
    code: Int64s
    constants: Int64s


ATOM_KIND, ATOM_INPUT, ATOM_COMPARISON, ATOM_CONSTANT, ATOM_PROGRAM = range(5)
ATOM_FIELDS = 5
PROGRAM, INTEGERS, FLOATS = range(3)  # ATOM_KIND: run it, or compare an input with the constant
CONDITION_PARTS, CONDITION_PARTS_END, CONDITION_USERS, CONDITION_USERS_END = range(4)
CONDITION_FIELDS = 4
GROUP_INPUT, GROUP_COMPARISON, GROUP_FLOAT, GROUP_ENTRIES, GROUP_ENTRIES_END = range(5)
GROUP_CAN_FAIL = 5  # its conditions must be looked at where the input is NULL: they may fail
GROUP_FIELDS = 6
PATTERN_ALWAYS, PATTERN_RESTLESS, PATTERN_FAMILY, PATTERN_MEMBER = range(4)
PATTERN_FIELDS = 4
EQUAL, UNEQUAL, LESS, LESS_OR_EQUAL, GREATER, GREATER_OR_EQUAL = range(6)  # comparisons


class Asked(NamedTuple):
    """One event and what is found out about it.

    inputs (i, 2): words and their states; truths (a, 2): of atoms, and for which event. The event
    is of interest to some of the patterns, in their order: masks (n,): which conditions hold for
    each of them, members (n,): its place in its family, families (f, 2): the number of each of
    their families, and where its patterns end. values (v, 2): words and states of what programs
    across events read and no field is.
    """

    inputs: Int64s
    inputs_f: Floats
    truths: Int64s
    slots: Int64s
    slots_f: Floats
    masks: Int64s
    members: Int64s
    families: Int64s
    values: Int64s
    counters: Int64s


INPUT_WORD, INPUT_STATE = range(2)
NULL, VALID, FAULTY, PENDING = range(4)  # INPUT_STATE; PENDING: not computed, perhaps not needed
EVENTS, VALUES_BEGIN = 0, 1  # counters: asked so far; the first program of a value
WANTED = 2  # the number, plus 1, of a pending input that was needed, 0 where none was
TOUCHED_FAMILIES = 3
COUNTERS = 4
COULD_NOT = word(-1)


@inlined
def load_input(conditions: Conditions, asked: Asked, at: int) -> None:
    """NULL, CONST, INPUT: a leaf's value into a slot."""
    op = conditions.code[at, CODE_OP]
    to = conditions.code[at, CODE_TO]
    a = conditions.code[at, CODE_A]
    asked.slots[to, SLOT_FAULT] = 0
    asked.slots[to, SLOT_NULL] = 0
    if op == Op.CONST:
        asked.slots[to, SLOT_VALUE] = conditions.constants[a]
    elif op == Op.INPUT:
        state = asked.inputs[a, INPUT_STATE]
        asked.slots[to, SLOT_VALUE] = asked.inputs[a, INPUT_WORD]
        asked.slots[to, SLOT_NULL] = 0 if state == VALID else 1
        asked.slots[to, SLOT_FAULT] = 1 if state >= FAULTY else 0
        if state == PENDING:
            asked.counters[WANTED] = a + 1
    else:
        asked.slots[to, SLOT_VALUE] = 0
        asked.slots[to, SLOT_NULL] = 1


@inlined
def run_program(conditions: Conditions, asked: Asked, program: int) -> None:
    """Leave the program's value in slot 0."""
    for at in range(conditions.start[program], conditions.start[program + 1]):
        if conditions.code[at, CODE_OP] <= Op.REGISTER:
            load_input(conditions, asked, at)
        else:
            compute(asked.slots, asked.slots_f, conditions.code, conditions.start, at)


@inlined
def order_of(x: float, y: float) -> int:
    """-1, 0 or 1; 2 where one of them is NaN."""
    if x < y:
        return -1
    if x > y:
        return 1
    return 0 if x == y else 2


@inlined
def find_truth(conditions: Conditions, asked: Asked, atom: int) -> int:
    """Of FALSE, TRUE, UNKNOWN and FAILED."""
    kind = conditions.atoms[atom, ATOM_KIND]
    if kind == PROGRAM:
        run_program(conditions, asked, conditions.atoms[atom, ATOM_PROGRAM])
        if asked.slots[0, SLOT_FAULT] != 0:
            return FAILED
        if asked.slots[0, SLOT_NULL] != 0:
            return UNKNOWN
        return TRUE if asked.slots[0, SLOT_VALUE] == 1 else FALSE
    at = conditions.atoms[atom, ATOM_INPUT]
    state = asked.inputs[at, INPUT_STATE]
    if state != VALID:
        return UNKNOWN if state == NULL else FAILED
    if kind == FLOATS:
        order = order_of(asked.inputs_f[at, INPUT_WORD], conditions.atoms_f[atom, ATOM_CONSTANT])
    else:
        whole = asked.inputs[at, INPUT_WORD]
        other = conditions.atoms[atom, ATOM_CONSTANT]
        order = -1 if whole < other else (1 if whole > other else 0)
    return TRUE if compares(order, conditions.atoms[atom, ATOM_COMPARISON]) else FALSE


@inlined
def truth_of(conditions: Conditions, asked: Asked, atom: int) -> int:
    """The same, found out once for each event."""
    if asked.truths[atom, 0] != asked.counters[EVENTS]:
        asked.truths[atom, 1] = find_truth(conditions, asked, atom)
        asked.truths[atom, 0] = asked.counters[EVENTS]
    truth: int = asked.truths[atom, 1]
    return truth


@inlined
def ask(conditions: Conditions, asked: Asked, condition: int) -> bool:
    """Set the condition's bit where it holds. False: it could not be evaluated.

    Atoms decide from left to right: what is behind a false one need not have been evaluated.
    """
    truth = TRUE
    for part in range(
        conditions.conditions[condition, CONDITION_PARTS],
        conditions.conditions[condition, CONDITION_PARTS_END],
    ):
        found = truth_of(conditions, asked, conditions.parts[part])
        if found == FAILED:
            return False
        if found == FALSE:
            return True
        if found == UNKNOWN:
            truth = UNKNOWN
    if truth == TRUE:
        for user in range(
            conditions.conditions[condition, CONDITION_USERS],
            conditions.conditions[condition, CONDITION_USERS_END],
        ):
            asked.masks[conditions.users[user, 0]] |= conditions.users[user, 1]
    return True


@inlined
def place_in(conditions: Conditions, asked: Asked, group: int, at: int, upper: bool) -> int:
    """Among the group's entries the first whose constant is >= (`upper`: >) the input."""
    low: int = conditions.groups[group, GROUP_ENTRIES]
    high = conditions.groups[group, GROUP_ENTRIES_END]
    while low < high:
        middle = (low + high) // 2
        if conditions.groups[group, GROUP_FLOAT]:
            order = order_of(conditions.entries_f[middle, 0], asked.inputs_f[at, INPUT_WORD])
        else:
            constant = conditions.entries[middle, 0]
            whole = asked.inputs[at, INPUT_WORD]
            order = -1 if constant < whole else (1 if constant > whole else 0)
        if order < 0 or (upper and order == 0):
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def ask_group(conditions: Conditions, asked: Asked, group: int) -> bool:
    """Ask the conditions whose access holds."""
    at = conditions.groups[group, GROUP_INPUT]
    begin = conditions.groups[group, GROUP_ENTRIES]
    end = conditions.groups[group, GROUP_ENTRIES_END]
    if asked.inputs[at, INPUT_STATE] != VALID:
        if not conditions.groups[group, GROUP_CAN_FAIL]:
            return True
    elif conditions.groups[group, GROUP_FLOAT] and math.isnan(asked.inputs_f[at, INPUT_WORD]):
        return True
    else:
        kind = conditions.groups[group, GROUP_COMPARISON]
        if kind == EQUAL:
            begin = place_in(conditions, asked, group, at, False)
            end = place_in(conditions, asked, group, at, True)
        elif kind in (GREATER, GREATER_OR_EQUAL):
            end = place_in(conditions, asked, group, at, kind == GREATER_OR_EQUAL)
        else:
            begin = place_in(conditions, asked, group, at, kind == LESS)
    is_fine = True
    for entry in range(begin, end):
        is_fine = is_fine and ask(conditions, asked, conditions.entries[entry, 1])
    return is_fine


@inlined
def compute_values(conditions: Conditions, asked: Asked) -> bool:
    """The values that programs across events read. False: one could not be computed."""
    first = asked.counters[VALUES_BEGIN]
    for number in range(asked.values.shape[0]):
        run_program(conditions, asked, first + number)
        if asked.slots[0, SLOT_FAULT] != 0:
            return False
        asked.values[number, INPUT_WORD] = asked.slots[0, SLOT_VALUE]
        asked.values[number, INPUT_STATE] = VALID if asked.slots[0, SLOT_NULL] == 0 else NULL
    return True


@inlined
def gather(conditions: Conditions, asked: Asked) -> int:
    """Move what the event is of interest to to the front; how many patterns that are."""
    touched, families, last = 0, 0, -1
    for pattern in range(asked.masks.size):
        if asked.masks[pattern] == 0 and conditions.patterns[pattern, PATTERN_RESTLESS] == 0:
            continue
        asked.masks[touched] = asked.masks[pattern]
        asked.members[touched] = conditions.patterns[pattern, PATTERN_MEMBER]
        touched += 1
        if conditions.patterns[pattern, PATTERN_FAMILY] != last:
            last = conditions.patterns[pattern, PATTERN_FAMILY]
            asked.families[families, 0] = last
            families += 1
        asked.families[families - 1, 1] = touched
    asked.counters[TOUCHED_FAMILIES] = families
    return touched


@kernel
def evaluate(conditions: Conditions, asked: Asked) -> int:
    """Ask all of one event; the number of patterns that it touches, or COULD_NOT.

    Writes masks, members, families and, where patterns are touched, values. Where it could not
    because an input is pending, that is the one WANTED. O(patterns + conditions touched), the first
    with a very small constant.
    """
    asked.counters[EVENTS] += 1
    asked.counters[WANTED] = 0
    for pattern in range(asked.masks.size):
        asked.masks[pattern] = conditions.patterns[pattern, PATTERN_ALWAYS]
    for at in range(conditions.always.size):
        if not ask(conditions, asked, conditions.always[at]):
            return COULD_NOT
    for group in range(conditions.groups.shape[0]):
        if not ask_group(conditions, asked, group):
            return COULD_NOT
    touched = gather(conditions, asked)
    if touched > 0 and not compute_values(conditions, asked):
        return COULD_NOT
    return touched
