"""How far a run has come, and what is said while kernels are compiled."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest
import tqdm.auto
from numba.core import event
from rich.console import Console

import cep
from cep.display.terminal import progress_bar
from cep.progress import Progress, followed, say_compiling

PAIRS = "pattern p match a -> b within 1 hour define a as x = 1, b as x = 2"
ROWS = [{"ts": f"2025-01-01 00:00:0{n}", "x": x} for n, x in enumerate([1, 2, 3])]


class FakeBar:
    """What the run does to its bar."""

    def __init__(self, **options: Any) -> None:
        self.n = 0
        self.total: int | None = None
        self.said: list[str] = [options["desc"]]
        self.is_closed = False

    def set_description(self, text: str, *, refresh: bool = True) -> None:
        self.said.append(text)

    def update(self, rows: int) -> None:
        self.n += rows

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[FakeBar]:
    made: list[FakeBar] = []

    def make(**options: Any) -> FakeBar:
        made.append(FakeBar(**options))
        return made[-1]

    monkeypatch.setattr(tqdm.auto, "tqdm", make)
    return made


def compile_something() -> None:
    """What Numba says when it compiles, and what the functions say that are called by it."""
    with (
        event.trigger_event("numba:compile", data={}),
        event.trigger_event("numba:compile", data={}),
    ):
        pass


def test_a_bar_counts_the_events_of_all(bars: list[FakeBar]) -> None:
    assert len(cep.compile(PAIRS).run(ROWS, progress=True)) == 1
    (bar,) = bars
    assert (bar.n, bar.total, bar.is_closed) == (3, 3, True)


def test_a_bar_is_closed_when_the_run_fails(bars: list[FakeBar]) -> None:
    with pytest.raises(cep.DataError):
        cep.compile(PAIRS).run([{"no time": 1}], progress=True)
    assert bars[0].is_closed


def test_a_bar_of_a_stream_is_closed_when_nobody_reads_on(bars: list[FakeBar]) -> None:
    parts: Any = cep.compile(PAIRS).stream(ROWS, progress=True)
    next(parts)
    parts.close()
    assert bars[0].is_closed


def test_a_bar_says_that_kernels_are_compiled(bars: list[FakeBar]) -> None:
    with followed(True) as tell:
        assert tell is not None
        compile_something()
        tell(2, None)
    assert bars[0].said == ["events", "compiling kernels, once", "events"]


def test_without_a_bar_no_progress_is_told() -> None:
    for off in (None, False):
        with followed(off) as tell:
            assert tell is None


def test_a_missing_tqdm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"needs tqdm: pip install 'cep\[notebook\]'"):
        cep.compile(PAIRS).run(ROWS, progress=True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (Terminal, "cep: compiling kernels, once: this takes some 10 s\n"),
        (io.StringIO, ""),
    ],
)
def test_where_a_person_reads_it_a_line_says_once_that_kernels_are_compiled(
    stream: Callable[[], io.StringIO], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = stream()
    monkeypatch.setattr(sys, "stderr", written)
    seen: list[int] = []

    def tell(done: int, total: int | None) -> None:
        seen.append(done)

    with followed(tell):
        compile_something()
        compile_something()
    assert written.getvalue() == said


def test_what_is_compiled_elsewhere_is_not_told() -> None:
    told: list[str] = []

    class Watcher:
        def __call__(self, done: int, total: int | None) -> None: ...

        def compiling(self) -> None:
            told.append("compiling")

    with followed(Watcher()):
        compile_something()
    compile_something()
    assert told == ["compiling"]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_bar_of_the_command_line_says_it_too(is_terminal: bool) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=is_terminal, width=80)
    with progress_bar(console) as bar:
        shown: Progress = bar
        with followed(shown):
            compile_something()
        said = written.getvalue()
        bar(1, 3)
    assert ("compiling kernels, once" in said) is is_terminal
    assert ("1/3" in written.getvalue()) is is_terminal


def test_a_detector_says_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    detector = cep.Detector(PAIRS)
    detector.process(ROWS[0])
    running: Any = detector._running
    for way in ("process", "process_one"):
        monkeypatch.setattr(type(running.execution.runtime), way, _compiles)
    detector.process(ROWS[1])
    assert "compiling kernels, once" in written.getvalue()


def _compiles(*_: object) -> Any:
    from cep.engine.results import Output

    compile_something()
    return Output()


def test_nothing_is_said_where_nobody_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    say_compiling()
    assert capsys.readouterr().err == ""
