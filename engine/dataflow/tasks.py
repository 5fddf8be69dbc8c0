"""A dataflow -> the tasks that run it: which nodes share a feed, and what is added to its events.

Task 0 has all base streams and the nodes that read nothing else. Every other task has the nodes
that read the same streams, those that others make among them; it comes behind the tasks that make
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cep.engine.algebra.pattern import Pattern, Stream
from cep.engine.algebra.plan import Aggregate, Dataflow, Feature, Lookup, Node, NodeKind, Table
from cep.engine.dataflow.reads import reads_of

Member = tuple[str, str]  # (stream, field)


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """The nodes of one task. `incoming`: its streams as events arrive, which number them.

    `lookups` and `features` are what is added to them here; `streams` have these fields, too.
    """

    incoming: tuple[Stream, ...]
    streams: tuple[Stream, ...]
    nodes: tuple[Node, ...]
    lookups: tuple[Lookup, ...] = ()
    features: tuple[Feature, ...] = ()
    tables: tuple[Table, ...] = ()
    is_derived: bool = True

    @property
    def name(self) -> str:
        """What tells it from the others: the derived streams and others that it reads."""
        return ", ".join(sorted(stream.name for stream in self.streams)) if self.is_derived else ""


def task_plans(flow: Dataflow) -> list[TaskPlan]:
    """The tasks, in an order in which each comes behind those whose streams it reads."""
    levels = dict(zip(map(_member, flow.features), flow.feature_levels, strict=False))
    groups: dict[frozenset[str], list[Node]] = {}
    nodes = nodes_as_made(flow)
    for node in nodes:
        if node.level > 0:
            groups.setdefault(_streams_of(flow, node, levels), []).append(node)
    later = {member for member, level in levels.items() if level > 0}
    base = [node for node in nodes if node.level == 0]
    return [
        _base_task(flow, base, later),
        *(_derived_task(flow, names, found, later) for names, found in groups.items()),
    ]


def nodes_as_made(flow: Dataflow) -> list[Node]:
    """The nodes, each with the stream that it makes itself, before anything is added."""
    added = {*map(_member, flow.features), *((x.stream, x.name) for x in flow.lookups)}
    return [replace(node, stream=_without(node.stream, added)) for node in flow.nodes]


def owner_of(feature: Feature) -> str:
    """The statement that a feature belongs to: itself, or the aggregate that is made of it."""
    return feature.name.split("#")[0]


def hidden_fields(flow: Dataflow) -> frozenset[str]:
    """Fields that aggregates without a window are made of: nobody else is to see them."""
    running = {node.name for node in flow.nodes if node.kind is NodeKind.RUNNING}
    return frozenset(f.name for f in flow.features if "#" in f.name and owner_of(f) in running)


def _member(feature: Feature) -> Member:
    return feature.stream, feature.name


def _base_task(flow: Dataflow, nodes: list[Node], later: set[Member]) -> TaskPlan:
    names = {stream.name for stream in flow.streams}
    features = tuple(f for f in flow.features if _member(f) not in later)
    lookups = tuple(lookup for lookup in flow.lookups if lookup.stream in names)
    added = {*map(_member, features), *((x.stream, x.name) for x in lookups)}
    streams = tuple(_without(stream, later) for stream in flow.streams)
    incoming = tuple(_without(stream, added) for stream in streams)
    return TaskPlan(
        incoming, streams, tuple(nodes), lookups, features, flow.tables, is_derived=False
    )


def _derived_task(
    flow: Dataflow, names: frozenset[str], nodes: list[Node], later: set[Member]
) -> TaskPlan:
    base = [stream for stream in flow.streams if stream.name in names]
    made = [node.stream for node in flow.nodes if node.name in names]
    derived = {stream.name for stream in made}
    lookups = tuple(lookup for lookup in flow.lookups if lookup.stream in derived)
    features = tuple(
        f
        for f in flow.features
        if _member(f) in later and f.stream in names and (f.source or f.stream) in names
    )
    here = set(map(_member, features))
    streams = tuple(_without(stream, later - here) for stream in (*base, *made))
    added = {*here, *((x.stream, x.name) for x in lookups)}
    incoming = tuple(_without(stream, added) for stream in streams)
    return TaskPlan(incoming, streams, tuple(nodes), lookups, features, flow.tables)


def _without(stream: Stream, members: set[Member]) -> Stream:
    fields = tuple(f for f in stream.fields if (stream.name, f.name) not in members)
    return replace(stream, fields=fields)


def _streams_of(flow: Dataflow, node: Node, levels: dict[Member, int]) -> frozenset[str]:
    """What a node reads, and what the features read that are computed for it on its level."""
    found = set(node.reads)
    for feature in _features_of(flow, node.plan):
        if levels.get(_member(feature), 0) > 0:
            found |= {feature.stream, feature.source or feature.stream}
    return frozenset(found)


def _features_of(flow: Dataflow, plan: Pattern | Aggregate | Feature) -> Iterator[Feature]:
    """The features that a statement reads, and those that these read."""
    known = {_member(feature): feature for feature in flow.features}
    for field, streams in reads_of(plan):
        for name in streams:
            feature = known.get((name, field.name))
            if feature is not None and feature is not plan:
                yield feature
                yield from _features_of(flow, feature)
