"""Every value of a status is what its schema says, and JSON takes it as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import cep
from cep.observability.status import Status

ONE = """
stream s (id int, ts timestamp, k text, x float) time ts lateness 5 seconds;
pattern up from s by k match a -> b within 1 minute
  define a as x > 1, b as x / a.x > 1
  on timeout select a.id as id;
aggregate tens from s by k window tumbling 10 seconds select k, count(*) as n;
feature spent on s as sum(x) over 1 minute by k;
pattern spends from s match a define a as spent > 10;
"""
SOURCES = """
stream s (id int, ts timestamp, k text, x float) time ts by k idle after 30 seconds;
stream z (id int, ts timestamp, k text) time ts;
pattern pair from s, z by k match a -> b within 1 minute
  define a as s where true, b as z where true;
join both from s, z by k within 1 minute select s.id as id;
"""
NOON_US = 1_741_003_200_000_000


def event(id: int, second: int, x: float, k: str = "a") -> dict[str, Any]:  # noqa: A002
    return {"id": id, "ts": f"2025-03-03 12:00:{second:02}", "k": k, "x": x}


def fed(detector: cep.Detector, *, stream: str | None = None) -> cep.Detector:
    """With matches, timeouts, an error, a late event and a field that nobody declared."""
    events = [event(1, 0, 2.0), event(2, 1, 30.0), event(3, 20, 0.0), event(4, 40, 2.0)]
    detector.process_batch([{**one, "note": "!"} for one in events], stream)
    detector.process(event(5, 2, 9.0), stream)
    detector.process({"id": 6, "ts": None, "k": "a", "x": 1.0}, stream)
    return detector


def finished() -> cep.Detector:
    detector = fed(cep.Detector(ONE))
    detector.finish()
    return detector


def several() -> cep.Detector:
    detector = fed(cep.Detector(SOURCES, clock=lambda: NOON_US), stream="s")
    detector.process({"id": 7, "ts": "2025-03-03 12:00:03", "k": "a"}, "z")
    return detector


MADE: dict[str, Callable[[], cep.Detector]] = {
    "columns unknown": lambda: cep.Detector("pattern up match a define a as x > 1"),
    "not fed": lambda: cep.Detector(ONE),
    "fed": lambda: fed(cep.Detector(ONE)),
    "limited": lambda: fed(cep.Detector(ONE, limits={"up": cep.Limit(1)}, ahead=timedelta(1))),
    "two workers": lambda: fed(cep.Detector(ONE, workers=2)),
    "processing time": lambda: fed(cep.Detector(ONE, time="processing")),
    "finished": finished,
    "several streams and sources": several,
    "restored": lambda: cep.Detector.from_snapshot(fed(cep.Detector(ONE)).snapshot(), ONE),
}


@pytest.mark.parametrize("name", MADE)
def test_every_value_is_what_the_schema_says(name: str) -> None:
    with MADE[name]() as detector:
        status = detector.status()
    assert msgspec.convert(status, Status, strict=True) == status
    assert json.loads(json.dumps(status, allow_nan=False)) == status


def test_a_value_that_is_not_in_the_schema_is_found() -> None:
    status = cep.Detector(ONE).status()
    assert msgspec.convert({**status, "more": 1}, Status) == status
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**status, "events": "1"}, Status)


def test_each_rule_says_what_came_out_of_it_and_what_is_open() -> None:
    nodes = fed(cep.Detector(ONE)).status()["nodes"]
    patterns = {
        "matches": 1,
        "timeouts": 0,
        "errors": 0,
        "open_runs": 0,
        "held_back": 0,
        "refused_runs": 0,
        "dropped_runs": 0,
    }
    assert {**nodes["up"], "bytes": 0} == {**patterns, "bytes": 0}
    assert {**nodes["tens"], "bytes": 0} == {"rows": 2, "errors": 0, "panes": 0, "bytes": 0}
    joined = several().status()["nodes"]["both"]
    assert joined["rows"] == 0
    assert "matches" not in joined


def test_counts_of_rules_go_on_after_a_restore_and_over_updates(tmp_path: Path) -> None:
    detector = fed(cep.Detector(ONE))
    detector.checkpoint(tmp_path)
    restored = cep.Detector.restore(tmp_path, ONE, workers=2)
    before, after = detector.status(), restored.status()
    for name, node in before["nodes"].items():
        assert {**after["nodes"][name], "bytes": 0} == {**node, "bytes": 0}
    restored.process_batch([event(7, 50, 2.0), event(8, 51, 3.0), event(9, 59, 0.0)])
    restored.update(ONE + "pattern large from s match a define a as x > 100;")
    assert restored.status()["nodes"]["up"]["matches"] == 2
    restored.close()


def test_a_snapshot_without_counts_of_rules_is_read() -> None:
    snapshot = fed(cep.Detector(ONE)).snapshot()
    del snapshot["counts_of_rules"]
    status = cep.Detector.from_snapshot(snapshot, ONE).status()
    assert (status["matches"], status["nodes"]["up"]["matches"]) == (3, 0)
