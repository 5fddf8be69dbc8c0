"""A dataflow -> fingerprints of its statements: of all that their state depends on.

State is taken over from a snapshot only where the fingerprint is the same: the statement itself,
the times of its streams and the types of the fields that they have for it, the statements that make
the streams that it reads, each with theirs, and what is said of user-defined functions. A feature
that it reads has a fingerprint of its own: it is a field.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cep.engine.algebra.aggregates import NO_FUNCTIONS, Functions
from cep.engine.algebra.expression import Aggregated, walk
from cep.engine.algebra.pattern import Pattern, Stream
from cep.engine.algebra.plan import Aggregate, Dataflow, Feature, Node, NodeKind
from cep.engine.algebra.plan_printer import print_aggregate, print_feature
from cep.engine.algebra.printer import print_pattern
from cep.engine.dataflow.reads import reads_of, sources_of
from cep.engine.state.snapshot import Snapshot


def fingerprints(flow: Dataflow, functions: Functions = NO_FUNCTIONS) -> Snapshot:
    """By name, of `nodes`; by stream and name, of `features`, and of those that are `hidden`.

    A fingerprint is 32 hexadecimal digits. Hidden features are how a running aggregate counts;
    its fingerprint is part of theirs, and theirs are part of its own.
    """
    found: Snapshot = {"nodes": {}, "features": {}, "hidden": {}}
    index = _Index.of(flow)
    for node in flow.nodes:
        found["nodes"][node.name] = _digest(
            [*_lines(index, node.plan), *_used(node.plan, functions)]
        )
    for feature in flow.features:
        owner = index.owners.get((feature.stream, feature.name))
        lines = [*_lines(index, feature), *_used(feature, functions)]
        lines += [] if owner is None else _lines(index, owner.plan)
        kind = "features" if owner is None else "hidden"
        found[kind].setdefault(feature.stream, {})[feature.name] = _digest(lines)
    return found


@dataclass(frozen=True, slots=True)
class _Index:
    """A dataflow by the names of what is in it.

    `types`: of the fields of each stream, which may have several of a name. `owners`: the running
    aggregates to which hidden features (stream, name) belong.
    """

    nodes: Mapping[str, Node]
    features: Mapping[tuple[str, str], Feature]
    streams: Mapping[str, Stream]
    types: Mapping[str, Mapping[str, str]]
    owners: Mapping[tuple[str, str], Node]

    @staticmethod
    def of(flow: Dataflow) -> _Index:
        nodes = {node.name: node for node in flow.nodes}
        streams = {node.stream.name: node.stream for node in flow.nodes}
        streams |= {stream.name: stream for stream in flow.streams}
        return _Index(
            nodes,
            {(feature.stream, feature.name): feature for feature in flow.features},
            streams,
            {name: _types(stream) for name, stream in streams.items()},
            _owners(flow),
        )


def _types(stream: Stream) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for field in stream.fields:
        found.setdefault(field.name, []).append(field.type.value)
    return {name: " ".join(types) for name, types in found.items()}


def _owners(flow: Dataflow) -> dict[tuple[str, str], Node]:
    """The running aggregates to which hidden features (stream, name) belong."""
    running = {node.name: node for node in flow.nodes if node.kind is NodeKind.RUNNING}
    found = {}
    for feature in flow.features:
        node = running.get(feature.name.rpartition("#")[0])
        if node is not None and feature.stream in node.reads:
            found[feature.stream, feature.name] = node
    return found


def _digest(lines: Iterator[str] | list[str]) -> str:
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def _lines(index: _Index, plan: Pattern | Aggregate | Feature) -> Iterator[str]:
    match plan:
        case Pattern():
            yield print_pattern(plan)
        case Aggregate():
            yield print_aggregate(plan)
        case Feature():
            yield print_feature(plan)
    for name in sorted(set(sources_of(plan))):
        stream = index.streams[name]
        yield f"{name} time {stream.time} in {stream.time_unit} then {stream.tie_breaker}"
        if name in index.nodes:
            yield from _lines(index, index.nodes[name].plan)
    for field, streams in sorted(reads_of(plan), key=lambda read: read[0].name):
        for name in sorted(streams):
            if (name, field.name) in index.owners:
                yield from _lines(index, index.features[name, field.name])
            yield f"{name}.{field.name}: {index.types[name].get(field.name, '')}"


def _used(plan: Pattern | Aggregate | Feature, functions: Functions) -> Iterator[str]:
    """The user-defined functions that an aggregate or a feature calls."""
    if isinstance(plan, Pattern):
        return
    values = [plan.value] if isinstance(plan, Feature) else [o.value for o in plan.select]
    calls = (node for value in values for node in walk(value) if isinstance(node, Aggregated))
    for name in sorted({call.function for call in calls} & set(functions)):
        function = functions[name]
        yield f"{name}({function.argument}) {function.type}, version {function.version!r}"
