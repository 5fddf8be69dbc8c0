"""A slice of events -> the same slice with the fields that lookups and features add."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from cep.engine.algebra.aggregates import NO_FUNCTIONS, Functions
from cep.engine.algebra.expression import DataType
from cep.engine.algebra.pattern import Stream
from cep.engine.algebra.plan import Feature, Lookup
from cep.engine.batch import EventBatch
from cep.engine.columns.data import pc
from cep.engine.dataflow.tasks import TaskPlan
from cep.engine.operators.features.operator import FeatureGroup, FeatureOperator, group_features
from cep.engine.operators.features.restore import Member, continued, state_of
from cep.engine.operators.fed import Failure, Fed
from cep.engine.operators.lookup import LookupOperator
from cep.engine.state.interning import TextCodes
from cep.engine.state.key_space import KeySpace, OperatorShard, SliceKeys
from cep.engine.state.restoring import StateOf, restore_states, save_states
from cep.engine.state.snapshot import Snapshot, Value

OnShards = Callable[[Callable[[int], None]], object]


@dataclass(slots=True)
class Added:
    """A slice with all its fields, and what could not be computed: a `Failure.variable` is one."""

    batch: EventBatch
    failures: list[Failure] = field(default_factory=list)


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
        """The slice with all its fields. `on_shards` runs work for every shard, on its thread."""
        added = Added(batch)
        for lookup in self._lookups:
            fed = Fed(added.batch, 0, _NO_TEXTS)
            _append(added, lookup.columns(fed))
        keys: dict[tuple[str, ...], SliceKeys] = {}
        for operator in self.operators:
            fed = Fed(added.batch, 0, _NO_TEXTS)
            if operator.key not in keys:
                keys[operator.key] = self.spaces[operator.key].on(added.batch, fed.evaluator)
            self._run(operator, fed, keys[operator.key], on_shards, added)
        for space in self.spaces.values():
            for shard in range(self._shards):
                space.forget_idle_keys(shard)
        return added

    def _run(
        self,
        operator: FeatureOperator,
        fed: Fed,
        keys: SliceKeys,
        on_shards: OnShards,
        added: Added,
    ) -> None:
        prepared = operator.prepare(fed)
        rows = keys.split(prepared.rows)

        def work(shard: int) -> None:
            if len(rows[shard]):
                codes = keys.codes(shard, rows[shard])
                operator.process(shard, prepared, rows[shard], codes)
            operator.advance_to(shard, int(fed.batch.time_us[-1]) - 1)

        on_shards(work)
        columns, failures = operator.columns(fed, prepared)
        _append(added, columns)
        added.failures += failures

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
