"""A run that came to nothing in, what would have made it a match out: each tried by a replay.

    remedy      what is replayed
    meet        the event nearest to what the run waited for counts as one that meets it
    add         an event that meets it comes behind the last one taken
    without     the event that ended the run does not come
    longer      the pattern's `within` reaches to the event that came too late
    no skip     matches do not drop what began before they ended

A remedy that is not enough by itself says what would be missing then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import Binary, DataType, Expression, Field, Literal
from cep.engine.algebra.pattern import (
    Definition,
    Pattern,
    Skip,
    SkipStrategy,
    StreamField,
)
from cep.engine.automaton.distances import edges_nearer
from cep.engine.automaton.flat import FlatEdge
from cep.engine.batch import EventBatch
from cep.engine.dataflow.reads import changed_steps
from cep.engine.results import Fate
from cep.results.attempts import PatternAttempts
from cep.whynot.candidates import Candidate, Run, nearest_event
from cep.whynot.history import History
from cep.whynot.replay import Taken, inserted, replay, taken_by, without

ROW = "(row)"


class Kind(Enum):
    MEET = "meet"
    ADD = "add"
    WITHOUT = "without"
    LONGER = "longer"
    NO_SKIP = "no skip"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What was tried, and whether it is enough: there is then a match that begins like the run.

    `then`: where it is not, the variables still needed after it, as far as the run comes further.
    `helps_another`: there is then another match, which was none before. `candidate`: the event that
    it is about, where it is to be taken. `within_us`: for a longer one.
    """

    kind: Kind
    is_enough: bool
    then: tuple[str, ...]
    helps_another: bool
    candidate: Candidate | None = None
    within_us: int | None = None


def remedies_of(run: Run, candidate: Candidate | None) -> Iterator[Remedy]:
    """What could be tried, in the order in which people would; each replays the key's events."""
    if run.missing > 0 and candidate is not None and candidate.unmet:
        yield _meet(run, candidate)
    if run.missing > 0 and candidate is None:
        yield _add(run, edges_nearer(run.flat, run.state)[0])
    if run.fate in (Fate.NEGATION, Fate.UNLESS, Fate.NOT_NEXT):
        events, known = without(run.history.events, run.cause), _moved(run, run.cause, -1)
        yield Remedy(Kind.WITHOUT, *_tried(run, run.history.pattern, events, run.taken, known))
    if run.fate is Fate.TIME:
        yield from _longer(run)
    if run.fate is Fate.SKIP:
        pattern = replace(run.history.pattern, skip=Skip(SkipStrategy.NO_SKIP))
        tried = _tried(run, pattern, run.history.events, run.taken, run.matches)
        yield Remedy(Kind.NO_SKIP, *tried)


# ---------------------------------------------------------------------- an event more


def _meet(run: Run, candidate: Candidate) -> Remedy:
    accepted = {d.condition for d in candidate.unmet if d.holds}
    refused = {d.condition for d in candidate.unmet if not d.holds}
    pattern = _as_if(run, candidate.row, accepted, refused)
    tried = _tried(run, pattern, run.history.events, _with(run, candidate), run.matches)
    return Remedy(Kind.MEET, *tried, candidate)


def _add(run: Run, edge: FlatEdge) -> Remedy:
    history, candidate = run.history, Candidate(run.last_row + 1, edge, ())
    events = history.events
    time_us = int(events.time_us[max(run.last_row, 0)])
    streams = [run.flat.nfa.conditions[n].stream for n in sorted(edge.guard.require)]
    names = [stream.name for stream in history.streams]
    number = next((names.index(s) for s in streams if s is not None), 0)
    added = inserted(events, candidate.row, _blank(history), time_us, number)
    pattern = _as_if(run, candidate.row, edge.guard.require, edge.guard.forbid)
    tried = _tried(run, pattern, added, _with(run, candidate), _moved(run, candidate.row, 1))
    return Remedy(Kind.ADD, *tried, candidate)


def _longer(run: Run) -> Iterator[Remedy]:
    """With the first event behind the deadline that the run would have taken."""
    pattern, time_us = run.history.pattern, run.history.events.time_us
    if run.within_from is None:
        return
    late = np.arange(int(np.searchsorted(time_us, run.at_us)), len(time_us))
    nearness = nearest_event(run, late)
    if nearness is None or nearness.candidate.unmet:
        return
    candidate = nearness.candidate
    within_us = int(time_us[candidate.row] - time_us[run.within_from]) + 1
    longer = replace(pattern, within_us=within_us)
    tried = Remedy(
        Kind.LONGER,
        *_tried(run, longer, run.history.events, run.taken, run.matches),
        candidate,
        within_us,
    )
    if len(tried.then) < run.missing:  # else the event is not taken: something came before it
        yield tried


def _with(run: Run, candidate: Candidate) -> Taken:
    assert candidate.edge.variable is not None, "an edge that takes has a variable"
    return (*run.taken, (candidate.row, candidate.edge.variable))


# ---------------------------------------------------------------------- trying


def _moved(run: Run, row: int, by: int) -> frozenset[Taken]:
    """The matches of the history, met with events of which one more (1) or less (-1) is there."""

    def moved(at: int) -> int:
        is_gone = by < 0 and at == row
        return -1 if is_gone else at + by if at >= row else at

    return frozenset(tuple((moved(at), name) for at, name in match) for match in run.matches)


def _tried(
    run: Run, pattern: Pattern, events: EventBatch, begin: Taken, known: Collection[Taken]
) -> tuple[bool, tuple[str, ...], bool]:
    """Whether a match begins so, or else what an attempt that does would still need.

    And whether there is a match that is not known, however it begins.
    """
    numbered: Any = pa.array(np.arange(len(events)))
    table = events.table.append_column(ROW, numbered)
    streams = tuple(
        replace(s, fields=(*s.fields, StreamField(ROW, DataType.INTEGER)))
        for s in run.history.streams
    )
    found = replay(replace(run.history, streams=streams), pattern, replace(events, table=table))
    helps_another = any(match not in known for match in found.matches)
    if found.has_match(begin):
        return True, (), False
    return False, _then(found.attempts, begin), helps_another


def _then(attempts: PatternAttempts, begin: Taken) -> tuple[str, ...]:
    for index, missing in enumerate(attempts.missing.tolist()):
        if missing and taken_by(attempts.runs.batch, index)[: len(begin)] == begin:
            return tuple(" or ".join(names) for names in attempts.needed[-missing:])
    return ()


def _as_if(run: Run, row: int, accepted: Collection[int], refused: Collection[int]) -> Pattern:
    """The pattern for which the event of this row meets some conditions and not some others."""
    known = run.flat.nfa.conditions

    def of_stream(stream: str | None) -> Callable[[Expression], Expression]:
        def change(expression: Expression) -> Expression:
            for number, condition in enumerate(known):
                if (condition.stream, condition.expression) == (stream, expression):
                    if number in accepted:
                        return _binary("or", _row_is("=", row), expression)
                    if number in refused:
                        return _binary("and", _row_is("<>", row), expression)
            return expression

        return change

    def defined(definition: Definition) -> Definition:
        if definition.condition is None:
            return definition
        change = of_stream(definition.stream)
        return replace(definition, condition=change(definition.condition))

    pattern, change = run.history.pattern, of_stream(None)
    return replace(
        pattern,
        definitions=tuple(map(defined, pattern.definitions)),
        steps=changed_steps(pattern.steps, change),
        unless=pattern.unless and change(pattern.unless),
    )


def _row_is(operator: str, row: int) -> Expression:
    number = DataType.INTEGER
    field, literal = Field(ROW, type=number), Literal(row, type=number)
    return Binary(operator, field, literal, type=DataType.BOOLEAN)


def _binary(operator: str, left: Expression, right: Expression) -> Expression:
    return Binary(operator, left, right, type=DataType.BOOLEAN)


def _blank(history: History) -> pa.Table:
    """An event of the key that says nothing else."""
    table = history.events.table
    (key,) = table.slice(0, 1).select(history.pattern.key).to_pylist()
    return pa.Table.from_pylist([dict.fromkeys(table.schema.names) | key], table.schema)
