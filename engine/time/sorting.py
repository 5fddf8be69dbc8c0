"""Event times -> the order of their rows, ties in the order of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.batch import Int64s
from cep.engine.columns.data import pc
from cep.engine.kernels import event_time as kernels

ROWS_MIN = 2_048  # fewer are sorted by comparing, as are times that differ in more bits
BITS_MAX = 44
DIGIT_BITS = 11


def is_ascending(values: Int64s) -> bool:
    return len(values) < 2 or bool((values[1:] >= values[:-1]).all())


def sorted_rows(time_us: Int64s, rows: Int64s) -> Int64s:
    """`rows` (ascending) in the order of their times; O(n) for times within 200 days."""
    if len(rows) < ROWS_MIN:
        return rows[np.argsort(time_us[rows], kind="stable")]
    low, high = int(time_us.min()), int(time_us.max())
    bits = (high - low).bit_length()
    if bits > BITS_MAX:
        return rows[np.argsort(time_us[rows], kind="stable")]
    time_us = np.ascontiguousarray(time_us)
    counts = np.empty(1 << DIGIT_BITS, np.int64)
    before, after = rows, np.empty_like(rows)
    for shift in range(0, bits, DIGIT_BITS):
        kernels.sort_digit(time_us, low, shift, before, after, counts)
        before, after = after, (np.empty_like(rows) if before is rows else before)
    return before


def break_ties(time_us: Int64s, column: Any, rows: Int64s) -> Int64s:
    """`rows` (of one stream, ascending in time) with those of equal time ordered by their values.

    `column`: the tie-breaker, an Arrow column as long as `time_us`. NULL comes last, equal values
    keep their order. O(n), and O(t log t) for the t rows that share their time with another.
    """
    times = time_us[rows]
    same = times[1:] == times[:-1]
    if not same.any():
        return rows
    is_tied = np.zeros(len(rows), np.bool_)
    is_tied[1:] |= same
    is_tied[:-1] |= same
    tied = np.flatnonzero(is_tied)
    order = np.lexsort((_ranks(column, rows[tied]), times[tied]))
    ordered: Int64s = rows.copy()
    ordered[tied] = rows[tied[order]]
    return ordered


def _ranks(column: Any, rows: Int64s) -> Int64s:
    """The place of these rows' values among the distinct ones; NULL behind them all."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    values = column.take(pa.array(rows))
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    if pa.types.is_null(values.type):
        return np.zeros(len(rows), np.int64)
    coded = values.dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    order = pc.array_sort_indices(coded.dictionary).to_numpy()
    ranks = np.empty(len(order) + 1, np.int64)
    ranks[order] = np.arange(len(order))
    ranks[-1] = len(order)
    places: Int64s = pc.fill_null(coded.indices, len(order)).to_numpy(zero_copy_only=False)
    return ranks[places]
