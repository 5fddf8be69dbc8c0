"""Moments and periods as people give them -> microseconds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from cep.backtesting.scope import DAY_US
from cep.dsl.parts import parse_duration
from cep.dsl.values import EPOCH, moment_us
from cep.engine.algebra.errors import DataError, RuleError

PERIODS_MAX = 10_000
_MONTHS = re.compile(r"\s*(\d*)\s*months?\s*", re.IGNORECASE)


def bound_us(moment: Any, name: str) -> int | None:
    """A datetime or its text, in UTC without a zone; None stays None."""
    if moment is None:
        return None
    try:
        read = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError as error:
        raise DataError(f"{name} is {moment!r}: {error}") from error
    if not isinstance(read, datetime) or read != read:  # NaT of pandas is a datetime
        raise DataError(f"{name} is {moment!r}: give a datetime, or its text in ISO 8601")
    return moment_us(read)


def periods(every: str | timedelta, first_us: int, last_us: int) -> Iterator[tuple[int, int]]:
    """(start, end excluded) of the periods that cover the times from first to last.

    Months are those of the calendar, aligned to January; other durations begin at the midnight
    before `first_us`. Raises DataError for what is no length of time, and too many periods.
    """
    months = _MONTHS.fullmatch(every) if isinstance(every, str) else None
    if months is not None:
        yield from _months(int(months[1] or 1), first_us, last_us)
        return
    size = _length_us(every)
    if size <= 0:
        raise DataError(f"a period of {every}: it must have a length")
    start = first_us // DAY_US * DAY_US
    if (last_us - start) // size >= PERIODS_MAX:
        raise DataError(f"periods of {every} make more than {PERIODS_MAX:,}: take longer ones")
    while start <= last_us:
        if start + size > first_us:
            yield start, start + size
        start += size


def _length_us(every: Any) -> int:
    if isinstance(every, timedelta) and every == every:  # not NaT of pandas
        return every // timedelta(microseconds=1)
    try:
        if isinstance(every, str):
            return parse_duration(every)
    except RuleError as error:
        raise DataError(f"periods of {every!r}: {error.problems[0].message}") from error
    raise DataError(f"periods of {every!r}: give '1 month', a duration such as '7 days', or one")


def _months(size: int, first_us: int, last_us: int) -> Iterator[tuple[int, int]]:
    if size == 0:
        raise DataError("a period of 0 months: it must have a length")
    first = EPOCH + timedelta(microseconds=first_us)
    number = (first.year * 12 + first.month - 1) // size * size
    while _month_us(number) <= last_us:
        yield _month_us(number), _month_us(number + size)
        number += size


def _month_us(number: int) -> int:
    """The begin of a month, counted from the year 0."""
    return moment_us(datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC))
