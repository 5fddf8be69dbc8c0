"""Bound patterns -> how they run, for people to read: automata, and what is computed where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cep.engine.algebra.expression import Expression
from cep.engine.algebra.pattern import Pattern, Stream
from cep.engine.algebra.printer import print_expression, print_pattern
from cep.engine.automaton.flat import FlatNfa, FlatState, condition_name, guard_text, state_names
from cep.engine.automaton.nfa import build_nfa
from cep.engine.automaton.program import RegisterSpec, split_condition
from cep.engine.automaton.states import Action, State
from cep.engine.automaton.tables import Tables, build_tables
from cep.engine.kernels.codes import Register
from cep.engine.state.interning import TextCodes


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A state of an automaton.

    `kind`: start, state, pending (a match at its deadline), match or killed.
    """

    name: str
    kind: str
    window_us: int = 0


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """What an event, or time, does to a run. `guard` says when, as text.

    `action`: take, ignore, kill, or deadline where no event but time makes the match. `also_match`:
    the run is a match as well as going on.
    """

    source: str
    target: str
    action: str
    guard: str
    variable: str | None = None
    also_match: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """An automaton for plotting; the first node is the start."""

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]


class Explanation:
    """How patterns will run. `str()` is text; `graph(name)` is one automaton as nodes and edges."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        texts = TextCodes()
        self._tables = {p.name: build_tables(build_nfa(p), texts.code) for p in patterns}

    def graph(self, pattern: str) -> Graph:
        """The automaton of a pattern. KeyError: no such pattern."""
        return _graph(self._tables[pattern].flat)

    def __str__(self) -> str:
        uses = Counter(own for tables in self._tables.values() for own in _columns(tables))
        return "\n\n".join(_describe(tables, uses) for tables in self._tables.values())


def explain(patterns: Sequence[Pattern], streams: Sequence[Stream]) -> Explanation:
    """Explain bound patterns. Raises RuleError where one cannot be run."""
    del streams  # what is evaluated where follows from the bound patterns alone
    return Explanation(patterns)


def _columns(tables: Tables) -> list[Expression]:
    conditions = tables.flat.nfa.conditions
    parts = [split_condition(c.expression)[0] for c in conditions]
    return list(dict.fromkeys(part for part in parts if part is not None))


def _describe(tables: Tables, uses: Counter[Expression]) -> str:
    lines = [
        _indented(print_pattern(tables.flat.nfa.pattern), ""),
        f"  evaluator: {_evaluator(tables)}",
        *_column_lines(tables, uses),
        *_program_lines(tables),
        _touch_line(tables),
        "  automaton:",
        _indented(str(tables.flat), "    "),
    ]
    return "\n".join(lines)


def _evaluator(tables: Tables) -> str:
    if tables.why_not_sets is None:
        return "sets, one for all partial matches of a key that await the same"
    return f"runs, one per partial match and key, since {tables.why_not_sets}"


def _indented(text: str, margin: str) -> str:
    return "\n".join(margin + line for line in text.splitlines())


def _column_lines(tables: Tables, uses: Counter[Expression]) -> list[str]:
    nfa, lines = tables.flat.nfa, ["  once per event, as columns:"]
    for number, condition in enumerate(nfa.conditions):
        own = split_condition(condition.expression)[0]
        stream = f"event of {condition.stream}" if condition.stream else ""
        said = "" if own is None else print_expression(own)
        text = " and ".join(part for part in (stream, said) if part) or "any event"
        shared = f"  (shared by {uses[own]} patterns)" if own is not None and uses[own] > 1 else ""
        lines.append(f"    {condition_name(nfa, number)}: {text}{shared}")
    return lines


def _program_lines(tables: Tables) -> list[str]:
    nfa, lines = tables.flat.nfa, []
    for number, condition in enumerate(nfa.conditions):
        across = split_condition(condition.expression)[1]
        if across is not None:
            lines.append(f"    {condition_name(nfa, number)}: {print_expression(across)}")
    if not lines:
        return []
    shown = [r for r in tables.machine.registers if r.kind is not Register.CARRY]
    held = ", ".join(_register_text(tables, r) for r in shown)
    return ["  once per open run, where the columns hold:", *lines, f"  each run keeps: {held}"]


def _register_text(tables: Tables, register: RegisterSpec) -> str:
    of = register.variable or "any"
    argument = ""
    if register.input >= 0:
        argument = f": {print_expression(tables.machine.inputs[register.input])}"
    return f"{register.kind.name.lower().replace('_', ' ')} of {of}{argument}"


def _touch_line(tables: Tables) -> str:
    if tables.flat.settles:
        return "  events that meet none of these are never looked at again"
    return "  every event of a key with open runs is looked at"


def _graph(flat: FlatNfa) -> Graph:
    names = state_names(flat)
    edges = [edge for item in flat.states for edge in _edges(flat, item, names)]
    nodes = [*_states(flat, names), GraphNode("match", "match")]
    if any(edge.target == "killed" for edge in edges):
        nodes.append(GraphNode("killed", "killed"))
    return Graph(tuple(nodes), tuple(edges))


def _states(flat: FlatNfa, names: Mapping[State, str]) -> Iterator[GraphNode]:
    for place, item in enumerate(flat.states):
        kind = "start" if place == 0 else "pending" if item.state.pending else "state"
        yield GraphNode(names[item.state], kind, item.state.window_us)


def _edges(flat: FlatNfa, item: FlatState, names: Mapping[State, str]) -> Iterator[GraphEdge]:
    nfa, source = flat.nfa, names[item.state]
    for edge in item.edges:
        action = "take" if edge.action is Action.TAKE else "ignore"
        target = "match" if edge.target is None else names[edge.target]
        guard = guard_text(nfa, edge.guard)
        yield GraphEdge(source, target, action, guard, edge.variable, bool(edge.finals))
    for kill in item.kills:
        yield GraphEdge(source, "killed", "kill", guard_text(nfa, kill))
    if nfa.unless is not None and item.state is not nfa.start:
        yield GraphEdge(source, "killed", "kill", condition_name(nfa, nfa.unless))
    if item.state.pending:
        yield GraphEdge(source, "match", "deadline", "the deadline comes and no such event has")
