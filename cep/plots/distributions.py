"""How the values of a field lie, and how many of them a threshold leaves beyond."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cep.backtesting.labels import flags_of
from cep.engine.algebra.errors import DataError
from cep.plots.data import as_table, column_of
from cep.plots.style import INK, PALETTE, figure, go, plain

Floats = npt.NDArray[np.float64]
BINS = 50
SKEWED = 10.0  # the 99th percentile over the median, from which the axis is logarithmic


def distribution(
    data: Any, field: str, threshold: float | None = None, labels: str | None = None
) -> go.Figure:
    """A histogram of a field of numbers, NULL and NaN left out; very skewed ones on a log axis.

    With `labels`, the name of a column of booleans, or of 0 and 1, those where it is true and the
    others are drawn apart, each as shares of its own (NULL counts as false). `threshold` is a line,
    and the legend says how many lie above it. Raises DataError for a column that is missing or has
    no numbers.
    """
    table = as_table(data)
    values = _numbers(column_of(table, field), field)
    groups = _groups(table, values, field, labels)
    known = values[np.isfinite(values)]
    if not len(known):
        raise DataError(f"column {field!r} has no numbers to draw")
    is_log = bool(known.min() > 0) and _is_skewed(known)
    edges = _edges(known, is_log)
    drawn = figure(f"{field}: {len(known):,} values", hovermode="closest", showlegend=True)
    axis: dict[str, Any] = {"title": {"text": plain(field)}, "type": "log" if is_log else "linear"}
    if is_log:
        axis |= {"dtick": 1}
    drawn.update_layout(xaxis=axis, yaxis=_heights(labels))
    for number, (name, group) in enumerate(groups.items()):
        shown = _name(name, group, threshold)
        drawn.add_trace(_steps(shown, group, edges, PALETTE[number], labels is not None))
    if threshold is not None:
        _mark(drawn, threshold, is_log)
    return drawn


def _mark(drawn: go.Figure, threshold: float, is_log: bool) -> None:
    if is_log and threshold <= 0:
        return  # to the left of any logarithmic axis
    drawn.add_vline(x=threshold, line={"color": INK, "dash": "dash"})
    place = {"x": float(np.log10(threshold)) if is_log else threshold, "y": 1, "yref": "paper"}
    drawn.add_annotation(text=f"{threshold:g}", yanchor="bottom", showarrow=False, **place)


def _numbers(column: Any, name: str) -> Floats:
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    if not any(is_kind(column.type) for is_kind in kinds):
        raise DataError(f"column {name!r} is {column.type}: a distribution needs numbers")
    values: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def _groups(table: pa.Table, values: Floats, field: str, labels: str | None) -> dict[str, Floats]:
    finite = np.isfinite(values)
    if labels is None:
        return {field: values[finite]}
    is_labelled = flags_of(table, labels)
    apart = {f"not {labels}": ~is_labelled, labels: is_labelled}
    return {name: values[finite & rows] for name, rows in apart.items()}


def _is_skewed(values: Floats) -> bool:
    middle, high = np.quantile(values, [0.5, 0.99])
    return bool(high > SKEWED * middle)


def _edges(values: Floats, is_log: bool) -> Floats:
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = (low / 2, high * 2) if is_log else (low - 0.5, high + 0.5)
    edges: Floats = (
        np.geomspace(low, high, BINS + 1) if is_log else np.linspace(low, high, BINS + 1)
    )
    edges[0], edges[-1] = low, high  # whatever was rounded: the extremes are inside
    return edges


def _heights(labels: str | None) -> dict[str, Any]:
    text = "values" if labels is None else "share of its own"
    suffix = "" if labels is None else " %"
    return {"title": {"text": text}, "ticksuffix": suffix, "rangemode": "tozero"}


def _name(name: str, group: Floats, threshold: float | None) -> str:
    if threshold is None:
        return f"{plain(name)} ({len(group):,})"
    above = int((group > threshold).sum())
    return f"{plain(name)}: {above:,} of {len(group):,} above"


def _steps(name: str, group: Floats, edges: Floats, color: str, as_share: bool) -> go.Scatter:
    """The outline of a histogram: bars do not lie well on a log axis."""
    counts = np.histogram(group, edges)[0]
    heights = 100 * counts / max(len(group), 1) if as_share else counts
    bounds = [f"{a:.4g} to {b:.4g}" for a, b in pairwise(edges)]
    hover = [f"{bound}: {count:,} values" for bound, count in zip(bounds, counts, strict=True)]
    return go.Scatter(
        x=edges,
        y=np.append(heights, 0),
        name=name,
        mode="lines",
        line={"shape": "hv", "color": color, "width": 2},
        fill="tozeroy",
        opacity=0.9,
        hovertext=[*hover, ""],
        hoverinfo="text",
    )
