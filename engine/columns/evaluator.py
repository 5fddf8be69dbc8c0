"""Bound expressions + a table -> typed columns, each distinct expression computed once.

    table --ColumnEvaluator--> Column (values, valid): three-valued, NULL is not true and not false
              and from there   EvaluationError (reason, rows): division by zero, a bad cast

An error makes the value NULL for that row and is recorded; it never raises and never passes for
false. What need not have been evaluated does not count: in `b <> 0 and a / b > 2` the division is
an error nowhere. `and`, `or`, `in`, `between`, `case` and `coalesce` decide from left to right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import (
    Between,
    Binary,
    Call,
    Captured,
    Case,
    Cast,
    Expression,
    Field,
    InList,
    IsNull,
    Like,
    Literal,
    Unary,
)
from cep.engine.batch import Bools, Int64s
from cep.engine.columns.arithmetic import arithmetic, compare, negate
from cep.engine.columns.cast import cast
from cep.engine.columns.data import (
    ARROW_TYPES,
    NULL_COLUMN,
    Column,
    Report,
    broadcast,
    column_of,
    constant,
    data_type_of,
    encoded_if_repetitive,
    to_arrow,
)
from cep.engine.columns.functions import call, concat, like
from cep.engine.columns.logic import (
    choose,
    is_null,
    is_one_of,
    kleene_and,
    kleene_not,
    kleene_or,
    known_false,
    known_true,
)

__all__ = [
    "ARROW_TYPES",
    "Column",
    "ColumnEvaluator",
    "EvaluationError",
    "broadcast",
    "column_of",
    "data_type_of",
    "to_arrow",
]


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationError:
    """Rows for which (a part of) an expression could not be computed, all for one reason.

    `expression` is the part that failed. `rows`: ascending int64.
    """

    reason: str
    rows: Int64s
    expression: Expression


Errors = tuple[EvaluationError, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Result:
    column: Column
    errors: Errors = ()


class ColumnEvaluator:
    """Evaluates bound expressions over the rows of one table, and keeps the results.

    `captured` gives the column for a `Captured` node, one value per row of the table, and may
    report errors; without it only expressions over the event under test can be evaluated. The types
    of fields are read from the table; they must be those that the expressions were bound to.
    """

    def __init__(
        self, table: pa.Table, captured: Callable[[Captured, Report], Column] | None = None
    ) -> None:
        self._table = table
        self._rows = table.num_rows
        self._captured = captured
        self._memo: dict[Expression, _Result] = {}
        self._kept: dict[Expression, _Result] = {}  # what outlives `forget`
        self._asked: dict[Expression, None] = {}
        self._read_again: set[Field] = set()

    def __len__(self) -> int:
        return self._rows

    def evaluate(self, expression: Expression) -> Column:
        """The value for every row: arrays of the table's length, constants spread out."""
        return broadcast(self._ask(expression).column, self._rows)

    def true_rows(self, expression: Expression) -> Bools:
        """Where a condition is true; False where it is false or NULL. Read-only."""
        values: Bools = known_true(self._ask(expression).column)
        return values if values.ndim else np.full(self._rows, values)

    def errors_of(self, expression: Expression) -> Errors:
        """The errors met in evaluating this expression, those in its parts included."""
        return self._ask(expression).errors

    @property
    def errors(self) -> list[EvaluationError]:
        """The errors of all expressions asked for so far."""
        results = [self._result(asked) for asked in self._asked]
        found = [error for result in results for error in result.errors]
        return list(dict.fromkeys(found))

    def forget(self, kept: AbstractSet[Expression]) -> None:
        """Let go of all results but those of fields and of these expressions."""
        for expression, result in self._memo.items():
            if isinstance(expression, Field) or expression in kept:
                self._kept[expression] = result
        self._memo.clear()
        self._asked.clear()

    def _ask(self, expression: Expression) -> _Result:
        self._asked.setdefault(expression)
        with np.errstate(all="ignore"):
            return self._result(expression)

    def _result(self, expression: Expression) -> _Result:
        found = self._memo.get(expression) or self._kept.get(expression)
        if found is None:
            found = self._memo[expression] = self._compute(expression)
        elif isinstance(expression, Field) and expression not in self._read_again:
            # A text that is read once is compared as it is; from the second time on codes pay.
            self._read_again.add(expression)
            found = self._memo[expression] = _Result(encoded_if_repetitive(found.column))
        return found

    def _compute(self, expression: Expression) -> _Result:
        match expression:
            case Literal(value, unit):
                return _Result(constant(value, unit))
            case Field(name):
                return _Result(column_of(self._table.column(name)))
            case Captured():
                captured = self._captured
                assert captured is not None, "captured values need a run"
                return self._apply(expression, (), lambda report: captured(expression, report))
            case Binary("and" | "or" as operator, left, right):
                return self._connect(operator, self._result(left), self._result(right))
            case InList():
                return self._in_list(expression)
            case Between():
                return self._between(expression)
            case Case():
                return self._case(expression)
            case Call("coalesce", arguments):
                return self._coalesce(arguments)
        return self._plain(expression)

    # ------------------------------------------------------------ all operands are evaluated

    def _plain(self, expression: Expression) -> _Result:
        """A node whose operands are all evaluated, whatever their values."""
        match expression:
            case Unary("not", operand):
                return self._apply(expression, (operand,), lambda _, a: kleene_not(a))
            case Unary(_, operand):
                return self._apply(expression, (operand,), lambda report, a: negate(a, report))
            case Binary("||", left, right):
                return self._apply(expression, (left, right), lambda _, *ab: concat(list(ab)))
            case Binary("+" | "-" | "*" | "/" | "%" as op, left, right):
                return self._apply(
                    expression, (left, right), lambda report, a, b: arithmetic(op, a, b, report)
                )
            case Binary(op, left, right):
                return self._apply(expression, (left, right), lambda _, a, b: compare(op, a, b))
            case IsNull(operand, negated):
                return self._apply(expression, (operand,), lambda _, a: is_null(a, negated))
            case Like(operand, pattern, negated):
                return self._apply(expression, (operand,), lambda _, a: like(a, pattern, negated))
            case Cast(operand, target):
                return self._apply(
                    expression, (operand,), lambda report, a: cast(a, target, report)
                )
            case Call(function, arguments):
                return self._apply(
                    expression,
                    arguments,
                    lambda report, *columns: call(function, list(columns), self._rows, report),
                )
        raise AssertionError(expression)

    def _apply(
        self,
        expression: Expression,
        operands: Sequence[Expression],
        function: Callable[..., Column],
    ) -> _Result:
        results = [self._result(operand) for operand in operands]
        own: list[EvaluationError] = []

        def report(reason: str, bad: Bools) -> None:
            rows = np.flatnonzero(np.broadcast_to(bad, self._rows))
            if len(rows):
                own.append(EvaluationError(reason, rows, expression))

        column = function(report, *(result.column for result in results))
        return _Result(column, (*_errors_in(results), *own))

    # ------------------------------------------------------------ the left side may decide

    def _connect(self, operator: str, left: _Result, right: _Result) -> _Result:
        """`and` or `or`; errors on the right do not count where the left side has decided."""
        is_and = operator == "and"
        column = (kleene_and if is_and else kleene_or)(left.column, right.column)
        errors = left.errors
        if right.errors:
            decided = (known_false if is_and else known_true)(left.column)
            errors += self._outside(right.errors, decided)
        return _Result(column, errors)

    def _outside(self, errors: Errors, decided: Bools) -> Errors:
        """The errors on rows that were still open."""
        decided = np.broadcast_to(decided, self._rows)
        kept = [replace(e, rows=e.rows[~decided[e.rows]]) for e in errors]
        return tuple(e for e in kept if len(e.rows))

    def _in_list(self, node: InList) -> _Result:
        operand = self._result(node.operand)
        one_of = is_one_of(operand.column, [_constant_of(item) for item in node.items])
        if one_of is not None:
            found = _Result(one_of, operand.errors)
            return _negated(found) if node.negated else found
        found = _Result(constant(False), operand.errors)
        for item in node.items:
            value = self._result(item)
            equal = _Result(compare("=", operand.column, value.column), value.errors)
            found = self._connect("or", found, equal)
        return _negated(found) if node.negated else found

    def _between(self, node: Between) -> _Result:
        operand = self._result(node.operand)
        low, high = self._result(node.low), self._result(node.high)
        above = _Result(compare(">=", operand.column, low.column), operand.errors + low.errors)
        below = _Result(compare("<=", operand.column, high.column), high.errors)
        inside = self._connect("and", above, below)
        return _negated(inside) if node.negated else inside

    def _case(self, node: Case) -> _Result:
        decided: Bools = np.asarray(False)
        errors: Errors = ()
        parts: list[tuple[Bools, Column]] = []
        otherwise = _Result(NULL_COLUMN) if node.otherwise is None else self._result(node.otherwise)
        for condition, value in node.branches:
            asked, chosen = self._result(condition), self._result(value)
            errors += self._outside(asked.errors, decided)
            taken = known_true(asked.column) & ~decided
            errors += self._outside(chosen.errors, ~taken)
            parts.append((taken, chosen.column))
            decided = decided | taken
        errors += self._outside(otherwise.errors, decided)
        return _Result(choose(parts, otherwise.column, self._rows), errors)

    def _coalesce(self, arguments: Sequence[Expression]) -> _Result:
        decided: Bools = np.asarray(False)
        errors: Errors = ()
        parts: list[tuple[Bools, Column]] = []
        for argument in arguments:
            result = self._result(argument)
            errors += self._outside(result.errors, decided)
            present = known_true(is_null(result.column, True)) & ~decided
            parts.append((present, result.column))
            decided = decided | present
        return _Result(choose(parts, NULL_COLUMN, self._rows), errors)


def _constant_of(expression: Expression) -> object:
    """The value of a literal; None for anything else."""
    return expression.value if isinstance(expression, Literal) else None


def _negated(result: _Result) -> _Result:
    return _Result(kleene_not(result.column), result.errors)


def _errors_in(results: Iterable[_Result]) -> Errors:
    """The errors of all operands; an operand that stands twice is counted once."""
    return tuple(dict.fromkeys(error for result in results for error in result.errors))
