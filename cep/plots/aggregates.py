"""The rows of an aggregate over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.plots.style import PALETTE, figure, go, plain
from cep.results.result import Result

KEYS_SHOWN = 8
Row = dict[str, Any]


def windows(
    result: Result | Iterable[Result], name: str, value: str | None = None, by: str | None = None
) -> go.Figure:
    """What aggregate `name` says of each window, at the end of the window; a line for each key.

    `result` may be the results of several steps (`Detector.process`). `value` is a column of
    numbers, the first that is no key if None; `by` a column that tells keys apart, the first key
    field among the columns if None. The 8 keys with most rows are shown. Where late events changed
    a row (or an early row came before it), the values before are open markers, joined by a line to
    the one that holds. Values are as the rows say them: of an aggregate that is `discarding`, the
    last one is what came last. Raises DataError for columns that are missing, KeyError where
    there is no such aggregate.
    """
    steps = [result] if isinstance(result, Result) else list(result)
    if not steps:
        raise DataError("no results: give at least one")
    table = pa.concat_tables([step.tables[name] for step in steps])
    keys = steps[0].tables.key_fields(name)
    by = by if by is not None else next(iter(keys), None)
    value = value if value is not None else _first_number(table, (*keys, by))
    for column in ("window_end", value, *([] if by is None else [by])):
        _check(table, column, name)
    groups = _groups(table.to_pylist(), by)
    shown = dict(Counter({key: len(rows) for key, rows in groups.items()}).most_common(KEYS_SHOWN))
    drawn = figure(
        _title(name, value, by, len(shown), len(groups)),
        xaxis={"title": {"text": "end of the window"}, "type": "date"},
        yaxis={"title": {"text": plain(value)}, "rangemode": "tozero"},
        hovermode="closest",
    )
    for number, key in enumerate(shown):
        label = plain(value if by is None else str(key))
        drawn.add_traces(_traces(label, groups[key], value, PALETTE[number]))
    drawn.update_layout(showlegend=by is not None)
    return drawn


def _first_number(table: pa.Table, without: Sequence[str | None]) -> str:
    for field in table.schema:
        is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        if is_number and field.name not in (*without, "update"):
            return field.name
    raise DataError(f"no column of numbers among {', '.join(table.schema.names)}")


def _check(table: pa.Table, column: str, name: str) -> None:
    if column not in table.schema.names:
        known = ", ".join(table.schema.names)
        raise DataError(f"{name} has no column {column!r}; it has: {known}")


def _groups(rows: Sequence[Row], by: str | None) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(None if by is None else row[by], []).append(row)
    return groups


def _title(name: str, value: str, by: str | None, shown: int, keys: int) -> str:
    if by is None:
        return f"{name}: {value}"
    most = f", the {shown} with most rows of {keys:,}" if shown < keys else ""
    return f"{name}: {value} by {by}{most}"


def _traces(label: str, rows: Sequence[Row], value: str, color: str) -> list[go.Scatter]:
    """The last word on each window as a line, and what it was before where it changed."""
    versions: dict[Any, list[Any]] = {}
    for row in rows:
        versions.setdefault(row["window_end"], []).append(row[value])
    ends = sorted(versions)
    line = go.Scatter(
        x=ends,
        y=[versions[end][-1] for end in ends],
        name=label,
        legendgroup=label,
        mode="lines+markers",
        line={"color": color, "width": 2},
        marker={"size": 5},
        hovertemplate=f"<b>{label}</b><br>%{{x}}<br>%{{y}}<extra></extra>",
    )
    changed = [end for end in ends if len(versions[end]) > 1]
    return [line, _changes(label, changed, versions, color)] if changed else [line]


def _changes(
    label: str, ends: Sequence[Any], versions: dict[Any, list[Any]], color: str
) -> go.Scatter:
    """Old values as open circles, new ones filled; None parts one window from the next."""
    xs, ys, symbols, hover = [], [], [], []
    for end in ends:
        steps = versions[end]
        xs += [end] * (len(steps) + 1)
        ys += [*steps, None]
        symbols += ["circle-open"] * (len(steps) - 1) + ["diamond", "circle"]
        hover += [f"{label}<br>{end}<br>{' → '.join(map(str, steps))}"] * (len(steps) + 1)
    return go.Scatter(
        x=xs,
        y=ys,
        name=f"{label}, updated",
        legendgroup=label,
        showlegend=False,
        mode="lines+markers",
        line={"color": color, "dash": "dot", "width": 1.5},
        marker={"symbol": symbols, "size": 10},
        hovertext=hover,
        hoverinfo="text",
    )
