"""Three-valued logic over columns, and the choice of a value per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import DataType
from cep.engine.algebra.functions import common_type
from cep.engine.batch import Bools
from cep.engine.columns.data import (
    NULL_COLUMN,
    NUMPY_TYPES,
    Column,
    broadcast,
    pc,
    plain_text,
    text_to_values,
)


def known_true(column: Column) -> Bools:
    values: Bools = column.values
    return values if column.valid is None else values & column.valid


def known_false(column: Column) -> Bools:
    values: Bools = ~column.values
    return values if column.valid is None else values & column.valid


def kleene_and(left: Column, right: Column) -> Column:
    """False where either is false, else NULL where either is NULL."""
    if left.valid is None and right.valid is None:
        return Column(DataType.BOOLEAN, left.values & right.values)
    true = known_true(left) & known_true(right)
    return Column(DataType.BOOLEAN, true, true | known_false(left) | known_false(right))


def kleene_or(left: Column, right: Column) -> Column:
    """True where either is true, else NULL where either is NULL."""
    if left.valid is None and right.valid is None:
        return Column(DataType.BOOLEAN, left.values | right.values)
    true = known_true(left) | known_true(right)
    return Column(DataType.BOOLEAN, true, true | (known_false(left) & known_false(right)))


def kleene_not(operand: Column) -> Column:
    return Column(DataType.BOOLEAN, np.asarray(~operand.values), operand.valid)


def is_null(operand: Column, negated: bool) -> Column:
    valid: Any = np.asarray(True) if operand.valid is None else operand.valid
    return Column(DataType.BOOLEAN, valid if negated else ~valid)


def is_one_of(operand: Column, items: Sequence[object]) -> Column | None:
    """`in` a list of constants of the operand's own type at one go; None where it is not that."""
    if operand.type is DataType.TEXT and all(isinstance(item, str) for item in items):
        wanted = pa.array(items, pa.string())
        return text_to_values(
            operand, DataType.BOOLEAN, lambda texts: pc.is_in(texts.cast(pa.string()), wanted)
        )
    whole = operand.type is DataType.INTEGER and all(type(item) is int for item in items)
    if whole and len(items) > LONG_LIST:
        found = np.isin(operand.values, np.asarray(items, np.int64))
        return Column(DataType.BOOLEAN, np.asarray(found), operand.valid)
    return None


LONG_LIST = 8  # from here on searching a sorted list is faster than so many comparisons


def choose(parts: Sequence[tuple[Bools, Column]], otherwise: Column, rows: int) -> Column:
    """For each row the value of the first part whose mask is set there, else of `otherwise`."""
    columns = [column for _, column in parts] + [otherwise]
    kind = common_type([column.type for column in columns])
    assert kind is not None
    if kind is DataType.NULL:
        return NULL_COLUMN
    masks = [np.broadcast_to(mask, rows) for mask, _ in parts]
    valid = np.select(masks, [_validity(c, rows) for c in columns[:-1]], _validity(otherwise, rows))
    none_null = None if valid.all() else valid
    if kind is DataType.TEXT:
        return Column(kind, _choose_text(masks, columns, valid, rows), none_null)
    values = [_as(kind, column) for column in columns]
    chosen = np.select(masks, values[:-1], values[-1]).astype(NUMPY_TYPES[kind], copy=False)
    return Column(kind, np.broadcast_to(chosen, rows), none_null)


def _validity(column: Column, rows: int) -> Bools:
    valid = np.asarray(True) if column.valid is None else column.valid
    return np.broadcast_to(valid, rows)


def _as(kind: DataType, column: Column) -> Any:
    """Values of the wanted type; any value for a column that is NULL throughout."""
    if column.type is DataType.NULL:
        return np.zeros((), NUMPY_TYPES[kind])
    return column.values.astype(NUMPY_TYPES[kind], copy=False)


def _choose_text(masks: list[Any], columns: list[Column], valid: Bools, rows: int) -> Any:
    nothing = pa.nulls(rows, pa.string())
    texts = [
        nothing
        if column.type is DataType.NULL
        else plain_text(broadcast(column, rows)).cast(pa.string())
        for column in columns
    ]
    chosen = texts[-1]
    for mask, text in zip(reversed(masks), reversed(texts[:-1]), strict=True):
        chosen = pc.if_else(pa.array(mask), text, chosen)
    return chosen
