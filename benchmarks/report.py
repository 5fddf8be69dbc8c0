"""Measurements -> a Markdown page, which is also what the terminal shows."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import Measured
from benchmarks.queries import MEANING
from benchmarks.report_table import table

BUSY_LOAD = 1.5

HEAD = """# Benchmarks

Written by `python -m benchmarks --write` on {date}; {machine}; Python {python}, Numba {numba},
NumPy {numpy}, PyArrow {pyarrow}.

Workload: `cep.datasets.benchmark_transactions()`, {rows:,} card transactions of {cards:,} cards
(Zipf's law with exponent 1: the busiest card has 9% of the events) over seven days, amounts
log-normal with 3% below 2. Each line is measured in a process of its own that is pinned to one
core, from an Arrow table in memory to an Arrow table of matches (median of {repeat}). *compile* is
`cep.compile`, *first run* the first `run` on 1,000 events, in which Numba compiles the kernel or
loads it from its cache on disk; neither is part of *seconds*. *peak* is the largest resident set of
the process, *before* what it was with the data loaded and before the first measured run.
"""


def render(
    date: str,
    size: tuple[int, int, int],
    queries: Sequence[Measured],
    many: Sequence[Measured],
    streaming: Sequence[Measured],
    more: Sequence[str] = (),
) -> str:
    """The page. `size` is (rows, cards, repetitions), `date` an ISO date, `more` more sections."""
    rows, cards, repeat = size
    many_events = many[0].events if many else 0
    head = HEAD.format(
        date=date,
        machine=_machine(),
        python=platform.python_version(),
        rows=rows,
        cards=cards,
        repeat=repeat,
        **{name: version(name) for name in ("numba", "numpy", "pyarrow")},
    )
    return "\n".join(
        [
            head + _load_note(),
            "## Single patterns\n",
            _query_table(queries),
            "",
            *(f"- {name}: {meaning}" for name, meaning in MEANING.items()),
            "",
            "The default is `after match skip past last event`; *no skip* reports every",
            "overlapping match. All counts equal those of plain loops (`benchmarks/oracle.py`).\n",
            "## Many patterns at once\n",
            f"The four shapes in turn with other limits, on {many_events:,} events. *alone* is",
            "what the same patterns cost, each in a run of its own. Every pattern finds what it",
            "finds alone (checked on fewer events).\n",
            _many_table(many),
            "",
            "## Streaming from a file\n",
            _streaming_table(streaming),
            "",
            *more,
        ]
    )


def _query_table(measured: Sequence[Measured]) -> str:
    return table(
        [
            "query",
            "million events/s",
            "seconds",
            "matches",
            "compile s",
            "first run s",
            "before MB",
            "peak MB",
        ],
        [
            [
                one.name,
                f"{one.million_per_second:.2f}",
                f"{one.seconds:.3f}",
                f"{one.matches:,}",
                f"{one.compile:.3f}",
                f"{one.warm_up:.2f}",
                f"{one.before_mb:.0f}",
                f"{one.peak_mb:.0f}",
            ]
            for one in measured
        ],
    )


def _many_table(measured: Sequence[Measured]) -> str:
    return table(
        ["patterns", "million events/s", "ns per event and pattern", "alone", "matches", "peak MB"],
        [
            [
                one.name,
                f"{one.million_per_second:.2f}",
                f"{one.nanoseconds:.1f}",
                "" if one.alone is None else f"{one.alone:.1f}",
                f"{one.matches:,}",
                f"{one.peak_mb:.0f}",
            ]
            for one in measured
        ],
    )


def _streaming_table(measured: Sequence[Measured]) -> str:
    return table(
        ["input", "million events/s", "matches", "before MB", "peak MB"],
        [
            [
                one.name,
                f"{one.million_per_second:.2f}",
                f"{one.matches:,}",
                f"{one.before_mb:.0f}",
                f"{one.peak_mb:.0f}",
            ]
            for one in measured
        ],
    )


def _load_note() -> str:
    """Says so where others kept the machine busy; the measurement itself is a load of one."""
    load = os.getloadavg()[1] if hasattr(os, "getloadavg") else 0.0
    if load < BUSY_LOAD:
        return ""
    return (
        f"\nThe machine was busy (load average {load:.1f}): times are longer than on a quiet one.\n"
    )


def _machine() -> str:
    cpu = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = models[0].split(":", 1)[1].strip() if models else cpu
    return f"{os.cpu_count()} cores of {cpu}, {platform.system()}"
