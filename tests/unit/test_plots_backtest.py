"""What the plots of scores say: the data in their traces, for small inputs worked out by hand."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

import cep
from cep import plots

RULES = cep.compile("""
parameter $limit = 500;
parameter $low = 100;
pattern large match t define t as amount > $limit after match no skip;
pattern small match t define t as amount < $low after match no skip;
""")
DATA = pa.table(
    {
        "time": pa.array(range(4), pa.timestamp("s")),
        "amount": [50, 300, 600, 700],
        "fraud": [1, 0, 1, 1],
    }
)


def trace(figure: Any, name: str) -> Any:
    (found,) = [one for one in figure.data if one.name == name]
    return found


def swept(**settings: list[Any]) -> cep.Sweep:
    return cep.sweep(RULES, DATA, "fraud", settings)


# -- precision and recall --------------------------------------------------------------------------


def test_a_sweep_is_a_curve_for_each_pattern_in_the_order_of_its_settings() -> None:
    figure = plots.precision_recall(swept(limit=[200, 500, 650]))
    large = trace(figure, "large")
    assert large.mode == "lines+markers+text"
    assert list(large.text) == ["200", "500", "650"]
    assert list(large.x) == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert list(large.y) == pytest.approx([2 / 3, 1, 1])
    assert [text.split("<br>")[:3] for text in large.hovertext[:2]] == [
        ["<b>large</b>", "limit = 200", "precision 0.667 (.208-.939)"],
        ["<b>large</b>", "limit = 500", "precision 1.000 (.342-1.000)"],
    ]


def test_of_points_on_one_place_the_first_says_its_setting() -> None:
    large = trace(plots.precision_recall(swept(limit=[200, 210, 650])), "large")
    assert list(large.text) == ["200", "", "650"]


def test_intervals_are_drawn_where_the_points_are_few() -> None:
    few = trace(plots.precision_recall(swept(limit=[500])), "large")
    assert few.error_y.array[0] == pytest.approx(0)
    assert few.error_y.arrayminus[0] == pytest.approx(1 - 0.3424, abs=1e-4)
    many = trace(plots.precision_recall(swept(limit=list(range(13)))), "large")
    assert many.error_y.array is None
    assert many.mode == "lines+markers"


def test_settings_that_flag_nothing_have_no_point() -> None:
    figure = plots.precision_recall(swept(limit=[500, 1000]))
    assert list(trace(figure, "large").x) == pytest.approx([2 / 3])


def test_settings_of_several_parameters_are_points_that_nothing_joins() -> None:
    figure = plots.precision_recall(swept(limit=[200, 500], low=[0, 100]))
    assert trace(figure, "large").mode == "markers"
    assert len(trace(figure, "all").x) == 4


def test_a_backtest_is_a_point_for_each_pattern_and_for_all() -> None:
    figure = plots.precision_recall(cep.backtest(RULES, DATA, "fraud"))
    points = {one.name: (one.x[0], one.y[0]) for one in figure.data if one.name}
    assert points == {
        "large": (pytest.approx(2 / 3), 1),
        "small": (pytest.approx(1 / 3), 1),
        "all": (1, 1),
    }


def test_of_one_pattern_and_those_that_are_named_only_these_are_drawn() -> None:
    backtest = cep.backtest(RULES, DATA, "fraud")
    alone = plots.precision_recall(backtest.only("large"))
    assert [one.name for one in alone.data if one.name] == ["large"]
    named = plots.precision_recall(backtest, ["small", "all"])
    assert [one.name for one in named.data if one.name] == ["small", "all"]
    named = plots.precision_recall(backtest, "small")
    assert [one.name for one in named.data if one.name] == ["small"]
    with pytest.raises(cep.DataError, match="no scores of a pattern 'lagre'"):
        plots.precision_recall(backtest, ["lagre"])


def test_dotted_lines_have_one_f1() -> None:
    line = plots.precision_recall(swept(limit=[500])).data[0]
    for x, y in zip(line.x, line.y, strict=True):
        assert 2 * x * y / (x + y) == pytest.approx(0.2)


# -- scores ----------------------------------------------------------------------------------------


def test_scores_are_bars_with_intervals() -> None:
    figure = plots.scores(cep.backtest(RULES, DATA, "fraud"))
    recall = trace(figure, "recall")
    assert list(recall.y) == ["large", "small", "all"]
    assert list(recall.x) == pytest.approx([2 / 3, 1 / 3, 1])
    assert recall.error_x.arrayminus[0] == pytest.approx(2 / 3 - 0.2077, abs=1e-4)
    assert recall.hovertext[0] == "large: recall 0.667 (.208-.939)"


# -- heatmap ---------------------------------------------------------------------------------------


def test_a_heatmap_has_a_cell_for_each_pair_of_values_in_order() -> None:
    figure = plots.sweep_heatmap(swept(limit=[650, 500], low=[100, 0]), "limit", "low", "recall")
    (cells,) = figure.data
    assert (list(cells.x), list(cells.y)) == (["500", "650"], ["0", "100"])
    assert [list(row) for row in cells.z] == [
        pytest.approx([2 / 3, 1 / 3]),
        pytest.approx([1, 2 / 3]),
    ]
    assert cells.hovertext[1][0] == "limit = 500<br>low = 100<br>recall 1.000"
    assert [list(row) for row in cells.text] == [["0.667", "0.333"], ["1.000", "0.667"]]


def test_shares_have_as_many_digits_in_each_cell() -> None:
    (cells,) = plots.sweep_heatmap(swept(limit=[500], low=[0]), "limit", "low", "f1").data
    assert cells.text[0][0] == "0.800"


def test_a_cell_of_several_trials_has_the_highest_score_and_one_of_none_is_empty() -> None:
    trials = [{"limit": 500, "low": 0}, {"limit": 500, "low": 100}, {"limit": 1000, "low": 0}]
    sweep = cep.sweep(RULES, DATA, "fraud", trials)
    (cells,) = plots.sweep_heatmap(sweep, "limit", "limit", "recall").data
    assert [list(row) for row in cells.z] == [[1, None], [None, 0]]
    assert cells.text[0][1] == ""


def test_texts_which_may_be_durations_stay_as_they_come() -> None:
    rules = cep.compile("""
    parameter $gap = 1 day;
    parameter $limit = 5;
    pattern p match a -> b within $gap define a as amount > $limit, b as true
    """)
    settings: dict[str, list[Any]] = {"gap": ["2 days", "10 days"], "limit": [1]}
    sweep = cep.sweep(rules, DATA, "fraud", settings)
    (cells,) = plots.sweep_heatmap(sweep, "limit", "gap", "delay").data
    assert list(cells.y) == ["2 days", "10 days"]
    assert cells.text[0][0] == "0:00:01"


def test_a_parameter_that_was_not_varied_has_no_axis() -> None:
    with pytest.raises(cep.DataError, match="no parameter 'lmit'; did you mean 'limit'"):
        plots.sweep_heatmap(swept(limit=[1]), "lmit", "limit")
