"""The measurements: which jobs are run, and what their outputs must be."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import cep
from benchmarks.oracle import count_matches
from benchmarks.process import WrongOutputError, measured
from benchmarks.queries import QUERIES, many_rules, one_rule, rules
from cep.datasets import benchmark_transactions

COPY_US = (7 * 24 + 1) * 3_600_000_000  # the week of the data, and an hour in which all runs end
ROWS_PER_GROUP = 100_000


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rows: int = 2_000_000
    cards: int = 50_000
    repeat: int = 5
    patterns: tuple[int, ...] = (10, 50, 200)
    patterns_rows: int = 500_000
    patterns_checked_rows: int = 50_000
    copies: tuple[int, ...] = (1, 10)


QUICK = Size(100_000, 2_500, 1, (4, 20), 100_000, 10_000, (1, 3))


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table. Seconds, and megabytes of resident set."""

    name: str
    events: int
    patterns: int
    matches: int
    seconds: float
    compile: float
    warm_up: float
    before_mb: float
    peak_mb: float
    alone: float | None = None  # nanoseconds of the same patterns, each in a run of its own

    @property
    def million_per_second(self) -> float:
        return self.events / self.seconds / 1e6

    @property
    def nanoseconds(self) -> float:
        """Per event and pattern."""
        return self.seconds * 1e9 / self.events / self.patterns


def measure_queries(size: Size, say: Callable[[str], None]) -> list[Measured]:
    """Q1 to Q4, with the default skip strategy and with none; the counts are checked."""
    table = benchmark_transactions(size.rows, size.cards)
    found = []
    for skip in (True, False):
        expected = count_matches(table, skip=skip)
        for query in QUERIES:
            name = query if skip else f"{query}, no skip"
            say(name)
            one = _run(name, rules(query, skip=skip), size.rows, size)
            _check(one, expected[query])
            found.append(one)
    return found


def measure_many(size: Size, say: Callable[[str], None]) -> list[Measured]:
    """Each shape alone, then up to 200 different patterns in one pass over the same events."""
    say("the counts of many patterns")
    check_many(max(size.patterns), benchmark_transactions(size.patterns_checked_rows, size.cards))
    alone = []
    for number, query in enumerate(QUERIES):
        say(f"1 pattern of shape {query}")
        name = f"1, shape of {query}"
        alone.append(_run(name, one_rule(number), size.patterns_rows, size))
    found = list(alone)
    for count in size.patterns:
        say(f"{count} patterns")
        one = _run(str(count), many_rules(count), size.patterns_rows, size, patterns=count)
        shapes = [alone[number % len(alone)].nanoseconds for number in range(count)]
        found.append(replace(one, alone=sum(shapes) / count))
    return found


def check_many(count: int, table: pa.Table) -> None:
    """Every pattern finds in a run of all what it finds alone. Raises WrongOutputError."""
    together = cep.compile(many_rules(count)).run(table).matches.counts()
    for number, (name, found) in enumerate(together.items()):
        alone = len(cep.compile(one_rule(number)).run(table).matches)
        if found != alone:
            raise WrongOutputError(f"{name}: {found} matches among {count}, {alone} alone")


def measure_streaming(size: Size, say: Callable[[str], None]) -> list[Measured]:
    """The same week of events once and ten times over, from Parquet files; the counts are checked.

    An hour without events lies between two copies, so that each has the matches of the first.
    """
    table = benchmark_transactions(size.rows, size.cards)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for copies in size.copies:
            name = f"Q1, {copies} x {size.rows / 1e6:g} M events from Parquet"
            say(name)
            path = Path(folder) / f"{copies}.parquet"
            _write_copies(table, copies, path)
            one = _run(name, rules("Q1"), copies * size.rows, size, path=str(path))
            found.append(one)
    counted = count_matches(table, skip=True)["Q1"]
    for one in found:
        _check(one, counted * one.events // size.rows)
    return found


def _write_copies(table: pa.Table, copies: int, path: Path) -> None:
    with pq.ParquetWriter(path, table.schema) as writer:
        for copy in range(copies):
            times = table["ts"].cast(pa.int64()).to_numpy() + copy * COPY_US
            shifted = pa.array(times, type=pa.timestamp("us"))
            writer.write_table(
                table.set_column(table.schema.get_field_index("ts"), "ts", shifted),
                row_group_size=ROWS_PER_GROUP,
            )


def _check(one: Measured, expected: int) -> None:
    if one.matches != expected:
        raise WrongOutputError(f"{one.name}: {one.matches} matches, plain loops count {expected}")


def _run(
    name: str, text: str, events: int, size: Size, *, patterns: int = 1, path: str | None = None
) -> Measured:
    job = {
        "rules": text,
        "rows": events,
        "cards": size.cards,
        "repeat": 1 if path else size.repeat,
        "path": path,
    }
    (numbers,) = measured("benchmarks.worker", [job])
    return Measured(name=name, events=events, patterns=patterns, **numbers)
