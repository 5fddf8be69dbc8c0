"""What a run hands back: tables of matches, of timed-out runs and of errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from cep.engine.algebra.errors import DataError
from cep.engine.results import ErrorBatch, Output
from cep.results.attempts import AttemptTable, attempts_of
from cep.results.errors import ErrorRow, ErrorTable
from cep.results.layout import Layout
from cep.results.matches import Match, MatchTable
from cep.results.tables import LateTable, RowTables
from cep.results.values import counted

if TYPE_CHECKING:
    from cep.results.why import Why

MATCHES_COMPUTED = 20_000  # whose select lists are computed to show how a run went

__all__ = [
    "ErrorRow",
    "ErrorTable",
    "LateTable",
    "Match",
    "MatchTable",
    "Result",
    "RowTables",
    "Summary",
]


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of a run. `str()` is text for people."""

    events: int
    seconds: float
    matches: dict[str, int]
    timeouts: int
    errors: int
    notes: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    late: int = 0

    @property
    def pace(self) -> str:
        """How many events in which time."""
        is_timed = self.events > 0 and self.seconds > 0
        rate = f", {self.events / self.seconds:,.0f} events/s" if is_timed else ""
        return f"{counted(self.events, 'event')} in {self.seconds:.2f} s{rate}"

    def __str__(self) -> str:
        lines = [self.pace]
        width = max((len(name) for name in (*self.matches, *self.rows)), default=0)
        for name, size in self.matches.items():
            lines.append(f"  {name:<{width}}  {counted(size, 'match', 'matches')}")
        for name, size in self.rows.items():
            lines.append(f"  {name:<{width}}  {counted(size, 'row')}")
        if self.timeouts:
            lines.append(f"  {counted(self.timeouts, 'timed-out run')}")
        if self.late:
            lines.append(f"  {counted(self.late, 'late event')}")
        if self.errors:
            lines.append(f"  {counted(self.errors, 'event')} with errors")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


class Result:
    """What came out of a run, or of one step of it (`Rules.stream`, `Detector.process`).

    `matches`, `timeouts`, `errors`; `tables`: the rows of aggregates and joins by name; `late`: the
    events that came too late. Iterating goes over the matches. `events` counts the events read,
    those with errors included; `seconds` is wall-clock time.
    """

    def __init__(
        self,
        matches: MatchTable,
        timeouts: MatchTable,
        errors: Sequence[ErrorBatch] = (),
        events: int = 0,
        seconds: float = 0.0,
        notes: Sequence[str] = (),
        tables: RowTables | None = None,
        late: LateTable | None = None,
        attempts: AttemptTable | None = None,
    ) -> None:
        self.matches = matches
        self.timeouts = timeouts
        self.tables = tables if tables is not None else RowTables(())
        self.late = late if late is not None else LateTable()
        self.events = events
        self.seconds = seconds
        self._attempts = attempts
        self._errors = tuple(errors)
        self._notes = tuple(notes)

    def again(self, events: int, seconds: float) -> Result:
        """The same of other events."""
        other = Result.__new__(Result)
        other.__dict__.update(self.__dict__, events=events, seconds=seconds)
        return other

    @cached_property
    def errors(self) -> ErrorTable:
        """Events set aside and conditions that failed; asking also computes the select lists."""
        failed = [*self.matches.select_errors(), *self.timeouts.select_errors()]
        return ErrorTable([*self._errors, *failed])

    def known_errors(self) -> ErrorTable:
        """`errors`, but without those of select lists where matches are very many.

        Unless somebody has asked for `errors` before.
        """
        values = [table for table in (self.matches, self.timeouts) if table.has_values]
        if "errors" in self.__dict__ or sum(map(len, values)) <= MATCHES_COMPUTED:
            return self.errors
        return ErrorTable(self._errors)

    @property
    def notes(self) -> list[str]:
        """What the caller may not expect: the input was sorted, matches are held back."""
        return self._notes_on(self.errors)

    def _notes_on(self, errors: ErrorTable) -> list[str]:
        counted, kept = len(errors), errors.rows_kept
        more = [f"{counted:,} errors, of which {kept:,} are kept"] if kept < counted else []
        if "errors" not in self.__dict__:  # these are but the known ones
            more.append("errors of select lists are not counted here: result.errors counts them")
        return [*self._notes, *more]

    @property
    def attempts(self) -> AttemptTable:
        """What began and became no match. DataError unless the run was made with `trace=True`."""
        if self._attempts is None:
            raise DataError("attempts are told by a traced run only: rules.run(data, trace=True)")
        return self._attempts

    def why(self, match: Match | int) -> Why:
        """Event by event, which variable took it and what held, with which values.

        `match`: one of this result's matches or timed-out runs, or the number of a match.
        """
        return (self.matches[match] if isinstance(match, int) else match).why()

    def __iter__(self) -> Iterator[Match]:
        return iter(self.matches)

    def __len__(self) -> int:
        """The number of matches."""
        return len(self.matches)

    @property
    def is_empty(self) -> bool:
        """Nothing came out: no match, no timed-out run, no row, nothing late, no error."""
        sides: tuple[Sized, ...] = (self.matches, self.timeouts, self.late, self._errors)
        return not any(map(len, sides)) and not any(self.tables.counts().values())

    def __bool__(self) -> bool:
        """A result is something, also without matches."""
        return True

    def summary(self, *, exact: bool = True) -> Summary:
        """The numbers of the run; counting the errors also computes the select lists.

        With `exact` False those of very many matches are not computed, which a note says.
        """
        errors = self.errors if exact else self.known_errors()
        notes = self._notes_on(errors)
        return Summary(
            self.events,
            self.seconds,
            self.matches.counts(),
            len(self.timeouts),
            len(errors),
            tuple(notes),
            self.tables.counts(),
            len(self.late),
        )

    def __repr__(self) -> str:
        return f"<Result: {self.summary(exact=False)}>"

    def _repr_html_(self) -> str:
        from cep.display.results import result_html

        return result_html(self)


def make_result(
    layout: Layout,
    output: Output,
    events: int = 0,
    seconds: float = 0.0,
    notes: Sequence[str] = (),
    *,
    traced: bool = False,
) -> Result:
    """An engine's output as tables. `traced`: it tells of runs that became no match."""
    matches = MatchTable(layout, output.matches)
    timeouts = MatchTable(replace(layout, timeouts=True), output.timeouts)
    return Result(
        matches,
        timeouts,
        output.errors,
        events,
        seconds,
        [*notes, *output.notes],
        RowTables(layout.nodes, output.rows),
        LateTable(output.late),
        attempts_of(layout, output.matches, output.ended) if traced else None,
    )
