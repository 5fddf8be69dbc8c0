"""Rules, data and perhaps a key and a time in, the runs that came nearest to a match out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cep.dsl.values import moment_us
from cep.engine.algebra.errors import DataError
from cep.engine.algebra.functions import closest
from cep.engine.algebra.pattern import Pattern
from cep.engine.algebra.timestamp import parse_timestamp
from cep.engine.automaton.distances import events_missing
from cep.engine.automaton.flat import FlatNfa, flatten
from cep.engine.automaton.nfa import build_nfa
from cep.engine.batch import Int64s
from cep.engine.results import Fate
from cep.results.attempts import AttemptTable, PatternAttempts
from cep.results.columns import PatternMatches
from cep.whynot.answer import NearMiss, WhyNot
from cep.whynot.candidates import Nearness, Run, nearest_event, run_of
from cep.whynot.describe import Describer, Moment
from cep.whynot.history import History, Key, histories
from cep.whynot.remedies import remedies_of
from cep.whynot.replay import Replay, replay

if TYPE_CHECKING:
    from cep.rules import Rules

POOL = 200  # attempts that are looked at closely; the others miss more, or ended earlier
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Around = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Near:
    """A run that was looked at closely, where it stands in a replay, and how near it came."""

    run: Run
    source: PatternMatches | None
    index: int
    nearness: Nearness | None
    distance_us: int

    @property
    def rank(self) -> tuple[Any, ...]:
        unmet = (1 << 30, 0.0) if self.nearness is None else self.nearness.score
        is_skipped = self.run.fate is Fate.SKIP
        run = self.run
        return (self.distance_us, is_skipped, run.missing, *unmet, -len(run.taken), -run.at_us)


def why_not(
    rules: Rules,
    data: Any,
    *,
    key: Any = None,
    around: Any = None,
    pattern: str | None = None,
    limit: int = 5,
) -> WhyNot:
    """See `Rules.why_not`."""
    _check_limit(limit)
    data, bounds = readable(data), None if around is None else _around(around)
    layout = rules.open_run(data).execution.layout

    @cache
    def traced() -> AttemptTable:
        return rules.run(data, trace=True).attempts

    def moment(time_us: int) -> datetime:
        return _moment(time_us, layout.time_type)

    found: list[NearMiss] = []
    notes: list[str] = []
    for bound in _patterns(layout.patterns, pattern):
        search = _Search(rules, data, traced, bound, moment, bounds)
        misses, said = search.near_misses(key, limit)
        found += misses
        notes += said
    if not layout.patterns:
        notes.append("the rules have no pattern")
    return WhyNot(tuple(found), tuple(notes))


def readable(data: Any) -> Any:
    """Data that can be read more than once; what may be a stream, such as a query, is read here."""
    if isinstance(data, Mapping):
        return {name: readable(each) for name, each in data.items()}
    is_pandas = type(data).__module__.partition(".")[0] == "pandas"  # which is read otherwise
    if hasattr(data, "__arrow_c_stream__") and not is_pandas:
        return pa.table(data)
    return list(data) if isinstance(data, Iterator) else data


def _patterns(patterns: Sequence[Pattern], name: str | None) -> Sequence[Pattern]:
    if name is None:
        return patterns
    found = [pattern for pattern in patterns if pattern.name == name]
    if not found:
        known = [pattern.name for pattern in patterns]
        hint = closest(name, known)
        near = f" ({hint})" if hint else ""
        raise DataError(f"no pattern {name!r}{near}; the rules have: {', '.join(known)}")
    return found


@dataclass(frozen=True, slots=True)
class _Search:
    """The near misses of one bound pattern."""

    rules: Rules
    data: Any
    traced: Callable[[], AttemptTable]
    pattern: Pattern
    moment: Moment
    around: Around | None

    def near_misses(self, key: Any, limit: int) -> tuple[list[NearMiss], list[str]]:
        keys = self._nearest_keys() if key is None else [_key(self.pattern, key)]
        found = histories(self.rules, self.data, self.pattern, keys)
        flat = flatten(build_nfa(self.pattern))
        replays = [replay(history, self.pattern, history.events) for history in found]
        near = list(self._near(found, replays, flat))
        best = _distinct(sorted(near, key=lambda each: each.rank), limit)
        return [self._described(each) for each in best], self._notes(key, found, bool(near))

    def _notes(self, key: Any, found: Sequence[History], some: bool) -> list[str]:
        name = self.pattern.name
        if not found:
            of = "no event" if key is None else f"no event of key {key!r}"
            return [f"{name}: {of} is in the data"]
        return [] if some else [f"{name}: every attempt became a match"]

    def _nearest_keys(self) -> Collection[Key] | None:
        """The keys whose attempts came nearest; None: all, where nothing began or there is none."""
        if not self.pattern.key:
            return None
        attempts = self.traced().parts[self.pattern.name]
        rows = self._pool(attempts)
        if not len(rows):
            return None
        keys = (attempts.runs.key_at(int(row)) for row in rows)
        return {key if isinstance(key, tuple) else (key,) for key in keys}

    def _pool(self, attempts: PatternAttempts) -> Int64s:
        """The attempts to look at closely, the nearest first."""
        at_us = attempts.runs.batch.at_us
        skipped = attempts.fate == Fate.SKIP
        order = np.lexsort((-at_us, attempts.missing, skipped, self._distances(attempts)))
        return order[:POOL]

    def _distances(self, attempts: PatternAttempts) -> Int64s:
        """How far each attempt's life is from the time that was asked for."""
        batch = attempts.runs.batch
        if self.around is None:
            return np.zeros(len(batch), np.int64)
        begin_us, end_us = self.around
        before, behind = begin_us - batch.at_us, batch.start_us - end_us
        return np.maximum(np.maximum(before, behind), 0)

    def _near(
        self, found: Sequence[History], replays: Sequence[Replay], flat: FlatNfa
    ) -> Iterator[_Near]:
        """The nearest attempts of all histories, looked at closely."""
        for history, replayed in zip(found, replays, strict=True):
            if not len(replayed.attempts.missing) and not replayed.matches:
                run = _never_began(history, flat, replayed.attempts)
                yield _Near(run, None, 0, nearest_event(run), 0)
        for at, index, distance_us in self._nearest([each.attempts for each in replays]):
            attempts = replays[at].attempts
            run = run_of(found[at], flat, replays[at], index)
            nearness = nearest_event(run) if run.missing else None
            yield _Near(run, attempts.runs, index, nearness, distance_us)

    def _nearest(self, several: Sequence[PatternAttempts]) -> Iterator[tuple[int, int, int]]:
        """(which of these, which of its attempts, distance) of the nearest of all."""
        ranks: list[tuple[int, bool, int, int, int, int]] = []
        for at, attempts in enumerate(several):
            distances = self._distances(attempts)
            for index in self._pool(attempts).tolist():
                missing, fate = int(attempts.missing[index]), attempts.fate[index]
                began, distance = attempts.runs.batch.start_us[index], int(distances[index])
                ranks.append((distance, fate == Fate.SKIP, missing, int(began), at, index))
        for distance, _, _, _, at, index in nsmallest(POOL, ranks):
            yield at, index, distance

    def _described(self, near: _Near) -> NearMiss:
        candidate = None if near.nearness is None else near.nearness.candidate
        remedies = list(remedies_of(near.run, candidate))
        describer = Describer(near.run, self.moment)
        return describer.near_miss(near.source, near.index, candidate, remedies)


def _distinct(near: Iterable[_Near], limit: int) -> list[_Near]:
    """The first ones, without those that took only events of one before them."""
    chosen: list[_Near] = []
    for each in near:
        taken = set(each.run.taken)
        if len(chosen) < limit and not any(
            taken <= set(other.run.taken)
            for other in chosen
            if other.run.history is each.run.history
        ):
            chosen.append(each)
    return chosen


def _never_began(history: History, flat: FlatNfa, attempts: PatternAttempts) -> Run:
    missing = events_missing(flat)[0]
    return Run(history, flat, attempts.runs.batch, (), 0, missing, None, 0, -1, frozenset())


# ---------------------------------------------------------------------- what is asked for


def _key(pattern: Pattern, key: Any) -> Key:
    fields = pattern.key
    if isinstance(key, Mapping):
        if set(key) != set(fields):
            raise DataError(f"the key of {pattern.name} is: {', '.join(fields) or 'none'}")
        return tuple(key[field] for field in fields)
    values = tuple(key) if isinstance(key, tuple | list) else (key,)
    if len(values) != len(fields):
        told = ", ".join(fields) or "no field: leave key out"
        raise DataError(f"pattern {pattern.name} has the key ({told}), not {key!r}")
    return values


def _check_limit(limit: Any) -> None:
    if not isinstance(limit, int) or limit < 1:
        raise DataError(f"limit {limit!r}: at least one near miss must be asked for")


def _around(around: Any) -> Around:
    if not isinstance(around, tuple):
        return _time_us(around), _time_us(around)
    if len(around) != 2:
        raise DataError(f"around: {len(around)} times: give one, or a pair of them")
    begin_us, end_us = map(_time_us, around)
    if begin_us > end_us:
        raise DataError(f"around: {around[0]!r} is after {around[1]!r}: give the earlier one first")
    return begin_us, end_us


def _time_us(time: Any) -> int:
    """A time as text or datetime in microseconds since 1970; without a zone it is UTC."""
    if isinstance(time, str) and (found := parse_timestamp(time)) is not None:
        return found
    if not isinstance(time, datetime) or time != time:  # NaT of pandas is a datetime
        raise DataError(f"around: {time!r} is not a time: give a datetime or '2018-04-01 10:00'")
    return moment_us(time)


def _moment(time_us: int, type_: Any) -> datetime:
    """As the data states times: with a zone, or without."""
    time = _EPOCH + timedelta(microseconds=time_us)
    return time if type_.tz else time.replace(tzinfo=None)
