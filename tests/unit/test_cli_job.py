"""`cep run --follow --checkpoint-dir`: a job from the command line, with a detector of tests."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cep.cli import main
from tests.simulation.fakes import FakeResult, JsonStore, SumDetector

RULES = "pattern p from s by key match a b define a as true, b as value > a.value;"
Cep = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cep:
    """`cep ARGUMENTS` in a folder with rules and events: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("cep.jobs.job._detector_of", lambda *_: SumDetector)
    monkeypatch.setattr("cep.jobs.job._store_at", _store_at)
    Path("rules.cep").write_text(RULES)
    Path("in").mkdir()
    Path("in/a.jsonl").write_text(lines(0, 30))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["cep", *arguments])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


def _store_at(checkpoint: str | None, keep: int) -> Any:
    return None if checkpoint is None else lambda: JsonStore(checkpoint)


def lines(begin: int, end: int) -> str:
    events = ({"id": i, "key": "x", "value": 4} for i in range(begin, end))
    return "".join(json.dumps(event) + "\n" for event in events)


def written(folder: str = "out") -> list[int]:
    paths = sorted(Path(folder).glob("part-*.jsonl"))
    return [json.loads(line)["id"] for path in paths for line in path.read_text().splitlines()]


JOB = ["run", "rules.cep", "-i", "in", "--output", "out", "--checkpoint-dir", "cp", "-f", "jsonl"]


def test_a_bounded_job_runs_to_its_end_and_is_finished(cep: Cep) -> None:
    code, stdout, stderr = cep(*JOB)
    assert (code, stdout) == (0, "")
    assert stderr.startswith("finished: 30 rows read, 13 matches, checkpoint 1 (pause ")
    assert stderr.endswith("ms) (exactly-once)\n")
    assert written() == [2, 4, 7, 9, 12, 14, 17, 19, 22, 24, 27, 29, -1]
    assert "went on from checkpoint 1 at 30" in cep(*JOB)[2]
    assert len(written()) == 13


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_job_with_a_last_checkpoint(
    cep: Cep, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    before = signal.getsignal(number)

    class Signalled(SumDetector):
        def process_batch(self, table: Any, stream: str | None = None) -> FakeResult:
            os.kill(os.getpid(), number)
            return super().process_batch(table, stream)

    monkeypatch.setattr("cep.jobs.job._detector_of", lambda *_: Signalled)
    code, _, stderr = cep(*JOB, "--follow")
    assert (code, stderr.partition(",")[0]) == (0, "stopped: 30 rows read")
    assert len(written()) == 12
    with Path("in/a.jsonl").open("a") as file:
        file.write(lines(30, 35))
    assert "went on from checkpoint 1 at 30" in cep(*JOB, "--follow")[2]
    assert written()[12:] == [32, 34]
    assert signal.getsignal(number) is before


def test_without_a_directory_matches_are_lines_on_stdout(cep: Cep) -> None:
    code, stdout, stderr = cep("run", "rules.cep", "-i", "s=in", "--checkpoint-dir", "cp")
    assert code == 0
    assert [json.loads(line)["id"] for line in stdout.splitlines()][:3] == [2, 4, 7]
    assert stderr.endswith("(at-least-once)\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-i", "-", "--follow"], "a job cannot read stdin"),
        (["-i", "in", "--follow", "-o", "out.csv"], "this must be a directory"),
        (["-i", "in", "--follow", "-f", "parquet"], "parquet needs --output DIRECTORY"),
        (["-i", "in", "--follow", "-o", "out", "-f", "table"], "a table is for the terminal only"),
    ],
)
def test_wrong_usage_is_exit_code_2(cep: Cep, arguments: list[str], message: str) -> None:
    code, _, stderr = cep("run", "rules.cep", *arguments)
    assert code == 2
    assert message in " ".join(stderr.replace("│", " ").split())


def test_a_promise_that_cannot_be_kept_is_exit_code_1(cep: Cep) -> None:
    code, _, stderr = cep(
        "run", "rules.cep", "-i", "in", "--follow", "--guarantee", "exactly-once", "-o", "out"
    )
    assert code == 1
    assert stderr.startswith("error: exactly-once cannot be held: there are no checkpoints")
