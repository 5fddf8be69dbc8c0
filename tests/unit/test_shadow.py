"""Rules in the shadow of others: what they would do differently, and that it costs nothing."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any
from xml.etree.ElementTree import fromstring

import pyarrow as pa
import pytest

import cep
from cep.changing.comparison import Comparison
from cep.changing.report import Difference

RULES = """
stream s (ts timestamp, key int, x int) time ts;
pattern p from s by key match a -> b within 1 hour define a as x = 1, b as x = 2;
pattern q from s match a define a as x > 5;
aggregate counts from s by key window tumbling 1 minute select key, count(*) as n;
"""
CHANGED = RULES.replace("x > 5", "x > 7") + "pattern r from s match a define a as x = 3;"


def event(minute: int, x: int) -> dict[str, Any]:
    return {"ts": f"2025-01-01 00:{minute:02}:00", "key": 1, "x": x}


def events(*values: int, begin: int = 0) -> list[dict[str, Any]]:
    return [event(begin + place, x) for place, x in enumerate(values)]


def names(result: cep.Result) -> list[str]:
    return sorted(match.pattern for match in result)


def test_a_report_tells_what_both_have_found_and_what_only_one() -> None:
    detector = cep.Detector(RULES)
    detector.process(event(0, 1))
    shadow = detector.shadow(CHANGED)
    assert names(detector.process_batch(events(2, 6, 8, 3, begin=1))) == ["p", "q", "q"]
    report = shadow.report()
    assert report.differences == (
        Difference("p", "matches", 1, 1, 1, 0, 0),
        Difference("q", "matches", 2, 1, 1, 1, 0),
        Difference("r", "matches", 0, 1, 0, 0, 1),
        Difference("counts", "rows", 4, 4),
        Difference("", "errors", 0, 0),
        Difference("", "late", 0, 0),
    )
    assert (report.events, report.is_same, report.is_running) == (4, False, True)
    assert str(report.restored) == "kept: counts, p; fresh: q; new: r"
    told = report.sample.select(["only_in", "pattern", "key"]).to_pylist()
    assert sorted((each["only_in"], each["pattern"], each["key"]) for each in told) == [
        ("new", "r", ""),
        ("old", "q", ""),
    ]


def test_a_report_is_text_a_table_and_shown_in_a_notebook() -> None:
    detector = cep.Detector(RULES)
    shadow = detector.shadow(CHANGED)
    detector.process_batch(events(6, 8, 3))
    shadow.stop()
    assert str(shadow.report()).splitlines() == [
        "shadow: 3 events, ended",
        "kept: counts, p; fresh: q; new: r",
        "name    what     old  new  both  only_old  only_new",
        "p       matches  0    0    0     0         0",
        "q       matches  2    1    1     1         0",
        "r       matches  0    1    0     0         1",
        "counts  rows     2    2",
        "        errors   0    0",
        "        late     0    0",
    ]
    assert shadow.report().to_pandas()["only_new"].sum() == 1
    shown = "".join(fromstring(shadow.report()._repr_html_()).itertext())
    assert "shadow: 3 events, ended" in shown
    assert "qmatches2111" in shown


def test_the_same_rules_find_the_same() -> None:
    detector = cep.Detector(RULES)
    with detector.shadow(RULES) as shadow:
        detector.process_batch(events(1, 2, 6))
        detector.advance_to("2025-01-01 01:00")
        detector.tick()
        assert shadow.report().is_same
    assert not shadow.is_running
    detector.process(event(3, 9))
    assert shadow.report().events == 3


def test_a_match_may_come_later_on_the_other_side() -> None:
    patient = RULES.replace("time ts;", "time ts lateness 2 minutes;")
    detector = cep.Detector(RULES)
    shadow = detector.shadow(patient)
    detector.process_batch(events(6))
    assert shadow.report().to_pandas()["only_old"].sum() == 1
    detector.process_batch(events(0, 0, 0, 0, begin=1))
    assert shadow.report().to_pandas()["only_old"].sum() == 0
    detector.finish()
    report = shadow.report()
    assert (report.is_same, report.is_running) == (True, False)


def test_nothing_of_the_shadow_comes_out() -> None:
    called: list[int] = []
    detector = cep.Detector(RULES, on={"matches": lambda table: called.append(len(table))})
    detector.shadow(CHANGED)
    assert len(detector.process(event(0, 3))) == 0
    assert called == []
    assert detector.status()["matches"] == 0
    assert "r" not in detector.status()["nodes"]
    assert [(v.name, v.version, v.state) for v in detector.rules][-2:] == [
        ("q", 2, "shadow"),
        ("r", 1, "shadow"),
    ]
    assert detector.rules["q"].state == "active"


def test_what_is_promoted_goes_on_with_its_state() -> None:
    called: list[int] = []
    detector = cep.Detector(RULES, on={"matches": lambda table: called.append(len(table))})
    new = RULES.replace("1 hour", "2 hours")
    shadow = detector.shadow(new)
    detector.process(event(0, 1))
    assert shadow.promote().fresh == ["p"]
    assert detector.rules.text == new
    assert [(v.name, v.version, v.state) for v in detector.rules][:2] == [
        ("s", 1, "active"),
        ("p", 2, "active"),
    ]
    assert names(detector.process(event(1, 2))) == ["p"]
    assert called == [1]
    with pytest.raises(cep.StateError, match="the shadow has ended: begin another one"):
        shadow.promote()


def test_rules_do_not_change_while_there_is_a_shadow() -> None:
    detector = cep.Detector(RULES)
    shadow = detector.shadow(CHANGED)
    for change in (detector.update, detector.add, detector.shadow):
        with pytest.raises(cep.StateError, match="promote or stop them first"):
            change("pattern t from s match a define a as x = 1")
    shadow.stop()
    detector.add("pattern t from s match a define a as x = 1")


def test_rules_that_do_not_fit_begin_no_shadow() -> None:
    detector = cep.Detector(RULES)
    with pytest.raises(cep.RuleError, match="no field 'y'"):
        detector.shadow(RULES + "pattern t from s match a define a as y = 1")
    assert names(detector.process(event(0, 6))) == ["q"]
    detector.add("pattern t from s match a define a as x = 1")


def test_an_error_ends_the_shadow_and_costs_the_detector_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    detector = cep.Detector(RULES, held_max=0)
    patient = RULES.replace("time ts;", "time ts lateness 1 hour;")
    shadow = detector.shadow(patient)
    with caplog.at_level(logging.ERROR, "cep"):
        assert names(detector.process(event(0, 6))) == ["q"]
    assert "the shadow of a detector has ended" in caplog.text
    assert isinstance(shadow.error, cep.DataError)
    assert shadow.report().title.startswith("shadow: 0 events, ended by DataError: ")
    assert not shadow.report().is_same
    with pytest.raises(cep.StateError, match=r"the shadow has ended \("):
        shadow.promote()
    assert names(detector.process(event(1, 6))) == ["q"]
    detector.update(CHANGED)


def test_what_the_detector_refuses_never_reaches_the_shadow() -> None:
    detector = cep.Detector(RULES)
    shadow = detector.shadow(CHANGED)
    with pytest.raises(cep.DataError):
        detector.process_batch(pa.table({"key": [1]}))
    assert shadow.report().events == 0
    assert shadow.error is None


def test_events_that_a_failing_function_has_seen_reach_the_shadow() -> None:
    def fail(table: Any) -> None:
        raise ValueError("no")

    detector = cep.Detector(RULES, on={"matches": fail})
    shadow = detector.shadow(CHANGED)
    with pytest.raises(cep.CallbackError):
        detector.process(event(0, 6))
    assert shadow.report().to_pandas()["only_old"].sum() == 1


def batches() -> Iterator[Any]:
    table = pa.Table.from_pylist([event(0, 6), event(1, 8)])
    yield iter([event(0, 6), event(1, 8)])
    yield pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    yield table


@pytest.mark.parametrize("which", range(3))
def test_events_that_can_be_read_once_reach_both(which: int) -> None:
    detector = cep.Detector(RULES)
    shadow = detector.shadow(CHANGED)
    assert len(detector.process_batch(list(batches())[which])) == 2
    assert shadow.report().events == 2
    assert shadow.error is None


def test_the_shadow_sees_the_same_clock() -> None:
    now = iter(range(1_741_003_200_000_000, 1_841_003_200_000_000, 1_000_000))
    rules = """
stream beats (machine int, x int);
pattern silent from beats by machine match beat -> not other within 3 seconds
  define beat as true, other as true;
"""
    detector = cep.Detector(rules, time="processing", clock=lambda: next(now))
    shadow = detector.shadow(rules)
    for machine in range(10):
        detector.process({"machine": machine % 3, "x": 1})
        detector.tick()
    report = shadow.report()
    assert report.is_same
    assert report.differences[0].both
    shadow.stop()
    assert detector.rules.text == rules


def test_tables_are_loaded_anew_on_both_sides() -> None:
    lookup = RULES + "table names (key int, risk int) by key;"
    old = lookup + "pattern t from s by key match a define a as names.risk > 1;"
    rows = [{"key": 1, "risk": 1}]
    detector = cep.Detector(old, tables={"names": rows})
    shadow = detector.shadow(old)
    detector.reload("names", iter([{"key": 1, "risk": 2}]))
    assert names(detector.process(event(0, 1))) == ["t"]
    assert shadow.report().is_same
    shadow.stop()
    without = detector.shadow(RULES)
    detector.reload("names", rows)
    assert without.is_running


def test_the_shadow_ends_with_its_detector() -> None:
    detector = cep.Detector(RULES)
    shadow = detector.shadow(CHANGED)
    detector.close()
    assert not shadow.is_running
    assert shadow.error is None


def test_a_shadow_is_in_no_snapshot() -> None:
    detector = cep.Detector(RULES)
    detector.process(event(0, 1))
    detector.shadow(CHANGED)
    restored = cep.Detector.from_snapshot(detector.snapshot())
    assert [version.name for version in restored.rules] == ["s", "p", "q", "counts"]
    assert {version.state for version in restored.rules} == {"active"}


def test_rules_that_declare_no_stream_may_have_a_shadow_from_the_beginning() -> None:
    detector = cep.Detector("pattern p match a define a as x = 1")
    shadow = detector.shadow("pattern p match a define a as x > 0")
    detector.process_batch(events(1, 2))
    assert [d for d in shadow.report().differences if d.name] == [
        Difference("p", "matches", 1, 2, 1, 0, 1)
    ]


def test_what_is_remembered_is_bounded() -> None:
    rules = cep.compile("pattern p match a define a as x > 0")
    comparison = Comparison(frozenset({"p"}), waiting_max=3)
    nothing = rules.run([event(0, 0)])
    for minute in range(50):
        comparison.add(rules.run([event(minute, 1)]), nothing)
    assert len(comparison._waiting) == 3
    assert comparison.alone() == {("old", "p"): 50}
    assert len(list(comparison.sample())) == 20
    comparison.add(nothing, rules.run([event(49, 1)]))
    assert comparison.both == {"p": 1}
    assert comparison.alone() == {("old", "p"): 49}


def test_equal_events_are_told_by_their_number() -> None:
    rules = cep.compile("pattern p match a define a as x > 0")
    comparison = Comparison(frozenset({"p"}))
    one, three = rules.run([event(0, 1)]), rules.run([event(0, 1)] * 3)
    comparison.add(three, one)
    comparison.add(rules.run([event(0, 0)]), one)
    assert (comparison.both["p"], comparison.alone()) == (2, {("old", "p"): 1})


def test_threads_share_a_detector_that_has_a_shadow() -> None:
    detector = cep.Detector(RULES.replace("time ts;", "time ts lateness 1 hour;"))
    shadow = detector.shadow(RULES.replace("time ts;", "time ts lateness 1 hour;"))

    def feed(begin: int) -> None:
        for minute in range(begin, 50, 4):
            detector.process(event(minute, minute % 9))

    threads = [Thread(target=feed, args=(begin,)) for begin in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    detector.finish()
    assert shadow.report().is_same
    assert shadow.report().events == 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_shadow_goes_through_a_fork(tmp_path: Path) -> None:
    detector = cep.Detector(RULES)
    shadow = detector.shadow(CHANGED)
    detector.process(event(0, 6))
    child = os.fork()
    if child == 0:
        detector.process(event(1, 6))
        thread = Thread(target=lambda: detector.process(event(2, 6)))
        thread.start()
        thread.join()
        told = shadow.report()
        (tmp_path / "told").write_text(f"{told.events} {told.differences[1].only_old}")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert (tmp_path / "told").read_text() == "3 3"
    assert shadow.report().events == 1
