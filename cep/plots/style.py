"""What all plots share: one template, and texts as Plotly takes them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from cep.display.style import GRID, INK, PALETTE

try:
    import plotly.graph_objects as go
except ImportError as error:
    raise ImportError("plots need Plotly: pip install 'cep[plot]'") from error

__all__ = ["CLEAR", "GRID", "INK", "PALETTE", "fields_text", "figure", "go", "plain"]

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


def fields_text(event: Mapping[str, Any]) -> str:
    """All fields of an event, a line for each."""
    return "<br>".join(f"{plain(name)}: {plain(str(value))}" for name, value in event.items())
