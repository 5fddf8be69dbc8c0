"""States, edges and guards: what an automaton is made of.

    take      the event is captured; the run moves on
    ignore    the event is skipped; the run stays, or moves to a state that waits
    proceed   no event is consumed: the target's edges are tried on the same event
    kill      the run dies (a negated variable met its event)

Edges carry guards: conditions of the pattern that must hold, and others that must not, for the
event under test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from cep.engine.algebra.expression import Expression
from cep.engine.algebra.pattern import Pattern


class Action(IntEnum):
    TAKE = 0
    IGNORE = 1
    PROCEED = 2
    KILL = 3


@dataclass(frozen=True, slots=True)
class Condition:
    """What a guard tests: an event of `stream` (None: any) for which `expression` is true."""

    stream: str | None
    expression: Expression | None


@dataclass(frozen=True, slots=True)
class Guard:
    """A conjunction over condition numbers: all of `require` hold, none of `forbid` does."""

    require: frozenset[int] = frozenset()
    forbid: frozenset[int] = frozenset()

    def __and__(self, other: Guard) -> Guard:
        return Guard(self.require | other.require, self.forbid | other.forbid)

    @property
    def possible(self) -> bool:
        return not self.require & self.forbid

    def implies(self, other: Guard) -> bool:
        return other.require <= self.require and other.forbid <= self.forbid

    def negations(self) -> Iterator[Guard]:
        """Guards that exclude each other and together say that this one does not hold."""
        passed = Guard()
        for number in sorted(self.require):
            yield passed & Guard(forbid=frozenset({number}))
            passed &= Guard(require=frozenset({number}))
        for number in sorted(self.forbid):
            yield passed & Guard(require=frozenset({number}))
            passed &= Guard(forbid=frozenset({number}))


ALWAYS = Guard()


@dataclass(frozen=True, slots=True)
class Edge:
    """`variable`: what a take edge captures for, or whose negation a kill edge stands for."""

    action: Action
    guard: Guard
    target: State
    variable: str | None = None


@dataclass(slots=True, eq=False)
class State:
    """`window_us`: a run that rests here dies this long after the event it took last (0: never).

    `pending`: the run is complete once its time is up (a negation that ends the pattern).
    """

    name: str
    window_us: int = 0
    pending: bool = False
    final: bool = False
    edges: list[Edge] = field(default_factory=list, repr=False)

    def add(
        self, action: Action, target: State, guard: Guard = ALWAYS, variable: str | None = None
    ) -> None:
        if guard.possible:
            self.edges.append(Edge(action, guard, target, variable))


@dataclass(frozen=True, slots=True)
class Nfa:
    """The automaton of a pattern. A virtual run always waits in `start`, which ignores nothing."""

    pattern: Pattern
    conditions: tuple[Condition, ...]
    variables: tuple[str, ...]
    start: State
    final: State
    unless: int | None

    def states(self) -> list[State]:
        """Every state that can be reached from the start, in order of discovery."""
        found, queue = {self.start: None}, [self.start]
        for state in queue:
            for edge in state.edges:
                if edge.target not in found:
                    found[edge.target] = None
                    queue.append(edge.target)
        return list(found)
