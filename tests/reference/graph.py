"""Pattern algebra -> a graph of states, built from the end of the pattern to its beginning.

A state offers an event to its edges, and every edge whose condition holds is followed:

    TAKE     the event is captured by the edge's variable, the run moves on
    IGNORE   the event is skipped, the run waits in the edge's target
    PROCEED  the target's edges are tried on the same event

    a -> b+ -> c                a ─take─► b₁ ─take─► b₊ ─proceed─► c ─take─► end
                             ignore: not b ↺     take ↺  │          ↺ ignore: not c
                                                 ignore: not b
                                                         ▼
                                                     waiting ─take─► b₊     (never proceeds)

A state that something may be left out of (an optional one, a loop) waits in a state of its own, so
that what follows is entered once. Groups are the exception, as in Flink CEP: a loop over a group
waits in its first state, and goes on offering what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from cep.engine.algebra.expression import Expression
from cep.engine.algebra.pattern import (
    Alternation,
    Contiguity,
    Element,
    Group,
    Negation,
    Pattern,
    Permutation,
    Quantifier,
    Step,
    Variable,
)

Steps = tuple[Step, ...]


class Kind(Enum):
    NORMAL = "normal"
    FINAL = "final"
    STOP = "stop"  # reaching it means that a negation was violated
    PENDING = "pending"  # an absence that completes at its deadline


class Action(Enum):
    TAKE = "take"
    IGNORE = "ignore"
    PROCEED = "proceed"


@dataclass(frozen=True, slots=True)
class Moment:
    """An event under test and what the run has captured before it."""

    event: Mapping[str, Any]
    captured: Mapping[str, Sequence[Mapping[str, Any]]]
    taken: Sequence[Mapping[str, Any]]
    evaluate: Callable[..., Any]
    stream: str | None

    def is_true(self, expression: Expression) -> bool:
        return self.evaluate(expression, self.event, self.captured, self.taken) is True


Condition = Callable[[Moment], bool]


def always(_: Moment) -> bool:
    return True


def negated(condition: Condition) -> Condition:
    return lambda moment: not condition(moment)


def both(one: Condition, other: Condition) -> Condition:
    if one is always:
        return other
    return lambda moment: one(moment) and other(moment)


def any_of(conditions: Sequence[Condition]) -> Condition:
    return lambda moment: any(condition(moment) for condition in conditions)


@dataclass(slots=True)
class Edge:
    action: Action
    target: State
    condition: Condition
    variable: str = ""


@dataclass(eq=False, slots=True)
class State:
    """`window_us`: how long after the event taken before it a run may stand here.

    No edge is followed by an event for which something `forbidden` is true. A copy has the edges of
    the state that it is `like`, even those added later, and forbids on its own account.
    """

    kind: Kind = Kind.NORMAL
    window_us: int | None = None
    stops_for: str | None = None  # the negated variable, of a STOP state
    own_edges: list[Edge] = field(default_factory=list)
    forbidden: list[Condition] = field(default_factory=list)
    like: State | None = None

    def take(self, target: State, condition: Condition, variable: str) -> None:
        self.own_edges.append(Edge(Action.TAKE, target, condition, variable))

    def ignore(self, target: State, condition: Condition) -> None:
        self.own_edges.append(Edge(Action.IGNORE, target, condition))

    def proceed(self, target: State, condition: Condition = always) -> None:
        self.own_edges.append(Edge(Action.PROCEED, target, condition))

    def copy(self) -> State:
        """The same edges; those that lead back to this state lead back to the copy."""
        like = self.like or self
        return State(
            self.kind, self.window_us, self.stops_for, forbidden=[*self.forbidden], like=like
        )

    def edges(self) -> list[Edge]:
        like = self.like or self
        return [replace(e, target=self) if e.target is like else e for e in like.own_edges]

    def open_edges(self, moment: Moment) -> list[Edge]:
        """The edges that the event may follow, in the order in which they were added."""
        if any(condition(moment) for condition in self.forbidden):
            return []
        return [edge for edge in self.edges() if edge.condition(moment)]


def build_graph(pattern: Pattern) -> State:
    """The state in which a run that has taken nothing stands."""
    return _Builder(pattern).start()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a sequence of steps stands.

    `entry`: how its first event must follow the one before. `untils` of the groups around.
    `following`: the step after the sequence. `optional_head`: the sequence is a group that may be
    left out, so its first state must not wait where it can be left out. `joint`: the alternation
    around it does the waiting, until something is taken.
    """

    entry: Contiguity = Contiguity.STRICT
    untils: tuple[Expression, ...] = ()
    following: Step | None = None
    optional_head: bool = False
    joint: bool = False


@dataclass(frozen=True, slots=True)
class _Spot:
    """One step in its place; `nots` are the negations between it and what was taken before."""

    step: Step
    place: _Place
    entry: Contiguity
    inner: Contiguity
    following: Step | None
    nots: tuple[str, ...]
    optional_head: bool

    @property
    def quantifier(self) -> Quantifier:
        return self.step.quantifier

    @property
    def untils(self) -> tuple[Expression, ...]:
        """What ends the loop: the step's own condition and those of the groups around it."""
        own = () if self.step.until is None else (self.step.until,)
        return (*self.place.untils, *own)


class _Builder:
    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.final = State(Kind.FINAL)
        self.ungreedy: dict[State, State] = {}  # a state -> its copy that no loop forbids anything

    def start(self) -> State:
        return self.sequence(self.pattern.steps, self.final, self.final, _Place())

    # -- sequences ----------------------------------------------------------------------------

    def sequence(self, steps: Steps, sink: State, bypass: State, place: _Place) -> State:
        """The entry of steps that lead to `sink`, or to `bypass` where they took nothing."""
        if not steps:
            return sink
        after = sink
        for i in reversed(range(1, len(steps))):
            after = self.step(_spot(steps, i, replace(place, joint=False)), after, after)
        left_out = after
        if place.joint:  # leaving out a head leads to what is left, which must not wait either
            left_out = self.sequence(steps[1:], sink, bypass, place) if steps[1:] else bypass
        return self.step(_spot(steps, 0, place), after, left_out)

    def step(self, spot: _Spot, sink: State, left_out: State) -> State:
        if isinstance(spot.step.element, Negation):
            return self.negation(spot, spot.step.element, sink)
        entry = self.repeated(spot, sink, left_out)
        self.add_stops(entry, spot)
        return entry

    # -- negation -----------------------------------------------------------------------------

    def negation(self, spot: _Spot, element: Negation, sink: State) -> State:
        unwanted = self.takes(element.name, spot.place.untils)
        stop = State(Kind.STOP, stops_for=element.name)
        if spot.entry is Contiguity.STRICT:
            state = State(window_us=spot.step.within_us)
            if sink.kind is Kind.FINAL:  # one more event must come, and is not taken
                state.ignore(sink, negated(unwanted))
            else:
                state.proceed(sink, negated(unwanted))
            state.proceed(stop, unwanted)
            return state
        if sink.kind is Kind.FINAL:
            state = State(Kind.PENDING, window_us=spot.step.within_us)
            state.proceed(stop, unwanted)
            state.ignore(state, negated(unwanted))
            return state
        return sink  # the states around it watch for the unwanted event

    def add_stops(self, state: State, spot: _Spot) -> None:
        for name in spot.nots:
            stop = State(Kind.STOP, stops_for=name)
            state.proceed(stop, self.takes(name, spot.place.untils))

    def add_stop_to_loop(self, state: State, spot: _Spot) -> None:
        """A loop before a negation is over for good once the unwanted event has come."""
        following = spot.following
        if following is None or not isinstance(following.element, Negation):
            return
        if following.contiguity is not Contiguity.STRICT:
            name = following.element.name
            stop = State(Kind.STOP, stops_for=name)
            state.proceed(stop, self.takes(name, spot.place.untils))

    def without_nots(self, sink: State, spot: _Spot) -> State:
        """What follows an optional step, without the negations before it: it was there."""
        if not spot.nots or not spot.quantifier.optional:
            return sink
        return self.freed(sink, spot.nots, {})

    def freed(self, state: State, nots: tuple[str, ...], copies: dict[State, State]) -> State:
        if state in copies:
            return copies[state]
        twin = State(state.kind, state.window_us, state.stops_for, forbidden=[*state.forbidden])
        copies[state] = twin
        for edge in state.edges():
            target = twin if edge.target is state else edge.target
            if edge.action is Action.PROCEED:
                if edge.target.kind is Kind.STOP and edge.target.stops_for in nots:
                    continue
                target = self.freed(edge.target, nots, copies)
            twin.own_edges.append(replace(edge, target=target))
        return twin

    # -- repetition ---------------------------------------------------------------------------

    def repeated(self, spot: _Spot, sink: State, left_out: State) -> State:
        quantifier = spot.quantifier
        if quantifier.maximum is None:
            loop = self.loop(spot, self.without_nots(sink, spot), left_out)
            return self.times(spot, loop, sink, left_out)
        if quantifier.greedy and quantifier.minimum != quantifier.maximum:
            self.forbid(spot, sink, left_out, self.begins(spot))
        elif quantifier.greedy and _at_most_one(spot):
            left_out = left_out.copy()  # once it is taken, nothing is forbidden any more
            left_out.forbidden.append(self.begins(spot))
        return self.times(spot, sink, sink, left_out)

    def forbid(self, spot: _Spot, sink: State, left_out: State, begins: Condition) -> None:
        """Greedy: what follows is not offered an event that the repetition could take."""
        sink.forbidden.append(begins)
        if spot.place.joint and left_out is not sink:
            left_out.forbidden.append(begins)

    def times(self, spot: _Spot, last: State, sink: State, left_out: State) -> State:
        """As many states as repetitions; those beyond the minimum may be left out."""
        quantifier = spot.quantifier
        gap_us = quantifier.gap_us
        for _ in range(quantifier.minimum, quantifier.maximum or quantifier.minimum):
            last = self.once(spot, last, sink, first=False, optional=True, window_us=None)
            self.add_stop_to_loop(last, spot)
        for _ in range(quantifier.minimum - 1):
            last = self.once(spot, last, sink, first=False, optional=False, window_us=gap_us)
            self.add_stop_to_loop(last, spot)
        window_us = _smallest(spot.step.within_us, None if quantifier.optional else gap_us)
        return self.once(
            spot, last, left_out, first=True, optional=quantifier.optional, window_us=window_us
        )

    def once(
        self,
        spot: _Spot,
        sink: State,
        left_out: State,
        *,
        first: bool,
        optional: bool,
        window_us: int | None,
    ) -> State:
        """One repetition. `optional`: it may be left out, which leads to `left_out`."""
        element = spot.step.element
        if isinstance(element, Group):
            state = self.group(spot, element, sink, first=first, optional=optional)
            state.window_us = _smallest(state.window_us, window_us)
        else:
            state = State(window_us=window_us)
            target = self.without_nots(sink, spot)
        if optional:
            self.leave(spot, state, left_out)
        elif not isinstance(element, Group) and _nullable(element):
            state.proceed(left_out if first else sink)
        if not isinstance(element, Group):
            self.take_one(spot, state, target)
        if not isinstance(element, Group):
            waits = self.waiting(spot, first=first)
            if waits is not None:
                apart = optional or spot.optional_head or _nullable(element)
                waiting = state
                if apart:
                    waiting = State()
                    self.take_one(spot, waiting, target)
                    waiting.ignore(waiting, waits)
                    self.add_stops(waiting, spot)
                state.ignore(waiting, waits)
        return state

    def leave(self, spot: _Spot, state: State, left_out: State) -> None:
        """The way past something optional; where a greedy loop has ended, nothing is forbidden."""
        going_on = self.not_until(spot.place.untils)
        until = spot.step.until
        if spot.quantifier.greedy and until is not None:
            free = self.ungreedy.get(left_out, left_out)
            state.proceed(free, both(going_on, lambda moment: moment.is_true(until)))
            going_on = both(going_on, self.not_until((until,)))
        state.proceed(left_out, going_on)

    def loop(self, spot: _Spot, sink: State, left_out: State) -> State:
        """The repetitions after the minimum."""
        quantifier, element = spot.quantifier, spot.step.element
        if spot.step.until is not None and quantifier.greedy:
            self.ungreedy[sink] = sink.copy()
        if isinstance(element, Group):
            back = State()
            state = self.group(spot, element, back, first=False, optional=False)
            back.proceed(state)
            self.leave(spot, state, sink)
        else:
            state = State()
            self.leave(spot, state, sink)
            self.take_one(spot, state, state)
            self.add_stop_to_loop(state, spot)
            waits = self.waiting(spot, first=False)
            if waits is not None:
                waiting = State()
                self.take_one(spot, waiting, state)
                waiting.ignore(waiting, waits)
                state.ignore(waiting, waits)
                self.add_stop_to_loop(waiting, spot)
        if quantifier.greedy:
            begins = self.begins(spot, untils=spot.place.untils)
            self.forbid(spot, sink, left_out, begins)
        return state

    # -- elements -----------------------------------------------------------------------------

    def group(
        self, spot: _Spot, element: Group, sink: State, *, first: bool, optional: bool
    ) -> State:
        place = _Place(
            entry=spot.entry if first else spot.quantifier.inner,
            untils=spot.untils,
            following=spot.following,
            optional_head=first and (spot.quantifier.optional or spot.optional_head),
            joint=first and spot.place.joint,
        )
        return self.sequence(element.steps, sink, sink, place)

    def take_one(self, spot: _Spot, state: State, target: State) -> None:
        """Give the state the edges by which one repetition of the element begins."""
        element = spot.step.element
        nothing_taken = State()  # a branch that takes nothing leads nowhere: `once` leaves it out
        place = _Place(untils=spot.untils, joint=True)
        match element:
            case Variable(name):
                state.take(target, self.takes(name, spot.untils), name)
            case Alternation(branches):
                for branch in reversed(branches):  # the last added is tried first
                    state.proceed(self.sequence(branch, target.copy(), nothing_taken, place))
            case Permutation(elements, inner):
                heads = self.orders(elements, inner, target, nothing_taken, place)
                for head in reversed(list(heads)):
                    state.proceed(head)

    def orders(
        self, elements: Steps, inner: Contiguity, sink: State, bypass: State, place: _Place
    ) -> Iterator[State]:
        """For each element the entry of the orders that begin with it."""
        for i, element in enumerate(elements):
            rest = elements[:i] + elements[i + 1 :]
            if rest:
                others = Permutation(rest, inner)
                first_of_two = (element, Step(others, contiguity=inner))
                yield self.sequence(first_of_two, sink, bypass, place)
            else:
                yield self.sequence((element,), sink.copy(), bypass, place)

    # -- conditions ---------------------------------------------------------------------------

    def waiting(self, spot: _Spot, *, first: bool) -> Condition | None:
        """Which events may be skipped before a repetition; None where none may."""
        contiguity = spot.entry if first else spot.inner
        untils = spot.place.untils if first else spot.untils
        if contiguity is Contiguity.STRICT:
            return None
        going_on = self.not_until(untils)
        if contiguity is Contiguity.ANY:
            return going_on
        return both(going_on, negated(self.begins(spot, untils=())))

    def begins(self, spot: _Spot, untils: tuple[Expression, ...] | None = None) -> Condition:
        """Whether an event could be the first that the step takes."""
        untils = spot.untils if untils is None else untils
        names = list(_heads(spot.step.element))
        return any_of([self.takes(name, untils) for name in names])

    def takes(self, name: str, untils: tuple[Expression, ...]) -> Condition:
        definition = self.pattern.definition(name)

        def is_one(moment: Moment) -> bool:
            if definition.stream is not None and moment.stream != definition.stream:
                return False
            return definition.condition is None or moment.is_true(definition.condition)

        return both(self.not_until(untils), is_one)

    def not_until(self, untils: tuple[Expression, ...]) -> Condition:
        if not untils:
            return always
        return lambda moment: not any(moment.is_true(until) for until in untils)


def _spot(steps: Steps, i: int, place: _Place) -> _Spot:
    step = steps[i]
    is_head = i == 0
    entry = place.entry if is_head else step.contiguity
    return _Spot(
        step=step,
        place=place,
        entry=Contiguity.STRICT if place.joint else entry,
        inner=step.quantifier.inner,
        following=place.following if i == len(steps) - 1 else steps[i + 1],
        nots=tuple(_nots_before(steps, i)),
        optional_head=is_head and place.optional_head,
    )


def _nots_before(steps: Steps, i: int) -> Iterator[str]:
    """The relaxed negations that still hold at step i: only optional steps lie between."""
    for step in reversed(steps[:i]):
        if isinstance(step.element, Negation):
            if step.contiguity is Contiguity.STRICT:
                return
            yield step.element.name
        elif not step.quantifier.optional:
            return


def _at_most_one(spot: _Spot) -> bool:
    return spot.quantifier.maximum == 1 and spot.quantifier.optional


def _heads(element: Element) -> Iterator[str]:
    """The variables that could take the first event of an element."""
    match element:
        case Variable(name):
            yield name
        case Group(steps):
            yield from _heads_of(steps)
        case Alternation(branches):
            for branch in branches:
                yield from _heads_of(branch)
        case Permutation(elements):
            for step in elements:
                yield from _heads(step.element)


def _heads_of(steps: Steps) -> Iterator[str]:
    for step in steps:
        if not isinstance(step.element, Negation):
            yield from _heads(step.element)
            if not (step.quantifier.optional or _nullable(step.element)):
                return


def _nullable(element: Element) -> bool:
    """Whether the element may take nothing, apart from its quantifier."""

    def all_may_be_left_out(steps: Steps) -> bool:
        return all(
            isinstance(step.element, Negation)
            or step.quantifier.optional
            or _nullable(step.element)
            for step in steps
        )

    match element:
        case Group(steps) | Permutation(steps):
            return all_may_be_left_out(steps)
        case Alternation(branches):
            return any(all_may_be_left_out(branch) for branch in branches)
    return False


def _smallest(*bounds_us: int | None) -> int | None:
    return min((bound for bound in bounds_us if bound is not None), default=None)
