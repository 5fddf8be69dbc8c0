"""Where the labels of an automaton stand: beside their curves, clear of all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cep.display.arrows import Arrow
from cep.display.layout import COLUMN_PX, NODE_PX, ROW_PX, Curve, Layout, Point

LETTER_PX, LINE_PX, GAP_PX, FARTHER_PX = 6.3, 14, 5, 12
TRIED = (15, 18, 12, 21, 9, 24, 6)  # points of a curve, its middle first
COSTS = {"label": 40.0, "state": 20.0, "curve": 2.0, "place": 0.3}
_PX = np.array([COLUMN_PX, ROW_PX])

Box = npt.NDArray[np.float64]  # left, low, right, high in pixels


def label_places(layout: Layout) -> list[Point]:
    """The centre of each arrow's label, in the layout's units; the middle where there is none."""
    crowd = _Crowd(layout)
    return [crowd.place(a, c) for a, c in zip(layout.arrows, layout.curves, strict=True)]


class _Crowd:
    """What a label has to stand clear of; labels that have their place join it."""

    def __init__(self, layout: Layout) -> None:
        self._points = np.concatenate([*layout.curves, np.zeros((0, 2))]) * _PX
        centers = np.array(list(layout.places.values())) * _PX
        self._states = np.hstack([centers - NODE_PX / 2, centers + NODE_PX / 2])
        self._labels: list[Box] = []

    def place(self, arrow: Arrow, curve: Curve) -> Point:
        """The best place for a label, which is taken from then on."""
        if not arrow.lines:
            return float(curve[15][0]), float(curve[15][1])
        boxes = list(_candidates(arrow.lines, curve * _PX))
        costs = [self._cost(box) + COSTS["place"] * n for n, box in enumerate(boxes)]
        best = boxes[int(np.argmin(costs))]
        self._labels.append(best)
        x, y = (best[:2] + best[2:]) / 2 / _PX
        return float(x), float(y)

    def _cost(self, box: Box) -> float:
        inside = (self._points > box[:2]).all(axis=1) & (self._points < box[2:]).all(axis=1)
        states, labels = _overlaps(box, self._states), _overlaps(box, np.array(self._labels))
        return (
            COSTS["curve"] * int(inside.sum()) + COSTS["state"] * states + COSTS["label"] * labels
        )


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
