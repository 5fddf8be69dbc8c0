"""Parse trees of statements -> streams and patterns of the algebra."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from lark import Token

from cep.dsl.expressions import ExpressionLowering, branch, token
from cep.dsl.lexer import span_of
from cep.dsl.sequences import SequenceLowering
from cep.dsl.values import (
    TIME_UNITS,
    Branch,
    duration_us,
    name_of,
    span_at,
    type_of,
)
from cep.engine.algebra.errors import Places, Problem
from cep.engine.algebra.expression import Aggregated, Captured, Expression, Field
from cep.engine.algebra.functions import closest
from cep.engine.algebra.pattern import (
    Definition,
    Output,
    Pattern,
    Skip,
    SkipStrategy,
    Stream,
    StreamField,
    WithinScope,
    variables,
)

CLAUSE_WORDS = {
    "after_match": "after match",
    "on_timeout": "on timeout",
}


def parts_of(tree: Branch) -> list[Branch]:
    """Its children that are trees."""
    return [child for child in tree.children if not isinstance(child, Token)]


def places_of(clauses: Clauses) -> Places:
    """Where the clauses `from` and `by` name streams and fields."""
    trees = [tree for clause in ("from", "by") if (tree := clauses.get(clause)) is not None]
    tokens = [child for tree in trees for child in tree.children if isinstance(child, Token)]
    return tuple((name_of(child), span_of(child)) for child in tokens)


def names_of(tree: Branch) -> tuple[str, ...]:
    """The names that it lists."""
    return tuple(name_of(child) for child in tree.children if isinstance(child, Token))


@dataclass(slots=True)
class Clauses:
    """The clauses of one statement by name; one that comes twice is a problem."""

    problems: list[Problem]
    found: dict[str, Branch] = field(default_factory=dict)

    def add(self, tree: Branch) -> None:
        name = str(tree.data)
        if name in self.found:
            word = CLAUSE_WORDS.get(name, name)
            line = self.found[name].meta.line
            hint = f"the first one is on line {line}; a clause may be written once"
            self.problems.append(Problem(f"a second {word!r}", span_at(tree), hint))
            return
        self.found[name] = tree

    def get(self, name: str) -> Branch | None:
        return self.found.get(name)


# ---- streams


def lower_stream(tree: Branch, problems: list[Problem]) -> Stream:
    """The stream that a `stream` statement declares."""
    clauses = Clauses(problems)
    for part in parts_of(tree):
        clauses.add(part)
    columns = clauses.get("columns")
    fields = columns_of(columns, problems) if columns is not None else ()
    stream = Stream(name_of(token(tree, 0)), fields, span=span_of(token(tree, 0)))
    if (time := clauses.get("time")) is not None:
        stream = _with_time(stream, time, problems)
    if (lateness := clauses.get("lateness")) is not None:
        stream = replace(stream, lateness_us=duration_us(branch(lateness, 0), problems))
    if (by := clauses.get("by")) is not None:
        stream = replace(stream, partition=names_of(by))
        for name in by.children:
            _check_field(cast(Token, name), fields, f"stream {stream.name}", problems)
    if (idle := clauses.get("idle")) is not None:
        stream = replace(stream, idle_us=duration_us(branch(idle, 0), problems))
    return stream


def columns_of(tree: Branch, problems: list[Problem]) -> tuple[StreamField, ...]:
    """The fields that a statement declares."""
    fields: dict[str, StreamField] = {}
    for column in parts_of(tree):
        name = name_of(token(column, 0))
        if name in fields:
            message = f"a second field {name!r}"
            problems.append(Problem(message, span_of(token(column, 0)), "give it another name"))
        data_type = type_of(token(column, 1), problems)
        fields[name] = StreamField(name, data_type, span_of(token(column, 0)))
    return tuple(fields.values())


def _with_time(stream: Stream, tree: Branch, problems: list[Problem]) -> Stream:
    where = f"stream {stream.name}"
    time, unit = time_of(tree, stream.fields, where, problems)
    tie = next((part for part in parts_of(tree) if part.data == "tie"), None)
    if tie is None:
        return replace(stream, time=time, time_unit=unit)
    _check_field(token(tie, 0), stream.fields, where, problems)
    return replace(stream, time=time, time_unit=unit, tie_breaker=name_of(token(tie, 0)))


def time_of(
    tree: Branch, fields: tuple[StreamField, ...], where: str, problems: list[Problem]
) -> tuple[str, str]:
    """The field that a clause `time` names, and what it counts. `where`: whose fields these are."""
    name = token(tree, 0)
    _check_field(name, fields, where, problems)
    unit = next((part for part in parts_of(tree) if part.data == "unit"), None)
    return name_of(name), "ms" if unit is None else _unit_of(token(unit, 0), problems)


def _check_field(
    name: Token, fields: tuple[StreamField, ...], where: str, problems: list[Problem]
) -> None:
    known = [column.name for column in fields]
    if known and name_of(name) not in known:
        message = f"no field {name_of(name)!r} in {where}"
        shown = ", ".join(known) if len(known) <= 10 else ", ".join(known[:9]) + ", ..."
        hint = closest(name_of(name), known) or f"its fields are {shown}"
        problems.append(Problem(message, span_of(name), hint))


def _unit_of(word: Token, problems: list[Problem]) -> str:
    unit = TIME_UNITS.get(name_of(word).lower(), name_of(word).lower())
    if unit in TIME_UNITS.values():
        return unit
    hint = closest(word, list(TIME_UNITS)) or f"units are {', '.join(TIME_UNITS)}"
    problems.append(Problem(f"unknown unit of time {word!s}", span_of(word), hint))
    return "ms"


# ---- patterns

T = TypeVar("T")


class PatternLowering:
    """Lowers one `pattern` statement; what is wrong with it goes to `problems`."""

    def __init__(self, tree: Branch, problems: list[Problem]) -> None:
        self.name = token(tree, 0)
        self.problems = problems
        self.clauses = Clauses(problems)
        for part in parts_of(tree):
            self.clauses.add(part)
        self.expressions = ExpressionLowering(problems)
        self.streams: tuple[str, ...] = self._maybe("from", names_of) or ()

    def lower(self) -> Pattern:
        definitions = self._maybe("define", self._definitions) or {}
        match = self.clauses.get("match")
        assert match is not None  # the grammar demands it
        sequences = SequenceLowering(self.expressions, definitions, self.problems)
        steps = sequences.pattern(branch(match, -1))
        used = {variable.name for variable in variables(steps, negated=True)}
        untils = sequences.untils - used
        within, scope = self._maybe("within", self._within) or (None, WithinScope.FIRST_LAST)
        return Pattern(
            name=name_of(self.name),
            steps=steps,
            definitions=tuple(d for d in definitions.values() if d.variable not in untils),
            streams=self.streams,
            key=self._maybe("by", names_of) or (),
            longest=len(match.children) > 1,
            within_us=within,
            within_scope=scope,
            unless=self._maybe("unless", lambda tree: self._expression(branch(tree, 0))),
            skip=self._maybe("after_match", self._skip) or Skip(),
            select=self._maybe("select", self._select) or (),
            timeout_select=self._maybe("on_timeout", self._select),
            span=span_of(self.name),
            places=places_of(self.clauses),
        )

    def _maybe(self, clause: str, lower: Callable[[Branch], T]) -> T | None:
        tree = self.clauses.get(clause)
        return None if tree is None else lower(tree)

    def _expression(self, tree: Branch) -> Expression:
        return self.expressions.expression(tree)

    def _within(self, tree: Branch) -> tuple[int, WithinScope]:
        between = len(tree.children) > 1
        scope = WithinScope.BETWEEN_EVENTS if between else WithinScope.FIRST_LAST
        return duration_us(branch(tree, 0), self.problems), scope

    # ---- define

    def _definitions(self, tree: Branch) -> dict[str, Definition]:
        found: dict[str, Definition] = {}
        for part in parts_of(tree):
            definition = self._definition(part)
            if definition.variable in found:
                message = f"a second definition of {definition.variable!r}"
                hint = "join the two conditions with 'and'"
                self.problems.append(Problem(message, definition.span, hint))
            found[definition.variable] = definition
        return found

    def _definition(self, tree: Branch) -> Definition:
        name = token(tree, 0)
        parts = parts_of(tree)
        definition = Definition(name_of(name), span=span_of(name))
        if not parts:
            return definition
        condition = parts[0]
        if len(parts) == 2:
            stream = self._stream_of(parts[0])
            where = self._expression(branch(parts[1], 0))
            if stream is None:
                return definition  # whose fields the condition reads is not known
            return replace(definition, condition=where, stream=stream)
        if condition.data == "field" and name_of(token(condition, 0)) in self.streams:
            return replace(definition, stream=name_of(token(condition, 0)))
        return replace(definition, condition=self._expression(condition))

    def _stream_of(self, tree: Branch) -> str | None:
        if tree.data != "field":
            message = "'where' follows a condition"
            hint = "write define v as STREAM where CONDITION, or join conditions with 'and'"
            self.problems.append(Problem(message, span_at(tree), hint))
            return None
        name = name_of(token(tree, 0))
        if name not in self.streams:
            message = f"no stream {name!r} in the 'from' of this pattern"
            hint = closest(name, self.streams) or f"write from {name}"
            self.problems.append(Problem(message, span_at(tree), hint))
            return None
        return name

    # ---- after match, select

    def _skip(self, tree: Branch) -> Skip:
        skip = branch(tree, 0)
        strategy = {
            "no_skip": SkipStrategy.NO_SKIP,
            "skip_past_last": SkipStrategy.PAST_LAST_EVENT,
            "skip_to_next": SkipStrategy.TO_NEXT_ROW,
            "skip_to_first": SkipStrategy.TO_FIRST,
            "skip_to_last": SkipStrategy.TO_LAST,
        }[skip.data]
        if not skip.children:
            return Skip(strategy, span=span_at(tree))
        return Skip(strategy, name_of(token(skip, 0)), span_of(token(skip, 0)))

    def _select(self, tree: Branch) -> tuple[Output, ...]:
        return lower_items(parts_of(tree), self.expressions)


def lower_items(items: list[Branch], expressions: ExpressionLowering) -> tuple[Output, ...]:
    """The columns of a select list; those without a name get one from what they show."""
    values = [expressions.expression(branch(item, 0)) for item in items]
    written = [name_of(token(item, 1)) if len(item.children) > 1 else None for item in items]
    taken = {name for name in written if name is not None}
    outputs = []
    for number, (name, value) in enumerate(zip(written, values, strict=True), 1):
        chosen = name if name is not None else _default_name(value, number, taken)
        taken.add(chosen)
        outputs.append(Output(chosen, value))
    return tuple(outputs)


def _default_name(value: Expression, number: int, taken: set[str]) -> str:
    """The name of a column that was given none."""
    for name in _natural_names(value):
        if name not in taken:
            return name
    name = f"column_{number}"
    while name in taken:
        name += "_"
    return name


def _natural_names(value: Expression) -> Iterable[str]:
    match value:
        case Field(name):
            yield name
        case Captured("last", str(variable), Field(name)):
            yield name
            yield f"{variable}_{name}"
        case Captured("count", str(variable), None):
            yield f"count_{variable}"
        case Captured("last", None, Field(name)):
            yield f"prev_{name}"
        case Captured(function, _, Field(name)) | Aggregated(function, Field(name)):
            yield f"{function}_{name}"
        case Aggregated(function, None):
            yield function
