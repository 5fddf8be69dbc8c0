"""Columns of numbers and times -> their sums, products, comparisons, without losing a digit.

Integer overflow and division by zero are reported and give NULL. Floats follow IEEE, except that
dividing by zero is an error as in SQL.
"""

from __future__ import annotations

import operator as py
from collections.abc import Callable
from typing import Any

import numpy as np

from cep.engine.algebra.expression import DataType
from cep.engine.columns.data import (
    NULL_COLUMN,
    Array,
    Column,
    Report,
    both_valid,
    distinct_text,
    pc,
    plain_text,
    spread,
    without,
)
from cep.engine.ingest.event_time import EARLIEST_US, LATEST_US

INTEGER, FLOAT = DataType.INTEGER, DataType.FLOAT
TIMESTAMP, DURATION, TEXT = DataType.TIMESTAMP, DataType.DURATION, DataType.TEXT
BOOLEAN, NULL = DataType.BOOLEAN, DataType.NULL

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
EXACT_IN_FLOAT = 2**53  # every integer up to here is a float
OVERFLOW = "integer overflow"
OUT_OF_CALENDAR = "time outside the years 1 to 9999"
ZERO_DIVISION = "division by zero"

FLIPPED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
NUMPY_COMPARE: dict[str, Any] = {
    "=": np.equal,
    "<>": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
ARROW_COMPARE: dict[str, Any] = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
PYTHON_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": py.eq,
    "<>": py.ne,
    "<": py.lt,
    "<=": py.le,
    ">": py.gt,
    ">=": py.ge,
}


# ---------------------------------------------------------------- comparison


def compare(operator: str, left: Column, right: Column) -> Column:
    """Three-valued comparison; int with float exactly; with NaN only `<>` is true."""
    if NULL in (left.type, right.type):
        return NULL_COLUMN
    valid = both_valid(left, right)
    if left.type is TEXT:
        values = _compare_text(operator, left, right)
    elif left.type is INTEGER and right.type is FLOAT:
        values = _compare_exactly(operator, left.values, right.values)
    elif left.type is FLOAT and right.type is INTEGER:
        values = _compare_exactly(FLIPPED[operator], right.values, left.values)
    else:
        values = np.asarray(NUMPY_COMPARE[operator](left.values, right.values))
    return Column(BOOLEAN, values, valid)


def _compare_text(operator: str, left: Column, right: Column) -> Array:
    if right.is_constant:
        texts, index = distinct_text(left)
        return spread(_bools(ARROW_COMPARE[operator](texts, right.values)), index)
    if left.is_constant:
        return _compare_text(FLIPPED[operator], right, left)
    return _bools(ARROW_COMPARE[operator](plain_text(left), plain_text(right)))


def _bools(array: Any) -> Array:
    if array.null_count:
        array = pc.fill_null(array, False)
    values: Array = array.to_numpy(zero_copy_only=False)
    return values


def _compare_exactly(operator: str, whole: Array, real: Array) -> Array:
    """int64 against float64, as if both were real numbers."""
    if real.ndim == 0:
        return _compare_with_real(operator, whole, float(real))
    if _magnitude(whole) <= EXACT_IN_FLOAT:
        return np.asarray(NUMPY_COMPARE[operator](whole.astype(np.float64), real))
    if whole.ndim == 0 and int(float(whole)) == int(whole):
        return np.asarray(NUMPY_COMPARE[operator](np.float64(whole), real))
    floor = np.floor(real)
    inside = (floor >= -(2.0**63)) & (floor < 2.0**63)
    nearest = np.where(inside, floor, 0.0).astype(np.int64)
    order = np.where(whole < nearest, -1, np.where(whole > nearest, 1, 0))
    order = np.where((order == 0) & (real > floor), -1, order)
    order = np.where(inside, order, np.where(real > 0, -1, 1))
    found = NUMPY_COMPARE[operator](order, 0)
    return np.where(np.isnan(real), operator == "<>", found)


def _compare_with_real(operator: str, whole: Array, real: float) -> Array:
    """One pass over the integers: the constant is moved to the integer that decides the same."""
    if real != real or not INT64_MIN <= real <= INT64_MAX:  # NaN, or beyond every integer
        answer = PYTHON_COMPARE[operator](0, real)
        return np.full(whole.shape, answer)
    floor = int(np.floor(real))
    if floor == real:
        return np.asarray(NUMPY_COMPARE[operator](whole, _int64(floor)))
    if operator in ("=", "<>"):
        return np.full(whole.shape, operator == "<>")
    # Between two integers: below it means at most the floor, above it more than the floor.
    compared = np.less_equal if operator in ("<", "<=") else np.greater
    return np.asarray(compared(whole, _int64(floor)))


def _int64(value: int) -> Array:
    return np.asarray(value, np.int64)


def _magnitude(values: Array) -> int:
    """The largest absolute value, as a Python integer; 0 for none."""
    if values.size == 0:
        return 0
    return max(-int(values.min()), int(values.max()))


# ---------------------------------------------------------------- arithmetic


def arithmetic(operator: str, left: Column, right: Column, report: Report) -> Column:
    """`+ - * / %` on any two types that binding lets through."""
    if NULL in (left.type, right.type):
        return NULL_COLUMN
    if operator == "/":
        return _divide(left, right, report)
    if operator == "%":
        return _remainder(left, right, report)
    kind = _type_of(operator, left.type, right.type)
    valid = both_valid(left, right)
    if FLOAT not in (left.type, right.type):
        values, bad = _whole(operator, left.values, right.values)
        if bad is not None:
            valid = without(valid, bad, OVERFLOW, report)
        result = Column(kind, values, valid)
        return in_calendar(result, report) if kind is TIMESTAMP else result
    values = np.asarray(_UFUNCS[operator](as_float(left), as_float(right)))
    return as_duration(values, valid, report) if kind is DURATION else Column(kind, values, valid)


_UFUNCS: dict[str, Any] = {"+": np.add, "-": np.subtract, "*": np.multiply}
_PYTHON: dict[str, Callable[[int, int], int]] = {"+": py.add, "-": py.sub, "*": py.mul}


def _type_of(operator: str, left: DataType, right: DataType) -> DataType:
    if TIMESTAMP in (left, right):
        return DURATION if left is right else TIMESTAMP
    if DURATION in (left, right):
        return DURATION
    return FLOAT if FLOAT in (left, right) else INTEGER


def _whole(operator: str, left: Array, right: Array) -> tuple[Array, Any]:
    """The result modulo 2**64 and where it overflowed; None where it cannot have."""
    values = np.asarray(_UFUNCS[operator](left, right))
    if _cannot_overflow(operator, left, right):
        return values, None
    if operator == "+":
        return values, ((left ^ values) & (right ^ values)) < 0
    if operator == "-":
        return values, ((left ^ right) & (left ^ values)) < 0
    return values, _product_overflowed(left, right, values)


def _cannot_overflow(operator: str, left: Array, right: Array) -> bool:
    if left.size == 0 or right.size == 0:
        return True
    ends = [
        _PYTHON[operator](a, b)
        for a in (int(left.min()), int(left.max()))
        for b in (int(right.min()), int(right.max()))
    ]
    return min(ends) >= INT64_MIN and max(ends) <= INT64_MAX


def _product_overflowed(left: Array, right: Array, product: Array) -> Any:
    least = (left == INT64_MIN) & (right == -1) | (right == INT64_MIN) & (left == -1)
    safe = np.where((left == 0) | least, 1, left)
    return least | ((left != 0) & (product // safe != right))


def _divide(left: Column, right: Column, report: Report) -> Column:
    valid = without(both_valid(left, right), right.values == 0, ZERO_DIVISION, report)
    values = np.asarray(np.divide(as_float(left), as_float(right)))
    if left.type is DURATION and right.type is not DURATION:
        return as_duration(values, valid, report)
    return Column(FLOAT, values, valid)


def _remainder(left: Column, right: Column, report: Report) -> Column:
    """The sign is that of the left side, as in SQL and C."""
    zero = np.asarray(right.values == 0)
    valid = without(both_valid(left, right), zero, ZERO_DIVISION, report)
    if FLOAT in (left.type, right.type):
        return Column(FLOAT, np.asarray(np.fmod(as_float(left), as_float(right))), valid)
    # x % -1 is 0 for every x; the processor would trap on the least integer.
    divisor = np.where(zero | (right.values == -1), 1, right.values)
    return Column(left.type, np.asarray(np.fmod(left.values, divisor)), valid)


def negate(operand: Column, report: Report) -> Column:
    if operand.type in (FLOAT, NULL):
        values = operand.values if operand.type is NULL else np.negative(operand.values)
        return Column(operand.type, np.asarray(values), operand.valid)
    bad = np.asarray(operand.values == INT64_MIN)
    valid = without(operand.valid, bad, OVERFLOW, report)
    return Column(operand.type, np.asarray(np.negative(operand.values)), valid)


def absolute(operand: Column, report: Report) -> Column:
    valid = operand.valid
    if operand.type is not FLOAT:
        valid = without(valid, np.asarray(operand.values == INT64_MIN), OVERFLOW, report)
    return Column(operand.type, np.asarray(np.abs(operand.values)), valid)


def in_calendar(times: Column, report: Report) -> Column:
    """NULL for times outside the years 1 to 9999, where calendars and Python's datetime end."""
    values = times.values
    if values.size == 0 or (values.min() >= EARLIEST_US and values.max() <= LATEST_US):
        return times
    bad = np.asarray((values < EARLIEST_US) | (values > LATEST_US))
    return Column(TIMESTAMP, values, without(times.valid, bad, OUT_OF_CALENDAR, report))


def as_float(column: Column) -> Array:
    values: Array = column.values.astype(np.float64, copy=False)
    return values


def as_duration(values: Array, valid: Any, report: Report) -> Column:
    """Microseconds as floats -> the nearest whole ones, ties to even."""
    whole, bad = to_int64(np.rint(values))
    return Column(DURATION, whole, without(valid, bad, OVERFLOW, report))


def to_int64(values: Array) -> tuple[Array, Any]:
    """Whole floats as integers, and where they are NaN or do not fit (the integer is 0 there)."""
    bad = np.asarray(~((values >= -(2.0**63)) & (values < 2.0**63)))
    return np.asarray(np.where(bad, 0.0, values)).astype(np.int64), bad
