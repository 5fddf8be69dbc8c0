"""Rules -> their statements one by one, with versions; and statements -> one text that compiles."""

from __future__ import annotations

import hashlib
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

from cep.dsl.cut import StatementText, statement_texts
from cep.dsl.parameters import Parameter
from cep.engine.algebra.aggregates import Functions
from cep.engine.algebra.errors import Problem, RuleError, Span, render_problem
from cep.engine.algebra.plan_printer import (
    print_aggregate,
    print_feature,
    print_join,
    print_table,
)
from cep.engine.dataflow.readers import Known
from cep.rules import Rules, RuleWarning, check

RUN = ("pattern", "aggregate", "join")
"""The kinds of statements that are run for what they find."""

BETWEEN = "\n\n"  # statements of one text


@dataclass(frozen=True, slots=True)
class Origin:
    """The text that somebody gave, and what messages call it."""

    text: str
    name: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a detector's rules, in force or disabled.

    `written`: its text, which stands in `origin`. `digest` is of what it says: the same where only
    comments or the layout differ. `version` counts from 1; `since_us`: when it began to be what it
    is now, by the clock of the detector.
    """

    written: StatementText
    origin: Origin
    digest: str = ""
    version: int = 1
    since_us: int = 0
    is_disabled: bool = False

    @property
    def kind(self) -> str:
        return self.written.kind

    @property
    def name(self) -> str:
        return self.written.name

    @property
    def known(self) -> Known:
        """What tells it from all others."""
        return self.written.stream, self.name

    @property
    def label(self) -> str:
        """The name, of a feature with its stream."""
        stream = self.written.stream
        return f"{self.name} on {stream}" if stream else self.name

    def __str__(self) -> str:
        return f"{self.kind} {self.label!r}"


def statements_of(rules: Rules) -> tuple[Statement, ...]:
    """The statements of rules, in order; of rules built in Python their text in the language."""
    origin = Origin(rules.text, rules.name)
    found = tuple(Statement(text, origin) for text in statement_texts(rules.text))
    return with_digests(found, rules)


def read_statements(text: str, name: str = "<rules>") -> tuple[Statement, ...]:
    """The statements of a text that may be wrong."""
    origin = Origin(text, name)
    return tuple(Statement(written, origin) for written in statement_texts(text))


def with_digests(statements: Iterable[Statement], rules: Rules) -> tuple[Statement, ...]:
    """The same statements with what each says. `rules` are all of them, compiled."""
    said = {kind: iter(texts) for kind, texts in _said(rules).items()}
    return tuple(replace(s, digest=_digest(next(said[s.kind]))) for s in statements)


def _said(rules: Rules) -> Mapping[str, Iterable[str]]:
    """What the statements of each kind say, in their order, with parameters put in."""
    made = rules.rule_set
    return {
        "parameter": (f"{p.name} {p.type} {p.value!r}" for p in rules.parameters.values()),
        "stream": map(str, made.streams),
        "table": map(print_table, made.tables),
        "feature": map(print_feature, made.features),
        "aggregate": map(print_aggregate, made.aggregates),
        "join": map(print_join, made.joins),
        "pattern": map(str, made.patterns),
    }


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


# ---- one text again


def _warn(message: str) -> None:
    warnings.warn(message, RuleWarning, stacklevel=3)


def compile_statements(
    statements: Sequence[Statement], like: Like, doubt: Callable[[str], None] = _warn
) -> Rules:
    """The statements as rules.

    Problems are told where they stand in what was given: raises RuleError, and tells `doubt` of
    what is doubtful in statements that have no digest yet.
    """
    names = {statement.name[1:] for statement in statements if statement.kind == "parameter"}
    text = BETWEEN.join(statement.written.text for statement in statements)
    places = _Places(statements)
    try:
        rules = check(
            text,
            name=like.name,
            functions=like.functions.values(),
            parameters={name: value for name, value in like.values.items() if name in names},
        )
    except RuleError as error:
        raise places.told(error) from None
    for warning in rules.warnings:
        statement, problem = places.found(warning)
        if statement is not None and not statement.digest:
            message = render_problem(problem, statement.origin.text, statement.origin.name)
            doubt(message.removeprefix("warning: "))
    return rules


def changed_parameters(rules: Rules) -> list[Parameter]:
    """Those whose value is not their default."""
    return [each for each in rules.parameters.values() if each.value != each.default]


@dataclass(frozen=True, slots=True)
class Like:
    """What belongs to rules beside their text.

    `values`: of the parameters whose value is not their default.
    """

    name: str = "<rules>"
    functions: Functions = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(rules: Rules) -> Like:
        values = {each.name: each.value for each in changed_parameters(rules)}
        return Like(rules.name, rules.functions, values)

    def with_those_of(self, other: Like) -> Like:
        return Like(
            self.name, {**self.functions, **other.functions}, {**self.values, **other.values}
        )

    def without_value(self, name: str) -> Like:
        return replace(self, values={n: v for n, v in self.values.items() if n != name})


class _Places:
    """Places in the text of several statements -> places where each of them was given."""

    def __init__(self, statements: Sequence[Statement]) -> None:
        self._statements = statements
        between = len(BETWEEN)
        lines = [len(s.written.text.splitlines()) + between - 1 for s in statements]
        self._begins = [1, *accumulate(lines, initial=1)][1:]

    def found(self, problem: Problem) -> tuple[Statement | None, Problem]:
        """The statement in which a problem is, and the problem with its place there."""
        if problem.span is None or not self._statements:
            return None, problem
        number = min(bisect_right(self._begins, problem.span.line), len(self._statements)) - 1
        statement, begin = self._statements[number], self._begins[number]
        return statement, replace(problem, span=_moved(problem.span, begin, statement.written))

    def told(self, error: RuleError) -> RuleError:
        """The problems of the first text that has any; how many there are in others."""
        of: dict[Origin | None, list[Problem]] = {}
        for problem in error.problems:
            statement, moved = self.found(problem)
            of.setdefault(None if statement is None else statement.origin, []).append(moved)
        (origin, told), *others = of.items()
        for other, problems in others:
            where = "<rules>" if other is None else other.name
            more = f"{len(problems)} more of {where}"
            told.append(Problem(f"{more}, the first: {problems[0].message}"))
        if origin is None:
            return RuleError(told, name=error.name)
        return RuleError(told, origin.text, origin.name)


def _moved(span: Span, begin: int, to: StatementText) -> Span:
    """`begin`: the line of the statement in the text of all."""

    def place(line: int, column: int) -> tuple[int, int]:
        is_first = line == begin
        return line - begin + to.line, column + to.column - 1 if is_first else column

    return Span(*place(span.line, span.column), *place(span.end_line, span.end_column))
