"""Sweeps over parameters: what is run together, and what a table of trials says."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import cep
from cep.backtesting.variants import merge

RULES = cep.compile(
    """
parameter $limit = 500;
parameter $window = 1 day;
stream payments (ts timestamp, card text, amount int) time ts;
feature before on payments as sum(amount) over $window by card excluding current;
pattern large from payments match t define t as amount > $limit after match no skip;
pattern much from payments match t define t as before > 600 after match no skip;
pattern twice from large by card match a -> b within 1 day define a as true, b as true;
""".replace("match t define t as amount > $limit", "by card match t define t as amount > $limit")
)

SIMPLE = cep.compile("""
parameter $limit = 500;
parameter $factor = 2.0;
stream payments (ts timestamp, card text, amount int) time ts;
pattern large from payments match t define t as amount > $limit after match no skip;
pattern jump from payments by card match a -> b within 1 day
  define a as true, b as amount > $factor * a.amount after match skip past last event;
""")

#   amount  100  300  600   50  700
FRAUD = [0, 0, 1, 0, 1]
DATA = pa.table(
    {
        "ts": [datetime(2025, 3, 1 + day) for day in (0, 0, 0, 1, 1)],  # noqa: DTZ001 - no zone
        "card": ["A"] * 5,
        "amount": [100, 300, 600, 50, 700],
        "fraud": FRAUD,
    }
)


def rows_of(sweep: cep.Sweep, pattern: str, *columns: str) -> list[tuple[Any, ...]]:
    rows = [row for row in sweep.to_arrow().to_pylist() if row["pattern"] == pattern]
    return [tuple(row[name] for name in columns) for row in rows]


# -- trials ----------------------------------------------------------------------------------------


def test_every_value_is_a_trial_with_the_scores_of_its_rules() -> None:
    sweep = cep.sweep(SIMPLE, DATA, "fraud", {"limit": [200, 500, 650]})
    assert rows_of(sweep, "large", "limit", "flagged", "hits") == [
        (200, 3, 2),
        (500, 2, 2),
        (650, 1, 1),
    ]
    assert sweep.values("precision", "large") == pytest.approx([2 / 3, 1, 1])
    assert [trial.setting for trial in sweep] == [{"limit": n} for n in (200, 500, 650)]


def test_every_combination_of_values_is_tried() -> None:
    settings: dict[str, list[Any]] = {"limit": [200, 500], "factor": [1.5, 2.0]}
    sweep = cep.sweep(SIMPLE, DATA, "fraud", settings)
    assert rows_of(sweep, "all", "limit", "factor") == [
        (200, 1.5),
        (200, 2.0),
        (500, 1.5),
        (500, 2.0),
    ]


def test_settings_can_be_listed_and_those_left_out_keep_their_defaults() -> None:
    sweep = cep.sweep(SIMPLE, DATA, "fraud", [{"limit": 650}, {"factor": 100}])
    assert rows_of(sweep, "large", "limit", "factor", "flagged") == [
        (650, None, 1),
        (None, 100, 2),
    ]


def test_ranges_of_numpy_are_values() -> None:
    sweep = cep.sweep(SIMPLE, DATA, "fraud", {"limit": np.arange(200, 800, 300)})
    assert [type(trial.setting["limit"]) for trial in sweep] == [int, int]


def test_the_options_are_those_of_a_backtest() -> None:
    options: dict[str, Any] = {
        "labels": "fraud",
        "case": "card",
        "amount": "amount",
        "flagged": {"jump": "b"},
        "patterns": ["jump"],
    }
    sweep = cep.sweep(SIMPLE, DATA, settings={"factor": [2.0]}, **options)
    backtest = cep.backtest(SIMPLE, DATA, **options)
    assert sweep[0].scores.to_arrow().equals(backtest.scores.to_arrow())
    assert sweep.names == ("jump", "all")


def test_values_that_change_features_and_rules_that_others_read_are_tried() -> None:
    settings: dict[str, list[Any]] = {"limit": [200, 500], "window": ["12 hours", "2 days"]}
    sweep = cep.sweep(RULES, DATA, "fraud", settings, patterns=["large", "much"])
    assert rows_of(sweep, "much", "limit", "window", "flagged") == [
        (200, "12 hours", 0),
        (200, "2 days", 2),
        (500, "12 hours", 0),
        (500, "2 days", 2),
    ]
    assert [flagged for (flagged,) in rows_of(sweep, "large", "flagged")] == [3, 3, 2, 2]


# -- what is run together --------------------------------------------------------------------------


def test_patterns_that_differ_are_run_as_one_rule_set_and_equal_ones_once() -> None:
    variants = [SIMPLE.with_parameters(limit=limit) for limit in (1, 2, 3)]
    (merged,) = merge(variants)
    assert [p.name for p in merged.rules.patterns] == [
        "large #1",
        "jump #1",
        "large #2",
        "large #3",
    ]
    assert merged.names[2] == {"large": "large #3", "jump": "jump #1"}


def test_what_others_read_is_shared_or_run_apart() -> None:
    """The rows of large are read under its name; the window of the feature is another feature."""
    variants = [RULES.with_parameters(limit=limit) for limit in (1, 1, 2)]
    first, second = merge(variants)
    assert list(first.names) == [0, 1]
    assert [p.name for p in first.rules.patterns] == ["large", "much #1", "twice #1"]
    assert list(second.names) == [2]
    windows = [RULES.with_parameters(window=window) for window in ("1 day", "2 days")]
    assert len(merge(windows)) == 2


# -- the table -------------------------------------------------------------------------------------


def test_the_best_trial_has_the_highest_score_and_of_equals_is_the_first() -> None:
    sweep = cep.sweep(SIMPLE, DATA, "fraud", {"limit": [200, 500, 550, 650]})
    assert sweep.best("f1", "large").setting == {"limit": 500}
    assert sweep.best("alerts_per_day", "large", highest=False).setting == {"limit": 650}


def test_a_trial_without_the_score_is_not_the_best() -> None:
    sweep = cep.sweep(SIMPLE, DATA, "fraud", {"limit": [1000, 500]})
    assert sweep.best("precision", "large").setting == {"limit": 500}
    with pytest.raises(cep.DataError, match="no trial has a loss_share of 'large'"):
        sweep.best("loss_share", "large")


def test_a_part_of_the_time_is_a_sweep_of_the_same_settings() -> None:
    sweep = cep.sweep(SIMPLE, DATA, "fraud", {"limit": [200, 500, 650]})
    first, second = sweep.between(None, "2025-03-02"), sweep.between("2025-03-02", None)
    assert rows_of(first, "large", "limit", "flagged", "hits") == [
        (200, 2, 1),
        (500, 1, 1),
        (650, 0, 0),
    ]
    assert rows_of(second, "large", "limit", "flagged", "hits") == [
        (200, 1, 1),
        (500, 1, 1),
        (650, 1, 1),
    ]


def test_a_setting_chosen_on_one_part_is_checked_on_another() -> None:
    sweep = cep.sweep(SIMPLE, DATA, "fraud", {"limit": [200, 500, 650], "factor": [2.0]})
    chosen = sweep.between(None, "2025-03-02").best("precision", "large").setting
    later = sweep.between("2025-03-02", None).trial(**chosen)
    assert (chosen, later.setting) == ({"limit": 500, "factor": 2.0}, chosen)
    assert later.scores["large"].recall.value == 1.0


def test_a_trial_has_what_is_behind_its_scores() -> None:
    sweep = cep.sweep(SIMPLE, DATA, "fraud", {"limit": [200, 500]})
    false = sweep.trial(limit=200).backtest.only("large").false_alerts
    assert false["amount"].to_pylist() == [300]


def test_a_trial_shows_its_setting_above_its_scores() -> None:
    trial = cep.sweep(SIMPLE, DATA, "fraud", {"limit": [500], "factor": [2.0]})[0]
    assert str(trial).splitlines()[0] == "limit = 500, factor = 2"
    assert str(trial).splitlines()[2].startswith("large ")
    assert "<strong>limit = 500, factor = 2</strong>" in trial._repr_html_()


def test_a_setting_that_was_not_tried_is_no_trial() -> None:
    sweep = cep.sweep(SIMPLE, DATA, "fraud", {"limit": [200, 500]})
    with pytest.raises(cep.DataError, match="no trial has limit = 300"):
        sweep.trial(limit=300)


def test_a_parameter_that_is_called_like_a_score_is_told_apart() -> None:
    rules = "parameter $recall = 1; pattern p match t define t as amount > $recall"
    data = DATA.rename_columns(["time", "card", "amount", "fraud"])
    sweep = cep.sweep(rules, data, "fraud", {"recall": [1, 2]})
    assert sweep.to_arrow().schema.names[:2] == ["parameter_recall", "pattern"]


def test_integers_among_floats_and_durations_are_columns() -> None:
    sweep = cep.sweep(SIMPLE, DATA, "fraud", {"factor": [1, 2.5]})
    assert sweep.to_pandas()["factor"].tolist() == [1.0] * 3 + [2.5] * 3
    windows = cep.sweep(RULES, DATA, "fraud", {"window": [timedelta(days=2)]}, patterns=["much"])
    assert pl.DataFrame(windows)["window"][0] == timedelta(days=2)
    both: Any = {"window": [timedelta(days=2), "1 day"]}
    windows = cep.sweep(RULES, DATA, "fraud", both, patterns=["much"])
    assert windows.to_arrow()["window"].unique().to_pylist() == ["2 days, 0:00:00", "1 day"]


def test_the_text_has_a_line_for_each_setting_and_pattern() -> None:
    sweep = cep.sweep(SIMPLE, DATA, "fraud", {"limit": [500]}, patterns=["large"])
    assert repr(sweep) == "<Sweep: 1 setting of limit>"
    assert str(sweep) == (
        "limit  pattern  alerts/day           precision              recall     F1    delay\n"
        "500      large           1  1.000 (.342-1.000)  1.000 (.342-1.000)  1.000  0:00:00\n"
        "500        all           1  1.000 (.342-1.000)  1.000 (.342-1.000)  1.000  0:00:00"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "settings are empty"),
        ([], "settings are empty"),
        ([{}], "settings are empty"),
        ({"limit": []}, "settings are empty"),
        ({"limit": 5}, "settings of 'limit' are 5: give a list of values"),
        ({"limit": "500"}, "settings of 'limit' are '500': give a list of values"),
        (5, "settings are 5: give a dict from parameter to values, or a list of dicts"),
        ([{"limit": 5}, 6], "a setting is 6: give a dict from parameter to its value"),
        ({"limt": [5]}, "a value for $limt, which the rules do not declare"),
        ({"limit": [2.5]}, "the value of $limit is 2.5"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(cep.CepError) as caught:
        cep.sweep(SIMPLE, DATA, "fraud", settings)
    assert message in str(caught.value)


def test_a_score_or_a_pattern_that_there_is_not_is_refused() -> None:
    sweep = cep.sweep(SIMPLE, DATA, "fraud", {"limit": [500]})
    with pytest.raises(cep.DataError, match="no score 'precison'; did you mean 'precision'"):
        sweep.best("precison")
    with pytest.raises(cep.DataError, match="no scores of a pattern 'lagre'; did you mean 'large'"):
        sweep.best("f1", "lagre")


def test_a_sweep_shows_itself_in_a_notebook() -> None:
    rules = cep.compile("parameter $m int = 1; pattern p match t define t as x > $m")
    data = [{"ts": f"2025-01-0{i}", "x": i, "bad": i > 2} for i in range(1, 5)]
    page = cep.sweep(rules, data, "bad", {"m": [1, 2]})._repr_html_()
    assert "2 settings" in page
    assert page.count("<tr") == 5  # the head, and p and all of both settings
