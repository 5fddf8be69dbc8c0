"""Bad input through the public API: a clear message, or a row that is set aside and counted."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cep

STREAM = "stream payments (ts timestamp, card text, amount float) time ts;\n"
PATTERN = """pattern big from payments by card
  match small -> large
  within 1 hour
  define small as amount < 2, large as amount > 500
  select large.amount as amount;"""

GOOD = [
    {"ts": "2024-01-01 00:00:00", "card": "x", "amount": 1.0},
    {"ts": "2024-01-01 00:01:00", "card": "x", "amount": 600.0},
]


def utc(*parts: int) -> datetime:
    """As the API shows times whose data state no zone."""
    return datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001 - naive on purpose


def run(data: Any, rules: str = STREAM + PATTERN) -> Any:
    return cep.compile(rules).run(data)


def reasons(result: Any) -> dict[str, int]:
    return {reason: size for (reason, _, _), size in result.errors.counts().items()}


def refusal(data: Any, rules: str = STREAM + PATTERN) -> str:
    with pytest.raises(cep.DataError) as caught:
        run(data, rules)
    return str(caught.value)


def test_good_input_is_one_match_and_no_error() -> None:
    result = run(GOOD)
    assert (len(result.matches), reasons(result), result.notes) == (1, {}, [])


# -- columns and types -----------------------------------------------------------------------------


def test_a_field_that_the_data_does_not_have_is_shown_in_the_rule() -> None:
    with pytest.raises(cep.RuleError) as caught:
        run(GOOD, PATTERN.replace("amount < 2", "amuont < 2"))
    assert str(caught.value) == (
        "<rules>:4:19: error: no field 'amuont' in stream payments\n"
        "    define small as amuont < 2, large as amount > 500\n"
        "                    ^^^^^^\n"
        "  hint: did you mean 'amount'?"
    )


def test_a_condition_of_the_wrong_type_is_shown_in_the_rule() -> None:
    data = [{"ts": 1, "card": "x", "amount": "much"}]
    with pytest.raises(cep.RuleError) as caught:
        run(data, PATTERN)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("<rules>:4:")
    assert "text" in lines[0]
    assert lines[1] == "    define small as amount < 2, large as amount > 500"


def test_a_missing_column_is_named_with_a_near_one() -> None:
    data = [{"ts": "2024-01-01", "card": "x", "amuont": 1.0}]
    assert refusal(data) == (
        "stream 'payments' (the data): no column 'amount'; did you mean 'amuont'? "
        "it has: ts, card, amuont"
    )


def test_a_column_that_cannot_become_the_declared_type_is_refused() -> None:
    data = pa.table({"ts": ["2024-01-01"], "card": ["x"], "amount": [[1.0]]})
    assert "field 'amount' is declared float, but the data has list" in refusal(data)


def test_a_value_that_does_not_fit_is_set_aside_and_counted() -> None:
    bad = {"ts": "2024-01-01 00:00:30", "card": "x", "amount": "much"}
    result = run([GOOD[0], bad, GOOD[1]])
    assert len(result.matches) == 1
    assert reasons(result) == {"amount is not a float": 1}
    assert result.errors[0].reason == "amount is not a float: 'much'"
    assert result.errors[0].time == utc(2024, 1, 1, 0, 0, 30)
    assert result.errors[0].event == (
        '{"ts": "2024-01-01 00:00:30", "card": "x", "amount": "much"}'
    )


def test_without_a_time_column_the_message_says_how_to_name_one() -> None:
    message = refusal([{"when": 1, "card": "x", "amount": 1.0}], PATTERN)
    assert "which column is the event time?" in message
    assert "`stream payments time COLUMN;`" in message


def test_a_time_column_of_a_useless_type_is_refused() -> None:
    rules = "stream payments time card;" + PATTERN
    data = pa.table({"card": [True], "amount": [1.0]})
    assert "column 'card' is bool: event time must be a timestamp" in refusal(data, rules)


# -- values ----------------------------------------------------------------------------------------


def test_unsorted_input_is_sorted_and_said() -> None:
    result = run(GOOD[::-1])
    assert len(result.matches) == 1
    assert result.notes == [
        "stream 'payments' (the data): 1 of 2 events came after one with a later time; "
        "sorted by time"
    ]


def test_events_without_a_time_are_set_aside_and_counted() -> None:
    bad = [{**GOOD[0], "ts": None}, {**GOOD[0], "ts": "soon"}, {**GOOD[0], "ts": "9" * 18}]
    result = run(GOOD + bad)
    assert len(result.matches) == 1
    assert reasons(result) == {
        "time 'ts' is NULL": 1,
        "time 'ts' does not parse as ISO 8601": 1,
        "time 'ts' is outside the years 1 to 9999 (is the unit right?)": 1,
    }
    assert result.events == 5


def test_a_column_of_nothing_but_missing_times_is_no_match() -> None:
    result = run([{**row, "ts": None} for row in GOOD])
    assert (len(result.matches), reasons(result)) == (0, {"time 'ts' is NULL": 2})


def test_events_without_a_key_are_set_aside_and_counted() -> None:
    result = run([*GOOD, {**GOOD[1], "card": None}])
    assert len(result.matches) == 1
    assert list(reasons(result).values()) == [1]
    assert "card" in result.errors[0].reason


def test_nan_is_a_value_that_no_comparison_with_a_number_finds_true() -> None:
    data = [GOOD[0], {**GOOD[1], "amount": float("nan")}, GOOD[1]]
    result = run(data)
    assert [match.values["amount"] for match in result.matches] == [600.0]
    assert reasons(result) == {}


@pytest.mark.parametrize(
    "data",
    [
        [],
        pa.table({"ts": pa.array([], pa.timestamp("us")), "card": pa.array([], pa.string())}),
        pd.DataFrame({"ts": [], "card": []}),
        pl.DataFrame({"ts": [], "card": []}),
    ],
    ids=["dicts", "pyarrow", "pandas", "polars"],
)
def test_an_empty_table_is_no_match(data: Any) -> None:
    result = run(data, "pattern p by card match a -> b define a as true, b as true;")
    assert (result.events, len(result.matches), len(result.errors)) == (0, 0, 0)
    assert result.matches.to_arrow().schema.names == ["pattern", "key", "start", "end", "id"]


def test_no_match_is_an_empty_table_with_all_columns() -> None:
    table = run(GOOD[:1]).matches.to_arrow()
    assert table.num_rows == 0
    assert table.schema.names == ["pattern", "key", "start", "end", "id", "amount"]
    assert table.schema.field("amount").type == pa.float64()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_how_the_input_is_cut_into_batches_does_not_show(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"ts": 1000 * i, "card": "xy"[i % 2], "amount": [1.0, 600.0, 700.0][i % 3]}
        for i in range(20)
    ]
    rules = PATTERN.replace("select", "after match no skip select small.ts as began,")
    whole = run(rows, rules).matches
    monkeypatch.setattr("cep.engine.ingest.feed.ROWS_PER_BATCH", size)
    parts = run(rows, rules).matches
    assert len(whole) > 5
    assert parts.to_arrow().equals(whole.to_arrow())
    assert parts.events.equals(whole.events)
    assert [match.events for match in parts] == [match.events for match in whole]


# -- files -----------------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "payments.parquet").startswith(
        f"{tmp_path}/payments.parquet: no such"
    )


def test_a_file_that_is_not_what_its_ending_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("ts,card,amount\n")
    assert "a.parquet: not a Parquet file" in refusal(tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist(GOOD), tmp_path / "a.csv")
    assert "a.csv: this is a Parquet file" in refusal(tmp_path / "a.csv")
    (tmp_path / "a.jsonl").write_text("[]")
    assert "a.jsonl: holds a JSON array" in refusal(tmp_path / "a.jsonl")
    (tmp_path / "a.txt").write_text("")
    assert "cannot tell the format from '.txt'" in refusal(tmp_path / "a.txt")
    (tmp_path / "b.csv").write_bytes(b"ts,card,amount\n1,\xff\xfe,2\n")
    assert "b.csv: column 'card' is not UTF-8 text" in refusal(tmp_path / "b.csv", PATTERN)
    assert reasons(run(tmp_path / "b.csv")) == {"card is not text": 1}
    (tmp_path / "b.csv.gz").write_text("ts,card,amount\n")
    assert "b.csv.gz: cannot be read as CSV" in refusal(tmp_path / "b.csv.gz")


def test_broken_csv_rows_are_set_aside_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "payments.csv"
    path.write_text(
        "ts,card,amount\n2024-01-01 00:00:00,x,1\nx,y\n2024-01-01 00:00:30,x,1,2,3\n"
        "2024-01-01 00:00:40,x,lots\n2024-01-01 00:01:00,x,600\n"
    )
    result = run(path)
    assert len(result.matches) == 1
    assert reasons(result) == {f"broken row in {path}": 2, "amount is not a float": 1}
    assert result.events == 5


def test_malformed_json_lines_are_set_aside_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "payments.jsonl"
    path.write_text(
        '{"ts": "2024-01-01 00:00:00", "card": "x", "amount": 1}\n'
        '{"ts": "2024-01-01 00:00:10", "card":\n'
        "7\n"
        '{"ts": "2024-01-01 00:01:00", "card": "x", "amount": 600}\n'
    )
    result = run(path)
    assert len(result.matches) == 1
    assert reasons(result) == {f"broken line in {path}": 2}
    assert "line 2: " in result.errors[0].event


def test_a_huge_integer_is_not_rounded_in_silence() -> None:
    rules = "pattern p match a define a as id = 9007199254740993;"
    data = [{"ts": 1, "id": 9007199254740992}, {"ts": 2, "id": 9007199254740993}]
    assert [match.events["a"][0]["ts"] for match in run(data, rules).matches] == [2]


def test_a_division_by_zero_is_counted_and_is_not_a_match() -> None:
    rules = "pattern p match a define a as 1 / n > 0;"
    result = run([{"ts": 1, "n": 0}, {"ts": 2, "n": 1}], rules)
    assert len(result.matches) == 1
    assert [(pattern, variable) for _, pattern, variable in result.errors.counts()] == [("p", "a")]


def test_an_error_in_a_select_list_is_counted_and_its_value_is_null() -> None:
    rules = "pattern p match a define a as n = 0 select 1 / n as x;"
    result = run([{"ts": 1, "n": 0}], rules)
    assert [match.values for match in result.matches] == [{"x": None}]
    assert [pattern for _, pattern, _ in result.errors.counts()] == ["p"]


def test_an_integer_that_rules_cannot_hold_is_refused() -> None:
    ids = pl.DataFrame({"ts": [1], "id": pl.Series([2**63 + 5], dtype=pl.UInt64)})
    said = refusal(ids, "pattern p match a define a as id > 0")
    assert said == (
        "the integer 9223372036854775813 in the data is larger than the largest that rules can"
        " read (9223372036854775807): give ids of this size as text"
    )


def test_an_empty_csv_text_is_null_and_a_quoted_one_is_text(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text('ts,user,v\n1,"",1\n2,,1\n3,z,1\n')
    result = run(path, "pattern p by user match a define a as v = 1")
    assert [match.key for match in result.matches] == ["", "z"]
    assert reasons(result) == {"key field 'user' is NULL": 1}


def test_a_file_without_one_json_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("a,b\n1,2\n")
    said = refusal(path)
    assert said.startswith(f"{path}: not JSON lines, no line is an object; line 1: ")


def test_a_pattern_that_unfolds_without_measure_is_refused() -> None:
    with pytest.raises(cep.RuleError, match="written out the pattern has 1,000,001 parts"):
        cep.compile("pattern p match (a{1000}){1000} -> b define a as v = 1, b as v = 2")


def test_a_skip_target_that_took_the_very_first_event_is_no_error() -> None:
    rows = [{"ts": 1, "v": 1}, {"ts": 2, "v": 2}]
    rules = "pattern p match a -> b define a as v = 1, b as v = 2 after match skip to first a"
    result = run(rows, rules)
    assert (len(result.matches), reasons(result)) == (1, {})
