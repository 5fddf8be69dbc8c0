"""The scalar functions of the language: their names, argument types and result types.

The registry says what may be written; `engine.columns.functions` says how it is computed, over
columns. The two are kept in step by a test. A function gives NULL when an argument is NULL, except
coalesce, nullif, least and greatest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from cep.engine.algebra.expression import DataType, Expression, Literal

BOOLEAN = DataType.BOOLEAN
INTEGER = DataType.INTEGER
FLOAT = DataType.FLOAT
TEXT = DataType.TEXT
TIMESTAMP = DataType.TIMESTAMP
DURATION = DataType.DURATION
NULL = DataType.NULL

NUMBERS = (INTEGER, FLOAT)
QUANTITIES = (INTEGER, FLOAT, DURATION)
ORDERED = (INTEGER, FLOAT, DURATION, TIMESTAMP, TEXT)
ANY = (BOOLEAN, *ORDERED)

TRUNC_UNITS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")


@dataclass(frozen=True, slots=True)
class Function:
    """What a call may look like.

    `parameters` lists the types allowed at each place; the last `optional` of them may be left out,
    and with `repeats` the last one may be given any number of times. `result` None means the common
    type of all arguments. `constants` are the places that must hold a literal.
    """

    name: str
    parameters: tuple[tuple[DataType, ...], ...]
    result: DataType | None
    form: str
    optional: int = 0
    repeats: bool = False
    constants: tuple[int, ...] = ()

    def takes(self, number: int) -> bool:
        """Whether a call may have this many arguments."""
        most = len(self.parameters)
        return most - self.optional <= number and (self.repeats or number <= most)

    def allowed(self, place: int) -> tuple[DataType, ...]:
        return self.parameters[min(place, len(self.parameters) - 1)]


def _registry(*functions: Function) -> dict[str, Function]:
    return {function.name: function for function in functions}


def _numeric(name: str) -> Function:
    return Function(name, (NUMBERS,), FLOAT, f"{name}(number)")


def _same(name: str, allowed: tuple[DataType, ...], form: str) -> Function:
    return Function(name, (allowed,), None, form)


def _text(name: str, result: DataType, form: str, *more: tuple[DataType, ...]) -> Function:
    return Function(name, ((TEXT,), *more), result, form)


def _part(name: str) -> Function:
    return Function(name, ((TIMESTAMP,),), INTEGER, f"{name}(timestamp)")


FUNCTIONS = _registry(
    _same("abs", QUANTITIES, "abs(number)"),
    Function("round", (NUMBERS, (INTEGER,)), None, "round(number[, digits])", optional=1),
    _same("floor", NUMBERS, "floor(number)"),
    _same("ceil", NUMBERS, "ceil(number)"),
    _same("sign", NUMBERS, "sign(number)"),
    *map(_numeric, ("sqrt", "ln", "log10", "exp")),
    Function("power", (NUMBERS, NUMBERS), FLOAT, "power(number, number)"),
    Function("mod", (QUANTITIES, QUANTITIES), None, "mod(number, number)"),
    Function("least", (ORDERED, ORDERED), None, "least(value, value, ...)", repeats=True),
    Function("greatest", (ORDERED, ORDERED), None, "greatest(value, value, ...)", repeats=True),
    Function("coalesce", (ANY, ANY), None, "coalesce(value, value, ...)", repeats=True),
    Function("nullif", (ANY, ANY), None, "nullif(value, value)"),
    _text("upper", TEXT, "upper(text)"),
    _text("lower", TEXT, "lower(text)"),
    _text("length", INTEGER, "length(text)"),
    _text("trim", TEXT, "trim(text)"),
    _text("ltrim", TEXT, "ltrim(text)"),
    _text("rtrim", TEXT, "rtrim(text)"),
    Function(
        "substr",
        ((TEXT,), (INTEGER,), (INTEGER,)),
        TEXT,
        "substr(text, from[, length])",
        optional=1,
    ),
    _text("replace", TEXT, "replace(text, old, new)", (TEXT,), (TEXT,)),
    Function("concat", ((TEXT,),), TEXT, "concat(text, ...)", repeats=True),
    _text("contains", BOOLEAN, "contains(text, part)", (TEXT,)),
    _text("starts_with", BOOLEAN, "starts_with(text, part)", (TEXT,)),
    _text("ends_with", BOOLEAN, "ends_with(text, part)", (TEXT,)),
    _text("position", INTEGER, "position(text, part)", (TEXT,)),
    _text("left", TEXT, "left(text, length)", (INTEGER,)),
    _text("right", TEXT, "right(text, length)", (INTEGER,)),
    Function(
        "regexp_like",
        ((TEXT,), (TEXT,)),
        BOOLEAN,
        "regexp_like(text, 'regular expression')",
        constants=(1,),
    ),
    Function("to_int", ((BOOLEAN, INTEGER, FLOAT, TEXT),), INTEGER, "to_int(value)"),
    Function("to_float", ((INTEGER, FLOAT, TEXT),), FLOAT, "to_float(value)"),
    *map(_part, ("year", "month", "day", "hour", "minute", "second", "day_of_week")),
    Function(
        "date_trunc",
        ((TEXT,), (TIMESTAMP,)),
        TIMESTAMP,
        "date_trunc('hour', timestamp)",
        constants=(0,),
    ),
    Function("epoch", ((TIMESTAMP, DURATION),), FLOAT, "epoch(timestamp)"),
)


def common_type(types: Sequence[DataType]) -> DataType | None:
    """The type that all of them can become: NULL fits anything, int becomes float; else None.

    >>> common_type([DataType.INTEGER, DataType.NULL, DataType.FLOAT])
    <DataType.FLOAT: 'float'>
    """
    kinds = {kind for kind in types if kind is not NULL}
    if kinds == {INTEGER, FLOAT}:
        return FLOAT
    if len(kinds) > 1:
        return None
    return kinds.pop() if kinds else NULL


def result_type(function: Function, types: Sequence[DataType]) -> DataType | None:
    """The type of a call; None where its arguments have no common type."""
    if function.result is not None:
        return function.result
    if function.name == "round":
        return types[0] if len(types) == 1 else FLOAT
    if function.name == "nullif":
        return types[0]
    return common_type(types)


def problem_with_constant(function: str, argument: Expression) -> str | None:
    """What is wrong with an argument that must be a constant, in words; None when it is right."""
    if not isinstance(argument, Literal) or not isinstance(argument.value, str):
        return "must be a text constant"
    if function == "date_trunc" and argument.value not in TRUNC_UNITS:
        return f"'{argument.value}' is not one of {', '.join(TRUNC_UNITS)}"
    if function == "regexp_like":
        return _problem_with_regexp(argument.value)
    return None


def _problem_with_regexp(pattern: str) -> str | None:
    # RE2 is what will run it, so RE2 must judge it; it is only loaded by those who need it.
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        return f"'{pattern}' is not a regular expression: {error}"
    return None


def closest(name: str, known: Sequence[str]) -> str | None:
    """A hint that names the nearest known name, or None where none is near."""
    near = get_close_matches(name.lower(), [k.lower() for k in known], n=1)
    found = [k for k in known if near and k.lower() == near[0]]
    return f"did you mean '{found[0]}'?" if found else None
