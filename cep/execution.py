"""Rules met with streams: the dataflow, the runtime that runs it, the tables that come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Pattern, Stream, StreamField
from cep.engine.algebra.plan import Dataflow, NodeKind
from cep.engine.columns.data import ARROW_TYPES, data_type_of
from cep.engine.dataflow.tasks import TaskPlan, hidden_fields, nodes_as_made, task_plans
from cep.engine.io.readers import open_source
from cep.engine.results import Output
from cep.engine.runtime.runtime import Runtime
from cep.engine.state.limits import Limit
from cep.results.layout import Events, Layout
from cep.results.result import Result, make_result
from cep.results.tables import RowTables

if TYPE_CHECKING:
    from cep.rules import Rules


@dataclass(frozen=True)
class Execution:
    """A bound rule set with its state. `schema`: the columns of all base streams as they arrive.

    `own_fields`: those of each stream. `undeclared`: those beside the ones that the rules declare,
    which are no part of what tells an event from others. `traced`: results have attempts.
    """

    flow: Dataflow
    runtime: Runtime
    schema: pa.Schema
    own_fields: tuple[frozenset[str], ...]
    undeclared: frozenset[str] = frozenset()
    traced: bool = False

    @classmethod
    def start(
        cls,
        rules: Rules,
        streams: Sequence[Stream],
        schema: pa.Schema,
        own_fields: Sequence[frozenset[str]],
        *,
        tables: Mapping[str, Any] | None = None,
        workers: int = 1,
        limits: Mapping[str, Limit] | None = None,
        traced: bool = False,
        counted: bool = False,
    ) -> Execution:
        """Bind the rules to the streams. Raises RuleError where they do not fit them."""
        rows = looked_up(rules, tables or {})
        flow = rules.bind([*streams, *(Stream(n, _fields(t)) for n, t in rows.items())])
        runtime = Runtime(
            flow,
            workers=workers,
            traced=traced,
            counted=counted,
            limits=limits,
            functions=rules.functions,
            tables=rows,
        )
        names = [stream.name for stream in streams]
        order = [names.index(stream.name) for stream in flow.streams]
        own = tuple(own_fields[number] for number in order)
        return cls(flow, runtime, schema, own, _undeclared(rules, schema), traced)

    @classmethod
    def of_nothing(cls, rules: Rules, traced: bool = False) -> Execution:
        """No data, so nothing is known of the streams: no event can come."""
        flow = rules.unbound()
        own = tuple(frozenset(field.name for field in s.fields) for s in flow.streams)
        return cls(flow, Runtime(Dataflow((), ())), pa.schema([]), own, traced=traced)

    def result(
        self, output: Output, events: int, seconds: float, notes: Sequence[str] = ()
    ) -> Result:
        """What came out, as tables."""
        return make_result(self.layout, output, events, seconds, notes, traced=self.traced)

    def empty_result(self, events: int, seconds: float) -> Result:
        """Nothing came out."""
        return self._nothing.again(events, seconds)

    @cached_property
    def _nothing(self) -> Result:
        return self.result(Output(), 0, 0.0)

    @cached_property
    def layout(self) -> Layout:
        nodes = self.flow.nodes
        patterns = [
            node.plan
            for node in nodes
            if node.kind is NodeKind.PATTERN and isinstance(node.plan, Pattern)
        ]
        base, *derived = self._tasks
        added = {f.name for f in self.flow.features} | {x.name for x in self.flow.lookups}
        added |= self.undeclared
        return Layout(
            tuple(patterns),
            self.flow.streams,
            self._with_added(base),
            self._full_fields(base),
            nodes=tuple(n for n in nodes_as_made(self.flow) if n.kind is not NodeKind.PATTERN),
            added=frozenset(added),
            derived={
                node.name: _events_of(task, self._hidden) for task in derived for node in task.nodes
            },
        )

    @cached_property
    def _tasks(self) -> list[TaskPlan]:
        return task_plans(self.flow)

    @cached_property
    def _hidden(self) -> frozenset[str]:
        return hidden_fields(self.flow)

    def _with_added(self, base: TaskPlan) -> pa.Schema:
        """The columns of base events once lookups and features have added theirs."""
        schema = self.schema
        for stream in base.streams:
            for field in stream.fields:
                if field.name not in schema.names and field.name not in self._hidden:
                    schema = schema.append(pa.field(field.name, ARROW_TYPES[field.type]))
        return schema

    def _full_fields(self, base: TaskPlan) -> tuple[frozenset[str], ...]:
        return tuple(
            (own | {field.name for field in stream.fields}) - self._hidden
            for own, stream in zip(self.own_fields, base.streams, strict=True)
        )

    def reload(self, table: str, rows: Any) -> None:
        """Look up in other rows from the next event on."""
        if table not in {lookup.table for lookup in self.flow.lookups}:
            raise DataError(f"no rule looks up a table {table!r}")
        self.runtime.reload(table, table_of_data(rows, table))

    def current(self, name: str) -> pa.Table:
        """The open windows of an aggregate."""
        made = nodes_as_made(self.flow)
        nodes = {node.name: node for node in made if node.kind is NodeKind.AGGREGATE}
        if name not in nodes:
            known = ", ".join(nodes) or "none"
            raise DataError(f"no aggregate {name!r} with windows; there are: {known}")
        return RowTables([nodes[name]], self.runtime.current(name).rows)[name]

    def close(self) -> None:
        """Let go of threads."""
        self.runtime.close()


def _events_of(task: TaskPlan, hidden: frozenset[str]) -> Events:
    """What the events of a task look like that reads what others make."""
    fields = [f for stream in task.streams for f in stream.fields if f.name not in hidden]
    types = {f.name: ARROW_TYPES[f.type] for f in fields}
    own = tuple(frozenset(f.name for f in stream.fields) - hidden for stream in task.streams)
    return Events(pa.schema(list(types.items())), own)


def _undeclared(rules: Rules, schema: pa.Schema) -> frozenset[str]:
    """Columns of streams all of which declare theirs, and none of them this."""
    streams = rules.base_streams
    if not all(stream.fields for stream in streams):
        return frozenset()
    declared = {field.name for stream in streams for field in stream.fields}
    return frozenset(set(schema.names) - declared)


def looked_up(rules: Rules, given: Mapping[str, Any]) -> dict[str, pa.Table]:
    """The tables that the rules look up. DataError for one that is missing or that nobody reads."""
    names = [table.name for table in rules.tables]
    for name in given:
        if name not in names:
            known = ", ".join(names) or "none"
            raise DataError(f"no rule looks up a table {name!r}; looked up: {known}")
    missing = [name for name in names if name not in given]
    if missing:
        raise DataError(f"no data for table {missing[0]!r}, which the rules look up")
    return {name: table_of_data(given[name], name) for name in names}


def _fields(table: pa.Table) -> tuple[StreamField, ...]:
    kinds = [(column.name, data_type_of(column.type)) for column in table.schema]
    return tuple(StreamField(name, kind) for name, kind in kinds if kind is not None)


def table_of_data(data: Any, name: str) -> pa.Table:
    """Whatever holds rows as one Arrow table."""
    source = open_source(data, {}, f"table {name!r}")
    chunks = [chunk.table for chunk in source.read(None)]
    return pa.concat_tables(chunks) if chunks else source.schema.empty_table()
