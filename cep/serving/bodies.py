"""The events of one body, taken in parts, so that others get their turn between two of them.

body ─► read ─► [ part | part | part ] ─► answer       what all parts together have led to
                    ▲      ▲      ▲
                 one step each; single events come between
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.serving.answers import Answer, Outcome, body_of, together
from cep.serving.identity import Identified
from cep.serving.lines import Lines
from cep.serving.remembered import Kept

PART_ROWS = 5_000  # some ten milliseconds of simple rules


@dataclass(frozen=True, slots=True)
class Source:
    """A stream as bodies name it. `read`: its declared fields and the id, empty: all fields."""

    name: str
    read: Mapping[str, DataType]
    has_id: bool  # the id is a field of the stream itself


@dataclass(slots=True)
class Body:
    """What a body brings, how far it has been taken and what came of that.

    Until the last part is taken no rules may change, for it was read by them.
    """

    source: Source
    lines: Lines
    begin: int = 0  # the row at which the next part begins
    events: int = 0
    duplicates: int = 0
    answers: list[Answer] = field(default_factory=list)
    all_kept: bool = True
    seen: dict[int, Kept] = field(default_factory=dict)  # whose answers are in `answers`

    @property
    def has_begun(self) -> bool:
        return self.begin > 0

    @property
    def has_more(self) -> bool:
        return self.begin < self.lines.table.num_rows

    def part(self) -> Lines:
        """The events of the next part."""
        return self.lines.part(self.begin, self.begin + PART_ROWS)

    def took(self, part: Lines, new: Identified, outcome: Outcome, kept: Kept | None) -> None:
        """Go on behind a part. `kept`: what is remembered of its new events."""
        self.begin += part.table.num_rows
        self.events += new.table.num_rows
        self.duplicates += new.duplicates
        self.lines.add_broken(part)
        for repeated in new.repeated:
            self._repeat(repeated)
        self.answers.append(outcome.answer)
        if kept is not None:
            self.seen[id(kept)] = kept

    def _repeat(self, kept: Kept) -> None:
        if id(kept) in self.seen:
            return
        self.seen[id(kept)] = kept
        if kept.answer is None:
            self.all_kept = False
        else:
            self.answers.append(kept.answer)

    def cut_short(self, error: DataError) -> DataError:
        """What to raise where a part is refused."""
        if not self.has_begun:
            return error
        line = int(self.lines.numbers[self.begin - 1])
        return DataError(f"{error}; the events up to line {line:,} were taken, those behind not")

    def answer(self) -> bytes:
        """The JSON that is sent. Raises DataError where none of the lines was an event."""
        if not self.events and not self.duplicates:
            raise self.lines.refuse_all()
        return body_of(
            together(self.answers),
            events=self.events,
            duplicates=self.duplicates,
            answer_kept=self.all_kept,
            broken=self.lines.broken,
            broken_count=self.lines.broken_count,
        )
