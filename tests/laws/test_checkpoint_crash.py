"""Processes killed while they write checkpoints: the newest good one is always there."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cep.engine.checkpoint.store import CheckpointStore
from tests.laws.checkpoint_process import state
from tests.unit.engine.checkpoint_tools import assert_same

ROOT = Path(__file__).parents[2]
LENGTHS = (10, 100_000, 2_000_000)  # from a page to 16 MB


def values_until_killed(directory: Path, length: int, checkpoints: int, spins: int) -> list[int]:
    """What one process says: where it began, and then the value of each durable checkpoint.

    It is killed when it has written some checkpoints, and a little (`spins`) later.
    """
    command = [sys.executable, "-m", "tests.laws.checkpoint_process", str(directory), str(length)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(1 + checkpoints)]
        for _ in range(spins):
            pass
        process.kill()
        lines += process.stdout.readlines()
    return list(numbers(lines))


def numbers(lines: list[str]) -> Iterator[int]:
    """Of whole lines only; the last one may have been cut off."""
    return (int(line.removeprefix("start ")) for line in lines if line.endswith("\n"))


def test_the_newest_checkpoint_is_readable_and_never_older_whenever_the_process_is_killed(
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(9)
    newest, leftovers = 0, 0
    for kill in range(30):
        length = LENGTHS[kill % len(LENGTHS)]
        checkpoints, spins = int(random.integers(0, 4)), int(random.integers(0, 50_000 + length))
        said = values_until_killed(tmp_path, length, checkpoints, spins)
        assert said == list(range(newest, newest + len(said))), kill
        leftovers += any(tmp_path.glob("*.partial"))
        with warnings.catch_warnings(), CheckpointStore(tmp_path, read_only=True) as store:
            warnings.simplefilter("error")  # nothing may be damaged
            restored = store.latest()
        value = restored.snapshot["value"] if restored else 0
        assert value in (said[-1], said[-1] + 1), kill  # it may have died before it said so
        if restored:
            assert_same(restored.snapshot, state(value, restored.snapshot["length"]))
        newest = value
    assert newest > 30
    with CheckpointStore(tmp_path, keep=2) as store:  # nothing stays that kills left undeleted
        store.write(state(newest + 1, 1))
        assert store.numbers() == [newest, newest + 1]
    assert leftovers > 0  # some were killed in the middle of a file
