"""Tables + what statements read -> which streams get which fields of which tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cep.engine.algebra.errors import Problem
from cep.engine.algebra.expression import Aggregated, Field
from cep.engine.algebra.functions import NULL
from cep.engine.algebra.pattern import Stream, StreamField
from cep.engine.algebra.plan import Feature, Lookup, Over, Table
from cep.engine.dataflow.order import Item
from cep.engine.dataflow.reads import Read, member_name, reads_of

Member = tuple[str, str]
"""(stream, "table.field")."""


@dataclass(slots=True)
class Members:
    """The fields that streams get from tables; those of tables with a time are features."""

    tables: Mapping[str, Table]
    lookups: dict[Member, Lookup] = field(default_factory=dict)
    versions: dict[Member, Feature] = field(default_factory=dict)

    def lookups_by_stream(self) -> dict[str, list[Lookup]]:
        found: dict[str, list[Lookup]] = {}
        for lookup in self.lookups.values():
            found.setdefault(lookup.stream, []).append(lookup)
        return found

    def fields_for(
        self, stream: Stream, mine: list[Lookup], problems: list[Problem]
    ) -> Iterator[StreamField]:
        """What the stream's lookups add to it, in order; keys must have the same types in both."""
        for name in dict.fromkeys(lookup.table for lookup in mine):
            problems += key_type_problems(self.tables[name], stream)
        for lookup in mine:
            columns = self.tables[lookup.table].fields
            types = {column.name: column.type for column in columns}
            yield StreamField(lookup.name, types.get(lookup.field, NULL))


def members_read(
    tables: Mapping[str, Table],
    items: Sequence[Item],
    columns: Mapping[str, tuple[str, ...]],
    problems: list[Problem],
) -> Members:
    """What the items look up. `columns`: the fields of each stream by itself, () if not known."""
    members = Members(tables)
    reads = [read for item in items for read in reads_of(item)] if tables else []
    known = {
        member_name(table.name, column): (table, column)
        for table in tables.values()
        for column in _columns_of(table, reads)
    }
    for node, streams in reads:
        if node.name not in known:
            continue
        table, column = known[node.name]
        for stream in _with_key(table, node, streams, columns, problems):
            if table.time is None:
                lookup = Lookup(stream, node.name, table.name, column, table.key)
                members.lookups.setdefault((stream, node.name), lookup)
            else:
                feature = _last_version(stream, table, column, node)
                members.versions.setdefault((stream, node.name), feature)
    return members


def _columns_of(table: Table, reads: Sequence[Read]) -> Iterable[str]:
    """The columns of a table; of one whose columns are not known yet, those that are read."""
    if table.fields:
        return [column.name for column in table.fields]
    prefix = member_name(table.name, "")
    names = (node.name for node, _ in reads)
    return dict.fromkeys(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def _with_key(
    table: Table,
    node: Field,
    streams: tuple[str, ...],
    columns: Mapping[str, tuple[str, ...]],
    problems: list[Problem],
) -> Iterator[str]:
    """The streams whose events can be looked up; it is a problem where there are none.

    A stream that has such a field by itself needs no lookup.
    """
    found, missing = False, None
    for stream in streams:
        names = columns.get(stream, ())
        lacking = next((key for key in table.key if names and key not in names), None)
        if node.name in names:
            found = True
        elif lacking is None:
            found = True
            yield stream
        else:
            missing = missing or (lacking, stream)
    if missing is not None and not found:
        message = f"table {table.name} is looked up by '{missing[0]}'"
        said = f"{message}: no such field in stream {missing[1]}"
        hint = f"an event that looks it up needs the field{'s' * (len(table.key) > 1)} "
        problems.append(Problem(said, node.span, hint + " and ".join(table.key)))
        yield from streams  # so that the field is not unknown as well


def _last_version(stream: str, table: Table, column: str, node: Field) -> Feature:
    return Feature(
        node.name,
        stream,
        Aggregated("last", Field(column, span=node.span), span=node.span),
        Over(),
        key=table.key,
        source=table.name,
        span=node.span,
    )


def key_type_problems(table: Table, stream: Stream) -> Iterator[Problem]:
    """The key fields of a table must have the types that they have in the stream."""
    mine = {column.name: column.type for column in stream.fields}
    for column in table.fields:
        kind = mine.get(column.name, column.type)
        if column.name in table.key and NULL not in (kind, column.type) and kind != column.type:
            message = f"'{column.name}' is {kind} in stream {stream.name}"
            said = f"{message} and {column.type} in table {table.name}"
            yield Problem(said, column.span or table.span, "declare both with the same type")


def table_of(table: Table, streams: Mapping[str, Stream]) -> Table:
    """The table with the fields that its data have, where they are known."""
    data = streams.get(table.name)
    return table if data is None or not data.fields else replace(table, fields=data.fields)


def versions_of(table: Table, streams: Mapping[str, Stream]) -> Stream:
    """The base stream that a table with a time is."""
    own = Stream(table.name, table.fields, table.time, table.time_unit, span=table.span)
    return streams.get(table.name, own)
