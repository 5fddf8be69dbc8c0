"""Whether the conditions that hold for an event let it pass."""

from __future__ import annotations

from cep.engine.kernels.jit import inlined
from cep.engine.kernels.layout import (
    EDGE_FINALS,
    EDGE_FINALS_END,
    STATE_KILLS,
    STATE_KILLS_END,
    Automaton,
)


@inlined
def accepts(bits: int, require: int, forbid: int) -> bool:
    return bits & require == require and bits & forbid == 0


@inlined
def is_killed(automaton: Automaton, state: int, bits: int) -> bool:
    for kill in range(
        automaton.states[state, STATE_KILLS], automaton.states[state, STATE_KILLS_END]
    ):
        if accepts(bits, automaton.guards[kill, 0], automaton.guards[kill, 1]):
            return True
    return False


@inlined
def is_final_after(automaton: Automaton, edge: int, bits: int) -> bool:
    for final in range(automaton.edges[edge, EDGE_FINALS], automaton.edges[edge, EDGE_FINALS_END]):
        if accepts(bits, automaton.guards[final, 0], automaton.guards[final, 1]):
            return True
    return False
