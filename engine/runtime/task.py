"""Nodes that read the same streams: one feed of events in, matches, timed-out runs and rows out.

    feed ─► slice ─► lookups, features ─► prepare ─► shards, side by side ─► collect
                     add columns          columns,   runs, windows of        matches, rows
                                          masks      their keys, their time  with their events

A task numbers the events of its feed, keeps those that something still holds, and shares out keys
to shards. What comes out does not depend on how the feed is cut, nor on the number of shards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.aggregates import Functions
from cep.engine.algebra.expression import DataType, Expression, Field, walk
from cep.engine.algebra.pattern import Pattern, Stream
from cep.engine.algebra.plan import EVENT_TIME, Aggregate, NodeKind
from cep.engine.batch import Bools, EventBatch, Int64s
from cep.engine.columns.data import ARROW_TYPES, data_type_of
from cep.engine.dataflow.tasks import TaskPlan
from cep.engine.operators.fed import Failure, Fed
from cep.engine.operators.match import MatchOperator, make_families
from cep.engine.results import ErrorBatch, LateBatch, Output
from cep.engine.runtime.enrich import Added, Enricher, Enriching, lookup_operators
from cep.engine.runtime.reporting import Reporter
from cep.engine.runtime.shard import HandedOver, TaskShard, Told, joined
from cep.engine.runtime.stages import Stages, results_of
from cep.engine.runtime.window_node import WindowNode
from cep.engine.state.cleaning import Cleaning
from cep.engine.state.event_store import EventStore, take_rows
from cep.engine.state.families import BEGINNING, FromRuns
from cep.engine.state.interning import TextCodes
from cep.engine.state.key_space import KeyedState, KeySpace
from cep.engine.state.limits import Limit
from cep.engine.state.restoring import StateOf, restore_states, save_states
from cep.engine.state.snapshot import Snapshot, Value
from cep.engine.time.arrivals import LateBatch as LateArrivals

EVENTS_KEPT_MIN = 1024


@dataclass(frozen=True, slots=True)
class Wiring:
    """What all tasks of a runtime have in common.

    `read`: the names of the streams that some node reads: their rows must be made. `hidden`: fields
    that are in no match's events. `traced`: runs that become no match are told, too. `counted`:
    matches that nobody reads are counted, not made, as far as that can be. `stages`: the
    threads; None: all happens on the caller's.
    """

    texts: TextCodes
    read: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    shards: int = 1
    capacity: int = 1024
    traced: bool = False
    counted: bool = False
    limits: Mapping[str, Limit] = field(default_factory=dict)
    functions: Functions = field(default_factory=dict)
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    stages: Stages | None = None


@dataclass(frozen=True, slots=True)
class Enriched:
    """A slice of the feed with all its fields. `base`: sequence of its first event."""

    batch: EventBatch
    base: int
    errors: list[ErrorBatch]


@dataclass(frozen=True, slots=True)
class Begun:
    """A slice that the shards go through.

    `errors`: found so far; `failures`: what preparing it for each operator, then for each window,
    has met.
    """

    fed: Fed
    errors: list[ErrorBatch]
    failures: list[list[Failure]]
    shards: list[Future[HandedOver]]


@dataclass(frozen=True, slots=True)
class Worked:
    """A slice with all its fields and positions, and what came out."""

    events: EventBatch
    output: Output


class Task:
    """Runs bound nodes side by side over one feed of events, which come in event-time order.

    The plan's streams are numbered as in `EventBatch.stream`.
    """

    def __init__(self, plan: TaskPlan, wiring: Wiring) -> None:
        self.plan = plan
        self.streams = plan.streams
        self.wiring = wiring
        numbers = {stream.name: i for i, stream in enumerate(plan.streams)}
        self.nodes = [node for node in plan.nodes if isinstance(node.plan, Pattern)]
        self.enricher = Enricher(
            plan.streams,
            lookup_operators(plan, wiring.tables),
            plan.features,
            wiring.shards,
            wiring.capacity,
            wiring.functions,
        )
        self.operators = [
            MatchOperator(node.plan, numbers, wiring.texts)
            for node in self.nodes
            if isinstance(node.plan, Pattern)
        ]
        traced = [n.name for n in self.nodes if wiring.traced and n.kind is NodeKind.PATTERN]
        counted = [n.name for n in self.nodes if wiring.counted and n.name not in wiring.read]
        self.families = make_families(
            self.operators, wiring.shards, wiring.capacity, wiring.limits, traced, counted
        )
        self.windows = [
            WindowNode(
                node, numbers, wiring.texts, wiring.functions, wiring.shards, wiring.capacity
            )
            for node in plan.nodes
            if isinstance(node.plan, Aggregate)
        ]
        asked = [*(o.expressions for o in self.operators), *(w.expressions for w in self.windows)]
        self._shared = _shared(asked)
        fields = (node for part in asked for e in part for node in walk(e))
        self._reads_time = any(node == Field(EVENT_TIME) for node in fields)
        self.spaces: dict[tuple[str, ...], KeySpace] = {}
        for family in self.families:
            self._place(family.key, family.shards)
        for window in self.windows:
            self._place(window.key, window.shards)
        self.shards = [
            TaskShard(number, self.operators, self.families, self.windows, self.spaces)
            for number in range(wiring.shards)
        ]
        self.store = EventStore()
        self.reporter = Reporter(self.nodes, self.operators, self.store, wiring.hidden, wiring.read)
        self._cleaning = Cleaning(2 * EVENTS_KEPT_MIN)
        self._wants_live = False  # events are worth forgetting
        self.sequence = 0
        self.next_sequence = 0  # of the events that no shard has been offered yet
        self.last_us = BEGINNING

    def _place(self, key: tuple[str, ...], states: Sequence[KeyedState]) -> None:
        """Put a state per shard into the space of these keys."""
        if key not in self.spaces:
            types = _field_types(key, self.streams)
            self.spaces[key] = KeySpace(key, types, self.wiring.shards)
        for shard, state in zip(self.spaces[key].shards, states, strict=True):
            shard.states.append(state)

    @property
    def open_runs(self) -> int:
        return sum(int(f.open_runs().sum()) for family in self.families for f in family.shards)

    def counts(self) -> dict[str, int]:
        """Matches of the patterns that are counted and not made."""
        found: dict[str, int] = {}
        for family in self.families:
            counts = family.counted()
            if counts is not None:
                names = [self.nodes[number].name for number in family.operators]
                found.update(zip(names, counts, strict=True))
        return found

    # ------------------------------------------------------------------ one slice

    def process(self, batch: EventBatch) -> Worked:
        """A slice of the feed. Its times must not go back behind the slice before."""
        if self.wiring.stages is not None:
            return self.end(self.begin(self.enrich(batch)))
        full = self._enriched(self.enrich(batch))
        fed, failures, (shard,) = self._fed(full), [], self.shards
        for at, operator in enumerate(self.operators):
            interest = operator.prepare(fed)
            shard.offer(at, interest)
            failures.append(interest.failures)
            fed.forget()
        for at, window in enumerate(self.windows):
            part = window.prepare(fed)
            shard.add(at, part)
            failures.append(part.prepared.failures)
            fed.forget()
        handed = self._close_slice(shard, fed, self._wants_live)
        return self._end(fed, [*full.errors, *_missing_keys(fed)], failures, [handed])

    def enrich(self, batch: EventBatch) -> Enriching:
        """Let the shards work on the features of the next slice."""
        return self.enricher.begin(batch, self._begin_on_shards)

    def begin(self, enriching: Enriching) -> Begun:
        """Let the shards go through a slice, each on its thread.

        Reads no state of shards: they may still work on the slices before.
        """
        full = self._enriched(enriching)
        fed, interests, parts = self._fed(full), [], []
        for operator in self.operators:
            interests.append(operator.prepare(fed))
            fed.forget()
        for window in self.windows:
            parts.append(window.prepare(fed))
            fed.forget()
        errors = [*full.errors, *_missing_keys(fed)]
        wants_live = self._wants_live

        def work(number: int) -> HandedOver:
            shard = self.shards[number]
            for at, interest in enumerate(interests):
                shard.offer(at, interest)
            for at, part in enumerate(parts):
                shard.add(at, part)
            return self._close_slice(shard, fed, wants_live)

        failures = [*(i.failures for i in interests), *(p.prepared.failures for p in parts)]
        assert self.wiring.stages is not None, "without threads nothing goes on by itself"
        return Begun(fed, errors, failures, self.wiring.stages.begin_on_shards(work))

    def _enriched(self, enriching: Enriching) -> Enriched:
        """The slice with all its fields; it has the next sequences."""
        added, base = self.enricher.end(enriching), self.next_sequence
        self.next_sequence += len(added.batch)
        return Enriched(added.batch, base, list(_field_errors(added)))

    def _close_slice(self, shard: TaskShard, fed: Fed, wants_live: bool) -> HandedOver:
        """Time has come to the slice's last event."""
        shard.advance_to(int(fed.batch.time_us[-1]))
        handed = shard.hand_over(fed.base, all_live=wants_live)
        shard.forget_idle_keys()
        return handed

    def end(self, begun: Begun) -> Worked:
        """Wait for the shards, and put out what they have found; slices in their order."""
        return self._end(begun.fed, begun.errors, begun.failures, results_of(begun.shards))

    def _end(
        self,
        fed: Fed,
        errors: list[ErrorBatch],
        failures: list[list[Failure]],
        handed: list[HandedOver],
    ) -> Worked:
        names = [*(o.pattern.name for o in self.operators), *(w.name for w in self.windows)]
        met = joined([*h.failures, *h.window_failures] for h in handed)
        for name, before, of_shards in zip(names, failures, met, strict=True):
            errors += error_batches(fed.batch, name, [*before, *of_shards])
        self.last_us = int(fed.batch.time_us[-1])
        output = Output(errors=errors)
        output.extend(self._collect(handed, fed))
        self.sequence += len(fed.batch)
        self._forget_events(handed)
        return Worked(replace(fed.batch, position=fed.positions), output)

    def _begin_on_shards(self, work: Callable[[int], None]) -> list[Future[None]]:
        """Work for every shard: begun on its thread, or done where there are no threads."""
        if self.wiring.stages is not None:
            return self.wiring.stages.begin_on_shards(work)
        for number in range(self.wiring.shards):
            work(number)
        return []

    def _fed(self, full: Enriched) -> Fed:
        return Fed(
            full.batch,
            full.base,
            self.wiring.texts,
            self._shared,
            self.spaces,
            with_time=self._reads_time,
        )

    # ------------------------------------------------------------------ time

    def process_late(self, late: LateArrivals, taken: Bools) -> Iterator[Output]:
        """Events behind the watermark, for windows that are still open.

        What comes out event by event, so that its order does not depend on how the input is cut.
        `taken`, shape (n,), is set where some window has taken the event.
        """
        if not self.windows:
            return
        batch = self.enricher.add_to_late(late.events)
        fed = self._fed(Enriched(batch, self.next_sequence, []))
        self.next_sequence += len(batch)
        self.sequence = self.next_sequence
        parts = [(window, window.prepare(fed)) for window in self.windows]
        failures = [list(part.prepared.failures) for _, part in parts]
        singly = [(window, part.singly()) for window, part in parts]
        for row in sorted({row for _, rows in singly for row in rows}):
            for window, rows in singly:
                if row in rows and len(window.process_late(rows[row], self.watermark_us)):
                    taken[row] = True
            handed = [shard.hand_over() for shard in self.shards]
            for found, more in zip(
                failures, joined(h.window_failures for h in handed), strict=True
            ):
                found += more
            yield self._collect(handed)
        output = Output()
        for (window, _), found in zip(parts, failures, strict=True):
            output.errors += error_batches(batch, window.name, found)
        yield output

    def status(self) -> dict[str, dict[str, Any]]:
        """What is open in each node, as plain values."""
        found: dict[str, dict[str, Any]] = {}
        for family in self.families:
            names = [self.operators[number].pattern.name for number in family.operators]
            found |= zip(names, family.status(), strict=True)
        return found | {window.name: window.status() for window in self.windows}

    def limit_counts(self, patterns: Collection[str]) -> dict[str, tuple[int, int]]:
        """Of those of these patterns that are here; one with a limit is a family of its own."""
        first = {self.operators[f.operators[0]].pattern.name: f for f in self.families}
        return {name: first[name].limit_counts() for name in patterns if name in first}

    def bytes_held(self) -> dict[str, int]:
        """How much memory each kind of state takes."""
        spaces = (*self.spaces.values(), *self.enricher.spaces.values())
        return {
            "events": self.store.bytes_held,
            "features": self.enricher.bytes_held,
            "keys": sum(space.bytes_held for space in spaces),
        }

    def advance_to(self, watermark_us: int) -> Output:
        """No event at or before this time will come any more."""
        if watermark_us < self.last_us:
            return Output()  # time is there already
        self.last_us = last_us = watermark_us + 1
        return self._moved(lambda shard: shard.advance_to(last_us))

    @property
    def watermark_us(self) -> int:
        """No event of this time or before is on time any more."""
        return self.last_us - 1

    def _moved(self, move: Callable[[TaskShard], None]) -> Output:
        """What comes out when time moves in every shard, on its thread where there are threads."""

        def work(number: int) -> HandedOver:
            move(self.shards[number])
            return self.shards[number].hand_over()

        stages = self.wiring.stages
        if stages is None:
            return self._collect([work(number) for number in range(self.wiring.shards)])
        return self._collect(stages.on_shards(work))

    def finish(self) -> Output:
        """The final watermark: no event will come any more."""
        output = self._moved(TaskShard.finish)
        for family in self.families:
            for number, count in zip(family.operators, family.held_back().tolist(), strict=True):
                if count:
                    output.notes.append(_held_back(self.operators[number].pattern, count))
        return output

    # ------------------------------------------------------------------ what came out

    def _collect(self, handed: list[HandedOver], fed: Fed | None = None) -> Output:
        """What shards have handed over; events of the slice that are still needed are kept."""
        told = _of_runs(handed)
        if fed is not None:
            self._keep_events(
                fed, [*(h.needed for h in handed), *(s for _, one in told for s in one.sequences)]
            )
        output = Output()
        for window, fired in zip(self.windows, joined(h.rows for h in handed), strict=True):
            output.extend(window.output(fired))
        output.extend(self.reporter.report(told, fed))
        return output

    def _keep_events(self, fed: Fed, sequences: Iterable[Int64s]) -> None:
        """Keep those of the slice's events that are among these."""
        needed = np.zeros(len(fed.batch), np.bool_)
        for some in sequences:
            needed[some[some >= fed.base] - fed.base] = True
        rows = np.flatnonzero(needed)
        if len(rows):
            self.store.add(rows + fed.base, take_rows(fed.batch, rows))

    def _forget_events(self, handed: list[HandedOver]) -> None:
        """Let go of events that no run held when this was handed over, now and then."""
        live = [h.live for h in handed if h.live is not None]
        if self._wants_live and live:
            self.store.keep(np.concatenate(live))
            self._cleaning.done(len(self.store), self.store.weight)
        self._wants_live = self._cleaning.is_due(len(self.store), self.store.weight)

    def took_one(self, time_us: int) -> None:
        """One event has gone through all operators past the columns (`SingleEvents`)."""
        self.sequence = self.next_sequence = self.next_sequence + 1
        self.last_us = time_us

    @property
    def events_weigh_much(self) -> bool:
        """Whether events take so much memory that `forget_events` cannot wait."""
        return self.store.weight >= self._cleaning.weight

    def forget_events(self) -> None:
        """Let go of events that no run holds, where they have become many."""
        if self._cleaning.is_due(len(self.store), self.store.weight):
            live = [runs.live_sequences() for f in self.families for runs in f.shards]
            self.store.keep(np.concatenate([np.empty(0, np.int64), *live]))
            self._cleaning.done(len(self.store), self.store.weight)

    # ------------------------------------------------------------------ state

    @property
    def states(self) -> Iterator[StateOf]:
        """All keyed state, by the name of what it belongs to."""
        for node, operator in zip(self.nodes, self.operators, strict=True):
            yield StateOf(node.name, self.spaces[operator.key], list(operator.shards))
        for window in self.windows:
            yield StateOf(window.name, self.spaces[window.key], window.shards)

    def snapshot(self) -> Snapshot:
        """A copy of everything, shard by shard."""
        for family in self.families:
            for runs in family.shards:
                runs.save()
        return {
            "streams": [stream.name for stream in self.streams],
            "sequence": self.sequence,
            "last_us": self.last_us,
            "events": self.store.snapshot(),
            "nodes": save_states(self.states),
            "features": self.enricher.snapshot(),
        }

    def restore(
        self, saved: Mapping[str, Value], kept: Collection[str], gone: Collection[str] = ()
    ) -> None:
        """Take over the state of the nodes named in `kept`; the task is new.

        `gone`: fields of events that nothing makes any more.
        """
        self.sequence = self.next_sequence = saved["sequence"]
        self.last_us = saved["last_us"]
        for shard in self.shards:
            shard.time.now_us = self.last_us
        restore_states(self.states, saved["nodes"], kept)
        for family in self.families:
            for runs in family.shards:
                runs.load()
        self.store.restore(self._with_own_columns(saved, gone))

    def _with_own_columns(
        self, saved: Mapping[str, Value], gone: Collection[str]
    ) -> Mapping[str, Value]:
        """Saved events for the streams that there are now: numbered as they are, no others."""
        events = dict(saved["events"])
        if not events:
            return events
        now = {stream.name: number for number, stream in enumerate(self.streams)}
        numbers = np.array([now.get(name, -1) for name in saved["streams"]], np.int16)
        size = len(events["sequence"])
        streams = numbers[events["stream"]] if "stream" in events else np.full(size, numbers[0])
        rows = np.flatnonzero(streams >= 0)
        events = {name: _rows(values, rows) for name, values in events.items()}
        events["events"] = _as_now(events["events"], self.streams, gone)
        events.pop("stream", None)
        return events | {"stream": streams[rows]} if len(self.streams) > 1 else events


def _as_now(table: pa.Table, streams: Sequence[Stream], gone: Collection[str]) -> pa.Table:
    """Saved events with the fields that they have now, of the types that they have now.

    `gone`: fields that features made and none makes any more; those that were looked up have a dot
    in their names. Nobody who goes on reads a field that has changed its type: where its values do
    not fit they are NULL.
    """
    types = {f.name: f.type for stream in reversed(streams) for f in stream.fields}
    made = [name for name in table.schema.names if name in gone or "." in name]
    table = table.drop_columns([name for name in made if name not in types])
    for place, column in enumerate(table.schema):
        wanted = types.get(column.name)
        if wanted is None or data_type_of(column.type) in (wanted, DataType.NULL):
            continue
        try:
            values: Any = table.column(place).cast(ARROW_TYPES[wanted])
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            values = pa.nulls(table.num_rows, ARROW_TYPES[wanted])
        table = table.set_column(place, column.name, values)
    return table


def _rows(values: Any, rows: Int64s) -> Any:
    indices: Any = pa.array(rows)
    return values.take(indices) if isinstance(values, pa.Table) else values[rows]


def _of_runs(handed: list[HandedOver]) -> list[Told]:
    """What came out of the runs of each operator that has something, over all shards."""
    parts: dict[int, list[FromRuns]] = {}
    for shard in handed:
        for number, found in shard.told:
            parts.setdefault(number, []).append(found)
    return [Told(number, FromRuns.joined(parts[number])) for number in sorted(parts)]


def _shared(asked: Iterable[list[Expression]]) -> frozenset[Expression]:
    """What more than one operator evaluates, as a whole or as part of something larger."""
    users: Counter[Expression] = Counter()
    for expressions in asked:
        users.update({part for expression in expressions for part in walk(expression)})
    return frozenset(expression for expression, count in users.items() if count > 1)


def _missing_keys(fed: Fed) -> Iterator[ErrorBatch]:
    for keys in fed.keys.values():
        for reason, rows in keys.missing():
            yield _error_batch(fed.batch, reason, rows, None, None)


def _field_errors(added: Added) -> Iterator[ErrorBatch]:
    for failure in added.failures:
        yield _error_batch(added.batch, failure.reason, failure.rows, None, failure.variable)


def _held_back(pattern: Pattern, count: int) -> str:
    matches = "1 match is" if count == 1 else f"{count:,} matches are"
    return (
        f"pattern {pattern.name}: {matches} held back by runs that began earlier and never end;"
        " add `within`"
    )


def _field_types(names: tuple[str, ...], streams: Sequence[Stream]) -> tuple[DataType, ...]:
    types = {f.name: f.type for stream in reversed(streams) for f in stream.fields}
    return tuple(types[name] for name in names)


def error_batches(batch: EventBatch, name: str, failures: list[Failure]) -> Iterator[ErrorBatch]:
    """One batch of errors for each reason and variable, whichever shards met it."""
    rows: dict[tuple[str, str | None], list[Int64s]] = {}
    for failure in failures:
        rows.setdefault((failure.reason, failure.variable), []).append(failure.rows)
    found = [(*what, np.sort(np.concatenate(parts))) for what, parts in rows.items()]
    for reason, variable, of_all in sorted(found, key=lambda each: (int(each[2][0]), each[0])):
        yield _error_batch(batch, reason, of_all, name, variable)


def late_batches(
    late: LateArrivals, taken: Bools, streams: Sequence[Stream]
) -> Iterator[LateBatch]:
    """The late events that no window has taken, stream by stream."""
    rows = np.flatnonzero(~taken)
    events, watermarks = take_rows(late.events, rows), late.watermark_us[rows]
    for number, stream in enumerate(streams):
        mine = np.arange(len(rows))
        if events.stream is not None:
            mine = np.flatnonzero(events.stream == number)
        if len(mine):
            found = take_rows(events, mine)
            yield LateBatch(stream.name, found.table, found.time_us, watermarks[mine])


def _error_batch(
    batch: EventBatch, reason: str, rows: Int64s, pattern: str | None, variable: str | None
) -> ErrorBatch:
    events = take_rows(batch, rows)
    return ErrorBatch(reason, events.table, events.time_us, pattern, variable)
