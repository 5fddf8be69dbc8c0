"""Rule text -> rule set: the way in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from cep.dsl.check import check_depth, check_rules
from cep.dsl.lexer import LENGTH_MAX, PROBLEMS_MAX, Statement, span_of
from cep.dsl.lower import PatternLowering, lower_stream
from cep.dsl.messages import explain
from cep.dsl.parameters import Parameter, Parameters
from cep.dsl.parser import parse_statements
from cep.dsl.statements import StatementLowering
from cep.dsl.values import Branch, name_of
from cep.engine.algebra.errors import Problem, RuleError
from cep.engine.algebra.pattern import Pattern, Stream
from cep.engine.algebra.plan import Aggregate, Feature, Join, RuleSet, Table
from cep.engine.algebra.validation import size_problems
from cep.engine.algebra.validation_plan import too_large, validate_rules

NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({})


def parse_rules(
    text: str,
    name: str = "<rules>",
    functions: Collection[str] = (),
    parameters: Mapping[str, Any] = NO_PARAMETERS,
) -> tuple[RuleSet, list[Problem]]:
    """Parse a rule file and check all that can be checked without data.

    Returns the rules and the warnings. Raises RuleError with every independent mistake of the text,
    the first hundred of them. `name` is the file, for messages. Names of fields and types are
    checked later, when the schema is known (`engine.dataflow.build`). `functions` are the names of
    the user's own aggregate functions, `parameters` values for those that the text declares.
    O(length of the text).

    >>> rules, warnings = parse_rules("pattern p match a -> b within 1 hour define a as x > 1")
    >>> [step.element.name for step in rules.patterns[0].steps]
    ['a', 'b']
    >>> warnings[0].message
    "variable 'b' has no definition: it takes any event"
    """
    reading = read_rules(text, name, functions, parameters)
    raise_errors(reading.problems, text, name)
    return reading.rules, reading.problems


@dataclass(slots=True)
class Reading:
    """What could be read of a rule file, for checks that go on after a mistake.

    `rules`: the statements that have a meaning, wrong in part as they may be. A stream statement
    that could not be parsed is an open stream of its name. `problems`: mistakes and warnings in
    order of place. `lost`: the names in statements that could not be parsed: nothing is known of
    what they stand for; `lost_features`: (stream, feature) of those among them. `unclear`: the
    mistakes in whose place something was made up. `parameters`: those that the text declares, with
    the values that stand in the rules.
    """

    rules: RuleSet
    problems: list[Problem]
    lost: frozenset[str] = frozenset()
    unclear: tuple[Problem, ...] = ()
    lost_features: tuple[tuple[str, str], ...] = ()
    parameters: tuple[Parameter, ...] = ()

    @property
    def has_errors(self) -> bool:
        return any(not problem.warning for problem in self.problems)

    def is_follow_up(self, problem: Problem) -> bool:
        """Whether a problem found later lies where another was found: it may come from that one."""
        return any(_overlap(problem, other) for other in self.unclear)


def read_rules(
    text: str,
    name: str = "<rules>",
    functions: Collection[str] = (),
    parameters: Mapping[str, Any] = NO_PARAMETERS,
) -> Reading:
    """`parse_rules` that does not raise for mistakes, but for a text that is too long to read."""
    if len(text) > LENGTH_MAX:
        message = f"the rules are {len(text):,} characters long; at most {LENGTH_MAX:,} are read"
        raise RuleError([Problem(message, hint="cut the file into several")], name=name)
    syntax: list[Problem] = []
    reader = _Reader(functions, parameters)
    parsed = list(parse_statements(text, syntax, explain))
    for statement, tree in parsed:
        reader.declare(statement, tree)
    for statement, tree in parsed:
        reader.add(statement, tree)
    reader.parameters.finish()
    everything = reader.rules()
    lost = [table.name for table in reader.lost_tables]
    found = [*reader.problems, *validate_rules(everything, lost)]
    everything = replace(everything, tables=(*everything.tables, *reader.lost_tables))
    rules = _without_too_large(everything)
    unclear = tuple(problem for problem in found if not problem.warning)
    problems = [*found, *check_rules(rules), *syntax]
    in_place = sorted(problems, key=_place)
    return Reading(
        rules,
        in_place,
        frozenset(reader.lost),
        unclear,
        tuple(reader.lost_features),
        tuple(reader.parameters.declared.values()),
    )


def raise_errors(problems: Iterable[Problem], text: str | None, name: str) -> None:
    """Raise RuleError where there are mistakes, with the first hundred in order of place."""
    errors = sorted((problem for problem in problems if not problem.warning), key=_place)
    if errors:
        raise RuleError(_at_most(errors), text, name)


def _without_too_large(rules: RuleSet) -> RuleSet:
    """The statements that other passes, which recurse, may look at."""
    return replace(
        rules,
        patterns=tuple(p for p in rules.patterns if not size_problems(p)),
        features=tuple(f for f in rules.features if not too_large(f)),
        aggregates=tuple(a for a in rules.aggregates if not too_large(a)),
        joins=tuple(j for j in rules.joins if not too_large(j)),
    )


@dataclass(slots=True)
class _Reader:
    """The statements read so far; `problems` are those of lowering."""

    functions: Collection[str]
    given: Mapping[str, Any]
    streams: list[Stream] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    features: list[Feature] = field(default_factory=list)
    aggregates: list[Aggregate] = field(default_factory=list)
    joins: list[Join] = field(default_factory=list)
    patterns: list[Pattern] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    lost_tables: list[Table] = field(default_factory=list)
    lost_features: list[tuple[str, str]] = field(default_factory=list)
    parameters: Parameters = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = Parameters(self.given, self.problems)

    def declare(self, statement: Statement, tree: Branch | None) -> None:
        """Parameters are declared before anything reads them, wherever they stand."""
        tokens = statement.tokens
        if tree is not None and tree.data == "parameter":
            if (too_deep := check_depth(tree)) is not None:
                self.problems.append(too_deep)
            else:
                self.parameters.declare(tree)
        elif len(tokens) > 1 and tokens[0].lower() == "parameter":
            self.parameters.lose(tokens[1])

    def rules(self) -> RuleSet:
        return RuleSet(
            streams=tuple(self.streams),
            tables=tuple(self.tables),
            features=tuple(self.features),
            aggregates=tuple(self.aggregates),
            joins=tuple(self.joins),
            patterns=tuple(self.patterns),
        )

    def add(self, statement: Statement, tree: Branch | None) -> None:
        if tree is None:
            self._lose(statement)
        elif (too_deep := check_depth(tree)) is not None:
            self.problems.append(too_deep)
        elif tree.data != "parameter":
            self._lower(self.parameters.put_in(tree))

    def _lower(self, tree: Branch) -> None:
        match tree.data:
            case "stream":
                self.streams.append(lower_stream(tree, self.problems))
            case "pattern":
                self.patterns.append(PatternLowering(tree, self.problems).lower())
            case "table":
                self.tables.append(self._other(tree).table())
            case "feature":
                self.features.append(self._other(tree).feature())
            case "aggregate":
                self.aggregates.append(self._other(tree).aggregate())
            case _:
                self.joins.append(self._other(tree).join())

    def _other(self, tree: Branch) -> StatementLowering:
        return StatementLowering(tree, self.problems, self.functions)

    def _lose(self, statement: Statement) -> None:
        """Remember what a statement that cannot be parsed was about."""
        tokens = statement.tokens
        first, words = tokens[0].lower(), [token.lower() for token in tokens[1:]]
        if len(tokens) > 1 and tokens[1].type in NAMES:
            name, span = name_of(tokens[1]), span_of(tokens[1])
            if first == "stream":
                self.streams.append(Stream(name, span=span))
            elif first == "table":
                self.lost_tables.append(Table(name, (), (), span=span))
            elif first == "feature" and len(tokens) > 3 and words[1] == "on":
                self.lost_features.append((name_of(tokens[3]), name))
            elif first == "pattern":
                self.lost.add(name)
        if first != "pattern" or "stream" in words:
            self.lost.update(name_of(token) for token in tokens if token.type in NAMES)


NAMES = ("WORD", "QUOTED")


def _place(problem: Problem) -> tuple[int, int]:
    return (problem.span.line, problem.span.column) if problem.span else (0, 0)


def _overlap(one: Problem, other: Problem) -> bool:
    if one.span is None or other.span is None:
        return False
    end = (one.span.end_line, one.span.end_column)
    other_end = (other.span.end_line, other.span.end_column)
    return _place(one) < other_end and _place(other) < end


def _at_most(errors: list[Problem]) -> list[Problem]:
    if len(errors) <= PROBLEMS_MAX:
        return errors
    more = Problem(
        f"more errors follow; these are the first {PROBLEMS_MAX}",
        hint="correct these and try again",
    )
    return [*errors[:PROBLEMS_MAX], more]
