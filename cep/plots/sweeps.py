"""A score over two parameters of a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cep.backtesting.checks import known_name
from cep.backtesting.score_table import ALL, delay_text
from cep.backtesting.sweep import Sweep, setting_text
from cep.display.style import shortened
from cep.plots.style import figure, go, plain

CELLS_WITH_TEXT_MAX = 200
VALUE_LENGTH = 20


def sweep_heatmap(sweep: Sweep, x: str, y: str, score: str = "f1", pattern: str = ALL) -> go.Figure:
    """One score of a pattern for each value of the parameters `x` and `y`.

    Where other parameters vary too, a cell has the highest score of its trials, and the hover says
    their setting. Raises DataError for a parameter, a score or a pattern that there is not.
    """
    for name in (x, y):
        known_name("no parameter", name, sweep.parameters)
    columns, rows = (_values(sweep, name) for name in (x, y))
    best = _best(sweep, (x, y), score, pattern)
    cells = [[best.get((column, row)) for column in columns] for row in rows]
    shown = "F1" if score == "f1" else score.replace("_", " ")
    whose = "all patterns" if pattern == ALL else pattern
    drawn = figure(f"{shown} of {whose}", xaxis=_axis(x), yaxis=_axis(y))
    drawn.add_trace(
        go.Heatmap(
            x=[_shown(value) for value in columns],
            y=[_shown(value) for value in rows],
            z=[[None if cell is None else cell[0] for cell in row] for row in cells],
            text=[["" if cell is None else _text(score, cell[0]) for cell in row] for row in cells],
            texttemplate="%{text}" if len(columns) * len(rows) <= CELLS_WITH_TEXT_MAX else None,
            hovertext=[[_hover(score, cell) for cell in row] for row in cells],
            hoverinfo="text",
            colorscale="Viridis",
            colorbar={"outlinewidth": 0, "thickness": 14},
            xgap=1,
            ygap=1,
        )
    )
    return drawn


Cell = tuple[float, Mapping[str, Any]]


def _values(sweep: Sweep, name: str) -> list[Any]:
    """The values of a parameter: texts, which may be durations, as they come, others in order."""
    values = list(dict.fromkeys(trial.setting.get(name) for trial in sweep))
    has_order = not any(value is None or isinstance(value, str) for value in values)
    return sorted(values) if has_order else values


def _best(sweep: Sweep, axes: Sequence[str], score: str, pattern: str) -> dict[Any, Cell]:
    """Values of both axes -> the highest score there, with its setting; those that are known."""
    best: dict[Any, Cell] = {}
    for trial, value in zip(sweep, sweep.values(score, pattern), strict=True):
        place = tuple(trial.setting.get(name) for name in axes)
        if not math.isnan(value) and (place not in best or value > best[place][0]):
            best[place] = (value, trial.setting)
    return best


def _axis(name: str) -> dict[str, Any]:
    return {"title": {"text": plain(name)}, "type": "category", "showgrid": False}


def _shown(value: Any) -> str:
    return "default" if value is None else plain(shortened(setting_text(value), VALUE_LENGTH))


def _text(score: str, value: float) -> str:
    if score == "delay":
        return delay_text(value)
    if abs(value) <= 1:
        return f"{value:.3f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _hover(score: str, cell: Cell | None) -> str:
    if cell is None:
        return ""
    value, setting = cell
    lines = [f"{plain(name)} = {plain(setting_text(each))}" for name, each in setting.items()]
    return "<br>".join([*lines, f"{score} {_text(score, value)}"])
