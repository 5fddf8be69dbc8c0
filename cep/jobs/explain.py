"""A job -> a drawing of its dataflow in text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cep.engine.algebra.plan import Dataflow, Node, NodeKind
from cep.engine.io.sink import Sink
from cep.rules import Rules


@dataclass(frozen=True, slots=True)
class Exchange:
    """Rows go from one node to another. `how`: forward, by key (...), broadcast or rebalance."""

    source: str
    how: str
    target: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Nodes by name, with what is said about each, and what flows between them."""

    nodes: Mapping[str, str]
    exchanges: Sequence[Exchange]

    def __str__(self) -> str:
        targets = {exchange.target for exchange in self.exchanges}
        lines: list[str] = []
        drawn: set[str] = set()
        for name in self.nodes:
            if name not in targets:
                lines += self._tree(name, "", drawn)
        return "\n".join(lines)

    def _tree(self, name: str, margin: str, drawn: set[str]) -> Iterator[str]:
        following = [exchange for exchange in self.exchanges if exchange.source == name]
        said = self.nodes[name]
        seen = " (drawn above)" if name in drawn and following else ""
        yield f"{name}{f': {said}' if said else ''}{seen}"
        if seen:
            return
        drawn.add(name)
        for exchange in following:
            is_last = exchange is following[-1]
            branch, go_on = ("└─", "   ") if is_last else ("├─", "│  ")
            first, *rest = self._tree(exchange.target, margin, drawn)
            yield f"{branch} {exchange.how} ─► {first}"
            yield from (f"{go_on}{line}" for line in rest)


def explain_job(
    source: Any, rules: Rules, sinks: Sequence[Sink], workers: int, guarantee: str
) -> str:
    """The dataflow of a job, and what it guarantees."""
    drawing = draw(source, rules, sinks)
    threads = "1 thread" if workers == 1 else f"{workers} threads, each with its share of the keys"
    return f"{drawing}\nguarantee: {guarantee}; detector: {threads}"


def draw(source: Any, rules: Rules, sinks: Sequence[Sink]) -> Drawing:
    """What the rules say: tables go to every thread, keyed operators get their keys."""
    return _Drawer(source, rules.unbound()).draw(sinks)


class _Drawer:
    """Draws a dataflow. `origin`: the node from which the rows of each stream come."""

    def __init__(self, source: Any, flow: Dataflow) -> None:
        self.flow = flow
        sources = dict(getattr(source, "sources", {getattr(source, "stream", None): source}))
        names = {name: f"source {name}" if name else "source" for name in sources}
        self.nodes = {node: str(sources[name]) for name, node in names.items()}
        only = next(iter(names.values()))
        self.origin = {stream.name: names.get(stream.name, only) for stream in flow.streams}
        self.exchanges: list[Exchange] = []

    def draw(self, sinks: Sequence[Sink]) -> Drawing:
        for stream in self.flow.streams:
            self._add_fields(stream.name)
        for node in self.flow.nodes:
            self._add(node)
            self._add_fields(node.name)
        for sink in sinks:
            self._add_sink(sink)
        return Drawing(self.nodes, list(dict.fromkeys(self.exchanges)))

    def _link(self, source: str, how: str, target: str) -> None:
        self.exchanges.append(Exchange(source, how, target))

    def _add_fields(self, stream: str) -> None:
        """What lookups and features add to the rows of a stream, as a node behind it."""
        lookups = [lookup for lookup in self.flow.lookups if lookup.stream == stream]
        features = [f for f in self.flow.features if f.stream == stream and "#" not in f.name]
        if not lookups and not features:
            return
        name = f"fields of {stream}" if stream else "fields"
        names = [*(lookup.name for lookup in lookups), *(feature.name for feature in features)]
        self.nodes[name] = ", ".join(names)
        for how in dict.fromkeys(_how(f.key) for f in features) or ("forward",):
            self._link(self.origin[stream], how, name)
        for feature in features:
            if feature.source is not None and feature.source != stream:
                self._link(self.origin[feature.source], _how(feature.key), name)
        for lookup in lookups:
            table = f"table {lookup.table}"
            self.nodes[table] = f"by {', '.join(lookup.key)}"
            self._link(table, "broadcast", name)
        self.origin[stream] = name

    def _add(self, node: Node) -> None:
        kind = "aggregate" if node.kind is NodeKind.RUNNING else node.kind.value
        name = f"{kind} {node.name}"
        self.nodes[name] = ""
        for read in node.reads:
            self._link(self.origin[read], _how(node.key), name)
        self.origin[node.name] = name

    def _add_sink(self, sink: Sink) -> None:
        name = f"sink {sink.what}"
        while name in self.nodes:
            name += "'"
        commits = "commits with" if sink.commits else "called before"
        self.nodes[name] = f"{sink}, {commits} checkpoints"
        for maker in self._makers(sink.what):
            self._link(maker, "forward", name)

    def _makers(self, what: str) -> list[str]:
        """The nodes whose rows a table of the results holds."""
        if what in ("matches", "timeouts"):
            found = [node.name for node in self.flow.nodes if node.kind is NodeKind.PATTERN]
            return [f"pattern {name}" for name in found]
        made = {node.name: node for node in self.flow.nodes}
        if what in made:
            kind = made[what].kind
            return [f"{'aggregate' if kind is NodeKind.RUNNING else kind.value} {what}"]
        return [node for node in self.nodes if node.startswith("source")]


def _how(key: Sequence[str]) -> str:
    return f"by key ({', '.join(key)})" if key else "forward"
