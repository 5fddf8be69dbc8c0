"""Parse trees of tables, features, aggregates and joins -> their statements of the plan."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from lark import Token

from cep.dsl.aggregates import AggregateLowering
from cep.dsl.expressions import ExpressionLowering, branch, token
from cep.dsl.lexer import span_of
from cep.dsl.lower import Clauses, columns_of, lower_items, names_of, parts_of, places_of, time_of
from cep.dsl.values import Branch, duration_us, integer_of, name_of, span_at
from cep.engine.algebra.errors import Places, Problem, Span
from cep.engine.algebra.expression import DataType, Expression, Literal
from cep.engine.algebra.pattern import Output
from cep.engine.algebra.plan import Aggregate, Feature, Join, Over, Table, Window, WindowKind

T = TypeVar("T")


class StatementLowering:
    """Lowers one statement of these kinds; what is wrong with it goes to `problems`."""

    def __init__(
        self, tree: Branch, problems: list[Problem], functions: Collection[str] = ()
    ) -> None:
        self.tree = tree
        self.problems = problems
        self.name = name_of(token(tree, 0))
        self.span = span_of(token(tree, 0))
        self.clauses = Clauses(problems)
        self.functions = functions
        parts = parts_of(tree)
        self.value = parts.pop(0) if tree.data == "feature" else tree
        for part in parts:
            self.clauses.add(part)

    # ---- the statements

    def table(self) -> Table:
        columns = self.clauses.get("columns")
        fields = columns_of(columns, self.problems) if columns is not None else ()
        time, unit = self._maybe(
            "time", lambda tree: time_of(tree, fields, f"table {self.name}", self.problems)
        ) or (None, "ms")
        return Table(self.name, fields, self._names("by"), time, unit, self.span)

    def feature(self) -> Feature:
        expressions = AggregateLowering(self.problems, self.functions)
        over = self._maybe("over", self._over)
        if over is None:
            hint = "say how far it looks back: over 1 hour, over 10 events, over all"
            self._problem("the feature has no 'over'", self.span, hint)
        return Feature(
            self.name,
            stream=name_of(token(self.tree, 1)),
            value=expressions.expression(self.value),
            over=over or Over(),
            key=self._names("by"),
            source=self._source("a feature") if self.clauses.get("from") else None,
            where=self._where(),
            excluding_current=self.clauses.get("excluding") is not None,
            span=self.span,
            places=self._places(),
        )

    def aggregate(self) -> Aggregate:
        expressions = AggregateLowering(self.problems, self.functions)
        lateness = self.clauses.get("lateness")
        return Aggregate(
            self.name,
            stream=self._source("an aggregate") or "",
            select=self._select(expressions),
            key=self._names("by"),
            window=self._maybe("window", self._window),
            where=self._where(),
            having=self._maybe("having", lambda tree: expressions.expression(branch(tree, 0))),
            lateness_us=self._maybe("lateness", self._duration) or 0,
            discarding=lateness is not None and len(lateness.children) > 1,
            early_us=self._maybe("early", self._duration),
            span=self.span,
            places=self._places(),
        )

    def join(self) -> Join:
        left, right = self._sides()
        low_us, high_us = self._bounds()
        return Join(
            self.name,
            left,
            right,
            select=self._select(EventLowering(self.problems)),
            key=self._names("by"),
            low_us=low_us,
            high_us=high_us,
            window=self._maybe("window", self._window),
            where=self._where(),
            span=self.span,
            places=self._places(),
        )

    # ---- clauses

    def _maybe(self, clause: str, lower: Callable[[Branch], T]) -> T | None:
        tree = self.clauses.get(clause)
        return None if tree is None else lower(tree)

    def _problem(self, message: str, span: Span, hint: str | None = None) -> None:
        self.problems.append(Problem(message, span, hint))

    def _places(self) -> Places:
        """Of a feature also the stream that it is `on`."""
        on = [token(self.tree, 1)] if self.tree.data == "feature" else []
        return (*((name_of(each), span_of(each)) for each in on), *places_of(self.clauses))

    def _names(self, clause: str) -> tuple[str, ...]:
        return self._maybe(clause, names_of) or ()

    def _duration(self, tree: Branch) -> int:
        return duration_us(branch(tree, 0), self.problems)

    def _where(self) -> Expression | None:
        expressions = EventLowering(self.problems)
        return self._maybe("where", lambda tree: expressions.expression(branch(tree, 0)))

    def _select(self, expressions: ExpressionLowering) -> tuple[Output, ...]:
        items = self._maybe("select", parts_of) or []
        return lower_items(items, expressions)

    def _source(self, what: str) -> str | None:
        """The one stream of the clause `from`."""
        tree = self.clauses.get("from")
        if tree is None:
            hint = "say what it is made of: from STREAM"
            self._problem(f"{what} reads a stream: no 'from' says which", self.span, hint)
            return None
        first, *more = names_of(tree)
        if more:
            hint = "write one of each, or join the streams first"
            self._problem(f"{what} reads one stream, not {1 + len(more)}", span_at(tree), hint)
        return first

    def _over(self, tree: Branch) -> Over:
        far = tree.children[0]
        if not isinstance(far, Token):
            return Over(range_us=duration_us(far, self.problems))
        if far.type == "INT":
            return Over(events=integer_of(far, self.problems))
        return Over()

    # ---- windows

    def _window(self, tree: Branch) -> Window:
        window = branch(tree, 0)
        kind = WindowKind(window.data)
        if kind is WindowKind.COUNT:
            size, *every = (integer_of(number, self.problems) for number in tokens_of(window))
            return Window(kind, size_events=size, slide_events=every[0] if every else None)
        parts = parts_of(window)
        if kind is WindowKind.SESSION:
            return Window(kind, gap=self._gap(parts[0]))
        offset_us = self._signed(branch(parts.pop(), 0)) if parts[-1].data == "offset" else 0
        sizes = [duration_us(part, self.problems) for part in parts]
        return Window(kind, sizes[0], sizes[1] if len(sizes) > 1 else None, offset_us)

    def _gap(self, tree: Branch) -> Expression:
        if tree.data == "duration":
            gap_us = duration_us(tree, self.problems)
            return Literal(gap_us, DataType.DURATION, span=span_at(tree))
        return EventLowering(self.problems).expression(tree)

    def _signed(self, tree: Branch) -> int:
        if tree.data == "negative":
            return -duration_us(branch(tree, 0), self.problems)
        return duration_us(tree, self.problems)

    # ---- the two streams of a join

    def _sides(self) -> tuple[str, str]:
        tree = self.clauses.get("from")
        names = names_of(tree) if tree is not None else ()
        if len(names) != 2:
            span = span_at(tree) if tree is not None else self.span
            message = f"a join reads two streams, not {len(names)}"
            self._problem(message, span, "write: from LEFT, RIGHT")
        return (*names, "", "")[0], (*names, "", "")[1]

    def _bounds(self) -> tuple[int, int]:
        """The least and the largest time from the left event to the right one."""
        bounds = [clause for clause in JOIN_BOUNDS if self.clauses.get(clause) is not None]
        if len(bounds) != 1:
            message = f"the join has {' and '.join(map(repr, bounds)) or 'no bound on time'}"
            hint = (
                "write one of: within 10 minutes; between -5 minutes and 10 minutes; "
                "window tumbling 1 hour"
            )
            self._problem(message, self.span, hint)
        between = self.clauses.get("between")
        if between is not None:
            return self._signed(branch(between, 0)), self._signed(branch(between, 1))
        return 0, self._maybe("within", self._duration) or 0


class EventLowering(AggregateLowering):
    """Expressions over events themselves, where nothing is aggregated."""

    def _call_star(self, tree: Branch) -> Expression:
        self._not_here(name_of(token(tree, 0)).lower(), tree)
        return Literal(None, span=span_at(tree))

    def _aggregated(self, function: str, tree: Branch, arguments: list[Branch]) -> Expression:
        self._not_here(function, tree)
        return Literal(None, span=span_at(tree))

    def _not_here(self, function: str, tree: Branch) -> None:
        hint = "aggregate functions stand in 'select' and 'having' of an aggregate, and in features"
        self._problem(f"{function}(...) cannot be used here: it looks at many events", tree, hint)


JOIN_BOUNDS = ("within", "between", "window")


def tokens_of(tree: Branch) -> list[Token]:
    return [child for child in tree.children if isinstance(child, Token)]
