"""Rule text up to a cursor -> the words that can stand there.

Keywords are those that the parser could go on with. What a name may be follows from the clause that
it stands in, and from what the other statements of the text declare.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lark import Token
from lark.exceptions import UnexpectedToken

from cep.dsl.parser import accepts, decide, grammar
from cep.dsl.values import name_of
from cep.engine.algebra.printer import print_name
from cep.notebook.known import Sketch, known_of, start_of, tokens_at
from cep.notebook.vocabulary import CALLED, CONSTANTS, STATEMENTS, TYPE_NAMES, UNITS

PREFIX = re.compile(r"\$?\w*\Z")
CLAUSES = ("FROM", "BY", "TIME", "THEN", "ON", "MATCH", "DEFINE", "FIRST", "LAST", "UNTIL")

Columns = Callable[[str], Sequence[str]]
"""Name of a stream without declared fields -> the columns of the caller's table of this name."""


@dataclass(frozen=True, slots=True)
class Word:
    """A completion. `kind`: keyword, function, stream, field, variable, parameter, type or unit."""

    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Completions:
    """The words that begin with `prefix`, which is what stands before the cursor already."""

    prefix: str
    words: tuple[Word, ...]


def complete(
    text: str, offset: int, columns: Columns = lambda stream: (), tables: Iterable[str] = ()
) -> Completions:
    """What can stand at an offset of a rule text. `tables`: names of data that streams may have."""
    found = PREFIX.search(text, 0, offset)
    prefix = found.group() if found else ""
    words = _Place(text, offset - len(prefix), columns, tables).words()
    fitting = (w for w in words if w.text.strip('"').lower().startswith(prefix.lower()))
    return Completions(prefix, tuple(w for w in dict.fromkeys(fitting) if w.text != prefix))


class _Place:
    """What is known of the place where a word begins."""

    def __init__(self, text: str, start: int, columns: Columns, tables: Iterable[str]) -> None:
        tokens = tokens_at(text, start)
        before = [token for token in tokens if _end(token) <= start]
        behind = [token for token in tokens if start_of(token) > start]
        self._sketch = Sketch([*before, *behind])
        self._known = known_of(_without(text, tokens))
        self._columns, self._tables = columns, tables
        self._parser = grammar().lark.parse_interactive(start="start")
        self._before: list[Token] = []
        self._is_understood = self._feed(before)

    def _feed(self, tokens: Iterable[Token]) -> bool:
        """Whether the parser understands what stands before."""
        last = None
        for raw in tokens:
            last = decide(self._parser, raw, last)
            self._before.append(last)
            try:
                self._parser.feed_token(last)
            except UnexpectedToken:
                return False
        return True

    def words(self) -> Iterator[Word]:
        if not self._is_understood:
            return
        if not self._before:
            yield from _words(STATEMENTS, "keyword")
            return
        last = self._before[-1]
        if last == ".":
            yield from _named(self._members(name_of(self._before[-2])), "field")
            return
        if last.type in ("INT", "FLOAT"):
            yield from _words(UNITS, "unit")
        elif self._accepts("NAME"):
            # where an expression can begin a number can stand, too; elsewhere a name is a name
            yield from self._in_expression() if self._accepts("FLOAT") else self._names(last)
        yield from (Word(t, "keyword") for t, n in grammar().keywords.items() if self._accepts(n))

    def _accepts(self, terminal: str) -> bool:
        return accepts(self._parser, terminal)

    def _names(self, last: Token) -> Iterator[Word]:
        clause = next((t.type for t in reversed(self._before) if t.type in CLAUSES), "")
        if clause in ("FROM", "ON"):
            yield from _named((*self._known.fields, *self._tables), "stream")
        elif clause in ("BY", "TIME", "THEN"):
            yield from _named(self._fields(), "field")
        elif clause:
            yield from _named(self._sketch.variables(), "variable")
        elif last.type in ("NAME", "QUOTED", "PARAMETER"):
            yield from _words(TYPE_NAMES, "type")

    def _in_expression(self) -> Iterator[Word]:
        yield from _named(self._sketch.variables(), "variable")
        yield from _named(self._fields(), "field")
        streams = self._sketch.streams() if self._before[-1].type == "AS" else []
        yield from _named((*self._known.tables, *streams), "stream")
        yield from (Word(f"${name}", "parameter") for name in self._known.parameters)
        yield from _words(CALLED, "function")
        yield from _words(CONSTANTS, "keyword")

    def _fields(self) -> list[str]:
        """Those of what the statement reads, which may be the only stream that there is."""
        streams = self._sketch.streams() or list(self._known.fields)[:1]
        return [name for stream in streams for name in self._fields_of(stream)]

    def _fields_of(self, stream: str) -> list[str]:
        own = self._sketch.columns() if self._before[0].type in ("STREAM", "TABLE") else []
        return [*own, *self._known.fields.get(stream, ()), *self._columns(stream)]

    def _members(self, owner: str) -> list[str]:
        """The fields of a variable, a stream or a table."""
        if owner not in self._sketch.variables():
            return self._fields_of(owner)
        stream = self._sketch.stream_of(owner)
        return self._fields() if stream is None else self._fields_of(stream)


def _words(texts: Iterable[str], kind: str) -> Iterator[Word]:
    return (Word(text, kind) for text in texts)


def _named(names: Iterable[str], kind: str) -> Iterator[Word]:
    """Names as rules write them."""
    return (Word(print_name(name), kind) for name in names)


def _end(token: Token) -> int:
    assert token.end_pos is not None
    return token.end_pos


def _without(text: str, tokens: Sequence[Token]) -> str:
    """The other statements."""
    return f"{text[: start_of(tokens[0])]};{text[_end(tokens[-1]) :]}" if tokens else text
