"""How well patterns find what is labelled: precision over recall, and scores as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cep.backtesting.backtest import Backtest
from cep.backtesting.intervals import Estimate
from cep.backtesting.score_table import ALL, delay_text, share_text
from cep.backtesting.scores import Score
from cep.backtesting.sweep import Sweep, setting_text
from cep.display.style import shortened
from cep.plots.style import GRID, INK, PALETTE, figure, go, plain

INTERVALS_MAX = 12  # points of a curve, up to which intervals can be told apart
F1_LINES = (0.2, 0.4, 0.6, 0.8)
NAME_LENGTH = 24
LABEL_LENGTH = 12
LABEL_ROOM = 0.03  # of both axes, which a label has for itself
SHOWN = {"precision": "precision", "recall": "recall", "f1": "F1"}


def precision_recall(scored: Backtest | Sweep, patterns: Sequence[str] | None = None) -> go.Figure:
    """Precision over recall of each pattern and of all as one, for each setting of a sweep.

    Settings of one parameter are joined to a curve, in their order. `patterns`: those that are
    drawn, "all" among them; None: every one, "all" only where there are several. The hover says the
    setting and the scores with their intervals. Where the points of a curve are few, intervals are
    drawn, and points that have room say their setting. The dotted lines have the same F1. Settings
    that flag nothing have no precision and no point. Raises DataError for a pattern that there is
    not.
    """
    tables = [trial.scores for trial in scored] if isinstance(scored, Sweep) else [scored.scores]
    settings = [trial.setting for trial in scored] if isinstance(scored, Sweep) else [{}]
    patterns = [patterns] if isinstance(patterns, str) else patterns
    names = _drawn(tables[0].names) if patterns is None else patterns
    mode = "lines+markers" if len(settings[0]) == 1 else "markers"
    drawn = figure(
        "Precision and recall of events",
        hovermode="closest",
        showlegend=True,
        xaxis={"title": {"text": "recall"}, "range": [-0.02, 1.05]},
        yaxis={"title": {"text": "precision"}, "range": [-0.03, 1.06]},
    )
    for f1 in F1_LINES:
        _mark_f1(drawn, f1)
    for number, name in enumerate(names):
        points = [(table[name], one) for table, one in zip(tables, settings, strict=True)]
        color = INK if name == ALL else PALETTE[number % len(PALETTE)]
        drawn.add_trace(_points(name, points, color, mode))
    return drawn


def _drawn(names: Sequence[str]) -> Sequence[str]:
    """All of one pattern is that pattern."""
    return names[:1] if len(names) == 2 else names


def _mark_f1(drawn: go.Figure, f1: float) -> None:
    """The points of one F1: precision = f1 recall / (2 recall - f1)."""
    recall = np.geomspace(f1 / (2 - f1), 1, 100)  # the line is steep where recall is low
    precision = f1 * recall / (2 * recall - f1)
    line = {"color": GRID, "dash": "dot", "width": 1.5}
    drawn.add_trace(
        go.Scatter(
            x=recall, y=precision, mode="lines", line=line, hoverinfo="skip", showlegend=False
        )
    )
    end = {"x": 1, "y": float(precision[-1]), "xanchor": "left", "font": {"size": 11}}
    drawn.add_annotation(text=f"F1 {f1:g}", showarrow=False, **end)


def _points(
    name: str, points: Sequence[tuple[Score, Mapping[str, Any]]], color: str, mode: str
) -> go.Scatter:
    known = [(score, one) for score, one in points if score.flagged and score.labelled]
    recall = [score.recall for score, _ in known]
    precision = [score.precision for score, _ in known]
    few = len(known) <= INTERVALS_MAX
    return go.Scatter(
        x=[estimate.value for estimate in recall],
        y=[estimate.value for estimate in precision],
        error_x=_interval(recall, color) if few else None,
        error_y=_interval(precision, color) if few else None,
        name=plain(shortened(name, NAME_LENGTH)),
        mode=f"{mode}+text" if few and "lines" in mode else mode,
        text=_labels(known),
        textposition="bottom left",
        textfont={"size": 11},
        cliponaxis=False,
        line={"color": color, "width": 1.5},
        marker={"color": color, "size": 7},
        hovertext=[_hover(score, one) for score, one in known],
        hoverinfo="text",
    )


def _labels(points: Sequence[tuple[Score, Mapping[str, Any]]]) -> list[str]:
    """The value of the one parameter of a curve, where it does not stand upon another."""
    labels: list[str] = []
    taken: list[tuple[float, float]] = []
    for score, setting in points:
        x, y = score.recall.value, score.precision.value
        is_free = all(abs(x - a) > LABEL_ROOM or abs(y - b) > LABEL_ROOM for a, b in taken)
        (value,) = setting.values() if len(setting) == 1 and is_free else ("",)
        labels.append(plain(shortened(setting_text(value), LABEL_LENGTH)))
        taken += [(x, y)] if is_free else []
    return labels


def _interval(estimates: Sequence[Estimate], color: str) -> dict[str, Any]:
    return {
        "type": "data",
        "array": [one.high - one.value for one in estimates],
        "arrayminus": [one.value - one.low for one in estimates],
        "color": color,
        "thickness": 1.5,
        "width": 3,
    }


def _hover(score: Score, setting: Mapping[str, Any]) -> str:
    values = [f"{plain(name)} = {plain(setting_text(v))}" for name, v in setting.items()]
    lines = [
        f"precision {share_text(score.precision)}",
        f"recall {share_text(score.recall)}",
        f"F1 {share_text(score.f1)}",
        f"{score.alerts_per_day.value:,.3g} alerts a day",
        f"median delay {delay_text(score.delay.value)}",
    ]
    return "<br>".join([f"<b>{plain(score.pattern)}</b>", *values, *lines])


def scores(backtest: Backtest) -> go.Figure:
    """Precision, recall and F1 of each pattern and of all as one, as bars with their intervals."""
    table = list(backtest.scores)
    drawn = figure(
        "Scores of events",
        barmode="group",
        height=150 + 75 * len(table),
        xaxis={"range": [0, 1.02]},
        yaxis={"autorange": "reversed"},  # the first pattern above
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
    )
    for (name, shown), color in zip(SHOWN.items(), PALETTE, strict=False):
        estimates: list[Estimate] = [getattr(score, name) for score in table]
        drawn.add_trace(
            go.Bar(
                y=[plain(shortened(score.pattern, NAME_LENGTH)) for score in table],
                x=[one.value for one in estimates],
                error_x=_interval(estimates, color),
                name=shown,
                orientation="h",
                marker={"color": color, "opacity": 0.45, "line": {"width": 0}},
                hovertext=[
                    f"{plain(score.pattern)}: {shown} {share_text(one)}"
                    for score, one in zip(table, estimates, strict=True)
                ],
                hoverinfo="text",
            )
        )
    return drawn
