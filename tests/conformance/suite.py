"""Case files -> a report: which cases pass, which fail and why, which wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.checking import problems
from tests.conformance.loading import case_files, load_cases
from tests.conformance.running import Runner


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

    def __str__(self) -> str:
        text = f"{self.file}: {len(self.passed)} of {self.run}"
        return f"{text}, {len(self.waiting)} waiting" if self.waiting else text


def run_file(path: Path, runner: Runner) -> FileReport:
    """Every case of a file. An exception is a failure, whatever it is."""
    report = FileReport(path.name)
    for case in load_cases(path):
        reason = runner.waits_for(case)
        if reason is not None:
            report.waiting[case.name] = reason
            continue
        try:
            found = problems(case, runner.run(case))
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        if found:
            report.failed[case.name] = found
        else:
            report.passed.append(case.name)
    return report


def run_directory(directory: Path, runner: Runner) -> Iterator[FileReport]:
    for path in case_files(directory):
        yield run_file(path, runner)
