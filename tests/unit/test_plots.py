"""What the plots say: the data in their traces, for small inputs worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import cep
from cep import plots
from cep.plots.style import TEMPLATE
from cep.results.result import Result


def trace(figure: Any, name: str) -> Any:
    (found,) = [one for one in figure.data if one.name == name]
    return found


def second(number: float) -> datetime:
    return datetime(2025, 1, 1) + timedelta(seconds=number)  # noqa: DTZ001 - the data have no zone


def seconds(numbers: list[float]) -> pa.Array[Any]:
    return pa.array([second(number) for number in numbers], pa.timestamp("us"))


# -- automaton -------------------------------------------------------------------------------------

TESTING = """
pattern testing from t by card match probe{2,} -> hit within 10 minutes
  define probe as amount < 2, hit as amount > 500 and country <> last(probe.country)
  unless kind = 'login'
"""


def drawn_edges(figure: Any) -> set[tuple[str, str]]:
    return {(one.name, one.meta) for one in figure.data if "→" in (one.name or "")}


def labels(figure: Any) -> dict[str, str]:
    """Edge -> label, in the order in which both are drawn."""
    names = [one.name for one in figure.data if "→" in (one.name or "")]
    return dict(zip(names, trace(figure, "labels").text, strict=True))


def test_a_sequence_goes_from_left_to_right_and_ends_in_the_match() -> None:
    figure = plots.automaton(cep.compile("pattern p match a b define a as x < 1, b as x > a.x"))
    states = trace(figure, "states")
    assert list(states.text) == ["start", "b", "match"]
    assert list(states.x) == [0, 1, 2]
    assert drawn_edges(figure) == {("start → await b", "take"), ("await b → match", "take")}
    assert labels(figure) == {
        "start → await b": "<b>a</b><br>x &lt; 1",
        "await b → match": "<b>b</b><br>x &gt; a.x",
    }
    assert (trace(figure, "ring").x, trace(figure, "ring").y) == ((2.0,), (0.0,))
    assert figure.layout.title.text == "p"


def test_a_long_condition_is_short_beside_the_edge_and_full_in_the_hover() -> None:
    figure = plots.automaton(cep.compile(TESTING))
    place = list(labels(figure)).index("await hit → match")
    assert trace(figure, "labels").text[place] == "<b>hit</b><br>amount &gt; 500…"
    hover = trace(figure, "labels").hovertext[place]
    assert "hit: amount &gt; 500 and country &lt;&gt; probe.country" in hover
    assert figure.layout.title.text == "testing, within 10 minutes"


def test_unless_kills_runs_in_every_state_but_the_start() -> None:
    figure = plots.automaton(cep.compile(TESTING))
    killing = {name for name, action in drawn_edges(figure) if action == "kill"}
    waiting = {n.name for n in cep.compile(TESTING).explain().graph("testing").nodes} - {
        "start",
        "match",
        "killed",
    }
    assert len(waiting) >= 3
    assert killing == {f"{name} → killed" for name in waiting}
    states = trace(figure, "states")
    assert states.y[list(states.text).index("killed")] == min(states.y)


def test_an_alternative_goes_around_the_states_it_leaves_out() -> None:
    rules = cep.compile(
        "pattern p match a -> (b | c -> d) within 1 minute "
        "define a as x = 1, b as x = 2, c as x = 3, d as x = 4"
    )
    figure = plots.automaton(rules)
    direct = trace(figure, "await one of → match")
    state = trace(figure, "states")
    at = list(state.text).index("d")
    distances = np.hypot(np.array(direct.x) - state.x[at], np.array(direct.y) - state.y[at])
    assert distances.min() > 0.5
    assert ("await d → await d", "ignore") in drawn_edges(figure)


def test_an_absence_is_killed_by_its_event_and_a_match_at_the_deadline() -> None:
    rules = cep.compile(
        "pattern p match a -> not n within 1 minute define a as x = 1, n as x = 2;"
        "pattern q match a b define a as x = 1, b as x = 2"
    )
    figure = plots.automaton(rules, "p")
    assert {("await not n → killed", "kill"), ("await not n → match", "deadline")} < drawn_edges(
        figure
    )
    assert labels(figure)["await not n → match"] == "<b>deadline</b>"


def test_an_edge_after_which_a_run_is_a_match_and_goes_on_is_marked() -> None:
    rules = cep.compile("pattern p match a -> b{1,2} within 1 minute define a as x = 1, b as x = 2")
    figure = plots.automaton(rules)
    marked = {name for name, label in labels(figure).items() if "◎" in label}
    edges = rules.explain().graph("p").edges
    assert marked == {f"{e.source} → {e.target}" for e in edges if e.also_match}
    assert labels(figure)["await b → await b #2"] == "<b>b ◎</b><br>x = 2"


def test_which_pattern_must_be_said_where_there_are_several() -> None:
    rules = cep.compile(
        "pattern p match a b define a as x=1, b as x=2;"
        "pattern q match a b define a as x=1, b as x=2"
    )
    with pytest.raises(cep.DataError, match="which pattern"):
        plots.automaton(rules)
    with pytest.raises(KeyError, match="the rules have: p, q"):
        plots.automaton(rules, "r")


# -- timeline --------------------------------------------------------------------------------------

JUMP = """
stream trades time ts;
pattern jump from trades by symbol match low{2} -> high within 1 minute
  define low as price < 5, high as price > 10
  after match skip past last event
"""
SYMBOL = ["x", "x", "y", "x", "x", "x", "x"]
PRICE = [1, 2, 1, 7, 20, 7, 7]
TRADES = pa.table({"ts": seconds([0, 1, 2, 3, 10, 11, 30]), "symbol": SYMBOL, "price": PRICE})


@pytest.mark.parametrize(
    "data", [TRADES, TRADES.to_pandas(), pl.from_arrow(TRADES), TRADES.to_pylist()]
)
def test_a_timeline_shows_what_was_taken_and_the_rest_of_the_key_near_it(data: Any) -> None:
    match = cep.compile(JUMP).run(TRADES).matches[0]
    figure = plots.timeline(match, data)
    assert list(trace(figure, "low").x) == [second(0), second(1)]
    assert list(trace(figure, "high").x) == [second(10)]
    assert list(trace(figure, "not taken").x) == [second(3), second(11)]  # not y, not at 30
    assert list(figure.layout.yaxis.categoryarray) == ["low", "high", "not taken"]
    assert list(trace(figure, "order").x) == [second(0), second(1), second(10)]
    assert figure.layout.title.text == "jump, key x: 10 seconds"
    hover = trace(figure, "high").hovertext[0]
    assert hover == "<b>high</b><br>ts: 2025-01-01 00:00:10<br>symbol: x<br>price: 20"


def test_the_margin_of_a_timeline_can_be_widened_and_the_data_left_out() -> None:
    match = cep.compile(JUMP).run(TRADES).matches[0]
    figure = plots.timeline(match, TRADES, margin=timedelta(seconds=20))
    assert list(trace(figure, "not taken").x) == [second(3), second(11), second(30)]
    assert [one.name for one in plots.timeline(match).data] == ["order", "low", "high"]


def test_of_equal_events_a_timeline_leaves_out_as_many_as_were_taken() -> None:
    twice = pa.concat_tables([TRADES, TRADES.slice(4, 1)])
    match = cep.compile(JUMP).run(TRADES).matches[0]
    assert list(trace(plots.timeline(match, twice), "not taken").x) == [
        second(3),
        second(11),
        second(10),
    ]


def test_a_timeline_of_text_times_and_of_data_without_the_key() -> None:
    texts = [{**row, "ts": row["ts"].isoformat()} for row in TRADES.to_pylist()]
    match = cep.compile(JUMP).run(texts).matches[0]
    figure = plots.timeline(match, texts)
    assert list(trace(figure, "not taken").x) == [second(3), second(11)]
    with pytest.raises(cep.DataError, match="no column 'symbol'; the table has: ts, price"):
        plots.timeline(match, TRADES.drop_columns(["symbol"]))


def test_times_with_a_zone_are_shown_in_utc() -> None:
    zoned = TRADES.to_pandas()
    zoned["ts"] = zoned["ts"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    match = cep.compile(JUMP).run(zoned).matches[0]
    figure = plots.timeline(match, zoned)
    assert list(trace(figure, "high").x) == [second(10)]
    assert list(trace(figure, "not taken").x) == [second(3), second(11)]


def test_a_timeline_of_a_key_of_two_fields_and_of_no_key() -> None:
    two = cep.compile(JUMP.replace("by symbol", "by symbol, venue"))
    data = TRADES.append_column("venue", pa.array([1, 1, 1, 2, 1, 1, 1]))
    figure = plots.timeline(two.run(data).matches[0], data)
    assert list(trace(figure, "not taken").x) == [second(11)]
    without = cep.compile(JUMP.replace("by symbol", "")).run(TRADES).matches[0]
    assert list(trace(plots.timeline(without, TRADES), "not taken").x) == [
        second(2),
        second(3),
        second(11),
    ]


def test_a_timeline_knows_events_again_in_columns_of_other_names_and_types() -> None:
    match = (
        cep.compile(
            JUMP.replace("trades time", "trades (ts timestamp, symbol text, price float) time")
        )
        .run(TRADES)
        .matches[0]
    )
    renamed = TRADES.rename_columns(["ts", "share", "price"])
    figure = plots.timeline(match, renamed, key_fields=["share"])
    assert list(trace(figure, "not taken").x) == [second(3), second(11)]


def test_a_timeline_of_what_other_rules_make_has_no_data() -> None:
    rules = cep.compile(
        JUMP + "select high.price as price; pattern again from jump match j define j as price > 1"
    )
    match = rules.run(TRADES).matches.by_pattern("again")[0]
    assert match.stream is None
    assert list(trace(plots.timeline(match), "j").x) == [second(10)]
    with pytest.raises(cep.DataError, match="again reads what other rules make"):
        plots.timeline(match, TRADES)


def test_a_match_says_its_key_fields_and_its_stream() -> None:
    match = cep.compile(JUMP).run(TRADES).matches[0]
    assert match.key_fields == ("symbol",)
    assert match.stream is not None
    assert (match.stream.name, match.stream.time) == ("trades", "ts")


# -- matches over time -----------------------------------------------------------------------------


def pairs(ends: list[float]) -> Result:
    """A match of `pair` at each of these seconds, none of `never`."""
    rules = cep.compile(
        "pattern pair match a define a as x = 1; pattern never match a define a as x = 2"
    )
    return rules.run(pa.table({"ts": seconds(ends), "x": [1] * len(ends)}))


def test_matches_are_counted_in_bins() -> None:
    figure = plots.matches_over_time(pairs([1, 2, 9, 10, 35]), timedelta(seconds=10))
    bars = trace(figure, "pair (5)")
    assert list(bars.x) == [np.datetime64(second(at)) for at in (0, 10, 30)]
    assert list(bars.y) == [3, 1, 1]
    assert bars.width == 10_000
    assert len(trace(figure, "never (0)").y) == 0
    assert figure.layout.title.text == "Matches per 10 seconds"


@pytest.mark.parametrize(
    ("last", "title"), [(50, "1 second"), (70, "5 seconds"), (4_000, "5 minutes")]
)
def test_the_bins_are_round_and_not_too_many(last: float, title: str) -> None:
    figure = plots.matches_over_time(pairs([0, last]))
    assert figure.layout.title.text == f"Matches per {title}"


def test_a_result_without_matches_and_a_bin_without_length() -> None:
    figure = plots.matches_over_time(pairs([]))
    assert [one.name for one in figure.data] == ["pair (0)", "never (0)"]
    with pytest.raises(cep.DataError, match="a bin must have a length"):
        plots.matches_over_time(pairs([1]), timedelta(0))


# -- windows ---------------------------------------------------------------------------------------

TOTALS = """
stream t (ts timestamp, k text, x float) time ts;
aggregate totals from t by k window tumbling 10 seconds lateness 1 minute
  select k, sum(x) as total, count(*) as n
"""


def test_windows_are_a_line_for_each_key_and_updates_go_from_old_to_new() -> None:
    detector = cep.Detector(TOTALS)
    events = [(1, "u", 1.0), (2, "v", 2.0), (15, "u", 5.0), (40, "v", 4.0), (5, "u", 7.0)]
    steps = [detector.process({"ts": second(at), "k": k, "x": x}) for at, k, x in events]
    figure = plots.windows([*steps, detector.finish()], "totals")
    assert (list(trace(figure, "u").x), list(trace(figure, "u").y)) == (
        [second(10), second(20)],
        [8.0, 5.0],
    )
    assert list(trace(figure, "v").y) == [2.0, 4.0]
    changes = trace(figure, "u, updated")
    assert list(changes.y) == [1.0, 8.0, None]
    assert list(changes.marker.symbol)[:2] == ["circle-open", "diamond"]
    assert changes.hovertext[0] == "u<br>2025-01-01 00:00:10<br>1.0 → 8.0"
    assert "v, updated" not in [one.name for one in figure.data]


def test_the_keys_with_most_rows_are_shown() -> None:
    rows = [{"ts": second(10 * n), "k": f"k{k}", "x": 1.0} for n in range(10) for k in range(n + 1)]
    figure = plots.windows(cep.compile(TOTALS).run(rows), "totals", "n")
    assert [one.name for one in figure.data] == [f"k{number}" for number in range(8)]
    assert figure.layout.title.text == "totals: n by k, the 8 with most rows of 10"


def test_windows_without_a_key_and_with_a_column_that_is_not_there() -> None:
    rules = cep.compile(
        "stream t time ts; aggregate a from t window tumbling 10 seconds select count(*) as n"
    )
    result = rules.run(pa.table({"ts": seconds([1, 2, 12])}))
    assert list(trace(plots.windows(result, "a"), "n").y) == [2, 1]
    with pytest.raises(cep.DataError, match="a has no column 'm'; it has: n, window_start"):
        plots.windows(result, "a", "m")
    with pytest.raises(KeyError, match="no aggregate or join 'b'"):
        plots.windows(result, "b")


# -- lateness --------------------------------------------------------------------------------------


def test_lateness_is_against_the_greatest_time_before() -> None:
    times = seconds([0, 10, 7, 12, 2, 12, 11.5, 20])  # late by 0 0 3 0 10 0 0.5 0
    figure = plots.lateness(pa.table({"at": times}), "at", bounds=(0, 2, 10, 60))
    marks = trace(figure, "bounds")
    assert list(marks.y) == [37.5, 25, 0, 0]  # what is late by just as much as allowed is not lost
    assert marks.customdata[1] == "lateness 2 seconds: 2 events lost (25 %)"
    curve = trace(figure, "events lost")
    assert list(curve.y) == [37.5, 25, 25, 12.5, 0, 0]  # at 0, 0.5, 2, 3, 10, 60 seconds
    assert np.allclose(np.power(10, curve.x) - 1, [0, 0.5, 2, 3, 10, 60])
    assert figure.layout.title.text == "Lateness of 8 events: 3 come out of order"


def test_lateness_counts_numbers_in_the_unit_given_and_refuses_rows_without_a_time() -> None:
    figure = plots.lateness(pd.DataFrame({"t": [5, 1, 3]}), "t", bounds=(2, 3), unit="s")
    assert list(np.round(trace(figure, "bounds").y, 1)) == [33.3, 33.3]
    with pytest.raises(cep.DataError, match="row 1: time 't' is NULL"):
        plots.lateness([{"t": 1}, {"t": None}], "t")
    with pytest.raises(cep.DataError, match="no events"):
        plots.lateness(TRADES.slice(0, 0), "ts")


# -- distribution ----------------------------------------------------------------------------------


def test_a_distribution_counts_and_says_how_many_are_above_the_threshold() -> None:
    values = [0.0, 10.0, 20.0, 20.0, 50.0, None, float("nan")]
    figure = plots.distribution(pa.table({"v": values}), "v", threshold=20)
    steps = trace(figure, "v: 1 of 5 above")
    assert list(steps.x) == list(range(51))
    assert {x: y for x, y in zip(steps.x, steps.y, strict=True) if y} == {0: 1, 10: 1, 20: 2, 49: 1}
    assert figure.layout.xaxis.type == "linear"
    assert [shape.x0 for shape in figure.layout.shapes] == [20]
    assert figure.layout.annotations[0].x == 20


def test_a_very_skewed_distribution_has_a_logarithmic_axis() -> None:
    figure = plots.distribution([{"v": v} for v in [1, 1, 1, 10_000]], "v", threshold=100)
    assert figure.layout.xaxis.type == "log"
    steps = figure.data[0]
    assert (steps.x[0], steps.x[-1], steps.y[0], steps.y[-2]) == (1, 10_000, 3, 1)
    assert figure.layout.shapes[0].x0 == 100
    assert figure.layout.annotations[0].x == 2  # Plotly places texts by the logarithm


def test_labels_are_drawn_apart_as_shares() -> None:
    data = pa.table({"v": [1, 1, 1, 3, 3], "fraud": [False, False, None, False, True]})
    figure = plots.distribution(data, "v", threshold=2, labels="fraud")
    honest, fraud = trace(figure, "not fraud: 1 of 4 above"), trace(figure, "fraud: 1 of 1 above")
    assert (honest.y[0], honest.y[-2]) == (75, 25)
    assert (fraud.y[0], fraud.y[-2]) == (0, 100)
    counted = data.set_column(1, "fraud", pa.array([0, 0, None, 0, 1]))
    same = plots.distribution(counted, "v", threshold=2, labels="fraud")
    assert [one.name for one in same.data] == [one.name for one in figure.data]


def test_a_distribution_refuses_what_has_no_numbers() -> None:
    with pytest.raises(cep.DataError, match="'symbol' is string: a distribution needs numbers"):
        plots.distribution(TRADES, "symbol")
    with pytest.raises(cep.DataError, match="labels are 0 and 1, or booleans"):
        plots.distribution(TRADES, "price", labels="symbol")
    with pytest.raises(cep.DataError, match="int is not a table"):
        plots.distribution(3, "price")


# -- all of them -----------------------------------------------------------------------------------


def contrast(one: str, two: str) -> float:
    """By the definition of the Web Content Accessibility Guidelines."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
def test_the_style_has_no_background_and_its_text_reads_on_light_and_dark(page: str) -> None:
    layout = TEMPLATE.layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0, 0, 0, 0)"
    assert contrast(layout.font.color, page) > 4
    assert all(contrast(color, page) > 2 for color in layout.colorway)


def test_the_package_is_imported_without_plotly() -> None:
    code = "import sys, cep, cep.results.result; sys.exit('plotly' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
