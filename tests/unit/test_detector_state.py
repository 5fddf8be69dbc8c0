"""Checkpoints and savepoints of the live detector, with the same rules and with changed ones."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

import cep

STREAM = "stream s (id int, ts int, k int, x int) time ts;\n"
OTHER = "stream z (id int, ts int, k int, y int) time ts;\n"
UP = """pattern up from s by k match a -> b within 1 minute define a as x > 1, b as x > a.x
  select a.id as first, b.id as second;\n"""
DOWN = """pattern down from s by k match a -> b within 1 minute define a as x > 1, b as x < a.x
  select a.id as first, b.id as second;\n"""
PAIR = """pattern pair from s, z by k match a -> b within 1 minute
  define a as s where x > 0, b as z where y > 0 select a.id as first, b.id as second;\n"""
SUM = "feature total on s as sum(x) over 1 minute by k;\n"
COUNT = "feature seen on s as count(*) over 1 minute by k;\n"
LARGE = """pattern large from s by k match a -> b within 1 minute
  define a as total > 1, b as total > a.total select a.id as first, b.total as total;\n"""
RATE = "aggregate rate from s by k window tumbling 1 second select k, count(*) as n;\n"
RISE = """pattern rise from rate by k match a -> b within 1 minute
  define a as true, b as true select a.n as n, b.n as m;\n"""

Event = dict[str, Any]


def event(id: int, ts: int, x: int = 1, k: int = 1) -> Event:  # noqa: A002
    return {"id": id, "ts": ts, "k": k, "x": x}


def found(result: cep.Result) -> list[tuple[Any, ...]]:
    return [(match.pattern, *match.values.values()) for match in result.matches]


def moved(detector: cep.Detector, rules: str, **options: Any) -> tuple[cep.Detector, list[str]]:
    """A detector that goes on from another's state under these rules, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        restored = cep.Detector.from_snapshot(detector.snapshot(), rules, **options)
    return restored, [str(w.message) for w in caught if "state" in str(w.message)]


def fresh(name: str) -> str:
    return f"{name} has changed since its state was saved: it starts without state"


# ---- places


def test_a_detector_goes_on_from_its_newest_checkpoint(tmp_path: Path) -> None:
    detector = cep.Detector(STREAM + UP)
    detector.process(event(1, 0, 5))
    detector.checkpoint(tmp_path)
    detector.process(event(2, 10, 7))
    restored = cep.Detector.restore(tmp_path, STREAM + UP)
    assert restored.status()["events"] == 1
    assert found(restored.process(event(3, 20, 9))) == [("up", 1, 3)]
    restored.checkpoint(tmp_path)
    assert cep.Detector.restore(tmp_path, STREAM + UP).status()["matches"] == 1


def test_a_savepoint_is_found_by_its_name(tmp_path: Path) -> None:
    detector = cep.Detector(STREAM + UP)
    detector.process(event(1, 0, 5))
    detector.savepoint(tmp_path, "before")
    detector.process(event(2, 10, 7))
    detector.checkpoint(tmp_path)
    restored = cep.Detector.restore(tmp_path, STREAM + UP, savepoint="before")
    assert found(restored.process(event(3, 20, 9))) == [("up", 1, 3)]


def test_where_there_is_no_checkpoint_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    with pytest.raises(cep.CepError) as caught:
        cep.Detector.restore(tmp_path, STREAM + UP)
    assert str(caught.value) == f"{tmp_path}: no checkpoint to go on from"


def test_a_snapshot_of_another_format_is_refused() -> None:
    snapshot = cep.Detector(STREAM + UP).snapshot() | {"format": 99}
    with pytest.raises(cep.DataError) as caught:
        cep.Detector.from_snapshot(snapshot, STREAM + UP)
    assert str(caught.value) == "a snapshot of format 99; this version reads format 1"


def test_a_finished_detector_stays_finished_and_one_without_events_empty() -> None:
    detector = cep.Detector(STREAM + UP)
    detector.finish()
    assert moved(detector, STREAM + UP)[0].status()["finished"] is True
    unknown = cep.Detector("pattern p match a define a as x > 1")
    restored, _ = moved(unknown, "pattern p match a define a as x > 1")
    assert len(restored.process({"ts": 1, "x": 2})) == 1


def test_events_that_wait_and_callbacks_survive() -> None:
    late = STREAM.replace("time ts", "time ts lateness 1 second")
    detector = cep.Detector(late + UP)
    detector.process_batch([event(1, 500, 5), event(2, 400, 3)])
    calls: list[int] = []
    restored, _ = moved(detector, late + UP, on={"matches": lambda t: calls.append(len(t))})
    assert found(restored.process(event(3, 2000, 9))) == [("up", 2, 1)]
    assert calls == [1]


def test_an_undeclared_stream_keeps_the_columns_that_it_had() -> None:
    rules = "pattern p match a -> b define a as x > 1, b as x > a.x"
    detector = cep.Detector(rules)
    detector.process({"ts": 1, "x": 2})
    restored, _ = moved(detector, rules)
    with pytest.raises(cep.DataError, match="a field 'y' that the data before did not have"):
        restored.process({"ts": 2, "y": 3})
    assert len(restored.process({"ts": 2, "x": 3})) == 1


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 3)])
def test_the_number_of_workers_may_change(before: int, after: int) -> None:
    detector = cep.Detector(STREAM + UP + RATE, workers=before)
    detector.process_batch([event(n, 0, 5, k=n) for n in range(9)])
    restored, said = moved(detector, STREAM + UP + RATE, workers=after)
    assert said == []
    result = restored.process_batch([event(n + 10, 1500, 9, k=n) for n in range(9)])
    assert found(result) == [("up", n, n + 10) for n in range(9)]
    ended = restored.finish().tables["rate"].to_pylist()
    rows = [*result.tables["rate"].to_pylist(), *ended]
    assert [(row["k"], row["n"]) for row in rows] == 2 * [(n, 1) for n in range(9)]
    detector.close()
    restored.close()


# ---- changed rules


def test_a_pattern_that_is_as_it_was_keeps_its_runs_and_a_changed_one_starts_afresh() -> None:
    detector = cep.Detector(STREAM + UP + DOWN)
    detector.process(event(1, 0, 5))
    changed = DOWN.replace("x > 1", "x > 0")
    restored, said = moved(detector, STREAM + UP + changed)
    assert said == [fresh("down")]
    assert str(restored.restored) == "kept: up; fresh: down"
    assert found(restored.process(event(2, 10, 9))) == [("up", 1, 2)]
    assert found(restored.process(event(3, 20, 1))) == [("down", 2, 3)]


def test_a_change_of_form_alone_is_no_change() -> None:
    detector = cep.Detector(STREAM + UP)
    detector.process(event(1, 0, 5))
    restored, said = moved(detector, STREAM + "-- a comment\n" + UP.replace("\n", "\n\n   "))
    assert (str(restored.restored), said) == ("kept: up", [])
    assert found(restored.process(event(2, 10, 9))) == [("up", 1, 2)]


def test_new_patterns_start_and_removed_ones_are_dropped() -> None:
    detector = cep.Detector(STREAM + UP)
    detector.process(event(1, 0, 5))
    restored, said = moved(detector, STREAM + DOWN)
    assert said == []
    assert str(restored.restored) == "new: down; dropped: up"
    assert found(restored.process(event(2, 10, 1))) == []


def test_a_changed_feature_starts_afresh_and_the_patterns_that_read_it_go_on() -> None:
    detector = cep.Detector(STREAM + SUM + UP + LARGE)
    detector.process(event(1, 0, 5))
    same, said = moved(detector, STREAM + SUM + UP + LARGE)
    assert (str(same.restored), said) == ("kept: up, large, total", [])
    assert found(same.process(event(2, 10, 9))) == [("up", 1, 2), ("large", 1, 14)]
    changed = SUM.replace("1 minute", "2 minutes")
    restored, said = moved(detector, STREAM + changed + UP + LARGE)
    assert said == [fresh("total")]
    assert str(restored.restored) == "kept: up, large; fresh: total"
    assert found(restored.process(event(2, 10, 9))) == [("up", 1, 2), ("large", 1, 9)]


def test_a_feature_goes_on_though_another_shares_its_events_now() -> None:
    detector = cep.Detector(STREAM + SUM + LARGE)
    detector.process(event(1, 0, 5))
    counts = "pattern often from s by k match a define a as seen > 9;\n"
    restored, said = moved(detector, STREAM + SUM + COUNT + LARGE + counts)
    assert said == []
    assert str(restored.restored) == "kept: large, total; new: often, seen"
    assert found(restored.process(event(2, 10, 9))) == [("large", 1, 14)]


def test_an_aggregate_with_another_window_starts_afresh_with_all_that_read_it() -> None:
    detector = cep.Detector(STREAM + RATE + RISE)
    detector.process_batch([event(1, 0), event(2, 1100)])
    same, said = moved(detector, STREAM + RATE + RISE)
    assert (str(same.restored), said) == ("kept: rate, rise", [])
    assert found(same.process(event(3, 2000))) == [("rise", 1, 1)]
    changed = RATE.replace("1 second", "2 seconds")
    restored, said = moved(detector, STREAM + changed + RISE)
    assert said == [fresh("rate"), fresh("rise")]
    assert found(restored.process(event(3, 2000))) == []
    assert len(restored.process(event(3, 4000)).tables["rate"]) == 1


def test_an_aggregate_without_a_window_keeps_what_it_has_so_far_or_starts_afresh() -> None:
    so_far = "aggregate so_far from s by k select k, sum(x) as total;\n"
    detector = cep.Detector(STREAM + so_far)
    detector.process(event(1, 0, 5))
    same, said = moved(detector, STREAM + so_far)
    assert said == []
    assert same.process(event(2, 10, 9)).tables["so_far"].to_pylist() == [{"k": 1, "total": 14}]
    other, said = moved(detector, STREAM + so_far.replace("sum", "max"))
    assert said == [fresh("so_far")]
    assert other.process(event(2, 10, 2)).tables["so_far"].to_pylist() == [{"k": 1, "total": 2}]


# ---- changed streams


def test_a_stream_that_is_read_newly_begins_and_what_was_open_goes_on() -> None:
    detector = cep.Detector(STREAM + UP)
    detector.process(event(1, 0, 5))
    restored, said = moved(detector, STREAM + OTHER + UP + PAIR)
    assert (str(restored.restored), said) == ("kept: up; new: pair", [])
    assert restored.status()["held_back_by"] == "stream 'z', which has sent nothing yet"
    restored.process(event(2, 10, 9), "s")
    restored.process({"id": 3, "ts": 20, "k": 1, "y": 1}, "z")
    assert found(restored.finish()) == [("up", 1, 2), ("pair", 2, 3)]


def test_a_stream_that_is_no_longer_read_is_dropped_once_nothing_waits() -> None:
    detector = cep.Detector(STREAM + OTHER + UP + PAIR)
    detector.process(event(1, 0, 5), "s")
    detector.process({"id": 2, "ts": 5, "k": 1, "y": 1}, "z")
    with pytest.raises(cep.DataError) as caught:
        moved(detector, STREAM + UP)
    assert str(caught.value) == (
        "events were held for a later watermark, and the streams that are read now hold nothing "
        "back: let them out with advance_to before the state is saved"
    )
    detector.advance_to(5_000)
    restored, _ = moved(detector, STREAM + UP)
    assert str(restored.restored) == "kept: up; dropped: pair"
    assert list(restored.status()["streams"]) == ["s"]
    assert found(restored.process(event(3, 10, 9))) == [("up", 1, 3)]


def test_fields_that_no_pattern_reads_may_come_and_go() -> None:
    wide = STREAM.replace("x int", "x int, w int")
    detector = cep.Detector(STREAM + UP)
    detector.process(event(1, 0, 5))
    restored, said = moved(detector, wide + UP)
    assert (str(restored.restored), said) == ("kept: up", [])
    result = restored.process(event(2, 10, 9) | {"w": 7})
    (match,) = result.matches
    assert [e["w"] for e in (*match.events["a"], *match.events["b"])] == [None, 7]
    narrow, _ = moved(restored, STREAM + UP)
    assert found(narrow.process(event(3, 20, 11))) == []
    assert found(narrow.process(event(4, 30, 12))) == [("up", 3, 4)]


def test_event_time_cannot_go_on_as_processing_time() -> None:
    detector = cep.Detector(STREAM + UP)
    detector.process(event(1, 0, 5))
    with pytest.raises(cep.DataError) as caught:
        moved(detector, STREAM + UP, time="processing")
    assert str(caught.value) == (
        "state of event time cannot go on in processing time, nor the reverse"
    )


# -- what a fingerprint covers, and what may change ------------------------------------------------


def restored_into(before: str, after: str, events: list[dict[str, object]]) -> cep.Detector:
    """A detector of the first rules that has seen events, restored into the second."""
    detector = cep.Detector(before)
    for event in events:
        detector.process(event)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cep.RuleWarning)
        return cep.Detector.from_snapshot(detector.snapshot(), after)


BIG = "pattern p from s by k match u define u as x > {limit} after match no skip select u.x as x;"
HOURS = "aggregate c from p window tumbling 1 hour select count(*) as n;"
FEW: list[dict[str, object]] = [{"k": 1, "ts": i, "x": 5} for i in range(3)]


def test_what_reads_no_field_of_a_changed_pattern_starts_afresh_with_it() -> None:
    rules = "stream s (k int, ts int, x int) time ts;" + BIG + HOURS
    restored = restored_into(rules.format(limit=1), rules.format(limit=10), FEW)
    assert str(restored.restored) == "fresh: p, c"


def test_another_time_column_is_another_stream() -> None:
    rules = (
        "stream s (k int, a int, b int) time {time};"
        "pattern q from s by k match u v within 1 second define u as true, v as true;"
    )
    events: list[dict[str, object]] = [{"k": 1, "a": 1, "b": 1}]
    restored = restored_into(rules.format(time="a"), rules.format(time="b"), events)
    assert str(restored.restored) == "fresh: q"


def test_a_field_that_nobody_reads_may_change_its_type() -> None:
    rules = (
        "stream s (k int, ts int, z {type}) time ts;"
        "pattern q from s by k match u v within 1 second define u as true, v as true select k;"
    )
    before: list[dict[str, object]] = [{"k": 1, "ts": 1, "z": 7}]
    restored = restored_into(rules.format(type="int"), rules.format(type="timestamp"), before)
    (match,) = restored.process({"k": 1, "ts": 2, "z": None})
    assert match.events["u"][0]["ts"] == 1


@pytest.mark.parametrize(("before", "after"), [("by h", "by h, k"), ("by h", ""), ("", "by h")])
def test_the_sources_of_a_stream_may_change(before: str, after: str) -> None:
    rules = (
        "stream s (k int, ts int, h int) time ts lateness 2 ms {by};"
        "pattern q from s by k match u v within 1 second define u as true, v as true select k;"
    )
    events: list[dict[str, object]] = [{"k": 1, "ts": ts, "h": ts % 2} for ts in (10, 11, 12)]
    restored = restored_into(rules.format(by=before), rules.format(by=after), events)
    restored.status()
    late = restored.process({"k": 1, "ts": 5, "h": 3}).late
    assert len(late) == 1  # the watermark does not fall
    restored.process({"k": 1, "ts": 30, "h": 1})
    assert len(restored.finish()) >= 1


def test_a_user_function_of_another_version_starts_afresh() -> None:
    def summed(version: str) -> cep.AggregateFunction:
        return cep.AggregateFunction(
            "mine",
            lambda: 0,
            lambda total, value: total + value,
            lambda one, two: one + two,
            lambda total: total,
            cep.DataType.INTEGER,
            cep.DataType.INTEGER,
            version,
        )

    text = (
        "stream s (k int, ts int, x int) time ts;"
        "aggregate g from s by k window tumbling 1 hour select mine(x) as m;"
    )
    detector = cep.Detector(cep.compile(text, functions=[summed("1")]))
    detector.process({"k": 1, "ts": 1, "x": 5})
    saved = detector.snapshot()
    same = cep.Detector.from_snapshot(saved, cep.compile(text, functions=[summed("1")]))
    assert str(same.restored) == "kept: g"
    with pytest.warns(cep.RuleWarning, match="g has changed"):
        other = cep.Detector.from_snapshot(saved, cep.compile(text, functions=[summed("2")]))
    assert str(other.restored) == "fresh: g"
