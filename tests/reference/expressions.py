"""The meaning of expressions, one row at a time, written plainly; the engine is tested against it.

Values are bool, int, float, str or None; timestamps and durations are int microseconds (datetime
and timedelta are accepted in events). An error (division by zero, overflow, a bad cast) gives None.
Expressions must be bound, because integers and durations look alike here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cep.engine.algebra.expression import (
    Between,
    Binary,
    Call,
    Captured,
    Case,
    Cast,
    DataType,
    Expression,
    Field,
    InList,
    IsNull,
    Like,
    Literal,
    Unary,
)
from cep.engine.algebra.timestamp import parse_timestamp

Value = bool | int | float | str | None
Event = Mapping[str, object]
EARLIEST_US, LATEST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def evaluate(
    expression: Expression,
    event: Event,
    captured: Mapping[str, Sequence[Event]] | None = None,
    taken: Sequence[Event] = (),
) -> Value:
    """The value of a bound expression for the event under test, or None for NULL and for errors.

    `captured`: variable -> the events it has taken so far, in order; `taken`: all of the run's.
    """
    captured = captured or {}

    def value(operand: Expression) -> Value:
        return evaluate(operand, event, captured, taken)

    match expression:
        case Literal(constant):
            return constant
        case Field(name):
            return plain(event.get(name))
        case Captured(function, variable, argument):
            events = taken if variable is None else captured.get(variable, ())
            values = [True if argument is None else evaluate(argument, e) for e in events]
            return aggregate(function, values, expression.type)
        case Unary("not", operand):
            return negated(truth(value(operand)))
        case Unary(_, operand):
            number = value(operand)
            return -number if isinstance(number, float) else arithmetic("-", 0, number, None)
        case Binary("and", left, right):
            return both(truth(value(left)), truth(value(right)))
        case Binary("or", left, right):
            return either(truth(value(left)), truth(value(right)))
        case Binary("||", left, right):
            return concatenated([value(left), value(right)])
        case Binary(operator, left, right) if operator in COMPARISONS:
            return compared(operator, value(left), value(right))
        case Binary(operator, left, right):
            return arithmetic(operator, value(left), value(right), expression.type)
        case IsNull(operand, is_negated):
            return (value(operand) is None) != is_negated
        case InList(operand, items, is_negated):
            found: bool | None = False
            for item in items:
                found = either(found, compared("=", value(operand), value(item)))
            return negated(found) if is_negated else found
        case Between(operand, low, high, is_negated):
            inside = both(
                compared(">=", value(operand), value(low)),
                compared("<=", value(operand), value(high)),
            )
            return negated(inside) if is_negated else inside
        case Like(operand, pattern, is_negated):
            text = value(operand)
            if text is None:
                return None
            assert isinstance(text, str)
            return like(text, pattern) != is_negated
        case Case(branches, otherwise):
            for condition, result in branches:
                if value(condition):
                    return as_type(value(result), expression.type)
            return None if otherwise is None else as_type(value(otherwise), expression.type)
        case Cast(operand, target):
            return cast(value(operand), operand.type, target)
        case Call("coalesce", arguments):
            for argument in arguments:
                if (first := value(argument)) is not None:
                    return as_type(first, expression.type)
            return None
        case Call("date_trunc", (Literal(unit), moment)):
            return truncated(str(unit), value(moment))
        case Call(function, arguments):
            return called(function, [value(a) for a in arguments], expression.type)
    raise AssertionError(expression)


def plain(value: object) -> Value:
    """A field's value as the expressions see it."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (aware - EPOCH) // timedelta(microseconds=1)
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    assert value is None or isinstance(value, (bool, int, float, str)), value
    return value


# ---------------------------------------------------------------- logic and comparison


def truth(value: Value) -> bool | None:
    assert value is None or isinstance(value, bool)
    return value


def negated(value: bool | None) -> bool | None:
    return None if value is None else not value


def both(left: bool | None, right: bool | None) -> bool | None:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def either(left: bool | None, right: bool | None) -> bool | None:
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


COMPARISONS: dict[str, Callable[..., bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def compared(operator: str, left: Value, right: Value) -> bool | None:
    """Python compares int with float exactly and NaN as IEEE says, which is what we want."""
    if left is None or right is None:
        return None
    return COMPARISONS[operator](left, right)


def like(text: str, pattern: str) -> bool:
    parts, characters = [], iter(pattern)
    for c in characters:
        if c == "\\":
            parts.append(re.escape(next(characters)))
        else:
            parts.append({"%": ".*", "_": "."}.get(c) or re.escape(c))
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


# ---------------------------------------------------------------- numbers


def fits(value: int) -> int | None:
    return value if -(2**63) <= value < 2**63 else None


def whole(value: float) -> int | None:
    """The nearest integer, ties to even; None where there is none in 64 bits."""
    return fits(round(value)) if math.isfinite(value) else None


def as_type(value: Value, target: DataType | None) -> Value:
    return float(value) if target is DataType.FLOAT and isinstance(value, int) else value


def arithmetic(operator: str, left: Value, right: Value, result: DataType | None) -> Value:
    if left is None or right is None:
        return None
    assert isinstance(left, (int, float))
    assert isinstance(right, (int, float))
    if operator in ("/", "%") and right == 0:
        return None
    if operator == "/":
        quotient = float(left) / float(right)
        return whole(quotient) if result is DataType.DURATION else quotient
    if operator == "%":
        return remainder(left, right)
    if isinstance(left, float) or isinstance(right, float):
        return floating(operator, float(left), float(right), result)
    found = fits({"+": left + right, "-": left - right, "*": left * right}[operator])
    return in_calendar(found) if result is DataType.TIMESTAMP else found


def in_calendar(us: int | None) -> int | None:
    """NULL outside the years 1 to 9999."""
    return us if us is not None and EARLIEST_US <= us <= LATEST_US else None


def remainder(left: int | float, right: int | float) -> Value:
    """The sign is that of the left side."""
    if isinstance(left, int) and isinstance(right, int):
        return abs(left) % abs(right) * (1 if left >= 0 else -1)
    if math.isinf(left):
        return math.nan
    return math.fmod(left, right)


def floating(operator: str, left: float, right: float, result: DataType | None) -> Value:
    value = {"+": left + right, "-": left - right, "*": left * right}[operator]
    return whole(value) if result is DataType.DURATION else value


def cast(value: Value, source: DataType | None, target: DataType) -> Value:
    if value is None or source is target:
        return value
    match target, value:
        case DataType.INTEGER, float():
            return fits(math.trunc(value)) if math.isfinite(value) else None
        case DataType.INTEGER, str():
            found = re.fullmatch(r"\s*([+-]?[0-9]+)\s*", value, re.ASCII)
            return fits(int(found[1])) if found else None
        case DataType.INTEGER, _:
            return int(value)
        case DataType.FLOAT, str():
            form = r"\s*[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|nan|inf|infinity)\s*"
            return float(value) if re.fullmatch(form, value, re.ASCII | re.I) else None
        case DataType.FLOAT, _:
            return float(value)
        case DataType.TEXT, bool():
            return "true" if value else "false"
        case DataType.TEXT, int() if source is DataType.TIMESTAMP:
            moment = EPOCH + timedelta(microseconds=value)
            return moment.replace(tzinfo=None).isoformat(" ", "microseconds")
        case DataType.TEXT, float():
            return repr(value).removesuffix(".0")
        case DataType.TEXT, _:
            return str(value)
        case DataType.BOOLEAN, str():
            return {"true": True, "false": False}.get(value.strip().lower())
        case DataType.TIMESTAMP, str():
            return parse_timestamp(value)
    raise AssertionError((value, source, target))


# ---------------------------------------------------------------- aggregates


def aggregate(function: str, values: Sequence[Value], result: DataType | None) -> Value:
    if function in ("first", "last"):
        return values[0 if function == "first" else -1] if values else None
    kept = [v for v in values if v is not None]
    if function == "count":
        return len(kept)
    if not kept:
        return None
    if function in ("min", "max"):
        # NaN is passed over unless there is nothing else.
        comparable: list[Any] = [v for v in kept if v == v] or kept
        extreme: Value = (min if function == "min" else max)(comparable)
        return extreme
    numbers = [v for v in kept if isinstance(v, (int, float))]
    total = added(numbers)
    if function == "sum":
        return fits(total) if isinstance(total, int) else total
    mean = float(total) / len(numbers)
    if function == "avg":
        return whole(mean) if result is DataType.DURATION else mean
    assert function == "stddev"
    if len(numbers) < 2:
        return None
    squares = added([(float(v) - mean) ** 2 for v in numbers])
    return math.sqrt(squares / (len(numbers) - 1))


def added(numbers: Sequence[int | float]) -> int | float:
    """Left to right, unlike the built-in sum of newer Pythons, which corrects rounding errors."""
    total = numbers[0]
    for number in numbers[1:]:
        total += number
    return total


# ---------------------------------------------------------------- functions


def concatenated(texts: Sequence[Value]) -> Value:
    return None if any(t is None for t in texts) else "".join(str(t) for t in texts)


def called(function: str, arguments: Sequence[Value], result: DataType | None) -> Value:
    if function in ("least", "greatest"):
        kept = [as_type(a, result) for a in arguments if a is not None]
        return aggregate("min" if function == "least" else "max", kept, result)
    if function == "nullif":
        return None if compared("=", *arguments) else arguments[0]
    if any(a is None for a in arguments):
        return None
    return FUNCTIONS[function](*arguments)


def in_domain(allowed: bool, function: Callable[..., float], *arguments: float) -> float | None:
    """NaN in, NaN out; a value outside of the domain is an error; what is too large is infinite."""
    if any(math.isnan(a) for a in arguments):
        return math.nan
    try:
        return function(*arguments) if allowed else None
    except OverflowError:
        return math.inf


def rounded(x: int | float, digits: int = 0) -> int | float:
    """Ties away from zero."""
    if isinstance(x, int) or not math.isfinite(x):
        return x
    scaled = abs(x) * 10.0**digits
    return math.copysign(math.floor(scaled + 0.5) / 10.0**digits, x)


def whole_part(x: int | float, function: Callable[[float], int]) -> int | float:
    return x if isinstance(x, int) or not math.isfinite(x) else float(function(x))


def sign(x: int | float) -> int | float:
    if isinstance(x, float) and math.isnan(x):
        return x
    return type(x)((x > 0) - (x < 0))


def power(x: float, y: float) -> float | None:
    if x == 0 and y < 0:
        return None
    if x < 0 and math.isfinite(x) and math.isfinite(y) and y != int(y):
        return None
    try:
        return math.pow(x, y)
    except OverflowError:
        return math.inf if x > 0 or y % 2 == 0 else -math.inf


def substr(text: str, start: int, length: int | None = None) -> str | None:
    """Characters start to start + length - 1 counted from 1, of those that exist."""
    if length is not None and length < 0:
        return None
    end = len(text) if length is None else max(start - 1 + length, 0)
    return text[max(start - 1, 0) : end]


def absolute(x: int | float) -> int | float | None:
    return fits(abs(x)) if isinstance(x, int) else abs(x)


def moment(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def truncated(unit: str, us: Value) -> Value:
    if us is None:
        return None
    assert isinstance(us, int)
    start = moment(us).replace(microsecond=us % 1_000_000)
    replaced = {"month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    if unit == "week":
        start, unit = start - timedelta(days=start.weekday()), "day"
    if unit == "quarter":
        start, unit = start.replace(day=1, month=(start.month - 1) // 3 * 3 + 1), "month"
    order = ["year", "month", "day", "hour", "minute", "second"]
    lost = list(replaced)[order.index(unit) :]
    return plain(start.replace(**{part: replaced[part] for part in lost}))  # type: ignore[arg-type]


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "abs": absolute,
    "round": rounded,
    "floor": lambda x: whole_part(x, math.floor),
    "ceil": lambda x: whole_part(x, math.ceil),
    "sqrt": lambda x: in_domain(x >= 0, math.sqrt, x),
    "ln": lambda x: in_domain(x > 0, math.log, x),
    "log10": lambda x: in_domain(x > 0, math.log10, x),
    "exp": lambda x: in_domain(True, math.exp, x),
    "power": power,
    "mod": lambda x, y: arithmetic("%", x, y, None),
    "sign": sign,
    "upper": lambda t: t.upper(),
    "lower": lambda t: t.lower(),
    "length": lambda t: len(t),
    "trim": lambda t: t.strip(),
    "ltrim": lambda t: t.lstrip(),
    "rtrim": lambda t: t.rstrip(),
    "substr": substr,
    "replace": lambda t, old, new: t.replace(old, new) if old else t,
    "concat": lambda *texts: "".join(texts),
    "contains": lambda t, part: part in t,
    "starts_with": lambda t, part: t.startswith(part),
    "ends_with": lambda t, part: t.endswith(part),
    "position": lambda t, part: t.find(part) + 1,
    "left": lambda t, n: t[:n],
    "right": lambda t, n: t[-n:] if n > 0 else t[-n:] if n < 0 else "",
    "regexp_like": lambda t, pattern: re.search(pattern, t) is not None,
    "to_int": lambda x: cast(x, None, DataType.INTEGER),
    "to_float": lambda x: cast(x, None, DataType.FLOAT),
    "year": lambda us: moment(us).year,
    "month": lambda us: moment(us).month,
    "day": lambda us: moment(us).day,
    "hour": lambda us: moment(us).hour,
    "minute": lambda us: moment(us).minute,
    "second": lambda us: moment(us).second,
    "day_of_week": lambda us: moment(us).isoweekday(),
    "epoch": lambda us: us / 1e6,
}
