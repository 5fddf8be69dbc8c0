"""The automaton of a pattern: states from left to right, edges with what has to come."""

from __future__ import annotations

from cep.display.arrows import Arrow, arrows, words_inside
from cep.display.labels import label_places
from cep.display.layout import COLUMN_PX, NODE_PX, ROW_PX, Curve, Layout, lay_out
from cep.display.style import GRID, INK, PALETTE, STATE_COLORS
from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Pattern
from cep.engine.algebra.printer import print_duration
from cep.plots.style import figure, go, plain
from cep.rules import Rules

TAKE = {"color": PALETTE[0], "width": 2}
STROKES = {
    "take": TAKE,
    "deadline": TAKE,
    "ignore": {"color": INK, "width": 1, "dash": "4px,3px"},
    "kill": {"color": PALETTE[3], "width": 1.5, "dash": "dot"},
}


def automaton(rules: Rules, pattern: str | None = None) -> go.Figure:
    """The automaton that a pattern becomes. `pattern` may be left out where there is only one.

    Take edges are solid and carry the variable and its condition, ignore edges are dashed, edges
    that kill a run are dotted; ◎ marks those after which the run is a match and goes on. All
    conditions are in the hover in full. DataError: which of several patterns is not said.
    KeyError: no such pattern.
    """
    chosen = _chosen(rules, pattern)
    graph = rules.graph(chosen.name)
    layout = lay_out(graph, arrows(graph, chosen))
    drawn = figure(f"{chosen.name}{_bound(chosen)}", **_size(layout))
    drawn.add_traces([_line(a, c) for a, c in zip(layout.arrows, layout.curves, strict=True)])
    drawn.add_traces([_labels(layout), _ring(layout), _nodes(layout)])
    return drawn


def _chosen(rules: Rules, name: str | None) -> Pattern:
    patterns = {pattern.name: pattern for pattern in rules.patterns}
    known = ", ".join(patterns)
    if name is None:
        if len(patterns) != 1:
            raise DataError(f"which pattern? the rules have: {known or 'none'}")
        return rules.patterns[0]
    if name not in patterns:
        raise KeyError(f"no pattern {name!r}; the rules have: {known}")
    return patterns[name]


def _bound(pattern: Pattern) -> str:
    return "" if pattern.within_us is None else f", within {print_duration(pattern.within_us)}"


def _size(layout: Layout) -> dict[str, object]:
    left, right, low, high = layout.box()
    hidden = {"visible": False, "fixedrange": True}
    return {
        "width": int((right - left) * COLUMN_PX) + 40,
        "height": int((high - low) * ROW_PX) + 70,
        "margin": {"l": 20, "r": 20, "t": 50, "b": 20},
        "xaxis": {**hidden, "range": [left, right]},
        "yaxis": {**hidden, "range": [low, high]},
        "showlegend": False,
        "hovermode": "closest",
    }


def _line(arrow: Arrow, curve: Curve) -> go.Scatter:
    """The curve of an edge with a head that ends at the rim of the state."""
    sizes = [0] * (len(curve) - 1) + [12]
    rims = [0.0] * (len(curve) - 1) + [NODE_PX / 2 + (6 if arrow.target == "match" else 1)]
    head = {
        "symbol": "arrow",
        "size": sizes,
        "angleref": "previous",
        "standoff": rims,
        "opacity": 1,
    }
    return go.Scatter(
        x=curve[:, 0],
        y=curve[:, 1],
        name=f"{arrow.source} → {arrow.target}",
        meta=arrow.action,
        mode="lines+markers",
        line=STROKES[arrow.action],
        marker={**head, "color": STROKES[arrow.action]["color"], "line": {"width": 0}},
        hovertext=_hover(arrow),
        hoverinfo="text",
    )


def _hover(arrow: Arrow) -> str:
    return "<br>".join(map(plain, arrow.details))


def _labels(layout: Layout) -> go.Scatter:
    places = label_places(layout)
    return go.Scatter(
        x=[x for x, _ in places],
        y=[y for _, y in places],
        name="labels",
        mode="text",
        text=[_label(arrow) for arrow in layout.arrows],
        textposition="middle center",
        textfont={"size": 11},
        hovertext=[_hover(arrow) for arrow in layout.arrows],
        hoverinfo="text",
    )


def _label(arrow: Arrow) -> str:
    title = f"<b>{plain(arrow.title)}</b>" if arrow.title else ""
    return "<br>".join(line for line in (title, plain(arrow.text)) if line)


def _nodes(layout: Layout) -> go.Scatter:
    kinds, places = layout.kinds, layout.places
    return go.Scatter(
        x=[places[name][0] for name in kinds],
        y=[places[name][1] for name in kinds],
        name="states",
        mode="markers+text",
        marker={
            "size": NODE_PX,
            "color": [STATE_COLORS[kind] for kind in kinds.values()],
            "opacity": 1,
            "line": {"width": 0},
        },
        text=["<br>".join(map(plain, words_inside(name))) for name in kinds],
        textfont={"color": "white", "size": 11},
        hovertext=[f"{plain(name)} ({kind})" for name, kind in kinds.items()],
        hoverinfo="text",
    )


def _ring(layout: Layout) -> go.Scatter:
    """The second ring of the match."""
    x, y = layout.places["match"]
    ring = {
        "size": NODE_PX + 9,
        "color": GRID,
        "line": {"width": 2, "color": STATE_COLORS["match"]},
    }
    return go.Scatter(x=[x], y=[y], name="ring", mode="markers", marker=ring, hoverinfo="skip")
