"""What a table of matches looks like: its columns and their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from cep.engine.algebra.expression import DataType
from cep.engine.algebra.pattern import Output, Pattern, Stream
from cep.engine.algebra.plan import Node
from cep.engine.ingest.conform import ARROW_TYPES, plain_type

FIXED = ("pattern", "key", "start", "end", "id")


@dataclass(frozen=True, slots=True)
class Events:
    """The events that some patterns read: their columns, and those of each stream among them."""

    schema: pa.Schema
    own_fields: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True)
class Layout:
    """What a table of matches looks like before there are any: known once the rules are bound.

    `schema` is that of the base events, `own_fields` the columns of each stream in it, `added`
    those that are computed and not the data's own. `derived`: the events of the patterns that read
    what others make. `timeouts` says whose select list the columns come from. `nodes` are those
    that make rows.
    """

    patterns: tuple[Pattern, ...]
    streams: tuple[Stream, ...]
    schema: pa.Schema
    own_fields: tuple[frozenset[str], ...] = ()
    timeouts: bool = False
    nodes: tuple[Node, ...] = ()
    added: frozenset[str] = frozenset()
    derived: Mapping[str, Events] = field(default_factory=dict)

    def events_of(self, pattern: str) -> Events:
        """What the events of a pattern look like."""
        return self.derived.get(pattern) or self._base

    @cached_property
    def _base(self) -> Events:
        return Events(self.schema, self.own_fields)

    def outputs(self, pattern: Pattern) -> tuple[Output, ...]:
        return (pattern.timeout_select or ()) if self.timeouts else pattern.select

    @cached_property
    def number(self) -> dict[str, int]:
        """Pattern name -> its place in the rules."""
        return {pattern.name: place for place, pattern in enumerate(self.patterns)}

    @cached_property
    def time_type(self) -> pa.DataType:
        """UTC where the data states a zone, else without zone."""
        types = [self.schema.field(n).type for n in self._time_fields()]
        zoned = any(pa.types.is_timestamp(t) and t.tz for t in types)
        return pa.timestamp("us", "UTC" if zoned else None)

    def _time_fields(self) -> list[str]:
        names = {stream.time for stream in self.streams}
        return [name for name in self.schema.names if name in names]

    def key_type(self, pattern: Pattern) -> pa.DataType | None:
        """The type of one pattern's key; None where it has no key."""
        schema = self.events_of(pattern.name).schema
        names = [name for name in pattern.key if name in schema.names]
        members = [(name, plain_type(schema.field(name).type)) for name in names]
        if not members:
            return None
        return members[0][1] if len(members) == 1 else pa.struct(members)

    @cached_property
    def common_key_type(self) -> pa.DataType:
        """What all patterns agree on, else text."""
        types = [t for p in self.patterns if (t := self.key_type(p)) is not None]
        if not types:
            return pa.null()
        return types[0] if all(t == types[0] for t in types) else pa.string()

    @cached_property
    def value_columns(self) -> dict[str, dict[str, str]]:
        """Pattern -> select name -> column, with a prefix where an earlier one has another type."""
        types: dict[str, DataType | None] = {}
        found: dict[str, dict[str, str]] = {}
        for pattern in self.patterns:
            columns = found.setdefault(pattern.name, {})
            for output in self.outputs(pattern):
                name, type_ = output.name, output.value.type
                clash = name in FIXED or types.get(name, type_) is not type_
                columns[output.name] = name = f"{pattern.name}_{name}" if clash else name
                types[name] = type_
        return found

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        text = pa.string()
        types = (text, self.common_key_type, self.time_type, self.time_type, text)
        fields: dict[str, pa.DataType] = dict(zip(FIXED, types, strict=True))
        for pattern in self.patterns:
            for output in self.outputs(pattern):
                name = self.value_columns[pattern.name][output.name]
                fields[name] = value_type(output)
        return pa.schema(list(fields.items()))


def value_type(output: Output) -> pa.DataType:
    return ARROW_TYPES[output.value.type or DataType.NULL]
