"""Flattened states -> the kernel's integer tables.

Both forms are kept: the readable one for people and tests, the integer one for the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cep.engine.algebra.errors import Problem, RuleError
from cep.engine.algebra.pattern import (
    Alternation,
    Group,
    Permutation,
    SkipStrategy,
    Step,
    WithinScope,
)
from cep.engine.automaton.distances import events_missing
from cep.engine.automaton.flat import FlatNfa, FlatState, flatten
from cep.engine.automaton.program import (
    Instruction,
    Machine,
    NotInKernelError,
    compile_program,
    slots_needed,
    split_condition,
)
from cep.engine.automaton.sets import touched_states, why_not_sets
from cep.engine.automaton.states import Guard, Nfa
from cep.engine.kernels import layout

# ---------------------------------------------------------------------- integers


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything the kernel needs to know of one pattern, and what must be fed to it.

    `missing`: for each state how many events more make a match, at least; the last is for runs that
    are complete. `touch`: which sets an event changes (`sets.process`); None: see `why_not_sets`.
    """

    flat: FlatNfa
    automaton: layout.Automaton
    programs: layout.Programs
    machine: Machine
    slots: int
    missing: layout.Int64s
    touch: layout.Int64s | None
    why_not_sets: str | None


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
    missing = np.array([*events_missing(flat), 0])
    why_not = why_not_sets(flat, across)
    touch = touched_states(flat) if why_not is None else None
    return Tables(flat, automaton, programs, machine, slots, missing, touch, why_not)


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
