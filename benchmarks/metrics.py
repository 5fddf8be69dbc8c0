"""The cost of being scraped, in a process of its own -> a line of JSON.

    python -m benchmarks.metrics '{"rules": "...", "rows": 100000, "cards": 5000, ...}'

The same events go through new detectors, by turns one that a thread of the process scrapes every
second and one that nobody does. Times are CPU seconds of the process, which has one core, those
between scrapes too: how much of the core others take makes no difference.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Event
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

import cep
from benchmarks.beside import beside
from cep.observability.prometheus import DetectorCollector

Numbers = dict[str, Any]
EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """What is done again and again. `batch`: events per call, None: they come one by one."""

    rules: cep.Rules
    calls: Sequence[Any]
    batch: int | None

    @property
    def events(self) -> int:
        return sum(1 if self.batch is None else len(call) for call in self.calls)

    def run(self, scrapes: list[float] | None, first_s: float = 0.0) -> tuple[float, bool]:
        """(seconds, whether the metrics are right).

        `scrapes`: where to put how long each took, the first after `first_s`; None: there is none.
        """
        with cep.Detector(self.rules) as detector:
            registry = CollectorRegistry()
            registry.register(DetectorCollector(detector))
            take = detector.process if self.batch is None else detector.process_batch
            with nullcontext() if scrapes is None else _scraped(registry, scrapes, first_s):
                begun = time.process_time()
                matches = sum(len(take(call)) for call in self.calls)
                seconds = time.process_time() - begun
            told = [registry.get_sample_value(f"cep_{n}_total") for n in ("events", "matches")]
            return seconds, told == [self.events, matches]

    def lasting(self, seconds: float) -> Work:
        """As much of it as takes so long, if there is so much."""
        few = Work(self.rules, self.calls[: max(len(self.calls) // 20, 1)], self.batch)
        few.run(None)  # loads the kernels
        per_call = few.run(None)[0] / len(few.calls)
        return Work(self.rules, self.calls[: max(int(seconds / per_call), 1)], self.batch)


def _scraped(
    registry: CollectorRegistry, seconds: list[float], first_s: float
) -> AbstractContextManager[None]:
    """When the process has worked for `first_s`, and after every second more."""

    def scrape(stopping: Event) -> None:
        due = time.process_time() + first_s
        while not stopping.is_set():
            if time.process_time() >= due:
                due += EVERY_S
                begun = time.thread_time()
                generate_latest(registry)
                seconds.append(time.thread_time() - begun)
            stopping.wait(first_s / 10)

    return beside(scrape)


def main(
    rules: str, rows: int, cards: int, batch: int | None, seconds: float, pairs: int
) -> Numbers:
    """Pairs of runs, each of `seconds` where there are rows enough for that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from cep.datasets import benchmark_transactions

    table = benchmark_transactions(rows, cards)
    calls: Sequence[Any] = (
        table.to_pylist()
        if batch is None
        else [table.slice(begin, batch) for begin in range(0, rows, batch)]
    )
    work = Work(cep.compile(rules), calls, batch).lasting(seconds)
    plain, ratios, scrapes, right = list[float](), list[float](), list[float](), True
    for number in range(pairs):
        spent = {}
        for is_scraped in (number % 2 == 0, number % 2 == 1):  # each goes first as often
            spent[is_scraped], told = work.run(scrapes if is_scraped else None, seconds / 2)
            right = right and told
        plain.append(spent[False])
        ratios.append(spent[True] / spent[False])
    return {
        "events": work.events,
        "seconds": statistics.median(plain),
        "ratio": statistics.median(ratios),
        "scrape": statistics.median(scrapes) if scrapes else 0.0,  # quick ones end before the first
        "right": right,
    }


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(json.dumps(main(**json.loads(argument))))
