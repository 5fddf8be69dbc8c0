"""A pattern's automaton -> its arrows with their words: what stands beside each, and all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cep.display.style import shortened
from cep.engine.algebra.pattern import Pattern
from cep.engine.algebra.printer import print_expression
from cep.engine.automaton.explain import Graph, GraphEdge

LABEL_LENGTH = 15
UNLESS_DRAWN = 6
ALSO_MATCH = "◎"


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge to draw. `title` and `text` stand beside it, `details` says all, line by line."""

    source: str
    target: str
    action: str
    title: str
    text: str
    details: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """What stands beside it, line by line."""
        return tuple(line for line in (self.title, self.text) if line)


def arrows(graph: Graph, pattern: Pattern) -> list[Arrow]:
    """The edges with their words.

    `unless` has an edge in each state: the last has the words, and is the only one where there are
    so many that they would hide the rest.
    """
    found = [_arrow(edge, pattern) for edge in graph.edges]
    unless = [place for place, arrow in enumerate(found) if _is_unless(arrow)]
    for place in unless[:-1]:
        found[place] = replace(found[place], title="", text="")
    if len(unless) <= UNLESS_DRAWN:
        return found
    last = found[unless[-1]]
    found[unless[-1]] = replace(last, details=(*last.details, "in every state but the start"))
    return [arrow for place, arrow in enumerate(found) if place not in unless[:-1]]


def _is_unless(arrow: Arrow) -> bool:
    return arrow.action == "kill" and arrow.title == "unless"


def words_inside(state: str) -> list[str]:
    """The name of a state, line by line, so short that it fits in."""
    return [shortened(word, 8) for word in state.removeprefix("await ").split(" ")]


def _arrow(edge: GraphEdge, pattern: Pattern) -> Arrow:
    title, text = _words(edge, pattern)
    details = _details(edge, pattern)
    if edge.also_match:
        title = f"{title} {ALSO_MATCH}"
    return Arrow(edge.source, edge.target, edge.action, title, text, tuple(details))


def _words(edge: GraphEdge, pattern: Pattern) -> tuple[str, str]:
    if edge.action == "deadline":
        return "deadline", ""
    if edge.action == "kill" and edge.guard == "unless" and pattern.unless is not None:
        return "unless", shortened(print_expression(pattern.unless), LABEL_LENGTH)
    if edge.variable is not None:
        condition = _condition(pattern, edge.variable) or "any event"
        return shortened(edge.variable, LABEL_LENGTH), shortened(condition, LABEL_LENGTH)
    if edge.action == "ignore" and edge.source != edge.target:
        return "", ""  # what a run skips on its way stands in the details only
    return "", shortened(edge.guard, LABEL_LENGTH)


def _details(edge: GraphEdge, pattern: Pattern) -> Iterator[str]:
    yield f"{edge.action}: {edge.guard}"
    if edge.action == "kill" and edge.guard == "unless" and pattern.unless is not None:
        yield f"unless: {print_expression(pattern.unless)}"
    if edge.variable is not None and (condition := _condition(pattern, edge.variable)):
        yield f"{edge.variable}: {condition}"
    if edge.also_match:
        yield "the run is a match, and goes on"


def _condition(pattern: Pattern, variable: str) -> str:
    condition = pattern.definition(variable).condition
    return "" if condition is None else print_expression(condition)
