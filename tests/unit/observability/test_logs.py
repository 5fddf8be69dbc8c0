"""What is written to the logger `cep`, and how seldom."""

from __future__ import annotations

import io
import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pythonjsonlogger.json import JsonFormatter

import cep
from cep.observability import logs

RULES = """
stream s (id int, ts timestamp, x float) time ts;
pattern up from s match a -> b within 1 hour define a as x > 0, b as x / a.x > 10;
pattern tenfold from s match a b define a as true, b as 1 / a.x > 10;
"""
UP = "\n".join(RULES.splitlines()[:3])


def event(id: int, second: int, x: float) -> dict[str, Any]:  # noqa: A002
    return {"id": id, "ts": f"2025-03-03 12:00:{second:02}", "x": x}


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "cep")
    return caplog


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds by which records are spread; to be changed."""
    seconds = [1_000.0]
    monkeypatch.setattr("cep.observability.logs.now_seconds", lambda: seconds[0])
    monkeypatch.setattr("cep.observability.calls.now_seconds", lambda: seconds[0])
    return seconds


def told(records: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """The fields of the records of an event, and their texts."""
    return [
        {**vars(record), "text": record.getMessage()}
        for record in records.records
        if vars(record)["event"] == event
    ]


def test_late_events_are_told_when_they_begin_and_then_once_a_minute(
    records: pytest.LogCaptureFixture, now: list[float]
) -> None:
    detector = cep.Detector(RULES)
    detector.process(event(1, 30, 1.0))
    detector.process(event(2, 10, 1.0))
    for number in range(3, 6):
        detector.process(event(number, 11, 1.0))
    (first,) = told(records, "late_events")
    assert (first["stream"], first["count"], first["levelname"]) == ("s", 1, "INFO")
    now[0] += logs.EVERY_S
    detector.process_batch([event(6, 12, 1.0), event(7, 13, 1.0)])
    _, second = told(records, "late_events")
    assert (second["count"], second["text"]) == (5, "5 late events of stream 's'")


def test_errors_are_told_by_rule_without_the_values_of_events(
    records: pytest.LogCaptureFixture, now: list[float]
) -> None:
    detector = cep.Detector(RULES)
    detector.process_batch([event(1, 1, 0.0), event(2, 2, 3.0)])
    detector.process({"id": 3, "ts": "secret", "x": 1.0})
    by_rule = {one["rule"]: one for one in told(records, "errors")}
    assert by_rule["tenfold"]["reason"] == "division by zero"
    assert by_rule["tenfold"]["variable"] == "b"
    assert by_rule[None]["count"] == 1
    assert "secret" not in records.text
    detector.process_batch([event(4, 3, 0.0), event(5, 4, 3.0)])
    assert len(told(records, "errors")) == 2
    now[0] += logs.EVERY_S
    detector.process_batch([event(6, 5, 0.0), event(7, 6, 3.0)])
    assert told(records, "errors")[-1]["count"] == 2


def test_few_records_are_written_however_many_rules_fail(now: list[float]) -> None:
    seldom = logs.Seldom()
    told = [seldom.due(("errors", f"p{n}"), 1, now[0]) for n in range(1_000)]
    assert sum(told) == logs.RECORDS_MAX
    later = now[0] + logs.EVERY_S
    assert seldom.due(("errors", "p999"), 1, later) == 2


def test_keys_that_never_come_again_take_no_memory_for_ever(now: list[float]) -> None:
    seldom = logs.Seldom()
    for n in range(2 * logs.WAITING_MAX):
        seldom.due(("errors", f"p{n}"), 1, now[0])
    seldom.due(("errors", "p"), 1, now[0] + logs.EVERY_S)
    assert len(seldom._waiting) == 0


def test_limits_that_are_reached_are_told_with_what_they_did(
    records: pytest.LogCaptureFixture, now: list[float]
) -> None:
    limits = {"up": cep.Limit(runs_per_key=1)}
    detector = cep.Detector(RULES, limits=limits)
    detector.process_batch([event(1, 1, 1.0), event(2, 2, 1.0), event(3, 3, 1.0)])
    (first,) = told(records, "limit_reached")
    assert (first["rule"], first["refused_runs"], first["dropped_runs"]) == ("up", 2, 0)
    assert first["levelname"] == "WARNING"
    detector.process(event(4, 4, 1.0))
    now[0] += 2 * logs.EVERY_S
    detector.tick()
    assert [one["refused_runs"] for one in told(records, "limit_reached")] == [2, 1]
    restored = cep.Detector.from_snapshot(detector.snapshot(), RULES, limits=limits)
    restored.tick()
    assert len(told(records, "limit_reached")) == 2


def test_a_call_that_fails_is_told_once_a_minute(records: pytest.LogCaptureFixture) -> None:
    detector = cep.Detector(
        "stream s (ts timestamp) time ts lateness 1 minute; pattern p match a define a as true",
        held_max=0,
    )
    for _ in range(2):
        with pytest.raises(cep.DataError):
            detector.process({"ts": "2025-03-03 12:00"})
    (failed,) = told(records, "call_failed")
    assert (failed["call"], failed["levelname"]) == ("process", "INFO")
    assert failed["error"].startswith("1 events would wait for their turn, more than 0")


def test_updates_are_told_whether_they_were_accepted_or_refused(
    records: pytest.LogCaptureFixture,
) -> None:
    detector = cep.Detector(RULES)
    detector.update(UP)
    (accepted,) = told(records, "update_accepted")
    assert (accepted["kept"], accepted["dropped"], accepted["new"]) == (1, ["tenfold"], [])
    assert accepted["duration_seconds"] > 0
    with pytest.raises(cep.RuleError):
        detector.update("pattern up from nowhere")
    (refused,) = told(records, "update_refused")
    assert refused["levelname"] == "INFO"
    assert refused["error"].startswith("<rules>:1:")
    assert told(records, "call_failed") == []


def test_checkpoints_and_restores_are_told_with_their_places(
    records: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    detector = cep.Detector(RULES)
    info = detector.checkpoint(tmp_path / "there")
    (written,) = told(records, "checkpoint_written")
    assert (written["place"], written["size_bytes"]) == (info.path, info.size_bytes)
    cep.Detector.restore(tmp_path / "there", RULES)
    (read,), (restored,) = told(records, "checkpoint_read"), told(records, "restored")
    assert (read["place"], restored["kept"]) == (info.path, 2)
    (tmp_path / "file").write_text("")
    with pytest.raises(cep.CheckpointError):
        detector.checkpoint(tmp_path / "file")
    (failed,) = told(records, "checkpoint_failed")
    assert failed["levelname"] == "ERROR"
    assert str(tmp_path / "file") in failed["error"]


def test_a_ticker_that_fails_is_told_with_where(records: pytest.LogCaptureFixture) -> None:
    def fail(_: cep.Result) -> None:
        raise ValueError("no disk")

    clock = iter(range(1_741_003_200_000_000, 1 << 60, 60_000_000))
    detector = cep.Detector(
        """
        stream s (ts timestamp) time ts;
        pattern silent from s match beat -> not other within 1 minute
          define beat as true, other as true
        """,
        time="processing",
        clock=lambda: next(clock),
    )
    detector.process({"ts": "2020-01-01"})
    ticker = detector.tick_every(timedelta(milliseconds=1), fail)
    ticker._thread.join()
    with pytest.raises(ValueError, match="no disk"):
        ticker.stop()
    (failed,) = told(records, "ticker_failed")
    assert failed["exc_info"][0] is ValueError


def test_a_record_is_a_line_of_json_with_its_fields() -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(JsonFormatter("{levelname}{message}", style="{"))
    logger = logging.getLogger("cep")
    logger.addHandler(handler)
    try:
        limits = {"up": cep.Limit(runs_per_key=1)}
        detector = cep.Detector(RULES, limits=limits)
        detector.process_batch([event(1, 30, 1.0), event(2, 31, 1.0)])
    finally:
        logger.removeHandler(handler)
    assert json.loads(lines.getvalue()) == {
        "levelname": "WARNING",
        "message": "the limit of up refused 1 and dropped 0 runs",
        "event": "limit_reached",
        "rule": "up",
        "refused_runs": 1,
        "dropped_runs": 0,
    }
