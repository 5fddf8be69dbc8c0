"""All conditions of all patterns that read one event alone -> the tables of one kernel.

patterns ─► conditions ─► atoms: a comparison of a field with a constant, or a program
│             over inputs: fields of the event, and *leaves*, which are what
│             programs cannot do (texts, calendars) and columns compute
└─► access: the atom through which a condition is reached
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cep.engine.algebra.expression import (
    Binary,
    DataType,
    Expression,
    Field,
    Literal,
    conjuncts,
)
from cep.engine.automaton.program import (
    COMPARISONS,
    FLOAT_FUNCTIONS,
    MIRRORED,
    Instruction,
    Machine,
    ProgramCompiler,
    slots_needed,
)
from cep.engine.batch import Int64s
from cep.engine.kernels import conditions as kernel
from cep.engine.kernels.layout import Floats

EXACT_FLOAT = 1 << 53  # every integer up to here is a float
_WHOLE = (DataType.INTEGER, DataType.BOOLEAN, DataType.TIMESTAMP, DataType.DURATION)


@dataclass(frozen=True, slots=True)
class Asker:
    """What one pattern asks: its conditions (None: true of every event), as bits of a word.

    `restless`: an event for which none of them holds may change something, too.
    """

    conditions: Sequence[Expression | None]
    restless: bool


@dataclass(frozen=True, slots=True)
class _Atom:
    kind: int
    input: int = 0
    comparison: int = 0
    constant: int = 0
    program: int = 0

    @property
    def is_access(self) -> bool:
        return self.kind != kernel.PROGRAM and self.comparison != kernel.UNEQUAL

    @property
    def can_fail(self) -> bool:
        return self.kind == kernel.PROGRAM


class _EventCompiler(ProgramCompiler):
    """Programs over the event under test. Texts are compared with constants, by code, and no more.

    What differs in the last digit between one value and a column of values is left to columns.
    """

    def compile(self, node: Expression, to: int) -> None:
        if isinstance(node, Literal):
            self.constant(node, to)
        elif isinstance(node, Field):
            self.read_input(node, to)
        else:
            self.across(node, to)

    def comparison(self, operator: str, left: Expression, right: Expression, to: int) -> None:
        if DataType.TEXT in (left.type, right.type):
            by_code = operator in ("=", "<>") and any(
                isinstance(side, Literal) for side in (left, right)
            )
            if not by_code:
                self.hoist(Binary(operator, left, right, type=DataType.BOOLEAN), to)
                return
        super().comparison(operator, left, right, to)

    def call(
        self, node: Expression, function: str, arguments: tuple[Expression, ...], to: int
    ) -> None:
        if function == "power" or (function in FLOAT_FUNCTIONS and function != "sqrt"):
            self.hoist(node, to)
        else:
            super().call(node, function, arguments, to)

    def hoist(self, node: Expression, to: int) -> None:
        """An input that columns compute."""
        self.read_input(node, to)


@dataclass(slots=True)
class _Tables:
    """What is collected while conditions are taken apart; equal parts have one number."""

    machine: Machine = field(default_factory=Machine)
    texts: dict[str, int] = field(default_factory=dict)
    programs: list[list[Instruction]] = field(default_factory=list)
    values: list[list[Instruction]] = field(default_factory=list)
    atoms: list[_Atom] = field(default_factory=list)
    atom_of: dict[Expression, int] = field(default_factory=dict)
    condition_of: dict[tuple[int, ...], int] = field(default_factory=dict)
    users: list[list[tuple[int, int]]] = field(default_factory=list)  # by condition

    def add(self, pattern: int, bit: int, condition: Expression) -> None:
        parts = tuple(dict.fromkeys(self._atom(part) for part in conjuncts(condition)))
        number = self.condition_of.setdefault(parts, len(self.users))
        if number == len(self.users):
            self.users.append([])
        self.users[number].append((pattern, 1 << bit))

    def program(self, expression: Expression) -> list[Instruction]:
        compiler = _EventCompiler(self.machine, self._text)
        compiler.compile(expression, 0)
        return compiler.code

    def _text(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))

    def _atom(self, expression: Expression) -> int:
        if expression not in self.atom_of:
            self.atom_of[expression] = len(self.atoms)
            self.atoms.append(self._simple(expression) or self._programmed(expression))
        return self.atom_of[expression]

    def _programmed(self, expression: Expression) -> _Atom:
        self.programs.append(self.program(expression))
        return _Atom(kernel.PROGRAM, program=len(self.programs) - 1)

    def _simple(self, expression: Expression) -> _Atom | None:
        """A comparison of a field with a constant, where that needs no program."""
        if not isinstance(expression, Binary) or expression.operator not in COMPARISONS:
            return None
        operator, left, right = expression.operator, expression.left, expression.right
        if isinstance(left, Literal):
            operator, left, right = MIRRORED[operator], right, left
        if not isinstance(left, Field) or not isinstance(right, Literal):
            return None
        constant = self._word(left.type, operator, right)
        if constant is None:
            return None
        kind = kernel.FLOATS if left.type is DataType.FLOAT else kernel.INTEGERS
        return _Atom(kind, self.machine.input(left), COMPARISONS[operator], constant)

    def _word(self, kind: DataType | None, operator: str, constant: Literal) -> int | None:
        """The constant as a word of the field's bank; None where that would not be exact."""
        value = constant.value
        if kind is DataType.TEXT and isinstance(value, str) and operator in ("=", "<>"):
            return self._text(value)
        if isinstance(value, str) or value is None:
            return None
        if kind is DataType.FLOAT and abs(value) <= EXACT_FLOAT:
            return _float_word(float(value))
        return int(value) if kind in _WHOLE and not isinstance(value, float) else None


@dataclass(frozen=True, slots=True)
class Questions:
    """`inputs`: what the kernel must be given of each event, in this order; `texts`: the codes of
    the texts that are asked for, -1 stands for all others.
    """

    inputs: tuple[Expression, ...]
    texts: dict[str, int]
    tables: kernel.Conditions
    asked: kernel.Asked


def build_questions(families: Sequence[Sequence[Asker]], values: Sequence[Expression]) -> Questions:
    """`families`: what their members ask; `values`: what is computed beside the conditions."""
    tables = _Tables()
    patterns: list[tuple[int, ...]] = []
    for family, askers in enumerate(families):
        for member, asker in enumerate(askers):
            always = 0
            for bit, condition in enumerate(asker.conditions):
                if condition is None:
                    always |= 1 << bit
                else:
                    tables.add(len(patterns), bit, condition)
            patterns.append((always, asker.restless, family, member))
    tables.values = [tables.program(expression) for expression in values]
    return Questions(
        tuple(tables.machine.inputs),
        tables.texts,
        _encode(tables, _table(patterns, kernel.PATTERN_FIELDS)),
        _asked(tables, len(patterns), len(families)),
    )


def _asked(tables: _Tables, patterns: int, families: int) -> kernel.Asked:
    programs = [*tables.programs, *tables.values]
    slots = np.zeros((max((slots_needed(p) for p in programs), default=0) + 2, 3), np.int64)
    inputs = np.zeros((len(tables.machine.inputs), 2), np.int64)
    asked = kernel.Asked(
        inputs,
        inputs.view(np.float64),
        np.zeros((len(tables.atoms), 2), np.int64),
        slots,
        slots.view(np.float64),
        np.zeros(patterns, np.int64),
        np.zeros(patterns, np.int64),
        np.zeros((families, 2), np.int64),
        np.zeros((len(tables.values), 2), np.int64),
        np.zeros(kernel.COUNTERS, np.int64),
    )
    asked.counters[kernel.VALUES_BEGIN] = len(tables.programs)
    return asked


def _encode(tables: _Tables, patterns: Int64s) -> kernel.Conditions:
    atoms = _table(
        [(a.kind, a.input, a.comparison, a.constant, a.program) for a in tables.atoms],
        kernel.ATOM_FIELDS,
    )
    conditions, parts, users = [], list[int](), list[tuple[int, int]]()
    for atoms_of, mine in zip(tables.condition_of, tables.users, strict=True):
        conditions.append(
            (len(parts), len(parts) + len(atoms_of), len(users), len(users) + len(mine))
        )
        parts += atoms_of
        users += mine
    groups, entries, always = _accesses(tables)
    programs = [*tables.programs, *tables.values]
    code = [(i.op, i.to, i.a, i.b, i.c) for program in programs for i in program]
    return kernel.Conditions(
        atoms,
        _floats(atoms),
        _table(conditions, kernel.CONDITION_FIELDS),
        np.array(parts, np.int64),
        _table(users, 2),
        groups,
        entries,
        _floats(entries),
        always,
        patterns,
        np.cumsum([0, *map(len, programs)]).astype(np.int64),
        _table(code, 5),
        np.array(tables.machine.constants, np.int64),
    )


def _accesses(tables: _Tables) -> tuple[Int64s, Int64s, Int64s]:
    """(groups, their entries, the conditions without access)."""
    members: dict[tuple[int, int, bool, bool], list[tuple[float, int, int]]] = {}
    always = []
    for number, parts in enumerate(tables.condition_of):
        access = _access([tables.atoms[part] for part in parts])
        if access is None:
            always.append(number)
            continue
        can_fail = any(tables.atoms[part].can_fail for part in parts)
        is_float = access.kind == kernel.FLOATS
        group = access.input, access.comparison, is_float, can_fail
        order = _float_of(access.constant) if is_float else access.constant
        members.setdefault(group, []).append((order, access.constant, number))
    groups, entries = [], list[tuple[int, int]]()
    for (at, comparison, is_float, can_fail), found in members.items():
        end = len(entries) + len(found)
        groups.append((at, comparison, is_float, len(entries), end, can_fail))
        entries += [(constant, number) for _, constant, number in sorted(found)]
    return (
        _table(groups, kernel.GROUP_FIELDS),
        _table(entries, 2),
        np.array(always, np.int64),
    )


def _access(parts: Sequence[_Atom]) -> _Atom | None:
    """The most selective of the comparisons before the first part that may fail."""
    found: _Atom | None = None
    for atom in parts:
        if atom.can_fail:
            break
        if atom.is_access and (found is None or found.comparison != kernel.EQUAL):
            found = atom if found is None or atom.comparison == kernel.EQUAL else found
    return found


def _table(rows: Sequence[tuple[int, ...]], width: int) -> Int64s:
    return np.array(rows, np.int64).reshape(-1, width)


def _floats(words: Int64s) -> Floats:
    return words.view(np.float64)


def _float_word(value: float) -> int:
    (found,) = struct.unpack("<q", struct.pack("<d", value))
    return int(found)


def _float_of(constant: int) -> float:
    (found,) = struct.unpack("<d", struct.pack("<q", constant))
    return float(found)
