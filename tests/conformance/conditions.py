"""A case's condition (a small Python-like language) -> an expression of the algebra.

What differs: in the cases a comparison with nothing is false and `not` of it is true, so operands
of `not` that could be NULL become `coalesce(x, false)`; the sum of nothing is 0; `/` never cuts
off.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from cep.engine.algebra.expression import (
    Binary,
    Call,
    Captured,
    Expression,
    Field,
    Literal,
    Unary,
)

COMPARISONS = {
    ast.Eq: "=",
    ast.NotEq: "<>",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
ARITHMETIC = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%"}
AGGREGATES = ("count", "sum", "avg", "min", "max", "first", "last")
FALSE = Literal(False)


class UnknownConditionError(Exception):
    """A condition that this translation does not know."""


@dataclass(frozen=True, slots=True)
class Translation:
    """`nullable`: the fields that are missing in some event. `integers`: those that are whole."""

    nullable: frozenset[str]
    integers: frozenset[str]

    def condition(self, text: str) -> Expression:
        """The condition as an expression. Raises UnknownConditionError."""
        return self._expression(ast.parse(text.strip(), mode="eval").body)

    def _expression(self, node: ast.expr) -> Expression:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return Literal(value)
            case ast.Name(id=name):
                return Field(name)
            case ast.BoolOp(op=op, values=values):
                operator = "and" if isinstance(op, ast.And) else "or"
                result, *others = [self._expression(value) for value in values]
                for other in others:
                    result = Binary(operator, result, other)
                return result
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return Unary("not", self._never_null(self._expression(inner)))
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return Unary("-", self._expression(inner))
            case ast.BinOp(left=left, op=op, right=right):
                return self._arithmetic(ARITHMETIC[type(op)], left, right)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._comparison(op, left, right)
            case ast.Call(func=ast.Attribute(value=text, attr="startswith"), args=[start]):
                return Call("starts_with", (self._expression(text), self._expression(start)))
            case ast.Call(func=ast.Name(id=function), args=[argument]) if function in AGGREGATES:
                return self._aggregate(function, argument)
        raise UnknownConditionError(ast.unparse(node))

    def _arithmetic(self, operator: str, left: ast.expr, right: ast.expr) -> Expression:
        dividend, divisor = self._expression(left), self._expression(right)
        if operator == "/" and isinstance(divisor, Literal) and isinstance(divisor.value, int):
            divisor = Literal(float(divisor.value))
        return Binary(operator, dividend, divisor)

    def _comparison(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Expression:
        if isinstance(op, ast.In):  # 'x' in name
            return Call("contains", (self._expression(right), self._expression(left)))
        operator = COMPARISONS.get(type(op))
        if operator is None:
            raise UnknownConditionError(ast.dump(op))
        return Binary(operator, self._expression(left), self._expression(right))

    def _aggregate(self, function: str, argument: ast.expr) -> Expression:
        match argument:
            case ast.Name(id=variable) if function == "count":
                return Captured("count", variable, None)
            case ast.Attribute(value=ast.Name(id=variable), attr=name):
                captured = Captured(function, variable, Field(name))
                if function != "sum":
                    return captured
                zero = Literal(0) if name in self.integers else Literal(0.0)
                return Call("coalesce", (captured, zero))
        raise UnknownConditionError(ast.unparse(argument))

    def _never_null(self, expression: Expression) -> Expression:
        if not self._may_be_null(expression):
            return expression
        return Call("coalesce", (expression, FALSE))

    def _may_be_null(self, expression: Expression) -> bool:
        match expression:
            case Literal(value):
                return value is None
            case Field(name):
                return name in self.nullable
            case Captured(function):
                return function != "count"
            case Unary(_, operand):
                return self._may_be_null(operand)
            case Binary(_, left, right):
                return self._may_be_null(left) or self._may_be_null(right)
            case Call("coalesce", arguments):
                return all(self._may_be_null(argument) for argument in arguments)
            case Call(_, arguments):
                return any(self._may_be_null(argument) for argument in arguments)
        return True
