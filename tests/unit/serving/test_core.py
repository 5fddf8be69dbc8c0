"""Steps of a service without HTTP: ids, answers, and what a crash leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cep
from cep.engine.algebra.errors import DataError
from cep.engine.checkpoint.errors import CheckpointError
from cep.engine.io.journal import Entry, Journal, Survives
from cep.rules import check
from cep.serving.core import Core
from cep.serving.durability import Durability
from cep.serving.settings import Settings
from tests.serving.process import RULES, payment

ABSENT = """
stream beats (id text, machine text, ts timestamp) time ts;
pattern silent from beats by machine match beat -> not other within 1 minute
  define beat as true, other as true;
"""
SETTINGS = Settings(id_field="id", ahead=None)


def core_of(
    place: Path | None = None, settings: Settings = SETTINGS, rules: str = RULES
) -> tuple[Core, Durability | None]:
    """A core that has recovered what is there."""
    durability = None if place is None else Durability(str(place), 2, Survives.KILL)
    journal = None if durability is None else durability.journal
    core = Core(check(rules), settings, journal=journal)
    core.recover(None if durability is None else durability.latest())
    return core, durability


def crash(core: Core, durability: Durability | None) -> None:
    """All that is in memory is gone."""
    core.close()
    if durability is not None:
        durability.close()


def take(core: Core, *events: dict[str, Any]) -> Any:
    if len(events) == 1:
        return json.loads(core.take_event(json.dumps(events[0]).encode(), None))
    return json.loads(core.take_lines(b"\n".join(json.dumps(e).encode() for e in events), None))


# -- ids -------------------------------------------------------------------------------------------


def test_a_repeated_id_is_answered_as_before_and_not_taken_again() -> None:
    core, _ = core_of()
    take(core, payment(0))
    first = take(core, payment(1, amount=70.0))
    again = take(core, payment(1, amount=70.0))
    assert len(first["matches"]) == 1
    assert again == first | {"duplicate": True}
    assert core.detector.status()["events"] == 2


def test_of_a_batch_only_what_is_new_is_taken_and_the_rest_is_answered_as_before() -> None:
    core, _ = core_of()
    events = [payment(n, amount=60.0 + n) for n in range(4)]
    first = take(core, *events[:3])
    answer = take(core, *events[1:], events[3], {"ts": "2025-03-03"}, payment(9) | {"id": 1.5})
    assert (answer["events"], answer["duplicates"]) == (1, 3)
    assert [line["line"] for line in answer["broken"]] == [5, 6]
    assert "the event has no id" in answer["broken"][0]["reason"]
    assert "the event has the id 1.5" in answer["broken"][1]["reason"]
    assert [m["id"] for m in answer["matches"][:1]] == [m["id"] for m in first["matches"]]
    assert core.detector.status()["events"] == 4


@pytest.mark.parametrize("id_", [None, "", "x" * 201, 1.5, True, [1], {"a": 1}])
def test_an_event_without_an_id_is_refused(id_: object) -> None:
    core, _ = core_of()
    with pytest.raises(DataError, match="a text of 1 to 200 characters or a whole number in 'id'"):
        take(core, payment(0) | {"id": id_})


def test_a_body_in_which_no_event_has_an_id_is_refused() -> None:
    core, _ = core_of()
    with pytest.raises(DataError, match=r"no line of the body is an event; line 1: .* has no id"):
        take(core, payment(0) | {"id": None}, payment(1) | {"id": ""})
    assert core.position == 1


def test_the_id_need_not_be_a_field_of_the_stream() -> None:
    core, _ = core_of(rules=RULES.replace("id text, ", ""))
    take(core, payment(0), payment(1, amount=70.0))
    assert take(core, payment(1, amount=70.0))["duplicate"] is True
    assert core.unknown.names == set()


def test_ids_that_are_too_old_are_forgotten() -> None:
    core, _ = core_of(settings=Settings(id_field="id", ahead=None, ids_max=2))
    for number in range(3):
        take(core, payment(number))
    assert len(core.remembered) == 2
    assert take(core, payment(2))["duplicate"] is True
    assert take(core, payment(0))["duplicate"] is False


def test_an_answer_that_is_no_longer_kept_is_said_to_be_missing() -> None:
    core, _ = core_of(settings=Settings(id_field="id", ahead=None, answers_bytes=1))
    take(core, payment(0))
    take(core, payment(1, amount=70.0))
    again = take(core, payment(1, amount=70.0))
    assert (again["duplicate"], again["answer_kept"], again["matches"]) == (True, False, [])
    assert core.detector.status()["events"] == 2


# -- crashes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("part_rows", [1, 2, 5_000])
def test_a_crash_between_any_two_steps_changes_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part_rows: int
) -> None:
    """With checkpoints here and there, rules that change, ids sent twice."""
    monkeypatch.setattr("cep.serving.bodies.PART_ROWS", part_rows)
    chance = np.random.default_rng(5)
    more = RULES + "pattern large from payments match t define t as amount > 90;"
    events = [
        payment(n, card=int(chance.integers(4)), amount=float(chance.integers(100)))
        for n in range(60)
    ]

    def steps(core: Core, at: int) -> Any:
        if at == 30:
            core.change_rules(core.compiled(more))
        if at % 7 == 3:
            return take(core, events[at], events[at - 1], events[at])
        return take(core, events[at])

    whole, _ = core_of()
    expected = [steps(whole, at) for at in range(60)]
    core, durability = core_of(tmp_path)
    assert durability is not None
    for at in range(60):
        if chance.random() < 0.4:
            if chance.random() < 0.5:
                durability.write(core.snapshot())
            crash(core, durability)
            core, durability = core_of(tmp_path)
            assert durability is not None
        assert steps(core, at) == expected[at]
    for at in range(60):
        if at % 7 != 3:
            again = take(core, events[at])
            assert again["matches"] == take(whole, events[at])["matches"]
    told = ("events", "matches", "late", "errors", "watermark")
    statuses = [each.detector.status() for each in (core, whole)]
    assert len({tuple(status[name] for name in told) for status in statuses}) == 1
    assert core.feed.last == whole.feed.last
    assert [core.feed.get(n) for n in range(1, core.feed.last + 1)] == [
        whole.feed.get(n) for n in range(1, whole.feed.last + 1)
    ]
    crash(core, durability)


def test_time_that_has_passed_by_the_clock_has_passed_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 1_741_003_200_000_000
    monkeypatch.setattr("cep.serving.core.now_us", lambda: clock)
    settings = Settings(time="processing", id_field="id")
    core, durability = core_of(tmp_path, settings, ABSENT)
    take(core, {"id": 1, "machine": "m1", "ts": "2020-01-01"})
    core.tick()
    clock += 60_000_000
    core.tick()
    assert core.feed.last == 1
    before = core.feed.get(1)
    crash(core, durability)
    clock += 60_000_000
    core, durability = core_of(tmp_path, settings, ABSENT)
    assert (core.feed.last, core.feed.get(1)) == (1, before)
    crash(core, durability)


def test_rules_that_were_put_stay_until_the_file_changes(tmp_path: Path) -> None:
    put = RULES.replace("> 50", "> 40")
    core, durability = core_of(tmp_path)
    core.change_rules(core.compiled(put))
    crash(core, durability)
    core, durability = core_of(tmp_path)
    assert core.detector.rules.text == put
    assert durability is not None
    durability.write(core.snapshot())
    crash(core, durability)
    core, durability = core_of(tmp_path)
    assert core.detector.rules.text == put
    crash(core, durability)
    newer = RULES.replace("> 50", "> 30")
    core, durability = core_of(tmp_path, rules=newer)
    assert core.detector.rules.text == newer
    crash(core, durability)
    core, durability = core_of(tmp_path, rules=newer)
    assert core.detector.rules.text == newer
    crash(core, durability)


def test_entries_that_no_checkpoint_needs_are_deleted(tmp_path: Path) -> None:
    core, durability = core_of(tmp_path)
    assert durability is not None
    for number in range(6):
        take(core, payment(number))
        durability.write(core.snapshot())
    assert durability.journal.numbers() == (7, 7)
    crash(core, durability)


def test_a_damaged_checkpoint_costs_nothing(tmp_path: Path) -> None:
    core, durability = core_of(tmp_path)
    assert durability is not None
    for number in range(6):
        take(core, payment(number, amount=60.0 + number))
        durability.write(core.snapshot())
    matches = core.detector.status()["matches"]
    crash(core, durability)
    newest = max(tmp_path.glob("checkpoint-*"))
    newest.write_bytes(newest.read_bytes()[:-10])
    with pytest.warns(cep.CheckpointWarning):
        core, durability = core_of(tmp_path)
    assert core.detector.status()["matches"] == matches
    assert take(core, payment(5, amount=65.0))["duplicate"] is True
    crash(core, durability)


def test_entries_that_are_missing_are_not_passed_over(tmp_path: Path) -> None:
    core, durability = core_of(tmp_path)
    for number in range(3):
        take(core, payment(number))
    crash(core, durability)
    with Durability(str(tmp_path), 2, Survives.KILL).journal as journal:
        journal._db.execute("delete from entries where number = 3")
    with pytest.raises(CheckpointError, match="entries 3 to 3 are not in the journal"):
        core_of(tmp_path)


def test_a_checkpoint_of_a_job_is_refused(tmp_path: Path) -> None:
    cep.Detector(RULES).checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="the checkpoint is not one of a service"):
        core_of(tmp_path)


def test_what_cannot_be_kept_is_not_answered_and_nothing_follows(tmp_path: Path) -> None:
    core, durability = core_of(tmp_path)
    assert durability is not None
    durability.journal.close()
    for _ in range(2):
        with pytest.raises(CheckpointError):
            take(core, payment(0))
    assert core.broken is not None
    with pytest.raises(CheckpointError, match="start the service again"):
        core.snapshot()
    crash(core, durability)


# -- the journal -----------------------------------------------------------------------------------


def test_a_journal_gives_back_what_was_appended(tmp_path: Path) -> None:
    entries = [Entry("event", "s", number, b"x" * number) for number in range(5)]
    with Journal(tmp_path / "j.sqlite", Survives.POWER) as journal:
        for number, entry in enumerate(entries, 1):
            journal.append(number, entry)
    with Journal(tmp_path / "j.sqlite") as journal:
        assert [entry for _, entry in journal.after(2)] == entries[2:]
        journal.forget(3)
        assert journal.numbers() == (4, 5)
        journal.forget(5)
        assert journal.numbers() is None
        with pytest.raises(CheckpointError, match="the journal of events cannot be used"):
            journal.append(1, Entry("event", None, 0, object()))  # type: ignore[arg-type]


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(CheckpointError, match="file is not a database"):
        Journal(path)
    with Journal(tmp_path / "k.sqlite") as journal:
        journal._db.execute("pragma user_version = 7")
    with pytest.raises(CheckpointError, match="a journal of format 7; this version reads format 1"):
        Journal(tmp_path / "k.sqlite")


# -- what is told ----------------------------------------------------------------------------------

TIMES = """
stream beats (id text, ts timestamp) time ts;
pattern each from beats match a define a as true select a.ts as at;
aggregate hours from beats window tumbling 1 hour
  select min(ts) as first;
"""


def test_all_times_are_told_with_their_zone() -> None:
    core, _ = core_of(rules=TIMES)
    answers = [take(core, {"id": str(n), "ts": f"2025-03-03T0{n}:00:00"}) for n in (1, 2, 0)]
    (match,) = answers[0]["matches"]
    assert (match["start"], match["values"]) == (
        "2025-03-03T01:00:00Z",
        {"at": "2025-03-03T01:00:00Z"},
    )
    (row,) = answers[1]["rows"]
    assert [row["values"][name] for name in ("first", "window_end")] == [
        "2025-03-03T01:00:00Z",
        "2025-03-03T02:00:00Z",
    ]
    (late,) = answers[2]["late"]
    assert (late["time"], late["ts"]) == ("2025-03-03T00:00:00Z", "2025-03-03T00:00:00Z")
