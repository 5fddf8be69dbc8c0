"""A node of a dataflow -> a fingerprint of all that its state depends on.

State is taken over from a snapshot only where the fingerprint is the same: the statement itself,
the types of the fields that its streams have for it, the features that it reads and the statements
that make the streams that it reads, each with theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from cep.engine.dataflow_reads import reads_of
from cep.engine.pattern import Pattern
from cep.engine.plan import Aggregate, Dataflow, Feature, Node
from cep.engine.plan_printer import print_aggregate, print_feature
from cep.engine.printer import print_pattern


def node_fingerprint(flow: Dataflow, node: Node) -> str:
    """Of a pattern, an aggregate or a join: 32 hexadecimal digits."""
    return _digest(_lines(flow, node.plan))


def feature_fingerprint(flow: Dataflow, feature: Feature) -> str:
    """Of a feature."""
    return _digest(_lines(flow, feature))


def _digest(lines: Iterator[str]) -> str:
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
    features = {(feature.stream, feature.name): feature for feature in flow.features}
    for field, streams in sorted(reads_of(plan), key=lambda read: read[0].name):
        for name in sorted(streams):
            if (name, field.name) in features:
                yield from _lines(flow, features[name, field.name])
            types = [f.type.value for f in flow.stream(name).fields if f.name == field.name]
            yield f"{name}.{field.name}: {' '.join(types)}"
            if name in nodes:
                yield from _lines(flow, nodes[name].plan)
