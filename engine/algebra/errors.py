"""Everything raised on purpose, and the problems that compilation collects before it raises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from traceback import FrameSummary, extract_tb, format_exception
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of rule text: 1-based line and column of its first character and past its last."""

    line: int
    column: int
    end_line: int
    end_column: int


Places = tuple[tuple[str, Span], ...]
"""Where a statement names streams and key fields: (name, place), in the order of the text."""


class Located(Protocol):
    """A statement of the rule text."""

    @property
    def span(self) -> Span | None: ...

    @property
    def places(self) -> Places: ...


def place_of(name: str, statement: Located) -> Span | None:
    """Where a statement names this stream or key field; else where it has its own name."""
    return next((span for known, span in statement.places if known == name), statement.span)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong (or doubtful) in a rule, before any event has been read.

    `message` says what is wrong, in lower case, with the value. `hint` says what to do about it.
    `warning` marks what is allowed but probably not meant.
    """

    message: str
    span: Span | None = field(default=None, compare=False)
    hint: str | None = None
    warning: bool = False


class CepError(Exception):
    """The root of everything this package raises on purpose."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback: the way to the call of us, and what is wrong.

        Where a function of the caller's has failed, its own traceback stands before.
        """
        lines = [] if self.__cause__ is None else format_exception(self.__cause__)
        callers = takewhile(lambda frame: not _is_ours(frame), extract_tb(self.__traceback__))
        lines += [text for frame in callers if not _is_shell(frame) for text in _frame_lines(frame)]
        told = [*lines, "", f"{type(self).__name__}: {self}"] if lines else [str(self)]
        return [line for text in told for line in text.splitlines() or [""]]


_OURS = Path(__file__).parents[2]  # the package


def _is_ours(frame: FrameSummary) -> bool:
    return _OURS in Path(frame.filename).parents


def _is_shell(frame: FrameSummary) -> bool:
    return "IPython" in Path(frame.filename).parts


def _frame_lines(frame: FrameSummary) -> Iterator[str]:
    """Where, and the line there. The text of a cell is in no file."""
    where = frame.filename if Path(frame.filename).is_file() else "cell"
    inside = "" if frame.name.startswith("<") else f", in {frame.name}"
    yield f"{where}, line {frame.lineno}{inside}"
    yield f"    {frame.line}"


class RuleError(CepError):
    """Rule text, or a pattern built in Python, that cannot be run.

    `problems` holds every independent mistake found; `source` is the rule text where there is one
    and `name` the file it came from. `str()` prints each problem with its line and a caret.
    """

    def __init__(
        self, problems: Iterable[Problem], source: str | None = None, name: str = "<rules>"
    ) -> None:
        self.problems = tuple(problems)
        self.source = source
        self.name = name
        super().__init__("\n\n".join(render_problem(p, source, name) for p in self.problems))


class DataError(CepError):
    """Data that rules cannot be run on: a missing column, a wrong type, an unreadable file."""


class StateError(CepError):
    """State that cannot be gone on with, because work on some events broke off in the middle."""


def render_problem(problem: Problem, source: str | None, name: str) -> str:
    """The problem as a person reads it: place, message, the source line with a caret, the hint."""
    kind = "warning" if problem.warning else "error"
    lines = [f"{kind}: {problem.message}"]
    if problem.span is not None:
        lines = [f"{name}:{problem.span.line}:{problem.span.column}: {kind}: {problem.message}"]
        if source is not None:
            lines += _caret_lines(source, problem.span)
    if problem.hint:
        lines.append(f"  hint: {problem.hint}")
    return "\n".join(lines)


WIDTH_SHOWN = 120


def _caret_lines(source: str, span: Span) -> list[str]:
    """The source line and a caret line under the culprit; long lines are cut around it."""
    rows = source.splitlines() or [""]
    row = rows[min(span.line, len(rows)) - 1]
    start = span.column - 1
    width = span.end_column - span.column if span.end_line == span.line else len(row) - start
    cut = max(0, start - WIDTH_SHOWN // 2)
    shown = row[cut : cut + WIDTH_SHOWN].replace("\t", " ")
    marks = "^" * max(1, min(width, len(shown) - (start - cut)))
    return [f"  {shown}", f"  {' ' * (start - cut)}{marks}"]
