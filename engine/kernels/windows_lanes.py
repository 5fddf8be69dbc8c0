"""One event into the lanes of an entry, and the lanes of an entry into those of another."""

from __future__ import annotations

import numpy as np

from cep.engine.kernels.jit import inlined
from cep.engine.kernels.windows_layout import (
    COUNT,
    FIRST_OF,
    LANE_FLOAT,
    LANE_INPUT,
    LANE_KIND,
    LANE_WORD,
    LAST_OF,
    MAX_F,
    MAX_I,
    MAX_TEXT,
    MIN_F,
    MIN_I,
    MIN_TEXT,
    MOMENTS,
    SUM_F,
    SUM_I,
    Arrivals,
    Floats,
    Int64s,
    Lanes,
)


@inlined
def two_sum(a: float, b: float) -> tuple[float, float]:
    """The rounded sum and its exact error (Knuth, TAOCP vol. 2, 4.2.2)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@inlined
def add_to_sum(table_f: Floats, row: int, at: int, high: float, low: float) -> None:
    """A double-double plus another (Dekker's sum, as in Hida, Li and Bailey's QD, "ieee add")."""
    total, error = two_sum(table_f[row, at], high)
    if total - total != 0.0:  # infinite or NaN: there is no error to speak of
        table_f[row, at] = total
        table_f[row, at + 1] = 0.0
        return
    tail, tail_error = two_sum(table_f[row, at + 1], low)
    error += tail
    rounded = total + error
    error = (error - (rounded - total)) + tail_error
    final = rounded + error
    table_f[row, at] = final
    table_f[row, at + 1] = error - (final - rounded)


@inlined
def square(value: float) -> tuple[float, float]:
    """The rounded square and its exact error (Dekker 1971, Veltkamp's splitting)."""
    scaled = 134217729.0 * value  # 2**27 + 1
    high = scaled - (scaled - value)
    low = value - high
    rounded = value * value
    return rounded, ((high * high - rounded) + 2.0 * high * low) + low * low


@inlined
def add_to_moments(table: Int64s, table_f: Floats, row: int, at: int, value: float) -> None:
    table[row, at] += 1
    add_to_sum(table_f, row, at + 1, value, 0.0)
    high, low = square(value)
    add_to_sum(table_f, row, at + 3, high, low)


@inlined
def is_before(time_us: int, sequence: int, other_us: int, other: int) -> bool:
    return time_us < other_us or (time_us == other_us and sequence < other)


@inlined
def offer(
    lanes: Lanes, table: Int64s, table_f: Floats, row: int, at: int, kind: int, value: int
) -> None:
    """Keep the lesser or the greater of a lane's value and another (raw words)."""
    if kind == MIN_I:
        table[row, at] = min(table[row, at], value)
    elif kind == MAX_I:
        table[row, at] = max(table[row, at], value)
    elif value >= 0:
        kept = table[row, at]
        if (
            kept < 0
            or (kind == MIN_TEXT and lanes.rank[value] < lanes.rank[kept])
            or (kind == MAX_TEXT and lanes.rank[value] > lanes.rank[kept])
        ):
            table[row, at] = value


@inlined
def offer_float(table_f: Floats, row: int, at: int, kind: int, value: float) -> None:
    kept = table_f[row, at]
    if kept != kept or (kind == MIN_F and value < kept) or (kind == MAX_F and value > kept):
        table_f[row, at] = value


@inlined
def add_event(
    lanes: Lanes, arrivals: Arrivals, event: int, table: Int64s, table_f: Floats, row: int, at: int
) -> None:
    """The event's inputs into the lanes that begin at word `at` of a row."""
    source = arrivals.rows[event]
    for lane in range(lanes.lanes.shape[0]):
        kind = lanes.lanes[lane, LANE_KIND]
        number = lanes.lanes[lane, LANE_INPUT]
        to = at + lanes.lanes[lane, LANE_WORD]
        valid = arrivals.valid[source, number]
        if kind in (FIRST_OF, LAST_OF):
            time_us = arrivals.time_us[source]
            sequence = arrivals.base[0] + source
            before = is_before(time_us, sequence, table[row, to], table[row, to + 1])
            if before == (kind == FIRST_OF):
                table[row, to] = time_us
                table[row, to + 1] = sequence
                table[row, to + 2] = 1 if valid else 0
                table[row, to + 3] = arrivals.inputs[source, number]
        elif not valid:
            continue
        elif kind == COUNT:
            table[row, to] += 1
        elif kind == SUM_I:
            value = arrivals.inputs[source, number]
            table[row, to] += value >> 32
            table[row, to + 1] += value & 0xFFFFFFFF
        elif kind == SUM_F:
            add_to_sum(table_f, row, to, arrivals.inputs_f[source, number], 0.0)
        elif kind == MOMENTS:
            real = arrivals.inputs_f[source, number]
            if lanes.lanes[lane, LANE_FLOAT] == 0:
                real = np.float64(arrivals.inputs[source, number])
            add_to_moments(table, table_f, row, to, real)
        elif kind in (MIN_F, MAX_F):
            offer_float(table_f, row, to, kind, arrivals.inputs_f[source, number])
        else:
            offer(lanes, table, table_f, row, to, kind, arrivals.inputs[source, number])


@inlined
def merge_lanes(
    lanes: Lanes,
    table: Int64s,
    table_f: Floats,
    row: int,
    at: int,
    other: Int64s,
    other_f: Floats,
    other_row: int,
    other_at: int,
) -> None:
    """The lanes at word `other_at` of a row of `other` into those at word `at` of a row."""
    for lane in range(lanes.lanes.shape[0]):
        kind = lanes.lanes[lane, LANE_KIND]
        to = at + lanes.lanes[lane, LANE_WORD]
        of = other_at + lanes.lanes[lane, LANE_WORD]
        if kind == COUNT:
            table[row, to] += other[other_row, of]
        elif kind == SUM_I:
            table[row, to] += other[other_row, of]
            table[row, to + 1] += other[other_row, of + 1]
        elif kind == SUM_F:
            add_to_sum(table_f, row, to, other_f[other_row, of], other_f[other_row, of + 1])
        elif kind == MOMENTS:
            table[row, to] += other[other_row, of]
            for i in range(1, 5, 2):
                high, low = other_f[other_row, of + i], other_f[other_row, of + i + 1]
                add_to_sum(table_f, row, to + i, high, low)
        elif kind in (FIRST_OF, LAST_OF):
            before = is_before(
                other[other_row, of], other[other_row, of + 1], table[row, to], table[row, to + 1]
            )
            if before == (kind == FIRST_OF):
                for i in range(4):
                    table[row, to + i] = other[other_row, of + i]
        elif kind in (MIN_F, MAX_F):
            value = other_f[other_row, of]
            if value == value:
                offer_float(table_f, row, to, kind, value)
        else:
            offer(lanes, table, table_f, row, to, kind, other[other_row, of])
