"""A slice of events -> the same slice with the fields that lookups and features add."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from cep.engine.aggregates import NO_FUNCTIONS, Functions
from cep.engine.batch import EventBatch
from cep.engine.expression import DataType
from cep.engine.interning import TextCodes
from cep.engine.key_space import KeySpace, OperatorShard, SliceKeys
from cep.engine.operators.feature import FeatureOperator, group_features
from cep.engine.operators.fed import Failure, Fed
from cep.engine.operators.lookup import LookupOperator
from cep.engine.pattern import Stream
from cep.engine.plan import Feature, Lookup
from cep.engine.task_plan import TaskPlan

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
        numbers = {stream.name: number for number, stream in enumerate(streams)}
        self.operators = [
            FeatureOperator(group, numbers, shards, capacity, functions)
            for group in group_features(features)
        ]
        self.spaces: dict[tuple[str, ...], KeySpace] = {}
        for operator in self.operators:
            space = self._space(operator.key, shards)
            for number, shard in enumerate(space.shards):
                shard.states.append(OperatorShard(operator, number))

    def _space(self, key: tuple[str, ...], shards: int) -> KeySpace:
        if key not in self.spaces:
            self.spaces[key] = KeySpace(key, _types(key, self._streams), shards)
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

    def states(self) -> Iterable[tuple[str, tuple[str, ...], list[OperatorShard]]]:
        """(name, key, state per shard) of each group of features; a group is named by them all."""
        for operator in self.operators:
            shards = range(len(self.spaces[operator.key].shards))
            yield group_name(operator), operator.key, [OperatorShard(operator, n) for n in shards]

    def groups(self) -> Iterable[tuple[str, tuple[Feature, ...]]]:
        """(name, features) of each group."""
        return [(group_name(o), o.group.features) for o in self.operators]

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
            space.forget_idle_keys()
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


def group_name(operator: FeatureOperator) -> str:
    """The features of a group, as the name of their state."""
    return ", ".join(feature.name for feature in operator.group.features)


def _append(added: Added, columns: Iterable[tuple[str, Any]]) -> None:
    table = added.batch.table
    for name, values in columns:
        table = table.append_column(name, values)
    added.batch = replace(added.batch, table=table)


def _nulls(rows: int, feature: Feature) -> Any:
    from cep.engine.columns_data import ARROW_TYPES

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
