"""Parameters of rules: values by name, put in where constants stand.

    parameter $limit float = 500;
    pattern p from payments by card match a define a as amount > $limit;

A value goes in as the parse tree of a constant of its type, never as text: whatever it is, it stays
one constant. Where a rule is about $limit, messages point at $limit.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from lark import Token, Tree
from lark.tree import Meta

from cep.dsl.expressions import ExpressionLowering, branch, token
from cep.dsl.lexer import span_of
from cep.dsl.parts import parse_duration, parse_expression
from cep.dsl.values import EPOCH, INT64_MAX, Branch, moment_us, shorten, type_of
from cep.engine.algebra.errors import Problem, RuleError, Span
from cep.engine.algebra.expression import DataType, Literal
from cep.engine.algebra.functions import closest
from cep.engine.algebra.printer import print_expression

Value = bool | int | float | str  # as in literals: durations and times are microseconds

WRITTEN: dict[DataType, str] = {
    DataType.INTEGER: "a whole number of 64 bits",
    DataType.FLOAT: "a finite number",
    DataType.TEXT: "a text",
    DataType.BOOLEAN: "True or False",
    DataType.DURATION: "a timedelta, or a text such as '10 minutes'",
    DataType.TIMESTAMP: "a datetime, or a text such as '2024-01-31 23:59:59'",
}
"""What a value of each type is in Python."""


EXAMPLES: dict[DataType, str] = {
    DataType.INTEGER: "500",
    DataType.FLOAT: "2.5",
    DataType.TEXT: "'text'",
    DataType.BOOLEAN: "true",
    DataType.DURATION: "30 minutes",
    DataType.TIMESTAMP: "timestamp '2024-01-31 23:59:59'",
    DataType.NULL: "500",
}
"""How a default of each type is written."""

UNITS = (DataType.DURATION, DataType.TIMESTAMP)  # which a literal names, see there


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter that the rules declare, and the value that stands in them.

    Durations are timedeltas, times datetimes in UTC.
    """

    name: str
    type: DataType
    default: bool | float | str | timedelta | datetime  # an int is a float to a type checker
    value: bool | float | str | timedelta | datetime
    span: Span | None = field(default=None, compare=False, repr=False)


class Parameters:
    """The parameters of one rule text: first all are declared, then their values are put in."""

    def __init__(self, given: Mapping[str, Any], problems: list[Problem]) -> None:
        self._given = given
        self._problems = problems
        self._used: set[str] = set()
        self._lost: set[str] = set()
        self._values: dict[str, Value] = {}
        self.declared: dict[str, Parameter] = {}

    def lose(self, at: Token) -> None:
        """A statement that could not be read seems to declare this one: nobody misses it."""
        self._lost.add(str(at[1:]))

    def declare(self, tree: Branch) -> None:
        """A `parameter` statement."""
        at = token(tree, 0)
        name = str(at[1:])
        found = self._default(tree, name)
        if found is None:
            self._lost.add(name)
            return
        if name in self.declared:
            hint = "a parameter is declared once"
            self._problem(f"a second parameter ${name}", span_of(at), hint)
            return
        kind, default = found
        value = default
        if name in self._given:
            given = converted(self._given[name], kind)
            if given is None:
                message = f"the value of ${name} is {shorten(repr(self._given[name]))}"
                self._problem(message, span_of(at), f"it must be {WRITTEN[kind]}")
            else:
                value = given
        self._values[name] = value
        shown = python_value(default, kind), python_value(value, kind)
        self.declared[name] = Parameter(name, kind, *shown, span_of(at))

    def _default(self, tree: Branch, name: str) -> tuple[DataType, Value] | None:
        where = branch(tree, -1)
        before = len(self._problems)
        literal = ExpressionLowering(self._problems).expression(where)
        span = literal.span or span_of(token(tree, 0))
        if len(self._problems) > before:
            return None
        if not isinstance(literal, Literal) or literal.value is None:
            hint = "write a number, a text, true or false, a duration or a timestamp"
            self._problem(f"the default of ${name} is no constant", span, hint)
            return None
        kind, value = literal.unit_type or _type_of_value(literal.value), literal.value
        if len(tree.children) < 3:
            return kind, value
        written = type_of(token(tree, 1), self._problems)
        if written is DataType.FLOAT and kind is DataType.INTEGER:
            return written, float(value)
        if written is not kind:
            message = f"the default of ${name} is of type {kind.value}, not {written.value}"
            self._problem(message, span, f"write it as {EXAMPLES[written]}, or leave out the type")
            return None
        return kind, value

    def finish(self) -> None:
        """After all statements: what is declared and not used, what is given and not declared."""
        for parameter in self.declared.values():
            if parameter.name not in self._used:
                message = f"parameter ${parameter.name} is not used"
                self._problems.append(Problem(message, parameter.span, warning=True))
        for name in self._given:
            if name not in self.declared and name not in self._lost:
                known = ", ".join(f"${each}" for each in self.declared) or "none"
                hint = self._near(name) or f"parameters are: {known}"
                self._problem(f"a value for ${name}, which the rules do not declare", None, hint)

    def _problem(self, message: str, span: Span | None, hint: str | None = None) -> None:
        self._problems.append(Problem(message, span, hint))

    # ---- where they are used

    def put_in(self, tree: Branch) -> Branch:
        """The tree with constants in place of parameters; trees are not too deep to recurse."""
        if tree.data in ("value", "span_value"):
            at = token(tree, 0)
            return self._constant(at) if tree.data == "value" else self._duration(at)
        children: list[Token | Branch] = [
            self._count(child) if isinstance(child, Token) else self.put_in(child)
            for child in tree.children
        ]
        return Tree(tree.data, children, tree.meta)

    def _constant(self, at: Token) -> Branch:
        parameter = self._found(at, "500")
        if parameter is None:
            return _tree("field", at, _token("NAME", "null", at))
        return constant(self._values[parameter.name], parameter.type, at)

    def _duration(self, at: Token) -> Branch:
        parameter = self._found(at, EXAMPLES[DataType.DURATION])
        microseconds = 1
        if parameter is not None:
            value = self._values[parameter.name]
            if parameter.type is DataType.DURATION and int(value) >= 0:
                microseconds = int(value)
            else:
                self._does_not_fit(parameter, at, "a duration", EXAMPLES[DataType.DURATION])
        return constant(microseconds, DataType.DURATION, at)

    def _count(self, at: Token) -> Token:
        """A token as it is; a parameter that stands for a number of events as that number."""
        if at.type != "PARAMETER":
            return at
        parameter, number = self._found(at, "3"), 1
        if parameter is not None:
            value = self._values[parameter.name]
            if parameter.type is DataType.INTEGER and int(value) >= 0:
                number = int(value)
            else:
                self._does_not_fit(parameter, at, "a number of events", "3")
        return _token("INT", str(number), at)

    def _does_not_fit(self, parameter: Parameter, at: Token, what: str, example: str) -> None:
        value = self._values[parameter.name]
        unit = parameter.type if parameter.type in UNITS else None
        message = f"{at} is {print_expression(Literal(value, unit))}, where {what} must stand"
        hint = f"declare it as: parameter {at} = {example};"
        self._problem(message, span_of(at), hint)

    def _near(self, name: str) -> str | None:
        return closest(f"${name}", [f"${each}" for each in self.declared])

    def _found(self, at: Token, example: str) -> Parameter | None:
        name = str(at[1:])
        self._used.add(name)
        if name not in self.declared and name not in self._lost:
            hint = self._near(name) or f"declare it: parameter {at} = {example};"
            self._problem(f"no parameter {at}", span_of(at), hint)
        return self.declared.get(name)


# ---- values


def python_value(value: Value, kind: DataType) -> bool | float | str | timedelta | datetime:
    """A value of a literal as Python knows it."""
    if kind is DataType.DURATION:
        return timedelta(microseconds=int(value))
    return EPOCH + timedelta(microseconds=int(value)) if kind is DataType.TIMESTAMP else value


def converted(value: Any, kind: DataType) -> Value | None:
    """A Python value as one of this type; None where it is none."""
    try:
        return CONVERTERS[kind](value)
    except (TypeError, ValueError, OverflowError, RuleError):
        return None


def constant_of(text: str, kind: DataType) -> Any:
    """What a person has typed for a parameter of this type: as in rules, texts without quotes.

    What cannot be read, or is of another type, stays as it is: for `converted` to refuse.

    >>> constant_of("-2.5", DataType.FLOAT), constant_of("10 minutes", DataType.DURATION)
    (-2.5, '10 minutes')
    """
    if kind in (DataType.TEXT, DataType.DURATION, DataType.TIMESTAMP):
        return text
    try:
        literal = parse_expression(text)
    except RuleError:
        return text
    return literal.value if isinstance(literal, Literal) else text


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    number = operator.index(value)
    if not -INT64_MAX - 1 <= number <= INT64_MAX:
        raise OverflowError
    return number


def _float(value: Any) -> float:
    if isinstance(value, bool | str):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return str(value)


def _boolean(value: Any) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):  # Python's and NumPy's
        raise TypeError
    return bool(value)


def _duration(value: Any) -> int:
    if isinstance(value, str):
        return parse_duration(value)
    if not isinstance(value, timedelta):
        raise TypeError
    return _integer(value // timedelta(microseconds=1))


def _timestamp(value: Any) -> int:
    moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise TypeError
    return moment_us(moment)


CONVERTERS: Mapping[DataType, Callable[[Any], Value]] = {
    DataType.INTEGER: _integer,
    DataType.FLOAT: _float,
    DataType.TEXT: _text,
    DataType.BOOLEAN: _boolean,
    DataType.DURATION: _duration,
    DataType.TIMESTAMP: _timestamp,
}


def _type_of_value(value: Value) -> DataType:
    if isinstance(value, bool):
        return DataType.BOOLEAN
    if isinstance(value, int):
        return DataType.INTEGER
    return DataType.FLOAT if isinstance(value, float) else DataType.TEXT


# ---- trees


def constant(value: Value, kind: DataType, at: Token) -> Branch:
    """The tree of a constant, as if it stood at this place."""
    if kind in SIGNED and not isinstance(value, str) and math.copysign(1, value) < 0:  # -0.0 too
        return _tree("minus", at, constant(-value, kind, at))
    match kind:
        case DataType.BOOLEAN:
            return _tree("field", at, _token("NAME", "true" if value else "false", at))
        case DataType.INTEGER:
            return _tree("integer", at, _token("INT", str(value), at))
        case DataType.FLOAT:
            return _tree("float", at, _token("FLOAT", repr(value), at))
        case DataType.DURATION:
            number, unit = _token("INT", str(value), at), _token("NAME", "microseconds", at)
            return _tree("duration", at, number, unit)
        case DataType.TIMESTAMP:
            moment = (EPOCH + timedelta(microseconds=int(value))).isoformat()
            return _tree("typed_literal", at, _token("NAME", kind.value, at), _quoted(moment, at))
    return _tree("text", at, _quoted(str(value), at))


SIGNED = (DataType.INTEGER, DataType.FLOAT, DataType.DURATION)


def _quoted(text: str, at: Token) -> Token:
    return _token("STRING", "'" + text.replace("'", "''") + "'", at)


def _token(kind: str, text: str, at: Token) -> Token:
    return at.update(type=kind, value=text)


def _tree(rule: str, at: Token, *children: Token | Branch) -> Branch:
    meta: Any = Meta()  # type: ignore[no-untyped-call]
    meta.line, meta.column = at.line, at.column
    meta.end_line, meta.end_column = at.end_line, at.end_column
    meta.empty = False
    return Tree(rule, list(children), meta)
