"""Match batches -> tables of matches: columns, ids, order, errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.engine.algebra.expression import DataType, Field
from cep.engine.algebra.pattern import Output as Column
from cep.engine.algebra.pattern import Pattern, Step, Stream, StreamField, Variable
from cep.engine.batch import Int64s
from cep.engine.results import ErrorBatch, LateBatch, MatchBatch, Output
from cep.results.ids import match_ids
from cep.results.layout import Layout
from cep.results.result import MatchTable, Result, make_result
from cep.results.tables import LateTable

SECOND = 1_000_000
STEPS = (Step(Variable("a")), Step(Variable("b")))
STREAMS = (
    Stream(
        "s",
        (
            StreamField("ts", DataType.TIMESTAMP),
            StreamField("card", DataType.TEXT),
            StreamField("n", DataType.INTEGER),
        ),
        "ts",
    ),
)
EVENTS = pa.table(
    {
        "ts": pa.array([0, SECOND, 2 * SECOND, 3 * SECOND], pa.timestamp("us")),
        "card": ["x", "x", "y", "y"],
        "n": [1, 2, 3, 4],
    }
)


def utc(*parts: int) -> datetime:
    """As the API shows times whose data state no zone."""
    return datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001 - naive on purpose


def pattern(name: str = "p", key: Sequence[str] = ("card",), **select: DataType) -> Pattern:
    columns = tuple(Column(n, Field("n", type=t)) for n, t in select.items())
    return Pattern(name, STEPS, key=tuple(key), select=columns)


def batch(
    matches: Sequence[Sequence[int]],
    of: Pattern | None = None,
    events: pa.Table = EVENTS,
    at: Sequence[int] | None = None,
    variables: Sequence[int] | None = None,
) -> MatchBatch:
    """Matches as rows of `events`; the first event is a's, the others are b's."""
    times: Int64s = np.arange(events.num_rows, dtype=np.int64) * SECOND
    names = [min(place, 1) for match in matches for place in range(len(match))]
    flat = [row for match in matches for row in match]
    taken = names if variables is None else list(variables)
    return MatchBatch(
        of or pattern(),
        ("a", "b"),
        np.cumsum([0, *(len(match) for match in matches)]),
        np.array(taken, np.int32),
        np.array(flat, np.int64),
        times[[match[-1] for match in matches]] if at is None else np.array(at, np.int64),
        events,
        times,
        None,
        np.arange(events.num_rows, dtype=np.int64),
    )


def result(*batches: MatchBatch, patterns: Sequence[Pattern] = (), **facts: Any) -> Result:
    known = list(patterns) or list({b.pattern.name: b.pattern for b in batches}.values())
    schema = batches[0].events.schema if batches else EVENTS.schema
    return make_result(Layout(tuple(known), STREAMS, schema), Output(list(batches)), **facts)


def table(*batches: MatchBatch, patterns: Sequence[Pattern] = ()) -> MatchTable:
    return result(*batches, patterns=patterns).matches


def places(matches: MatchTable) -> list[list[int]]:
    """The `n` of every captured event, match by match."""
    return [[event["n"] for es in match.events.values() for event in es] for match in matches]


# -- a match ---------------------------------------------------------------------------------------


def test_a_match_has_its_pattern_key_times_events_and_values() -> None:
    match = table(batch([[0, 1]], pattern(total=DataType.INTEGER)))[0]
    assert (match.pattern, match.key) == ("p", "x")
    assert match.start == utc(1970, 1, 1, 0, 0, 0)
    assert match.end == match.at == utc(1970, 1, 1, 0, 0, 1)
    assert match.values == {"total": 2}
    assert match.events == {
        "a": [{"ts": utc(1970, 1, 1, 0, 0, 0), "card": "x", "n": 1}],
        "b": [{"ts": utc(1970, 1, 1, 0, 0, 1), "card": "x", "n": 2}],
    }
    assert repr(match) == (
        "<p key='x' 1970-01-01 00:00:00 .. 1970-01-01 00:00:01 (a: 1, b: 1) {'total': 2}>"
    )


def test_times_carry_a_zone_where_the_data_does() -> None:
    zoned = EVENTS.set_column(0, "ts", EVENTS.column("ts").cast(pa.timestamp("ms", "Asia/Tokyo")))
    match = table(batch([[0, 1]], events=zoned))[0]
    assert match.start == datetime(1970, 1, 1, tzinfo=UTC)


def test_changing_an_event_of_one_match_changes_no_other() -> None:
    matches = table(batch([[0, 1], [0, 2]], at=[1, 2]))
    matches[0].events["a"][0]["n"] = 99
    assert matches[1].events["a"][0]["n"] == 1


def test_nanoseconds_of_a_field_are_cut_for_python() -> None:
    column = pa.array([1500] * 4, pa.timestamp("ns"))
    match = table(batch([[0]], events=EVENTS.append_column("fine", column)))[0]
    assert match.events["a"][0]["fine"] == utc(1970, 1, 1, 0, 0, 0, 1)


def test_events_of_several_streams_have_the_fields_of_their_own() -> None:
    own = (frozenset(["card"]), frozenset(["n"]))
    made = batch([[0, 1]])
    both = MatchBatch(
        made.pattern,
        made.variables,
        made.offsets,
        made.variable,
        made.row,
        made.at_us,
        made.events,
        made.event_time_us,
        np.array([0, 1, 0, 1], np.int16),
        made.event_position,
    )
    layout = Layout((made.pattern,), STREAMS, EVENTS.schema, own)
    match = make_result(layout, Output([both])).matches[0]
    assert match.events == {"a": [{"card": "x"}], "b": [{"n": 2}]}


def test_indexing_works_as_for_a_list() -> None:
    matches = table(batch([[0, 1], [2, 3]]))
    assert matches[-1].key == "y"
    assert [match.key for match in matches[0:9]] == ["x", "y"]
    assert len(matches) == 2
    with pytest.raises(IndexError, match="match 2 of 2"):
        matches[2]


# -- columns ---------------------------------------------------------------------------------------


def test_the_columns_are_pattern_key_start_end_id_and_the_select_names() -> None:
    made = table(batch([[0, 1], [2, 3]], pattern(total=DataType.INTEGER))).to_arrow()
    assert made.schema.names == ["pattern", "key", "start", "end", "id", "total"]
    assert made.drop_columns(["id", "start"]).to_pylist() == [
        {"pattern": "p", "key": "x", "end": utc(1970, 1, 1, 0, 0, 1), "total": 2},
        {"pattern": "p", "key": "y", "end": utc(1970, 1, 1, 0, 0, 3), "total": 4},
    ]


def test_the_columns_are_there_without_matches() -> None:
    empty = table(patterns=[pattern(total=DataType.FLOAT)])
    assert len(empty) == 0
    assert list(empty) == []
    assert empty.to_arrow().schema.field("total").type == pa.float64()
    assert empty.to_arrow().schema.field("key").type == pa.string()
    assert empty.events.schema.names == [
        "match",
        "pattern",
        "variable",
        "position",
        "ts",
        "card",
        "n",
    ]


def test_a_select_name_of_two_types_gets_the_name_of_the_later_pattern() -> None:
    p, q = pattern("p", total=DataType.INTEGER), pattern("q", total=DataType.FLOAT)
    names = table(patterns=[p, q]).schema.names
    assert names == ["pattern", "key", "start", "end", "id", "total", "q_total"]


def test_a_select_name_that_is_a_fixed_column_gets_the_name_of_the_pattern() -> None:
    names = table(patterns=[pattern("p", end=DataType.INTEGER)]).schema.names
    assert names == ["pattern", "key", "start", "end", "id", "p_end"]


def test_a_column_that_only_one_pattern_selects_is_null_for_the_others() -> None:
    p, q = pattern("p", x=DataType.INTEGER), pattern("q")
    made = table(batch([[0, 1]], p), batch([[0, 1]], q)).to_arrow()
    assert made.column("x").to_pylist() == [2, None]


@pytest.mark.parametrize(
    ("keys", "type_", "values"),
    [
        ([["n"]], pa.int64(), [1]),
        ([["card", "n"]], pa.struct([("card", pa.string()), ("n", pa.int64())]), None),
        ([["card"], ["n"]], pa.string(), ["x", "1"]),
        ([["card"], ["card", "n"]], pa.string(), ["x", "x, 1"]),
        ([["n"], []], pa.int64(), [1, None]),
        ([[]], pa.null(), [None]),
    ],
)
def test_the_key_has_its_own_type_where_all_patterns_agree(
    keys: list[list[str]], type_: pa.DataType, values: list[Any] | None
) -> None:
    patterns = [pattern(f"p{i}", key) for i, key in enumerate(keys)]
    made = table(*(batch([[0, 1]], p) for p in patterns)).to_arrow().column("key")
    assert made.type == type_
    assert made.to_pylist() == (values or [{"card": "x", "n": 1}])


def test_a_key_of_several_fields_is_a_tuple_in_python() -> None:
    assert table(batch([[0, 1]], pattern("p", ["card", "n"])))[0].key == ("x", 1)
    assert table(batch([[0, 1]], pattern("p", [])))[0].key is None


def test_the_long_table_has_a_row_per_captured_event() -> None:
    events = table(batch([[2, 3], [0, 1, 3]], at=[9, 8])).events
    assert events.select(["variable", "position", "card", "n"]).to_pylist() == [
        {"variable": "a", "position": 0, "card": "x", "n": 1},
        {"variable": "b", "position": 1, "card": "x", "n": 2},
        {"variable": "b", "position": 2, "card": "y", "n": 4},
        {"variable": "a", "position": 0, "card": "y", "n": 3},
        {"variable": "b", "position": 1, "card": "y", "n": 4},
    ]


def test_fields_called_as_the_long_table_s_own_columns_are_renamed() -> None:
    made = table(batch([[0]], events=EVENTS.append_column("position", pa.array([7] * 4)))).events
    assert made.column("event_position").to_pylist() == [7]


def test_a_table_goes_to_pandas_polars_and_every_arrow_reader() -> None:
    matches = table(batch([[0, 1]]))
    assert matches.to_pandas()["pattern"].tolist() == ["p"]
    assert matches.to_polars()["pattern"].to_list() == ["p"]
    assert pa.table(matches).num_rows == 1


def test_matches_of_one_pattern_can_be_picked() -> None:
    p, q = pattern("p", x=DataType.INTEGER), pattern("q", y=DataType.FLOAT)
    both = table(batch([[0, 1]], p), batch([[2, 3]], q))
    assert both.by_pattern("q").to_arrow().schema.names[5:] == ["y"]
    assert [match.key for match in both.by_pattern("q")] == ["y"]
    assert both.counts() == {"p": 1, "q": 1}
    with pytest.raises(KeyError, match="no pattern 'r'; the rules have: p, q"):
        both.by_pattern("r")


# -- order -----------------------------------------------------------------------------------------


def test_matches_come_by_time_found_then_pattern_then_events() -> None:
    p, q = pattern("p"), pattern("q")
    found = table(
        batch([[2, 3], [0, 3]], q, at=[3, 3]),
        batch([[1, 3], [0, 1], [0, 2, 3]], p, at=[3, 1, 3]),
        patterns=[p, q],
    )
    assert [match.pattern for match in found] == ["p", "p", "p", "q", "q"]
    assert places(found) == [[1, 2], [1, 3, 4], [2, 4], [1, 4], [3, 4]]


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.integers(0, 3), min_size=1, max_size=6, unique=True).map(sorted),
        min_size=1,
        max_size=12,
        unique_by=tuple,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_does_not_depend_on_how_matches_came_in_batches(
    matches: list[list[int]], random: Any
) -> None:
    whole = table(batch(matches))
    shuffled = list(matches)
    random.shuffle(shuffled)
    cut = random.randint(0, len(shuffled))
    parts = [batch(part) for part in (shuffled[:cut], shuffled[cut:]) if part]
    again = table(*parts)
    assert places(again) == places(whole)
    assert again.to_arrow().equals(whole.to_arrow())
    assert again.events.equals(whole.events)


# -- ids -------------------------------------------------------------------------------------------


def ids(made: MatchBatch) -> list[str]:
    return [str(text) for text in match_ids(made).to_pylist()]


def test_an_id_is_the_same_for_ever() -> None:
    assert ids(batch([[0, 1]])) == ["b093fb4b950773ec9f8a15c3f23ffe6d"]


def test_ids_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "from tests.unit.test_result import batch, match_ids\nprint(match_ids(batch([[0, 1]]))[0])"
    )
    seeds = ("1", "2")
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in seeds
    }
    assert found == {"b093fb4b950773ec9f8a15c3f23ffe6d\n"}


def test_an_id_tells_patterns_variables_order_and_events_apart() -> None:
    made = [
        batch([[0, 1]]),
        batch([[0, 1]], pattern("q")),
        batch([[0, 1]], variables=[1, 0]),
        batch([[1, 0]]),
        batch([[0, 2]]),
        batch([[0, 1, 2]]),
        batch([[0]]),
    ]
    assert len({ids(one)[0] for one in made}) == len(made)


def changed(name: str, column: Any) -> pa.Table:
    return EVENTS.set_column(EVENTS.schema.names.index(name), name, column)


@pytest.mark.parametrize(
    "events",
    [
        EVENTS.select(["n", "ts", "card"]),
        changed("n", pa.array([1, 2, 3, 4], pa.int16())),
        changed("ts", EVENTS.column("ts").cast(pa.timestamp("ns", "UTC"))),
        changed("ts", EVENTS.column("ts").cast(pa.timestamp("s"))),
        changed("card", EVENTS.column("card").dictionary_encode()),
        changed("card", EVENTS.column("card").cast(pa.large_string())),
        changed("card", EVENTS.column("card").cast(pa.string_view())),
        changed("card", pa.array(["y", "y", "x", "x", "y", "y"]).slice(2)),
        pa.concat_tables([EVENTS.slice(0, 1), EVENTS.slice(1)]),
        EVENTS.append_column("other", pa.array([None] * 4, pa.float64())),
    ],
    ids=[
        "column order",
        "integer width",
        "nanoseconds",
        "seconds",
        "dictionary",
        "large text",
        "text view",
        "slice",
        "chunks",
        "a column of NULLs",
    ],
)
def test_an_id_is_that_of_the_content_not_of_its_form(events: pa.Table) -> None:
    assert ids(batch([[0, 1]], events=events)) == ids(batch([[0, 1]]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["", "x"], [None, "x"]),
        (["12345678", "x"], ["123456780", "x"]),
        (["a" * 20, "x"], ["a" * 21, "x"]),
        ([1.0, 2.0], [1.5, 2.0]),
        ([True, False], [False, False]),
        ([[1, 2], None], [[2, 1], None]),
        ([2**63 - 1, 0], [2**63 - 2, 0]),
    ],
)
def test_different_values_give_different_ids(one: list[Any], other: list[Any]) -> None:
    made = [pa.table({"v": values}) for values in (one, other)]
    assert ids(batch([[0]], events=made[0])) != ids(batch([[0]], events=made[1]))


def test_nan_is_nan_and_minus_zero_is_zero() -> None:
    one = pa.table({"v": [float("nan"), 0.0]})
    other = pa.table({"v": [-float("nan"), -0.0]})
    assert ids(batch([[0], [1]], events=one)) == ids(batch([[0], [1]], events=other))


def test_twenty_thousand_texts_give_as_many_ids() -> None:
    events = pa.table({"v": [str(i) for i in range(20_000)]})
    made = ids(batch([[i] for i in range(20_000)], events=events, at=range(20_000)))
    assert len(set(made)) == 20_000


# -- errors and the summary ------------------------------------------------------------------------


def error(size: int, reason: str = "n is not an int", **facts: Any) -> ErrorBatch:
    return ErrorBatch(reason, pa.table({"n": ["x"] * size}), **facts)


def errors_of(*batches: ErrorBatch) -> Result:
    layout = Layout((pattern(),), STREAMS, EVENTS.schema)
    return make_result(layout, Output(errors=list(batches)))


def test_errors_are_rows_with_the_event_as_json() -> None:
    made = errors_of(
        error(1, values=pa.array(["x"]), time_us=np.array([SECOND])),
        error(1, "overflow", pattern="p", variable="a"),
    ).errors
    assert made.to_arrow().to_pylist() == [
        {
            "reason": "n is not an int: 'x'",
            "pattern": None,
            "variable": None,
            "time": utc(1970, 1, 1, 0, 0, 1),
            "event": '{"n": "x"}',
        },
        {
            "reason": "overflow",
            "pattern": "p",
            "variable": "a",
            "time": None,
            "event": '{"n": "x"}',
        },
    ]
    assert made.counts() == {("n is not an int", None, None): 1, ("overflow", "p", "a"): 1}
    assert (made[-1].reason, next(row.reason for row in made)) == (
        "overflow",
        "n is not an int: 'x'",
    )


def test_many_errors_are_all_counted_but_not_all_kept() -> None:
    made = errors_of(error(9_000), error(9_000), error(5))
    assert len(made.errors) == 18_005
    assert made.errors.to_arrow().num_rows == made.errors.rows_kept == 10_000
    assert made.notes == ["18,005 errors, of which 10,000 are kept"]


def test_the_summary_is_readable() -> None:
    made = result(batch([[0, 1]]), events=2_000, seconds=0.5, notes=["sorted"])
    assert str(made.summary()) == (
        "2,000 events in 0.50 s, 4,000 events/s\n  p  1 match\n  note: sorted"
    )


def test_late_events_of_streams_that_mean_other_things_by_a_field_stand_side_by_side() -> None:
    times = np.array([5], np.int64)
    fields: list[dict[str, list[Any]]] = [
        {"x": [1], "n": [1]},
        {"x": ["one"], "n": [2.5]},
        {"x": [None], "n": [None]},
    ]
    batches = [
        LateBatch(stream, pa.table(columns), times, times + 2)
        for stream, columns in zip("abc", fields, strict=True)
    ]
    late = LateTable(batches).to_arrow()
    assert late.schema.names == ["stream", "time", "watermark", "late_by", "a_x", "n", "b_x", "c_x"]
    assert late["a_x"].to_pylist() == [1, None, None]
    assert late["b_x"].to_pylist() == [None, "one", None]
    assert late["n"].to_pylist() == [1.0, 2.5, None]
