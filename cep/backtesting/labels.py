"""Labels as they are given -> which events are labelled, in which case, and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from cep.backtesting.intervals import Floats
from cep.backtesting.spans import KeyIndex, Spans
from cep.engine.algebra.errors import DataError
from cep.engine.batch import Bools, Int64s
from cep.engine.columns.data import pc
from cep.engine.ingest.event_time import read_times
from cep.engine.io.source import did_you_mean
from cep.execution import table_of_data

BOUNDS = ("start", "end")


@dataclass(frozen=True)
class Labels:
    """What is true of the n events of the labelled stream, in c cases.

    `time_us`, `case`, shape (n,): event time, and the number of the case of a labelled event, -1 of
    all others. `begin_us`, shape (c,): the first labelled event of each case, or where a span has
    none its start. `cases`, c rows: what the cases are called; None where every labelled event is
    one by itself. `amount`, shape (n,): what an event is worth. `key`, shape (n,): the number of
    each event's key among the spans.
    """

    time_us: Int64s
    case: Int64s
    begin_us: Int64s
    cases: pa.Table | None = None
    amount: Floats | None = None
    spans: Spans | None = None
    key: Int64s | None = None

    @cached_property
    def extent_us(self) -> tuple[int, int]:
        """(first, last) time of the events; (0, -1) where there are none."""
        if not len(self.time_us):
            return 0, -1
        return int(self.time_us.min()), int(self.time_us.max())

    @cached_property
    def labelled(self) -> Int64s:
        """The rows of the labelled events."""
        return np.flatnonzero(self.case >= 0)

    @cached_property
    def case_sizes(self) -> Int64s:
        """(c,) the number of labelled events of each case."""
        return np.bincount(self.case[self.labelled], minlength=len(self.begin_us))

    @cached_property
    def case_amounts(self) -> Floats:
        """(c,) what the labelled events of each case are worth."""
        return self.amounts_from(np.full(len(self.begin_us), np.iinfo(np.int64).min))

    def amounts_from(self, first_us: Int64s) -> Floats:
        """(c,) what the labelled events of each case are worth that come at `first_us` or later."""
        rows = self.labelled
        worth = np.zeros(len(rows)) if self.amount is None else self.amount[rows]
        case = self.case[rows]
        late = np.where(self.time_us[rows] >= first_us[case], worth, 0.0)
        sums: Floats = np.bincount(case, late, minlength=len(self.begin_us)).astype(np.float64)
        return sums


@dataclass(frozen=True)
class LabelOptions:
    """What is labelled, as the caller said it: see `cep.backtest`."""

    labels: Any
    case: str | None = None
    amount: str | None = None

    @property
    def are_spans(self) -> bool:
        return not isinstance(self.labels, str)

    @cached_property
    def columns(self) -> frozenset[Any]:
        """The columns that the labelled stream must have."""
        if not self.are_spans:
            return frozenset({self.labels, self.case, self.amount} - {None})
        own = {*BOUNDS, self.case}
        return frozenset({*self._given.schema.names, self.amount} - own - {None})

    @cached_property
    def _given(self) -> pa.Table:
        try:
            return table_of_data(self.labels, "labels")
        except DataError as error:
            told = "give the name of a column of the labelled stream, or a table of spans"
            raise DataError(f"labels: {told}: {error}") from error

    def read(self, table: pa.Table, time_us: Int64s, unit: str) -> Labels:
        """Met with the labelled stream. `unit` is what bare numbers count as times of spans."""
        amount = None if self.amount is None else _amounts(table, self.amount)
        if not self.are_spans:
            return self._of_events(table, time_us, amount)
        spans, cases = _spans(self._given, table.schema, self.case, unit)
        key = spans.index.codes(table)
        case = spans.cases_at(key, time_us)
        begin = _first_times(case, time_us, _starts(spans, cases.num_rows))
        return Labels(time_us, case, begin, cases, amount, spans, key)

    def _of_events(self, table: pa.Table, time_us: Int64s, amount: Floats | None) -> Labels:
        is_labelled = flags_of(table, self.labels)
        rows = np.flatnonzero(is_labelled)
        case = np.full(len(time_us), -1)
        case[rows] = np.arange(len(rows))
        if self.case is None:
            return Labels(time_us, case, time_us[rows], None, amount)
        number, cases = _grouped(column_of(table, self.case, "case").take(pa.array(rows)))
        case[rows] = number
        begin = _first_times(case, time_us, np.full(len(cases), np.iinfo(np.int64).max))
        return Labels(time_us, case, begin, pa.table({self.case: cases}), amount)


def column_of(table: pa.Table, name: str, option: str) -> Any:
    """A column that an option names. Raises DataError where there is none."""
    if name not in table.schema.names:
        near = did_you_mean(name, table.schema.names) or ";"
        known = ", ".join(table.schema.names) or "no columns at all"
        raise DataError(f"{option}: no column {name!r}{near} the labelled data have: {known}")
    column: Any = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column


def flags_of(table: pa.Table, name: str) -> Bools:
    """(n,) whether each event is labelled; NULL is not. Raises DataError for other values."""
    column = column_of(table, name, "labels")
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        other = pc.unique(column.drop_null()).to_pylist()
        if strange := [value for value in other if value not in (0, 1)]:
            raise DataError(f"labels: column {name!r} has the value {strange[0]}, not only 0 and 1")
        column = pc.equal(column, 1)
    if not pa.types.is_boolean(column.type):
        message = f"labels: column {name!r} is {column.type}: labels are 0 and 1, or booleans"
        raise DataError(message)
    flags: Bools = column.fill_null(False).to_numpy()
    return flags


def _amounts(table: pa.Table, name: str) -> Floats:
    """(n,) what each event is worth; NULL and NaN are worth nothing."""
    column = column_of(table, name, "amount")
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    if not any(is_kind(column.type) for is_kind in kinds):
        raise DataError(f"amount: column {name!r} is {column.type}: amounts are numbers")
    values: Floats = column.cast(pa.float64()).to_numpy()
    return np.nan_to_num(values, nan=0.0)


def _grouped(values: Any) -> tuple[Int64s, Any]:
    """(the number of each value's group, the value of each group); NULLs are one by one."""
    coded = pc.dictionary_encode(values).combine_chunks()
    if isinstance(coded, pa.ChunkedArray):
        coded = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), pa.array([], values.type))
    number = coded.indices.fill_null(-1).to_numpy().astype(np.int64)
    alone = np.flatnonzero(number < 0)
    number[alone] = len(coded.dictionary) + np.arange(len(alone))
    return number, pa.concat_arrays([coded.dictionary, pa.nulls(len(alone), values.type)])


def _first_times(case: Int64s, time_us: Int64s, otherwise: Int64s) -> Int64s:
    """(c,) the time of the first event of each case; `otherwise`, shape (c,), where it has none."""
    first = np.full(len(otherwise), np.iinfo(np.int64).max)
    rows = np.flatnonzero(case >= 0)
    np.minimum.at(first, case[rows], time_us[rows])
    has_events = np.bincount(case[rows], minlength=len(otherwise)) > 0
    return np.where(has_events, first, otherwise)


def _starts(spans: Spans, cases: int) -> Int64s:
    starts = np.full(cases, np.iinfo(np.int64).max)
    np.minimum.at(starts, spans.case, spans.start_us)
    return starts


# ---- spans


def _spans(
    given: pa.Table, schema: pa.Schema, case: str | None, unit: str
) -> tuple[Spans, pa.Table]:
    """(the spans of a table, what their cases are called)."""
    for name in (*BOUNDS, *([case] if case is not None else [])):
        if name not in given.schema.names:
            raise DataError(_no_column(name, given.schema.names))
    fields = [name for name in given.schema.names if name not in (*BOUNDS, case)]
    _check_fields(fields, schema)
    index = KeyIndex.of(given, fields, schema)
    key = index.codes(given)
    if len(unknown := np.flatnonzero(key < 0)):
        raise DataError(f"labels: row {int(unknown[0])} has no key: {', '.join(fields)} is NULL")
    start, end = (_bound(given, name, unit) for name in BOUNDS)
    if case is None:
        return Spans.of(index, key, start, end, np.arange(len(key))), given
    number, cases = _grouped(given.column(case))
    return Spans.of(index, key, start, end, number), pa.table({case: cases})


def _no_column(name: str, known: Sequence[str]) -> str:
    near = did_you_mean(name, known) or ";"
    return (
        f"labels: the table has no column {name!r}{near} spans have the key fields, start and "
        f"end, it has: {', '.join(known) or 'no columns at all'}"
    )


def _check_fields(fields: Sequence[str], schema: pa.Schema) -> None:
    for name in fields:
        if name not in schema.names:
            near = did_you_mean(name, schema.names) or ";"
            raise DataError(
                f"labels: column {name!r} is neither start nor end, so it is a key field, but the "
                f"labelled stream has none{near} it has: {', '.join(schema.names)}"
            )


def _bound(given: pa.Table, name: str, unit: str) -> Int64s:
    times = read_times(given.column(name), name, unit)
    if times.bad:
        reason, rows = times.bad[0]
        raise DataError(f"labels: row {int(rows[0])}: {reason}")
    return times.time_us
