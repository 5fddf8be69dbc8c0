"""What `why_not` says: near misses as objects, as text, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import pyarrow as pa

from cep.results.tabular import Tabular
from cep.results.values import as_cell, as_written
from cep.results.why import Reason, Taken, taken_lines

LINES_SHOWN = 10
_TYPES: dict[str, pa.DataType] = {
    "pattern": pa.string(),
    "key": pa.string(),
    "start": pa.timestamp("us"),
    "end": pa.timestamp("us"),
    "taken": pa.int64(),
    "missing": pa.int64(),
    "needed": pa.string(),
    "ended": pa.string(),
    "nearest": pa.timestamp("us"),
    "unmet": pa.string(),
    "is_enough": pa.bool_(),
}
SCHEMA = pa.schema(_TYPES)


@dataclass(frozen=True, slots=True)
class Nearest:
    """The event that came nearest to being taken next, by which variable, and what it did not meet.

    `time` is when it came, `event` its fields.
    """

    time: datetime
    event: Mapping[str, Any]
    variable: str
    unmet: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What would have helped. `kind`: meet, add, without, longer or no skip; `text` is a sentence.

    `is_enough`: tried on the same events, it makes a match that begins like the attempt. Else
    `then` names the events that would still be missing, where it is known, and `helps_another` says
    that another attempt becomes a match, which may drop this one. `within`: how far the pattern
    would have to reach (exclusive), for a longer one.
    """

    kind: str
    text: str
    is_enough: bool
    then: tuple[str, ...]
    within: timedelta | None = None
    helps_another: bool = False

    @property
    def outcome(self) -> str:
        """What came of it, in words."""
        if self.is_enough:
            return "a match"
        if not self.then:
            return "another attempt matches instead" if self.helps_another else "no match either"
        several = [(name, len(list(group))) for name, group in groupby(self.then)]
        return f"still missing {', '.join(n if c == 1 else f'{c} x {n}' for n, c in several)}"

    def __str__(self) -> str:
        return f"{self.text}: {self.outcome}"


@dataclass(frozen=True, slots=True)
class NearMiss:
    """An attempt that became no match: how far it came, what it lacked, what ended it.

    `missing`: how many events more it needed at least, `needed` those, with their conditions.
    `fate`: time, negation, unless, not_next, skip or open; None where nothing began. `ended` says
    it as a sentence, `ended_by` is the event that did it. Without `taken` events no event began the
    pattern; `start` is None then.
    """

    pattern: str
    key: Any
    start: datetime | None
    end: datetime | None
    taken: tuple[Taken, ...]
    missing: int
    needed: tuple[str, ...]
    fate: str | None
    ended: str
    ended_by: Mapping[str, Any] | None
    nearest: Nearest | None
    suggestions: tuple[Suggestion, ...]

    @property
    def title(self) -> str:
        """How far it came, in a line."""
        key = "" if self.key is None else f", key {as_written(self.key)}"
        total = len(self.taken) + self.missing
        return f"{self.pattern}{key}: {len(self.taken)} of {total} events"

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self.title
        lines = list(taken_lines(self.taken))
        hidden = len(lines) - LINES_SHOWN
        if hidden > 1:
            lines[LINES_SHOWN // 2 : -(LINES_SHOWN // 2)] = [f"  ... {hidden} lines more"]
        yield from lines
        if self.needed:
            yield f"  still needed: {', then '.join(self.needed)}"
        if self.nearest is not None:
            yield f"  came nearest: {_nearest(self.nearest)}"
        yield f"  ended: {self.ended}"
        yield from (f"  {suggestion}" for suggestion in self.suggestions)

    def __repr__(self) -> str:
        return f"<NearMiss: {self}>"

    def _repr_html_(self) -> str:
        from cep.display.near_misses import near_miss_html

        return near_miss_html(self)


def _nearest(nearest: Nearest) -> str:
    unmet = "; ".join(map(str, nearest.unmet)) or "it meets all that is asked"
    return f"{as_cell(nearest.time)} as {nearest.variable}: {unmet}"


@dataclass(frozen=True, slots=True)
class WhyNot(Tabular):
    """Near misses, the nearest first. `str()` is text for people, `to_arrow()` a row for each.

    `notes`: what was looked at, in words.
    """

    near_misses: tuple[NearMiss, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.near_misses)

    def __getitem__(self, index: int) -> NearMiss:
        return self.near_misses[index]

    def __iter__(self) -> Iterator[NearMiss]:
        return iter(self.near_misses)

    def __str__(self) -> str:
        parts = [*map(str, self.near_misses), *self.notes]
        return "\n\n".join(parts) or "no near miss"

    def __repr__(self) -> str:
        return f"<WhyNot: {self}>"

    def _repr_html_(self) -> str:
        from cep.display.near_misses import why_not_html

        return why_not_html(self)

    def to_arrow(self) -> pa.Table:
        """A row for each near miss, as in a ranking."""
        return pa.Table.from_pylist([_row(miss) for miss in self.near_misses], SCHEMA)


def _row(miss: NearMiss) -> dict[str, Any]:
    nearest = miss.nearest
    return {
        "pattern": miss.pattern,
        "key": None if miss.key is None else as_written(miss.key),
        "start": _plain(miss.start),
        "end": _plain(miss.end),
        "taken": len(miss.taken),
        "missing": miss.missing,
        "needed": ", then ".join(miss.needed),
        "ended": miss.ended,
        "nearest": None if nearest is None else _plain(nearest.time),
        "unmet": None if nearest is None else "; ".join(map(str, nearest.unmet)),
        "is_enough": any(each.is_enough for each in miss.suggestions),
    }


def _plain(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(tzinfo=None)
