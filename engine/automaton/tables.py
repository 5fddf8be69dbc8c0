"""NFA -> flattened states -> the kernel's integer tables.

Flattening follows proceed edges ahead of time: a flat state lists every take and ignore edge that
an event can fire from it, with the guards met on the way joined. Both forms are kept: the readable
one for people and tests, the integer one for the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cep.engine.algebra.errors import Problem, RuleError
from cep.engine.algebra.pattern import (
    Alternation,
    Group,
    Pattern,
    Permutation,
    SkipStrategy,
    Step,
    WithinScope,
)
from cep.engine.automaton.program import (
    Instruction,
    Machine,
    NotInKernelError,
    compile_program,
    slots_needed,
    split_condition,
)
from cep.engine.automaton.states import ALWAYS, Action, Edge, Guard, Nfa, State
from cep.engine.kernels import layout


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


# ---------------------------------------------------------------------- integers


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything the kernel needs to know of one pattern, and what must be fed to it."""

    flat: FlatNfa
    automaton: layout.Automaton
    programs: layout.Programs
    machine: Machine
    slots: int


def build_tables(nfa: Nfa, code_of: Callable[[str], int]) -> Tables:
    """The integer tables of a bound pattern's automaton.

    `code_of` gives the code of a text constant. Raises RuleError where a pattern has too many
    conditions or a condition across events that the kernel cannot evaluate.
    """
    if len(nfa.conditions) > layout.BITS_MAX:
        count, most = len(nfa.conditions), layout.BITS_MAX
        message = f"pattern {nfa.pattern.name} has {count} different conditions, more than {most}"
        raise RuleError([Problem(message, nfa.pattern.span, "split it into several patterns")])
    flat = flatten(nfa)
    programs, machine, across, slots = _build_programs(nfa, code_of)
    automaton = _build_automaton(flat, across)
    return Tables(flat, automaton, programs, machine, slots)


def _build_programs(
    nfa: Nfa, code_of: Callable[[str], int]
) -> tuple[layout.Programs, Machine, int, int]:
    machine = Machine()
    programs: list[list[Instruction]] = []
    across, problems, slots = 0, [], 1
    for number, condition in enumerate(nfa.conditions):
        _, across_part = split_condition(condition.expression)
        programs.append([])
        if across_part is not None:
            across |= 1 << number
            try:
                program = compile_program(across_part, machine, code_of)
                slots = max(slots, slots_needed(program) + 2)
                programs[-1] = program
            except NotInKernelError as error:
                problems.append(error.problem)
    if problems:
        raise RuleError(problems)
    return encode_programs(programs, machine, nfa.variables), machine, across, slots


def encode_programs(
    programs: Sequence[Sequence[Instruction]], machine: Machine, variables: Sequence[str]
) -> layout.Programs:
    """The integer form of one program per condition, and of the registers that they read."""
    starts = np.cumsum([0, *map(len, programs)])
    code = [(i.op, i.to, i.a, i.b, i.c) for program in programs for i in program]
    number_of = {name: i for i, name in enumerate(variables)}
    registers = [
        (r.kind, -1 if r.variable is None else number_of[r.variable], r.input, r.is_float)
        for r in machine.registers
    ]
    return layout.Programs(
        starts.astype(np.int64),
        np.array(code, np.int64).reshape(-1, 5),
        np.array(machine.constants, np.int64),
        np.array(registers, np.int64).reshape(-1, 4),
    )


def _word(numbers: frozenset[int]) -> int:
    return sum(1 << n for n in numbers)


def _guard_rows(guards: Iterable[Guard]) -> list[tuple[int, int]]:
    return [(_word(g.require), _word(g.forbid)) for g in guards]


def _build_automaton(flat: FlatNfa, across: int) -> layout.Automaton:
    number = {s.state: i for i, s in enumerate(flat.states)}
    variable = {name: i for i, name in enumerate(flat.nfa.variables)}
    edges: list[tuple[int, ...]] = []
    states: list[tuple[int, ...]] = []
    guards: list[tuple[int, int]] = []
    for item in flat.states:
        first_edge, first_kill = len(edges), len(guards)
        guards += _guard_rows(item.kills)
        kills_end = len(guards)
        for edge in item.edges:
            finals = len(guards)
            guards += _guard_rows(edge.finals)
            target = layout.FINAL if edge.target is None else number[edge.target]
            taker = -1 if edge.variable is None else variable[edge.variable]
            ((require, forbid),) = _guard_rows([edge.guard])
            edges.append((edge.action, require, forbid, taker, target, finals, len(guards)))
        state, tested = item.state, _tested(flat, item) & across
        states.append(
            (
                first_edge,
                len(edges),
                first_kill,
                kills_end,
                state.window_us,
                state.pending,
                tested,
            )
        )
    return layout.Automaton(
        np.array(edges, np.int64).reshape(-1, layout.EDGE_FIELDS),
        np.array(states, np.int64).reshape(-1, layout.STATE_FIELDS),
        np.array(guards, np.int64).reshape(-1, 2),
        _settings(flat, across),
    )


def _tested(flat: FlatNfa, item: FlatState) -> int:
    """The conditions that decide what an event does in this state."""
    guards = [*item.kills, *(e.guard for e in item.edges)]
    guards += [guard for e in item.edges for guard in e.finals]
    unless = 0 if flat.nfa.unless is None else 1 << flat.nfa.unless
    return unless | _word(frozenset().union(*(g.require | g.forbid for g in guards)))


def _start_conditions(flat: FlatNfa) -> int:
    return _word(frozenset().union(*(e.guard.require for e in flat.states[0].edges)))


_SKIPS = {
    SkipStrategy.NO_SKIP: layout.NO_SKIP,
    SkipStrategy.TO_NEXT_ROW: layout.TO_NEXT_ROW,
    SkipStrategy.PAST_LAST_EVENT: layout.PAST_LAST_EVENT,
    SkipStrategy.TO_FIRST: layout.TO_FIRST,
    SkipStrategy.TO_LAST: layout.TO_LAST,
}


def _settings(flat: FlatNfa, across: int) -> layout.Int64s:
    nfa, pattern = flat.nfa, flat.nfa.pattern
    settings = np.zeros(layout.SETTINGS, np.int64)
    whole = pattern.within_scope is WithinScope.FIRST_LAST
    settings[layout.WITHIN_US] = (pattern.within_us or 0) if whole else 0
    settings[layout.UNLESS] = -1 if nfa.unless is None else nfa.unless
    settings[layout.SKIP] = _SKIPS[pattern.skip.strategy]
    if pattern.skip.variable is not None:
        settings[layout.SKIP_VARIABLE] = nfa.variables.index(pattern.skip.variable)
    settings[layout.LONGEST] = pattern.longest
    settings[layout.KEEP_TIMEOUTS] = pattern.timeout_select is not None
    settings[layout.DISTINCT_RUNS] = _is_compound(pattern.steps)
    settings[layout.RUNS_PER_STEP] = max(max(len(s.edges) for s in flat.states), 1)
    settings[layout.HAS_WINDOWS] = any(s.state.window_us for s in flat.states)
    settings[layout.ACROSS] = across
    settings[layout.START_ANY] = _start_conditions(flat)
    pending = any(s.state.pending for s in flat.states)
    settings[layout.TELLS_TIME] = pending or pattern.timeout_select is not None
    settings[[layout.RUNS_PER_KEY_MAX, layout.RUNS_MAX]] = layout.NEVER
    return settings


def _is_compound(steps: tuple[Step, ...]) -> bool:
    """Whether two runs can come to hold the same captures in the same state."""
    return any(isinstance(s.element, Group | Alternation | Permutation) for s in steps)


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
