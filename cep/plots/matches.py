"""How many matches there are, over time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.printer import print_duration
from cep.engine.batch import Int64s
from cep.plots.data import as_times
from cep.plots.style import figure, go, plain
from cep.results.result import Result

BINS = 60
WHOLE_TICKS = 8
_SECOND, _MINUTE, _HOUR, _DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
_SIZES = (
    *(size * 1_000 for size in (1, 10, 100)),
    *(size * _SECOND for size in (1, 5, 10, 30)),
    *(size * _MINUTE for size in (1, 5, 10, 30)),
    *(size * _HOUR for size in (1, 3, 6, 12)),
    *(size * _DAY for size in (1, 7, 28, 364)),
)


def matches_over_time(result: Result, every: timedelta | None = None) -> go.Figure:
    """How many matches of each pattern end in each bin of time, stacked.

    `every` is the size of a bin; None: a round one that makes at most 60 of them. Bins are aligned
    to 1970. Patterns without a match are in the legend too.
    """
    ends = {name: _ends(result, name) for name in result.matches.counts()}
    size = _bin_size(np.concatenate([*ends.values(), np.zeros(0, np.int64)]), every)
    drawn = figure(
        f"Matches per {print_duration(size)}",
        barmode="stack",
        xaxis={"title": {"text": "end of the match"}, "type": "date"},
        yaxis={"title": {"text": "matches"}, "rangemode": "tozero"},
    )
    for name, end_us in ends.items():
        bins, counts = np.unique(end_us // size * size, return_counts=True)
        drawn.add_trace(_bars(f"{plain(name)} ({len(end_us):,})", bins, counts, size))
    drawn.update_layout(showlegend=True)
    if max((len(end_us) for end_us in ends.values()), default=0) <= WHOLE_TICKS:
        drawn.update_yaxes(dtick=1)  # no halves of a match
    return drawn


def _ends(result: Result, name: str) -> Int64s:
    column: Any = result.matches.by_pattern(name).to_arrow().column("end")
    ends: Int64s = column.cast(pa.int64()).to_numpy()
    return ends


def _bin_size(end_us: Int64s, every: timedelta | None) -> int:
    if every is not None:
        if every <= timedelta(0):
            raise DataError(f"every is {every}: a bin must have a length")
        return every // timedelta(microseconds=1)
    span = int(np.ptp(end_us)) if len(end_us) else 0
    return next((size for size in _SIZES if span < size * BINS), _SIZES[-1])


def _bars(name: str, bins: Int64s, counts: Int64s, size: int) -> go.Bar:
    return go.Bar(
        x=as_times(bins),
        y=counts,
        name=name,
        width=size / 1_000,  # in milliseconds, as Plotly counts time
        offset=0,
        marker={"line": {"width": 0}},
        hovertemplate="from %{x}<br>%{y} matches",
    )
