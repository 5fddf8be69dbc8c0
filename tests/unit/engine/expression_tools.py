"""Short ways to write expressions, and to evaluate one over a few rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

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
    Like,
    Literal,
    Unary,
)
from cep.engine.algebra.pattern import Output, Pattern, Step, Stream, StreamField, Variable
from cep.engine.binding.patterns import bind_pattern
from cep.engine.columns.evaluator import ColumnEvaluator, data_type_of, to_arrow


def exp(value: object) -> Expression:
    """Expressions stay; anything else is a constant."""
    return value if isinstance(value, Expression) else Literal(value)  # type: ignore[arg-type]


def f(name: str) -> Field:
    return Field(name)


def op(left: object, operator: str, right: object) -> Binary:
    return Binary(operator, exp(left), exp(right))


def neg(operand: object) -> Unary:
    return Unary("-", exp(operand))


def no(operand: object) -> Unary:
    return Unary("not", exp(operand))


def call(function: str, *arguments: object) -> Call:
    return Call(function, tuple(map(exp, arguments)))


def cast(operand: object, target: DataType) -> Cast:
    return Cast(exp(operand), target)


def among(operand: object, *items: object, negated: bool = False) -> InList:
    return InList(exp(operand), tuple(map(exp, items)), negated)


def between(operand: object, low: object, high: object, negated: bool = False) -> Between:
    return Between(exp(operand), exp(low), exp(high), negated)


def like(operand: object, pattern: str, negated: bool = False) -> Like:
    return Like(exp(operand), pattern, negated)


def is_null(operand: object, negated: bool = False) -> IsNull:
    return IsNull(exp(operand), negated)


def case(*branches: tuple[object, object], otherwise: object = None) -> Case:
    pairs = tuple((exp(c), exp(v)) for c, v in branches)
    return Case(pairs, None if otherwise is None else exp(otherwise))


def cap(function: str, variable: str | None, argument: object = None) -> Captured:
    return Captured(function, variable, None if argument is None else exp(argument))


def us(amount: int) -> Literal:
    return Literal(amount, DataType.DURATION)


def stream(name: str = "", /, **fields: DataType) -> Stream:
    return Stream(name, tuple(StreamField(n, kind) for n, kind in fields.items()))


def stream_of(table: pa.Table) -> Stream:
    return stream(**{f.name: data_type_of(f.type) for f in table.schema})  # type: ignore[arg-type]


def selecting(*values: Expression, variables: tuple[str, ...] = ("a", "b")) -> Pattern:
    outputs = tuple(Output(f"c{i}", value) for i, value in enumerate(values))
    return Pattern("p", tuple(Step(Variable(v)) for v in variables), select=outputs)


def bound(expression: Expression, table: pa.Table) -> Expression:
    pattern, problems = bind_pattern(selecting(expression), {"": stream_of(table)})
    assert problems == []
    return pattern.select[0].value


def values(expression: Expression, **columns: Any) -> list[Any]:
    """The value in each row of a small table, NULL as None; times as datetime."""
    return evaluated(expression, pa.table(columns or {"": [None]}))[0]


def evaluated(expression: Expression, table: pa.Table) -> tuple[list[Any], list[tuple[str, Any]]]:
    """The values and the errors, as (reason, rows)."""
    typed = bound(expression, table)
    evaluator = ColumnEvaluator(table)
    array: Any = to_arrow(evaluator.evaluate(typed), table.num_rows, typed.type)
    errors = [(e.reason, e.rows.tolist()) for e in evaluator.errors_of(typed)]
    return array.to_pylist(), errors


def errors(expression: Expression, **columns: Any) -> list[tuple[str, Any]]:
    return evaluated(expression, pa.table(columns or {"": [None]}))[1]
