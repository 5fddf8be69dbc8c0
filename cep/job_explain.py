"""A job -> a drawing of its dataflow in text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cep.engine.io.sink import Sink


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
    source: Any, rules: Any, sinks: Sequence[Sink], workers: int, guarantee: str
) -> str:
    """The dataflow of a job, and what it guarantees."""
    drawing = draw(source, rules, sinks)
    threads = "1 thread" if workers == 1 else f"{workers} threads, each with its share of the keys"
    return f"{drawing}\nguarantee: {guarantee}; detector: {threads}"


def draw(source: Any, rules: Any, sinks: Sequence[Sink]) -> Drawing:
    """What the rules say about it: tables go to every thread, keyed operators get their keys."""
    plan = rules.rule_set
    sources = dict(getattr(source, "sources", {getattr(source, "stream", None): source}))
    streams = {name: f"source {name}" if name else "source" for name in sources}
    nodes = {node: str(sources[name]) for name, node in streams.items()}
    made = _made(plan)
    exchanges: list[Exchange] = []
    for node, reads, key in made.values():
        nodes[node] = ""
        for read in reads or tuple(streams):
            origin = (
                made[read][0] if read in made else streams.get(read, next(iter(streams.values())))
            )
            exchanges.append(Exchange(origin, _how(key), node))
    for table in plan.tables:
        nodes[f"table {table.name}"] = f"by {', '.join(table.key)}"
        readers = [node for node, _, _ in made.values()]
        exchanges += [Exchange(f"table {table.name}", "broadcast", node) for node in readers]
    for sink in sinks:
        name = f"sink {sink.what}"
        while name in nodes:
            name += "'"
        nodes[name] = f"{sink}, {'commits with' if sink.commits else 'called before'} checkpoints"
        exchanges += [Exchange(node, "forward", name) for node in _makers(sink.what, made, streams)]
    return Drawing(nodes, list(dict.fromkeys(exchanges)))


Made = Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]]


def _made(plan: Any) -> Made:
    """Name -> (node, streams that it reads, key) of everything that makes rows."""
    found: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {}
    for aggregate in plan.aggregates:
        found[aggregate.name] = (f"aggregate {aggregate.name}", (aggregate.stream,), aggregate.key)
    for join in plan.joins:
        found[join.name] = (f"join {join.name}", (join.left, join.right), join.key)
    for pattern in plan.patterns:
        found[pattern.name] = (f"pattern {pattern.name}", pattern.streams, pattern.key)
    return found


def _how(key: Sequence[str]) -> str:
    return f"by key ({', '.join(key)})" if key else "forward"


def _makers(what: str, made: Made, streams: Mapping[Any, str]) -> list[str]:
    """The nodes whose rows a table of the results holds."""
    if what in ("matches", "timeouts"):
        return [node for node, _, _ in made.values() if node.startswith("pattern ")]
    if what in made:
        return [made[what][0]]
    return list(streams.values())
