"""The loop: batches of events in; matches, timed-out runs and errors out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cep.engine.arena import Chains
from cep.engine.batch import EventBatch, Int64s
from cep.engine.columns import Column, ColumnEvaluator
from cep.engine.event_store import EventStore, take_rows
from cep.engine.expression import DataType, Expression, Field, walk
from cep.engine.interning import KeyCodes, TextCodes
from cep.engine.operators.match import Failure, Fed, MatchOperator
from cep.engine.pattern import Pattern, Stream
from cep.engine.results import ErrorBatch, MatchBatch, Output

SLICE_ROWS = 1 << 17  # events worked on at a time: their columns should stay in the cache
KEYS_KEPT_MIN = 1 << 16  # key tables smaller than this are not worth cleaning


class Runtime:
    """Runs bound patterns side by side in one pass over their events.

    `streams` are numbered as in `EventBatch.stream`, their fields complete. Batches must come in
    event-time order. `capacity` is the first size of growing buffers.
    """

    def __init__(
        self,
        patterns: Sequence[Pattern],
        streams: Sequence[Stream],
        *,
        slice_rows: int = SLICE_ROWS,
        capacity: int = 1024,
    ) -> None:
        self._slice_rows = slice_rows
        numbers = {stream.name: i for i, stream in enumerate(streams)}
        self._texts = TextCodes()
        self.operators = [MatchOperator(p, numbers, self._texts, capacity) for p in patterns]
        self._shared = _shared(operator.expressions for operator in self.operators)
        self._spaces: dict[tuple[str, ...], KeySpace] = {}
        for operator in self.operators:
            key = operator.pattern.key
            self._spaces.setdefault(key, KeySpace(key, _field_types(key, streams)))
            self._spaces[key].operators.append(operator)
        self._store = EventStore()
        self._events_kept = 1024
        self._sequence = 0
        self._last_us = 0

    @property
    def open_runs(self) -> int:
        return sum(operator.open_runs for operator in self.operators)

    def process(self, batch: EventBatch) -> Output:
        """Offer a batch to every pattern. Its times must not go back behind the batch before."""
        output = Output()
        for start in range(0, len(batch), self._slice_rows):
            stop = min(start + self._slice_rows, len(batch))
            output.extend(self._process_slice(batch.slice(start, stop)))
        return output

    def advance_to(self, time_us: int) -> Output:
        """Say that event time has come this far: what was due by then happens."""
        self._last_us = max(self._last_us, time_us)
        for operator in self.operators:
            operator.advance_to(self._last_us)
        return self._collect(None)

    def finish(self) -> Output:
        """The final watermark: no event will come any more."""
        for operator in self.operators:
            operator.close(self._last_us)
        output = self._collect(None)
        output.notes += [_held_back(o.pattern, o.held_back) for o in self.operators if o.held_back]
        return output

    # ------------------------------------------------------------------ one slice

    def _process_slice(self, batch: EventBatch) -> Output:
        output = Output()
        fed = Fed(batch, self._sequence, self._texts, self._shared)
        for space in self._spaces.values():
            space.open_batch(batch, fed.evaluator)
            output.errors += space.missing_keys(batch)
        for operator in self.operators:
            failures = operator.process(fed, self._spaces[operator.pattern.key])
            output.errors += _error_batches(batch, operator.pattern, failures)
            operator.advance_to(int(batch.time_us[-1]))
            fed.forget()
        self._last_us = int(batch.time_us[-1])
        output.extend(self._collect(batch))
        self._sequence += len(batch)
        self._forget()
        return output

    def _collect(self, batch: EventBatch | None) -> Output:
        """Take the operators' results, keep the events of the batch that are still needed."""
        found = [(o, o.take_matches(), o.take_timeouts()) for o in self.operators]
        reported = [c.sequence for _, *both in found for c in both if len(c.sequence)]
        if batch is not None:
            self._keep_events(batch, reported)
        output = Output()
        if reported:
            events = self._reported(reported)
            for operator, matches, timeouts in found:
                if len(matches.at_us):
                    output.matches.append(events.batch(operator, matches))
                if len(timeouts.at_us):
                    output.timeouts.append(events.batch(operator, timeouts))
        return output

    def _keep_events(self, batch: EventBatch, reported: list[Int64s]) -> None:
        base = self._sequence
        needed = np.zeros(len(batch), np.bool_)
        for operator in self.operators:
            needed[operator.sequences_from(base) - base] = True
        for sequences in reported:
            needed[sequences[sequences >= base] - base] = True
        rows = np.flatnonzero(needed)
        self._store.add(rows + base, take_rows(batch, rows))

    def _reported(self, reported: list[Int64s]) -> Reported:
        sequences = np.unique(np.concatenate(reported))
        return Reported(sequences, self._store.take(sequences))

    # ------------------------------------------------------------------ memory

    def _forget(self) -> None:
        """Let go of events that no run holds and of keys without state, now and then."""
        if len(self._store) > 2 * self._events_kept:
            live = [operator.sequences_from(0) for operator in self.operators]
            self._store.keep(np.concatenate(live))
            self._events_kept = max(len(self._store), 1024)
        for space in self._spaces.values():
            space.forget_idle_keys()


@dataclass(frozen=True, slots=True)
class Reported:
    """The events of all matches of one step, by sequence (sorted): taken once, shared by all."""

    sequences: Int64s
    events: EventBatch

    def batch(self, operator: MatchOperator, chains: Chains) -> MatchBatch:
        return MatchBatch(
            pattern=operator.pattern,
            variables=operator.variables,
            offsets=chains.offsets,
            variable=chains.variable,
            row=np.searchsorted(self.sequences, chains.sequence),
            at_us=chains.at_us,
            events=self.events.table,
            event_time_us=self.events.time_us,
            event_stream=self.events.stream,
            event_position=self.sequences,
        )


class KeySpace:
    """The keys of all patterns that are partitioned by the same fields."""

    def __init__(self, fields: tuple[str, ...], types: tuple[DataType, ...]) -> None:
        self._fields = [Field(f, type=t) for f, t in zip(fields, types, strict=True)]
        self._codes = KeyCodes(types)
        self._worth_cleaning = KEYS_KEPT_MIN
        self.operators: list[MatchOperator] = []

    def open_batch(self, batch: EventBatch, evaluator: ColumnEvaluator) -> None:
        """Prepare for `keys_of` on the rows of this batch."""
        self._columns: list[Column] = [evaluator.evaluate(field) for field in self._fields]
        self._row_codes: Int64s = np.full(len(batch), -1, np.int64)
        self._all: tuple[Int64s, Int64s] | None = None
        self._null_rows: Int64s | None = None
        nulls = [missing for c in self._columns if (missing := _null_rows(c)) is not None]
        if nulls:
            self._null_rows = np.unique(np.concatenate(nulls))

    def keys_of(self, rows: Int64s | None) -> tuple[Int64s, Int64s]:
        """Those of the rows (None: all) that have a key, and their key codes.

        Each row is encoded once.
        """
        if rows is None:
            if self._all is None:
                self._all = self._keys_of(np.arange(len(self._row_codes)))
            return self._all
        return self._keys_of(rows)

    def _keys_of(self, rows: Int64s) -> tuple[Int64s, Int64s]:
        if not self._fields:
            return rows, np.zeros(len(rows), np.int64)
        if self._null_rows is not None:
            rows = np.setdiff1d(rows, self._null_rows, assume_unique=True)
        codes = self._row_codes[rows]
        fresh = rows[codes < 0]
        if len(fresh):
            self._row_codes[fresh] = self._codes.encode(self._columns, fresh)
            codes = self._row_codes[rows]
        return rows, codes

    def missing_keys(self, batch: EventBatch) -> Iterator[ErrorBatch]:
        if self._null_rows is None:
            return
        for field, column in zip(self._fields, self._columns, strict=True):
            rows = _null_rows(column)
            if rows is not None:
                reason = f"key field {field.name!r} is NULL"
                yield _error_batch(batch, reason, rows, None, None)

    def forget_idle_keys(self) -> None:
        """Give new codes to the keys that have state and forget the others."""
        if len(self._codes) < self._worth_cleaning or not self._fields:
            return
        active = np.zeros(len(self._codes), np.bool_)
        for operator in self.operators:
            active[operator.active_keys()] = True
        kept = np.flatnonzero(active)
        if 2 * len(kept) <= len(active):
            self._codes = self._codes.keep(kept)
            for operator in self.operators:
                operator.keep_keys(kept)
        self._worth_cleaning = max(2 * len(self._codes), KEYS_KEPT_MIN)


def _null_rows(column: Column) -> Int64s | None:
    """Rows where the column is NULL; None where there are none."""
    if column.type is DataType.NULL:
        return np.arange(len(column.valid)) if column.valid is not None else None
    if column.type is DataType.TEXT:
        if not column.values.null_count:
            return None
        return np.flatnonzero(column.values.is_null().to_numpy(zero_copy_only=False))
    if column.valid is None or bool(column.valid.all()):
        return None
    return np.flatnonzero(~column.valid)


def _shared(asked: Iterable[list[Expression]]) -> frozenset[Expression]:
    """What more than one operator evaluates, as a whole or as part of something larger."""
    users: Counter[Expression] = Counter()
    for expressions in asked:
        users.update({part for expression in expressions for part in walk(expression)})
    return frozenset(expression for expression, count in users.items() if count > 1)


def _held_back(pattern: Pattern, count: int) -> str:
    matches = "1 match is" if count == 1 else f"{count:,} matches are"
    return (
        f"pattern {pattern.name}: {matches} held back by runs that began earlier and never end;"
        " add `within`"
    )


def _field_types(names: tuple[str, ...], streams: Sequence[Stream]) -> tuple[DataType, ...]:
    types = {f.name: f.type for stream in reversed(streams) for f in stream.fields}
    return tuple(types[name] for name in names)


def _error_batches(
    batch: EventBatch, pattern: Pattern, failures: list[Failure]
) -> Iterator[ErrorBatch]:
    for failure in failures:
        yield _error_batch(batch, failure.reason, failure.rows, pattern.name, failure.variable)


def _error_batch(
    batch: EventBatch, reason: str, rows: Int64s, pattern: str | None, variable: str | None
) -> ErrorBatch:
    events = take_rows(batch, rows)
    return ErrorBatch(reason, events.table, events.time_us, pattern, variable)
