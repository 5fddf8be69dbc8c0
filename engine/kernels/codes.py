"""The integers by which tables and kernel understand each other."""

from __future__ import annotations

from enum import IntEnum


class Register(IntEnum):
    """How a register changes when its variable takes an event with input value x."""

    COUNT = 0  # events
    COUNT_VALID = 1  # events whose x is not NULL
    SUM = 2  # of integers: modulo 2**64, with its CARRY in the register behind it
    MIN = 3
    MAX = 4
    FIRST = 5
    LAST = 6
    MIN_TEXT = 7  # by rank
    MAX_TEXT = 8
    MEAN = 9  # Welford's running mean
    DEVIATION = 10  # Welford's sum of squared deviations
    CARRY = 11  # how many times 2**64 the sum of integers before it has left out


class Op(IntEnum):
    """Instructions `op to a b c` over slots; `_I` on the integer bank, `_F` on the float bank."""

    NULL = 0
    CONST = 1  # constant a
    INPUT = 2  # input a of the event under test
    REGISTER = 3  # register a of the run
    TO_FLOAT = 4
    TO_INTEGER = 5
    ADD_I = 6
    SUBTRACT_I = 7
    MULTIPLY_I = 8
    MODULO_I = 9
    NEG_I = 10
    ABS_I = 11
    ADD_F = 12
    SUBTRACT_F = 13
    MULTIPLY_F = 14
    DIVIDE_F = 15
    MODULO_F = 16
    NEG_F = 17
    ABS_F = 18
    COMPARE_I = 19  # c: 0 =, 1 <>, 2 <, 3 <=, 4 >, 5 >=
    COMPARE_F = 20
    COMPARE_IF = 21  # integer a with float b, exactly
    RANK = 22  # code of a text -> its place in the order of all texts
    AND = 23
    OR = 24
    NOT = 25
    IS_NULL = 26
    COALESCE = 27
    CHOOSE = 28  # b where a is true, else c
    EXTREME_I = 29  # least (c = 0) or greatest (c = 1), NULLs left out
    EXTREME_F = 30
    SQRT = 31
    LN = 32
    LOG10 = 33
    EXP = 34
    POWER = 35
    FLOOR = 36
    CEIL = 37
    ROUND = 38
    TRUNCATE = 39
    DIVIDE_OR_NULL = 40  # a / b, NULL where b is 0
    SAMPLE_DEVIATION = 41  # from a sum of squared deviations a over b values
    WHOLE_SUM = 42  # the sum of integers that a and its carry b stand for
    REAL_SUM = 43  # the same as a float
    IN_CALENDAR = 44  # a time of the years 1 to 9999


class Fault(IntEnum):
    """Why the value of a program is missing."""

    NONE = 0
    OVERFLOW = 1
    DIVISION_BY_ZERO = 2
    DOMAIN = 3
    CAST = 4


FAULT_TEXT = {
    Fault.OVERFLOW: "integer overflow",
    Fault.DIVISION_BY_ZERO: "division by zero",
    Fault.DOMAIN: "argument outside the function's domain",
    Fault.CAST: "value does not fit an integer",
}
