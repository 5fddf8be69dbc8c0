"""The window operator by small examples: when rows come, what is late, what is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cep.engine.algebra.errors import RuleError
from cep.engine.algebra.expression import Aggregated, Binary, DataType, Expression, Field, Literal
from cep.engine.algebra.pattern import Output
from cep.engine.algebra.plan import Aggregate, Window, WindowKind
from cep.engine.batch import EventBatch
from cep.engine.kernels import windows_layout as layout
from cep.engine.operators.fed import Fed
from cep.engine.operators.windows.grid import grid_of
from cep.engine.operators.windows.operator import WindowOperator
from cep.engine.operators.windows.rows import order_of_rows
from cep.engine.state.interning import TextCodes
from tests.reference.windows import Arrival
from tests.unit.engine.window_tools import GAP, IN_LANES, Feeder, I, Longest, T, aggregate, node

TUMBLING = Window(WindowKind.TUMBLING, size_us=10)
EVENTS = {"events": IN_LANES["events"]}
SUM = {"sum": IN_LANES["sum_i"]}
BEHIND = 2**62
BEGIN, END_OF_TIME = -(2**63), 2**63 - 1


def event(sequence: int, time_us: int, i: int | None = 1, t: str | None = None) -> Arrival:
    return Arrival(sequence, 0, time_us, {"i": i, "f": None, "t": t})


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=400), st.integers(0, 3))
def test_rows_come_in_order_of_time_and_position(rows: list[tuple[int, int]], runs: int) -> None:
    time_us = np.array([t for t, _ in rows], np.int64)
    position = np.array([p for _, p in rows], np.int64)
    for part in np.array_split(np.arange(len(rows)), runs or 1):  # as shards hand them over
        order = np.lexsort((position[part], time_us[part]))
        time_us[part], position[part] = time_us[part][order], position[part][order]
    found = order_of_rows(time_us, position)
    assert found.tolist() == np.lexsort((position, time_us)).tolist()


def feeder(window: Window, outputs: dict[str, Expression] = SUM, **options: Any) -> Feeder:
    return Feeder(aggregate(window, outputs, **options))


def late(arrival: Arrival, watermark_us: int) -> Arrival:
    return replace(arrival, late=True, watermark_us=watermark_us)


# ---- when rows come


def test_a_window_fires_when_the_watermark_reaches_its_last_moment() -> None:
    fed = feeder(TUMBLING)
    fed.feed([event(0, 3, 2), event(1, 9, 5)])
    fed.advance_to(8)
    assert fed.rows == []
    assert fed.operator.wake_us(0) == 9
    fed.advance_to(9)
    assert fed.rows == [(9, BEHIND + 0, 0, 0, 10, 0, 7)]
    assert fed.operator.entries == 0
    assert fed.operator.wake_us(0) == END_OF_TIME


def test_a_session_fires_once_no_event_can_touch_it() -> None:
    fed = feeder(Window(WindowKind.SESSION, gap=Literal(5, DataType.DURATION)))
    fed.feed([event(0, 3, 2)])
    fed.advance_to(7)
    assert fed.rows == []
    fed.feed([event(1, 8, 1)])
    assert fed.operator.wake_us(0) == 8  # at the latest: the session has become longer
    fed.advance_to(12)
    assert fed.rows == []
    fed.advance_to(13)
    assert fed.rows == [(13, BEHIND + 0, 0, 3, 13, 0, 3)]


def test_a_window_by_count_fires_with_the_event_that_fills_it() -> None:
    fed = feeder(Window(WindowKind.COUNT, size_events=2))
    fed.feed([event(0, 3, 2), event(1, 5, 3), event(2, 8, 4)])
    fed.take()
    assert fed.rows == [(5, 1, 0, 0, 2, 0, 5)]
    assert fed.current() == [(8, 2, 0, 2, 4, -1, 4)]
    assert fed.operator.active_keys(0).tolist() == [0]


def test_a_late_event_updates_a_window_that_has_fired_until_the_lateness_is_over() -> None:
    fed = feeder(TUMBLING, lateness_us=20)
    fed.feed([event(0, 3, 2)])
    fed.advance_to(9)
    fed.feed([late(event(1, 4, 5), 15)])
    fed.feed([late(event(2, 1, 1), 28)])
    fed.feed([late(event(3, 1, 1), 29)])
    fed.take()
    assert [row[3:] for row in fed.rows] == [(0, 10, 0, 2), (0, 10, 1, 7), (0, 10, 2, 8)]
    assert [row[1] for row in fed.rows] == [BEHIND] * 3
    assert fed.late == [3]


def test_a_window_whose_only_event_is_late_fires_for_the_first_time() -> None:
    fed = feeder(TUMBLING, lateness_us=20)
    fed.feed([late(event(0, 4, 5), 15)])
    fed.take()
    assert fed.rows == [(9, BEHIND, 0, 0, 10, 0, 5)]


def test_discarding_updates_say_only_what_is_new() -> None:
    fed = feeder(TUMBLING, lateness_us=20, discarding=True)
    fed.feed([event(0, 3, 2)])
    fed.feed([late(event(1, 4, 5), 15), late(event(2, 4, 6), 15)])
    fed.take()
    assert [row[5:] for row in fed.rows] == [(0, 2), (1, 5), (2, 6)]


def test_early_rows_come_at_multiples_where_something_has_changed() -> None:
    fed = feeder(TUMBLING, early_us=3)
    fed.feed([event(0, 1, 2), event(1, 4, 5), event(2, 11, 1)])
    fed.advance_to(END_OF_TIME)
    assert [(row[0], *row[3:]) for row in fed.rows] == [
        (2, 0, 10, -1, 2),
        (5, 0, 10, -1, 7),
        (9, 0, 10, 0, 7),
        (11, 10, 20, -1, 1),
        (19, 10, 20, 0, 1),
    ]


def test_discarding_windows_with_nothing_new_since_their_early_row_stay_silent() -> None:
    fed = feeder(TUMBLING, early_us=3, discarding=True)
    fed.feed([event(0, 1, 2)])
    fed.advance_to(END_OF_TIME)
    assert [row[5:] for row in fed.rows] == [(-1, 2)]


def test_what_is_open_can_be_looked_at_and_stays_as_it_is() -> None:
    fed = feeder(TUMBLING)
    fed.feed([event(0, 3, 2)])
    fed.advance_to(5)
    assert fed.current() == [(5, BEHIND, 0, 0, 10, -1, 2)]
    assert fed.current() == fed.current()
    fed.advance_to(9)
    assert fed.rows == [(9, BEHIND, 0, 0, 10, 0, 2)]
    assert fed.current() == []


def test_events_between_windows_are_in_none_and_not_late() -> None:
    fed = feeder(Window(WindowKind.SLIDING, size_us=2, slide_us=5))
    fed.feed([event(0, 1, 1), event(1, 3, 10), late(event(2, 3, 10), 4)])
    fed.advance_to(END_OF_TIME)
    assert [row[3:] for row in fed.rows] == [(0, 2, 0, 1)]
    assert fed.late == []


def test_windows_at_the_ends_of_time_are_cut_off_there() -> None:
    fed = feeder(Window(WindowKind.TUMBLING, size_us=1000))
    fed.feed([event(0, BEGIN + 1)])
    fed.advance_to(0)
    fed.feed([replace(event(1, END_OF_TIME - 5), watermark_us=0)])
    fed.advance_to(END_OF_TIME)
    low, high = (row[3:5] for row in fed.rows)
    assert low == (BEGIN, -(2**63) // 1000 * 1000 + 1000)
    assert high == (END_OF_TIME // 1000 * 1000, END_OF_TIME)


def test_a_moment_with_many_keys_leaves_no_long_table_behind() -> None:
    fed = feeder(TUMBLING, EVENTS)
    fed.feed([replace(event(n, 1), key=n) for n in range(50)])
    fed.feed([event(50, 11)])
    fed.advance_to(10)
    fed.feed([event(51, 21)])
    fed.advance_to(20)
    fed.feed([event(52, 31)])
    fed.advance_to(30)
    store = fed.operator._shards[0].store
    assert store.counters[layout.USED] <= 3
    assert len(fed.rows) == 52


# ---- what rows say


def test_having_leaves_rows_out() -> None:
    having = Binary(">", IN_LANES["sum_i"], Literal(3), type=DataType.BOOLEAN)
    fed = feeder(TUMBLING, EVENTS, having=having)
    fed.feed([event(0, 1, 2), event(1, 11, 4)])
    fed.advance_to(END_OF_TIME)
    assert [row[3:] for row in fed.rows] == [(10, 20, 0, 1)]


def test_where_says_which_events_count() -> None:
    where = Binary(">", I, Literal(3), type=DataType.BOOLEAN)
    fed = feeder(TUMBLING, EVENTS, where=where)
    fed.feed([event(0, 1, 2), event(1, 2, 4), event(2, 3, None)])
    fed.advance_to(END_OF_TIME)
    assert [row[6] for row in fed.rows] == [1]


def test_expressions_read_keys_and_bounds() -> None:
    end = Field("window_end", type=DataType.TIMESTAMP)
    start = Field("window_start", type=DataType.TIMESTAMP)
    length = Binary("-", end, start, type=DataType.DURATION)
    fed = feeder(TUMBLING, {"length": length})
    fed.feed([event(0, 1)])
    fed.advance_to(END_OF_TIME)
    assert fed.rows[0][6].microseconds == 10


def test_an_error_in_select_gives_null_and_is_reported_with_its_window() -> None:
    ratio = Binary("/", Literal(1), IN_LANES["sum_i"], type=DataType.FLOAT)
    fed = feeder(TUMBLING, {"ratio": ratio})
    fed.feed([event(0, 1, 0), event(1, 11, 2)])
    fed.operator.advance_to(0, END_OF_TIME)
    made = fed.operator.take(fed._keys)
    assert made is not None
    assert made.table.column("ratio").to_pylist() == [None, 0.5]
    (failure,) = made.failures
    assert (failure.reason, failure.output) == ("division by zero", "ratio")
    assert failure.rows.column("window_end").cast(pa.int64()).to_pylist() == [10]
    assert failure.rows.column("key").to_pylist() == [0]


@dataclass(frozen=True)
class Fussy(Longest):
    """Refuses one text, and one result."""

    name: str = "longest"

    @staticmethod
    def add(state: list[str], value: str) -> list[str]:
        if value == "bad":
            raise ValueError("a bad text")
        return [*state, value]

    @staticmethod
    def result(state: list[str]) -> Any:
        if "worse" in state:
            raise KeyError("worse")
        return 7 if "seven" in state else "".join(state)


def test_errors_in_user_defined_functions_cost_a_value_and_are_reported() -> None:
    plan = aggregate(TUMBLING, {"text": node("longest", T)})
    operator = WindowOperator(plan, None, TextCodes(), {"longest": Fussy()})
    texts = ["a", "bad", "worse", "seven"]
    table = pa.table({"t": texts})
    batch = EventBatch(table, np.array([1, 2, 11, 21]))
    prepared = operator.prepare(Fed(batch, 0, operator._texts))
    operator.process(0, prepared, prepared.rows, np.zeros(4, np.int64), -1)
    (failure,) = operator.take_failures(0)
    assert (failure.reason, failure.rows.tolist()) == ("longest: ValueError: a bad text", [1])
    assert operator.take_failures(0) == []
    operator.advance_to(0, END_OF_TIME)
    made = operator.take(lambda shard, codes: Feeder(plan)._keys(shard, codes))
    assert made is not None
    assert made.table.column("text").to_pylist() == ["a", None, None]
    assert [failure.reason for failure in made.failures] == [
        "longest: KeyError: 'worse'",
        "a result of type int is no text",
    ]


def test_events_without_a_gap_are_left_out_and_reported() -> None:
    plan = aggregate(Window(WindowKind.SESSION, gap=GAP), EVENTS)
    operator = WindowOperator(plan)
    gaps = pa.array([3, None, 0, -1], pa.duration("us"))
    batch = EventBatch(pa.table({"gap": gaps}), np.arange(4))
    prepared = operator.prepare(Fed(batch, 0, TextCodes()))
    assert prepared.rows.tolist() == [0]
    (failure,) = prepared.failures
    assert failure.reason == "the gap of the session is NULL or not more than 0"
    assert failure.rows.tolist() == [1, 2, 3]


def test_errors_of_conditions_and_arguments_are_reported_for_events_that_count() -> None:
    where = Binary(">", I, Literal(0), type=DataType.BOOLEAN)
    ratio = Binary("/", I, Field("j", type=DataType.INTEGER), type=DataType.FLOAT)
    total = Aggregated("sum", ratio, type=DataType.FLOAT)
    operator = WindowOperator(aggregate(TUMBLING, {"total": total}, where=where), number=1)
    table = pa.table({"i": [1, 0, 1], "j": [0, 0, 0]})
    streams: Sequence[int] = (1, 1, 0)
    batch = EventBatch(table, np.arange(3), np.array(streams, np.int16))
    prepared = operator.prepare(Fed(batch, 0, TextCodes()))
    assert prepared.rows.tolist() == [0]
    (failure,) = prepared.failures
    assert (failure.reason, failure.rows.tolist()) == ("division by zero", [0])


def test_rows_are_sorted_by_time_and_first_event_whatever_the_shard() -> None:
    fed = Feeder(aggregate(TUMBLING, SUM), shards=3)
    fed.feed([replace(event(n, n), key=5 - n) for n in range(5)])
    fed.advance_to(END_OF_TIME)
    assert [row[2] for row in fed.rows] == [5, 4, 3, 2, 1]


# ---- what makes no sense


@pytest.mark.parametrize(
    "window",
    [
        Window(WindowKind.TUMBLING),
        Window(WindowKind.SLIDING, size_us=5, slide_us=0),
        Window(WindowKind.CUMULATING, size_us=5, slide_us=2),
        Window(WindowKind.COUNT, size_events=0),
        None,
    ],
)
def test_windows_without_sense_are_refused(window: Window | None) -> None:
    plan = Aggregate("a", "s", (Output("events", IN_LANES["events"]),), (), window)
    with pytest.raises(RuleError):
        WindowOperator(plan)


@pytest.mark.parametrize(
    ("time_us", "start_us"),
    [(-12, -16), (-10, -16), (-9, -9), (-3, -9), (-2, -2), (4, -2), (5, 5), (11, 5), (12, 12)],
)
def test_windows_begin_at_the_offset_and_times_round_down(time_us: int, start_us: int) -> None:
    grid = grid_of(Window(WindowKind.TUMBLING, size_us=7, offset_us=-2))
    assert grid.starts_us(grid.panes(np.array([time_us]))).tolist() == [start_us]
    assert grid.starts_us(grid.panes(np.array([time_us, 10**6])))[0] == start_us
