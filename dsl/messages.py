"""An unexpected token -> a message that an analyst understands.

Messages come from examples (`EXAMPLES`, wrong statements of the commonest kinds): the parser is
run on each once, and the state and token where it stops stand for the mistake. Where no example
fits, the message says in words what could have followed.
"""

from __future__ import annotations

from functools import cache

from lark import Token
from lark.parsers.lalr_interactive_parser import InteractiveParser

from cep.dsl.example import Example
from cep.dsl.examples import EXAMPLES
from cep.dsl.lexer import BEGINNINGS, span_of, statements
from cep.dsl.parser import CLOSING, OPENING, accepts, choices, grammar, parse_statement
from cep.dsl.values import shorten
from cep.engine.algebra.errors import Problem, Span
from cep.engine.algebra.functions import closest

Key = tuple[str, object, str]
"""Kind of statement ("": any), state of the parser, terminal ("": any)."""


def explain(parser: InteractiveParser, token: Token, before: Token | None) -> Problem:
    """What to say of a token that cannot stand where it stands."""
    found = _bracket(parser, token) or _swallowed(parser, before)
    found = found or _misspelt(parser, token, before)
    if found is not None:
        return found
    example = _example(parser, token)
    span = _span(token, before)
    if example is not None:
        shown = "the end" if token.type == "$END" else shorten(token)
        words = {"token": shown, "before": shorten(before or "")}
        where = span_of(before) if example.caret_before and before is not None else span
        return Problem(example.message.format(**words), where, example.hint.format(**words) or None)
    return Problem(f"expected {_listed(_expected(parser))}, found {_found(token)}", span)


def _span(token: Token, before: Token | None) -> Span:
    """The place of the token; the end of a statement is just behind its last token."""
    if token.type == "$END" and before is not None:
        last = span_of(before)
        return Span(last.end_line, last.end_column, last.end_line, last.end_column + 1)
    return span_of(token)


def _found(token: Token) -> str:
    return "the end of the statement" if token.type == "$END" else f"'{shorten(token)}'"


# ---- brackets


def _bracket(parser: InteractiveParser, token: Token) -> Problem | None:
    """A problem if a bracket is never closed, or closes nothing."""
    stack = parser.parser_state.value_stack
    still_open = [value for value in stack if isinstance(value, Token) and value in OPENING]
    if token.type == "$END" and still_open:
        closing = CLOSING[OPENING.index(still_open[-1])]
        hint = f"write {closing!r} where it ends"
        return Problem("this bracket is never closed", span_of(still_open[-1]), hint)
    if token in CLOSING and not still_open:
        return Problem(f"this {str(token)!r} closes nothing", span_of(token), "leave it out")
    return None


def _swallowed(parser: InteractiveParser, before: Token | None) -> Problem | None:
    """A problem if 'match' was taken for the name that is missing before it."""
    if before is None or before.type != "NAME" or before.lower() != "match":
        return None
    if not accepts(parser, "MATCH"):
        return None
    hint = "a pattern is written: pattern NAME from STREAM by FIELD match SEQUENCE"
    return Problem("a name is missing before 'match'", span_of(before), hint)


# ---- by example


def _example(parser: InteractiveParser, token: Token) -> Example | None:
    """The example that fits best: of this kind of statement, of this terminal."""
    state, table = parser.parser_state.position, _table()
    keys = ((kind, state, name) for kind in (_kind(parser), "") for name in (token.type, ""))
    return next((table[key] for key in keys if key in table), None)


def _kind(parser: InteractiveParser) -> str:
    """The terminal that the statement begins with; "" before it, and in parts of statements."""
    stack = parser.parser_state.value_stack
    first = stack[0] if stack else None
    return first.type if isinstance(first, Token) and first.lower() in BEGINNINGS else ""


@cache
def _table() -> dict[Key, Example]:
    """Where it goes wrong -> the example whose mistake it is. Built once, at the first error."""
    return {key: example for example in EXAMPLES for key in keys_of(example)}


def keys_of(example: Example) -> list[Key]:
    """Where the parser stops on each text of the example."""
    keys: list[Key] = []

    def stop(parser: InteractiveParser, token: Token, before: Token | None) -> Problem:
        kind = "" if example.anywhere else _kind(parser)
        keys.append((kind, parser.parser_state.position, "" if example.any_token else token.type))
        return Problem("")

    for text in example.texts:
        for statement in statements(text, []):
            parse_statement(statement, [], stop)
    return keys


# ---- misspelt keywords

CLAUSES = ("within", "define", "unless", "after", "select", "on", "match", "from", "by")
SUFFIXES = (
    *("consecutive", "combinations", "optional", "greedy", "gap", "until", "between", "where"),
    "lateness",
)


def _misspelt(parser: InteractiveParser, token: Token, before: Token | None) -> Problem | None:
    """A problem if a word here, or the one before, is nearly a keyword."""
    if token.type == "NAME":
        expected = accepted(parser)
        wanted = [word for word, name in grammar().keywords.items() if name in expected]
        hint = closest(token, wanted)
        if hint is not None and len(token) > 2:
            words = _listed(_words(expected))
            return Problem(f"expected {words}, found '{token}'", span_of(token), hint)
    if before is not None and before.type == "NAME" and len(before) > 3:
        hint = closest(before, CLAUSES + SUFFIXES)
        if hint is not None and before.lower() not in CLAUSES + SUFFIXES:
            return Problem(f"'{before}' is not a keyword", span_of(before), hint)
    return None


# ---- what could have followed

GROUPS: tuple[tuple[str, frozenset[str], int], ...] = (
    ("a value", frozenset({"INT", "FLOAT", "STRING", "NAME", "QUOTED", "LPAR", "CASE"}), 7),
    ("a variable", frozenset({"NAME", "QUOTED", "LPAR", "NOT", "PERMUTE"}), 5),
    ("a name", frozenset({"NAME", "QUOTED"}), 2),
    (
        "a clause such as within, define, select",
        frozenset({"WITHIN", "DEFINE", "UNLESS", "AFTER", "SELECT", "ON"}),
        3,
    ),
    ("a number", frozenset({"INT", "FLOAT"}), 1),
)
"""Words for terminals that come together: (words, terminals, how many of them must be possible)."""

OPERATORS = frozenset({"=", "<>", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||"})
OPERATOR_WORDS = frozenset({"AND", "OR", "IN", "BETWEEN", "LIKE", "IS"})


def accepted(parser: InteractiveParser) -> set[str]:
    """The terminals that can really follow."""
    terminals = (name for name in choices(parser) if name.isupper() or name == "$END")
    return {name for name in terminals if accepts(parser, name)}


def _expected(parser: InteractiveParser) -> list[str]:
    return _words(accepted(parser))


def _words(terminals: set[str]) -> list[str]:
    rest, words = set(terminals), []
    for text, group, least in GROUPS:
        if len(group & rest) >= least:
            words.append(text)
            rest -= group | ({"MINUS", "NOT"} if text == "a value" else frozenset())
    operators = {name for text, name in grammar().marks.items() if text in OPERATORS}
    if len(rest & operators) > 3:
        words.append("an operator")
        rest -= operators | OPERATOR_WORDS
    if rest | set(words) != {"PARAMETER"}:
        rest.discard("PARAMETER")  # stands where any constant can, which goes without saying
    texts = {name: text for text, name in (grammar().marks | grammar().keywords).items()}
    words += sorted(f"'{texts[name]}'" for name in rest if name in texts)
    words += [
        text
        for name, text in (
            ("STRING", "a text in quotes"),
            ("PARAMETER", "a parameter such as $limit"),
            ("$END", "';'"),
        )
        if name in rest
    ]
    return words


def _listed(words: list[str]) -> str:
    if len(words) == 1:
        return words[0]
    return ", ".join(words[:-1]) + " or " + words[-1]
