"""Parse tree of an expression in `aggregate` and `feature` -> expression over `Aggregated` nodes.

What a pattern reads of its variables, these read of the events of a window: sum(amount) is about
all of them, a field outside of such a call about the row that is made.
"""

from __future__ import annotations

from collections.abc import Collection

from cep.dsl.expressions import ExpressionLowering, token
from cep.dsl.values import Branch, name_of, span_at
from cep.engine.algebra.aggregates import AGGREGATES
from cep.engine.algebra.errors import Problem
from cep.engine.algebra.expression import Aggregated, Captured, Expression, Field, Literal


class AggregateLowering(ExpressionLowering):
    """Like its parent, but for calls of aggregate functions; `functions` are the user's own.

    Whether such a call has the arguments that it needs `engine.algebra.validation_plan` says.
    """

    def __init__(self, problems: list[Problem], functions: Collection[str] = ()) -> None:
        super().__init__(problems)
        self._functions = functions

    def _member(self, tree: Branch) -> Expression:
        inner = Field(name_of(token(tree, 1)), span=span_at(tree))
        return Captured("last", name_of(token(tree, 0)), inner, span=span_at(tree))

    def _call_star(self, tree: Branch) -> Expression:
        function = name_of(token(tree, 0)).lower()
        if function in AGGREGATES or function in self._functions:
            return Aggregated(function, span=span_at(tree))
        hint = "only count takes '*': count(*) is the number of events"
        self._problem(f"{token(tree, 0)}(*) has no meaning", tree, hint)
        return Literal(None, span=span_at(tree))

    def _special(self, function: str, tree: Branch, arguments: list[Branch]) -> Expression | None:
        if function == "prev":
            hint = (
                "the value of the event before is a feature: last(x) over 1 event excluding current"
            )
            self._problem("prev(...) is for patterns", tree, hint)
            return Aggregated("count", span=span_at(tree))
        if function not in AGGREGATES and function not in self._functions:
            return None
        return self._aggregated(function, tree, arguments)

    def _aggregated(self, function: str, tree: Branch, arguments: list[Branch]) -> Expression:
        values = self._all(list(arguments))
        parameters = tuple(
            value if isinstance(value, Literal) else Literal(None, span=value.span)
            for value in values[1:]
        )
        argument = values[0] if values else None
        return Aggregated(function, argument, parameters, span=span_at(tree))
