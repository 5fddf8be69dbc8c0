"""What all plots share: colours that read on white and on black, one template, short texts."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

try:
    import plotly.graph_objects as go
except ImportError as error:
    raise ImportError("plots need Plotly: pip install 'cep[plot]'") from error

__all__ = ["CLEAR", "GRID", "INK", "PALETTE", "fields_text", "figure", "go", "plain", "short"]

# Okabe and Ito's colours for all kinds of sight, without those that vanish on white or on black.
PALETTE = ("#0077bb", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#999933", "#aa4499")
INK = "#7b7b7b"  # a contrast of more than 4 on white and on #111
GRID = "rgba(128, 128, 128, 0.25)"
CLEAR = "rgba(0, 0, 0, 0)"

_AXIS = {
    "gridcolor": GRID,
    "linecolor": INK,
    "zerolinecolor": GRID,
    "automargin": True,
    "ticks": "outside",  # unseen: they keep the labels off the points that lie on an axis
    "ticklen": 6,
    "tickcolor": CLEAR,
    "title": {"standoff": 12},
}
TEMPLATE = go.layout.Template(
    layout={
        "colorway": PALETTE,
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"color": INK, "size": 13},
        "title": {"x": 0.01, "xanchor": "left", "font": {"size": 15}},
        "margin": {"l": 60, "r": 30, "t": 60, "b": 50},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "legend": {"bgcolor": CLEAR, "traceorder": "normal"},
        "modebar": {"bgcolor": CLEAR, "color": INK},
        "hoverlabel": {"align": "left"},
    }
)


def figure(title: str, **layout: Any) -> go.Figure:
    """An empty figure in the style of all plots."""
    return go.Figure(layout={"template": TEMPLATE, "title": {"text": plain(title)}, **layout})


def plain(text: str) -> str:
    """Text as it stands, where Plotly would read tags."""
    return escape(text, quote=False)


def short(text: str, length: int) -> str:
    """At most `length` characters of a text, as it stands; cut between words where there are."""
    if len(text) <= length:
        return plain(text)
    cut = text[: length - 1]
    words = cut.rpartition(" ")[0] if text[length - 1] != " " else cut
    return plain((words if len(words) > length // 2 else cut).rstrip() + "…")


def fields_text(event: Mapping[str, Any]) -> str:
    """All fields of an event, a line for each."""
    return "<br>".join(f"{plain(name)}: {plain(str(value))}" for name, value in event.items())
