"""Rules and data in, the events of some keys as a pattern meets them out: ordered, with features.

A pattern of one variable that takes every event collects them, so that what lookups, features and
other rules make is there, and what the engine sets aside is not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Pattern, Skip, SkipStrategy, Step, Stream, Variable
from cep.engine.algebra.plan import Aggregate, Feature, Join, RuleSet
from cep.engine.batch import EventBatch, Int64s
from cep.engine.columns.data import pc
from cep.engine.dataflow.reads import sources_of
from cep.engine.ingest.conform import plain_type
from cep.engine.results import MatchBatch
from cep.engine.runtime.task import Task
from cep.engine.state.event_store import take_rows

if TYPE_CHECKING:
    from cep.bounded import BoundRun
    from cep.rules import Rules

Key = tuple[Any, ...]
COLLECTOR = "(events)"


@dataclass(frozen=True, slots=True)
class History:
    """The events of one key that a bound pattern reads, in the order in which it meets them.

    `streams` are those that the pattern reads, as `events.stream` numbers them.
    """

    pattern: Pattern
    streams: tuple[Stream, ...]
    key: Key
    events: EventBatch


def histories(
    rules: Rules, data: Any, pattern: Pattern, keys: Collection[Key] | None
) -> list[History]:
    """The histories of these keys, as many as have events; None: one of all keys together.

    `pattern` is bound. O(events read), and memory for those of the keys. Raises DataError for a key
    that is of another type than the data's.
    """
    run = _collector(rules, pattern).open_run(data)
    if run.feed.is_void:
        return []
    task = next(t for t in run.execution.runtime.tasks if COLLECTOR in _names(t))
    parts = list(_kept(run, pattern.key, keys))
    if not parts:
        return []
    events = _joined(parts, len(task.streams) > 1)
    return [
        History(pattern, task.streams, key, take_rows(events, rows))
        for key, rows in _by_key(events.table, pattern.key, keys)
    ]


def _names(task: Task) -> set[str]:
    return {node.name for node in task.nodes}


def _collector(rules: Rules, pattern: Pattern) -> Rules:
    """The rules with one more pattern, which takes every event that the given one reads.

    That stays, so that what it reads is computed; of the others only those that are read.
    """
    from cep.rules import Rules

    whole = rules.rule_set
    kept = {pattern.name, *_names_read(whole)}
    collector = Pattern(
        COLLECTOR,
        (Step(Variable("event")),),
        streams=pattern.streams,
        skip=Skip(SkipStrategy.NO_SKIP),
    )
    patterns = (*(p for p in whole.patterns if p.name in kept), collector)
    return Rules(replace(whole, patterns=patterns), functions=rules.functions)


def _names_read(rules: RuleSet) -> Iterator[str]:
    readers: list[Pattern | Feature | Aggregate | Join] = [*rules.patterns, *rules.features]
    for reader in (*readers, *rules.aggregates, *rules.joins):
        yield from sources_of(reader)


def _kept(
    run: BoundRun, fields: tuple[str, ...], keys: Collection[Key] | None
) -> Iterator[EventBatch]:
    """The events, step by step, that may be of one of the keys."""
    wanted = None if keys is None else {f: [k[i] for k in keys] for i, f in enumerate(fields)}
    for output, _ in run.steps(end_of_stream=True, progress=None):
        for batch in output.matches:
            if batch.pattern.name == COLLECTOR:
                yield take_rows(_events_of(batch), _possible(batch.events, batch.row, wanted))


def _events_of(batch: MatchBatch) -> EventBatch:
    return EventBatch(batch.events, batch.event_time_us, batch.event_stream, batch.event_position)


def _possible(events: pa.Table, rows: Int64s, wanted: Mapping[str, list[Any]] | None) -> Int64s:
    if wanted is None:
        return rows
    near = np.ones(len(rows), np.bool_)
    taken: Any = pa.array(rows)
    for field, values in wanted.items():
        column: Any = events.column(field).take(taken)
        type_ = plain_type(column.type)
        found = pc.is_in(column.cast(type_), value_set=_as_values(values, field, type_))
        near &= found.to_numpy(zero_copy_only=False)
    return rows[near]


def _as_values(values: list[Any], field: str, type_: pa.DataType) -> Any:
    try:
        return pa.array(values, type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        shown = ", ".join(map(repr, values[:3]))
        raise DataError(f"key {field} is of type {type_} in the data: {shown} cannot be") from error


def _told_apart(values: Any) -> list[Any]:
    """The values, all NaN as one object: it is equal to itself there, as in the engine's keys."""
    return [math.nan if value != value else value for value in values.to_pylist()]


def _joined(parts: list[EventBatch], several: bool) -> EventBatch:
    """One batch, in the order in which the pattern meets the events."""
    positions = np.concatenate([p.position for p in parts if p.position is not None])
    order = np.argsort(positions, kind="stable")
    streams = [p.stream for p in parts if p.stream is not None]
    table = pa.concat_tables([p.table for p in parts], promote_options="default")
    time_us = np.concatenate([p.time_us for p in parts])
    whole = EventBatch(table, time_us, np.concatenate(streams) if several else None, positions)
    return take_rows(whole, order)


def _by_key(
    table: pa.Table, fields: tuple[str, ...], keys: Collection[Key] | None
) -> Iterable[tuple[Key, Int64s]]:
    if keys is None:
        return [((), np.arange(table.num_rows))]
    columns = [_told_apart(table.column(field)) for field in fields]
    types = [plain_type(table.schema.field(field).type) for field in fields]
    several = zip(fields, types, zip(*keys, strict=True), strict=True)
    asked = zip(*(_told_apart(_as_values(list(v), f, t)) for f, t, v in several), strict=True)
    wanted = set(asked)
    rows: dict[Key, list[int]] = {}
    for row, key in enumerate(zip(*columns, strict=True)):
        if None not in key:
            rows.setdefault(key, []).append(row)
    return [(key, np.array(rows[key], np.int64)) for key in rows if key in wanted]
