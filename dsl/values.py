"""Tokens -> names, numbers, texts, durations and times; what is wrong with them as problems."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from lark import Token, Tree

from cep.dsl.lexer import span_of
from cep.engine.algebra.errors import Problem, Span
from cep.engine.algebra.expression import DataType
from cep.engine.algebra.functions import closest

Branch = Tree[Token]

INT64_MAX = 2**63 - 1

UNITS_US = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
    "week": 604_800_000_000,
}
SHORT_UNITS = {"us": "microsecond", "ms": "millisecond", "s": "second", "sec": "second"}
SHORT_UNITS |= {"secs": "second", "min": "minute", "mins": "minute", "m": "minute"}
SHORT_UNITS |= {"h": "hour", "hr": "hour", "hrs": "hour", "d": "day"}

TYPES = {
    "text": DataType.TEXT,
    "string": DataType.TEXT,
    "varchar": DataType.TEXT,
    "int": DataType.INTEGER,
    "integer": DataType.INTEGER,
    "bigint": DataType.INTEGER,
    "float": DataType.FLOAT,
    "double": DataType.FLOAT,
    "real": DataType.FLOAT,
    "boolean": DataType.BOOLEAN,
    "bool": DataType.BOOLEAN,
    "timestamp": DataType.TIMESTAMP,
    "duration": DataType.DURATION,
}

TIME_UNITS = {"seconds": "s", "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}


def name_of(token: Token) -> str:
    """The name that a NAME or a QUOTED token stands for."""
    return token[1:-1].replace('""', '"') if token.type == "QUOTED" else str(token)


def text_of(token: Token, problems: list[Problem], *, escapes: bool = False) -> str:
    """The text of a STRING token; `escapes`: it was written e'...'."""
    text = token[1:-1].replace("''", "'")
    if not escapes:
        return text

    def unescape(found: re.Match[str]) -> str:
        code = found.group(1)
        if len(code) > 1:
            return chr(int(code[1:], 16))
        if code in ESCAPES:
            return ESCAPES[code]
        hint = r"known are \n \t \r \\ and \uXXXX"
        problems.append(Problem(f"unknown escape '\\{code}'", span_of(token), hint))
        return ""

    return re.sub(r"\\(u[0-9a-fA-F]{4}|.|$)", unescape, text)


ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


def integer_of(token: Token, problems: list[Problem], *, negative: bool = False) -> int:
    """The exact 64-bit integer of an INT token."""
    digits = token.lstrip("0") or "0"
    value = int(digits) if len(digits) <= 19 else INT64_MAX + 2
    if value > INT64_MAX + negative:
        message = f"the number {shorten(token)} does not fit in 64 bits"
        problems.append(Problem(message, span_of(token), "write it as a float: add .0"))
        return 1
    return -value if negative else value


def float_of(token: Token, problems: list[Problem]) -> float:
    value = float(token)
    if value == float("inf"):
        message = f"the number {shorten(token)} is too large for a float"
        problems.append(Problem(message, span_of(token)))
    return value


def shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def duration_us(tree: Branch, problems: list[Problem]) -> int:
    """The microseconds of a `duration` tree such as `1 hour 30 minutes`."""
    tokens = [child for child in tree.children if isinstance(child, Token)]
    total = Fraction(0)
    for number, unit in zip(tokens[::2], tokens[1::2], strict=True):
        size = _unit_us(unit, problems)
        if len(number) > 30:
            message = f"the number {shorten(number)} is too long for a duration"
            problems.append(Problem(message, span_of(number)))
            return 1
        total += Fraction(number) * size
    if total > INT64_MAX:
        problems.append(Problem("this duration is longer than 292,000 years", span_at(tree)))
        return 1
    if total.denominator != 1:
        message = "this duration is no whole number of microseconds"
        problems.append(Problem(message, span_at(tree)))
    return int(total)


def _unit_us(token: Token, problems: list[Problem]) -> int:
    word = name_of(token).lower()
    unit = SHORT_UNITS.get(word, word.removesuffix("s"))
    if unit in UNITS_US:
        return UNITS_US[unit]
    units = [f"{name}s" for name in UNITS_US]
    hint = closest(word, [*units, *UNITS_US]) or (
        f"units are ms, {', '.join(units[2:-1])} and weeks; if no duration is meant, "
        "an operator or ',' is missing before this name"
    )
    problems.append(Problem(f"unknown unit of time {name_of(token)!r}", span_of(token), hint))
    return 1


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp_us(token: Token, problems: list[Problem]) -> int:
    """The microseconds since 1970 of a STRING token with an ISO 8601 time; UTC without a zone."""
    text = text_of(token, problems)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        hint = "write it as timestamp '2024-01-31 23:59:59', with a zone such as +01:00 if not UTC"
        problems.append(Problem(f"{text!r} is not a time", span_of(token), hint))
        return 0
    return moment_us(moment)


def moment_us(moment: datetime) -> int:
    """The microseconds since 1970; UTC without a zone."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // timedelta(microseconds=1)


def type_of(token: Token, problems: list[Problem]) -> DataType:
    word = name_of(token).lower()
    if word in TYPES:
        return TYPES[word]
    hint = closest(word, list(TYPES)) or "types are text, int, float, boolean, timestamp, duration"
    problems.append(Problem(f"unknown type {name_of(token)!r}", span_of(token), hint))
    return DataType.NULL  # fits anywhere


def span_at(tree: Branch) -> Span:
    meta = tree.meta
    return Span(meta.line, meta.column, meta.end_line, meta.end_column)
