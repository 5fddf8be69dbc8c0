"""The integers by which tables and kernel understand each other."""

from __future__ import annotations

from enum import IntEnum


class Register(IntEnum):
    """How a register changes when its variable takes an event with input value x."""

    COUNT = 0  # events
    COUNT_VALID = 1  # events whose x is not NULL
    SUM = 2
    MIN = 3
    MAX = 4
    FIRST = 5
    LAST = 6
    MIN_TEXT = 7  # by rank
    MAX_TEXT = 8
    MEAN = 9  # Welford's running mean
    DEVIATION = 10  # Welford's sum of squared deviations


class Op(IntEnum):
    """Instructions `op to a b c` over slots; `_I` on the integer bank, `_F` on the float bank."""

    NULL = 0
    CONST_I = 1  # constant a
    CONST_F = 2
    INPUT_I = 3  # input a of the event under test
    INPUT_F = 4
    REGISTER_I = 5  # register a of the run
    REGISTER_F = 6
    TO_FLOAT = 7
    TO_INTEGER = 8
    ADD_I = 9
    SUBTRACT_I = 10
    MULTIPLY_I = 11
    MODULO_I = 12
    NEG_I = 13
    ABS_I = 14
    ADD_F = 15
    SUBTRACT_F = 16
    MULTIPLY_F = 17
    DIVIDE_F = 18
    MODULO_F = 19
    NEG_F = 20
    ABS_F = 21
    COMPARE_I = 22  # c: 0 =, 1 <>, 2 <, 3 <=, 4 >, 5 >=
    COMPARE_F = 23
    COMPARE_IF = 24  # integer a with float b, exactly
    RANK = 25  # code of a text -> its place in the order of all texts
    AND = 26
    OR = 27
    NOT = 28
    IS_NULL = 29
    COALESCE = 30
    CHOOSE = 31  # b where a is true, else c
    EXTREME_I = 32  # least (c = 0) or greatest (c = 1), NULLs left out
    EXTREME_F = 33
    SQRT = 34
    LN = 35
    LOG10 = 36
    EXP = 37
    POWER = 38
    FLOOR = 39
    CEIL = 40
    ROUND = 41
    TRUNCATE = 42
    DIVIDE_OR_NULL = 43  # a / b, NULL where b is 0
    SAMPLE_DEVIATION = 44  # from a sum of squared deviations a over b values


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
