"""NFA -> flattened states: what an event can do to a run that rests somewhere.

Flattening follows proceed edges ahead of time: a flat state lists every take and ignore edge that
an event can fire from it, with the guards met on the way joined.
"""

from __future__ import annotations

from dataclasses import dataclass

from cep.engine.algebra.pattern import Pattern, SkipStrategy
from cep.engine.automaton.states import ALWAYS, Action, Edge, Guard, Nfa, State


@dataclass(frozen=True, slots=True)
class FlatEdge:
    """`target` None: the pattern is complete; `finals`: guards under which it is so as well."""

    action: Action
    guard: Guard
    variable: str | None
    target: State | None
    finals: tuple[Guard, ...]


@dataclass(frozen=True, slots=True)
class FlatState:
    state: State
    edges: tuple[FlatEdge, ...]
    kills: tuple[Guard, ...]


@dataclass(frozen=True, slots=True)
class FlatNfa:
    """The states a run can rest in; the first is the start. `settles`: see `_settles`."""

    nfa: Nfa
    states: tuple[FlatState, ...]
    settles: bool

    def __str__(self) -> str:
        names = state_names(self)
        lines = []
        for flat in self.states:
            lines.append(f"{names[flat.state]}:{_bounds(flat.state)}")
            lines += [f"  {_edge_text(self.nfa, edge, names)}" for edge in flat.edges]
            lines += [f"  kill    {guard_text(self.nfa, guard)}" for guard in flat.kills]
        return "\n".join(lines)


def flatten(nfa: Nfa) -> FlatNfa:
    """Follow proceed edges and keep the states in which a run can rest."""
    start = _flatten_state(nfa, nfa.start)
    takes = tuple(edge for edge in start.edges if edge.action is Action.TAKE)
    found = {nfa.start: FlatState(nfa.start, takes, ())}  # the virtual run there ignores the rest
    queue = [nfa.start]
    for state in queue:
        for edge in found[state].edges:
            if edge.target is not None and edge.target not in found:
                found[edge.target] = _flatten_state(nfa, edge.target)
                queue.append(edge.target)
    settles = _settles(nfa, found) and not _times_out_beside_skips(nfa.pattern)
    return FlatNfa(nfa, tuple(found.values()), settles)


def _flatten_state(nfa: Nfa, state: State) -> FlatState:
    edges: list[FlatEdge] = []
    kills: list[Guard] = []
    stack, seen = [(state, ALWAYS)], {(state, ALWAYS)}
    while stack:
        current, passed = stack.pop()
        for edge in current.edges:
            guard = passed & edge.guard
            if not guard.possible:
                continue
            if edge.action is Action.PROCEED:
                if (edge.target, guard) not in seen:
                    seen.add((edge.target, guard))
                    stack.append((edge.target, guard))
            elif edge.action is Action.KILL:
                _add_weakest(kills, guard)
            else:
                _add_edge(edges, _flat_edge(nfa, edge, guard))
    return FlatState(state, tuple(edges), tuple(kills))


def _flat_edge(nfa: Nfa, edge: Edge, guard: Guard) -> FlatEdge:
    target = None if edge.target.final else edge.target
    finals = () if target is None or edge.action is Action.IGNORE else _final_guards(target)
    return FlatEdge(edge.action, guard, edge.variable, target, finals)


def _final_guards(state: State) -> tuple[Guard, ...]:
    """The guards of the ways to the end of the pattern that consume nothing."""
    guards: list[Guard] = []
    stack, seen = [(state, ALWAYS)], {(state, ALWAYS)}
    while stack:
        current, passed = stack.pop()
        for edge in current.edges:
            guard = passed & edge.guard
            if edge.action is not Action.PROCEED or not guard.possible:
                continue
            if edge.target.final:
                _add_weakest(guards, guard)
            elif (edge.target, guard) not in seen:
                seen.add((edge.target, guard))
                stack.append((edge.target, guard))
    return tuple(guards)


def _add_weakest(guards: list[Guard], guard: Guard) -> None:
    if not any(guard.implies(known) for known in guards):
        guards.append(guard)


def _add_edge(edges: list[FlatEdge], edge: FlatEdge) -> None:
    """Add the edge unless one does the same under a weaker guard."""
    for known in edges:
        same = (known.action, known.target, known.variable) == (
            edge.action,
            edge.target,
            edge.variable,
        )
        if same and edge.guard.implies(known.guard):
            return
    edges.append(edge)


def _settles(nfa: Nfa, found: dict[State, FlatState]) -> bool:
    """Whether an event for which no condition holds never changes what a run can do later.

    Such events need not be looked at. It is so when from every state they lead only to states that
    together have the same edges, the same kills and the same bounds as the state itself.
    """
    return all(_settles_state(flat, found) for s, flat in found.items() if s is not nfa.start)


def _settles_state(flat: FlatState, found: dict[State, FlatState]) -> bool:
    idle = [e for e in flat.edges if not e.guard.require]
    if any(e.action is Action.TAKE or e.target is None for e in idle):
        return False
    reached = [found[e.target] for e in idle if e.target is not None]
    if not reached or any(not k.require for k in flat.kills):
        return False
    bounds = {(r.state.window_us, r.state.pending) for r in (flat, *reached)}
    kills = {frozenset(r.kills) for r in (flat, *reached)}
    edges = frozenset(e for r in reached for e in r.edges)
    return len(bounds) == 1 and len(kills) == 1 and edges == frozenset(flat.edges)


def _times_out_beside_skips(pattern: Pattern) -> bool:
    """Whether it matters which of a deadline and the key's next event, whatever it is, comes first.

    A match released by time skips runs; those are reported as timed out only where their deadline
    comes before the next event.
    """
    skips = pattern.skip.strategy is not SkipStrategy.NO_SKIP
    return skips and pattern.timeout_select is not None


# ---------------------------------------------------------------------- text


def state_names(flat: FlatNfa) -> dict[State, str]:
    """A short unique name for each resting state: what it waits for, numbered where needed."""
    names: dict[State, str] = {}
    for index, item in enumerate(flat.states):
        base = "start" if index == 0 else f"await {item.state.name}"
        taken = [n for n in names.values() if n == base or n.startswith(f"{base} #")]
        names[item.state] = base if not taken else f"{base} #{len(taken) + 1}"
    return names


def guard_text(nfa: Nfa, guard: Guard) -> str:
    parts = [condition_name(nfa, n) for n in sorted(guard.require)]
    parts += [f"not {condition_name(nfa, n)}" for n in sorted(guard.forbid)]
    return " and ".join(parts) or "any event"


def condition_name(nfa: Nfa, number: int) -> str:
    """What a condition is called in the pattern: the variable it defines, until or unless."""
    if number == nfa.unless:
        return "unless"
    condition = nfa.conditions[number]
    for definition in nfa.pattern.definitions:
        if (definition.stream, definition.condition) == (condition.stream, condition.expression):
            return definition.variable
    return "any" if condition.expression is None else "until"


def _bounds(state: State) -> str:
    seconds = state.window_us / 1e6
    window = f" less than {seconds:g} s after the last event" if state.window_us else ""
    return window + (" complete at the deadline" if state.pending else "")


def _edge_text(nfa: Nfa, edge: FlatEdge, names: dict[State, str]) -> str:
    verb = f"take {edge.variable}" if edge.action is Action.TAKE else "ignore"
    target = "match" if edge.target is None else names[edge.target]
    also = ", and a match" if edge.finals else ""
    if also and all(g != ALWAYS for g in edge.finals):
        also += " if " + " or ".join(guard_text(nfa, g) for g in edge.finals)
    return f"{verb:<7} {guard_text(nfa, edge.guard)} -> {target}{also}"
