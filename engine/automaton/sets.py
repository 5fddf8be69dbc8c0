"""Which patterns can be evaluated by the set, and which sets an event can change.

All partial matches of a key in one state are one set where an event does the same to all of them:
where conditions read no earlier event, and no partial match has a deadline, a limit or an order of
its own. See `kernels/sets.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cep.engine.algebra.pattern import SkipStrategy
from cep.engine.automaton.flat import FlatEdge, FlatNfa, FlatState
from cep.engine.automaton.states import Action, Guard
from cep.engine.kernels import layout, sets


def why_not_sets(flat: FlatNfa, across: int) -> str | None:
    """What a pattern asks for that takes a run for each partial match; None: nothing.

    `across`: the conditions that read earlier events, as bits.
    """
    pattern = flat.nfa.pattern
    if across:
        return "a condition reads earlier events"
    if pattern.skip.strategy is not SkipStrategy.NO_SKIP:
        return "matches skip others"
    if pattern.longest:
        return "only longest matches count"
    if pattern.timeout_select is not None:
        return "partial matches that time out are reported"
    if any(item.state.window_us or item.state.pending for item in flat.states):
        return "there is a time limit between events"
    if len(flat.states) > sets.STATES_MAX or len(flat.nfa.variables) > layout.BITS_MAX:
        return f"it has more than {sets.STATES_MAX} states"
    return "the same match could be found in two ways" if _is_ambiguous(flat) else None


def touched_states(flat: FlatNfa) -> layout.Int64s:
    """By condition the states that an event may change for which it holds, as bits, shape (64,).

    The last are the states that an event may change for which no condition holds.
    """
    touch = np.zeros(layout.BITS_MAX + 1, np.int64)
    for number, item in enumerate(flat.states[1:], 1):
        for condition in _conditions(item):
            touch[condition] |= 1 << number
        if flat.nfa.unless is not None:
            touch[flat.nfa.unless] |= 1 << number
        if not _rests(item):
            touch[sets.RESTLESS] |= 1 << number
    return touch


def _guards(item: FlatState) -> Iterator[Guard]:
    yield from item.kills
    for edge in item.edges:
        yield edge.guard
        yield from edge.finals


def _conditions(item: FlatState) -> frozenset[int]:
    return frozenset().union(*(guard.require | guard.forbid for guard in _guards(item)))


def _rests(item: FlatState) -> bool:
    """Whether nothing happens to what is in this state where none of its conditions holds."""
    idle = [edge for edge in item.edges if not edge.guard.require]
    stays = [e for e in idle if e.action is Action.IGNORE and e.target is item.state]
    return len(stays) == len(idle) == 1 and all(kill.require for kill in item.kills)


# ---------------------------------------------------------------------- ambiguity


def _is_ambiguous(flat: FlatNfa) -> bool:
    """Whether two runs can take the same events for the same variables and come together again.

    Two runs side by side, over all events that both can meet: from the start until their states
    differ, and from there until they are in one state or complete at the same event. (The test for
    unambiguity of an automaton by its product with itself: Weber, Seidl, "On the degree of
    ambiguity of finite transducers", Theoretical Computer Science 88, 1991.)
    """
    state_of = {item.state: item for item in flat.states}
    begin = (flat.states[0].state, flat.states[0].state, False)
    queue, seen = [begin], {begin}
    for first, second, has_split in queue:
        for one, other in _side_by_side(state_of[first], state_of[second]):
            split = has_split or one is not other
            if has_split and _both_complete(one, other):
                return True
            if one.target is None or other.target is None:
                continue
            if split and one.target is other.target:
                return True
            following = (one.target, other.target, split)
            if following not in seen:
                seen.add(following)
                queue.append(following)
    return False


def _side_by_side(first: FlatState, second: FlatState) -> Iterator[tuple[FlatEdge, FlatEdge]]:
    """Edges that one event can fire, and that capture the same."""
    for one in first.edges:
        for other in second.edges:
            same = (one.action, one.variable) == (other.action, other.variable)
            if same and (one.guard & other.guard).possible:
                yield one, other


def _both_complete(one: FlatEdge, other: FlatEdge) -> bool:
    """Whether both runs can be matches then. From one state they are one: see `sets.go_on`."""
    return all(edge.target is None or edge.finals for edge in (one, other))
