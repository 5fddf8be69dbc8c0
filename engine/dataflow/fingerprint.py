"""A dataflow -> fingerprints of its statements: of all that their state depends on.

State is taken over from a snapshot only where the fingerprint is the same: the statement itself,
the times of its streams and the types of the fields that they have for it, the statements that make
the streams that it reads, each with theirs, and what is said of user-defined functions. A feature
that it reads has a fingerprint of its own: it is a field.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from cep.engine.algebra.aggregates import NO_FUNCTIONS, Functions
from cep.engine.algebra.expression import Aggregated, walk
from cep.engine.algebra.pattern import Pattern
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
    owners = _owners(flow)
    for node in flow.nodes:
        found["nodes"][node.name] = _digest(
            [*_lines(flow, node.plan), *_used(node.plan, functions)]
        )
    for feature in flow.features:
        owner = owners.get((feature.stream, feature.name))
        lines = [*_lines(flow, feature), *_used(feature, functions)]
        lines += [] if owner is None else _lines(flow, owner.plan)
        kind = "features" if owner is None else "hidden"
        found[kind].setdefault(feature.stream, {})[feature.name] = _digest(lines)
    return found


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


def _lines(flow: Dataflow, plan: Pattern | Aggregate | Feature) -> Iterator[str]:
    match plan:
        case Pattern():
            yield print_pattern(plan)
        case Aggregate():
            yield print_aggregate(plan)
        case Feature():
            yield print_feature(plan)
    nodes = {node.name: node for node in flow.nodes}
    hidden = _owners(flow)
    features = {(feature.stream, feature.name): feature for feature in flow.features}
    for name in sorted(set(sources_of(plan))):
        stream = flow.stream(name)
        yield f"{name} time {stream.time} in {stream.time_unit} then {stream.tie_breaker}"
        if name in nodes:
            yield from _lines(flow, nodes[name].plan)
    for field, streams in sorted(reads_of(plan), key=lambda read: read[0].name):
        for name in sorted(streams):
            if (name, field.name) in hidden:
                yield from _lines(flow, features[name, field.name])
            types = [f.type.value for f in flow.stream(name).fields if f.name == field.name]
            yield f"{name}.{field.name}: {' '.join(types)}"


def _used(plan: Pattern | Aggregate | Feature, functions: Functions) -> Iterator[str]:
    """The user-defined functions that an aggregate or a feature calls."""
    if isinstance(plan, Pattern):
        return
    values = [plan.value] if isinstance(plan, Feature) else [o.value for o in plan.select]
    calls = (node for value in values for node in walk(value) if isinstance(node, Aggregated))
    for name in sorted({call.function for call in calls} & set(functions)):
        function = functions[name]
        yield f"{name}({function.argument}) {function.type}, version {function.version!r}"
