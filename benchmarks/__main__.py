"""`python -m benchmarks` -> the table of docs/benchmarks.md, measured here and now."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import (
    QUICK,
    Measured,
    Size,
    WrongOutputError,
    measure_many,
    measure_queries,
    measure_streaming,
)
from benchmarks.report import render

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
PARTS = {"queries": measure_queries, "many": measure_many, "streaming": measure_streaming}


def main() -> int:
    """Measure and print; the exit code is 1 if a count of matches is wrong."""
    given = _arguments()
    size = QUICK if given.quick else Size()
    measured: dict[str, list[Measured]] = {}
    try:
        for name, measure in PARTS.items():
            wanted = given.only in (None, name)
            measured[name] = measure(size, _progress) if wanted else []
    except WrongOutputError as error:
        print(f"wrong output: {error}", file=sys.stderr)
        return 1
    date = datetime.now(UTC).date().isoformat()
    page = render(date, (size.rows, size.cards, size.repeat), *measured.values())
    print(page)
    if given.write:
        PAGE.write_text(page)
    return 0


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
