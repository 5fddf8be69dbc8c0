"""Where the labels of an automaton stand: beside their curves, clear of all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cep.display.arrows import Arrow
from cep.display.layout import COLUMN_PX, NODE_PX, ROW_PX, Curve, Layout, Point

LETTER_PX, LINE_PX, GAP_PX, FARTHER_PX = 6.3, 14, 5, 12
TRIED = (15, 18, 12, 21, 9, 24, 6)  # points of a curve, its middle first
COSTS = {"label": 40.0, "state": 20.0, "curve": 2.0, "place": 0.07}
_PX = np.array([COLUMN_PX, ROW_PX])

Box = npt.NDArray[np.float64]  # left, low, right, high in pixels


def label_places(layout: Layout) -> list[Point]:
    """The centre of each arrow's label, in the layout's units; the middle where there is none."""
    crowd = _Crowd(layout)
    places = [(float(curve[15][0]), float(curve[15][1])) for curve in layout.curves]
    tried = {
        number: crowd.tried(arrow, curve)
        for number, (arrow, curve) in enumerate(zip(layout.arrows, layout.curves, strict=True))
        if arrow.lines
    }
    for number in sorted(tried, key=lambda number: _free(tried[number])):
        places[number] = crowd.place(tried[number])
    return places


@dataclass(frozen=True, slots=True)
class _Try:
    """A place for a label, and what it costs without the other labels."""

    box: Box
    cost: float


def _free(tried: Sequence[_Try]) -> int:
    """How many of the places are good: where there are few, the others have to make room."""
    return sum(one.cost < COSTS["curve"] for one in tried)


class _Crowd:
    """What a label has to stand clear of; labels that have their place join it."""

    def __init__(self, layout: Layout) -> None:
        self._points = np.concatenate([*layout.curves, np.zeros((0, 2))]) * _PX
        centers = np.array(list(layout.places.values())) * _PX
        half = NODE_PX / 2 + GAP_PX
        self._states = np.hstack([centers - half, centers + half])
        self._labels: list[Box] = []

    def tried(self, arrow: Arrow, curve: Curve) -> list[_Try]:
        boxes = enumerate(_candidates(arrow.lines, curve * _PX))
        return [_Try(box, self._cost(box) + COSTS["place"] * nth) for nth, box in boxes]

    def _cost(self, box: Box) -> float:
        inside = (self._points > box[:2]).all(axis=1) & (self._points < box[2:]).all(axis=1)
        return COSTS["curve"] * int(inside.sum()) + COSTS["state"] * _overlaps(box, self._states)

    def place(self, tried: Sequence[_Try]) -> Point:
        """The best of the places, which is taken from then on."""
        taken = np.array(self._labels)
        costs = [one.cost + COSTS["label"] * _overlaps(one.box, taken) for one in tried]
        best = tried[int(np.argmin(costs))].box
        self._labels.append(best)
        x, y = (best[:2] + best[2:]) / 2 / _PX
        return float(x), float(y)


def _candidates(lines: Sequence[str], curve: Curve) -> Iterator[Box]:
    """Boxes beside the curve, above (or right) of it first."""
    half = np.array([max(map(len, lines)) * LETTER_PX, len(lines) * LINE_PX]) / 2
    for at in TRIED:
        way = curve[at + 1] - curve[at - 1]
        aside = np.array([-way[1], way[0]]) / max(float(np.hypot(*way)), 1e-9)
        aside = aside if (aside[1], aside[0]) >= (0, 0) else -aside
        off = GAP_PX + float(np.abs(aside) @ half)
        for away in (off, -off, off + FARTHER_PX, -off - FARTHER_PX):
            center = curve[at] + away * aside
            yield np.concatenate([center - half, center + half])


def _overlaps(box: Box, others: Box) -> int:
    if not len(others):
        return 0
    apart = (others[:, :2] >= box[2:]) | (others[:, 2:] <= box[:2])
    return int((~apart.any(axis=1)).sum())
