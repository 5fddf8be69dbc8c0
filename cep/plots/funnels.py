"""How many attempts of a pattern came to each event that it needs, and what ended the others."""

from __future__ import annotations

from typing import Any

from cep.engine.algebra.errors import DataError
from cep.plots.style import INK, PALETTE, figure, go, plain
from cep.results.attempts import FATES
from cep.results.result import Result

WENT_ON = "went on"
_SAID = {
    "time": "time was up",
    "negation": "negated event came",
    "unless": "unless was met",
    "not_next": "next event was another",
    "skip": "skipped after a match",
    "open": "never came",
}
ROW_HEIGHT = 56
ROOM_FOR_TOTALS = 1.25


def funnel(result: Result, pattern: str | None = None) -> go.Figure:
    """How far attempts came, of a traced run (`rules.run(data, trace=True)`).

    A bar for each event that a match needs at least: how many attempts came to it, split into those
    that went on and those that ended before the next, by what ended them; the last bar is matches.
    `pattern` is needed where the rules have several. Raises DataError for a run that was not traced
    and for an unknown pattern.
    """
    rows = _rows(result, pattern)
    labels, reached = [_label(row) for row in rows], [row["reached"] for row in rows]
    most = max(reached[0], 1) * ROOM_FOR_TOTALS
    drawn = figure(
        f"Attempts of {rows[0]['pattern']}" + ("" if reached[0] else ": no event began one"),
        barmode="stack",
        height=130 + ROW_HEIGHT * len(rows),
        xaxis={"title": {"text": "attempts"}, "range": [0, most], "showgrid": False},
        yaxis={"autorange": "reversed", "categoryarray": labels, "showgrid": False},
    )
    ended = {fate: [row[fate] for row in rows] for fate in FATES}
    went_on = [total - sum(column) for total, *column in zip(reached, *ended.values(), strict=True)]
    drawn.add_trace(_bars(WENT_ON, INK, went_on, labels))
    for fate, color in zip(FATES, PALETTE, strict=False):
        if any(ended[fate]):
            drawn.add_trace(_bars(_SAID[fate], color, ended[fate], labels))
    drawn.add_trace(_totals(reached, labels))
    drawn.update_layout(showlegend=True)
    return drawn


def _rows(result: Result, pattern: str | None) -> list[dict[str, Any]]:
    rows = result.attempts.funnel().to_pylist()
    known = list(dict.fromkeys(row["pattern"] for row in rows))
    if pattern is None and len(known) != 1:
        raise DataError(f"say which pattern: {', '.join(known) or 'there is none'}")
    found = [row for row in rows if pattern in (None, row["pattern"])]
    if not found:
        raise DataError(f"no pattern {pattern!r}; the rules have: {', '.join(known)}")
    return found


def _label(row: dict[str, Any]) -> str:
    return "match" if row["variable"] is None else plain(row["variable"])


def _bars(name: str, color: str, counts: list[int], labels: list[str]) -> go.Bar:
    return go.Bar(
        x=counts,
        y=labels,
        name=name,
        orientation="h",
        marker={"color": color, "line": {"width": 0}},
        hovertemplate=f"%{{y}}: %{{x:,}} {name}<extra></extra>",
    )


def _totals(reached: list[int], labels: list[str]) -> go.Scatter:
    """The numbers behind the bars."""
    most = max(reached[0], 1)
    return go.Scatter(
        x=reached,
        y=labels,
        mode="text",
        text=[f" {total:,} ({total / most:.1%})" for total in reached],
        textposition="middle right",
        name="reached",
        showlegend=False,
        hoverinfo="skip",
        cliponaxis=False,
    )
