"""Typed expressions over the event under test and over what a run has captured.

An expression is a tree of frozen dataclasses. It is built untyped (by the parser or in Python) and
*bound* to the schemas of its streams by `engine.binding`, which returns the same tree with every
node's `type` filled in, or problems. Equality ignores `span` and `type`: two conditions that say
the same are the same, whoever wrote them, and are evaluated once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any

from cep.engine.algebra.errors import Span


class DataType(Enum):
    """What a value is. Times and durations are whole microseconds; integers are exact 64-bit."""

    BOOLEAN = "boolean"
    INTEGER = "int"
    FLOAT = "float"
    TEXT = "text"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    NULL = "null"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """The root of all expressions. `type` is None until the tree has been bound."""

    span: Span | None = field(default=None, compare=False, repr=False)
    type: DataType | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Expression):
    """A constant. TIMESTAMP and DURATION literals hold int microseconds, with `unit_type` set.

    `unit_type` tells an integer from a duration (`30 seconds`) or a timestamp; None means that the
    Python type of `value` says it all (bool, int, float, str, None). Unlike in Python, 1, 1.0 and
    true are three different constants.
    """

    value: bool | int | float | str | None
    unit_type: DataType | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[str, object, DataType | None]:
        return type(self.value).__name__, self.value, self.unit_type


@dataclass(frozen=True, slots=True)
class Field(Expression):
    """A field of the event under test; in `select`, of the last event of the match."""

    name: str


@dataclass(frozen=True, slots=True)
class Captured(Expression):
    """A value over the events that a variable of the run has taken so far.

    `function` is one of CAPTURE_FUNCTIONS. `argument` is evaluated on each captured event and reads
    nothing but that event's own fields (None only for count). `variable` None means every event of
    the run, whichever variable took it: `prev(f)` is Captured("last", None, f). The event under
    test is not included.
    """

    function: str
    variable: str | None
    argument: Expression | None


@dataclass(frozen=True, slots=True)
class Aggregated(Expression):
    """A value over the events of a window (`aggregate`), or of what lies behind one (`feature`).

    `function` is one of `engine.algebra.aggregates` or a user-defined one. `argument` reads nothing
    but the fields of the event that is aggregated (None only for count). `parameters` are
    the constants behind it: quantile(amount, 0.95).
    """

    function: str
    argument: Expression | None = None
    parameters: tuple[Literal, ...] = ()


@dataclass(frozen=True, slots=True)
class Unary(Expression):
    """`operator` is "not" or "-"."""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Expression):
    """`operator` is one of: and or = <> < <= > >= + - * / % ||."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class IsNull(Expression):
    operand: Expression
    negated: bool = False


@dataclass(frozen=True, slots=True)
class InList(Expression):
    operand: Expression
    items: tuple[Expression, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Between(Expression):
    operand: Expression
    low: Expression
    high: Expression
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Like(Expression):
    """SQL LIKE: `%` any text, `_` one character, backslash escapes; `pattern` is a constant."""

    operand: Expression
    pattern: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Case(Expression):
    """`case when c1 then v1 ... else d end`."""

    branches: tuple[tuple[Expression, Expression], ...]
    otherwise: Expression | None = None


@dataclass(frozen=True, slots=True)
class Cast(Expression):
    operand: Expression
    target: DataType


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """A scalar function of the registry in `engine.algebra.functions`, lower-case name."""

    function: str
    arguments: tuple[Expression, ...]


CAPTURE_FUNCTIONS = ("first", "last", "count", "sum", "avg", "min", "max", "stddev")


_MEMBERS: dict[type[Expression], tuple[str, ...]] = {}  # names of the fields of each kind


def children(expression: Expression) -> Iterator[Expression]:
    """The direct operands of an expression, in the order in which they are written."""
    members = _MEMBERS.get(type(expression))
    if members is None:
        members = _MEMBERS[type(expression)] = tuple(each.name for each in fields(expression))
    for member in members:
        yield from _expressions_in(getattr(expression, member))


def _expressions_in(value: object) -> Iterator[Expression]:
    if isinstance(value, Expression):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _expressions_in(item)


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and everything below it, parents first."""
    stack = [expression]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(list(children(node))))


def rebuild(expression: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """The same node with `change` applied to each direct operand."""

    def visit(value: object) -> object:
        if isinstance(value, Expression):
            return change(value)
        if isinstance(value, tuple):
            return tuple(visit(item) for item in value)
        return value

    changed: dict[str, Any] = {
        m.name: visit(getattr(expression, m.name)) for m in fields(expression)
    }
    return replace(expression, **changed)


def conjuncts(expression: Expression) -> list[Expression]:
    """The operands of the top-level `and`s: the expression is true exactly when all of them are."""
    stack, found = [expression], []
    while stack:
        node = stack.pop()
        if isinstance(node, Binary) and node.operator == "and":
            stack += [node.right, node.left]
        else:
            found.append(node)
    return found


def reads_captures(expression: Expression) -> bool:
    """Whether the value depends on what a run has captured, not on the event under test alone."""
    return any(isinstance(node, Captured) for node in walk(expression))
