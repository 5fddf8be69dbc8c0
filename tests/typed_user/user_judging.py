"""Rules scored against labels, with several settings, and drawn."""

from __future__ import annotations

from typing import assert_type

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import cep
from cep import plots
from cep.backtesting.intervals import Estimate
from cep.backtesting.score_table import ScoreTable
from cep.backtesting.scores import Score
from cep.backtesting.sweep import Trial

RULES = """
parameter $jump float = 1.5;
stream trades (ts timestamp, symbol text, price float, fraud boolean) time ts;
pattern rise from trades by symbol match low high within 1 minute
  define low as true, high as price / low.price > $jump;
aggregate highs from trades by symbol window tumbling 1 minute
  select symbol, max(price) as high;
"""
TRADES = [
    {"ts": f"2025-03-03 12:00:{i:02}", "symbol": "x", "price": i % 3 + 1.0, "fraud": i % 3 == 2}
    for i in range(12)
]


def backtested(rules: cep.Rules) -> cep.Backtest:
    backtest = cep.backtest(rules, TRADES, "fraud", flagged={"rise": ["high"]}, patterns=["rise"])
    assert_type(backtest, cep.Backtest)
    assert_type(backtest.scores, ScoreTable)
    score = assert_type(backtest.scores["rise"], Score)
    assert_type(score.precision, Estimate)
    assert_type(score.precision.value, float)
    assert_type(backtest.missed, pa.Table)
    assert_type(backtest.false_alerts, pa.Table)
    assert_type(backtest.by_time("1 day"), pa.Table)
    assert_type(backtest.delays(), npt.NDArray[np.timedelta64])
    return backtest


def swept(rules: cep.Rules) -> cep.Sweep:
    sweep = cep.sweep(rules, TRADES, "fraud", {"jump": [1.2, 1.8]})
    assert_type(sweep, cep.Sweep)
    best = assert_type(sweep.best("f1"), Trial)
    assert_type(best.backtest, cep.Backtest)
    assert_type(sweep.values("precision"), list[float])
    assert_type(sweep.to_arrow(), pa.Table)
    return sweep


def drawn(rules: cep.Rules, backtest: cep.Backtest, sweep: cep.Sweep) -> list[object]:
    result = rules.run(TRADES)
    return [
        plots.automaton(rules),
        plots.distribution(TRADES, "price", threshold=2.0),
        plots.funnel(rules.run(TRADES, trace=True), "rise"),
        plots.lanes(rules, TRADES),
        plots.lateness(TRADES, "ts"),
        plots.matches_over_time(result),
        plots.precision_recall(sweep),
        plots.scores(backtest),
        plots.timeline(result.matches[0], TRADES),
        plots.windows(result, "highs"),
    ]


def main() -> None:
    rules = cep.compile(RULES)
    backtest, sweep = backtested(rules), swept(rules)
    assert len(sweep) == 2
    shown = {type(figure).__name__ for figure in drawn(rules, backtest, sweep)}
    assert shown == {"Figure"}
