"""Few events and all that rules find in them: the events in a row, below it a lane per match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cep.display.style import shortened
from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import variables
from cep.engine.batch import Int64s
from cep.plots.data import as_table, as_times, column_of, times_us
from cep.plots.style import GRID, INK, PALETTE, figure, go, plain
from cep.results.matches import Match
from cep.results.values import as_cell
from cep.rules import Rules

EVENTS_MAX = 60
LANES_MAX = 20
LANE_HEIGHT = 34
HOUR_US = 3_600_000_000
INSIDE = 3  # a text of so many characters stands in a dot
ROW = "(row)"


@dataclass(frozen=True, slots=True)
class _Lane:
    """`taken`: places in the row of events, each with the variable that took it."""

    name: str
    taken: list[tuple[int, str]]
    is_match: bool


def lanes(rules: Rules, data: Any, label: str | None = None, title: str | None = None) -> go.Figure:
    """Everything that rules of one stream find in at most 60 events, to try a pattern out.

    The events stand in a row in the order in which the pattern meets them, each with the value of
    the column `label` (None: its number), and below it a lane for each match, its events in the
    colours of their variables. Timed-out runs come last, dashed. `data`: a pandas, polars or Arrow
    table or a list of dicts. Raises DataError for more events, and for rules of several streams.
    """
    table, time_us = _in_order(rules, as_table(data))
    found = _lanes(rules, table)
    labels = _labels(table, label)
    drawn = figure(_title(title, found), **_layout(found[:LANES_MAX], labels, time_us))
    colors = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(_variables(rules))}
    drawn.add_trace(_events(labels, time_us))
    for number, lane in enumerate(found[:LANES_MAX], start=1):
        drawn.add_trace(_line(lane, number))
    for name, color in colors.items():
        drawn.add_trace(_dots(name, color, found[:LANES_MAX]))
    return drawn


def _in_order(rules: Rules, table: pa.Table) -> tuple[pa.Table, Int64s]:
    """The events by time, numbered, and their times."""
    if table.num_rows > EVENTS_MAX:
        message = f"{table.num_rows:,} events: lanes draws at most {EVENTS_MAX}"
        raise DataError(f"{message}; give it a part, or see plots.timeline for a match")
    if len(rules.base_streams) != 1:
        raise DataError("the rules read several streams: lanes draws those of one")
    (stream,) = rules.open_run(table).feed.streams if table.num_rows else rules.base_streams
    if stream.time is None:
        raise DataError("no time field is known: declare it with `stream NAME time FIELD`")
    time_us = times_us(table, stream.time, stream.time_unit)
    order = np.argsort(time_us, kind="stable")
    numbers: Any = pa.array(np.arange(len(order)))
    taken: Any = pa.array(order)
    return table.take(taken).append_column(ROW, numbers), time_us[order]


def _lanes(rules: Rules, table: pa.Table) -> list[_Lane]:
    result = rules.run(table)
    several = len(rules.patterns) > 1
    found = [_lane(match, i, several, True) for i, match in enumerate(result.matches, 1)]
    return [*found, *(_lane(m, i, several, False) for i, m in enumerate(result.timeouts, 1))]


def _lane(match: Match, number: int, several: bool, is_match: bool) -> _Lane:
    kind = "match" if is_match else "timed out"
    of = f"{match.pattern} " if several else ""
    key = "" if match.key is None else f", {as_cell(match.key)}"
    taken = [(event[ROW], variable) for _, variable, event in match.taken()]
    return _Lane(plain(shortened(f"{of}{kind} {number}{key}", 30)), taken, is_match)


def _labels(table: pa.Table, label: str | None) -> list[str]:
    if label is None:
        return [str(number + 1) for number in range(table.num_rows)]
    return [plain(shortened(as_cell(v), 12)) for v in column_of(table, label).to_pylist()]


def _variables(rules: Rules) -> Iterable[str]:
    return dict.fromkeys(v.name for p in rules.patterns for v in variables(p.steps))


def _title(title: str | None, found: Sequence[_Lane]) -> str:
    matches = sum(lane.is_match for lane in found)
    counts = f"{matches} match{'' if matches == 1 else 'es'}"
    if len(found) > matches:
        counts += f", {len(found) - matches} timed out"
    if len(found) > LANES_MAX:
        counts += f" (the first {LANES_MAX} are drawn)"
    return counts if title is None else f"{title}: {counts}"


def _layout(found: Sequence[_Lane], labels: Sequence[str], time_us: Int64s) -> Mapping[str, Any]:
    same_hour = len(np.unique(time_us // HOUR_US)) <= 1
    ticks = [
        f"{t.astype(object):{'%M:%S' if same_hour else '%H:%M:%S'}}" for t in as_times(time_us)
    ]
    return {
        "height": 120 + LANE_HEIGHT * (len(found) + 1),
        "margin": {"t": 50, "b": 50},
        "legend": {"itemsizing": "constant"},
        "xaxis": {
            "range": [-0.6, len(labels) - 0.4],
            "tickvals": list(range(len(labels))),
            "ticktext": ticks,
            "showgrid": True,
            "zeroline": False,
        },
        "yaxis": {
            "range": [len(found) + 0.6, -0.6],
            "tickvals": list(range(len(found) + 1)),
            "ticktext": ["events", *(lane.name for lane in found)],
            "showgrid": False,
            "zeroline": False,
        },
    }


def _events(labels: Sequence[str], time_us: Int64s) -> go.Scatter:
    fits = all(len(text) <= INSIDE for text in labels)
    return go.Scatter(
        x=list(range(len(labels))),
        y=[0] * len(labels),
        mode="markers+text",
        text=list(labels),
        textposition="middle center" if fits else "top center",
        textfont={"color": "white" if fits else INK, "size": 12},
        marker={"size": 22 if fits else 10, "color": INK},
        hovertext=[
            f"{text}<br>{time}" for text, time in zip(labels, as_times(time_us), strict=True)
        ],
        hoverinfo="text",
        name="events",
        showlegend=False,
    )


def _line(lane: _Lane, number: int) -> go.Scatter:
    return go.Scatter(
        x=[place for place, _ in lane.taken],
        y=[number] * len(lane.taken),
        mode="lines",
        line={
            "color": INK if lane.is_match else GRID,
            "dash": "solid" if lane.is_match else "dash",
        },
        hoverinfo="skip",
        showlegend=False,
        name=lane.name,
    )


def _dots(name: str, color: str, found: Sequence[_Lane]) -> go.Scatter:
    """All events that a variable took, in all lanes."""
    places = [
        (place, number)
        for number, lane in enumerate(found, start=1)
        for place, variable in lane.taken
        if variable == name
    ]
    return go.Scatter(
        x=[place for place, _ in places],
        y=[number for _, number in places],
        mode="markers+text" if len(name) <= INSIDE else "markers",
        text=[name] * len(places),
        textfont={"color": "white", "size": 12},
        marker={"size": 20, "color": color},
        hovertemplate=f"{plain(name)}<extra></extra>",
        name=plain(name),
        showlegend=True,
    )
