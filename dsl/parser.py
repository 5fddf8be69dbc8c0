"""Rule text -> parse trees, one per statement, and the syntax errors of the whole text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from copy import copy
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedToken
from lark.lexer import Lexer
from lark.parsers.lalr_interactive_parser import InteractiveParser
from lark.parsers.lalr_parser_state import ParserState

from cep.dsl.lexer import (
    NESTING_MAX,
    PROBLEMS_MAX,
    TOKENS_MAX,
    Statement,
    span_of,
    statements,
)
from cep.engine.algebra.errors import Problem
from cep.engine.algebra.printer import NO_VARIABLES

Branch = Tree[Token]

STARTS = ("start", "expression", "item", "duration")
"""What a text may be: a statement, or one of the parts that the Python builder takes as text."""


class NoLexer(Lexer):
    """Lark wants a lexer; ours runs before it, because it cuts the text into statements."""

    __future_interface__ = 1

    def __init__(self, lexer_conf: object) -> None:
        pass

    def lex(self, lexer_state: Any, parser_state: Any) -> Iterator[Token]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Grammar:
    """The tables of pattern.lark, and its keywords and marks (text -> terminal name)."""

    lark: Lark
    keywords: dict[str, str]
    marks: dict[str, str]


@cache
def grammar() -> Grammar:
    """Build the parser once per process: some 0.1 s, paid by the first text that is parsed.

    `strict`: a conflict in the grammar is an error, never resolved silently.
    """
    text = files("cep.dsl").joinpath("pattern.lark").read_text(encoding="utf-8")
    lark = Lark(
        text,
        parser="lalr",
        lexer=NoLexer,
        start=list(STARTS),
        strict=True,
        propagate_positions=True,
        maybe_placeholders=False,
    )
    fixed = {t.pattern.value: t.name for t in lark.terminals if t.pattern.type == "str"}
    keywords = {value: name for value, name in fixed.items() if value.isalpha()}
    marks = {value: name for value, name in fixed.items() if not value.isalpha()}
    return Grammar(lark, keywords, marks)


Explain = Callable[[InteractiveParser, Token, Token | None], Problem]
"""(parser before the token, the unexpected token, the token before it) -> what to say."""


def parse_statements(
    text: str, problems: list[Problem], explain: Explain
) -> Iterator[tuple[Statement, Branch | None]]:
    """Each statement with its tree; one that cannot be parsed has none and adds to `problems`.

    `problems` are errors only; at PROBLEMS_MAX of them reading stops.
    """
    for statement in statements(text, problems):
        if len(problems) >= PROBLEMS_MAX:
            return
        yield statement, parse_statement(statement, problems, explain)


def parse_statement(
    statement: Statement, problems: list[Problem], explain: Explain, start: str = "start"
) -> Branch | None:
    """The statement's tree, or None and one more problem. O(number of tokens), not recursive."""
    if len(statement.tokens) > TOKENS_MAX:
        message = f"a statement of more than {TOKENS_MAX:,} words and signs"
        problems.append(Problem(message, span_of(statement.tokens[0]), "cut it into several"))
        return None
    parser = grammar().lark.parse_interactive(start=start)
    before, depth = None, 0
    for raw in statement.tokens:
        depth += (raw in OPENING) - (raw in CLOSING)
        if depth > NESTING_MAX:
            message = f"brackets nested deeper than {NESTING_MAX} levels"
            problems.append(Problem(message, span_of(raw), "cut the rule into several"))
            return None
        token = decide(parser, raw, before)
        try:
            parser.feed_token(token)
        except UnexpectedToken:
            problems.append(explain(parser, token, before))
            return None
        before = token
    try:
        tree: Branch = parser.feed_token(statement.end.update(type="$END", value=""))
    except UnexpectedToken:
        problems.append(explain(parser, statement.end.update(type="$END"), before))
        return None
    return tree


OPENING, CLOSING = ("(", "{"), (")", "}")

NO_UNITS = NO_VARIABLES | {"define", "select", "unless", "after", "within"}
"""Words that are no units: `within 10 define` lacks one."""


def decide(parser: InteractiveParser, raw: Token, before: Token | None) -> Token:
    """The token with the terminal that it is here: a word is a keyword where one can stand."""
    if raw.type == "MARK":
        return raw.update(type=grammar().marks[raw])
    if raw.type != "WORD":
        return raw
    word, possible = raw.lower(), choices(parser)
    keyword = grammar().keywords.get(word)
    if keyword is not None:
        possible_name = "NAME" in possible
        if not possible_name or (keyword in possible and accepts(parser, keyword)):
            return raw.update(type=keyword)
    if word in _no_names(possible, before):
        return raw.update(type=keyword or word.upper())
    return raw.update(type="NAME")


def choices(parser: InteractiveParser) -> Collection[str]:
    """The terminals (and rules) that the tables of the parser have an action for right here."""
    state = parser.parser_state
    return cast(Collection[str], state.parse_conf.states[state.position])


def accepts(parser: InteractiveParser, terminal: str) -> bool:
    """Whether the terminal can really follow; `choices` also has those of similar places.

    Like Lark's `accepts`, which copies all values parsed so far for each terminal it tries.
    """
    state = parser.parser_state
    conf = copy(state.parse_conf)
    conf.callbacks = {}
    trial = ParserState(conf, state.lexer, list(state.state_stack), list(state.value_stack))
    try:
        trial.feed_token(Token(terminal, ""), is_end=terminal == "$END")
    except UnexpectedToken:
        return False
    return True


def _no_names(possible: Collection[str], before: Token | None) -> frozenset[str]:
    """The words that are neither keyword nor name at this place, but an error."""
    if "PERMUTE" in possible:  # only where a step can stand
        return NO_VARIABLES
    if before is not None and before.type in ("INT", "FLOAT"):
        return NO_UNITS
    return frozenset()
