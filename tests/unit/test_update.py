"""Other rules from the next event on."""

from __future__ import annotations

from typing import Any

import pytest

import cep

STREAM = "stream s (ts timestamp, key int, x int) time ts;\n"
FIRST = STREAM + "pattern p from s by key match a -> b within 1 hour define a as x = 1, b as x = 2;"
SECOND = FIRST + "pattern q from s match c define c as x = 2;"


def event(minute: int, x: int) -> dict[str, Any]:
    return {"ts": f"2025-01-01 00:{minute:02}:00", "key": 1, "x": x}


def test_a_pattern_that_stays_goes_on_and_a_new_one_begins() -> None:
    detector = cep.Detector(FIRST)
    detector.process(event(0, 1))
    restored = detector.update(SECOND)
    assert str(restored) == "kept: p; new: q"
    assert sorted(m.pattern for m in detector.process(event(1, 2))) == ["p", "q"]
    assert detector.status()["events"] == 2


def test_a_pattern_that_has_changed_starts_afresh_and_one_that_has_gone_is_dropped() -> None:
    detector = cep.Detector(SECOND)
    detector.process(event(0, 1))
    restored = detector.update(FIRST.replace("1 hour", "2 hours"))
    assert str(restored) == "fresh: p; dropped: q"
    assert len(detector.process(event(1, 2))) == 0


def test_before_the_first_event_there_is_no_state() -> None:
    detector = cep.Detector("pattern p match a define a as x = 1")
    assert str(detector.update("pattern q match a define a as x = 2")) == "nothing"
    assert [m.pattern for m in detector.process({"ts": "2025-01-01", "x": 2})] == ["q"]


def test_what_the_first_data_said_of_a_stream_is_known_still() -> None:
    detector = cep.Detector("pattern p match a -> b define a as x = 1, b as x = 2")
    detector.process({"ts": "2025-01-01", "x": 1})
    restored = detector.update(
        "pattern p match a -> b define a as x = 1, b as x = 2;pattern q match c define c as x = 2"
    )
    assert restored.kept == ["p"]
    found = detector.process({"ts": "2025-01-02", "x": 2})
    assert sorted(m.pattern for m in found) == ["p", "q"]


@pytest.mark.parametrize(
    ("rules", "options", "message"),
    [
        (STREAM + "pattern p from s match a define a as y = 1", {}, "no field 'y'"),
        (SECOND, {"limits": {"r": cep.Limit(runs=1)}}, "limits: no pattern 'r'"),
        (SECOND, {"on": {"counts": print}}, "on: no output 'counts'"),
    ],
)
def test_a_refused_update_changes_nothing(
    rules: str, options: dict[str, Any], message: str
) -> None:
    detector = cep.Detector(FIRST)
    detector.process(event(0, 1))
    before = detector.status()
    with pytest.raises(cep.CepError, match=message):
        detector.update(rules, **options)
    assert (detector.rules.text, detector.status()) == (FIRST, before)
    assert len(detector.process(event(1, 2))) == 1


def test_functions_and_limits_may_change_with_the_rules() -> None:
    first: list[int] = []
    second: list[int] = []
    detector = cep.Detector(FIRST, on={"matches": lambda table: first.append(len(table))})
    detector.process_batch([event(0, 1), event(1, 2)])
    detector.update(SECOND, on={"matches": lambda table: second.append(len(table))})
    detector.process(event(2, 2))
    assert (first, second) == ([1], [1])


def test_a_detector_that_has_ended_is_not_updated() -> None:
    detector = cep.Detector(FIRST)
    detector.finish()
    with pytest.raises(cep.DataError, match="finished"):
        detector.update(SECOND)
