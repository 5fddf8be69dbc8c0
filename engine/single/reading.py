"""One event as a program has it (a dict, an object) -> its fields as Arrow would hold them.

Only values that need no second look are read here: of the very type that the column has, or of one
that becomes it exactly. For any other value the event is `NotPlainError`, and goes the way of
batches, which knows every conversion and every complaint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa

from cep.engine.algebra.expression import DataType
from cep.engine.columns.data import ARROW_TYPES
from cep.engine.ingest.event_time import EARLIEST_US, LATEST_US
from cep.engine.ingest.feed import StreamPlan
from cep.engine.ingest.inlet import Inlet
from cep.engine.io.dicts import note_ignored
from cep.engine.io.objects import as_dict

Values = list[Any]  # a value for each column: None, or bool, int, float, str; times as microseconds
US_PER_UNIT = {"s": 1_000_000, "ms": 1_000, "us": 1}
_EPOCH, _EPOCH_UTC = datetime(1970, 1, 1), datetime(1970, 1, 1, tzinfo=UTC)  # noqa: DTZ001
_EXACT_FLOAT = 1 << 53


class NotPlainError(Exception):
    """The event needs the way of batches."""


@dataclass(frozen=True, slots=True)
class PlainEvent:
    """`time_us`: when it happened; None: the clock says."""

    values: Values
    time_us: int | None


class EventReader:
    """Reads the events of one stream.

    `is_possible` False: the stream has columns that a value of Python alone cannot fill.
    """

    def __init__(self, inlet: Inlet) -> None:
        plan = inlet.plan
        self._inlet = inlet
        self._names: list[str] = list(plan.schema.names)
        self._known = frozenset(self._names)
        self._converters = [_converter(plan, column) for column in plan.schema]
        time = plan.stream.time
        self._time_at = -1 if time is None else self._names.index(time)
        self._us_per = 1
        if time is not None and plan.schema.field(time).type == pa.int64():
            self._us_per = US_PER_UNIT.get(plan.stream.time_unit, 0)
        self._may_ignore = inlet.is_declared
        self.is_possible = None not in self._converters and self._us_per > 0

    def read(self, event: Any) -> PlainEvent:
        """The event. Raises NotPlainError."""
        row = event if type(event) is dict else as_dict(event)
        if not isinstance(row, Mapping):
            raise NotPlainError
        get = row.get
        values = [get(name) for name in self._names]
        if row.keys() != self._known:
            self._look_closer(row)
        for at, convert in enumerate(self._converters):
            value = values[at]
            if value is not None:
                values[at] = convert(value)  # type: ignore[misc]
        if self._time_at < 0:
            return PlainEvent(values, None)
        time = values[self._time_at]
        if time is None:
            raise NotPlainError
        time_us = time * self._us_per
        if not EARLIEST_US <= time_us <= LATEST_US:
            raise NotPlainError
        return PlainEvent(values, time_us)

    def _look_closer(self, row: Mapping[str, Any]) -> None:
        """Fields that the stream does not have are ignored where it says what it has."""
        extra = [name for name in row if name not in self._known]
        if not extra:
            return
        if not self._may_ignore or not all(isinstance(name, str) for name in extra):
            raise NotPlainError
        note_ignored(self._inlet.ignored, extra)


def _converter(plan: StreamPlan, column: Any) -> Callable[[Any], Any] | None:
    """What brings a value of Python into a column of this type; None: only Arrow can."""
    kinds = {arrow: kind for kind, arrow in ARROW_TYPES.items() if kind is not DataType.NULL}
    kind = kinds.get(column.type)
    if kind is DataType.TIMESTAMP and column.name in plan.declared:
        return _declared_time(plan.stream.time_unit)
    return None if kind is None else _CONVERTERS[kind]


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise NotPlainError
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise NotPlainError
    return value


def _float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int and -_EXACT_FLOAT <= value <= _EXACT_FLOAT:
        return float(value)
    raise NotPlainError


def _text(value: Any) -> str:
    if type(value) is not str:
        raise NotPlainError
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise NotPlainError from error
    return value


def _time(value: Any) -> int:
    """A datetime without a zone."""
    if type(value) is not datetime or value.tzinfo is not None:
        raise NotPlainError
    return _whole_us(value - _EPOCH)


def _duration(value: Any) -> int:
    if type(value) is not timedelta:
        raise NotPlainError
    found = _whole_us(value)
    return _integer(found)


def _whole_us(value: timedelta) -> int:
    return (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds


def _declared_time(unit: str) -> Callable[[Any], int]:
    """Also with a zone, as ISO 8601 text, or as a number of units."""
    us_per = US_PER_UNIT.get(unit)

    def convert(value: Any) -> int:
        kind = type(value)
        if kind is datetime:
            if value.tzinfo is None:
                return _whole_us(value - _EPOCH)
            if type(value.tzinfo) is timezone:
                return _whole_us(value - _EPOCH_UTC)
        elif kind is str:
            return _time_of_text(value)
        elif kind is int and us_per is not None:
            found: int = value * us_per
            if EARLIEST_US <= found <= LATEST_US:
                return found
        raise NotPlainError

    return convert


def _time_of_text(text: str) -> int:
    """YYYY-MM-DDTHH:MM:SS, with three or six digits behind that or none, with Z or without."""
    whole = text[:-1] if text[-1:] == "Z" else text
    if len(whole) not in (19, 23, 26) or not whole.isascii():
        raise NotPlainError
    marks = whole[4] + whole[7] + whole[10] + whole[13] + whole[16] + whole[19:20]
    if marks not in ("--T::", "--T::.", "-- ::", "-- ::."):
        raise NotPlainError
    try:
        found = datetime.fromisoformat(whole)
    except ValueError as error:
        raise NotPlainError from error
    if found.tzinfo is not None:
        raise NotPlainError
    return _whole_us(found - _EPOCH)


_CONVERTERS: dict[DataType, Callable[[Any], Any]] = {
    DataType.BOOLEAN: _boolean,
    DataType.INTEGER: _integer,
    DataType.FLOAT: _float,
    DataType.TEXT: _text,
    DataType.TIMESTAMP: _time,
    DataType.DURATION: _duration,
}
