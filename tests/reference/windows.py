"""Windows the plain way: every window keeps a list of its events, every firing reads all of it.

`Arrival`s come one by one, with the watermark that has been reached before them; what fires comes
out as `Row`s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cep.engine.algebra.plan import Window, WindowKind

END_OF_TIME = 2**63 - 1
BEHIND_EVENTS = 2**62


@dataclass(frozen=True, slots=True)
class Arrival:
    """`late`: it comes behind the watermark, which stands at `watermark_us`."""

    sequence: int
    key: int
    time_us: int
    values: Any
    late: bool = False
    watermark_us: int = -(2**63)
    gap_us: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    time_us: int
    position: int
    key: int
    start: int
    end: int
    update: int
    events: tuple[Arrival, ...]  # in order of (time, sequence)


@dataclass(slots=True)
class Pot:
    """The events of one window. `first`: lowest sequence ever; `fired`: so often."""

    start: int
    end: int
    events: list[Arrival] = field(default_factory=list)
    first: int = END_OF_TIME
    fired: int = 0
    changed: bool = False  # since the last early result
    pending: bool = True  # sessions: not fired since it changed

    def put(self, arrival: Arrival) -> None:
        self.events.append(arrival)
        self.first = min(self.first, arrival.sequence)
        self.changed = self.pending = True

    def ordered(self) -> tuple[Arrival, ...]:
        return tuple(sorted(self.events, key=lambda a: (a.time_us, a.sequence)))


@dataclass(slots=True)
class ReferenceWindows:
    window: Window
    lateness_us: int = 0
    discarding: bool = False
    early_us: int | None = None
    count_fills: bool = True
    watermark_us: int = -(2**63)
    rows: list[Row] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    pots: dict[int, list[Pot]] = field(default_factory=dict)
    seen: dict[int, list[Arrival]] = field(default_factory=dict)
    early_to_us: int | None = None

    def run(self, arrivals: Sequence[Arrival]) -> list[Row]:
        for arrival in arrivals:
            self.add(arrival)
        self.advance(END_OF_TIME)
        return self.rows

    def add(self, arrival: Arrival) -> None:
        if self.window.kind is WindowKind.COUNT:
            self._count(arrival)
            return
        self.advance(arrival.watermark_us)
        if not arrival.late:
            self._pass_multiples(arrival.time_us)
        if self.window.kind is WindowKind.SESSION:
            self._join(arrival)
        else:
            self._put(arrival)

    # ---- windows aligned to time

    def spans(self, time_us: int) -> Iterator[tuple[int, int]]:
        """The windows that a time lies in."""
        size, offset = self.window.size_us or 0, self.window.offset_us
        slide = self.window.slide_us or size
        if self.window.kind is WindowKind.CUMULATING:
            start = (time_us - offset) // size * size + offset
            for end in range(start + slide, start + size + 1, slide):
                if end > time_us:
                    yield start, end
            return
        start = (time_us - offset) // slide * slide + offset
        while start + size > time_us:
            yield start, start + size
            start -= slide

    def _put(self, arrival: Arrival) -> None:
        spans = sorted(self.spans(arrival.time_us), key=lambda span: span[1])
        taken = False
        for start, end in spans:
            if arrival.late and end - 1 + self.lateness_us <= self.watermark_us:
                continue
            taken = True
            pot = self._pot(arrival.key, start, end)
            pot.put(arrival)
            if arrival.late and end - 1 <= self.watermark_us:
                self._fire(arrival.key, pot, end - 1, pot.fired)
        if spans and not taken:
            self.late.append(arrival.sequence)

    def _pot(self, key: int, start: int, end: int) -> Pot:
        pots = self.pots.setdefault(key, [])
        for pot in pots:
            if (pot.start, pot.end) == (start, end):
                return pot
        pots.append(Pot(start, end))
        return pots[-1]

    # ---- sessions

    def _join(self, arrival: Arrival) -> None:
        start, end = arrival.time_us, min(arrival.time_us + arrival.gap_us, END_OF_TIME)
        pots = self.pots.setdefault(arrival.key, [])
        touched = [pot for pot in pots if pot.start <= end and start <= pot.end]
        if not touched and arrival.late and end + self.lateness_us <= self.watermark_us:
            self.late.append(arrival.sequence)
            return
        merged = Pot(start, end)
        for pot in touched:
            merged.start, merged.end = min(merged.start, pot.start), max(merged.end, pot.end)
            merged.events += pot.events
            merged.first = min(merged.first, pot.first)
            merged.fired = max(merged.fired, pot.fired)
        merged.put(arrival)
        self.pots[arrival.key] = [pot for pot in pots if pot not in touched] + [merged]
        if arrival.late and merged.end <= self.watermark_us:
            self._fire(arrival.key, merged, merged.end, merged.fired)

    # ---- windows by count

    def _count(self, arrival: Arrival) -> None:
        seen = self.seen.setdefault(arrival.key, [])
        seen.append(arrival)
        size = self.window.size_events or 0
        slide = self.window.slide_events or size
        count = len(seen)
        if self.count_fills:
            start = count - size
            fires = start >= 0 and start % slide == 0
        else:
            start = max(0, count - size)
            fires = count % slide == 0
        if fires:
            begin = start if self.count_fills else count - size
            events = tuple(sorted(seen[start:], key=lambda a: (a.time_us, a.sequence)))
            assert start == max(0, begin)
            row = (arrival.time_us, arrival.sequence, arrival.key, start, count, 0, events)
            self.rows.append(Row(*row))

    # ---- time

    def advance(self, watermark_us: int) -> None:
        if watermark_us <= self.watermark_us or self.window.kind is WindowKind.COUNT:
            return
        if self.early_us is not None and self.early_to_us is None:
            self.early_to_us = (watermark_us + 1) // self.early_us * self.early_us
        if self.early_us is not None and self.early_to_us is not None:
            multiple = self.early_to_us + self.early_us
            if multiple <= watermark_us + 1:
                if any(pot.changed for _, pot in self._all()):
                    self._end(multiple - 1)
                    self._early(multiple - 1)
                self.early_to_us = (watermark_us + 1) // self.early_us * self.early_us
        self._end(watermark_us)

    def _pass_multiples(self, time_us: int) -> None:
        """An event of this time is about to come: all before the last multiple have."""
        if self.early_us is None:
            return
        multiple = time_us // self.early_us * self.early_us
        if self.early_to_us is not None:
            self.advance(multiple - 1)
        self.early_to_us = max(multiple, self.early_to_us or multiple)

    def _end(self, watermark_us: int) -> None:
        self.watermark_us = watermark_us
        for key, pot in self._all():
            if self._over(pot) and pot.pending and pot.events:
                self._fire(key, pot, self._time_of(pot), pot.fired)
        for key, pots in self.pots.items():
            self.pots[key] = [p for p in pots if self._time_of(p) + self.lateness_us > watermark_us]
        if watermark_us == END_OF_TIME:
            self.pots = {}

    def _early(self, time_us: int) -> None:
        for key, pot in self._all():
            if not self._over(pot) and pot.events and pot.changed:
                self._fire(key, pot, time_us, -1)
        for _, pot in self._all():
            pot.changed = False

    def _all(self) -> list[tuple[int, Pot]]:
        return [(key, pot) for key, pots in self.pots.items() for pot in pots]

    def _time_of(self, pot: Pot) -> int:
        """When the window is over, which is the time of its row."""
        return pot.end if self.window.kind is WindowKind.SESSION else pot.end - 1

    def _over(self, pot: Pot) -> bool:
        return self._time_of(pot) <= self.watermark_us

    def _fire(self, key: int, pot: Pot, time_us: int, update: int) -> None:
        position = BEHIND_EVENTS + pot.first
        self.rows.append(Row(time_us, position, key, pot.start, pot.end, update, pot.ordered()))
        if update >= 0:
            pot.fired += 1
            pot.pending = False
        if self.discarding:
            pot.events = []


def present(row: Row, name: str) -> list[Any]:
    """The values of a field that are not NULL, in order."""
    values = [arrival.values[name] for arrival in row.events]
    return [value for value in values if value is not None]
