"""Rule text -> rule set: the way in."""

from __future__ import annotations

from cep.dsl.check import check_depth, check_rules
from cep.dsl.lexer import LENGTH_MAX, PROBLEMS_MAX
from cep.dsl.lower import PatternLowering, lower_stream
from cep.dsl.messages import explain
from cep.dsl.parser import parse_statements
from cep.engine.errors import Problem, RuleError
from cep.engine.pattern import Pattern, RuleSet, Stream
from cep.engine.validation import validate_pattern


def parse_rules(text: str, name: str = "<rules>") -> tuple[RuleSet, list[Problem]]:
    """Parse a rule file and check all that can be checked without data.

    Returns the rules and the warnings. Raises RuleError with every independent mistake of the text,
    the first hundred of them. `name` is the file, for messages. Names of fields and types are
    checked later, when the schema is known (`engine.binding`). O(length of the text).

    >>> rules, warnings = parse_rules("pattern p match a -> b within 1 hour define a as x > 1")
    >>> [step.element.name for step in rules.patterns[0].steps]
    ['a', 'b']
    >>> warnings[0].message
    "variable 'b' has no definition: it takes any event"
    """
    if len(text) > LENGTH_MAX:
        message = f"the rules are {len(text):,} characters long; at most {LENGTH_MAX:,} are read"
        raise RuleError([Problem(message, hint="cut the file into several")], name=name)
    problems: list[Problem] = []
    rules = _lower(text, problems)
    problems += check_rules(rules)
    problems.sort(key=_place)
    errors = [problem for problem in problems if not problem.warning]
    if errors:
        raise RuleError(_at_most(errors), text, name)
    return rules, problems


def _lower(text: str, problems: list[Problem]) -> RuleSet:
    streams: list[Stream] = []
    patterns: list[Pattern] = []
    errors: list[Problem] = []  # of lexing and syntax
    for tree in parse_statements(text, errors, explain):
        too_deep = check_depth(tree)
        if too_deep is not None:
            problems.append(too_deep)
        elif tree.data == "stream":
            streams.append(lower_stream(tree, problems))
        else:
            patterns.append(_pattern(PatternLowering(tree, problems).lower(), problems))
    problems += errors
    return RuleSet(tuple(streams), tuple(patterns))


def _pattern(pattern: Pattern, problems: list[Problem]) -> Pattern:
    problems += validate_pattern(pattern)
    return pattern


def _place(problem: Problem) -> tuple[int, int]:
    return (problem.span.line, problem.span.column) if problem.span else (0, 0)


def _at_most(errors: list[Problem]) -> list[Problem]:
    if len(errors) <= PROBLEMS_MAX:
        return errors
    more = Problem(
        f"more errors follow; these are the first {PROBLEMS_MAX}",
        hint="correct these and try again",
    )
    return [*errors[:PROBLEMS_MAX], more]
