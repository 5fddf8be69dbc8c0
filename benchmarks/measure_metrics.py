"""The measurements of what metrics cost, and their section of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.measure_stateful import StateSize
from benchmarks.process import WrongOutputError, measured
from benchmarks.queries import many_rules, rules
from benchmarks.report_table import table

WORKER = "benchmarks.metrics"
BATCH = 1_000
MANY = 200
SECONDS, QUICK_SECONDS = 1.0, 0.05
PAIRS, QUICK_PAIRS = 21, 2

TEXT = f"""## Metrics

The same events through a detector that Prometheus scrapes once a second, and through one that
nobody scrapes, by turns in one process on one core: CPU seconds, the median of the ratios of
{PAIRS} pairs of runs of about a second. Scrapes come from another thread, as from a web server.
What a detector counts, it counts in both: some 0.3 microseconds a call. Counts that are scraped
equal what was put in and what came out.
"""


@dataclass(frozen=True, slots=True)
class Metrics:
    """`seconds`: of a run without scrapes; `ratio`: of one with them by it; `scrape`: of one."""

    name: str
    events: int
    seconds: float
    ratio: float
    scrape: float


def measure_metrics(size: StateSize, say: Callable[[str], None]) -> list[Metrics]:
    """Single events and batches, with one pattern and with many. Raises WrongOutputError."""
    is_quick = size.together
    jobs = {
        "single events, Q1": (rules("Q1"), None),
        f"batches of {BATCH:,}, Q1": (rules("Q1"), BATCH),
        f"batches of {BATCH:,}, {MANY} patterns": (many_rules(MANY), BATCH),
    }
    found = []
    for name, (text, batch) in jobs.items():
        say(f"metrics, {name}")
        job = {
            "rules": text,
            "rows": size.rows if batch else size.rows // 10,
            "cards": size.keys,
            "batch": batch,
            "seconds": QUICK_SECONDS if is_quick else SECONDS,
            "pairs": QUICK_PAIRS if is_quick else PAIRS,
        }
        (numbers,) = measured(WORKER, [job])
        if not numbers.pop("right"):
            raise WrongOutputError(f"{name}: other events or matches were scraped than there were")
        found.append(Metrics(name, **numbers))
    return found


def metrics_section(found: Sequence[Metrics]) -> str:
    """As Markdown."""
    header = ["work", "events/s", "cost of scrapes", "a scrape ms"]
    rows = [
        [
            one.name,
            f"{one.events / one.seconds:,.0f}",
            f"{100 * (one.ratio - 1):.1f}%",
            f"{1000 * one.scrape:.1f}",
        ]
        for one in found
    ]
    return f"{TEXT}\n{table(header, rows)}\n"
