"""Rule files that are watched: what a change of them does, on real files."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

import cep
from cep.changing.watcher import Watcher

WAIT_S = 60.0  # for what comes at once, on any machine
STREAM = "stream s (ts timestamp, key int, x int) time ts;\n"
P = "pattern p from s by key match a -> b within 1 hour define a as x = 1, b as x = 2;\n"
Q = "pattern q from s match a define a as x = 3;\n"


class Heard:
    """What a watcher tells, one after the other."""

    def __init__(self) -> None:
        self.queue: Queue[tuple[str, str]] = Queue()

    def __call__(self, watcher: Watcher) -> None:
        self.queue.put((str(watcher.restored), str(watcher.error or "")))

    def next(self) -> tuple[str, str]:
        """(what became of the statements, error)."""
        return self.queue.get(timeout=WAIT_S)

    def until(self, wanted: Callable[[tuple[str, str]], bool]) -> tuple[str, str]:
        """A change of several files may be told in parts."""
        while not wanted(found := self.next()):
            pass
        return found


def event(minute: int, x: int) -> dict[str, Any]:
    return {"ts": f"2025-01-01 00:{minute:02}:00", "key": 1, "x": x}


def names(detector: cep.Detector) -> list[str]:
    return [version.name for version in detector.rules]


def put(path: Path, text: str) -> None:
    """As editors do: another file, which takes the place of the old one."""
    other = path.with_name(path.name + "~new")
    other.write_text(text)
    other.replace(path)


def test_a_file_that_changes_changes_the_rules(tmp_path: Path) -> None:
    path, heard = tmp_path / "rules.cep", Heard()
    path.write_text(STREAM + P)
    with cep.Detector(cep.load(path)) as detector, detector.watch(path, heard) as watcher:
        detector.process(event(0, 1))
        put(path, STREAM + P + Q)
        assert heard.next() == ("kept: p; new: q", "")
        assert names(detector) == ["s", "p", "q"]
        found = detector.process_batch([event(1, 2), event(2, 3)])
        assert [match.pattern for match in found] == ["p", "q"]
        path.write_text(STREAM + P)
        heard.until(lambda told: told == ("kept: p; dropped: q", ""))
        assert watcher.is_running
    assert not watcher.is_running


def test_the_rules_are_read_when_watching_begins(tmp_path: Path) -> None:
    path = tmp_path / "rules.cep"
    path.write_text(STREAM + P + Q)
    with cep.Detector(STREAM + P) as detector:
        watcher = detector.watch(path)
        assert names(detector) == ["s", "p", "q"]
        assert str(watcher.restored) == "kept: p; new: q"


def test_rules_that_say_what_is_in_force_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rules.cep"
    path.write_text("-- the same\n" + STREAM + P)
    with cep.Detector(STREAM + P) as detector:
        assert str(detector.watch(path).restored) == "nothing"
        assert len(detector.measured.calls["update"]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no such file"), ("patern", "rules.cep:1:1: error: expected"), ("", "no pattern")],
)
def test_what_is_wrong_when_watching_begins_is_raised(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "rules.cep"
    if text is not None:
        path.write_text(text)
    with cep.Detector(STREAM + P) as detector:
        with pytest.raises(cep.CepError, match=message):
            detector.watch(path)
        assert names(detector) == ["s", "p"]


def test_a_file_that_does_not_compile_changes_nothing_and_is_told_until_it_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, heard = tmp_path / "rules.cep", Heard()
    path.write_text(STREAM + P)
    with cep.Detector(cep.load(path)) as detector, detector.watch(path, heard) as watcher:
        detector.process(event(0, 1))
        put(path, STREAM + P + "pattern q from s match a define a as y = 3;")
        _, error = heard.next()
        assert error.startswith(f"{path}:3:38: error: no field 'y' in stream s")
        assert type(watcher.error) is cep.RuleError
        (record,) = [r for r in caplog.records if getattr(r, "event", "") == "rules_refused"]
        assert record.levelno == logging.ERROR
        assert names(detector) == ["s", "p"]
        put(path, STREAM + P)
        assert heard.next()[1] == ""
        assert len(detector.process(event(1, 2))) == 1
    assert watcher.error is None


def test_a_file_that_goes_and_comes_back_is_an_error_meanwhile(tmp_path: Path) -> None:
    path, heard = tmp_path / "rules.cep", Heard()
    path.write_text(STREAM + P)
    with cep.Detector(cep.load(path)) as detector, detector.watch(path, heard):
        path.unlink()
        assert heard.next()[1] == f"{path}: no such file or directory"
        assert names(detector) == ["s", "p"]
        path.write_text(STREAM + P + Q)
        heard.until(lambda told: told == ("kept: p; new: q", ""))


def test_the_files_of_a_directory_are_one_rule_set(tmp_path: Path) -> None:
    heard = Heard()
    (tmp_path / "1-streams.cep").write_text(STREAM)
    (tmp_path / "2-p.cep").write_text(P)
    with cep.Detector(STREAM + Q) as detector, detector.watch(tmp_path, heard):
        assert names(detector) == ["s", "p"]
        (tmp_path / "3-q.cep").write_text(Q)
        heard.until(lambda told: told == ("kept: p; new: q", ""))
        put(tmp_path / "2-p.cep", P.replace("x = 1", "x = 2"))
        assert heard.next() == ("kept: q; fresh: p", "")
        (tmp_path / "2-p.cep").unlink()
        assert heard.next() == ("kept: q; dropped: p", "")
        (tmp_path / "1-streams.cep").unlink()
        (tmp_path / "3-q.cep").unlink()
        heard.until(lambda told: "the rules have no pattern" in told[1])
        assert names(detector) == ["s", "q"]


def test_an_error_names_the_file_in_which_it_is(tmp_path: Path) -> None:
    heard = Heard()
    (tmp_path / "1-streams.cep").write_text("-- what comes\n" + STREAM)
    (tmp_path / "2-p.cep").write_text(P)
    with cep.Detector(STREAM + P) as detector, detector.watch(tmp_path, heard):
        put(tmp_path / "3-q.cep", "\n\npattern q from s match a define a as y = 3")
        _, error = heard.next()
        assert error.startswith(f"{tmp_path / '3-q.cep'}:3:38: error: no field 'y'")
        put(tmp_path / "2-p.cep", "pattern p from s by key match a define a as z = 3")
        _, error = heard.next()
        assert error.startswith(f"{tmp_path / '2-p.cep'}:1:45: error: no field 'z'")
        assert f"error: 1 more of {tmp_path / '3-q.cep'}, the first: no field 'y'" in error


def test_files_of_editors_and_others_do_not_matter(tmp_path: Path) -> None:
    heard = Heard()
    (tmp_path / "rules.cep").write_text(STREAM + P)
    with cep.Detector(STREAM + P) as detector, detector.watch(tmp_path, heard):
        for name in (".rules.cep.swp", "rules.cep~", ".hidden.cep", "notes.txt", "4913"):
            (tmp_path / name).write_text("wrong")
        (tmp_path / ".#rules.cep").symlink_to("nobody@nowhere")
        (tmp_path / "folder.cep").mkdir()
        put(tmp_path / "rules.cep", STREAM + P + Q)
        assert heard.next() == ("kept: p; new: q", "")


def test_a_directory_that_is_put_in_place_of_another_is_watched_on(tmp_path: Path) -> None:
    """As deployments do: a link that points to the next version."""
    heard = Heard()
    for number, text in enumerate([STREAM + P, STREAM + P + Q]):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "rules.cep").write_text(text)
    current = tmp_path / "current"
    current.symlink_to(tmp_path / "v0")
    with cep.Detector(STREAM + P) as detector, detector.watch(current, heard):
        (tmp_path / "next").symlink_to(tmp_path / "v1")
        (tmp_path / "next").replace(current)
        assert heard.next() == ("kept: p; new: q", "")
        put(tmp_path / "v1" / "rules.cep", STREAM + P)
        assert heard.next() == ("kept: p; dropped: q", "")
        shutil.rmtree(tmp_path / "v1")
        heard.until(lambda told: told[1] != "")
        assert names(detector) == ["s", "p"]
        (tmp_path / "v1").mkdir()
        (tmp_path / "v1" / "rules.cep").write_text(STREAM + Q)
        heard.until(lambda told: told == ("new: q; dropped: p", ""))


def test_what_is_disabled_stays_so_and_values_of_parameters_stay(tmp_path: Path) -> None:
    path, heard = tmp_path / "rules.cep", Heard()
    text = STREAM + P + Q.replace("3", "$limit") + "parameter $limit int = 3;\n"
    path.write_text(text)
    with (
        cep.Detector(cep.load(path, parameters={"limit": 7})) as detector,
        detector.watch(path, heard),
    ):
        detector.disable("p")
        put(path, text + "pattern r from s match a define a as x = 1;")
        assert heard.next() == ("kept: q; new: r", "")
        assert detector.rules["p"].state == "disabled"
        found = detector.process_batch([event(0, 3), event(1, 7)])
        assert [match.pattern for match in found] == ["q"]


def test_files_wait_for_a_shadow_to_end(tmp_path: Path) -> None:
    path, heard = tmp_path / "rules.cep", Heard()
    path.write_text(STREAM + P)
    with cep.Detector(cep.load(path)) as detector, detector.watch(path, heard):
        shadow = detector.shadow(STREAM + P)
        put(path, STREAM + P + Q)
        assert "run in the shadow" in heard.next()[1]
        shadow.stop()
        assert heard.next() == ("kept: p; new: q", "")


def test_a_doubtful_rule_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, heard = tmp_path / "rules.cep", Heard()
    path.write_text(STREAM + P)
    with cep.Detector(cep.load(path)) as detector, detector.watch(path, heard):
        put(path, STREAM + P + "pattern q from s match a define b as true, a as true;")
        heard.next()
        put(path, STREAM + P + "pattern q from s match a -> b within 1 hour define a as true;")
        heard.until(lambda told: told[1] == "")
    doubts = [r.getMessage() for r in caplog.records if getattr(r, "event", "") == "rule_doubtful"]
    assert f"{path}:3:29: warning: variable 'b' has no definition" in doubts[-1]


def test_a_watcher_ends_with_its_detector(tmp_path: Path) -> None:
    path = tmp_path / "rules.cep"
    path.write_text(STREAM + P)
    closed, finished = cep.Detector(cep.load(path)), cep.Detector(cep.load(path))
    watchers = [closed.watch(path), finished.watch(path)]
    closed.close()
    finished.finish()
    assert [watcher.is_running for watcher in watchers] == [False, False]
    with pytest.raises(cep.DataError, match="closed"):
        closed.watch(path)


def test_a_function_that_fails_ends_the_watcher(tmp_path: Path) -> None:
    def fail(watcher: Watcher) -> None:
        told.put(True)
        raise ValueError("no")

    told: Queue[bool] = Queue()
    path = tmp_path / "rules.cep"
    path.write_text(STREAM + P)
    detector = cep.Detector(cep.load(path))
    watcher = detector.watch(path, fail)
    put(path, STREAM + P + Q)
    assert told.get(timeout=WAIT_S)
    with pytest.raises(ValueError, match="no"):
        watcher.stop()
    watcher.stop()
    detector.close()


def test_a_function_may_stop_its_watcher(tmp_path: Path) -> None:
    def end(watcher: Watcher) -> None:
        watcher.stop()
        told.put(True)

    told: Queue[bool] = Queue()
    path = tmp_path / "rules.cep"
    path.write_text(STREAM + P)
    with cep.Detector(cep.load(path)) as detector:
        watcher = detector.watch(path, end)
        put(path, STREAM + P + Q)
        assert told.get(timeout=WAIT_S)
        watcher.stop()
        assert not watcher.is_running


def test_without_watchfiles_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    path = tmp_path / "rules.cep"
    path.write_text(STREAM + P + Q)
    with cep.Detector(STREAM + P) as detector:
        with pytest.raises(ImportError, match=r"needs watchfiles: pip install 'cep\[watch\]'"):
            detector.watch(path)
        assert names(detector) == ["s", "p"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file"
)
def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    path, heard = tmp_path / "rules.cep", Heard()
    path.write_text(STREAM + P)
    with cep.Detector(cep.load(path)) as detector, detector.watch(path, heard):
        path.chmod(0)
        assert "permission denied" in heard.next()[1]
