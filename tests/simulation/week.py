"""A week of event time through two detectors, whose memory must not grow from its second day on.

    python -m tests.simulation.week --events 4000000

Keys come and go: each is used for two hours and never again, and so are the texts of events. Most
events come in tables, some in lists of dicts, some one by one. Among them are late ones, ones far
ahead of the clock, values that do not fit and fields that nobody knows. One detector has all kinds
of rules, the other patterns alone, whose single events go past the columns.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import cep

STREAM = """
stream payments (ts timestamp, id text, card text, shop integer, amount float, kind text) time ts"""
PATTERNS = """
pattern rising from payments by card match a -> b -> c within 30 minutes
  define a as amount > 20, b as amount > a.amount, c as amount > b.amount + 50
  select a.id as first, c.id as last;
pattern many from payments by card match small{2,4} large within 1 hour
  define small as amount < 20, large as amount > 90 select count(small) as n, large.id as id;
pattern silent from payments by card match opened -> not closed within 10 minutes
  define opened as kind = 'open', closed as kind = 'close' select opened.id as id;
pattern slow from payments by card match a -> b within 5 minutes
  define a as kind = 'open', b as kind = 'pay' and amount > 95
  on timeout select a.id as id;
"""
OTHERS = """
feature spent on payments as sum(amount) over 1 hour by card;
feature usual on payments as avg(amount) over 1 day by shop;
pattern much from payments by card match a define a as spent > 900 and amount > usual
  select a.spent as spent;
aggregate minutes from payments by card window tumbling 1 minute
  select card, count(*) as n, sum(amount) as total;
aggregate lately from payments by shop window sliding 10 minutes every 1 minute
  select shop, max(amount) as most;
aggregate visits from payments by card window session 20 minutes
  select card, first(id) as id, count(*) as n;
pattern busy from minutes by card match one -> two within 20 minutes
  define one as n >= 2, two as n > one.n;
"""
MONDAY_US = 1_740_960_000_000_000  # 2025-03-03
HOUR_US, SECOND_US = 3_600_000_000, 1_000_000
HOURS_OF_DAY = 24
KINDS = ("pay", "open", "close")
FLAT = 1.25  # a day's greatest need of memory beside that of the second day: tables grow by steps
PEAK_GROWTH_MB = 20.0  # of the whole process from the second day on: an allocator is not exact


@dataclass(frozen=True, slots=True)
class Week:
    """How much goes through. `keys`: new ones in each hour."""

    events: int = 4_000_000
    days: int = 7
    keys: int = 4_000
    shops: int = 200
    rows: int = 2_000  # in a batch
    single_every: int = 20  # batches, of which one has `singles` events that come one by one
    singles: int = 40
    look_every: int = 1  # hours
    seed: int = 7


@dataclass(slots=True)
class Need:
    """Memory, as the greatest of what was seen after each hour of a day."""

    of: dict[str, int] = field(default_factory=dict)

    def see(self, found: dict[str, int]) -> None:
        for name, size in found.items():
            self.of[name] = max(size, self.of.get(name, 0))


@dataclass(slots=True)
class Report:
    """A day's need, what came out of it, and the peak of the process after it."""

    day: int
    need: dict[str, int]
    found: dict[str, int]
    peak_mb: float


def tables(week: Week) -> Iterator[tuple[int, pa.Table]]:
    """(hour, events as they arrive): mixed up by 20 seconds, some of them an hour late."""
    random = np.random.default_rng(week.seed)
    hours = week.days * HOURS_OF_DAY
    size = week.events // hours
    kinds = np.array(KINDS)
    for hour in range(hours):
        when = MONDAY_US + hour * HOUR_US + np.sort(random.integers(0, HOUR_US, size))
        told = when - random.integers(0, 20 * SECOND_US, size)
        told[random.random(size) < 0.002] -= HOUR_US
        born = np.maximum(hour - (random.random(size) < 0.3), 0)
        key = random.integers(0, week.keys, size)
        table = pa.table(
            {
                "ts": pa.array(told, pa.timestamp("us")),
                "id": [f"{hour}/{n}" for n in range(size)],
                "card": [f"{b}-{k}" for b, k in zip(born.tolist(), key.tolist(), strict=True)],
                "shop": pa.array(random.integers(0, week.shops, size)),
                "amount": pa.array(np.round(random.random(size) * 100, 2)),
                "kind": pa.array(kinds[random.integers(0, len(kinds), size)]),
            }
        )
        for start in range(0, size, week.rows):
            yield hour, table.slice(start, week.rows)


def spoilt(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With what does not belong there, under names and with values that never come again."""
    if len(events) < 8:
        return events
    number = events[0]["id"]
    events[1]["ts"] += timedelta(days=400)
    events[2]["amount"] = f"much {number}"
    events[3]["card"] = [number]
    events[4][f"field {number}"] = number
    events[5]["card"] = None
    events[6]["id"] = "\ud800" + number
    events[7]["amount"] = "50.0"
    return events


class Pair:
    """Both detectors, by a clock that shows the time of the events."""

    def __init__(self) -> None:
        self.now_us = MONDAY_US
        clock = lambda: self.now_us  # noqa: E731
        ahead = timedelta(days=1)
        everything = STREAM + " lateness 30 seconds;" + PATTERNS + OTHERS
        self.detectors = {
            "all": cep.Detector(everything, ahead=ahead, clock=clock),
            "patterns": cep.Detector(f"{STREAM};{PATTERNS}", ahead=ahead, clock=clock),
        }
        self._batches = 0

    def take(self, table: pa.Table, week: Week) -> None:
        """A batch, in the form in which it is its turn to come."""
        self.now_us = table.column("ts")[-1].value
        self._batches += 1
        is_single = self._batches % week.single_every == 0
        is_listed = self._batches % week.single_every == 1
        for name, detector in self.detectors.items():
            if name == "patterns":  # whose stream has no lateness
                table = table.sort_by("ts")
            single = table.slice(0, week.singles if is_single else 0)
            for event in spoilt(single.to_pylist()):
                detector.process(event)
            rest = table.slice(len(single))
            detector.process_batch(spoilt(rest.to_pylist()) if is_listed else rest)

    def need(self) -> dict[str, int]:
        """What each of them holds, by what for."""
        found: dict[str, int] = {}
        for name, detector in self.detectors.items():
            status = detector.status()
            parts = status["state_bytes"] | {"waiting": status["bytes_held"]}
            nodes = status["nodes"].values()
            found |= {f"{name}: {part} bytes": size for part, size in parts.items()}
            found[f"{name}: open runs"] = sum(node.get("open_runs", 0) for node in nodes)
            found[f"{name}: panes"] = sum(node.get("panes", 0) for node in nodes)
            found[f"{name}: ignored fields"] = sum(map(len, status["ignored_fields"].values()))
        return found

    def saved(self, folder: str) -> dict[str, int]:
        """What a checkpoint takes: also the texts and keys that are known."""
        for name, detector in self.detectors.items():
            detector.savepoint(folder, name)
        files = {name: max(Path(folder).rglob(f"*{name}*")) for name in self.detectors}
        sizes = {f"{name}: checkpoint bytes": file.stat().st_size for name, file in files.items()}
        for file in files.values():
            file.unlink()
        return sizes

    def found(self) -> dict[str, int]:
        """What has come out since the beginning."""
        counts = ("events", "matches", "timeouts", "rows", "late", "errors")
        statuses = [detector.status() for detector in self.detectors.values()]
        return {name: sum(status[name] for status in statuses) for name in counts}


def days_of(week: Week) -> Iterator[Report]:
    """A report after each day."""
    pair, need, last = Pair(), Need(), 0
    with tempfile.TemporaryDirectory() as folder:
        for hour, table in tables(week):
            if hour != last:
                if hour % week.look_every == 0:
                    need.see(pair.need() | pair.saved(folder))
                if hour % HOURS_OF_DAY == 0:
                    yield Report(hour // HOURS_OF_DAY, need.of, pair.found(), peak_mb())
                    need = Need()
                last = hour
            pair.take(table, week)
        need.see(pair.need() | pair.saved(folder))
        yield Report(week.days, need.of, pair.found(), peak_mb())


def peak_mb() -> float:
    """The most memory that this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def grown(second: Report, last: Report, slack: int) -> list[str]:
    """What has grown, a line each. `slack`: bytes or numbers by which a small thing may."""
    return [
        f"{name}: {second.need[name]:,} on day {second.day}, {size:,} on day {last.day}"
        for name, size in last.need.items()
        if size > second.need[name] * FLAT + slack
    ]


def main() -> None:
    """Print a line of JSON for each day; the exit code is 1 where something has grown."""
    options = argparse.ArgumentParser(description=__doc__)
    for name in ("events", "keys", "seed"):
        options.add_argument(f"--{name}", type=int, default=getattr(Week(), name))
    given = options.parse_args()
    reports = []
    for report in days_of(Week(given.events, keys=given.keys, seed=given.seed)):
        line = {"day": report.day, "peak_mb": round(report.peak_mb, 1)}
        print(json.dumps(line | report.found | report.need), flush=True)
        reports.append(report)
    wrong = grown(reports[1], reports[-1], slack=64)
    more_mb = reports[-1].peak_mb - reports[1].peak_mb
    if more_mb > PEAK_GROWTH_MB:
        wrong.append(f"the process has grown by {more_mb:.1f} MB since day 2")
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
