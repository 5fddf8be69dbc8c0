"""Which types go together, and the words in which messages say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cep.engine.algebra.expression import (
    DataType,
    Expression,
    Field,
    children,
)
from cep.engine.algebra.functions import (
    BOOLEAN,
    DURATION,
    FLOAT,
    INTEGER,
    NULL,
    NUMBERS,
    ORDERED,
    QUANTITIES,
    TEXT,
    TIMESTAMP,
)
from cep.engine.algebra.printer import print_expression

COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")
MAX_DEPTH = 150  # levels of an expression; evaluation recurses, and Python's stack is finite
INT64_MAX = 2**63 - 1

# ---------------------------------------------------------------- tables

LITERAL_TYPES = {
    bool: BOOLEAN,
    int: INTEGER,
    float: FLOAT,
    str: TEXT,
    type(None): NULL,
}

AGGREGATED: dict[str, tuple[DataType, ...]] = {
    "sum": QUANTITIES,
    "avg": QUANTITIES,
    "min": ORDERED,
    "max": ORDERED,
    "stddev": NUMBERS,
}


def _arithmetic_rules() -> Iterator[tuple[tuple[str, DataType, DataType], DataType]]:
    for left in NUMBERS:
        for right in NUMBERS:
            kind = INTEGER if left is right is INTEGER else FLOAT
            yield from ((((op, left, right), kind)) for op in "+-*%")
            yield ("/", left, right), FLOAT
        yield ("*", DURATION, left), DURATION
        yield ("*", left, DURATION), DURATION
        yield ("/", DURATION, left), DURATION
    yield from (((op, DURATION, DURATION), DURATION) for op in "+-%")
    yield ("/", DURATION, DURATION), FLOAT
    yield ("-", TIMESTAMP, TIMESTAMP), DURATION
    yield ("+", TIMESTAMP, DURATION), TIMESTAMP
    yield ("+", DURATION, TIMESTAMP), TIMESTAMP
    yield ("-", TIMESTAMP, DURATION), TIMESTAMP


ARITHMETIC = dict(_arithmetic_rules())

CASTS = frozenset(
    {
        (FLOAT, INTEGER),
        (TEXT, INTEGER),
        (BOOLEAN, INTEGER),
        (INTEGER, FLOAT),
        (TEXT, FLOAT),
        (BOOLEAN, TEXT),
        (INTEGER, TEXT),
        (FLOAT, TEXT),
        (TIMESTAMP, TEXT),
        (TEXT, BOOLEAN),
        (TEXT, TIMESTAMP),
    }
)

CAST_HINTS = {
    (TIMESTAMP, INTEGER): "epoch(...) gives seconds since 1970",
    (TIMESTAMP, FLOAT): "epoch(...) gives seconds since 1970",
    (DURATION, INTEGER): "divide it by a duration: ... / 1 second",
    (DURATION, FLOAT): "divide it by a duration: ... / 1 second",
    (INTEGER, DURATION): "multiply it by a duration: ... * 1 second",
    (FLOAT, DURATION): "multiply it by a duration: ... * 1 second",
}


def hint_for_types(types: tuple[DataType, DataType]) -> str | None:
    kinds = set(types)
    if DURATION in kinds and kinds & set(NUMBERS):
        return "give the number a unit: 30 seconds"
    if TEXT in kinds and kinds & set(NUMBERS):
        return "write cast(... as float), or quote the constant"
    if kinds == {TEXT}:
        return "join texts with ||"
    return None


# ---------------------------------------------------------------- words


WIDTH_SHOWN = 40


def describe(expression: Expression) -> str:
    """How a message names an expression: fields in quotes, the rest as it would be written."""
    if isinstance(expression, Field):
        return f"'{expression.name}'"
    text = print_expression(expression)
    return text if len(text) <= WIDTH_SHOWN else f"{text[: WIDTH_SHOWN - 3]}..."


def typed(expression: Expression) -> str:
    """The start of many messages: "'kind' is text"."""
    return f"{describe(expression)} is {a_kind(expression.type)}"


def a_kind(kind: DataType | None) -> str:
    """A type with its article."""
    return {BOOLEAN: "a boolean", INTEGER: "an int", TEXT: "text", NULL: "null"}.get(
        kind or NULL, f"a {kind}"
    )


def listed(kinds: Iterable[DataType]) -> str:
    *most, last = [str(kind) for kind in kinds]
    return f"{', '.join(most)} or {last}" if most else last


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def deeper_than(expression: Expression, limit: int) -> bool:
    level = [expression]
    for _ in range(limit):
        level = [child for node in level for child in children(node)]
        if not level:
            return False
    return True
