"""Features, aggregates and joins + the streams they read -> the same with types, and problems.

Members of tables are resolved by then: `merchants.risk` is a field of that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cep.engine.algebra.aggregates import NO_FUNCTIONS, Functions
from cep.engine.algebra.errors import Problem
from cep.engine.algebra.expression import Aggregated, DataType, Expression, Field, rebuild
from cep.engine.algebra.functions import DURATION, INTEGER, NULL, TIMESTAMP
from cep.engine.algebra.pattern import Output, Stream, StreamField
from cep.engine.algebra.plan import Aggregate, Feature, Join, Window, WindowKind
from cep.engine.algebra.validation_plan import WINDOW_BOUNDS
from cep.engine.binding.expressions import ExpressionBinder, Scope
from cep.engine.binding.patterns import bind_condition, key_problems
from cep.engine.binding.types import typed


def scope_of(*streams: Stream) -> Scope:
    """What a name can mean in events of these streams."""
    return Scope(streams, open=any(not stream.fields for stream in streams))


@dataclass(slots=True)
class StatementBinder:
    """Binds the statements of a rule set; what is wrong is added to `problems`."""

    functions: Functions = field(default_factory=lambda: NO_FUNCTIONS)
    problems: list[Problem] = field(default_factory=list)

    def feature(self, feature: Feature, stream: Stream, source: Stream) -> Feature:
        """`stream`: whose events get the field; `source`: whose events are aggregated."""
        seen = scope_of(source)
        both = (stream,) if source.name == stream.name else (stream, source)
        self.problems += key_problems(feature, scope_of(*both))
        binder = self._binder(scope_of(stream), seen)
        where = bind_condition(binder, feature.where, "where", seen)
        return replace(feature, value=binder.bind(feature.value), where=where)

    def aggregate(self, aggregate: Aggregate, stream: Stream) -> Aggregate:
        """In `having` the names of columns are replaced by what they stand for."""
        seen = scope_of(stream)
        self.problems += key_problems(aggregate, seen)
        binder = self._binder(Scope((_row_stream(aggregate, seen),), open=True), seen)
        where = bind_condition(binder, aggregate.where, "where", seen)
        select = _bound_outputs(aggregate.select, binder)
        # Columns in `having` are bound already where they stand in `select`, with their problems.
        told, told_before = {(p.message, p.span) for p in self.problems}, len(self.problems)
        having = bind_condition(binder, unnamed_having(aggregate), "having")
        new = [p for p in self.problems[told_before:] if (p.message, p.span) not in told]
        self.problems[told_before:] = new
        window = self._window(aggregate.window, seen, binder)
        return replace(aggregate, where=where, select=select, having=having, window=window)

    def join(self, join: Join, left: Stream, right: Stream) -> Join:
        """Reads the two events as variables called like their streams."""
        self.problems += key_problems(join, scope_of(left, right))
        scopes = {join.left: scope_of(left), join.right: scope_of(right)}
        binder = self._binder(scope_of(left, right), None, scopes)
        where = bind_condition(binder, join.where, "where")
        return replace(join, where=where, select=_bound_outputs(join.select, binder))

    def _binder(
        self, everything: Scope, seen: Scope | None, scopes: Mapping[str, Scope] | None = None
    ) -> ExpressionBinder:
        known = scopes or {}
        return ExpressionBinder(
            everything, known, set(known), set(), self.problems, seen, self.functions
        )

    def _window(
        self, window: Window | None, seen: Scope, binder: ExpressionBinder
    ) -> Window | None:
        if window is None or window.gap is None:
            return window
        gap = binder.bind(window.gap, seen)
        if gap.type not in (DURATION, NULL):
            hint = "give the number a unit: amount * 1 second"
            message = f"{typed(gap)}: the gap of a session is a duration"
            self.problems.append(Problem(message, gap.span, hint))
        return replace(window, gap=gap)


def _bound_outputs(outputs: tuple[Output, ...], binder: ExpressionBinder) -> tuple[Output, ...]:
    return tuple(replace(output, value=binder.bind(output.value)) for output in outputs)


def _row_stream(aggregate: Aggregate, seen: Scope) -> Stream:
    """What a row of an aggregate has by itself, as if it were an event."""
    fields = [StreamField(name, type_in(seen, name)) for name in aggregate.key]
    known = {column.name for column in fields}
    fields += [column for column in bounds_of(aggregate.window) if column.name not in known]
    return Stream(aggregate.name, tuple(fields))


def bounds_of(window: Window | None) -> tuple[StreamField, ...]:
    """window_start and window_end; windows that count events have ordinals of events there."""
    if window is None:
        return ()
    kind = INTEGER if window.kind is WindowKind.COUNT else TIMESTAMP
    return tuple(StreamField(name, kind) for name in WINDOW_BOUNDS)


def type_in(scope: Scope, name: str) -> DataType:
    """The one type that a field has there; NULL where that is not known."""
    types = scope.types_of(name)
    return next(iter(types)) if len(types) == 1 else NULL


def unnamed_having(aggregate: Aggregate) -> Expression | None:
    """The condition with columns of `select` replaced by what they are called for."""
    known = {*aggregate.key, *(column.name for column in bounds_of(aggregate.window))}
    columns = {o.name: o.value for o in aggregate.select if o.name not in known}

    def visit(node: Expression) -> Expression:
        if isinstance(node, Field) and node.name in columns:
            return columns[node.name]
        return node if isinstance(node, Aggregated) else rebuild(node, visit)

    return None if aggregate.having is None else visit(aggregate.having)
