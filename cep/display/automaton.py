"""A pattern's automaton as SVG."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

import numpy as np

from cep.display.arrows import Arrow, arrows, words_inside
from cep.display.html import svg, tag
from cep.display.labels import LINE_PX, label_places
from cep.display.layout import COLUMN_PX, NODE_PX, ROW_PX, Curve, Layout, Point, lay_out
from cep.display.style import INK, PALETTE, STATE_COLORS
from cep.engine.algebra.pattern import Pattern
from cep.engine.automaton.explain import Graph

HEAD_PX = 9
STROKES = {
    "take": {"stroke": PALETTE[0], "stroke-width": "2"},
    "deadline": {"stroke": PALETTE[0], "stroke-width": "2"},
    "ignore": {"stroke": INK, "stroke-width": "1", "stroke-dasharray": "4 3"},
    "kill": {"stroke": PALETTE[3], "stroke-width": "1.5", "stroke-dasharray": "2 3"},
}


def automaton_svg(graph: Graph, pattern: Pattern) -> Element:
    """The automaton as a picture; what is shortened is in full when one points at it."""
    layout = lay_out(graph, arrows(graph, pattern))
    left, right, low, high = layout.box()
    width, height = (right - left) * COLUMN_PX, (high - low) * ROW_PX
    place = _Plane(left, high)
    made = svg(round(width), round(height))
    made.extend(_line(a, place.curve(c)) for a, c in zip(layout.arrows, layout.curves, strict=True))
    made.extend(_states(layout, place))
    made.extend(_labels(layout, place))
    return made


class _Plane:
    """Units of the layout -> pixels, y downwards."""

    def __init__(self, left: float, high: float) -> None:
        self._left, self._high = left, high

    def point(self, at: Point) -> Point:
        return (at[0] - self._left) * COLUMN_PX, (self._high - at[1]) * ROW_PX

    def curve(self, curve: Curve) -> Curve:
        return np.stack(
            [(curve[:, 0] - self._left) * COLUMN_PX, (self._high - curve[:, 1]) * ROW_PX], 1
        )


def _line(arrow: Arrow, curve: Curve) -> Element:
    """The curve of an edge with a head that ends at the rim of the state."""
    tip, way = _tip(curve, NODE_PX / 2 + (6 if arrow.target == "match" else 1))
    shaft = [*_up_to(tip, curve), tip - HEAD_PX * way]
    stroke = STROKES[arrow.action]
    path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in shaft)
    return tag(
        "g",
        tag("title", "\n".join((f"{arrow.source} → {arrow.target}", *arrow.details))),
        tag("path", d=path, fill="none", **stroke),
        tag("polygon", points=_head(tip, way), fill=stroke["stroke"]),
    )


def _tip(curve: Curve, rim: float) -> tuple[Curve, Curve]:
    """Where the curve meets the rim of its last point, and the direction there."""
    outside = np.flatnonzero(np.hypot(*(curve - curve[-1]).T) > rim)
    way = curve[-1] - curve[outside[-1] if len(outside) else 0]
    way = way / max(float(np.hypot(*way)), 1e-9)
    return curve[-1] - rim * way, way


def _up_to(tip: Curve, curve: Curve) -> Curve:
    """The curve without what the head covers."""
    near = np.flatnonzero(np.hypot(*(curve - tip).T) < HEAD_PX)
    return curve[: max(int(near[0]), 1)] if len(near) else curve[:-1]


def _head(tip: Curve, way: Curve) -> str:
    aside = np.array([-way[1], way[0]]) * HEAD_PX * 0.45
    back = tip - HEAD_PX * way
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in (tip, back + aside, back - aside))


def _states(layout: Layout, place: _Plane) -> Iterator[Element]:
    for name, kind in layout.kinds.items():
        x, y = place.point(layout.places[name])
        yield tag(
            "g",
            tag("title", f"{name} ({kind})"),
            _circle(x, y, NODE_PX / 2, fill=STATE_COLORS[kind]),
            _circle(x, y, NODE_PX / 2 + 4, fill="none", stroke=STATE_COLORS[kind])
            if kind == "match"
            else None,
            _lines(x, y, words_inside(name), fill="white"),
        )


def _circle(x: float, y: float, radius: float, **look: str) -> Element:
    return tag("circle", cx=round(x, 1), cy=round(y, 1), r=radius, **look)


def _labels(layout: Layout, place: _Plane) -> Iterator[Element]:
    for arrow, at in zip(layout.arrows, label_places(layout), strict=True):
        if arrow.lines:
            made = _lines(*place.point(at), arrow.lines, fill="currentColor")
            made.insert(0, tag("title", "\n".join(arrow.details)))
            if arrow.title:
                made[1].set("font-weight", "bold")
            yield made


def _lines(x: float, y: float, lines: list[str] | tuple[str, ...], **look: str) -> Element:
    """Lines of text around a point."""
    first = y - (len(lines) - 1) * LINE_PX / 2 + 4
    made = tag("text", **look)
    made.set("text-anchor", "middle")
    for number, line in enumerate(lines):
        made.append(tag("tspan", line, x=round(x, 1), y=round(first + number * LINE_PX, 1)))
    return made
