"""A rule set -> what each statement reads of the others."""

from __future__ import annotations

from collections.abc import Mapping

from cep.engine.algebra.pattern import Pattern, Stream
from cep.engine.algebra.plan import Aggregate, Feature, Join, RuleSet, Table
from cep.engine.dataflow.reads import TableMembers, reads_of, sources_of

Statement = Feature | Aggregate | Join | Pattern
Named = Stream | Table | Statement
Known = tuple[str, str]
"""(stream, name) of a feature, ("", name) of all else that has a name."""


def statements_read(rules: RuleSet) -> dict[Known, set[Known]]:
    """For each statement that reads others, which ones. The rules have no errors."""
    own: list[Statement] = [*rules.aggregates, *rules.joins, *rules.patterns]
    made: list[Named] = [*rules.streams, *rules.tables, *own]
    known = {("", each.name) for each in made} | {(f.stream, f.name) for f in rules.features}
    tables = {table.name: table for table in rules.tables}
    streams = [stream.name for stream in rules.streams]
    only = streams[0] if len(streams) == 1 else ""
    found = {}
    readers: list[Statement] = [*rules.features, *own]
    for statement in readers:
        stream = statement.stream if isinstance(statement, Feature) else ""
        read = _read(_with_members(statement, tables), tables, only)
        found[stream, statement.name] = (read & known) - {(stream, statement.name)}
    return found


def _with_members(statement: Statement, tables: Mapping[str, Table]) -> Statement:
    members = TableMembers(tables, [])
    match statement:
        case Pattern():
            return members.in_pattern(statement)
        case Feature():
            return members.in_feature(statement)
        case Aggregate():
            return members.in_aggregate(statement)
    return statement


def _read(statement: Statement, tables: Mapping[str, Table], only: str) -> set[Known]:
    """`only`: what is read where a pattern does not say which stream."""
    read = {("", name or only) for name in sources_of(statement)}
    for field, streams in reads_of(statement):
        table = field.name.partition(".")[0]
        if table in tables:
            read.add(("", table))
        read |= {(name or only, field.name) for name in streams}
    return read
