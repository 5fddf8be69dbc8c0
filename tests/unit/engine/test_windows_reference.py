"""Random events through random windows: the operator equals the reference, however it is fed."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from cep.engine.algebra.expression import DataType, Expression, Literal
from cep.engine.algebra.plan import Window, WindowKind
from tests.reference.windows import Arrival, ReferenceWindows
from tests.unit.engine.window_tools import (
    GAP,
    GATHERED,
    IN_LANES,
    Feeder,
    aggregate,
    expected_rows,
    fed_in_order,
    rounded,
)

ORIGIN = -30  # times around 1970, where rounding changes its side


@st.composite
def windows(draw: DrawFn) -> Window:
    kind = draw(st.sampled_from(WindowKind))
    offset = draw(st.integers(-7, 7))
    match kind:
        case WindowKind.TUMBLING:
            return Window(kind, size_us=draw(st.integers(1, 12)), offset_us=offset)
        case WindowKind.SLIDING:
            slide = draw(st.integers(1, 8))
            return Window(kind, draw(st.integers(1, 20)), slide, offset)
        case WindowKind.CUMULATING:
            slide = draw(st.integers(1, 5))
            return Window(kind, slide * draw(st.integers(1, 5)), slide, offset)
        case WindowKind.SESSION:
            gap = draw(st.sampled_from((GAP, Literal(3, DataType.DURATION))))
            return Window(kind, gap=gap)
    slide_events = draw(st.none() | st.integers(1, 5))
    return Window(kind, size_events=draw(st.integers(1, 5)), slide_events=slide_events)


values = st.fixed_dictionaries(
    {
        "i": st.none() | st.integers(-5, 5),
        "f": st.none() | st.integers(-40, 40).map(lambda n: n / 8),
        "t": st.none() | st.text("abé", max_size=3),
    }
)


@st.composite
def arrivals(draw: DrawFn) -> list[Arrival]:
    one = st.tuples(st.integers(0, 2), st.integers(-9, 10), values, st.integers(1, 6))
    found = draw(st.lists(one, min_size=draw(st.sampled_from((0, 10, 25))), max_size=40))
    time_us, made = ORIGIN, []
    for key, step, value, gap in found:
        time_us += step
        made.append(Arrival(0, key, time_us, value, gap_us=gap))
    return fed_in_order(made, draw(st.none() | st.integers(0, 8)))


@dataclass(frozen=True)
class Scenario:
    window: Window
    events: list[Arrival]
    lateness_us: int
    discarding: bool
    early_us: int | None
    count_fills: bool
    outputs: dict[str, Expression]
    cuts: list[int]

    def feeder(self, shards: int = 1, capacity: int = 1) -> Feeder:
        plan = aggregate(
            self.window,
            self.outputs,
            lateness_us=self.lateness_us,
            discarding=self.discarding,
            early_us=self.early_us,
        )
        return Feeder(plan, shards, capacity, count_fills=self.count_fills)

    def reference(self) -> ReferenceWindows:
        window, fixed = self.window, 3
        events = self.events
        if window.kind is WindowKind.SESSION and isinstance(window.gap, Literal):
            events = [
                Arrival(a.sequence, a.key, a.time_us, a.values, a.late, a.watermark_us, fixed)
                for a in events
            ]
        found = ReferenceWindows(
            window,
            self.lateness_us,
            self.discarding,
            self.early_us,
            self.count_fills or window.slide_events is None,
        )
        found.run(events)
        return found


@st.composite
def scenarios(draw: DrawFn) -> Scenario:
    events = draw(arrivals())
    only_counted = {"events": IN_LANES["events"]}
    outputs = draw(st.sampled_from((only_counted, IN_LANES, IN_LANES | GATHERED)))
    cut = st.integers(0, max(0, len(events) - 1))
    return Scenario(
        draw(windows()),
        events,
        draw(st.sampled_from((0, 5, 20))),
        draw(st.booleans()),
        draw(st.none() | st.integers(1, 12)),
        draw(st.booleans()),
        outputs,
        draw(st.lists(cut, max_size=5)),
    )


@given(scenarios())
@settings(max_examples=150)
def test_the_operator_fires_what_the_reference_fires(scenario: Scenario) -> None:
    expected = scenario.reference()
    found = scenario.feeder().run(scenario.events, scenario.cuts)
    wanted = expected_rows(expected.rows, list(scenario.outputs))
    assert rounded(found.rows) == rounded(wanted)
    assert sorted(found.late) == sorted(expected.late)


@given(scenarios())
@settings(max_examples=60)
def test_neither_slices_nor_shards_nor_room_change_what_comes_out(scenario: Scenario) -> None:
    whole = scenario.feeder(capacity=64).run(scenario.events)
    for shards, cuts in ((1, scenario.cuts), (3, []), (3, range(len(scenario.events)))):
        found = scenario.feeder(shards).run(scenario.events, cuts)
        assert sorted(found.rows, key=repr) == sorted(whole.rows, key=repr)
        assert sorted(found.late) == sorted(whole.late)


@given(scenarios())
@settings(max_examples=60)
def test_one_that_is_saved_and_restored_goes_on_as_if_never_stopped(scenario: Scenario) -> None:
    never = scenario.feeder().run(scenario.events, scenario.cuts)
    stopped = scenario.feeder(3).run(scenario.events, scenario.cuts, scenario.cuts)
    assert sorted(stopped.rows, key=repr) == sorted(never.rows, key=repr)
    assert sorted(stopped.late) == sorted(never.late)
