"""How late events come, and what a bound on their lateness would lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.printer import print_duration
from cep.engine.batch import Int64s
from cep.plots.data import as_table, times_us
from cep.plots.style import PALETTE, figure, go

SECOND_US = 1_000_000
TICKS = {0: "0", 1: "1 s", 2: "2 s", 5: "5 s", 10: "10 s", 30: "30 s", 60: "1 min", 300: "5 min"}
TICKS |= {1_800: "30 min", 7_200: "2 h", 21_600: "6 h", 86_400: "1 d", 604_800: "7 d"}
Floats = npt.NDArray[np.float64]


def lateness(
    data: Any, time: str, bounds: Sequence[float] = (0, 2, 10, 60), unit: str = "ms"
) -> go.Figure:
    """The share of events that come later than a delay, for every delay. Rows in order of arrival.

    An event is late by the greatest event time before it less its own. With a `lateness` of d the
    stream loses what is late by more than d. `bounds` (seconds) are marked, with what they lose.
    `unit` is what bare numbers in column `time` count. Raises DataError for an empty table and for
    a row without a time.
    """
    late_us = late_by_us(times_us(as_table(data), time, unit))
    if not len(late_us):
        raise DataError("no events: there is nothing to be late")
    delays = np.unique(np.append(late_us, [0, *_in_us(bounds)]))
    drawn = figure(
        f"Lateness of {len(late_us):,} events: {int((late_us > 0).sum()):,} come out of order",
        xaxis={"title": {"text": "lateness allowed"}, **_ticks(int(delays[-1]))},
        yaxis={"title": {"text": "events lost"}, "ticksuffix": " %", "rangemode": "tozero"},
    )
    curve = {"shape": "hv", "color": PALETTE[0], "width": 2}
    drawn.add_trace(_points("events lost", late_us, delays, mode="lines", line=curve))
    marks = {"size": 11, "color": PALETTE[3]}
    drawn.add_trace(_points("bounds", late_us, _in_us(bounds), mode="markers+text", marker=marks))
    drawn.update_layout(showlegend=False)
    return drawn


def late_by_us(time_us: Int64s) -> Int64s:
    """How far each event lies behind the greatest time of the events before it; 0: not at all."""
    if not len(time_us):
        return time_us
    before = np.insert(np.maximum.accumulate(time_us)[:-1], 0, time_us[0])
    late: Int64s = np.maximum(before - time_us, 0)
    return late


def _in_us(bounds: Sequence[float]) -> Int64s:
    return np.array([round(bound * SECOND_US) for bound in bounds], np.int64)


def _lost(late_us: Int64s, delay_us: Int64s) -> Int64s:
    """How many events are late by more than each delay."""
    lost: Int64s = len(late_us) - np.searchsorted(np.sort(late_us), delay_us, side="right")
    return lost


def _points(name: str, late_us: Int64s, delay_us: Int64s, **look: Any) -> go.Scatter:
    lost = _lost(late_us, delay_us)
    share = 100 * lost / len(late_us)
    return go.Scatter(
        x=_axis(delay_us),
        y=share,
        name=name,
        text=[f"{value:.3g} %" for value in share],
        textposition="top right",
        customdata=[
            f"lateness {print_duration(int(delay))}: {count:,} events lost ({value:.3g} %)"
            for delay, count, value in zip(delay_us, lost, share, strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
        cliponaxis=False,
        **look,
    )


def _axis(delay_us: Int64s) -> Floats:
    """Like a logarithm of the seconds, but with a place for 0."""
    places: Floats = np.log10(1 + delay_us / SECOND_US)
    return places


def _ticks(greatest_us: int) -> dict[str, Any]:
    shown = {s: text for s, text in TICKS.items() if s * SECOND_US <= max(greatest_us, SECOND_US)}
    end = float(_axis(np.array([max(greatest_us, SECOND_US)]))[0])
    return {
        "tickvals": _axis(_in_us(list(shown))),
        "ticktext": list(shown.values()),
        "tickangle": 0,
        "range": [-0.03 * end, 1.06 * end],
    }
