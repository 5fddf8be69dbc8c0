"""A few of the kills of `python -m tests.simulation.kill`, in a process that may fork."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EARLY = """
import random, sys
from pathlib import Path
from cep.engine.io.file_sink import FileSink
from tests.simulation.job_program import Case
from tests.simulation.kill import end_of, output, start, write_input
inner = FileSink.open
FileSink.open = lambda sink, state, at_once: inner(sink, state, at_once=True)
write_input(Path(sys.argv[1]) / "in", "jsonl", random.Random(1))
case = Case(Path(sys.argv[1]))
assert end_of(start(case, "store write:1"), None)
assert not end_of(start(case, None), None)
rows = output(case.folder / "out")
print(len(rows) - len(set(rows)))
"""


def python(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("which", [["--times", "12"], ["--times", "20", "--fake"]])
def test_a_job_that_is_killed_has_the_output_that_its_guarantee_promises(which: list[str]) -> None:
    said = python("-m", "tests.simulation.kill", "--seed", "5", *which)
    assert said.startswith(f"seed 5: {which[1]} processes killed")
    assert ", 0 with wrong output" in said


def test_a_sink_that_shows_rows_before_the_checkpoint_is_safe_is_found_out(tmp_path: Path) -> None:
    assert int(python("-c", EARLY, str(tmp_path))) > 0
