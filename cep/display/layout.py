"""An automaton's arrows -> where everything stands: states in columns, edges as curves, labels.

Units: a column and a row of states are 1 wide and high; y grows upwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cep.display.arrows import Arrow
from cep.engine.automaton.explain import Graph

Point = tuple[float, float]
Curve = npt.NDArray[np.float64]

COLUMN_PX, ROW_PX, NODE_PX = 165, 95, 52
ROW = 2.2  # between two states of the same distance from the start


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the states and the curves of an automaton's arrows are, in their order."""

    kinds: Mapping[str, str]
    places: Mapping[str, Point]
    arrows: Sequence[Arrow]
    curves: Sequence[Curve]

    def box(self) -> tuple[float, float, float, float]:
        """Left, right, low and high of all that is drawn, with a margin."""
        points = np.concatenate([*self.curves, np.array(list(self.places.values()))])
        (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
        return left - 0.4, right + 0.4, low - 0.4, high + 0.5


def lay_out(graph: Graph, arrows: Sequence[Arrow]) -> Layout:
    """States from left to right by their distance from the start."""
    kinds = {node.name: node.kind for node in graph.nodes}
    places = _places(kinds, arrows)
    return Layout(kinds, places, arrows, _curves(places, arrows))


def _places(kinds: Mapping[str, str], arrows: Sequence[Arrow]) -> dict[str, Point]:
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


def _distances(start: str, arrows: Sequence[Arrow]) -> dict[str, int]:
    """The least number of edges from the start to each state."""
    found, ahead = {start: 0}, deque([start])
    while ahead:
        source = ahead.popleft()
        for arrow in arrows:
            if arrow.source == source and arrow.target not in found:
                found[arrow.target] = found[source] + 1
                ahead.append(arrow.target)
    return found


def _curves(places: Mapping[str, Point], arrows: Sequence[Arrow]) -> list[Curve]:
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


def _is_blocked(begin: Point, end: Point, places: Mapping[str, Point]) -> bool:
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
