"""Pattern with untyped expressions + schemas -> the same pattern with every type set, and problems.

One wrong sub-expression does not cascade: it gets the type NULL, which fits anywhere, and checking
goes on around it. A stream without fields is open: the data will bring its schema, any field is
accepted and has the type NULL until then.

The rules are what SQL users expect: int op int is int, but `/` always gives a float; int with
float is float; timestamp - timestamp is a duration; int and float compare exactly; a text constant
that is compared with a timestamp is read as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from cep.engine.algebra.errors import Located, Problem, Span, place_of
from cep.engine.algebra.expression import (
    Expression,
)
from cep.engine.algebra.functions import (
    BOOLEAN,
    NULL,
    closest,
)
from cep.engine.algebra.pattern import (
    Alternation,
    Definition,
    Element,
    Group,
    Output,
    Pattern,
    Permutation,
    Step,
    Stream,
    StreamField,
    variables,
)
from cep.engine.binding.expressions import ExpressionBinder, Scope, conflict
from cep.engine.binding.types import a_kind


@dataclass(frozen=True, slots=True)
class Schema:
    """The streams that rules run on, each with its fields; the order numbers the streams."""

    streams: tuple[Stream, ...]

    def stream(self, name: str) -> Stream | None:
        return next((s for s in self.streams if s.name == name), None)

    def index(self, name: str) -> int:
        """The number of a stream, as `EventBatch.stream` has it."""
        return next(i for i, s in enumerate(self.streams) if s.name == name)

    def streams_of(self, pattern: Pattern) -> tuple[Stream, ...]:
        """The streams that a pattern reads; unknown names are left out."""
        return tuple(s for name in pattern.streams or ("",) if (s := self.stream(name)))

    def fields_of(self, pattern: Pattern) -> tuple[StreamField, ...]:
        """The union of the fields of the pattern's streams, in order of first appearance."""
        found: dict[str, StreamField] = {}
        for stream in self.streams_of(pattern):
            for member in stream.fields:
                found.setdefault(member.name, member)
        return tuple(found.values())

    def bind(self, pattern: Pattern) -> tuple[Pattern, list[Problem]]:
        return bind_pattern(pattern, {s.name: s for s in self.streams})


def bind_pattern(pattern: Pattern, streams: Mapping[str, Stream]) -> tuple[Pattern, list[Problem]]:
    """The pattern with the `type` of every expression set, and all independent problems found.

    `streams`: name -> stream; "" is the name where the pattern has no `from`. A pattern that came
    back with problems must not be run.
    """
    return _Binder(pattern, streams).bind()


class Keyed(Located, Protocol):
    """A statement whose events are looked at per key."""

    @property
    def key(self) -> tuple[str, ...]: ...


def key_problems(statement: Keyed, scope: Scope) -> Iterator[Problem]:
    """Every stream must have every key field, with one type."""
    for name in statement.key:
        span = place_of(name, statement)
        for stream in scope.streams:
            names = [f.name for f in stream.fields]
            if names and name not in names:
                where = f"stream {stream.name}" if stream.name else "the data"
                hint = closest(name, names) or f"its fields: {', '.join(names)}"
                yield Problem(f"no key field '{name}' in {where}", span, hint)
        types = scope.types_of(name)
        if len(types) > 1:
            yield conflict(f"key field '{name}'", types, span)


def bind_condition(
    binder: ExpressionBinder, condition: Expression | None, what: str, scope: Scope | None = None
) -> Expression | None:
    """The condition with its types; a problem where it is neither true nor false."""
    if condition is None:
        return None
    bound = binder.bind(condition, scope)
    if bound.type not in (BOOLEAN, NULL):
        message = f"{what} is {a_kind(bound.type)}, not true or false"
        binder.problems.append(Problem(message, bound.span, "compare it with something"))
    return bound


class _Binder:
    """One pass over one pattern. Methods named `_bind_*` return a typed copy of what they got."""

    def __init__(self, pattern: Pattern, streams: Mapping[str, Stream]) -> None:
        self.pattern = pattern
        self.known = streams
        self.problems: list[Problem] = []
        takers = {v.name for v in variables(pattern.steps)}
        negated = {v.name for v in variables(pattern.steps, negated=True)} - takers
        self.everything = self._scope_of_all()
        self.scopes = {d.variable: self._scope_of(d) for d in pattern.definitions}
        self.expressions = ExpressionBinder(
            self.everything, self.scopes, takers, negated, self.problems
        )

    def bind(self) -> tuple[Pattern, list[Problem]]:
        self._check_key()
        pattern = self.pattern
        bound = replace(
            pattern,
            definitions=tuple(self._bind_definition(d) for d in pattern.definitions),
            steps=self._bind_steps(pattern.steps),
            unless=self._bind_condition(pattern.unless, "unless"),
            select=self._bind_outputs(pattern.select),
            timeout_select=(
                None
                if pattern.timeout_select is None
                else self._bind_outputs(pattern.timeout_select)
            ),
        )
        return bound, self.problems

    def _problem(self, message: str, span: Span | None, hint: str | None = None) -> None:
        self.problems.append(Problem(message, span, hint))

    # ------------------------------------------------------------ streams and key

    def _scope_of_all(self) -> Scope:
        found = []
        names = self.pattern.streams or ("",)
        for name in names:
            if name in self.known:
                found.append(self.known[name])
            else:
                self._unknown_stream(name, place_of(name, self.pattern))
        return Scope(tuple(found), len(found) < len(names) or any(not s.fields for s in found))

    def _unknown_stream(self, name: str, span: Span | None) -> None:
        known = [n for n in self.known if n]
        if not name:
            hint = f"write 'from {known[0]}'" if known else None
            self._problem("the pattern does not say which stream it reads", span, hint)
            return
        streams = f"known: {', '.join(known)}" if known else None
        self._problem(f"no stream '{name}'", span, closest(name, known) or streams)

    def _scope_of(self, definition: Definition) -> Scope:
        name = definition.stream
        if name is None:
            return self.everything
        if name not in self.known:
            self._unknown_stream(name, definition.span)
            return Scope((), open=True)
        if name not in (self.pattern.streams or ("",)):
            hint = f"add it: from {', '.join((*self.pattern.streams, name))}"
            message = f"'{definition.variable}' is bound to stream {name}, which is not read"
            self._problem(message, definition.span, hint)
        return Scope((self.known[name],), open=not self.known[name].fields)

    def _check_key(self) -> None:
        self.problems += key_problems(self.pattern, self.everything)

    # ------------------------------------------------------------ parts of a pattern

    def _bind_definition(self, definition: Definition) -> Definition:
        what = f"the condition of {definition.variable}"
        scope = self.scopes[definition.variable]
        bound = self._bind_condition(definition.condition, what, scope)
        return replace(definition, condition=bound)

    def _bind_steps(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return tuple(
            replace(
                step,
                element=self._bind_element(step.element),
                until=self._bind_condition(step.until, "until"),
            )
            for step in steps
        )

    def _bind_element(self, element: Element) -> Element:
        match element:
            case Group(steps):
                return Group(self._bind_steps(steps))
            case Alternation(branches):
                return Alternation(tuple(self._bind_steps(branch) for branch in branches))
            case Permutation(elements, inner):
                return Permutation(self._bind_steps(elements), inner)
            case _:
                return element

    def _bind_condition(
        self, condition: Expression | None, what: str, scope: Scope | None = None
    ) -> Expression | None:
        return bind_condition(self.expressions, condition, what, scope)

    def _bind_outputs(self, outputs: tuple[Output, ...]) -> tuple[Output, ...]:
        return tuple(replace(o, value=self.expressions.bind(o.value)) for o in outputs)
