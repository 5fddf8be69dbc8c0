"""Scores of rules against labels, for a few payments worked out by hand."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cep
from cep.backtesting.intervals import wilson

RULES = """
stream payments (ts timestamp, card text, amount float) time ts;

pattern large from payments match t define t as amount > 500 after match no skip;

pattern drop from payments by card
  match high -> low within 1 day
  define high as amount > 500, low as amount < 100
  after match no skip;
"""


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2025, 3, day, hour, minute)  # noqa: DTZ001 - the data have no zone


#   time       card amount fraud incident      large   drop (found at)
ROWS = [
    (at(1, 10), "A", 10.0, 0, None),
    (at(1, 11), "A", 600.0, 1, "one"),  #      true
    (at(1, 12), "A", 700.0, 1, "one"),  #      true
    (at(1, 13), "B", 800.0, 0, None),  #       false   with the next, at 10:00
    (at(2, 10), "B", 50.0, 1, "two"),  #               true
    (at(2, 11), "C", 900.0, 1, "three"),  #    true    with the next, at 12:00
    (at(2, 12), "C", 20.0, 1, "three"),  #             true
    (at(3, 10), "B", 650.0, 0, None),  #       false
]
NAMES = ("ts", "card", "amount", "fraud", "incident")
DATA = pa.table(dict(zip(NAMES, map(list, zip(*ROWS, strict=True)), strict=True)))

SPANS = pa.table(
    {
        "card": ["A", "B", "C", "A"],
        "start": [at(1, 11), at(2, 9), at(2, 11), at(3, 9)],
        "end": [at(1, 12), at(2, 10), at(2, 12), at(3, 10)],
    }
)


def scored(**options: Any) -> cep.Backtest:
    return cep.backtest(RULES, DATA, **{"labels": "fraud", **options})


# -- events ----------------------------------------------------------------------------------------


def test_precision_and_recall_are_of_flagged_and_of_labelled_events() -> None:
    scores = scored().scores
    counts = [(s.pattern, s.flagged, s.hits, s.labelled) for s in scores]
    assert counts == [("large", 5, 3, 5), ("drop", 4, 3, 5), ("all", 7, 5, 5)]
    assert [s.precision.value for s in scores] == pytest.approx([3 / 5, 3 / 4, 5 / 7])
    assert [s.recall.value for s in scores] == pytest.approx([3 / 5, 3 / 5, 1])
    assert [s.f1.value for s in scores] == pytest.approx([3 / 5, 2 / 3, 5 / 6])


def test_alerts_are_matches_and_true_where_a_flagged_event_is_labelled() -> None:
    scores = scored().scores
    assert [s.alerts for s in scores] == [5, 2, 7]
    assert [s.alerts_per_day.value for s in scores] == pytest.approx([5 / 3, 2 / 3, 7 / 3])
    assert [s.alert_precision.value for s in scores] == pytest.approx([3 / 5, 1, 5 / 7])


def test_the_last_event_alone_can_be_what_a_match_flags() -> None:
    score = scored(flagged="last").scores["drop"]
    assert (score.flagged, score.hits) == (2, 2)


def test_variables_can_be_named_whose_events_are_flagged() -> None:
    scores = scored(flagged={"drop": "high"}).scores
    assert [(s.flagged, s.hits) for s in scores] == [(5, 3), (2, 1), (5, 3)]
    assert scores["drop"].alert_precision.value == 1 / 2


@pytest.mark.parametrize("flags", [[False, True, None], [0, 1, None], [0.0, 1.0, None]])
def test_labels_are_booleans_or_zero_and_one_and_null_is_not_labelled(flags: list[Any]) -> None:
    data = DATA.slice(0, 3).append_column("is_fraud", pa.array(flags))
    assert cep.backtest(RULES, data, "is_fraud").scores["all"].labelled == 1


# -- cases -----------------------------------------------------------------------------------------


def test_a_case_is_found_where_one_alert_is_about_one_of_its_events() -> None:
    scores = scored(case="incident").scores
    assert [(s.cases_found, s.cases) for s in scores] == [(2, 3), (2, 3), (3, 3)]
    assert [s.case_recall.value for s in scores] == pytest.approx([2 / 3, 2 / 3, 1])


def test_the_delay_is_from_the_first_labelled_event_to_the_first_alert() -> None:
    backtest = scored(case="incident")
    hour = timedelta(hours=1)
    assert backtest.delays("large").tolist() == [timedelta(0), timedelta(0)]
    assert sorted(backtest.delays("drop").tolist()) == [timedelta(0), hour]
    assert backtest.delays().tolist() == [timedelta(0)] * 3
    assert backtest.scores["drop"].delay.value == 30 * 60 * 1_000_000


def test_loss_is_prevented_from_the_first_alert_on_and_its_own_event_counts() -> None:
    """Worth in all 2,270. Of case three, drop is found at the second event: 20 of 920."""
    scores = scored(case="incident", amount="amount").scores
    assert [s.loss_prevented.value for s in scores] == [1300 + 920, 50 + 20, 2270]
    assert [s.loss_share.value for s in scores] == pytest.approx([2220 / 2270, 70 / 2270, 1])


def test_without_cases_every_labelled_event_is_one() -> None:
    """An alert about an earlier event comes too late for it: of drop, 900 is lost."""
    backtest = scored(amount="amount")
    assert [s.loss_prevented.value for s in backtest.scores] == [2200, 70, 2270]
    assert not backtest.has_cases
    assert backtest.scores.to_arrow()["case_recall"].null_count == 3


def test_labelled_events_without_a_case_are_cases_by_themselves() -> None:
    data = DATA.set_column(4, "incident", pa.array([None, None, None, None, None, "x", "x", None]))
    scores = cep.backtest(RULES, data, "fraud", case="incident").scores
    assert (scores["all"].cases, scores["large"].cases_found) == (4, 3)


def test_amounts_that_are_null_are_worth_nothing() -> None:
    data = DATA.append_column("loss", pa.array([1, None, 2, 3, 4, 5, 6, 7]))
    assert (
        cep.backtest(RULES, data, "fraud", amount="loss").scores["large"].loss_prevented.value == 7
    )


# -- spans -----------------------------------------------------------------------------------------


def test_the_events_of_the_key_in_a_span_both_ends_included_are_labelled() -> None:
    scores = scored(labels=SPANS).scores
    counts = [(s.pattern, s.flagged, s.hits, s.labelled) for s in scores]
    assert counts == [("large", 5, 3, 5), ("drop", 4, 3, 5), ("all", 7, 5, 5)]


def test_every_span_is_a_case_and_one_without_events_is_missed() -> None:
    backtest = scored(labels=SPANS)
    assert [(s.cases_found, s.cases) for s in backtest.scores] == [(2, 4), (2, 4), (3, 4)]
    (missed,) = backtest.missed_cases.to_pylist()
    assert missed == SPANS.slice(3).to_pylist()[0] | {"case_begin": at(3, 9), "case_events": 0}


def test_spans_of_one_name_are_one_case() -> None:
    spans = SPANS.append_column("attack", pa.array(["x", "y", "y", "x"]))
    assert scored(labels=spans, case="attack").scores["large"].cases_found == 2
    assert scored(labels=spans, case="attack").scores["large"].cases == 2


def test_spans_without_a_key_are_of_all_events() -> None:
    spans = pa.table({"start": [at(1, 12)], "end": [at(2, 10)]})
    assert scored(labels=spans).scores["large"].hits == 2
    assert scored(labels=spans).scores["large"].labelled == 3


def test_keys_of_several_fields_and_other_types_are_found() -> None:
    data = DATA.append_column("shop", pa.array([1, 1, 2, 2, 1, 1, 1, 1], pa.int64()))
    spans = pl.DataFrame(
        {
            "shop": pl.Series([1, 2], dtype=pl.Int8),
            "card": ["A", "B"],
            "start": ["2025-03-01 00:00:00", "2025-03-01 00:00:00"],
            "end": ["2025-03-04 00:00:00", "2025-03-04 00:00:00"],
        }
    )
    backtest = cep.backtest(RULES, data, spans)
    assert backtest.scores["large"].labelled == 3
    assert backtest.scores["large"].hits == 2


DERIVED = """
stream payments time ts;
aggregate hourly from payments by card window tumbling 1 hour select card, count(*) as n;
pattern busy from hourly by card match h define h as n >= 2;
"""


def test_a_pattern_of_other_rows_finds_spans_by_key_and_time() -> None:
    """The window of 11:00 ends at 11:59:59.999999: in the span of its key, not of another."""
    data = pa.table({"ts": [at(1, 11, 5), at(1, 11, 6)], "card": ["A", "A"]})
    spans = pa.table({"card": ["B", "A"], "start": [at(1, 11)] * 2, "end": [at(1, 12)] * 2})
    score = cep.backtest(DERIVED, data, spans).scores["busy"]
    assert (score.alerts, score.flagged, score.hits, score.cases_found) == (1, 0, 0, 1)
    assert score.alert_precision.value == 1
    assert score.delay.value == 54 * 60 * 1_000_000 + 59_999_999


def test_that_a_pattern_flags_no_events_is_noted() -> None:
    assert cep.backtest(DERIVED, DATA, SPANS).notes == (
        "no events of payments are flagged by busy: see its alerts and cases",
    )


@pytest.mark.parametrize("fields", ["(ts timestamp, card text, amount float)", ""])
def test_of_matches_of_events_and_other_rows_the_events_are_flagged(fields: str) -> None:
    rules = f"""
    stream payments {fields} time ts;
    pattern high from payments by card match t define t as amount > 500 after match no skip;
    pattern drop from high, payments by card
      match h -> low within 1 day define h as high, low as payments where amount < 100
      after match no skip;
    feature highs on payments as count(*) from high over 1 day by card;
    pattern after_high from payments match t define t as highs = 1;
    """
    backtest = cep.backtest(rules, DATA, "fraud")
    assert [(s.flagged, s.hits) for s in backtest.scores] == [(5, 3), (2, 2), (3, 3), (7, 5)]


def test_a_pattern_of_other_rows_cannot_be_scored_against_labelled_events() -> None:
    with pytest.raises(cep.DataError, match=r"'busy' reads hourly .* give spans as labels"):
        cep.backtest(DERIVED, DATA, "fraud")


def test_patterns_that_others_read_can_be_left_out_of_the_scores() -> None:
    rules = RULES + "pattern twice from large match a b within 1 day define a as true, b as true"
    assert cep.backtest(rules, DATA, "fraud", patterns=["large"]).patterns == ("large",)


def test_rows_without_the_key_of_the_spans_are_refused() -> None:
    rules = DERIVED.replace("select card, ", "select ").replace(
        "busy from hourly by card", "busy from hourly"
    )
    data = pa.table({"ts": [at(1, 11, 5), at(1, 11, 6)], "card": ["A", "A"]})
    with pytest.raises(cep.DataError, match="pattern 'busy' has no field 'card'"):
        cep.backtest(rules, data, SPANS)


# -- what is given ---------------------------------------------------------------------------------


def test_rows_are_known_again_whatever_their_order_and_their_form(tmp_path: Path) -> None:
    shuffled = DATA.take(pa.array([3, 0, 7, 2, 1, 5, 4, 6]))
    path = tmp_path / "payments.parquet"
    pq.write_table(shuffled, path)
    expected = scored(case="incident", amount="amount").scores.to_arrow()
    for data in (shuffled, path, shuffled.to_pandas(), shuffled.to_pylist(), {"payments": path}):
        backtest = cep.backtest(RULES, data, "fraud", case="incident", amount="amount")
        assert backtest.scores.to_arrow().equals(expected)


def test_the_note_that_the_input_was_sorted_is_kept() -> None:
    backtest = cep.backtest(RULES, DATA.take(pa.array([1, 0])), "fraud")
    assert backtest.notes == (
        "stream 'payments' (the data): 1 of 2 events came after one with a later time; "
        "sorted by time",
    )


TWO = """
stream payments (ts timestamp, card text, amount float) time ts;
stream logins (ts timestamp, card text) time ts;
pattern after_login from logins, payments by card
  match l -> p within 1 hour define l as logins, p as payments where amount > 500;
"""


def test_of_several_streams_the_one_that_has_the_columns_is_labelled() -> None:
    logins = pa.table({"ts": [at(1, 10, 30)], "card": ["A"]})
    data = {"payments": DATA, "logins": logins}
    backtest = cep.backtest(TWO, data, "fraud")
    assert backtest.stream == "payments"
    assert (backtest.scores["all"].flagged, backtest.scores["all"].hits) == (1, 1)


def test_where_several_streams_fit_one_must_be_named() -> None:
    data = {"payments": DATA, "logins": DATA}
    with pytest.raises(cep.DataError, match=r"2 streams have the columns fraud; say it: stream="):
        cep.backtest(TWO, data, "fraud")
    assert cep.backtest(TWO, data, "fraud", stream="payments").stream == "payments"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "fruad"}, "labels: no column 'fruad'; did you mean 'fraud'?"),
        ({"labels": "amount"}, "labels: column 'amount' has the value 10.0, not only 0 and 1"),
        ({"labels": "card"}, "labels: column 'card' is string: labels are 0 and 1, or booleans"),
        ({"case": "incidnet"}, "case: no column 'incidnet'; did you mean 'incident'?"),
        ({"amount": "card"}, "amount: column 'card' is string: amounts are numbers"),
        ({"stream": "payment"}, "no stream 'payment'; did you mean 'payments'?"),
        ({"patterns": ["lagre"]}, "patterns: no pattern 'lagre'; did you mean 'large'?"),
        ({"flagged": "first"}, "flagged is 'first': say 'last', or a dict"),
        ({"flagged": {"dorp": "low"}}, "flagged: no pattern 'dorp'; did you mean 'drop'?"),
        ({"flagged": {"drop": "lwo"}}, "pattern 'drop' has no variable 'lwo'; did you mean 'low'?"),
        ({"confidence": 95}, "confidence is 95: it must lie between 0 and 1"),
        ({"confidence": "high"}, "confidence is 'high': it must lie between 0 and 1"),
        ({"seed": -1}, "seed is -1: give a whole number from 0 on"),
        ({"labels": 5}, "labels: give the name of a column of the labelled stream, or a table of"),
        ({"labels": [0, 1]}, "table 'labels': row 0 is int 0, not a dict"),
        ({"labels": SPANS.drop(["end"])}, "labels: the table has no column 'end'"),
        ({"labels": SPANS.rename_columns(["crad", "start", "end"])}, "did you mean 'card'?"),
        (
            {"labels": pa.concat_tables([SPANS, SPANS.slice(1, 1)])},
            "labels: the spans of rows 1 and 4 have the same key and overlap",
        ),
        (
            {"labels": SPANS.rename_columns(["card", "end", "start"])},
            "labels: the span of row 0 ends before it starts",
        ),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(cep.CepError) as caught:
        scored(**options)
    assert message in str(caught.value)


def test_rules_without_patterns_are_refused() -> None:
    rules = f"{RULES.split('pattern')[0]} aggregate g from payments select count(*) as n"
    with pytest.raises(cep.DataError, match="the rules have no pattern"):
        cep.backtest(rules, DATA, "fraud")


def test_one_pattern_is_named_without_a_list() -> None:
    assert scored(patterns="large").patterns == ("large",)


def test_a_row_without_a_time_is_refused() -> None:
    data = pa.table({"ts": pa.array([None, at(1, 1)]), "card": ["A"] * 2, "amount": [1.0] * 2})
    with pytest.raises(cep.DataError, match="row 0: time 'ts' is NULL; leave such rows out"):
        cep.backtest(RULES, data.append_column("fraud", pa.array([0, 1])), "fraud")


def test_data_without_rows_have_no_scores() -> None:
    backtest = cep.backtest(RULES, DATA.slice(0, 0), "fraud")
    assert backtest.scores.to_arrow()["precision"].null_count == 3
    assert backtest.by_time("1 day").num_rows == 0
    assert str(backtest).startswith("0 events, 0 labelled, 0 days")


# -- parts -----------------------------------------------------------------------------------------


def test_a_part_of_the_time_is_scored_without_another_run() -> None:
    """On the second day 3 events are labelled; large flags one, drop three of them."""
    part = scored(case="incident").between("2025-03-02", at(3, 0))
    counts = [(s.alerts, s.flagged, s.hits, s.labelled, s.cases_found) for s in part.scores]
    assert counts == [(1, 1, 1, 3, 1), (2, 3, 3, 3, 2), (3, 3, 3, 3, 2)]


def test_parts_of_parts_lie_in_both() -> None:
    part = scored().between("2025-03-02", None).between(None, "2025-03-03")
    assert part.scores["large"].flagged == 1


def test_periods_are_scored_one_by_one() -> None:
    table = scored().only("large").by_time("1 day")
    rows = table.to_pylist()[::2]
    assert [(r["start"].day, r["end"].day, r["flagged"], r["hits"]) for r in rows] == [
        (1, 2, 3, 2),
        (2, 3, 1, 1),
        (3, 4, 1, 0),
    ]


@pytest.mark.parametrize(
    ("every", "bounds"),
    [
        ("1 month", [("2025-03-01", "2025-04-01")]),
        ("6 months", [("2025-01-01", "2025-07-01")]),
        (timedelta(days=2), [("2025-03-01", "2025-03-03"), ("2025-03-03", "2025-03-05")]),
    ],
)
def test_periods_are_months_of_the_calendar_or_lengths(
    every: Any, bounds: list[tuple[str, str]]
) -> None:
    rows = scored().only("large").by_time(every).to_pylist()[::2]
    assert [(str(r["start"].date()), str(r["end"].date())) for r in rows] == bounds


@pytest.mark.parametrize(
    ("every", "message"),
    [
        (7, "periods of 7: give '1 month', a duration such as '7 days'"),
        (None, "periods of None: give"),
        (pd.NaT, "periods of NaT: give"),
        ("1 monat", "periods of '1 monat': unknown unit of time 'monat'"),
        ("0 days", "it must have a length"),
        ("1 second", "make more than 10,000: take longer ones"),
    ],
)
def test_periods_that_cannot_be_are_refused(every: Any, message: str) -> None:
    with pytest.raises(cep.DataError, match=message):
        scored().by_time(every)


def test_a_bound_that_is_no_time_is_refused() -> None:
    with pytest.raises(cep.DataError, match="start is NaT: give a datetime"):
        scored().between(pd.NaT, None)  # type: ignore[arg-type] # refused


def test_some_patterns_are_scored_as_a_set() -> None:
    backtest = scored()
    assert backtest.only("drop").scores["all"].flagged == 4
    assert backtest.only("drop", "large").patterns == ("drop", "large")
    with pytest.raises(cep.DataError, match="no pattern 'lagre'; did you mean 'large'"):
        backtest.only("lagre")


# -- what is behind the scores ---------------------------------------------------------------------


def test_missed_events_are_rows_of_the_data() -> None:
    missed = scored().only("large").missed
    assert missed.schema == DATA.schema
    assert missed["amount"].to_pylist() == [50, 20]


def test_missed_cases_say_when_they_began_and_what_they_are_worth() -> None:
    (missed,) = scored(case="incident", amount="amount").only("large").missed_cases.to_pylist()
    assert missed == {
        "incident": "two",
        "case_begin": at(2, 10),
        "case_events": 1,
        "case_amount": 50.0,
    }
    with pytest.raises(cep.DataError, match="there are no cases: give `case`"):
        _ = scored().missed_cases


def test_false_alerts_are_rows_of_the_data_with_the_pattern() -> None:
    false = scored().false_alerts.to_pylist()
    assert [(row["pattern"], row["amount"]) for row in false] == [
        ("large", 800),
        ("large", 650),
        ("drop", 800),
    ]


def test_overlap_counts_what_patterns_have_in_common() -> None:
    backtest = scored(case="incident")
    assert backtest.overlap().to_pydict() == {
        "pattern": ["large", "drop"],
        "large": [5, 2],
        "drop": [2, 4],
    }
    assert backtest.overlap("cases").to_pydict() == {
        "pattern": ["large", "drop"],
        "large": [2, 1],
        "drop": [1, 2],
    }


def test_contributions_are_what_a_pattern_alone_has() -> None:
    assert scored(case="incident").contributions().to_pydict() == {
        "pattern": ["large", "drop"],
        "true_events": [2, 2],
        "false_events": [1, 0],
        "cases": [1, 1],
    }


def test_the_text_is_a_short_table() -> None:
    assert str(scored(case="incident", amount="amount").only("large")) == (
        "8 events, 5 labelled, 3 cases, 3 days\n"
        "pattern  alerts/day          precision             recall     F1"
        "        alerts true        cases found    delay  loss prevented\n"
        "large          1.67  0.600 (.231-.882)  0.600 (.231-.882)  0.600"
        "  0.600 (.231-.882)  0.667 (.208-.939)  0:00:00           97.8%\n"
        "all            1.67  0.600 (.231-.882)  0.600 (.231-.882)  0.600"
        "  0.600 (.231-.882)  0.667 (.208-.939)  0:00:00           97.8%"
    )


def test_the_table_goes_to_arrow_pandas_and_polars() -> None:
    scores = scored(case="incident").scores
    frame = scores.to_pandas()
    assert frame["delay"].iloc[1] == pd.Timedelta(minutes=30)
    assert pl.DataFrame(scores)["precision_low"][0] == pytest.approx(0.2307, abs=1e-4)
    assert scores.to_polars().shape == frame.shape


# -- intervals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson_intervals_are_those_of_the_literature(
    hits: int, trials: int, low: float, high: float
) -> None:
    """81 of 263 is the example of Newcombe (1998), Statistics in Medicine 17:857-872."""
    estimate = wilson(hits, trials)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-4)


def test_days_are_drawn_whole_for_the_interval_of_alerts_per_day() -> None:
    """Two days with 0 and 4 alerts: resamples have 0, 2 or 4 a day, a quarter of them 0."""
    data = pa.table(
        {
            "ts": [at(1, 1), *(at(2, hour) for hour in (1, 2, 3, 4))],
            "card": ["A"] * 5,
            "amount": [1.0, *[600.0] * 4],
            "fraud": [0, 1, 1, 1, 1],
        }
    )
    estimate = cep.backtest(RULES, data, "fraud").scores["large"].alerts_per_day
    assert (estimate.low, estimate.value, estimate.high) == (0, 2, 4)


def test_the_same_seed_gives_the_same_intervals() -> None:
    first, second = scored(seed=3).scores.to_arrow(), scored(seed=3).scores.to_arrow()
    assert first.equals(second)


def test_the_interval_of_a_median_is_between_the_delays_there_are() -> None:
    """Both found cases of drop began on one day: days are drawn whole, so with both or neither."""
    estimate = scored(case="incident").scores["drop"].delay
    assert (estimate.low, estimate.high) == (estimate.value, estimate.value)


def test_scores_show_themselves_in_a_notebook() -> None:
    rules = cep.compile("pattern p match t define t as x > 1")
    data = [{"ts": f"2025-01-0{i}", "x": i, "bad": i > 2} for i in range(1, 5)]
    page = cep.backtest(rules, data, "bad")._repr_html_()
    assert "4 events, 2 labelled, 4 days" in page
    cells = re.findall(r"<span[^>]*>([^<]*)</span>", page)
    assert cells[:2] == ["p", "0.75"]
    assert cells[2].startswith("0.667 (")
