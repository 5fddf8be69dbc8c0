"""Parse tree -> problems of the statement as text, before it is lowered: how deep it nests."""

from __future__ import annotations

from lark import Token

from cep.dsl.lexer import NESTING_MAX
from cep.dsl.values import Branch, span_at
from cep.engine.errors import Problem
from cep.engine.plan import RuleSet

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


def check_rules(rules: RuleSet) -> list[Problem]:
    """What is wrong between the statements of a file: a name that stands for two things."""
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for kind, statements in (("stream", rules.streams), ("pattern", rules.patterns)):
        for statement in statements:
            name = statement.name
            if name in seen:
                message = f"a second {kind} {name!r}"
                if seen[name] != kind:
                    message = f"pattern {name!r} has the name of a stream"
                hint = "give it another name: patterns and streams share one set of names"
                problems.append(Problem(message, statement.span, hint))
            seen.setdefault(name, kind)
    return problems
