"""A slice of events -> the same slice with the fields that lookups and features add."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import pyarrow as pa

from cep.engine.algebra.aggregates import NO_FUNCTIONS, Functions
from cep.engine.algebra.expression import DataType
from cep.engine.algebra.pattern import Stream
from cep.engine.algebra.plan import Feature, Lookup
from cep.engine.batch import EventBatch, Int64s
from cep.engine.columns.data import pc
from cep.engine.dataflow.tasks import TaskPlan
from cep.engine.operators.features.operator import (
    FeatureGroup,
    FeatureOperator,
    Prepared,
    group_features,
)
from cep.engine.operators.features.restore import Member, continued, state_of
from cep.engine.operators.fed import Failure, Fed
from cep.engine.operators.lookup import LookupOperator
from cep.engine.runtime.stages import results_of
from cep.engine.state.interning import TextCodes
from cep.engine.state.key_space import KeySpace, OperatorShard, SliceKeys
from cep.engine.state.restoring import StateOf, restore_states, save_states
from cep.engine.state.snapshot import Snapshot, Value

OnShards = Callable[[Callable[[int], None]], Sequence[Future[None]]]


@dataclass(slots=True)
class Added:
    """A slice with all its fields, and what could not be computed: a `Failure.variable` is one."""

    batch: EventBatch
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A slice as the features of one queue see it. `rows`: those of each shard."""

    operator: FeatureOperator
    fed: Fed
    prepared: Prepared
    keys: SliceKeys
    rows: list[Int64s]


@dataclass(slots=True)
class Enriching:
    """A slice that shards work on: the features in `steps` are not among its fields yet."""

    added: Added
    steps: list[_Step] = field(default_factory=list)
    shards: Sequence[Future[None]] = ()


class Enricher:
    """The lookups and features of one feed, in their order, with the state of the features.

    Keys are apart from those of patterns: a slice gets its fields before the one before it has been
    worked on.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        lookups: Sequence[LookupOperator],
        features: Sequence[Feature],
        shards: int,
        capacity: int = 1024,
        functions: Functions = NO_FUNCTIONS,
    ) -> None:
        self._streams = tuple(streams)
        self._lookups = list(lookups)
        self._shards = shards
        self._capacity = capacity
        self._functions = functions
        self._groups = group_features(features)
        self._begin(self._groups)

    def _begin(self, groups: Iterable[FeatureGroup]) -> None:
        """Without state."""
        numbers = {stream.name: number for number, stream in enumerate(self._streams)}
        self.operators = [
            FeatureOperator(group, numbers, self._shards, self._capacity, self._functions)
            for group in groups
        ]
        by_level = groupby(self.operators, lambda operator: operator.group.level)
        self._levels = [list(level) for _, level in by_level]
        self.spaces: dict[tuple[str, ...], KeySpace] = {}
        for operator in self.operators:
            space = self._space(operator.key)
            for number, shard in enumerate(space.shards):
                shard.states.append(OperatorShard(operator, number))

    def _space(self, key: tuple[str, ...]) -> KeySpace:
        if key not in self.spaces:
            self.spaces[key] = KeySpace(key, _types(key, self._streams), self._shards)
        return self.spaces[key]

    def reload(self, table: str, rows: pa.Table) -> None:
        """Look up in these rows from now on. DataError where they do not fit: nothing changes."""
        mine = [lookup for lookup in self._lookups if lookup.table.name == table]
        for lookup in mine:
            lookup.load(rows)

    @property
    def bytes_held(self) -> int:
        """The size of what features hold."""
        shards = range(self._shards)
        return sum(operator.sizes(n)["bytes"] for operator in self.operators for n in shards)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to add."""
        return not (self._lookups or self.operators)

    @property
    def _states(self) -> Iterator[StateOf]:
        """That of each queue: named by what it is, numbered because two may be the same."""
        for number, operator in enumerate(self.operators):
            shards = [OperatorShard(operator, n) for n in range(self._shards)]
            name = f"{number}: {operator.group.queue}"
            yield StateOf(name, self.spaces[operator.key], shards)

    def snapshot(self) -> Snapshot:
        """A copy of the state of all features."""
        return save_states(self._states)

    def restore(self, saved: Mapping[str, Value], kept: Collection[Member]) -> None:
        """Go on with what was saved of the features in `kept`; the others begin."""
        states = state_of(saved["states"], kept)
        parts = [
            part for group in self._groups for part in continued(group, states, saved["states"])
        ]
        self._begin(group for group, _ in parts)
        found = {
            state.name: saved["states"][name]
            for state, (_, name) in zip(self._states, parts, strict=True)
            if name is not None
        }
        restore_states(self._states, {"spaces": saved["spaces"], "states": found}, found)

    def add(self, batch: EventBatch, on_shards: OnShards) -> Added:
        """The slice with all its fields."""
        return self.end(self.begin(batch, on_shards))

    def begin(self, batch: EventBatch, on_shards: OnShards) -> Enriching:
        """Let the shards work on the features of a slice; slices in their order.

        Waits for those features only that others read; the slice before need not have ended.
        `on_shards` begins work for every shard, on its thread.
        """
        enriching = Enriching(Added(batch))
        for lookup in self._lookups:
            _append(enriching.added, lookup.columns(Fed(enriching.added.batch, 0, _NO_TEXTS)))
        keys: dict[tuple[str, ...], SliceKeys] = {}
        for number, level in enumerate(self._levels):
            self.end(enriching)
            steps = [self._step(operator, enriching.added.batch, keys) for operator in level]
            enriching.steps = steps
            enriching.shards = on_shards(self._work(steps, number == len(self._levels) - 1))
        return enriching

    def end(self, enriching: Enriching) -> Added:
        """Wait for the shards, and add the fields."""
        results_of(enriching.shards)
        for step in enriching.steps:
            columns, failures = step.operator.columns(step.fed, step.prepared)
            _append(enriching.added, columns)
            enriching.added.failures += failures
        enriching.steps, enriching.shards = [], ()
        return enriching.added

    def _step(
        self, operator: FeatureOperator, batch: EventBatch, keys: dict[tuple[str, ...], SliceKeys]
    ) -> _Step:
        fed = Fed(batch, 0, _NO_TEXTS)
        if operator.key not in keys:
            keys[operator.key] = self.spaces[operator.key].on(batch, fed.evaluator)
        prepared, own = operator.prepare(fed), keys[operator.key]
        return _Step(operator, fed, prepared, own, own.split(prepared.rows))

    def _work(self, steps: list[_Step], is_last: bool) -> Callable[[int], None]:
        """What a shard does for some features; behind the last ones of a slice it cleans up."""

        def work(shard: int) -> None:
            for step in steps:
                rows = step.rows[shard]
                if len(rows):
                    codes = step.keys.codes(shard, rows)
                    step.operator.process(shard, step.prepared, rows, codes)
                step.operator.advance_to(shard, int(step.fed.batch.time_us[-1]) - 1)
            for space in self.spaces.values() if is_last else ():
                space.forget_idle_keys(shard)

        return work

    @property
    def texts_are_many(self) -> bool:
        """Whether some texts are worth forgetting."""
        return any(operator.texts_are_many for operator in self.operators)

    def forget_texts(self) -> None:
        """Let go of texts that no feature holds, now and then: while no slice is on its way."""
        for operator in self.operators:
            operator.forget_texts()

    def add_to_late(self, batch: EventBatch) -> EventBatch:
        """Late events: looked up as any, but their features are NULL, for their time is over."""
        added = Added(batch)
        for lookup in self._lookups:
            _append(added, lookup.columns(Fed(added.batch, 0, _NO_TEXTS)))
        for operator in self.operators:
            nulls = [(f.name, _nulls(len(batch), f)) for f in operator.group.features]
            _append(added, nulls)
        return added.batch


_NO_TEXTS = TextCodes()  # features have texts of their own


def _append(added: Added, columns: Iterable[tuple[str, Any]]) -> None:
    """A field of the same name that another stream has is NULL where this one's values are."""
    table = added.batch.table
    for name, values in columns:
        if name not in table.schema.names:
            table = table.append_column(name, values)
            continue
        place = table.schema.get_field_index(name)
        others = table.column(place)
        table = table.set_column(place, name, pc.coalesce(values, others.cast(values.type)))
    added.batch = replace(added.batch, table=table)


def _nulls(rows: int, feature: Feature) -> Any:
    from cep.engine.columns.data import ARROW_TYPES

    return pa.nulls(rows, ARROW_TYPES[feature.value.type or DataType.NULL])


def _types(names: tuple[str, ...], streams: Sequence[Stream]) -> tuple[DataType, ...]:
    types = {f.name: f.type for stream in reversed(streams) for f in stream.fields}
    return tuple(types[name] for name in names)


def lookup_operators(plan: TaskPlan, tables: Mapping[str, pa.Table]) -> list[LookupOperator]:
    """An operator for each stream and table of a task. Raises DataError for what does not fit."""
    several: dict[tuple[str, str], list[Lookup]] = {}
    for lookup in plan.lookups:
        several.setdefault((lookup.stream, lookup.table), []).append(lookup)
    numbers = {stream.name: number for number, stream in enumerate(plan.streams)}
    known = {table.name: table for table in plan.tables}
    found = []
    for (_, table), lookups in several.items():
        operator = LookupOperator(lookups, known[table], numbers)
        operator.load(tables[table])
        found.append(operator)
    return found
