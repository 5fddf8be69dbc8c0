"""Text of one condition, select list or duration -> its algebra, for patterns built in Python."""

from __future__ import annotations

from collections.abc import Iterable

from cep.dsl.check import check_depth
from cep.dsl.expressions import ExpressionLowering
from cep.dsl.lexer import LENGTH_MAX, statements
from cep.dsl.lower import lower_items
from cep.dsl.messages import explain
from cep.dsl.parser import parse_statement
from cep.dsl.values import Branch, duration_us
from cep.engine.algebra.errors import Problem, RuleError
from cep.engine.algebra.expression import Expression
from cep.engine.algebra.pattern import Output


def parse_expression(text: str) -> Expression:
    """The expression that the text says. Raises RuleError.

    >>> str(parse_expression("amount > 500").left.name)
    'amount'
    """
    problems: list[Problem] = []
    tree = _parse(text, "expression", problems)
    expression = ExpressionLowering(problems).expression(tree)
    _raise_any(problems, text)
    return expression


def parse_select(texts: Iterable[str]) -> tuple[Output, ...]:
    """The columns of a select list, one text for each: `count(a) as n`. Raises RuleError."""
    listed = tuple(texts)
    shown = "\n".join(listed)
    problems: list[Problem] = []
    trees = [_parse(text, "item", problems) for text in listed]
    outputs = lower_items(trees, ExpressionLowering(problems))
    _raise_any(problems, shown if len(listed) == 1 else None)
    return outputs


def parse_duration(text: str) -> int:
    """The microseconds of a duration such as `1 hour 30 minutes`. Raises RuleError.

    >>> parse_duration("1.5 seconds")
    1500000
    """
    problems: list[Problem] = []
    tree = _parse(text, "duration", problems)
    duration = duration_us(tree, problems)
    _raise_any(problems, text)
    return duration


def _parse(text: str, start: str, problems: list[Problem]) -> Branch:
    if len(text) > LENGTH_MAX:
        raise RuleError([Problem(f"a text of {len(text):,} characters")])
    found = list(statements(text, problems))
    if len(found) != 1:
        message = f"not one {start} but {len(found)}"
        raise RuleError([*problems, Problem(message, hint="leave out the ';'")], text, "<text>")
    tree = parse_statement(found[0], problems, explain, start)
    too_deep = check_depth(tree) if tree is not None else None
    if too_deep is not None:
        problems.append(too_deep)
    _raise_any(problems, text)
    assert tree is not None
    return tree


def _raise_any(problems: list[Problem], text: str | None) -> None:
    if problems:
        raise RuleError(problems, text, "<text>")
