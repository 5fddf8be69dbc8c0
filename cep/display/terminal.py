"""Results -> what a person reads on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cep.display.matches import taken_text
from cep.display.tables import REASONS_SHOWN, reason_text
from cep.progress import COMPILING
from cep.results.result import Match, Result
from cep.results.values import as_cell, counted

Reason = tuple[str, str | None, str | None]


@dataclass(slots=True)
class Tally:
    """The numbers of a run that is read result by result, and its first matches."""

    limit: int
    events: int = 0
    seconds: float = 0.0
    timeouts: int = 0
    matches: Counter[str] = field(default_factory=Counter)
    errors: Counter[Reason] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    first: list[Match] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    first_rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        self.events += result.events
        self.seconds += result.seconds
        self.timeouts += len(result.timeouts)
        for name, size in result.matches.counts().items():
            self.matches[name] += size
        self.errors.update(result.errors.counts())
        self.notes += result.notes
        self.first += result.matches[: max(0, self.limit - len(self.first))]
        for name, size in result.tables.counts().items():
            self.rows[name] += size
            held = self.first_rows.setdefault(name, [])
            if size and len(held) < self.limit:
                held += result.tables[name].slice(0, self.limit - len(held)).to_pylist()


class Bar:
    """Says how far a run has come; without a `progress` nobody watches, and it is silent."""

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress
        if progress is not None:
            self._task = progress.add_task("events", total=None)

    def __call__(self, done: int, total: int | None) -> None:
        self._show(description="events", completed=done, total=total)

    def compiling(self) -> None:
        self._show(description=COMPILING)

    def _show(self, **what: Any) -> None:
        if self._progress is not None:
            self._progress.update(self._task, refresh=True, **what)


@contextmanager
def progress_bar(console: Console) -> Iterator[Bar]:
    """What a run may take for `progress`; silent where nobody watches."""
    if not console.is_terminal:
        yield Bar()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        yield Bar(progress)


def show_matches(console: Console, matches: list[Match]) -> None:
    """A table per pattern."""
    by_pattern: dict[str, list[Match]] = {}
    for match in matches:
        by_pattern.setdefault(match.pattern, []).append(match)
    for name, found in by_pattern.items():
        console.print(_table(name, found))


def _table(name: str, matches: list[Match]) -> Table:
    table = Table(title=name, title_justify="left", title_style="bold")
    has_key = any(match.key is not None for match in matches)
    for column in (["key"] if has_key else []) + ["start", "end", *matches[0].values]:
        table.add_column(column, overflow="fold")
    if not matches[0].values:
        table.add_column("events")
    for match in matches:
        cells = [match.key] if has_key else []
        cells += [match.start, match.end, *match.values.values()]
        if not match.values:
            cells.append(taken_text(match))
        table.add_row(*(Text(as_cell(cell)) for cell in cells))
    return table


def show_rows(console: Console, rows: dict[str, list[dict[str, Any]]]) -> None:
    """A table per aggregate and join."""
    for name, found in rows.items():
        if not found:
            continue
        table = Table(title=name, title_justify="left", title_style="bold")
        for column in found[0]:
            table.add_column(column, overflow="fold")
        for row in found:
            table.add_row(*(Text(as_cell(value)) for value in row.values()))
        console.print(table)


def show_summary(console: Console, tally: Tally) -> None:
    """Counts of everything that was read and found."""
    rate = f", {tally.events / tally.seconds:,.0f} events/s" if tally.seconds > 0 else ""
    total = sum(tally.matches.values())
    say = console.print
    say(Text(f"{counted(tally.events, 'event')} in {tally.seconds:.2f} s{rate}"))
    say(Text(counted(total, "match", "matches"), style="bold"))
    width = max((len(name) for name in (*tally.matches, *tally.rows)), default=0)
    for name, size in tally.matches.items():
        say(Text(f"  {name:<{width}}  {size:,}"))
    if tally.rows:
        say(Text(counted(sum(tally.rows.values()), "row"), style="bold"))
        for name, size in tally.rows.items():
            say(Text(f"  {name:<{width}}  {size:,}"))
    if tally.timeouts:
        say(Text(counted(tally.timeouts, "timed-out run")))
    if tally.errors:
        say(Text(counted(sum(tally.errors.values()), "event") + " with errors", style="yellow"))
        for reason, size in tally.errors.most_common(REASONS_SHOWN):
            say(Text(f"  {size:,} x {reason_text(reason)}"))
    for note in tally.notes:
        say(Text(f"note: {note}"))
