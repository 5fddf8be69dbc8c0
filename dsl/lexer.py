"""Rule text -> tokens with places, cut into statements at ';'.

Words stay undecided here (type WORD): whether one is a keyword depends on what the parser can use.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from lark import Token

from cep.engine.algebra.errors import Problem, Span

LENGTH_MAX = 1_000_000  # characters of rule text
NESTING_MAX = 150  # open brackets, and levels of an expression
TOKENS_MAX = 50_000  # of one statement
PROBLEMS_MAX = 100  # errors of one text; reading stops there

BEGINNINGS = ("parameter", "stream", "table", "feature", "aggregate", "join", "pattern")
"""The words that begin statements."""

COMMON = ("parameter", "table", "join")
"""Those of them that are common names: they begin a statement where a name follows."""

FOREIGN = {"==": "=", "&&": "and", "!": "not", "=>": "->", ":=": "as", "=<": "<="}
"""Operators of other languages -> ours. Reported, then read as ours so that checking goes on."""

TOKEN = re.compile(
    r"""
    (?P<SKIP>   \s+ | --[^\n\r]* | \ufeff )
  | (?P<WORD>   [^\W\d]\w* )
  | (?P<PARAMETER> \$[^\W\d]\w* )
  | (?P<FLOAT>  (?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)? | [0-9]+[eE][+-]?[0-9]+ )
  | (?P<INT>    [0-9]+ )
  | (?P<STRING> '(?:[^'\r\n]|'')*' )
  | (?P<QUOTED> "(?:[^"\r\n]|"")*" )
  | (?P<FOREIGN> == | && | => | := | =< | ! (?!=) )
  | (?P<MARK>   ->> | -> | <> | != | <= | >= | \|\| | [-+*/%=<>(){},.;?|] )
  | (?P<OPEN_STRING> ['"][^\r\n;]* )
  | (?P<OTHER>  . )
    """,
    re.VERBOSE | re.DOTALL,
)


class Places:
    """Offsets into the text -> line and column, counting lines as `str.splitlines` does."""

    def __init__(self, text: str) -> None:
        lengths = [len(line) for line in text.splitlines(keepends=True)]
        self._starts = [0, *accumulate(lengths[:-1])]

    def of(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        return Span(*self.of(start), *self.of(end))


@dataclass(frozen=True, slots=True)
class Statement:
    """The tokens of one statement without its ';'. `end` is that ';', or the end of the text."""

    tokens: list[Token]
    end: Token


def span_of(token: Token) -> Span:
    assert token.line is not None
    assert token.column is not None
    assert token.end_line is not None
    assert token.end_column is not None
    return Span(token.line, token.column, token.end_line, token.end_column)


def statements(text: str, problems: list[Problem]) -> Iterator[Statement]:
    """The statements of the text in order; empty ones are left out.

    What is no token at all goes to `problems` and is skipped. The last statement need not end in
    ';'; where another one lacks it, the next line that begins like a statement is taken for one.
    """
    tokens: list[Token] = []
    for token, after in _with_next(_tokens(text, problems)):
        if tokens and _begins_statement(token, tokens[-1], after):
            message = f"';' is missing before {str(token)!r}"
            problems.append(Problem(message, span_of(token), "end each statement with ';'"))
            yield Statement(tokens, _end_before(token))
            tokens = []
        if token == ";" or token.type == "$END":
            if tokens:
                yield Statement(tokens, token)
            tokens = []
        else:
            tokens.append(token)


def _begins_statement(token: Token, before: Token, after: Token | None) -> bool:
    if token.column != 1 or token.lower() not in BEGINNINGS or before in (",", "("):
        return False
    named = after is not None and after.type in ("WORD", "QUOTED", "PARAMETER")
    return named or token.lower() not in COMMON


def _with_next(tokens: Iterable[Token]) -> Iterator[tuple[Token, Token | None]]:
    """Each token with the one behind it."""
    before: Token | None = None
    for token in tokens:
        if before is not None:
            yield before, token
        before = token
    if before is not None:
        yield before, None


def _end_before(token: Token) -> Token:
    return token.update(type="$END", value="")


def _tokens(text: str, problems: list[Problem]) -> Iterator[Token]:
    places = Places(text)
    end = 0
    for found in TOKEN.finditer(text):
        kind, value = found.lastgroup or "", found.group()
        if kind == "SKIP":
            continue
        end = found.end()
        if kind in ("FOREIGN", "OPEN_STRING", "OTHER"):
            if len(problems) >= PROBLEMS_MAX:
                break
            kind, value = _mend(kind, value, places.span(found.start(), end), problems)
            if not kind:
                continue
        yield _token(kind, value, places, found.start(), end)
    yield _token("$END", "", places, end, end)


def _token(kind: str, value: str, places: Places, start: int, end: int) -> Token:
    line, column = places.of(start)
    end_line, end_column = places.of(end)
    return Token(kind, value, start, line, column, end_line, end_column, end)


def _mend(kind: str, value: str, span: Span, problems: list[Problem]) -> tuple[str, str]:
    """Report a stretch of text that is no token; what it was probably meant to be, or nothing."""
    if kind == "OPEN_STRING":
        return _close(value, span, problems)
    if kind == "FOREIGN":
        ours = FOREIGN[value]
        problems.append(Problem(f"{value!r} is not an operator here", span, f"write {ours!r}"))
        return ("WORD" if ours.isalpha() else "MARK"), ours
    hint = None
    if value in "‘’“”`´":  # noqa: RUF001 - the very characters that word processors put in
        hint = "write text in straight single quotes: 'like this'"
    elif value in "[]":
        hint = "write ( ) around parts of a sequence and { } around repetitions"
    elif value == ":":
        hint = "a field is written: name type"
    elif value == "#":
        hint = "a comment begins with --"
    elif value == "$":
        hint = "a parameter is written $name"
    elif value == "&":
        hint = "write 'and'"
    elif value in "–—":  # noqa: RUF001
        hint = "write a plain minus sign or the arrow ->"
    problems.append(Problem(f"the character {value!r} has no meaning here", span, hint))
    return "", ""


def _close(value: str, span: Span, problems: list[Problem]) -> tuple[str, str]:
    quote = value[0]
    what = "text" if quote == "'" else "quoted name"
    hint = f"close it with {quote} on the same line; write {quote * 2} for the quote itself"
    begin = Span(span.line, span.column, span.line, span.column + 1)
    problems.append(Problem(f"this {what} is never closed", begin, hint))
    return ("STRING" if quote == "'" else "QUOTED"), value.rstrip() + quote
