"""Rule text -> the text of each statement, whatever is wrong inside them.

    -- big ones                              ┐
    pattern large from payments ...;         ┘ pattern, large
    feature spent on payments as ...;  -- note   feature, spent, on payments

Comments before a statement belong to it, and so does one behind it on its last line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lark import Token

from cep.dsl.lexer import BEGINNINGS, Places, Statement, statements
from cep.dsl.rules import NAMES
from cep.dsl.values import name_of

_REST_OF_LINE = re.compile(r"[ \t]*--[^\n\r]*")


@dataclass(frozen=True, slots=True)
class StatementText:
    """One statement as it is written, with its ';'. It stands at `line` and `column`, from 1.

    `kind` is the word that begins it, "" where that is none; `name` that of a parameter with its $;
    `stream` the one that a feature is on, else "". `parameters`: those that it uses, with their $.
    """

    kind: str
    name: str
    stream: str
    text: str
    line: int
    column: int
    parameters: frozenset[str]


def statement_texts(text: str) -> list[StatementText]:
    """The statements in order. Never raises; O(length of the text)."""
    found, begin, places = list(statements(text, [])), 0, Places(text)
    made = []
    for statement, end in zip(found, _ends(text, found), strict=True):
        begin += len(text[begin:end]) - len(text[begin:end].lstrip())
        line, column = places.of(begin)
        kind, name, stream = _named(statement.tokens)
        used = {str(t) for t in statement.tokens if t.type == "PARAMETER"} - {name}
        written = _closed(text, begin, end, statement)
        made.append(StatementText(kind, name, stream, written, line, column, frozenset(used)))
        begin = end
    return made


def _ends(text: str, found: Iterable[Statement]) -> Iterator[int]:
    """Where the text of each statement ends, with the comment on its last line."""
    for statement in found:
        end = _end(statement)
        comment = _REST_OF_LINE.match(text, end)
        yield end if comment is None else comment.end()


def _end(statement: Statement) -> int:
    """Behind its ';', or behind its last word where that is missing."""
    last = statement.end if statement.end == ";" else statement.tokens[-1]
    assert last.end_pos is not None
    return last.end_pos


def _closed(text: str, begin: int, end: int, statement: Statement) -> str:
    """With a ';', also where the last statement of a text has none."""
    close = _end(statement)
    mark = "" if statement.end == ";" else ";"
    return text[begin:close] + mark + text[close:end].rstrip()


def _named(tokens: list[Token]) -> tuple[str, str, str]:
    """(kind, name, stream that a feature is on), each "" where it cannot be told."""
    kind = tokens[0].lower()
    if kind not in BEGINNINGS or len(tokens) < 2:
        return "", "", ""
    if tokens[1].type == "PARAMETER":
        return kind, str(tokens[1]), ""
    name = name_of(tokens[1]) if tokens[1].type in NAMES else ""
    if kind == "feature" and len(tokens) > 3 and tokens[2].lower() == "on":
        return kind, name, name_of(tokens[3])
    return kind, name, ""
