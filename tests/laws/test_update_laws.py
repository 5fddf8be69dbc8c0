"""Rules that change while events come: what stays is as if nothing had changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cep

law = settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
Event = dict[str, Any]

STREAM = "stream s (ts timestamp, key int, x int) time ts lateness 2 seconds;\n"
FEATURE = "feature total on s as sum(x) over 20 seconds by key;\n"
KEPT = """
pattern kept from s by key match a -> b -> c within 20 seconds
  define a as x > 2, b as x > a.x, c as total > b.x after match no skip;
aggregate counts from s by key window tumbling 5 seconds select key, sum(x) as n;
pattern above from counts by key match one -> two within 30 seconds
  define one as n > 3, two as n > one.n after match no skip;
"""
OTHERS = [
    "",
    "pattern p from s by key match a b define a as x > 1, b as x > 2;",
    "pattern p from s by key match a -> b define a as x > 1, b as x > 3;",
    "pattern q from kept match m define m as true;",
    "feature more on s as count(*) over 9 seconds by key;"
    "pattern p from s match a define a as more > 2;",
    "aggregate other from s window tumbling 3 seconds select count(*) as n;",
]
WRONG = [
    "pattern p from s match a define a as y > 1;",
    "pattern p from nowhere match a define a as true;",
    "pattern",
    "pattern kept from s match a define a as true;",
]


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    second, found = 0, []
    for _ in range(draw(st.integers(1, 25))):
        second += draw(st.sampled_from([0, 1, 2, 4]))
        time = max(second - draw(st.sampled_from([0, 0, 1])), 0)
        found.append(
            {
                "ts": f"2025-01-01 00:{time // 60:02}:{time % 60:02}",
                "key": draw(st.integers(0, 1)),
                "x": draw(st.integers(0, 6)),
            }
        )
    return found


def rules(others: str) -> str:
    return STREAM + FEATURE + KEPT + others


def told(results: list[cep.Result]) -> list[Any]:
    """What the rules that stay have put out."""
    found: list[Any] = []
    for result in results:
        for match in result:
            if match.pattern in ("kept", "above"):
                found.append((match.pattern, match.id, match.at))
        found += result.tables["counts"].to_pylist()
        found += [("late", row) for row in result.late.to_arrow().to_pylist()]
    return found


@law
@given(
    event_lists(),
    st.lists(st.tuples(st.integers(0, 24), st.sampled_from([*OTHERS, *WRONG])), max_size=6),
    st.integers(1, 2),
)
@pytest.mark.filterwarnings("ignore::cep.RuleWarning")
def test_rules_that_stay_find_what_they_find_without_any_update(
    events: list[Event], updates: list[tuple[int, str]], workers: int
) -> None:
    with (
        cep.Detector(rules(""), workers=workers) as changing,
        cep.Detector(rules("")) as steady,
    ):
        found, expected = [], []
        for place, event in enumerate(events):
            for at, others in updates:
                if at == place:
                    change(changing, others)
            found.append(changing.process(event))
            expected.append(steady.process(event))
        found.append(changing.finish())
        expected.append(steady.finish())
    assert told(found) == told(expected)


def change(detector: cep.Detector, others: str) -> None:
    """Refused rules leave no trace; others keep the state of what stays."""
    before = detector.rules.current, detector.status()
    if others in WRONG:
        with pytest.raises(cep.RuleError):
            detector.update(rules(others))
        assert (detector.rules.current, detector.status()) == before
        return
    restored = detector.update(rules(others))
    assert {"kept", "counts", "above", "total"} <= {*restored.kept}
    assert detector.rules.text == rules(others)
