"""Flattened states -> how far each is from a match, in events, and what comes next on the way."""

from __future__ import annotations

from cep.engine.automaton.flat import FlatEdge, FlatNfa
from cep.engine.automaton.states import Action


def events_missing(flat: FlatNfa) -> list[int]:
    """For each state how many events more make a match, at least."""
    number = {item.state: i for i, item in enumerate(flat.states)}
    missing = [0 if item.state.pending else len(number) + 1 for item in flat.states]

    def needed(edge: FlatEdge) -> int:
        is_over = edge.target is None or bool(edge.finals)
        behind = 0 if edge.target is None or is_over else missing[number[edge.target]]
        return behind + (1 if edge.action is Action.TAKE else 0)

    changed = True
    while changed:  # each round settles the states that are one edge further away
        changed = False
        for i, item in enumerate(flat.states):
            found = min((needed(edge) for edge in item.edges), default=missing[i])
            if found < missing[i]:
                missing[i], changed = found, True
    return missing


def edges_nearer(flat: FlatNfa, state: int) -> list[FlatEdge]:
    """The edges that take an event and lead nearer to a match."""
    missing = events_missing(flat)
    number = {item.state: i for i, item in enumerate(flat.states)}
    return [
        edge
        for edge in flat.states[state].edges
        if edge.action is Action.TAKE
        and (edge.target is None or edge.finals or missing[number[edge.target]] < missing[state])
    ]


def variables_needed(flat: FlatNfa) -> list[tuple[str, ...]]:
    """The variables of the events that a match needs at least, from the first event to the last.

    Several where one of them is enough.
    """
    missing = events_missing(flat)
    steps: list[dict[str, None]] = [{} for _ in range(missing[0])]
    for i, distance in enumerate(missing):
        if 0 < distance <= missing[0]:
            names = [edge.variable for edge in edges_nearer(flat, i) if edge.variable is not None]
            steps[missing[0] - distance] |= dict.fromkeys(names)
    return [tuple(names) for names in steps]
