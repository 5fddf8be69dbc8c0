"""The automaton of a pattern: states from left to right, edges with what has to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Pattern
from cep.engine.algebra.printer import print_duration, print_expression
from cep.engine.automaton.explain import Graph, GraphEdge
from cep.plots.style import GRID, INK, PALETTE, figure, go, plain, short
from cep.rules import Rules

Point = tuple[float, float]
Curve = npt.NDArray[np.float64]

COLUMN_PX, ROW_PX, NODE_PX = 165, 95, 52
LABEL_LENGTH = 15
GAP = 0.05  # between an edge and its label
ROW = 2.4  # between two states of the same distance from the start
COLORS = {
    "start": INK,
    "state": PALETTE[0],
    "pending": "#b07800",
    "match": "#00805d",
    "killed": "#b84f00",
}
STROKES = {
    "take": {"color": PALETTE[0], "width": 2},
    "ignore": {"color": INK, "width": 1, "dash": "4px,3px"},
    "kill": {"color": PALETTE[3], "width": 1.5, "dash": "dot"},
}


@dataclass(frozen=True, slots=True)
class _Arrow:
    """An edge to draw. `label` stands beside it, `hover` says all."""

    source: str
    target: str
    action: str
    label: str
    hover: str


def automaton(rules: Rules, pattern: str | None = None) -> go.Figure:
    """The automaton that a pattern becomes. `pattern` may be left out where there is only one.

    Take edges are solid and carry the variable and its condition, ignore edges are dashed, edges
    that kill a run are dotted; ◎ marks those after which the run is a match and goes on. All
    conditions are in the hover in full. DataError: which of several patterns is not said.
    KeyError: no such pattern.
    """
    chosen = _chosen(rules, pattern)
    graph = rules.explain().graph(chosen.name)
    arrows = [*_arrows(graph, chosen), *_deadlines(graph), *_unless(graph, chosen)]
    kinds = {node.name: node.kind for node in graph.nodes}
    if any(arrow.target == "killed" for arrow in arrows):
        kinds["killed"] = "killed"
    places = _places(kinds, arrows)
    curves = _curves(places, arrows)
    drawn = figure(f"{chosen.name}{_bound(chosen)}", **_size(places, curves))
    drawn.add_traces([_line(a, c) for a, c in zip(arrows, curves, strict=True)])
    drawn.add_traces([_labels(arrows, curves), _rings(places), _nodes(kinds, places)])
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


# -- what is drawn ---------------------------------------------------------------------------------


def _arrows(graph: Graph, pattern: Pattern) -> Iterator[_Arrow]:
    for edge in graph.edges:
        label, hover = _texts(edge, pattern)
        if edge.also_match and edge.target != "match":
            label = label.replace("</b>", "</b> ◎", 1)
            hover += "<br>the run is a match, and goes on"
        yield _Arrow(edge.source, edge.target, edge.action, label, hover)


def _texts(edge: GraphEdge, pattern: Pattern) -> tuple[str, str]:
    """What stands beside an edge, and what its hover says."""
    hover = f"{edge.action}: {plain(edge.guard)}"
    if edge.variable is None:
        return short(edge.guard, LABEL_LENGTH), hover
    condition = pattern.definition(edge.variable).condition
    if condition is None:
        return f"<b>{plain(edge.variable)}</b><br>any event", hover
    text = print_expression(condition)
    label = f"<b>{short(edge.variable, LABEL_LENGTH)}</b><br>{short(text, LABEL_LENGTH)}"
    return label, f"{hover}<br>{plain(edge.variable)}: {plain(text)}"


def _deadlines(graph: Graph) -> Iterator[_Arrow]:
    """What waits for an absence is a match when its time is over."""
    for node in graph.nodes:
        if node.kind == "pending":
            hover = "take: the deadline comes and no such event has"
            yield _Arrow(node.name, "match", "take", "<b>deadline</b>", hover)


def _unless(graph: Graph, pattern: Pattern) -> Iterator[_Arrow]:
    """`unless` kills a run in any state. One edge of them carries the label."""
    if pattern.unless is None:
        return
    text = print_expression(pattern.unless)
    names = [node.name for node in graph.nodes if node.kind in ("state", "pending")]
    for number, name in enumerate(names):
        label = f"unless<br>{short(text, LABEL_LENGTH)}" if number == len(names) - 1 else ""
        yield _Arrow(name, "killed", "kill", label, f"kill: unless {plain(text)}")


# -- where -----------------------------------------------------------------------------------------


def _places(kinds: dict[str, str], arrows: Sequence[_Arrow]) -> dict[str, Point]:
    """States in columns by their distance from the start, the match last, killed below."""
    distance = _distances(next(iter(kinds)), arrows)
    columns: dict[int, list[str]] = {}
    for name, kind in kinds.items():
        if kind not in ("match", "killed"):
            columns.setdefault(distance.get(name, 0), []).append(name)
    places = {
        name: (float(column), ROW * ((len(names) - 1) / 2 - row))
        for column, names in columns.items()
        for row, name in enumerate(names)
    }
    lowest = min(y for _, y in places.values())
    places["match"] = (max(columns) + 1.0, 0.0)
    if "killed" in kinds:
        sources = [places[a.source][0] for a in arrows if a.target == "killed"]
        places["killed"] = (sum(sources) / len(sources), lowest - 1.8)
    return places


def _distances(start: str, arrows: Sequence[_Arrow]) -> dict[str, int]:
    """The least number of edges from the start to each state."""
    found, ahead = {start: 0}, deque([start])
    while ahead:
        source = ahead.popleft()
        for arrow in arrows:
            if arrow.source == source and arrow.target not in found:
                found[arrow.target] = found[source] + 1
                ahead.append(arrow.target)
    return found


def _curves(places: dict[str, Point], arrows: Sequence[_Arrow]) -> list[Curve]:
    pairs = {(arrow.source, arrow.target) for arrow in arrows}
    seen: dict[tuple[str, str], int] = {}
    curves = []
    for arrow in arrows:
        pair = arrow.source, arrow.target
        nth = seen[pair] = seen.get(pair, -1) + 1
        begin, end = places[arrow.source], places[arrow.target]
        if begin == end:
            curves.append(_loop(begin, 1.0 + 0.6 * nth))
            continue
        around = -1.6 if _is_blocked(begin, end, places) else 0.0
        if begin[0] == end[0] and arrow.action != "kill":
            around = 0.9 if end[1] < begin[1] else -0.9  # to the right, past loops
        elif end[0] < begin[0] and pair[::-1] in pairs:
            around = 0.5
        curves.append(_bow(begin, end, around + 1.2 * nth))
    return curves


def _is_blocked(begin: Point, end: Point, places: dict[str, Point]) -> bool:
    """Whether another state lies on the straight line."""
    (x0, y0), (x1, y1) = begin, end
    length = float(np.hypot(x1 - x0, y1 - y0))
    for x, y in places.values():
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length**2
        aside = abs((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / length
        if 0 < along < 1 and aside < 0.3 and (x, y) not in (begin, end):
            return True
    return False


def _bow(begin: Point, end: Point, bend: float) -> Curve:
    """From one state to another, `bend` to the left of the straight way."""
    first, last = np.array(begin), np.array(end)
    way = last - first
    aside = np.array([-way[1], way[0]]) / np.hypot(*way)
    middle = (first + last) / 2 + bend * aside
    part = np.linspace(0, 1, 31)[:, None]
    curve: Curve = (1 - part) ** 2 * first + 2 * part * (1 - part) * middle + part**2 * last
    return curve


def _loop(at: Point, height: float) -> Curve:
    """Over a state and back to it."""
    center = np.array(at)
    left, right = np.array([at[0] - 0.45, at[1] + height]), np.array([at[0] + 0.45, at[1] + height])
    part = np.linspace(0, 1, 31)[:, None]
    ends = ((1 - part) ** 3 + part**3) * center
    curve: Curve = ends + 3 * part * (1 - part) * ((1 - part) * left + part * right)
    return curve


# -- traces ----------------------------------------------------------------------------------------


def _size(places: dict[str, Point], curves: Sequence[Curve]) -> dict[str, object]:
    points = np.concatenate([*curves, np.array(list(places.values()))])
    (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
    left, right, low, high = left - 0.5, right + 0.5, low - 0.5, high + 0.6
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


def _line(arrow: _Arrow, curve: Curve) -> go.Scatter:
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
        hovertext=arrow.hover,
        hoverinfo="text",
    )


def _labels(arrows: Sequence[_Arrow], curves: Sequence[Curve]) -> go.Scatter:
    positions = [_beside(a, c) for a, c in zip(arrows, curves, strict=True)]
    middles = [_label_place(c, beside) for c, beside in zip(curves, positions, strict=True)]
    return go.Scatter(
        x=[x for x, _ in middles],
        y=[y for _, y in middles],
        name="labels",
        mode="text",
        text=["" if _is_plain(arrow) else arrow.label for arrow in arrows],
        textposition=positions,
        textfont={"size": 11},
        hovertext=[arrow.hover for arrow in arrows],
        hoverinfo="text",
    )


def _is_plain(arrow: _Arrow) -> bool:
    """An ignore edge between two states: what it ignores stands in the hover only."""
    return arrow.action == "ignore" and arrow.source != arrow.target


def _label_place(curve: Curve, beside: str) -> Point:
    """The middle, a little aside; of a long straight edge a place beyond what is in between."""
    is_long = (
        curve[-1][0] - curve[0][0] > 1.5
        and abs(2 * curve[15][1] - curve[0][1] - curve[-1][1]) < 0.2
    )
    x, y = curve[22 if is_long else 15]
    up, right = beside.split()
    x += GAP * (right == "right")
    return float(x), float(y) + GAP * ((up == "top") - (up == "bottom"))


def _beside(arrow: _Arrow, curve: Curve) -> str:
    """The side of an edge on which its label stands clear of it."""
    (x0, y0), (_, y), (x1, y1) = curve[0], curve[15], curve[-1]
    if x1 == x0 and y1 != y0:
        return "middle right"
    if x1 < x0 or arrow.action == "kill":
        return "bottom right" if x1 < x0 else "top right"
    if abs(y1 - y0) > 0.5:
        return "bottom right" if y1 > y0 else "top right"
    return "bottom center" if y < (y0 + y1) / 2 - 0.1 else "top center"


def _nodes(kinds: dict[str, str], places: dict[str, Point]) -> go.Scatter:
    return go.Scatter(
        x=[places[name][0] for name in kinds],
        y=[places[name][1] for name in kinds],
        name="states",
        mode="markers+text",
        marker={
            "size": NODE_PX,
            "color": [COLORS[kind] for kind in kinds.values()],
            "opacity": 1,
            "line": {"width": 0},
        },
        text=[_inside(name) for name in kinds],
        textfont={"color": "white", "size": 11},
        hovertext=[f"{plain(name)} ({kind})" for name, kind in kinds.items()],
        hoverinfo="text",
    )


def _inside(name: str) -> str:
    return "<br>".join(short(word, 8) for word in name.removeprefix("await ").split(" "))


def _rings(places: dict[str, Point]) -> go.Scatter:
    """The second ring of the match."""
    x, y = places["match"]
    ring = {"size": NODE_PX + 9, "color": GRID, "line": {"width": 2, "color": COLORS["match"]}}
    return go.Scatter(x=[x], y=[y], name="ring", mode="markers", marker=ring, hoverinfo="skip")
