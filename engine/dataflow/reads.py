"""Statements -> which fields of which streams they read, and what they look up in tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from cep.engine.algebra.errors import Problem
from cep.engine.algebra.expression import (
    Aggregated,
    Captured,
    Expression,
    Field,
    Literal,
    children,
    rebuild,
    walk,
)
from cep.engine.algebra.functions import closest
from cep.engine.algebra.pattern import (
    Alternation,
    Element,
    Group,
    Output,
    Pattern,
    Permutation,
    Step,
    variables,
)
from cep.engine.algebra.plan import Aggregate, Feature, Join, Table

Read = tuple[Field, tuple[str, ...]]
"""A field and the streams of which it may be one."""

Change = Callable[[Expression], Expression]


# ---- members of tables


def member_name(table: str, field: str) -> str:
    """How a field of a table is called among the fields of an event."""
    return f"{table}.{field}"


class TableMembers:
    """Replaces `merchants.risk`, which is written like a variable's, by the field of that name."""

    def __init__(self, tables: Mapping[str, Table], problems: list[Problem]) -> None:
        self._tables = tables
        self._problems = problems

    def in_pattern(self, pattern: Pattern) -> Pattern:
        """A variable that is called like a table hides it."""
        hidden = {variable.name for variable in variables(pattern.steps, negated=True)}
        if not set(self._tables) - hidden:
            return pattern

        def change(expression: Expression) -> Expression:
            return self._resolved(expression, hidden)

        return replace(
            pattern,
            steps=changed_steps(pattern.steps, change),
            definitions=tuple(
                replace(d, condition=d.condition and change(d.condition))
                for d in pattern.definitions
            ),
            unless=pattern.unless and change(pattern.unless),
            select=_changed_outputs(pattern.select, change),
            timeout_select=pattern.timeout_select
            and _changed_outputs(pattern.timeout_select, change),
        )

    def in_feature(self, feature: Feature) -> Feature:
        where = feature.where and self._resolved(feature.where)
        return replace(feature, value=self._resolved(feature.value), where=where)

    def in_aggregate(self, aggregate: Aggregate) -> Aggregate:
        window = aggregate.window
        if window is not None and window.gap is not None:
            window = replace(window, gap=self._resolved(window.gap))
        return replace(
            aggregate,
            select=_changed_outputs(aggregate.select, self._resolved),
            where=aggregate.where and self._resolved(aggregate.where),
            having=aggregate.having and self._resolved(aggregate.having),
            window=window,
        )

    def _resolved(self, expression: Expression, hidden: set[str] | None = None) -> Expression:
        match expression:
            case Captured("last", str(table), Field(name)) if table in self._tables:
                if hidden is None or table not in hidden:
                    return self._member(self._tables[table], name, expression)
        return rebuild(expression, lambda operand: self._resolved(operand, hidden))

    def _member(self, table: Table, name: str, node: Captured) -> Expression:
        known = [column.name for column in table.fields]
        if known and name not in known:
            hint = closest(name, known) or f"its fields: {', '.join(known[:20])}"
            self._problems.append(
                Problem(f"no field '{name}' in table {table.name}", node.span, hint)
            )
            return Literal(None, span=node.span)
        return Field(member_name(table.name, name), span=node.span)


def _changed_outputs(outputs: tuple[Output, ...], change: Change) -> tuple[Output, ...]:
    return tuple(replace(output, value=change(output.value)) for output in outputs)


def changed_steps(steps: tuple[Step, ...], change: Change) -> tuple[Step, ...]:
    """Steps with every expression in them changed."""
    return tuple(
        replace(
            step,
            element=_changed_element(step.element, change),
            until=step.until and change(step.until),
        )
        for step in steps
    )


def _changed_element(element: Element, change: Change) -> Element:
    match element:
        case Group(steps):
            return Group(changed_steps(steps, change))
        case Alternation(branches):
            return Alternation(tuple(changed_steps(branch, change) for branch in branches))
        case Permutation(elements, inner):
            return Permutation(changed_steps(elements, change), inner)
    return element


# ---- what is read


def reads_of(statement: Pattern | Feature | Aggregate | Join) -> Iterator[Read]:
    """Every field that the statement reads, once for each place."""
    match statement:
        case Pattern():
            yield from _reads_of_pattern(statement)
        case Feature():
            yield from _reads_of_feature(statement)
        case Aggregate():
            yield from _reads_of_aggregate(statement)
        case Join():
            yield from _reads_of_join(statement)


def sources_of(statement: Pattern | Feature | Aggregate | Join) -> tuple[str, ...]:
    """The streams that it reads, each once."""
    match statement:
        case Pattern(streams=streams):
            return streams or ("",)
        case Feature(stream=stream, source=source):
            return (stream,) if source in (None, stream) else (stream, str(source))
        case Aggregate(stream=stream):
            return (stream,)
        case Join(left=left, right=right):
            return (left, right)


def _keys(key: tuple[str, ...], streams: tuple[str, ...], statement: object) -> Iterator[Read]:
    span = getattr(statement, "span", None)
    return ((Field(name, span=span), streams) for name in key)


def _reads_of_pattern(pattern: Pattern) -> Iterator[Read]:
    everywhere = pattern.streams or ("",)
    of_variable = {
        d.variable: everywhere if d.stream is None else (d.stream,) for d in pattern.definitions
    }

    def fields(expression: Expression, streams: tuple[str, ...]) -> Iterator[Read]:
        for node in _without_inner(expression, Captured):
            if isinstance(node, Field):
                yield node, streams
            elif isinstance(node, Captured) and node.argument is not None:
                seen = of_variable.get(node.variable or "", everywhere)
                yield from ((f, seen) for f in walk(node.argument) if isinstance(f, Field))

    yield from _keys(pattern.key, everywhere, pattern)
    for definition in pattern.definitions:
        if definition.condition is not None:
            yield from fields(definition.condition, of_variable[definition.variable])
    outputs = (*pattern.select, *(pattern.timeout_select or ()))
    for expression in (*_untils(pattern.steps), *(output.value for output in outputs)):
        yield from fields(expression, everywhere)
    if pattern.unless is not None:
        yield from fields(pattern.unless, everywhere)


def _untils(steps: tuple[Step, ...]) -> Iterator[Expression]:
    for step in steps:
        if step.until is not None:
            yield step.until
        match step.element:
            case Group(inner) | Permutation(inner):
                yield from _untils(inner)
            case Alternation(branches):
                for branch in branches:
                    yield from _untils(branch)


def _without_inner(expression: Expression, kind: type[Expression]) -> Iterator[Expression]:
    """The nodes of the expression, but not those below one of this kind."""
    stack = [expression]
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, kind):
            stack.extend(reversed(list(children(node))))


def _reads_of_feature(feature: Feature) -> Iterator[Read]:
    own, source = (feature.stream,), (feature.source or feature.stream,)
    yield from _keys(feature.key, own, feature)
    yield from _keys(feature.key, source, feature)
    for node in _without_inner(feature.value, Aggregated):
        if isinstance(node, Field):
            yield node, own
        elif isinstance(node, Aggregated):
            yield from ((f, source) for f in walk(node) if isinstance(f, Field))
    if feature.where is not None:
        yield from ((f, source) for f in walk(feature.where) if isinstance(f, Field))


def _reads_of_aggregate(aggregate: Aggregate) -> Iterator[Read]:
    streams = (aggregate.stream,)
    yield from _keys(aggregate.key, streams, aggregate)
    outputs = [output.value for output in aggregate.select]
    for expression in (*outputs, *(e for e in (aggregate.having,) if e is not None)):
        for node in walk(expression):
            if isinstance(node, Aggregated):
                yield from ((f, streams) for f in walk(node) if isinstance(f, Field))
    gap = aggregate.window.gap if aggregate.window is not None else None
    for condition in (aggregate.where, gap):
        if condition is not None:
            yield from ((f, streams) for f in walk(condition) if isinstance(f, Field))


def _reads_of_join(join: Join) -> Iterator[Read]:
    yield from _keys(join.key, (join.left,), join)
    yield from _keys(join.key, (join.right,), join)
    conditions = (join.where,) if join.where is not None else ()
    for expression in (*conditions, *(output.value for output in join.select)):
        for node in walk(expression):
            if isinstance(node, Captured) and node.argument is not None:
                side = (node.variable or "",)
                yield from ((f, side) for f in walk(node.argument) if isinstance(f, Field))
