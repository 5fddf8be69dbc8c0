"""What a rule text declares, for those who write on: streams, their fields, parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lark import Token

from cep.dsl import read_rules
from cep.dsl.lexer import statements
from cep.dsl.values import name_of
from cep.engine.algebra.errors import RuleError
from cep.engine.algebra.pattern import Stream
from cep.engine.algebra.plan import EVENT_TIME, RuleSet, Table
from cep.engine.algebra.printer import NO_VARIABLES
from cep.engine.dataflow.build import base_streams, build_dataflow

NAMES = ("WORD", "QUOTED")
AFTER_MATCH = ("define", "select", "unless", "after", "on")


@dataclass(frozen=True, slots=True)
class Known:
    """`fields`: of each stream and table, those that are declared or computed."""

    fields: Mapping[str, tuple[str, ...]]
    tables: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()


def known_of(text: str) -> Known:
    """What the statements say that can be read; of wrong ones only what they declare."""
    try:
        reading = read_rules(text)
    except RuleError:  # too long
        return Known({})
    rules = reading.rules
    declared: list[Stream | Table] = [*rules.streams, *rules.tables]
    fields = {one.name: tuple(field.name for field in one.fields) for one in declared}
    if not reading.has_errors:
        fields |= _computed(rules)
    for feature in rules.features:
        fields[feature.stream] = (*fields.get(feature.stream, ()), feature.name)
    return Known(
        {name: tuple(dict.fromkeys(of)) for name, of in fields.items()},
        tuple(table.name for table in rules.tables),
        tuple(each.name for each in reading.parameters),
    )


def _computed(rules: RuleSet) -> dict[str, tuple[str, ...]]:
    """What patterns, aggregates and joins make."""
    flow, _ = build_dataflow(rules, base_streams(rules))
    made = {node.name: [f.name for f in node.stream.fields] for node in flow.nodes}
    return {name: tuple(f for f in of if f != EVENT_TIME) for name, of in made.items()}


class Sketch:
    """The tokens of a statement that is being written: what can be told of it without parsing."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = list(tokens)
        self._lower = [str(token).lower() for token in tokens]

    def streams(self) -> list[str]:
        """What it reads, or what it declares."""
        kind = self._lower[0] if self._lower else ""
        if kind in ("stream", "table"):
            return self._names_from(1)[:1]
        words = ("from", "on") if kind == "feature" else ("from",)
        places = [place for place, word in enumerate(self._lower) if word in words]
        return [name for place in places for name in self._names_from(place + 1)]

    def _names_from(self, place: int) -> list[str]:
        """Names with commas between them."""
        found = []
        for token in self._tokens[place::2]:
            if token.type not in NAMES:
                break
            found.append(name_of(token))
            place += 2
            if self._lower[place - 1 : place] != [","]:
                break
        return found

    def columns(self) -> list[str]:
        """The names of the fields that it declares."""
        pairs = zip(self._lower, self._tokens[1:], strict=False)
        return [name_of(token) for before, token in pairs if before in ("(", ",") and _names(token)]

    def variables(self) -> list[str]:
        """The names in its `match`."""
        return list(dict.fromkeys(self._in_match()))

    def _in_match(self) -> Iterator[str]:
        if "match" not in self._lower:
            return
        begin = self._lower.index("match") + 1
        for place in range(begin, len(self._tokens)):
            token, word = self._tokens[place], self._lower[place]
            if word in AFTER_MATCH:
                return
            is_unit = self._tokens[place - 1].type in ("INT", "FLOAT")
            if _names(token) and word not in NO_VARIABLES and not is_unit:
                yield name_of(token)

    def stream_of(self, variable: str) -> str | None:
        """S where it says `define variable as S where ...`."""
        for place, token in enumerate(self._tokens[:-3]):
            following = self._lower[place + 1 : place + 4 : 2]
            if _names(token) and name_of(token) == variable and following == ["as", "where"]:
                return name_of(self._tokens[place + 2])
        return None


def _names(token: Token) -> bool:
    return token.type in NAMES


def tokens_at(text: str, place: int) -> list[Token]:
    """Those of the statement that a place lies in, or that ends there."""
    found: list[Token] = []
    for statement in statements(text, []):
        if start_of(statement.tokens[0]) > place:
            break
        is_over = statement.end == ";" and start_of(statement.end) < place
        found = [] if is_over else statement.tokens
    return found


def start_of(token: Token) -> int:
    assert token.start_pos is not None  # as with all of ours
    return token.start_pos
