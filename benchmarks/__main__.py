"""`python -m benchmarks` -> the table of docs/benchmarks.md, measured here and now."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    measure,
    measure_latency,
    measure_metrics,
    measure_service,
    measure_stateful,
    report_stateful,
)
from benchmarks.process import WrongOutputError
from benchmarks.report import render

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
WHOLE = {
    "queries": measure.measure_queries,
    "many": measure.measure_many,
    "streaming": measure.measure_streaming,
}
STATEFUL: dict[str, Callable[..., Sequence[Any]]] = {
    "live": measure_stateful.measure_live,
    "windows": measure_stateful.measure_windows,
    "workers": measure_stateful.measure_workers,
    "bounded": measure_stateful.measure_bounded,
    "checkpoint": measure_stateful.measure_checkpoint,
    "first": measure_stateful.measure_first,
    "latency": measure_latency.measure_latency,
    "metrics": measure_metrics.measure_metrics,
    "serve": measure_service.measure_service,
}
PARTS = [*WHOLE, *STATEFUL]


def main() -> int:
    """Measure and print; the exit code is 1 if an output is wrong."""
    given = _arguments()
    size = measure.QUICK if given.quick else measure.Size()
    state = measure_stateful.QUICK_STATE if given.quick else measure_stateful.StateSize()
    wanted = PARTS if given.only is None else [given.only]
    try:
        queries, many, streaming = (
            of(size, _progress) if name in wanted else [] for name, of in WHOLE.items()
        )
        found = {name: of(state, _progress) for name, of in STATEFUL.items() if name in wanted}
    except WrongOutputError as error:
        print(f"wrong output: {error}", file=sys.stderr)
        return 1
    date = datetime.now(UTC).date().isoformat()
    sections = _sections(state, found)
    sizes = size.rows, size.cards, size.repeat
    page = render(date, sizes, queries, many, streaming, sections)
    print(page if given.only not in STATEFUL else "\n".join(sections))
    if given.write:
        PAGE.write_text(page)
    return 0


def _sections(size: measure_stateful.StateSize, found: dict[str, Sequence[Any]]) -> list[str]:
    """Those of the parts that were measured."""
    render_part: dict[str, Callable[[Sequence[Any]], str]] = {
        "live": report_stateful.live_section,
        "windows": lambda made: report_stateful.windows_section(made, size),
        "workers": lambda made: report_stateful.workers_section(made, os.cpu_count() or 1),
        "bounded": lambda made: report_stateful.bounded_section(made, size),
        "checkpoint": lambda made: report_stateful.checkpoint_section(made, size),
        "first": report_stateful.first_section,
        "latency": measure_latency.latency_section,
        "metrics": measure_metrics.metrics_section,
        "serve": measure_service.service_section,
    }
    return [render_part[name](made) for name, made in found.items()]


def _progress(what: str) -> None:
    print(f"measuring {what} ...", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, for the checks only")
    parser.add_argument("--write", action="store_true", help="replace docs/benchmarks.md")
    parser.add_argument("--only", choices=sorted(PARTS), help="one part of the measurements")
    given = parser.parse_args()
    if given.write and (given.quick or given.only):
        parser.error("--write needs the full measurement")
    return given


if __name__ == "__main__":
    sys.exit(main())
