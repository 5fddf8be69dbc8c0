"""Case files -> a report: which cases pass, which fail and why, which wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.checking import problems
from tests.conformance.live_windows import window_problems
from tests.conformance.loading import Case, case_files, load_cases, window_files
from tests.conformance.running import THROUGH_API, Runner


@dataclass(slots=True)
class FileReport:
    """The cases of one file. `failed` and `waiting`: the name of the case -> why."""

    file: str
    passed: list[str] = field(default_factory=list)
    failed: dict[str, list[str]] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)

    @property
    def run(self) -> int:
        return len(self.passed) + len(self.failed)

    def add(self, case: Case, find: Callable[[Case], list[str]]) -> None:
        """Run a case; `find` says what is wrong. An exception is a failure, whatever it is."""
        try:
            found = find(case)
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        if found:
            self.failed[case.name] = found
        else:
            self.passed.append(case.name)

    def __str__(self) -> str:
        text = f"{self.file}: {len(self.passed)} of {self.run}"
        return f"{text}, {len(self.waiting)} waiting" if self.waiting else text


def run_file(path: Path, runner: Runner) -> FileReport:
    """Every pattern case of a file."""
    report = FileReport(path.name)
    for case in load_cases(path):
        reason = runner.waits_for(case)
        if reason is not None:
            report.waiting[case.name] = reason
            continue
        report.add(case, lambda case: problems(case, runner.run(case)))
    return report


def run_windows_file(path: Path) -> FileReport:
    """Every window case of a file, through the public API."""
    report = FileReport(path.name)
    for case in load_cases(path):
        report.add(case, window_problems)
    return report


def run_directory(directory: Path, runner: Runner) -> Iterator[FileReport]:
    """The pattern cases, then the window cases, which the reference matcher does not know."""
    for path in case_files(directory):
        yield run_file(path, runner)
    if runner is THROUGH_API:
        yield from map(run_windows_file, window_files(directory))
