"""`python -m tests.conformance [DIR]`: run every case of a directory; exit 1 if any fails.

Prints `FILE: N of M` per file with the names of what fails, then the cases that need more than a
bounded run over sorted events: they wait, and are not counted.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.conformance.live_windows import render_window
from tests.conformance.loading import case_files, load_cases, window_files
from tests.conformance.rendering import render
from tests.conformance.running import BY_REFERENCE, THROUGH_API
from tests.conformance.suite import FileReport, run_directory

OWN_CASES = Path(__file__).parent / "cases"


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    directory = Path(options.directory)
    if not directory.is_dir():
        print(f"{directory} is not a directory", file=sys.stderr)
        return 2
    if options.show is not None:
        return _show(directory, options.show)
    begun = time.perf_counter()
    runner = BY_REFERENCE if options.reference else THROUGH_API
    reports = []
    for report in run_directory(directory, runner):
        reports.append(report)
        _print_report(report, verbose=options.verbose)
    _print_waiting(reports)
    passed, run = sum(len(r.passed) for r in reports), sum(r.run for r in reports)
    print(f"all: {passed} of {run} in {time.perf_counter() - begun:.0f} s")
    if run == 0:
        print(f"no cases in {directory}", file=sys.stderr)
        return 2
    return 0 if passed == run else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("directory", nargs="?", default=OWN_CASES, help="default: our own copy")
    parser.add_argument("-v", "--verbose", action="store_true", help="say why a case fails")
    parser.add_argument(
        "--reference", action="store_true", help="run the reference matcher, not the engine"
    )
    parser.add_argument("--show", metavar="NAME", help="print the rule text of a case, run nothing")
    return parser


def _show(directory: Path, name: str) -> int:
    files = [(path, render) for path in case_files(directory)]
    files += [(path, render_window) for path in window_files(directory)]
    texts = [
        printed(case) for path, printed in files for case in load_cases(path) if case.name == name
    ]
    print("\n\n".join(texts) if texts else f"no case {name!r} in {directory}")
    return 0 if texts else 2


def _print_report(report: FileReport, *, verbose: bool) -> None:
    print(report, flush=True)
    for name, reasons in report.failed.items():
        print(f"  {name}")
        if verbose:
            for reason in reasons:
                print("    " + reason.replace("\n", "\n    "))


def _print_waiting(reports: list[FileReport]) -> None:
    waiting = [(name, why) for report in reports for name, why in report.waiting.items()]
    if waiting:
        print(f"waiting, not counted: {len(waiting)}")
        for name, why in waiting:
            print(f"  {name}: {why}")


if __name__ == "__main__":
    sys.exit(main())
