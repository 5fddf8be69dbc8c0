"""Parse tree -> problems of the statement as text, before it is lowered: how deep it nests."""

from __future__ import annotations

from lark import Token

from cep.dsl.lexer import NESTING_MAX
from cep.dsl.values import Branch, span_at
from cep.engine.algebra.errors import Problem
from cep.engine.algebra.pattern import Pattern, Stream
from cep.engine.algebra.plan import Aggregate, Join, RuleSet, Table

Named = Stream | Table | Aggregate | Join | Pattern

LEVELS = {
    "or_": 1,
    "and_": 1,
    "not_": 1,
    "compare": 1,
    "arithmetic": 1,
    "minus": 1,
    "in_": 1,
    "not_in": 1,
    "between": 1,
    "not_between": 1,
    "parenthesis": 1,
    "call": 2,
    "case": 2,
    "group": 3,
    "permute": 3,
}
"""How many levels a rule counts for; whatever is not named here does not nest."""


def check_depth(tree: Branch) -> Problem | None:
    """A problem where the tree is too deep for the recursive passes that follow. Not recursive."""
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        depth += LEVELS.get(node.data, 0)
        if depth > NESTING_MAX:
            hint = "of many values write x in (1, 2, 3); long rules read better as several patterns"
            message = f"this is nested deeper than {NESTING_MAX} levels"
            return Problem(message, span_at(node), hint)
        stack.extend((child, depth) for child in node.children if not isinstance(child, Token))
    return None


SHARED = "give it another name: all that can be read or looked up shares one set of names"


def check_rules(rules: RuleSet) -> list[Problem]:
    """What is wrong between the statements of a file: a name that stands for two things."""
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for kind, statements in named_statements(rules):
        for statement in statements:
            name = statement.name
            if name in seen:
                first = seen[name]
                message = f"a second {kind} {name!r}"
                if first != kind:
                    message = f"{kind} {name!r} has the name of {a_statement(first)}"
                problems.append(Problem(message, statement.span, SHARED))
            seen.setdefault(name, kind)
    return problems


def named_statements(rules: RuleSet) -> tuple[tuple[str, tuple[Named, ...]], ...]:
    """The statements that others may name in `from` or look things up in, by kind."""
    return (
        ("stream", rules.streams),
        ("table", rules.tables),
        ("aggregate", rules.aggregates),
        ("join", rules.joins),
        ("pattern", rules.patterns),
    )


def a_statement(kind: str) -> str:
    return f"an {kind}" if kind == "aggregate" else f"a {kind}"
