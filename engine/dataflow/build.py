"""A rule set + the streams that the data bring -> a `Dataflow` that is bound and ordered.

    tables       members become fields: `merchants.risk` is field "merchants.risk" of the event
    order        what reads a stream comes after what makes it; a circle is a problem
    bind         every expression gets its type, in that order, so that streams have their fields
    what for     what no pattern, aggregate or join reads in the end is left out, with a warning

All checks of names and types happen here, at compile time (streams without fields are open) and
once more when the data are known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from cep.engine.algebra.aggregates import NO_FUNCTIONS, Functions
from cep.engine.algebra.errors import Problem, place_of
from cep.engine.algebra.functions import NULL, closest
from cep.engine.algebra.pattern import Pattern, Stream, StreamField
from cep.engine.algebra.plan import (
    Aggregate,
    Dataflow,
    Feature,
    Join,
    Node,
    NodeKind,
    RuleSet,
    Table,
)
from cep.engine.binding.patterns import bind_pattern
from cep.engine.binding.statements import StatementBinder, scope_of, type_in
from cep.engine.dataflow.as_patterns import (
    join_as_pattern,
    own_columns,
    running_aggregate,
    stream_of_aggregate,
    stream_of_outputs,
    stream_of_pattern,
)
from cep.engine.dataflow.order import Item, in_order
from cep.engine.dataflow.reads import TableMembers, reads_of, sources_of
from cep.engine.dataflow.tables import Member, Members, members_read, table_of, versions_of

Statement = Pattern | Aggregate | Join

PROBLEMS_MAX = 100  # unknown streams that are told: each is compared with all names there are


def build_dataflow(
    rules: RuleSet, streams: Mapping[str, Stream], functions: Functions = NO_FUNCTIONS
) -> tuple[Dataflow, list[Problem]]:
    """The rule set bound to its streams, and all independent problems found, warnings marked.

    `streams`: all of `base_streams(rules)`, those that are read with the fields of their data; one
    without fields is open (any field may be read, of unknown type). "" is the name where rules do
    not say `from`. A table may be there too, with the fields of its data. `functions` are the
    user's own aggregates. The rules have no errors of the kind that `validate_rules` finds. A
    dataflow that came with errors must not be run.
    """
    return _Builder(rules, streams, functions).build()


def base_streams(rules: RuleSet, lost: Collection[str] = ()) -> dict[str, Stream]:
    """The streams that `build_dataflow` needs before data are known: as declared, else open.

    `lost`: names of which nothing is known, so that they may be those of streams.
    """
    streams = {stream.name: stream for stream in rules.streams}
    others: list[Statement | Table] = [*rules.tables, *rules.aggregates, *rules.joins]
    others += rules.patterns
    taken = {other.name for other in others}
    for name in _names_read(rules):
        if name and name not in taken and (not rules.streams or name in lost):
            streams.setdefault(name, Stream(name))
    return streams or {"": Stream("")}


def _names_read(rules: RuleSet) -> Iterator[str]:
    readers: list[Item] = [*rules.features, *rules.aggregates, *rules.joins]
    yield from (name for pattern in rules.patterns for name in pattern.streams)
    yield from (name for reader in readers for name in sources_of(reader))


def _with_sources(
    patterns: Iterable[Pattern], names: tuple[str, ...], problems: list[Problem]
) -> Iterator[Pattern]:
    """Patterns without `from` read the only stream that the rules name, where there is just one."""
    for pattern in patterns:
        if not pattern.streams and len(names) > 1:
            message = f"pattern {pattern.name!r} does not say which stream it reads"
            hint = f"write `from` and one or more of: {', '.join(names)}"
            problems.append(Problem(message, pattern.span, hint))
        yield pattern if pattern.streams or len(names) != 1 else replace(pattern, streams=names)


@dataclass(frozen=True, slots=True)
class _Levelled:
    level: int
    feature: Feature

    @property
    def member(self) -> Member:
        return self.feature.stream, self.feature.name


@dataclass(slots=True)
class _Bound:
    """What has been bound so far. `hidden` are the features that running aggregates consist of."""

    nodes: list[Node] = field(default_factory=list)
    features: list[_Levelled] = field(default_factory=list)
    hidden: list[_Levelled] = field(default_factory=list)


class _Builder:
    """Builds one dataflow. `streams` has every stream known so far, with all its fields so far."""

    def __init__(self, rules: RuleSet, streams: Mapping[str, Stream], functions: Functions) -> None:
        self.problems: list[Problem] = []
        self.rules = rules
        self.binder = StatementBinder(functions, self.problems)
        self.bound = _Bound()
        self.tables = {table.name: table_of(table, streams) for table in rules.tables}
        timed = [table for table in self.tables.values() if table.time is not None]
        self.versions = {table.name: versions_of(table, streams) for table in timed}
        given = {name: s for name, s in streams.items() if name not in self.tables}
        self.base = self.versions | given
        self.streams = dict(self.base)
        members = TableMembers(self.tables, self.problems)
        named = tuple(name for name in given if name)
        self.statements: list[Statement] = [
            *map(members.in_aggregate, rules.aggregates),
            *rules.joins,
            *map(members.in_pattern, _with_sources(rules.patterns, named, self.problems)),
        ]
        if self.problems:
            self.streams.setdefault("", Stream(""))  # that `from` is missing has been told
        self.made = {statement.name: statement for statement in self.statements}
        self.features = self._new_fields(map(members.in_feature, rules.features))

    def build(self) -> tuple[Dataflow, list[Problem]]:
        self._check_sources()
        columns = {name: own_columns(s) for name, s in (self.base | self.made).items()}
        items: list[Item] = [*self.features, *self.statements]
        members = members_read(self.tables, items, columns, self.problems)
        lookups = members.lookups_by_stream()

        def look_up(name: str) -> None:
            mine = lookups.get(name, [])
            for column in members.fields_for(self.streams[name], mine, self.problems):
                self._append(name, column)

        for name in self.base:
            look_up(name)
        for item, level in in_order([*members.versions.values(), *items], self.problems):
            if isinstance(item, Feature):
                self.bound.features.append(self._feature(item, level))
            else:
                node = self._node(item, level)
                self.bound.nodes.append(node)
                self.streams[node.name] = node.stream
                look_up(node.name)
        return self._dataflow(members), self.problems

    def _problem(self, message: str, item: Item, hint: str | None = None, named: str = "") -> None:
        """`named`: the stream or key field of the item that the problem is about."""
        self.problems.append(Problem(message, place_of(named, item), hint))

    # ---- what statements name

    def _check_sources(self) -> None:
        """Unknown streams become open ones. In patterns it is their binding that tells."""
        for item in (*self.features, *self.statements):
            for name in sources_of(item):
                if name in self.streams or name in self.made:
                    continue
                if name in self.tables:
                    hint = f"a table is looked up: write {name}.FIELD where a field can stand"
                    self._problem(f"'{name}' is a table, not a stream", item, hint, name)
                elif isinstance(item, Pattern):
                    continue
                elif name and len(self.problems) < PROBLEMS_MAX:
                    rows = (n for n, made in self.made.items() if not isinstance(made, Pattern))
                    known = [n for n in (*self.base, *rows) if n and n != item.name]
                    hint = closest(name, known) or f"known: {', '.join(known[:20])}"
                    self._problem(f"no stream '{name}'", item, hint if known else None, name)
                self.streams[name] = Stream(name)

    def _new_fields(self, features: Iterable[Feature]) -> list[Feature]:
        """The features without those that their stream has a field or another feature for."""
        found: dict[Member, Feature] = {}
        for feature in features:
            own = self.base.get(feature.stream) or self.made.get(feature.stream)
            if own is not None and feature.name in own_columns(own):
                message = f"stream {feature.stream} has a field '{feature.name}' of its own"
                self._problem(message, feature, "give the feature another name")
            elif (feature.stream, feature.name) in found:
                message = f"a second feature '{feature.name}' on {feature.stream}"
                self._problem(message, feature, "give it another name")
            else:
                found[feature.stream, feature.name] = feature
        return list(found.values())

    # ---- binding, in order

    def _append(self, stream: str, column: StreamField) -> None:
        known = self.streams[stream]
        if known.fields:
            self.streams[stream] = replace(known, fields=(*known.fields, column))

    def _feature(self, feature: Feature, level: int) -> _Levelled:
        stream = self.streams[feature.stream]
        source = self.streams[feature.source or feature.stream]
        bound = self.binder.feature(feature, stream, source)
        self._append(feature.stream, StreamField(feature.name, bound.value.type or NULL))
        return _Levelled(level, bound)

    def _node(self, statement: Statement, level: int) -> Node:
        match statement:
            case Pattern():
                return self._pattern(statement, level)
            case Join():
                return self._join(statement, level)
            case Aggregate():
                return self._aggregate(statement, level)

    def _pattern(self, pattern: Pattern, level: int) -> Node:
        bound, problems = bind_pattern(pattern, self._streams_for(pattern))
        self.problems += problems
        stream = stream_of_pattern(bound, self._key_of(bound))
        return Node(NodeKind.PATTERN, bound, stream, level)

    def _streams_for(self, pattern: Pattern) -> dict[str, Stream]:
        """What the pattern reads. Where it names what there is not, all streams, for the message.

        Patterns are among these only if it reads them.
        """
        named = {*sources_of(pattern), *(d.stream for d in pattern.definitions if d.stream)}
        if named <= self.streams.keys():
            return {name: self.streams[name] for name in named}
        unread = {name for name, made in self.made.items() if isinstance(made, Pattern)} - named
        return {name: stream for name, stream in self.streams.items() if name not in unread}

    def _join(self, join: Join, level: int) -> Node:
        left, right = self.streams[join.left], self.streams[join.right]
        bound = self.binder.join(join, left, right)
        pattern = join_as_pattern(bound, left, right, self._key_of(bound))
        return Node(NodeKind.JOIN, pattern, stream_of_outputs(pattern), level)

    def _aggregate(self, aggregate: Aggregate, level: int) -> Node:
        bound = self.binder.aggregate(aggregate, self.streams[aggregate.stream])
        if bound.window is not None:
            return Node(NodeKind.AGGREGATE, bound, stream_of_aggregate(bound), level)
        features, pattern = running_aggregate(bound, self._key_of(bound))
        for feature in features:
            self.bound.hidden.append(_Levelled(level, feature))
            self._append(feature.stream, StreamField(feature.name, feature.value.type or NULL))
        return Node(NodeKind.RUNNING, pattern, stream_of_outputs(pattern), level)

    def _key_of(self, statement: Statement) -> tuple[StreamField, ...]:
        known = (self.streams[name] for name in sources_of(statement) if name in self.streams)
        scope = scope_of(*known)
        return tuple(StreamField(name, type_in(scope, name)) for name in statement.key)

    # ---- what it is all for

    def _dataflow(self, members: Members) -> Dataflow:
        read = self._read_in_the_end()
        lookups = tuple(found for member, found in members.lookups.items() if member in read)
        features = [found for found in self.bound.features if found.member in read]
        used_tables = {lookup.table for lookup in lookups}
        used_tables |= {f.feature.source or "" for f in features if f.member in members.versions}
        self._warn_of_unused({found.member for found in features}, used_tables)
        features += self.bound.hidden
        features.sort(key=lambda found: found.level)
        sources = [*self.statements, *(found.feature for found in features)]
        used = dict.fromkeys(name for item in sources for name in sources_of(item))
        named = [name for name in self.versions if name in used]
        named += [name for name in used if name in self.base and name not in self.versions]
        added: dict[str, list[str]] = {}
        for stream, name in (
            *((lookup.stream, lookup.name) for lookup in lookups),
            *(found.member for found in features),
        ):
            added.setdefault(stream, []).append(name)
        nodes = [replace(n, stream=self._with(n.stream, added)) for n in self.bound.nodes]
        looked_up = {*named, *(lookup.table for lookup in lookups)}
        return Dataflow(
            streams=tuple(self._with(self.base[name], added) for name in named),
            nodes=tuple(sorted(nodes, key=lambda node: node.level)),
            tables=tuple(table for table in self.tables.values() if table.name in looked_up),
            lookups=lookups,
            features=tuple(found.feature for found in features),
            feature_levels=tuple(found.level for found in features),
        )

    def _with(self, own: Stream, added: Mapping[str, list[str]]) -> Stream:
        """A stream with its own fields and those that are added to it, in this order."""
        columns = {column.name: column for column in self.streams[own.name].fields}
        more = (columns[name] for name in added.get(own.name, ()) if name in columns)
        return replace(own, fields=(*own.fields, *more))

    def _read_in_the_end(self) -> set[Member]:
        """The fields that statements read, and the features that they read, and so on."""
        known = {found.member: found.feature for found in self.bound.features}
        read: set[Member] = set()
        waiting: list[Item] = [*self.statements]
        while waiting:
            for node, streams in reads_of(waiting.pop()):
                new = {(stream, node.name) for stream in streams} - read
                read |= new
                waiting += [known[member] for member in new if member in known]
        return read

    def _warn_of_unused(self, features: set[Member], tables: set[str]) -> None:
        unread = {found.member for found in self.bound.features} - features
        for feature in self.features:
            if (feature.stream, feature.name) in unread:
                message = f"feature '{feature.name}' is never read: it is not computed"
                hint = "read it in a pattern, an aggregate or a join"
                self.problems.append(Problem(message, feature.span, hint, warning=True))
        for table in self.rules.tables:
            if table.name not in tables:
                message = f"nothing is looked up in table '{table.name}'"
                hint = f"write {table.name}.FIELD in a condition, or leave the table out"
                self.problems.append(Problem(message, table.span, hint, warning=True))
