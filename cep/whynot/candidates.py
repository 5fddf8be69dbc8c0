"""A run that came to nothing and the events behind it in, the event that came nearest out.

run: probe probe probe, waits for hit       demands of `hit`      events of the key
amount > 500          480   20   499
country = 'NL'        yes   no   yes
1     2    1   demands unmet
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import Binary, DataType, Expression, conjuncts, reads_captures
from cep.engine.algebra.pattern import WithinScope
from cep.engine.automaton.distances import edges_nearer
from cep.engine.automaton.flat import FlatEdge, FlatNfa
from cep.engine.batch import Bools, Int64s
from cep.engine.columns.data import pc
from cep.engine.columns.measures import evaluate_at
from cep.engine.results import Fate, MatchBatch
from cep.results.columns import take
from cep.whynot.history import History
from cep.whynot.replay import Replay, Taken, taken_by

NUMBERS = (DataType.INTEGER, DataType.FLOAT, DataType.TIMESTAMP, DataType.DURATION)


@dataclass(frozen=True)
class Run:
    """A run over a history that became no match, or (state 0, nothing taken) one that never began.

    `fate` is None where it never began. `cause`: row of the event that ended it, -1 for none.
    `matches` are those of the history.
    """

    history: History
    flat: FlatNfa
    batch: MatchBatch
    taken: Taken
    state: int
    missing: int
    fate: Fate | None
    at_us: int
    cause: int
    matches: frozenset[Taken]

    @property
    def last_row(self) -> int:
        return self.taken[-1][0] if self.taken else -1

    @property
    def within_from(self) -> int | None:
        """Row of the event that `within` counts from, where it is what ended the run.

        None also where time was up for one link of the pattern or one repetition (a gap).
        """
        pattern = self.history.pattern
        if self.fate is not Fate.TIME or pattern.within_us is None:
            return None
        row = self.taken[0 if pattern.within_scope is WithinScope.FIRST_LAST else -1][0]
        begun_us = int(self.history.events.time_us[row])
        return row if self.at_us == begun_us + pattern.within_us else None

    @cached_property
    def rows(self) -> Int64s:
        """The events of the key that it could have taken next and did not."""
        begin = self.last_row + 1
        if self.fate is Fate.NOT_NEXT:
            return np.array([self.cause])
        if self.cause >= 0:
            return np.arange(begin, self.cause + (self.fate is Fate.SKIP))
        time_us = self.history.events.time_us
        if self.fate is Fate.TIME:
            return np.arange(begin, int(np.searchsorted(time_us, self.at_us)))
        if self.fate is Fate.SKIP:
            return np.arange(begin, int(np.searchsorted(time_us, self.at_us, "right")))
        return np.arange(begin, len(time_us))

    def before(self, size: int) -> MatchBatch:
        """What it had taken, once for each of so many events under test."""
        row = np.array([row for row, _ in self.taken], np.int64)
        variable = np.array([self.batch.variables.index(name) for _, name in self.taken], np.int64)
        events = self.history.events
        return replace(
            self.batch,
            offsets=np.arange(size + 1) * len(row),
            variable=np.tile(variable, size),
            row=np.tile(row, size),
            at_us=np.zeros(size, np.int64),
            events=events.table,
            event_time_us=events.time_us,
            event_stream=events.stream,
            event_position=np.arange(len(events)),
        )


def run_of(history: History, flat: FlatNfa, replayed: Replay, index: int) -> Run:
    """An attempt of a replay."""
    attempts = replayed.attempts
    batch = attempts.runs.batch
    return Run(
        history,
        flat,
        batch,
        taken_by(batch, index),
        int(attempts.state[index]),
        int(attempts.missing[index]),
        Fate(int(attempts.fate[index])),
        int(batch.at_us[index]),
        int(attempts.cause[index]),
        frozenset(replayed.matches),
    )


@dataclass(frozen=True, slots=True)
class Demand:
    """What an edge asks of an event: that a part of a condition holds, or that one does not.

    `condition`: its number in the automaton.
    """

    condition: int
    part: Expression
    holds: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """The event that came nearest to being taken by an edge, and what it did not meet."""

    row: int
    edge: FlatEdge
    unmet: tuple[Demand, ...]


@dataclass(frozen=True, slots=True)
class Nearness:
    """`score`: how many demands are unmet, and how far apart their numbers are, 0 to 1 for each."""

    candidate: Candidate
    score: tuple[int, float]


def nearest_event(run: Run, rows: Int64s | None = None) -> Nearness | None:
    """Of the events that the run could have taken next the one with the fewest unmet demands.

    Among equals the one whose numbers are nearest to what was asked, then the first. None where
    there is no event at all. O(events x demands).
    """
    rows = run.rows if rows is None else rows
    found: list[Nearness] = []
    for edge in edges_nearer(run.flat, run.state):
        mine = _of_stream(run, edge, rows)
        if len(mine):
            found.append(_nearest_to(run, edge, mine))
    return min(found, key=lambda each: (each.score, each.candidate.row), default=None)


def _of_stream(run: Run, edge: FlatEdge, rows: Int64s) -> Int64s:
    """The events of the stream whose events the edge takes."""
    numbers, names = run.history.events.stream, [s.name for s in run.history.streams]
    for condition in edge.guard.require:
        stream = run.flat.nfa.conditions[condition].stream
        if stream is not None and numbers is not None:
            rows = rows[numbers[rows] == names.index(stream)]
    return rows


def _nearest_to(run: Run, edge: FlatEdge, rows: Int64s) -> Nearness:
    demands = list(demands_of(run.flat, edge))
    met = [_met(run, demand, rows) for demand in demands]
    unmet = np.sum([~each for each in met], axis=0) if met else np.zeros(len(rows), np.int64)
    best = np.flatnonzero(unmet == unmet.min())
    gaps = np.zeros(len(best))
    for demand, each in zip(demands, met, strict=True):
        gaps += np.where(each[best], 0.0, _gaps(run, demand.part, rows[best]))
    at = int(best[np.argmin(gaps)])
    failed = tuple(d for d, each in zip(demands, met, strict=True) if not each[at])
    return Nearness(Candidate(int(rows[at]), edge, failed), (len(failed), float(gaps.min())))


def demands_of(flat: FlatNfa, edge: FlatEdge) -> Iterator[Demand]:
    """Everything that the edge asks of an event, its stream apart."""
    for number in sorted(edge.guard.require):
        expression = flat.nfa.conditions[number].expression
        for part in [] if expression is None else conjuncts(expression):
            yield Demand(number, part, holds=True)
    for number in sorted(edge.guard.forbid):
        expression = flat.nfa.conditions[number].expression
        if expression is not None:
            yield Demand(number, expression, holds=False)


def _met(run: Run, demand: Demand, rows: Int64s) -> Bools:
    known: Any = pc.fill_null(evaluated(run, demand.part, rows), False)
    true: Bools = known.to_numpy(zero_copy_only=False)
    return true if demand.holds else ~_of_its_stream(run, demand, true, rows)


def _of_its_stream(run: Run, demand: Demand, true: Bools, rows: Int64s) -> Bools:
    """A condition of one stream holds for no event of another."""
    stream, numbers = run.flat.nfa.conditions[demand.condition].stream, run.history.events.stream
    if stream is None or numbers is None:
        return true
    here: Bools = numbers[rows] == [s.name for s in run.history.streams].index(stream)
    return true & here


def evaluated(run: Run, expression: Expression, rows: Int64s | Sequence[int]) -> Any:
    """The value of a part of a condition for each of these events, as an Arrow array."""
    rows = np.asarray(rows, np.int64)
    before = run.before(len(rows) if reads_captures(expression) else 0)
    if not reads_captures(expression):
        before = replace(before, offsets=np.zeros(len(rows) + 1, np.int64), at_us=rows)
    values: Any = evaluate_at(before, take(run.history.events.table, rows), expression)
    return values


def _gaps(run: Run, part: Expression, rows: Int64s) -> Any:
    """How far each event is from what a comparison of numbers asks: 0 to 1; 1 for all else."""
    match part:
        case Binary("<" | "<=" | ">" | ">=" | "=", left, right) if (
            left.type in NUMBERS and right.type in NUMBERS
        ):
            a, b = (_as_floats(evaluated(run, side, rows)) for side in (left, right))
            scale = np.maximum(np.abs(a), np.abs(b))
            gaps = np.abs(a - b) / np.where(scale > 0, scale, 1.0)
            return np.where(np.isnan(gaps), 1.0, np.minimum(gaps, 1.0))
    return np.ones(len(rows))


def _as_floats(values: Any) -> Any:
    if pa.types.is_temporal(values.type):
        values = values.cast(pa.int64())
    return values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
