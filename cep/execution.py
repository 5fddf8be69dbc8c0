"""Rules met with streams: the dataflow, the runtime that runs it, the tables that come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cep.engine.columns_data import ARROW_TYPES
from cep.engine.limits import Limit
from cep.engine.pattern import Pattern, Stream
from cep.engine.plan import Dataflow, NodeKind
from cep.engine.results import Output
from cep.engine.runtime import Runtime
from cep.result import Result, make_result
from cep.result_columns import Events, Layout

if TYPE_CHECKING:
    from cep.rules import Rules


@dataclass(frozen=True)
class Execution:
    """A bound rule set with its state. `schema`: the columns of all base streams as they arrive.

    `own_fields`: those of each stream.
    """

    flow: Dataflow
    runtime: Runtime
    schema: pa.Schema
    own_fields: tuple[frozenset[str], ...]

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
    ) -> Execution:
        """Bind the rules to the streams. Raises RuleError where they do not fit them."""
        flow = rules.bind(streams)
        runtime = Runtime(flow, workers=workers, limits=limits)
        return cls(flow, runtime, schema, tuple(own_fields))

    @classmethod
    def of_nothing(cls, rules: Rules) -> Execution:
        """No data, so nothing is known of the streams: no event can come."""
        flow = rules.unbound()
        own = tuple(frozenset(field.name for field in s.fields) for s in flow.streams)
        return cls(flow, Runtime(Dataflow((), ())), pa.schema([]), own)

    def result(
        self, output: Output, events: int, seconds: float, notes: Sequence[str] = ()
    ) -> Result:
        """What came out, as tables."""
        return make_result(self.layout, output, events, seconds, notes)

    @cached_property
    def layout(self) -> Layout:
        nodes = self.flow.nodes
        patterns = [
            node.plan
            for node in nodes
            if node.kind is NodeKind.PATTERN and isinstance(node.plan, Pattern)
        ]
        return Layout(
            tuple(patterns),
            self.flow.streams,
            self._full_schema,
            self._full_fields,
            nodes=tuple(node for node in nodes if node.kind is not NodeKind.PATTERN),
            added=self._added,
            derived={n.name: self._events_of(n.reads) for n in nodes if n.level > 0},
        )

    @cached_property
    def _added(self) -> frozenset[str]:
        """The fields that lookups and features add to events."""
        lookups = {lookup.name for lookup in self.flow.lookups}
        return frozenset(lookups | {feature.name for feature in self.flow.features})

    @cached_property
    def _full_schema(self) -> pa.Schema:
        """The columns of base events once lookups and features have added theirs."""
        schema = self.schema
        for stream in self.flow.streams:
            for field in stream.fields:
                if field.name in self._added and field.name not in schema.names:
                    schema = schema.append(pa.field(field.name, ARROW_TYPES[field.type]))
        return schema

    @cached_property
    def _full_fields(self) -> tuple[frozenset[str], ...]:
        return tuple(
            own | {field.name for field in stream.fields}
            for own, stream in zip(self.own_fields, self.flow.streams, strict=True)
        )

    def _events_of(self, reads: Sequence[str]) -> Events:
        """What the events of a node look like that reads what others make."""
        base = [stream for stream in self.flow.streams if stream.name in reads]
        made = [node.stream for node in self.flow.nodes if node.name in reads]
        streams = [*base, *made]
        types = {f.name: ARROW_TYPES[f.type] for stream in streams for f in stream.fields}
        own = [frozenset(f.name for f in stream.fields) for stream in streams]
        return Events(pa.schema(list(types.items())), tuple(own))

    def close(self) -> None:
        """Let go of threads."""
        self.runtime.close()
