"""Parse tree of an expression in `aggregate` and `feature` -> expression over `Aggregated` nodes.

What a pattern reads of its variables, these read of the events of a window: sum(amount) is about
all of them, a field outside of such a call about the row that is made.
"""

from __future__ import annotations

from collections.abc import Collection

from lark import Token

from cep.dsl.expressions import ExpressionLowering, token
from cep.dsl.values import Branch, name_of, span_at
from cep.engine.aggregates import AGGREGATES, problem_with_parameters, takes_star
from cep.engine.errors import Problem
from cep.engine.expression import Aggregated, Captured, Expression, Field, Literal


class AggregateLowering(ExpressionLowering):
    """Like its parent, but for calls of aggregate functions; `functions` are the user's own."""

    def __init__(self, problems: list[Problem], functions: Collection[str] = ()) -> None:
        super().__init__(problems)
        self._functions = functions
        self._inside: str | None = None  # the call whose argument is being read

    def _member(self, tree: Branch) -> Expression:
        inner = Field(name_of(token(tree, 1)), span=span_at(tree))
        return Captured("last", name_of(token(tree, 0)), inner, span=span_at(tree))

    def _call_star(self, tree: Branch) -> Expression:
        function = name_of(token(tree, 0)).lower()
        if not takes_star(function):
            hint = "only count takes '*': count(*) is the number of events"
            self._problem(f"{token(tree, 0)}(*) has no meaning", tree, hint)
            return Literal(None, span=span_at(tree))
        self._check_not_inside(function, tree)
        return Aggregated(function, span=span_at(tree))

    def _special(self, function: str, tree: Branch, arguments: list[Branch]) -> Expression | None:
        if function == "prev":
            hint = "the value of the event before is a feature: last(x) over 2 events"
            self._problem("prev(...) is for patterns", tree, hint)
            return Literal(None, span=span_at(tree))
        if function not in AGGREGATES and function not in self._functions:
            return None
        return self._aggregated(function, tree, arguments)

    def _aggregated(self, function: str, tree: Branch, arguments: list[Branch]) -> Expression:
        self._check_not_inside(function, tree)
        if not arguments:
            form = AGGREGATES[function].form if function in AGGREGATES else f"{function}(amount)"
            self._problem(f"{function} needs something to look at", tree, f"write {form}")
            return Literal(None, span=span_at(tree))
        outer, self._inside = self._inside, function
        value, *others = (self.expression(argument) for argument in arguments)
        self._inside = outer
        parameters = tuple(other for other in others if isinstance(other, Literal))
        if len(parameters) < len(others) or problem_with_parameters(function, parameters):
            self._wrong_parameters(function, tree, parameters, len(others))
            return Literal(None, span=span_at(tree))
        return Aggregated(function, value, parameters, span=span_at(tree))

    def _wrong_parameters(
        self, function: str, tree: Branch, parameters: tuple[Literal, ...], number: int
    ) -> None:
        hint = "write " + (
            AGGREGATES[function].form if function in AGGREGATES else f"{function}(x)"
        )
        if function in ("min", "max"):
            other = "least" if function == "min" else "greatest"
            hint += f"; of several values {other}(a, b) takes the {other}"
        constants = parameters + (Literal(None),) * (number - len(parameters))
        self._problem(problem_with_parameters(function, constants) or "", tree, hint)

    def _check_not_inside(self, function: str, tree: Branch | Token) -> None:
        if self._inside is not None:
            hint = "the argument is evaluated on one event: it may read that event's fields only"
            self._problem(f"{function}(...) inside {self._inside}(...)", tree, hint)
