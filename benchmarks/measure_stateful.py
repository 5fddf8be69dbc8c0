"""The measurements of live streams and state, and what their outputs must be."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.oracle import COUNTERS, count_matches, events_by_card
from benchmarks.process import WrongOutputError, measured
from benchmarks.queries import (
    BOUNDED,
    BOUNDED_SPENT,
    KEYED,
    MINUTES,
    OPEN_RUNS,
    QUERIES,
    feature_rules,
    late_rules,
    rules,
    surge_rules,
    window_rules,
)
from benchmarks.streams import (
    Rows,
    count_above,
    count_bounded,
    count_surges,
    count_windows,
    dense_stream,
)
from cep.datasets import benchmark_transactions

WORKER = "benchmarks.stateful"
LATE_SECONDS = 30
HOUR_US = 3_600_000_000
SURGE = 100
SPENT_DENSE, SPENT_SPARSE = 30_000.5, 1_000.005  # between two sums of whole cents
FLAT = 1.1
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StateSize:
    """How much is measured. `bounded_per_second`: of event time."""

    rows: int = 2_000_000
    keys: int = 50_000
    dense_rows: int = 4_000_000
    repeat: int = 5
    bounded_rows: int = 50_000_000
    bounded_per_second: int = 10_000
    bounded_points: int = 20
    bounded_checked_rows: int = 1_000_000
    states: int = 1_000_000
    firsts: tuple[str, ...] = ("a pattern", "a window", "a feature")
    together: bool = False  # the jobs of a part in one process, kernels from the usual cache


QUICK_STATE = StateSize(
    rows=100_000,
    keys=2_500,
    dense_rows=200_000,
    repeat=1,
    bounded_rows=1_000_000,
    bounded_per_second=1_000,
    bounded_points=8,
    states=50_000,
    firsts=("a window",),
    together=True,
)
Numbers = dict[str, Any]


def _measured(size: StateSize, say: Say, jobs: Mapping[str, Numbers]) -> list[Numbers]:
    """What a process says of each of the named jobs."""
    if size.together:
        say(", ".join(jobs))
        return measured(WORKER, list(jobs.values()))
    found = []
    for name, job in jobs.items():
        say(name)
        found += measured(WORKER, [job])
    return found


# ------------------------------------------------------------------ live


@dataclass(frozen=True, slots=True)
class Live:
    """CPU seconds of a run and of a detector; those of their tables of matches are apart."""

    name: str
    events: int
    run: float
    live: float
    run_tables: float
    live_tables: float
    matches: int

    @property
    def million_per_second(self) -> float:
        return self.events / self.live / 1e6

    @property
    def ratio(self) -> float:
        return self.run / self.live


def measure_live(size: StateSize, say: Say) -> list[Live]:
    """Q1 to Q4 in batches beside a run over the whole, and Q1 out of order; tables are equal."""
    table = benchmark_transactions(size.rows, size.keys)
    expected = count_matches(table, skip=True)
    jobs = {query: _live_job(size, query, 0) for query in QUERIES}
    jobs[f"Q1, up to {LATE_SECONDS} s late"] = _live_job(size, "Q1", LATE_SECONDS)
    found = []
    for name, numbers in zip(jobs, _measured(size, say, jobs), strict=True):
        if not numbers.pop("same"):
            raise WrongOutputError(f"{name}: a detector finds other matches than a run")
        _check(name, numbers["matches"], expected[name[:2]])
        found.append(Live(name, size.rows, **numbers))
    return found


def _live_job(size: StateSize, query: str, late_seconds: int) -> Numbers:
    return {
        "job": "live",
        "rules": late_rules(query, late_seconds) if late_seconds else rules(query),
        "whole_rules": rules(query),
        "rows": size.rows,
        "cards": size.keys,
        "late_us": late_seconds * 1_000_000,
        "repeat": 3 * size.repeat,  # they are short
    }


# ------------------------------------------------------------------ windows and features


@dataclass(frozen=True, slots=True)
class Job:
    """Rules over a stream, and what must come out. `per_minute` 0: the transactions."""

    name: str
    stream: str
    rules: str
    rows: int
    keys: int
    per_minute: int
    expected: Rows

    def of_kind(self, kind: str, repeat: int) -> Numbers:
        stream = {"rows": self.rows, "keys": self.keys, "per_minute": self.per_minute}
        return {"job": kind, "rules": self.rules, "stream": stream, "repeat": repeat}

    def checked(self, numbers: Numbers) -> Numbers:
        """Without the sum of sums. Raises WrongOutputError."""
        _check(str(self), Rows(numbers["rows"], numbers.pop("total")), self.expected)
        return numbers

    def __str__(self) -> str:
        return f"{self.name}, {self.stream}"


def _of_kind(size: StateSize, say: Say, kind: str, jobs: Sequence[Job]) -> list[Numbers]:
    asked = {f"{kind}: {job}": job.of_kind(kind, size.repeat) for job in jobs}
    found = _measured(size, say, asked)
    return [job.checked(numbers) for job, numbers in zip(jobs, found, strict=True)]


@dataclass(frozen=True, slots=True)
class Made:
    """Rows (for a feature: matches) made of events in so many CPU seconds."""

    name: str
    stream: str
    events: int
    rows: int
    seconds: float

    @property
    def million_per_second(self) -> float:
        return self.events / self.seconds / 1e6


def measure_windows(size: StateSize, say: Say) -> list[Made]:
    """Windows over a dense and a sparse stream, and a feature."""
    jobs = [job for per_minute in (8, 0) for job in _window_jobs(size, per_minute)]
    jobs += [_feature_job(size, per_minute) for per_minute in (1, 0)]
    found = _of_kind(size, say, "windows", jobs)
    return [
        Made(job.name, job.stream, job.rows, **numbers)
        for job, numbers in zip(jobs, found, strict=True)
    ]


def _window_jobs(size: StateSize, per_minute: int) -> list[Job]:
    rows, table = _stream(size, per_minute)
    return [
        Job(
            window,
            _named(per_minute),
            window_rules(window),
            rows,
            size.keys,
            per_minute,
            count_windows(table, minutes),
        )
        for window, minutes in MINUTES.items()
    ]


def _feature_job(size: StateSize, per_minute: int) -> Job:
    rows, table = _stream(size, per_minute)
    limit = SPENT_DENSE if per_minute else SPENT_SPARSE
    return Job(
        "feature, sum over 1 hour",
        _named(per_minute),
        feature_rules(limit),
        rows,
        size.keys,
        per_minute,
        Rows(count_above(table, HOUR_US, limit), 0),
    )


def _surge_job(size: StateSize) -> Job:
    rows, table = _stream(size, 8)
    return Job(
        f"{SURGE} times the amount before",
        _named(8),
        surge_rules(SURGE),
        rows,
        size.keys,
        8,
        Rows(count_surges(table, SURGE), 0),
    )


def _stream(size: StateSize, per_minute: int) -> tuple[int, Any]:
    if per_minute:
        return size.dense_rows, dense_stream(size.dense_rows, size.keys, per_minute)
    return size.rows, benchmark_transactions(size.rows, size.keys)


def _named(per_minute: int) -> str:
    return f"{per_minute} a minute" if per_minute else "transactions"


# ------------------------------------------------------------------ threads


@dataclass(frozen=True, slots=True)
class Workers:
    """Seconds of the clock with one and with two threads."""

    name: str
    events: int
    rows: int
    one: float
    two: float

    @property
    def ratio(self) -> float:
        return self.one / self.two


def measure_workers(size: StateSize, say: Say) -> list[Workers]:
    """Patterns, a window and a feature on one and on two threads, in turns."""
    cards = events_by_card(benchmark_transactions(size.rows, size.keys))
    jobs = [
        Job(
            query,
            _named(0),
            rules(query),
            size.rows,
            size.keys,
            0,
            Rows(sum(COUNTERS[query](events, True) for events in cards), 0),
        )
        for query in ("Q1", "Q4")
    ]
    del cards
    jobs += [_surge_job(size), _window_jobs(size, 8)[0], _feature_job(size, 1)]
    found = _of_kind(size, say, "workers", jobs)
    return [
        Workers(str(job), job.rows, **numbers) for job, numbers in zip(jobs, found, strict=True)
    ]


# ------------------------------------------------------------------ memory


@dataclass(frozen=True, slots=True)
class Bounded:
    """Memory after so many events, in megabytes."""

    events: int
    seconds: float
    matches: int
    curve: list[tuple[int, float]]

    @property
    def growth(self) -> float:
        """The most of the last third over the most of the middle third."""
        third = self.events / 3
        middle = [mb for events, mb in self.curve if third < events <= 2 * third]
        last = [mb for events, mb in self.curve if events > 2 * third]
        return max(last) / max(middle)


def measure_bounded(size: StateSize, say: Say) -> list[Bounded]:
    """Ever-new keys: counts are checked on fewer events, and memory must stop growing."""
    runs = [size.bounded_checked_rows]
    runs += [size.bounded_rows] if size.bounded_rows != size.bounded_checked_rows else []
    found: list[Bounded] = []
    for rows in runs:
        say(f"memory over {rows / 1e6:g} M events of ever-new keys")
        job = {"job": "bounded", "rules": BOUNDED, "rows": rows, "points": size.bounded_points}
        (numbers,) = measured(WORKER, [job | {"per_second": size.bounded_per_second}])
        total = numbers.pop("total")
        if rows == size.bounded_checked_rows:
            expected = count_bounded(rows, size.bounded_per_second, BOUNDED_SPENT)
            _check("ever-new keys", Rows(numbers["matches"], total), expected)
        found.append(Bounded(rows, **numbers))
    check_flat(found[-1])
    return found[-1:]


def check_flat(one: Bounded) -> None:
    """Raises WrongOutputError where memory goes on growing."""
    if one.growth > FLAT:
        raise WrongOutputError(
            f"memory grows: the last third of {one.events:,} events needs {one.growth:.2f} times"
            " what the middle third needed"
        )


# ------------------------------------------------------------------ checkpoints


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Pauses in CPU seconds, the write in seconds of the clock."""

    name: str
    rows: int
    first: float
    first_system: float
    pause: float
    write: float
    size_mb: float
    restore: float


def measure_checkpoint(size: StateSize, say: Say) -> list[Checkpoint]:
    """Snapshot, write and restore; what is restored must go on with every key."""
    jobs: dict[str, Numbers] = {
        name: {
            "job": "checkpoint",
            "rules": text,
            "keys": size.states,
            "text": "card text" in text,
            "repeat": size.repeat,
        }
        for name, text in KEYED.items()
    }
    found = []
    for name, numbers in zip(jobs, _measured(size, say, jobs), strict=True):
        _check(name, numbers["rows"], size.states)
        found.append(Checkpoint(name, **numbers))
    return found


# ------------------------------------------------------------------ the first result


@dataclass(frozen=True, slots=True)
class First:
    """CPU seconds of a process until its first result, without and with kernels on disk."""

    name: str
    imports: float
    cold: float
    warm: float


def measure_first(size: StateSize, say: Say) -> list[First]:
    """A new process, first with an empty cache of kernels."""
    jobs = {
        "a pattern": OPEN_RUNS,
        "a window": window_rules("tumbling 1 minute"),
        "a feature": feature_rules(SPENT_SPARSE),
    }
    found = []
    for name in size.firsts:
        say(f"the first result of {name}")
        with tempfile.TemporaryDirectory() as cache:
            job = {"job": "first", "rules": jobs[name]}
            place = {} if size.together else {"NUMBA_CACHE_DIR": cache}
            runs = [measured(WORKER, [job], place)[0] for _ in range(3)]
        _check(name, [run["rows"] for run in runs[1:]], [runs[0]["rows"]] * 2)
        warm = min(runs[1:], key=lambda run: float(run["all"]))
        found.append(First(name, warm["imports"], runs[0]["all"], warm["all"]))
    return found


def _check(name: str, found: object, expected: object) -> None:
    if found != expected:
        raise WrongOutputError(f"{name}: {found}, counted by other means: {expected}")
