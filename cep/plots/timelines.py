"""A match on a time axis, with the other events of its key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from cep.dsl.values import moment_us
from cep.engine.algebra.errors import DataError
from cep.engine.algebra.printer import print_duration
from cep.plots.data import as_table, column_of, times_us
from cep.plots.style import INK, PALETTE, fields_text, figure, go, plain
from cep.results.columns import in_microseconds
from cep.results.result import Match

NOT_TAKEN = "not taken"
MARGIN = 0.1  # of the length of the match, on both sides
CROWD = 60  # events of a lane, from which they are drawn small
LEAST_US = 1_000_000

Placed = tuple[datetime, dict[str, Any]]


def timeline(
    match: Match,
    data: Any = None,
    key_fields: Sequence[str] | None = None,
    margin: timedelta | None = None,
) -> go.Figure:
    """The events of a match, a lane for each variable, all fields in the hover. Times are UTC.

    With `data`, the events that it was found in (a pandas, polars or Arrow table or a list of
    dicts), the other events of its key stand in a lane of their own, from `margin` before its start
    to `margin` after its end (a tenth of its length if None). `key_fields` are the columns of
    `data` that make the key, those of the pattern if None. Raises DataError where a column is
    missing. Costs a pass over the times in `data`.
    """
    taken = [(_utc(one.time), one.variable) for one in match.why().taken]
    events = _events(match, [variable for _, variable in taken])
    lanes = list(dict.fromkeys(variable for _, variable in taken))
    drawn = figure(_title(match), xaxis={"title": {"text": "event time"}}, hovermode="closest")
    drawn.add_trace(_path(taken))
    for number, lane in enumerate(lanes):
        own = [(t, e) for (t, v), e in zip(taken, events, strict=True) if v == lane]
        drawn.add_trace(_lane(lane, own, PALETTE[number % len(PALETTE)], 15))
    if data is not None:
        names = match.key_fields if key_fields is None else tuple(key_fields)
        around = _around(match, as_table(data), names, margin)
        times = [time for time, _ in taken]
        others = _without(around, list(zip(times, events, strict=True)), _stream(match)[0])
        lanes.append(NOT_TAKEN)
        drawn.add_trace(_lane(NOT_TAKEN, others, INK, 9))
    order = {"categoryorder": "array", "categoryarray": lanes, "range": [len(lanes) - 0.5, -0.5]}
    drawn.update_layout(yaxis={"type": "category", **order}, height=150 + 70 * len(lanes))
    drawn.update_layout(showlegend=False)
    return drawn


def _events(match: Match, variables: Sequence[str]) -> list[dict[str, Any]]:
    """The events of a match in the order in which these variables took them."""
    left = {variable: iter(events) for variable, events in match.events.items()}
    return [next(left[variable]) for variable in variables]


def _title(match: Match) -> str:
    key = "" if match.key is None else f", key {match.key}"
    lasted = (match.end - match.start) // timedelta(microseconds=1)
    return f"{match.pattern}{key}: {print_duration(lasted)}"


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def _around(
    match: Match, table: Any, names: Sequence[str], margin: timedelta | None
) -> list[Placed]:
    """The events of the match's key about the time of the match."""
    time_us = times_us(table, *_stream(match))
    start, end = moment_us(match.start), moment_us(match.end)
    more = max(int((end - start) * MARGIN), LEAST_US)
    more = more if margin is None else margin // timedelta(microseconds=1)
    near = np.flatnonzero((time_us >= start - more) & (time_us <= end + more))
    for name in names:
        column_of(table, name)
    rows = in_microseconds(table.take(near)).to_pylist()
    key = match.key if len(names) > 1 else (match.key,)
    return [
        (datetime(1970, 1, 1) + timedelta(microseconds=int(time_us[place])), row)  # noqa: DTZ001
        for place, row in zip(near, rows, strict=True)
        if not names or tuple(row[name] for name in names) == tuple(key)
    ]


def _stream(match: Match) -> tuple[str, str]:
    """The time field of the data, and what bare numbers in it count."""
    if match.stream is None or match.stream.time is None:
        raise DataError(f"{match.pattern} reads what other rules make: leave `data` out")
    return match.stream.time, match.stream.time_unit


def _without(around: Sequence[Placed], taken: Sequence[Placed], time_field: str) -> list[Placed]:
    """Those that the match did not take; of equal events it took as many as it has."""
    shared = set.intersection(*(set(event) for _, event in [*taken, *around[:1]]))
    names = sorted(shared - {time_field})

    def said(placed: Placed) -> tuple[Any, ...]:
        return placed[0], *(_told(placed[1][name]) for name in names)

    left, others = Counter(said(one) for one in taken), []
    for one in around:
        if left[said(one)] > 0:
            left[said(one)] -= 1
        else:
            others.append(one)
    return others


def _told(value: Any) -> str:
    """The same for numbers that are equal: rules may declare whole ones as floats."""
    return str(float(value) if isinstance(value, int | Decimal) else value)


def _lane(name: str, events: Sequence[Placed], color: str, size: int) -> go.Scatter:
    look: dict[str, Any] = {"line": {"width": 1, "color": INK}}
    if len(events) > CROWD:
        size, look = 7, {"opacity": 0.7, "line": {"width": 0}}
    return go.Scatter(
        x=[time for time, _ in events],
        y=[name] * len(events),
        name=name,
        mode="markers",
        marker={"size": size, "color": color, **look},
        hovertext=[f"<b>{plain(name)}</b><br>{fields_text(event)}" for _, event in events],
        hoverinfo="text",
    )


def _path(taken: Sequence[tuple[datetime, str]]) -> go.Scatter:
    """A thin line through the events in their order."""
    return go.Scatter(
        x=[time for time, _ in taken],
        y=[variable for _, variable in taken],
        name="order",
        mode="lines",
        line={"color": INK, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )
