"""The feature operator: events in; for each of them, fields computed from what its key did before.

    features --group_features--> groups that share a queue --FeatureOperator--> columns

An operator is used once per slice of events, see `prepare`, `process` and `columns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import Aggregated, DataType, Expression, Field, rebuild, walk
from cep.engine.algebra.plan import Feature
from cep.engine.batch import Bools, Int64s
from cep.engine.columns.arithmetic import OVERFLOW
from cep.engine.columns.data import with_nulls
from cep.engine.columns.evaluator import Column, ColumnEvaluator, EvaluationError, to_arrow
from cep.engine.kernels import features_layout as layout
from cep.engine.operators.features.plan import (
    FeatureGroup,
    UserAggregate,
    group_features,
    own_fields,
    plan_group,
)
from cep.engine.operators.features.restore import described, queues_for, values_for
from cep.engine.operators.features.state import QueueState, Renamed
from cep.engine.operators.features.values import (
    Fault,
    ValueQueues,
    python_values,
    results_array,
)
from cep.engine.operators.fed import Failure, Fed
from cep.engine.state.cleaning import Cleaning
from cep.engine.state.interning import TextCodes
from cep.engine.state.snapshot import Parts, Snapshot

__all__ = ["FeatureGroup", "FeatureOperator", "Prepared", "group_features"]

TEXTS_KEPT_MIN = 1 << 16  # fewer texts than this are not worth cleaning
TEMPORARY = "\0aggregated "  # in names of columns: no field has such a name


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A slice of events as the operator sees it.

    `rows`: those that feed or ask, ascending. `asked`: where an event got its values, set by
    `process`. `given` and `returned`: per aggregate computed in Python, a value per event.
    """

    rows: Int64s
    events: layout.Events
    results: layout.Results
    asked: Bools
    given: list[list[Any]]
    returned: list[list[Any]]
    failures: list[Failure]
    faults: list[Fault] = field(default_factory=list)


class FeatureOperator:
    """Keeps the queues of one group of features, and computes their columns.

    `streams`: number of each stream, as `EventBatch.stream` has it. State is apart for each of the
    `shards`; calls for different shards may run at the same time. `capacity` is the first size of
    every buffer. `functions`: user-defined aggregates by name. A key's events are held while later
    ones can see them; keys that are silent longer than the range hold nothing. Where nothing ever
    leaves, only what the functions need is held.

    An event costs O(1) (amortised), and O(log w) for medians, quantiles and distinct counts over
    the w events in reach, which are exact, those called approximate as well; what Python computes
    costs O(w).
    """

    def __init__(
        self,
        features: FeatureGroup | tuple[Feature, ...] | list[Feature],
        streams: Mapping[str, int],
        shards: int = 1,
        capacity: int = 1024,
        functions: Mapping[str, UserAggregate] | None = None,
    ) -> None:
        group = features if isinstance(features, FeatureGroup) else FeatureGroup(tuple(features))
        functions = functions or {}
        self.group = group
        self.plan = plan_group(group, functions)
        self._stream = streams[group.first.stream]
        self._source = streams[group.source]
        self._texts = TextCodes()
        self._cleaning = Cleaning(TEXTS_KEPT_MIN)
        self._queues = [QueueState(self.plan, capacity) for _ in range(shards)]
        excluding = group.first.excluding_current
        in_python = self.plan.in_python
        self._values = [
            ValueQueues(in_python, functions, group.over, excluding)
            for _ in range(shards if in_python else 0)
        ]
        self._past_us: list[int | None] = [None] * shards  # no event up to then will come
        # Without anything for the kernels to keep, Python's queues are all there is.
        self._uses_kernels = bool(self.plan.answered)

    @property
    def key(self) -> tuple[str, ...]:
        return self.group.first.key

    @property
    def expressions(self) -> list[Expression]:
        """What is evaluated of every event."""
        arguments = [n.argument for n in self.group.aggregates if n.argument is not None]
        where = self.group.first.where
        return [*dict.fromkeys(arguments), *([] if where is None else [where])]

    # ------------------------------------------------------------------ one slice of events

    def prepare(self, fed: Fed) -> Prepared:
        """Evaluate what the features read, once for all shards; changes no state but text codes."""
        size = len(fed.batch)
        asks, feeds = self._rows_of(fed, self._stream), self._rows_of(fed, self._source)
        where, failures = self.group.first.where, []
        if where is not None:
            failures += self._failures(fed.evaluator.errors_of(where), feeds)
            feeds = feeds & fed.evaluator.true_rows(where)
        for argument in self.expressions[: len(self.expressions) - (where is not None)]:
            failures += self._failures(fed.evaluator.errors_of(argument), feeds)
        roles = feeds * np.uint8(layout.FEEDS) + asks * np.uint8(layout.ASKS)
        return Prepared(
            np.flatnonzero(feeds | asks),
            self._events(fed, fed.time_us, roles),
            layout.new_results(len(self.plan.answered), size),
            np.zeros(size, np.bool_),
            [self._given(fed, node, feeds) for node in self.plan.in_python],
            [[None] * size for _ in self.plan.in_python],
            failures,
        )

    def process(self, shard: int, prepared: Prepared, rows: Int64s, codes: Int64s) -> None:
        """Let rows of interest of this shard happen.

        `rows`: ascending, those of `prepared.rows` whose key has no NULL; `codes`: of their keys.
        The kernels let go of the GIL.
        """
        rows, codes = _own(rows), _own(codes)
        events, results = prepared.events, prepared.results
        prepared.asked[rows[events.roles[rows] & layout.ASKS != 0]] = True
        if self._uses_kernels:
            self._queues[shard].process(events, rows, codes, results)
        if self._values:
            prepared.faults.extend(
                self._values[shard].process(
                    events.time_us, events.roles, prepared.given, rows, codes, prepared.returned
                )
            )

    def columns(
        self, fed: Fed, prepared: Prepared
    ) -> tuple[list[tuple[str, pa.Array[Any]]], list[Failure]]:
        """(name, values) of each feature, NULL for events of other streams; and what failed."""
        failures = list(prepared.failures)
        arrays = self._aggregated(prepared)
        found = []
        for feature in self.group.features:
            failures += self._overflows(feature, prepared)
            if isinstance(feature.value, Aggregated):
                found.append((feature.name, arrays[feature.value]))
            else:
                column, errors = self._evaluated(feature, fed, arrays)
                failures += self._failures(errors, prepared.asked, feature.name)
                column = with_nulls(column, _both(column.valid, prepared.asked), len(fed.batch))
                array = to_arrow(column, len(fed.batch), feature.value.type)
                found.append((feature.name, array))
        return found, failures + self._faults(prepared)

    def advance_to(self, shard: int, time_us: int) -> None:
        """No event with time <= time_us will come any more."""
        self._past_us[shard] = time_us
        self._queues[shard].advance_to(time_us)
        if self._values:
            self._values[shard].advance_to(time_us)

    # ------------------------------------------------------------------ in

    def _rows_of(self, fed: Fed, stream: int) -> Bools:
        if fed.batch.stream is None:
            return np.ones(len(fed.batch), np.bool_)
        here: Bools = fed.batch.stream == stream
        return here

    def _events(self, fed: Fed, time_us: Int64s, roles: layout.Bytes) -> layout.Events:
        size = len(fed.batch)
        inputs = np.zeros((len(self.plan.inputs), size), np.int64)
        valid = np.ones((len(self.plan.inputs), size), np.bool_)
        for number, expression in enumerate(self.plan.inputs):
            column = fed.evaluator.evaluate(expression)
            inputs[number] = self._words(expression, column)
            held = _valid(column)
            if held is not None:
                valid[number] = held
        rank = self._texts.rank() if self.plan.ranks_texts else np.empty(0, np.int64)
        return layout.Events(time_us, roles, inputs, inputs.view(np.float64), valid, rank)

    def _words(self, expression: Expression, column: Column) -> Int64s:
        """Values as the kernel's words: of the type that the expression is bound to."""
        if column.type is DataType.TEXT:
            return self._texts.encode(column.values)
        if expression.type is DataType.FLOAT:
            real = np.ascontiguousarray(column.values, np.float64)
            words: Int64s = real.view(np.int64)
            return words
        return np.asarray(column.values, np.int64)

    def _given(self, fed: Fed, node: Aggregated, feeds: Bools) -> list[Any]:
        argument = node.argument
        column = None if argument is None else fed.evaluator.evaluate(argument)
        return python_values(node, column, feeds)

    # ------------------------------------------------------------------ out

    def _aggregated(self, prepared: Prepared) -> dict[Aggregated, pa.Array[Any]]:
        """The values of every `Aggregated` node."""
        arrays = {
            node: self._answered(number, node, prepared)
            for number, node in enumerate(self.plan.answered)
        }
        for number, node in enumerate(self.plan.in_python):
            array, faults = results_array(node, prepared.returned[number])
            prepared.faults.extend((number, reason, row) for reason, row in faults)
            arrays[node] = array
        return arrays

    def _answered(self, number: int, node: Aggregated, prepared: Prepared) -> pa.Array[Any]:
        kind = node.type or DataType.NULL
        words, size = prepared.results.words[number], len(prepared.asked)
        valid: Bools = prepared.results.status[number] == layout.VALUE
        if kind is DataType.NULL:
            nothing: pa.Array[Any] = pa.nulls(size)
            return nothing
        if kind is DataType.TEXT:
            return self._as_texts(words, valid)
        if kind is DataType.FLOAT:
            return to_arrow(Column(kind, words.view(np.float64), valid), size)
        if kind is DataType.BOOLEAN:
            return to_arrow(Column(kind, words != 0, valid), size)
        return to_arrow(Column(kind, words, valid), size)

    def _as_texts(self, codes: Int64s, valid: Bools) -> pa.Array[Any]:
        used, places = np.unique(np.where(valid, codes, -1), return_inverse=True)
        texts: Any = pa.array([self._texts.text(c) if c >= 0 else "" for c in used.tolist()])
        taken = texts.take(pa.array(places.ravel(), mask=~valid))
        result: pa.Array[Any] = taken.cast(pa.string())
        return result

    def _evaluated(
        self, feature: Feature, fed: Fed, arrays: Mapping[Aggregated, pa.Array[Any]]
    ) -> tuple[Column, tuple[EvaluationError, ...]]:
        """The feature's value, of fields of the event and the columns of its aggregates."""
        numbers = {node: f"{TEMPORARY}{i}" for i, node in enumerate(arrays)}

        def read(node: Expression) -> Expression:
            if isinstance(node, Aggregated):
                return Field(numbers[node], type=node.type)
            return rebuild(node, read)

        value = read(feature.value)
        table: Any = fed.batch.table
        columns = {name: table.column(name) for name in own_fields(feature.value)}
        columns |= {numbers[node]: pa.chunked_array([array]) for node, array in arrays.items()}
        if not columns:
            columns = {TEMPORARY: pa.chunked_array([pa.nulls(len(fed.batch))])}
        evaluator = ColumnEvaluator(pa.table(columns))
        return evaluator.evaluate(value), evaluator.errors_of(value)

    def _overflows(self, feature: Feature, prepared: Prepared) -> list[Failure]:
        nodes = set(_aggregates_of(feature.value))
        found = np.zeros(len(prepared.asked), np.bool_)
        for number, node in enumerate(self.plan.answered):
            if node in nodes:
                found |= prepared.results.status[number] == layout.OVERFLOW
        rows = np.flatnonzero(found)
        return [Failure(OVERFLOW, feature.name, rows)] if len(rows) else []

    def _faults(self, prepared: Prepared) -> list[Failure]:
        """What user-defined functions could not do, in an order that shards have no part in."""
        rows_of: dict[tuple[str, str], list[int]] = {}
        for number, reason, row in sorted(prepared.faults):
            node = self.plan.in_python[number]
            for feature in self.group.features:
                if node in _aggregates_of(feature.value):
                    rows_of.setdefault((feature.name, reason), []).append(row)
        return [Failure(r, name, np.array(rows, np.int64)) for (name, r), rows in rows_of.items()]

    def _failures(
        self, errors: tuple[EvaluationError, ...], here: Bools, name: str | None = None
    ) -> list[Failure]:
        name = self.group.first.name if name is None else name
        rows = [(error.reason, error.rows[here[error.rows]]) for error in errors]
        return [Failure(reason, name, failed) for reason, failed in rows if len(failed)]

    # ------------------------------------------------------------------ keys and snapshots

    def active_keys(self, shard: int, time_us: int | None = None) -> Int64s:
        """Codes of the keys that hold something an event later than time_us could see.

        None: an event that can still come.
        """
        time_us = self._past_us[shard] if time_us is None else time_us
        found = self._queues[shard].active_keys(time_us)
        if self._values:
            found = np.union1d(found, self._values[shard].active_keys(time_us))
        return found

    def keep_keys(self, shard: int, codes: Int64s) -> None:
        """Key i is from now on what was key codes[i] (sorted); the others hold nothing needed."""
        self._queues[shard].keep_keys(codes)
        if self._values:
            self._values[shard].keep_keys(codes)

    def sizes(self, shard: int) -> dict[str, int]:
        """Events and bytes held, for status."""
        queue = self._queues[shard]
        held = self._values[shard].events_held if self._values else 0
        return {"events": max(queue.nodes_used, held), "bytes": queue.bytes_held}

    def snapshot(self, shard: int) -> Snapshot:
        """Copies of all that the shard holds; texts as themselves, with codes of their own."""
        queue = self._queues[shard].snapshot()
        used = self._queues[shard].text_codes()
        plan = described(self.group, self.plan)
        parts: Snapshot = {"plan": plan, "queues": queue, "text_codes": used}
        texts = [self._texts.text(code) for code in used.tolist()]
        parts["texts"] = pa.table({"text": pa.array(texts, pa.string())})
        if self._values:
            parts["values"] = self._values[shard].snapshot()
        return parts

    def restore(self, shard: int, parts: Parts) -> None:
        """Take over snapshots of several shards of a group with this queue into an empty one.

        That group may have had other features and epochs: see `feature_restore`.
        """
        for part, codes in parts:
            if self._uses_kernels:
                renamed = self._renaming(part["text_codes"], part["texts"])
                queues = queues_for(self.plan, part["plan"], part["queues"])
                self._queues[shard].restore([(queues, codes)], [renamed])
            if self._values and "values" in part:
                values = values_for(self.plan, part["plan"], part["values"])
                self._values[shard].restore([] if values is None else [(values, codes)])

    def _renaming(self, codes: Int64s, saved: pa.Table) -> Renamed:
        """What turns the text codes of a snapshot into those of here."""
        texts: list[Any] = saved.column("text").to_pylist()
        own = np.array([self._texts.code(text) for text in texts], np.int64)

        def renamed(asked: Int64s) -> Int64s:
            """Codes of the snapshot -> codes here; what is none of them (an empty slot) gives 0."""
            if len(own) == 0:
                return np.zeros_like(asked)
            found: Int64s = own[np.minimum(np.searchsorted(codes, asked), len(own) - 1)]
            return found

        return renamed

    @property
    def texts_are_many(self) -> bool:
        """Whether texts are worth forgetting."""
        return self._cleaning.is_due(len(self._texts), self._texts.characters)

    def forget_texts(self) -> None:
        """Let go of texts that no queue holds, now and then; while no slice is prepared."""
        if not self.texts_are_many:
            return
        held = np.unique(np.concatenate([queue.text_codes() for queue in self._queues]))
        for queue in self._queues:
            queue.rename_texts(held)
        texts, self._texts = self._texts, TextCodes()
        for code in held.tolist():
            self._texts.code(texts.text(code))
        self._cleaning.done(len(held), self._texts.characters)


def _aggregates_of(value: Expression) -> list[Aggregated]:
    return [node for node in walk(value) if isinstance(node, Aggregated)]


def _valid(column: Column) -> Bools | None:
    if column.type is DataType.TEXT and column.values.null_count:
        held = column.values.is_valid().to_numpy(zero_copy_only=False)
        return np.asarray(held, np.bool_)
    return column.valid


def _both(valid: Bools | None, asked: Bools) -> Bools:
    return asked if valid is None else valid & asked


def _own(array: Int64s) -> Int64s:
    """An array that kernels need no other version for: contiguous, and writable."""
    return np.require(array, np.int64, ["C", "W"])
