"""Conditions across events -> programs for the kernel's small machine, and the registers they read.

A condition splits into what reads the event under test alone (evaluated as a column, shared between
patterns) and what also reads captures (a program, run only where the column part holds). Programs
read three things: *inputs*, values of the event under test; *registers*, running values over what a
run has captured (each captured node carries its own); and constants. Text is compared by code.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import reduce

from cep.engine.algebra.errors import Problem
from cep.engine.algebra.expression import (
    Between,
    Binary,
    Call,
    Captured,
    Case,
    Cast,
    DataType,
    Expression,
    Field,
    InList,
    IsNull,
    Literal,
    Unary,
    children,
    conjuncts,
    reads_captures,
    rebuild,
    walk,
)
from cep.engine.kernels.codes import Op, Register


@dataclass(frozen=True, slots=True)
class RegisterSpec:
    """A running value: how it is updated, for which variable (None: any), from which input."""

    kind: Register
    variable: str | None
    input: int  # index into Inputs.expressions; -1: reads none
    is_float: bool


@dataclass(frozen=True, slots=True)
class Instruction:
    op: Op
    to: int
    a: int = 0
    b: int = 0
    c: int = 0


TEXT_KINDS = {Register.FIRST, Register.LAST, Register.MIN_TEXT, Register.MAX_TEXT}


@dataclass(slots=True)
class Machine:
    """What the programs of one pattern share. Bit i of a validity word is input or register i."""

    inputs: list[Expression] = field(default_factory=list)
    registers: list[RegisterSpec] = field(default_factory=list)
    constants: list[int] = field(default_factory=list)  # 64-bit words: integers, or a float's bits
    uses_text_order: bool = False
    _places: dict[tuple[Expression, DataType | None], int] = field(default_factory=dict)

    def input(self, expression: Expression) -> int:
        place = self._places.setdefault((expression, expression.type), len(self.inputs))
        if place == len(self.inputs):
            self.inputs.append(expression)
        return place

    def register(self, spec: RegisterSpec) -> int:
        if spec not in self.registers:
            self.registers.append(spec)
        return self.registers.index(spec)

    def text_registers(self) -> list[int]:
        """The registers that hold codes of texts."""
        return [
            index
            for index, spec in enumerate(self.registers)
            if spec.kind in TEXT_KINDS and self.inputs[spec.input].type is DataType.TEXT
        ]


class NotInKernelError(Exception):
    """The expression needs something that the machine cannot do across events."""

    def __init__(self, expression: Expression, reason: str) -> None:
        super().__init__(reason)
        self.problem = Problem(
            f"a condition across events cannot do this: {reason}",
            expression.span,
            "compute it from the fields of one event, for example first(a.f) of a derived value",
        )


LIMIT = 63  # inputs and registers each have one validity bit in a word


def split_condition(
    expression: Expression | None,
) -> tuple[Expression | None, Expression | None]:
    """The conjuncts that read only the event under test, and the others; None: there are none."""
    parts = [] if expression is None else conjuncts(expression)
    own = [part for part in parts if not reads_captures(part)]
    across = [part for part in parts if reads_captures(part)]
    return _conjunction(own), _conjunction(across)


def _conjunction(parts: list[Expression]) -> Expression | None:
    if not parts:
        return None
    return reduce(lambda a, b: Binary("and", a, b, type=DataType.BOOLEAN), parts)


def compile_program(
    expression: Expression, machine: Machine, code_of: Callable[[str], int]
) -> list[Instruction]:
    """Instructions that leave the truth of a bound boolean expression in slot 0.

    `code_of` gives the integer that stands for a text. Raises NotInKernelError.
    """
    compiler = ProgramCompiler(machine, code_of)
    compiler.compile(expression, 0)
    if len(machine.inputs) > LIMIT or len(machine.registers) > LIMIT:
        raise NotInKernelError(expression, f"more than {LIMIT} values of other events in a pattern")
    return compiler.code


def slots_needed(code: list[Instruction]) -> int:
    return 1 + max((i.to for i in code), default=0)


INTEGER_BANK = {
    DataType.BOOLEAN,
    DataType.INTEGER,
    DataType.TIMESTAMP,
    DataType.DURATION,
    DataType.TEXT,
    DataType.NULL,
}
COMPARISONS = {"=": 0, "<>": 1, "<": 2, "<=": 3, ">": 4, ">=": 5}
MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
FLOAT_FUNCTIONS = {"sqrt": Op.SQRT, "ln": Op.LN, "exp": Op.EXP, "log10": Op.LOG10}
ROUNDING = {"floor": Op.FLOOR, "ceil": Op.CEIL}


class ProgramCompiler:
    """Expressions across events -> instructions; what reads one event alone is an input."""

    def __init__(self, machine: Machine, code_of: Callable[[str], int]) -> None:
        self.machine = machine
        self.code_of = code_of
        self.code: list[Instruction] = []

    def emit(self, op: Op, to: int, a: int = 0, b: int = 0, c: int = 0) -> None:
        self.code.append(Instruction(op, to, a, b, c))

    def compile(self, node: Expression, to: int) -> None:
        """Code that leaves the node's value in slot `to`; slots above it are free to use."""
        if isinstance(node, Literal):
            self.constant(node, to)
        elif not reads_captures(node):
            self.read_input(node, to)
        else:
            self.across(node, to)

    def across(self, node: Expression, to: int) -> None:
        match node:
            case Captured():
                self.captured(node, to)
            case Unary("not", operand):
                self.compile(operand, to)
                self.emit(Op.NOT, to, to)
            case Unary(_, operand):
                self.compile(operand, to)
                self.emit(Op.NEG_F if _is_float(operand) else Op.NEG_I, to, to)
            case Binary("and" | "or" as operator, left, right):
                self.pair(left, right, to)
                self.emit(Op.AND if operator == "and" else Op.OR, to, to, to + 1)
            case Binary(operator, left, right) if operator in COMPARISONS:
                self.comparison(operator, left, right, to)
            case Binary(operator, left, right) if operator in "+-*/%":
                self.arithmetic(node, operator, left, right, to)
            case IsNull(operand, negated):
                self.compile(operand, to)
                self.emit(Op.IS_NULL, to, to)
                self.negate(to, negated)
            case Between(operand, low, high, negated):
                self.compile(_between(operand, low, high), to)
                self.negate(to, negated)
            case InList(operand, items, negated):
                self.compile(_any_of(operand, items), to)
                self.negate(to, negated)
            case Case(branches, otherwise):
                self.case(node, branches, otherwise, to)
            case Cast(operand, target):
                self.cast(node, operand, target, to)
            case Call(function, arguments):
                self.call(node, function, arguments, to)
            case _:
                self.hoist(node, to)

    def negate(self, to: int, negated: bool) -> None:
        if negated:
            self.emit(Op.NOT, to, to)

    # ------------------------------------------------------------------ leaves

    def constant(self, node: Literal, to: int) -> None:
        value = node.value
        if value is None:
            self.emit(Op.NULL, to)
            return
        if isinstance(value, float):
            (word,) = struct.unpack("<q", struct.pack("<d", value))
        else:
            word = self.code_of(value) if isinstance(value, str) else int(value)
        self.machine.constants.append(word)
        self.emit(Op.CONST, to, len(self.machine.constants) - 1)

    def read_input(self, node: Expression, to: int) -> None:
        if node.type is DataType.NULL:
            self.emit(Op.NULL, to)
            return
        self.emit(Op.INPUT, to, self.machine.input(node))

    def captured(self, node: Captured, to: int) -> None:
        function, argument = node.function, node.argument
        if function == "count":
            kind = Register.COUNT if argument is None else Register.COUNT_VALID
            self.read_register(node, kind, to)
        elif function == "sum" and not _is_float(argument):
            self.integer_sum(node, Op.WHOLE_SUM, to)
        elif function == "avg":
            self.average(node, to)
        elif function == "stddev":
            self.deviation(node, to)
        else:
            self.read_register(node, self.register_kind(node), to)

    def register_kind(self, node: Captured) -> Register:
        ordered = node.function in ("min", "max")
        if ordered and node.argument is not None and node.argument.type is DataType.TEXT:
            self.machine.uses_text_order = True
            return Register.MIN_TEXT if node.function == "min" else Register.MAX_TEXT
        return Register[node.function.upper()]

    def read_register(self, node: Captured, kind: Register, to: int) -> None:
        as_float = kind not in (Register.COUNT, Register.COUNT_VALID) and _is_float(node.argument)
        if kind in (Register.MEAN, Register.DEVIATION):
            as_float = True
        index = self.add_register(node, kind, as_float)
        self.emit(Op.REGISTER, to, index)

    def add_register(self, node: Captured, kind: Register, as_float: bool) -> int:
        source = -1
        if node.argument is not None and kind is not Register.COUNT:
            source = self.machine.input(node.argument)
        return self.machine.register(RegisterSpec(kind, node.variable, source, as_float))

    def integer_sum(self, node: Captured, op: Op, to: int) -> None:
        self.read_register(node, Register.SUM, to)
        self.read_register(node, Register.CARRY, to + 1)
        self.emit(op, to, to, to + 1)

    def average(self, node: Captured, to: int) -> None:
        if _is_float(node.argument):
            self.read_register(node, Register.SUM, to)
        else:
            self.integer_sum(node, Op.REAL_SUM, to)
        self.read_register(node, Register.COUNT_VALID, to + 1)
        self.emit(Op.TO_FLOAT, to + 1, to + 1)
        self.emit(Op.DIVIDE_OR_NULL, to, to, to + 1)
        if node.type is DataType.DURATION:
            self.emit(Op.ROUND, to, to)
            self.emit(Op.TO_INTEGER, to, to)

    def deviation(self, node: Captured, to: int) -> None:
        """Sample standard deviation by Welford's recurrence (Knuth, TAOCP vol. 2, 4.2.2)."""
        if node.argument is not None and not _is_float(node.argument):
            number = Cast(node.argument, DataType.FLOAT, type=DataType.FLOAT)
            node = replace(node, argument=number)
        self.add_register(node, Register.COUNT_VALID, False)
        self.add_register(node, Register.MEAN, True)
        self.read_register(node, Register.DEVIATION, to)
        self.read_register(node, Register.COUNT_VALID, to + 1)
        self.emit(Op.SAMPLE_DEVIATION, to, to, to + 1)

    # ------------------------------------------------------------------ operators

    def pair(self, left: Expression, right: Expression, to: int) -> None:
        self.compile(left, to)
        self.compile(right, to + 1)

    def pair_as_float(self, left: Expression, right: Expression, to: int) -> None:
        self.as_float(left, to)
        self.as_float(right, to + 1)

    def as_float(self, node: Expression, to: int) -> None:
        self.compile(node, to)
        if not _is_float(node):
            self.emit(Op.TO_FLOAT, to, to)

    def comparison(self, operator: str, left: Expression, right: Expression, to: int) -> None:
        if _is_float(left) and not _is_float(right):
            left, right, operator = right, left, MIRRORED[operator]
        self.pair(left, right, to)
        kind = COMPARISONS[operator]
        if DataType.TEXT in (left.type, right.type) and kind >= COMPARISONS["<"]:
            self.machine.uses_text_order = True
            self.emit(Op.RANK, to, to)
            self.emit(Op.RANK, to + 1, to + 1)
        if _is_float(left):
            op = Op.COMPARE_F
        else:
            op = Op.COMPARE_IF if _is_float(right) else Op.COMPARE_I
        self.emit(op, to, to, to + 1, kind)

    def arithmetic(
        self, node: Expression, operator: str, left: Expression, right: Expression, to: int
    ) -> None:
        if node.type is DataType.FLOAT:
            self.pair_as_float(left, right, to)
            self.emit(_FLOAT_ARITHMETIC[operator], to, to, to + 1)
        elif _is_float(left) or _is_float(right) or operator == "/":
            self.pair_as_float(left, right, to)  # a duration scaled by a number
            self.emit(_FLOAT_ARITHMETIC[operator], to, to, to + 1)
            self.emit(Op.ROUND, to, to)
            self.emit(Op.TO_INTEGER, to, to)
        else:
            self.pair(left, right, to)
            self.emit(_INTEGER_ARITHMETIC[operator], to, to, to + 1)
            if node.type is DataType.TIMESTAMP:
                self.emit(Op.IN_CALENDAR, to, to)

    def case(
        self,
        node: Expression,
        branches: tuple[tuple[Expression, Expression], ...],
        otherwise: Expression | None,
        to: int,
    ) -> None:
        self.converted(otherwise or Literal(None, type=DataType.NULL), node, to)
        for condition, value in reversed(branches):
            self.compile(condition, to + 1)
            self.converted(value, node, to + 2)
            self.emit(Op.CHOOSE, to, to + 1, to + 2, to)

    def converted(self, node: Expression, whole: Expression, to: int) -> None:
        """The node's value in the bank of the whole: an integer among floats becomes one."""
        if _is_float(whole):
            self.as_float(node, to)
        else:
            self.compile(node, to)

    def cast(self, node: Expression, operand: Expression, target: DataType, to: int) -> None:
        numeric = (DataType.INTEGER, DataType.FLOAT, DataType.BOOLEAN)
        if target is DataType.FLOAT and operand.type in numeric:
            self.as_float(operand, to)
        elif target is DataType.INTEGER and operand.type in numeric:
            self.compile(operand, to)
            if _is_float(operand):
                self.emit(Op.TRUNCATE, to, to)
                self.emit(Op.TO_INTEGER, to, to)
        else:
            self.hoist(node, to)

    def call(
        self, node: Expression, function: str, arguments: tuple[Expression, ...], to: int
    ) -> None:
        as_float = _is_float(node)
        if function == "abs":
            self.compile(arguments[0], to)
            self.emit(Op.ABS_F if as_float else Op.ABS_I, to, to)
        elif function in FLOAT_FUNCTIONS:
            self.as_float(arguments[0], to)
            self.emit(FLOAT_FUNCTIONS[function], to, to)
        elif function == "power":
            self.pair_as_float(arguments[0], arguments[1], to)
            self.emit(Op.POWER, to, to, to + 1)
        elif function in ROUNDING or (function == "round" and len(arguments) == 1):
            self.rounding(node, function, arguments[0], to)
        elif function in ("coalesce", "least", "greatest"):
            self.fold(node, function, arguments, to)
        else:
            self.hoist(node, to)

    def rounding(self, node: Expression, function: str, argument: Expression, to: int) -> None:
        self.compile(argument, to)
        if not _is_float(argument):
            return
        self.emit(ROUNDING.get(function, Op.ROUND), to, to)
        if not _is_float(node):
            self.emit(Op.TO_INTEGER, to, to)

    def fold(
        self, node: Expression, function: str, arguments: tuple[Expression, ...], to: int
    ) -> None:
        if function != "coalesce" and node.type is DataType.TEXT:
            self.hoist(node, to)
            return
        self.converted(arguments[0], node, to)
        for argument in arguments[1:]:
            self.converted(argument, node, to + 1)
            if function == "coalesce":
                self.emit(Op.COALESCE, to, to, to + 1)
            else:
                op = Op.EXTREME_F if _is_float(node) else Op.EXTREME_I
                self.emit(op, to, to, to + 1, int(function == "greatest"))

    def hoist(self, node: Expression, to: int) -> None:
        """Compute it where the event is captured: f(last(a.x)) is last(a.f(x)); first likewise."""
        leaves = [n for n in walk(node) if isinstance(n, Captured)]
        first = leaves[0]
        one_event = all(
            (leaf.function, leaf.variable) == (first.function, first.variable) for leaf in leaves
        ) and first.function in ("first", "last")
        if not one_event or any(isinstance(n, Field) for n in _outside_captures(node)):
            raise NotInKernelError(node, "this operation over fields of different events")
        value = _without_captures(node, lambda part: part.argument or part)
        self.captured(replace(first, argument=value, type=node.type), to)
        if any(_makes_something_of_null(part) for part in walk(node)):
            self.unless_nothing_is_captured(first, node, to)

    def unless_nothing_is_captured(self, first: Captured, node: Expression, to: int) -> None:
        """Replace the hoisted value by that of the node over NULLs, where there is no event yet."""
        count = Captured("count", first.variable, None, type=DataType.INTEGER)
        self.compile(_compared(">", count, Literal(0, type=DataType.INTEGER)), to + 1)
        self.compile(_without_captures(node, lambda part: Literal(None, type=part.type)), to + 2)
        self.emit(Op.CHOOSE, to, to + 1, to, to + 2)


_FLOAT_ARITHMETIC = {
    "+": Op.ADD_F,
    "-": Op.SUBTRACT_F,
    "*": Op.MULTIPLY_F,
    "/": Op.DIVIDE_F,
    "%": Op.MODULO_F,
}
_INTEGER_ARITHMETIC = {
    "+": Op.ADD_I,
    "-": Op.SUBTRACT_I,
    "*": Op.MULTIPLY_I,
    "%": Op.MODULO_I,
}


def _is_float(node: Expression | None) -> bool:
    return node is not None and node.type is DataType.FLOAT


def _compared(operator: str, left: Expression, right: Expression) -> Expression:
    return Binary(operator, left, right, type=DataType.BOOLEAN)


def _between(operand: Expression, low: Expression, high: Expression) -> Expression:
    return Binary(
        "and",
        _compared(">=", operand, low),
        _compared("<=", operand, high),
        type=DataType.BOOLEAN,
    )


def _any_of(operand: Expression, items: tuple[Expression, ...]) -> Expression:
    if not items:
        return Literal(False, type=DataType.BOOLEAN)
    tests = [_compared("=", operand, item) for item in items]
    return reduce(lambda a, b: Binary("or", a, b, type=DataType.BOOLEAN), tests)


def _without_captures(node: Expression, instead: Callable[[Captured], Expression]) -> Expression:
    def moved(part: Expression) -> Expression:
        return instead(part) if isinstance(part, Captured) else rebuild(part, moved)

    return moved(node)


def _makes_something_of_null(node: Expression) -> bool:
    """Whether the value can be other than NULL where an operand is NULL."""
    match node:
        case Call(function, _):
            return function in ("coalesce", "greatest", "least", "nullif")
        case Binary(operator, _, _):
            return operator in ("and", "or")
        case _:
            return isinstance(node, Between | Case | InList | IsNull)


def _outside_captures(node: Expression) -> list[Expression]:
    """The nodes of a tree that are not inside a capture's argument."""
    if isinstance(node, Captured):
        return []
    return [node, *(found for child in children(node) for found in _outside_captures(child))]
