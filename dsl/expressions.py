"""Parse tree of an expression -> untyped expression of the algebra."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from lark import Token

from cep.dsl.lexer import span_of
from cep.dsl.values import (
    Branch,
    duration_us,
    float_of,
    integer_of,
    name_of,
    span_at,
    text_of,
    timestamp_us,
    type_of,
)
from cep.engine.algebra.errors import Problem
from cep.engine.algebra.expression import (
    CAPTURE_FUNCTIONS,
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
    Like,
    Literal,
    Unary,
)

CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


@dataclass(slots=True)
class Reads:
    """What the argument of first(...), sum(...) and their kin reads."""

    variables: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)


def branch(tree: Branch, index: int) -> Branch:
    child = tree.children[index]
    assert not isinstance(child, Token)
    return child


def token(tree: Branch, index: int) -> Token:
    child = tree.children[index]
    assert isinstance(child, Token)
    return child


class ExpressionLowering:
    """Turns expression trees into the algebra and collects problems; one method per grammar rule.

    Trees are at most NESTING_MAX deep (check.py), so recursion is safe.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self._reads: Reads | None = None  # set while inside the argument of a capture function

    def expression(self, tree: Branch) -> Expression:
        method = getattr(self, f"_{tree.data.rstrip('_')}")
        return cast(Callable[[Branch], Expression], method)(tree)

    def _all(self, children: list[Token | Branch]) -> tuple[Expression, ...]:
        return tuple(self.expression(child) for child in children if not isinstance(child, Token))

    # ---- operators

    def _binary(self, operator: str, tree: Branch) -> Expression:
        left, right = self.expression(branch(tree, 0)), self.expression(branch(tree, -1))
        return Binary(operator, left, right, span=span_at(tree))

    def _or(self, tree: Branch) -> Expression:
        return self._binary("or", tree)

    def _and(self, tree: Branch) -> Expression:
        return self._binary("and", tree)

    def _compare(self, tree: Branch) -> Expression:
        operator = str(branch(tree, 1).children[0])
        return self._binary("<>" if operator == "!=" else operator, tree)

    def _arithmetic(self, tree: Branch) -> Expression:
        return self._binary(str(branch(tree, 1).children[0]), tree)

    def _not(self, tree: Branch) -> Expression:
        return Unary("not", self.expression(branch(tree, 0)), span=span_at(tree))

    def _minus(self, tree: Branch) -> Expression:
        inner = branch(tree, 0)
        if inner.data == "integer":
            value = integer_of(token(inner, 0), self.problems, negative=True)
            return Literal(value, span=span_at(tree))
        operand = self.expression(inner)
        if inner.data in ("float", "duration") and isinstance(operand, Literal):
            assert isinstance(operand.value, int | float)
            return replace(operand, value=-operand.value, span=span_at(tree))
        return Unary("-", operand, span=span_at(tree))

    def _in(self, tree: Branch, *, negated: bool = False) -> Expression:
        operand, *items = self._all(tree.children)
        return InList(operand, tuple(items), negated, span=span_at(tree))

    def _not_in(self, tree: Branch) -> Expression:
        return self._in(tree, negated=True)

    def _between(self, tree: Branch, *, negated: bool = False) -> Expression:
        operand, low, high = self._all(tree.children)
        return Between(operand, low, high, negated, span=span_at(tree))

    def _not_between(self, tree: Branch) -> Expression:
        return self._between(tree, negated=True)

    def _like(self, tree: Branch, *, negated: bool = False) -> Expression:
        operand = self.expression(branch(tree, 0))
        pattern = self._prefixed_text(tree.children[1:])
        return Like(operand, pattern, negated, span=span_at(tree))

    def _not_like(self, tree: Branch) -> Expression:
        return self._like(tree, negated=True)

    def _prefixed_text(self, children: list[Token | Branch]) -> str:
        *prefix, text = [child for child in children if isinstance(child, Token)]
        if prefix and prefix[0].lower() != "e":
            hint = "like takes a text such as 'PAY%'"
            self._problem(f"{prefix[0]!r} cannot stand here", prefix[0], hint)
        return text_of(text, self.problems, escapes=bool(prefix))

    def _is_null(self, tree: Branch) -> Expression:
        return IsNull(self.expression(branch(tree, 0)), span=span_at(tree))

    def _is_not_null(self, tree: Branch) -> Expression:
        return IsNull(self.expression(branch(tree, 0)), negated=True, span=span_at(tree))

    def _parenthesis(self, tree: Branch) -> Expression:
        return self.expression(branch(tree, 0))

    def _case(self, tree: Branch) -> Expression:
        branches: list[tuple[Expression, Expression]] = []
        otherwise = None
        for child in tree.children:
            assert not isinstance(child, Token)
            if child.data == "otherwise":
                otherwise = self.expression(branch(child, 0))
            else:
                condition, value = self._all(child.children)
                branches.append((condition, value))
        return Case(tuple(branches), otherwise, span=span_at(tree))

    # ---- constants

    def _integer(self, tree: Branch) -> Expression:
        return Literal(integer_of(token(tree, 0), self.problems), span=span_at(tree))

    def _float(self, tree: Branch) -> Expression:
        return Literal(float_of(token(tree, 0), self.problems), span=span_at(tree))

    def _text(self, tree: Branch) -> Expression:
        return Literal(text_of(token(tree, 0), self.problems), span=span_at(tree))

    def _duration(self, tree: Branch) -> Expression:
        value = duration_us(tree, self.problems)
        return Literal(value, DataType.DURATION, span=span_at(tree))

    def _typed_literal(self, tree: Branch) -> Expression:
        kind, text = token(tree, 0), token(tree, 1)
        match kind.lower():
            case "timestamp":
                value = timestamp_us(text, self.problems)
                return Literal(value, DataType.TIMESTAMP, span=span_at(tree))
            case "e":
                return Literal(text_of(text, self.problems, escapes=True), span=span_at(tree))
            case "interval":
                hint = "write a duration without quotes: 30 seconds, 1 hour 30 minutes"
            case _:
                hint = "an operator or ',' is missing before the text, or 'timestamp' was meant"
        self._problem(f"{kind} cannot stand before a text", kind, hint)
        return Literal(None, span=span_at(tree))

    # ---- names and calls

    def _field(self, tree: Branch) -> Expression:
        name = token(tree, 0)
        if name.type == "NAME" and name.lower() in CONSTANTS:
            return Literal(CONSTANTS[name.lower()], span=span_at(tree))
        if self._reads is not None:
            self._reads.fields.append(name_of(name))
        return Field(name_of(name), span=span_at(tree))

    def _member(self, tree: Branch) -> Expression:
        variable, member = name_of(token(tree, 0)), name_of(token(tree, 1))
        if self._reads is not None:
            self._reads.variables.append(variable)
            return Field(member, span=span_at(tree))
        inner = Field(member, span=span_of(token(tree, 1)))
        return Captured("last", variable, inner, span=span_at(tree))

    def _call_star(self, tree: Branch) -> Expression:
        if token(tree, 0).lower() == "count":
            return self._captured("count", None, None, tree)
        hint = "only count takes '*': count(*) is the number of events of the run"
        self._problem(f"{token(tree, 0)}(*) has no meaning", tree, hint)
        return Literal(None, span=span_at(tree))

    def _call(self, tree: Branch) -> Expression:
        function = name_of(token(tree, 0)).lower()
        arguments = tree.children[1:]
        if function == "cast":
            return self._cast(tree)
        for argument in arguments:
            assert not isinstance(argument, Token)
            if len(argument.children) > 1:
                hint = "only cast(x as type) takes 'as' inside brackets"
                self._problem("'as' cannot stand here", token(argument, 1), hint)
        values = [branch(cast(Branch, argument), 0) for argument in arguments]
        special = self._special(function, tree, values)
        if special is not None:
            return special
        return Call(function, self._all(list(values)), span=span_at(tree))

    def _special(self, function: str, tree: Branch, arguments: list[Branch]) -> Expression | None:
        """What a function that is no plain one says here; None for the others."""
        if function == "prev":
            return self._prev(tree, arguments)
        if function in CAPTURE_FUNCTIONS:
            return self._capture(function, tree, arguments)
        return None

    def _cast(self, tree: Branch) -> Expression:
        argument = branch(tree, 1) if len(tree.children) == 2 else None
        if argument is None or len(argument.children) != 2:
            self._problem("cast needs a type", tree, "write cast(amount as float)")
            return Literal(None, span=span_at(tree))
        target = type_of(token(argument, 1), self.problems)
        return Cast(self.expression(branch(argument, 0)), target, span=span_at(tree))

    def _capture(self, function: str, tree: Branch, arguments: list[Branch]) -> Expression:
        """first, last, count, sum and so on over the events that a variable has taken."""
        if len(arguments) != 1:
            hint = f"write {function}(variable.field)"
            if function in ("min", "max"):
                other = "least" if function == "min" else "greatest"
                hint += f"; of several values {other}(a, b) takes the {other}"
            self._problem(f"{function} takes one argument, not {len(arguments)}", tree, hint)
            return Literal(None, span=span_at(tree))
        (argument,) = arguments
        if function == "count" and argument.data == "field":
            return self._captured("count", name_of(token(argument, 0)), None, tree)
        value, reads = self._argument(argument)
        names = list(dict.fromkeys(reads.variables))
        if len(names) == 1 and not reads.fields:
            return self._captured(function, names[0], value, tree)
        self._not_of_one_variable(function, argument, names, reads)
        return Literal(None, span=span_at(tree))

    def _not_of_one_variable(
        self, function: str, argument: Branch, names: list[str], reads: Reads
    ) -> None:
        if len(names) > 1:
            message = f"{function}(...) mixes the variables {' and '.join(names)}"
            hint = "each call looks at the events of one variable: use one call for each"
        elif names:
            message = f"{function}(...) mixes events of {names[0]!r} with the event under test"
            hint = (
                f"write {names[0]}.{reads.fields[0]}, or take {reads.fields[0]!r} out of the call"
            )
        else:
            message = f"{function}({reads.fields[0] if reads.fields else '...'}) names no variable"
            hint = f"write {function}(variable.field)"
        self._problem(message, argument, hint)

    def _prev(self, tree: Branch, arguments: list[Branch]) -> Expression:
        if len(arguments) != 1:
            message = f"prev takes one argument, not {len(arguments)}"
            self._problem(message, tree, "write prev(field)")
            return Literal(None, span=span_at(tree))
        value, reads = self._argument(arguments[0])
        if reads.variables:
            name = reads.variables[0]
            message = (
                "prev(...) is about the event taken before this one, whichever variable took it"
            )
            hint = f"write prev(field), or last({name}.field) for the last event of {name!r}"
            self._problem(message, arguments[0], hint)
        return self._captured("last", None, value, tree)

    def _argument(self, tree: Branch) -> tuple[Expression, Reads]:
        outer, reads = self._reads, Reads()
        self._reads = reads
        value = self.expression(tree)
        self._reads = outer
        return value, reads

    def _captured(
        self, function: str, variable: str | None, value: Expression | None, tree: Branch
    ) -> Expression:
        if self._reads is not None:
            hint = "the argument is evaluated on one event: it may read that event's fields only"
            self._problem(f"{function}(...) inside another such call", tree, hint)
        return Captured(function, variable, value, span=span_at(tree))

    def _problem(self, message: str, where: Token | Branch, hint: str | None = None) -> None:
        span = span_of(where) if isinstance(where, Token) else span_at(where)
        self.problems.append(Problem(message, span, hint))
