"""Kill a job with SIGKILL at random moments, restart it, compare its output with an unbroken run.

    python -m tests.simulation.kill --times 300 --seed 1

Half of the kills come from outside after a random time, half from inside at a random point (in
a checkpoint, between pre-commit and commit, between two renames). Each restart is a new process,
forked from this one so that it need not import everything again. SIGKILL leaves no time for any
clean-up, but it does not lose what the operating system has in its buffers: what a power cut does
is not tried here.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from tests.simulation import job_program
from tests.simulation.job_program import CALLED, POINTS, TABLES, Case

EVENTS = 900
Row = tuple[Any, ...]


@dataclass
class Tally:
    """What has been done. `wrong` holds a line for each run whose output was not as promised."""

    kills: int = 0
    inside: int = 0
    runs: int = 0
    wrong: list[str] | None = None


# -- input and output ------------------------------------------------------------------------------


def write_input(folder: Path, format_: str, chance: random.Random) -> None:
    """Three files of events."""
    folder.mkdir(parents=True)
    for number in range(3):
        first = number * EVENTS // 3
        events = [event(first + i, chance) for i in range(EVENTS // 3)]
        path = folder / f"events-{number}.{format_}"
        table = pa.Table.from_pylist(events)
        if format_ == "parquet":
            pq.write_table(table, path, row_group_size=90)
        elif format_ == "csv":
            pcsv.write_csv(table, path)
        else:
            path.write_text("".join(json.dumps(event) + "\n" for event in events))


def event(number: int, chance: random.Random) -> dict[str, Any]:
    """One a second and a half, up to four seconds late."""
    time_us = 1_700_000_000_000_000 + number * 1_500_000 - chance.randrange(4_000_000)
    text = np.datetime_as_string(np.datetime64(time_us, "us"))
    key, value = f"k{chance.randrange(7)}", chance.randrange(1, 8)
    return {"ts": str(text), "id": number, "key": key, "value": value}


def output(folder: Path) -> list[Row]:
    """The rows of all visible files, in the order of their names."""
    rows: list[Row] = []
    for path in sorted(folder.glob("part-*")) if folder.exists() else []:
        if path.suffix == ".parquet":
            found = pq.read_table(path, use_threads=False).to_pylist()
        elif path.suffix == ".csv":
            found = pcsv.read_csv(path, pcsv.ReadOptions(use_threads=False)).to_pylist()
        else:
            found = [json.loads(line) for line in path.read_text().splitlines()]
        assert found, f"{path}: a visible file without rows"
        rows += [tuple(map(str, row.values())) for row in found]
    return rows


# -- processes -------------------------------------------------------------------------------------


def start(case: Case, kill_at: str | None) -> int:
    """A new process that runs the job; its id."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    try:
        job_program.run(case, kill_at)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def end_of(process: int, kill_after_seconds: float | None) -> bool:
    """Wait for a process, killing it after a time; whether it was killed."""
    timer = None
    if kill_after_seconds is not None:
        timer = threading.Timer(kill_after_seconds, os.kill, (process, signal.SIGKILL))
        timer.start()
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # its id is not free yet
    if timer is not None:
        timer.cancel()
        timer.join()
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the job failed, see above"
    return False


# -- one job, killed again and again ---------------------------------------------------------------


class Trial:
    """An input, the output of the unbroken run, and a job that is killed until it is done."""

    def __init__(self, folder: Path, case: Case, chance: random.Random) -> None:
        self._chance = chance
        self._inputs = folder / "unbroken" / "in"
        write_input(self._inputs, chance.choice(("jsonl", "csv", "parquet")), chance)
        unbroken = replace(case, folder=folder / "unbroken", rows=EVENTS)
        begun = time.perf_counter()
        end_of(start(unbroken, None), None)
        self._seconds = time.perf_counter() - begun
        self._expected = {to: output(folder / "unbroken" / to) for to in (*TABLES.values(), CALLED)}
        self._case = replace(case, folder=folder / "killed", rows=EVENTS)

    def run(self, kills_max: int, tally: Tally) -> str:
        """Kill at most so often, then let it end; what is wrong, or nothing."""
        self._case.folder.mkdir()
        if not self._case.follow:
            shutil.copytree(self._inputs, self._case.folder / "in")
        for number in range(kills_max):
            if self._case.follow:
                self._grow((number + 1) / (kills_max + 1))
            if not self._kill(tally):
                break
            if wrong := self._wrong(is_done=False):
                return f"after kill {number + 1}: {wrong}"
        if self._case.follow:
            self._grow(1.0)
        end_of(start(self._case, None), None)
        left = [path.name for path in self._case.folder.glob("*/.part-*")]
        return f"left behind: {left}" if left else self._wrong(is_done=True)

    def _grow(self, share: float) -> None:
        """Text files have this share of their bytes, whole ones appear in their turn."""
        folder = self._case.folder / "in"
        folder.mkdir(exist_ok=True)
        files = sorted(self._inputs.iterdir())
        for number, path in enumerate(files):
            part = min(max(share * len(files) - number, 0.0), 1.0)
            if path.suffix != ".parquet":
                data = path.read_bytes()
                (folder / path.name).write_bytes(data[: round(len(data) * part)])
            elif part == 1.0 and not (folder / path.name).exists():
                shutil.copy(path, folder / f".{path.name}")
                (folder / f".{path.name}").rename(folder / path.name)

    def _kill(self, tally: Tally) -> bool:
        """Run until killed; False where the job came to its end before."""
        kill_at, after = None, self._chance.uniform(0.0, self._seconds)
        is_inside = self._chance.random() < 0.5
        if is_inside:
            kill_at = f"{self._chance.choice(POINTS)}:{self._chance.randrange(1, 12)}"
        limit = self._seconds * 1.5 if self._case.follow else None  # it may wait for more input
        is_killed = end_of(start(self._case, kill_at), limit if is_inside else after)
        tally.kills += is_killed
        tally.inside += is_killed and is_inside
        return is_killed

    def _wrong(self, *, is_done: bool) -> str:
        """What the visible output has that it should not have, or lacks."""
        wrongs = []
        for folder, expected in self._expected.items():
            found = output(self._case.folder / folder)
            if wrong := compare(found, expected, self._case.guarantee, is_done=is_done):
                wrongs.append(f"{folder}: {wrong}")
        return "; ".join(wrongs)


def compare(found: list[Row], expected: list[Row], guarantee: str, *, is_done: bool) -> str:
    """What of the rows found breaks the guarantee, or nothing. `is_done`: all must be there."""
    if guarantee == "exactly-once":
        is_right = found == expected[: len(found)] and (not is_done or len(found) == len(expected))
        return (
            "" if is_right else f"{len(found)} rows are not the first of {len(expected)} expected"
        )
    if guarantee == "at-least-once":
        strange, lost = set(found) - set(expected), set(expected) - set(found)
        is_right = not strange and not (lost and is_done)
        return "" if is_right else f"{len(strange)} rows that nobody expects, {len(lost)} lost"
    twice = [row for row, times in Counter(found).items() if times > 1]
    strange = set(found) - set(expected)
    return f"{len(twice)} rows are there twice, {len(strange)} strange" if twice or strange else ""


def warm_up(case: Case, chance: random.Random) -> None:
    """A job in this process, so that those forked from it have all kernels."""
    with tempfile.TemporaryDirectory() as folder:
        write_input(Path(folder) / "in", "jsonl", chance)
        job_program.run(replace(case, folder=Path(folder)))


def kill(times: int, seed: int, guarantee: str | None = None, *, real: bool = True) -> Tally:
    """Trials until `times` processes have been killed. `real`: see `Case`."""
    chance = random.Random(seed)
    tally = Tally(wrong=[])
    assert tally.wrong is not None
    warm_up(Case(Path(), real=real), random.Random(seed))
    while tally.kills < times:
        case = Case(
            Path(),
            guarantee or chance.choice(("exactly-once",) * 3 + ("at-least-once", "at-most-once")),
            chance.choice(("jsonl", "csv", "parquet")),
            f"{chance.choice((20, 100, 400))} rows",
            follow=chance.random() < 0.3,
            real=real,
        )
        with tempfile.TemporaryDirectory() as folder:
            trial = Trial(Path(folder), case, chance)
            kills_max = min(chance.randrange(1, 8), times - tally.kills)
            if wrong := trial.run(kills_max, tally):
                tally.wrong.append(f"trial {tally.runs} of seed {seed}: {case}: {wrong}")
        tally.runs += 1
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--times", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guarantee")
    parser.add_argument("--fake", action="store_true", help="a small detector and store of tests")
    options = parser.parse_args()
    tally = kill(options.times, options.seed, options.guarantee, real=not options.fake)
    print(
        f"seed {options.seed}: {tally.kills} processes killed ({tally.inside} of them at points "
        f"inside), {tally.runs} jobs finished, {len(tally.wrong or ())} with wrong output"
    )
    print(*(tally.wrong or ()), sep="\n")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
