"""A match as SVG: its events on a time axis, a lane for each variable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element

from cep.display.html import svg, tag
from cep.display.style import GRID, INK, PALETTE, shortened
from cep.display.tables import fields_lines
from cep.results.columns import TakenEvent
from cep.results.values import as_cell

WIDTH, LANE, DOT, SMALL_DOT = 720, 28, 6, 3.5
CROWD = 60  # events, from which they are drawn small
NAME_LENGTH, LETTER_PX = 20, 7
LANES_DRAWN = 25


def timeline_svg(taken: Sequence[TakenEvent]) -> Element:
    """The events from the first to the last, all fields for who points at one.

    Variables beyond the first 25 share the last lane.
    """
    axes = _Axes(taken)
    made = svg(WIDTH, axes.bottom + 22)
    made.extend(axes.lanes())
    made.append(tag("polyline", points=axes.path(taken), fill="none", **_PATH))
    made.extend(axes.dot(one) for one in taken)
    made.extend(axes.times())
    return made


_PATH = {"stroke": INK, "stroke-width": 1, "stroke-dasharray": "2 3"}


class _Axes:
    """Times from left to right, variables from top to bottom."""

    def __init__(self, taken: Sequence[TakenEvent]) -> None:
        names = list(dict.fromkeys(one.variable for one in taken))
        self._lane = {name: min(place, LANES_DRAWN) for place, name in enumerate(names)}
        self._names = names[:LANES_DRAWN]
        if len(names) > LANES_DRAWN:
            self._names.append(f"{len(names) - LANES_DRAWN:,} more")
        self._first, self._last = taken[0].time, taken[-1].time
        longest = max(len(shortened(name, NAME_LENGTH)) for name in self._names)
        self._left = longest * LETTER_PX + 24
        self._radius = DOT if len(taken) <= CROWD else SMALL_DOT
        self.bottom = len(self._names) * LANE + 4

    def x(self, time: datetime) -> float:
        """An only time stands in the middle."""
        lasted, width = self._last - self._first, WIDTH - self._left - 20
        part = (time - self._first) / lasted if lasted > timedelta(0) else 0.5
        return self._left + width * part

    def y(self, lane: int) -> float:
        return lane * LANE + LANE / 2 + 2

    def lanes(self) -> Iterator[Element]:
        for lane, name in enumerate(self._names):
            y = self.y(lane)
            text = tag("text", shortened(name, NAME_LENGTH), x=4, y=y + 4, fill="currentColor")
            text.append(tag("title", name))
            yield text
            line = {"x1": self._left - 10, "x2": WIDTH - 10, "y1": y, "y2": y}
            yield tag("line", stroke=GRID, **line)

    def path(self, taken: Sequence[TakenEvent]) -> str:
        """Through the events in their order."""
        places = ((self.x(one.time), self.y(self._lane[one.variable])) for one in taken)
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)

    def dot(self, one: TakenEvent) -> Element:
        lane = self._lane[one.variable]
        look = {"fill": PALETTE[lane % len(PALETTE)], "fill-opacity": 0.85}
        title = "\n".join((f"{one.variable}, {as_cell(one.time)}", *fields_lines(one.event)))
        place = {"cx": round(self.x(one.time), 1), "cy": self.y(lane), "r": self._radius}
        return tag("circle", tag("title", title), **place, **look)

    def times(self) -> Iterator[Element]:
        """The first time at the left, the last at the right, with its date where it is another."""
        y = self.bottom + 14
        if self._first == self._last:
            middle = {"x": round(self.x(self._first)), "text-anchor": "middle"}
            yield tag("text", as_cell(self._first), y=y, fill=INK, **middle)
            return
        is_same_day = self._last.date() == self._first.date()
        last = as_cell(self._last).partition(" ")[2 if is_same_day else 0]
        end = {"x": WIDTH - 10, "text-anchor": "end"}
        yield tag("text", as_cell(self._first), x=self._left - 10, y=y, fill=INK)
        yield tag("text", last, y=y, fill=INK, **end)
