"""Pattern algebra -> NFA, one function per operator.

The automaton is built from the last step to the first, each part handed the state that follows
it (its *sink*). The construction follows NFA^b of SASE+ (Agrawal, Diao, Gyllstrom, Immerman,
"Efficient Pattern Matching over Event Streams", SIGMOD 2008, section 4) with the operators of
Apache Flink CEP, whose behaviour the conformance cases pin down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cep.engine.algebra.pattern import (
    Alternation,
    Contiguity,
    Element,
    Group,
    Negation,
    Pattern,
    Permutation,
    Step,
    Variable,
    WithinScope,
    variables,
)
from cep.engine.automaton.states import Action, Condition, Guard, Nfa, State


def build_nfa(pattern: Pattern) -> Nfa:
    """The automaton of a valid pattern; its bounds and guards refer to the pattern's own terms."""
    builder = _Builder(pattern)
    start = builder.sequence(pattern.steps, builder.final, None, None)
    unless = None if pattern.unless is None else builder.number(Condition(None, pattern.unless))
    names = tuple(dict.fromkeys(v.name for v in variables(pattern.steps)))
    return Nfa(pattern, tuple(builder.conditions), names, start, builder.final, unless)


@dataclass(frozen=True, slots=True)
class _Enclosing:
    """What the steps of a group inherit from it.

    `entry` is how the group's first event follows what came before; `skippable`: the group may be
    left out as a whole; `closed`: conditions that end an enclosing loop.
    """

    entry: Contiguity
    skippable: bool = False
    closed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Place:
    """A step where it stands: its sequence, what follows it, what encloses it."""

    steps: tuple[Step, ...]
    index: int
    following: Step | None
    enclosing: _Enclosing | None

    @property
    def step(self) -> Step:
        return self.steps[self.index]

    @property
    def is_head(self) -> bool:
        return self.index == 0 and self.enclosing is not None

    @property
    def closed(self) -> frozenset[int]:
        return frozenset() if self.enclosing is None else self.enclosing.closed

    def entry(self) -> Contiguity:
        """How the step's first event follows the one before; a pattern's waits for nothing."""
        if self.index > 0:
            return self.step.contiguity
        return Contiguity.STRICT if self.enclosing is None else self.enclosing.entry

    def inner(self) -> Contiguity:
        return self.step.quantifier.inner

    def open_negations(self) -> list[Negation]:
        """The negations still in force before this step: only optional steps stand in between."""
        found = []
        for step in reversed(self.steps[: self.index]):
            if isinstance(step.element, Negation) and step.contiguity is not Contiguity.STRICT:
                found.append(step.element)
            elif not step.quantifier.optional:
                break
        return found


class _Builder:
    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.conditions: list[Condition] = []
        self.final = State("final", final=True)
        self.unguarded: dict[State, State] = {}

    # ------------------------------------------------------------------ conditions and states

    def number(self, condition: Condition) -> int:
        if condition not in self.conditions:
            self.conditions.append(condition)
        return self.conditions.index(condition)

    def condition_of(self, variable: str) -> int:
        definition = self.pattern.definition(variable)
        return self.number(Condition(definition.stream, definition.condition))

    def until(self, step: Step) -> frozenset[int]:
        if step.until is None:
            return frozenset()
        return frozenset({self.number(Condition(None, step.until))})

    def takes(self, variable: str, closed: frozenset[int]) -> Guard:
        return Guard(frozenset({self.condition_of(variable)}), closed)

    def state(self, name: str, window_us: int | None = None) -> State:
        if self.pattern.within_scope is WithinScope.BETWEEN_EVENTS:
            bounds = [b for b in (window_us, self.pattern.within_us) if b]
            return State(name, min(bounds, default=0))
        return State(name, window_us or 0)

    def heads(self, steps: tuple[Step, ...]) -> frozenset[int]:
        """The conditions of the variables that can take the first event of a sequence."""
        found: frozenset[int] = frozenset()
        for step in steps:
            found |= self.heads_of(step.element)
            if not step.quantifier.optional:
                break
        return found

    def heads_of(self, element: Element) -> frozenset[int]:
        match element:
            case Variable(name):
                return frozenset({self.condition_of(name)})
            case Group(steps):
                return self.heads(steps)
            case Alternation(branches):
                return frozenset().union(*(self.heads(branch) for branch in branches))
            case Permutation(elements):
                return frozenset().union(*(self.heads_of(step.element) for step in elements))
            case Negation():
                return frozenset()

    # ------------------------------------------------------------------ sequence and negation

    def sequence(
        self,
        steps: tuple[Step, ...],
        sink: State,
        following: Step | None,
        enclosing: _Enclosing | None,
    ) -> State:
        """The entry state of a sequence that leads to `sink`."""
        for index in reversed(range(len(steps))):
            place = _Place(steps, index, following, enclosing)
            if isinstance(place.step.element, Negation):
                sink = self.negation(place, place.step.element, sink)
            else:
                sink = self.repetition(place, sink)
            following = place.step
        return sink

    def negation(self, place: _Place, negation: Negation, sink: State) -> State:
        kills = self.takes(negation.name, place.closed)
        if place.step.contiguity is Contiguity.STRICT:
            return self.negated_next(place, negation, kills, sink)
        if sink.final:
            return self.negated_until_deadline(place, negation, kills)
        return sink  # in between: kill edges of the states around it say it

    def negated_next(self, place: _Place, negation: Negation, kills: Guard, sink: State) -> State:
        """The very next event must not be one; at the end of a pattern it must have come."""
        state = self.state(f"not {negation.name}", place.step.within_us)
        action = Action.IGNORE if sink.final else Action.PROCEED
        for otherwise in kills.negations():
            state.add(action, sink, otherwise)
        state.add(Action.KILL, self.final, kills, negation.name)
        return state

    def negated_until_deadline(self, place: _Place, negation: Negation, kills: Guard) -> State:
        state = self.state(f"not {negation.name}", place.step.within_us)
        state.pending = True
        state.add(Action.KILL, self.final, kills, negation.name)
        for otherwise in kills.negations():
            state.add(Action.IGNORE, state, otherwise)
        return state

    def add_kills(self, place: _Place, state: State) -> None:
        for negation in place.open_negations():
            kills = self.takes(negation.name, place.closed)
            state.add(Action.KILL, self.final, kills, negation.name)

    def add_kill_of_following(self, place: _Place, state: State) -> None:
        """Between repetitions, the negation that follows the loop is already in force."""
        step = place.following
        if step is None or not isinstance(step.element, Negation):
            return
        if step.contiguity is not Contiguity.STRICT:
            kills = self.takes(step.element.name, place.closed)
            state.add(Action.KILL, self.final, kills, step.element.name)

    def past_negations(self, place: _Place, sink: State) -> State:
        """The sink without the negations before an optional step: taking an event fulfils them."""
        fulfilled = {n.name for n in place.open_negations()}
        if not fulfilled or not place.step.quantifier.optional:
            return sink
        return self.without_kills(sink, fulfilled, {})

    def without_kills(self, state: State, fulfilled: set[str], copies: dict[State, State]) -> State:
        if state in copies or state.final:
            return copies.get(state, state)
        copy = copies[state] = State(state.name, state.window_us, state.pending)
        for edge in state.edges:
            if edge.action is Action.KILL and edge.variable in fulfilled:
                continue
            target = edge.target
            if edge.action is Action.PROCEED:
                target = self.without_kills(target, fulfilled, copies)
            elif target is state:
                target = copy
            copy.edges.append(replace(edge, target=target))
        return copy

    # ------------------------------------------------------------------ repetition

    def repetition(self, place: _Place, sink: State) -> State:
        quantifier = place.step.quantifier
        first, last = quantifier.minimum, quantifier.maximum
        if last is None:
            loop = self.loop(place, self.past_negations(place, sink))
            entry = self.times(place, loop, sink, first, first)
        else:
            entry = self.times(place, sink, sink, first, last)
        self.add_kills(place, entry)
        return entry

    def loop(self, place: _Place, sink: State) -> State:
        """Any number of further repetitions, each optional."""
        if not isinstance(place.step.element, Variable):
            return self.compound_loop(place, sink)
        name, until = place.step.element.name, self.until(place.step)
        take = self.takes(name, place.closed | until)
        state = self.state(name)
        if place.step.quantifier.greedy:
            self.proceed_greedily(place, state, sink)
            self.forbid(sink, self.takes(name, place.closed))
        else:
            state.add(Action.PROCEED, sink, Guard(forbid=place.closed))
        state.add(Action.TAKE, state, take, name)
        self.add_kill_of_following(place, state)
        ignore = self.ignore(place.inner(), self.heads_of(place.step.element), place.closed | until)
        if ignore is not None:
            waiting = self.state(name)
            waiting.add(Action.TAKE, state, take, name)
            waiting.add(Action.IGNORE, waiting, ignore)
            state.add(Action.IGNORE, waiting, ignore)
            self.add_kill_of_following(place, waiting)
        return state

    def compound_loop(self, place: _Place, sink: State) -> State:
        if place.step.quantifier.greedy:
            self.forbid_heads(place, sink)
        again, begin = self.state("again"), self.state("again")
        again.add(Action.PROCEED, begin)
        if isinstance(place.step.element, Group):
            entry = self.element(place, again, None, place.inner(), first=False)
            entry.add(Action.PROCEED, sink, Guard(forbid=place.closed))
        else:
            entry = self.element(place, again, sink, place.inner(), first=False)
        begin.add(Action.PROCEED, entry)
        return entry

    def times(self, place: _Place, sink: State, proceed: State, low: int, high: int) -> State:
        """`low` repetitions that must come and `high - low` that may, leading to `sink`.

        `proceed` is where a run goes that takes no more of them.
        """
        quantifier = place.step.quantifier
        last = sink
        if quantifier.greedy and low != high:
            self.keep_unguarded(sink, self.until(place.step))
            self.forbid_heads(place, sink, self.until(place.step))
        for _ in range(high - low):
            last = self.element(place, last, proceed, place.inner(), first=False)
            self.add_kill_of_following(place, last)
        for _ in range(low - 1):
            last = self.element(
                place, last, None, place.inner(), first=False, window_us=quantifier.gap_us
            )
            self.add_kill_of_following(place, last)
        window_us = place.step.within_us
        if quantifier.gap_us and not quantifier.optional:
            window_us = min(quantifier.gap_us, window_us or quantifier.gap_us)
        if not quantifier.optional:
            return self.element(place, last, None, place.entry(), first=True, window_us=window_us)
        if quantifier.greedy and quantifier.maximum == 1:
            proceed = self.reserved(place, proceed)
        return self.element(place, last, proceed, place.entry(), first=True, window_us=window_us)

    # ------------------------------------------------------------------ greed

    def forbid(self, state: State, take: Guard) -> None:
        """No edge of the state fires on an event that the guard accepts."""
        edges = [
            replace(edge, guard=edge.guard & otherwise)
            for edge in state.edges
            for otherwise in take.negations()
        ]
        state.edges[:] = [edge for edge in edges if edge.guard.possible]

    def forbid_heads(
        self, place: _Place, state: State, until: frozenset[int] = frozenset()
    ) -> None:
        for head in sorted(self.heads_of(place.step.element)):
            self.forbid(state, Guard(frozenset({head}), place.closed | until))

    def keep_unguarded(self, sink: State, until: frozenset[int]) -> None:
        """Remember the sink as it was: once `until` has closed a greedy loop it is free again."""
        if until:
            self.unguarded[sink] = self.copy(sink)

    def proceed_greedily(self, place: _Place, state: State, sink: State) -> None:
        until = self.until(place.step)
        if until:
            self.keep_unguarded(sink, until)
            state.add(Action.PROCEED, self.unguarded[sink], Guard(until, place.closed))
        state.add(Action.PROCEED, sink, Guard(forbid=place.closed | until))

    def reserved(self, place: _Place, sink: State) -> State:
        """A copy of the sink that leaves to a greedy optional step what that step could take."""
        if sink.final:
            return sink
        copy = self.copy(sink)
        self.forbid_heads(place, copy)
        return copy

    def copy(self, state: State) -> State:
        if state.final:
            return state
        copy = State(state.name, state.window_us, state.pending)
        for edge in state.edges:
            copy.edges.append(replace(edge, target=copy if edge.target is state else edge.target))
        return copy

    # ------------------------------------------------------------------ elements

    def ignore(
        self, contiguity: Contiguity, heads: frozenset[int], closed: frozenset[int]
    ) -> Guard | None:
        """The guard under which a waiting run skips an event; None: it never does."""
        match contiguity:
            case Contiguity.STRICT:
                return None
            case Contiguity.RELAXED:
                return Guard(forbid=heads | closed)
            case Contiguity.ANY:
                return Guard(forbid=closed)

    def element(
        self,
        place: _Place,
        sink: State,
        proceed: State | None,
        contiguity: Contiguity,
        *,
        first: bool,
        window_us: int | None = None,
    ) -> State:
        """One occurrence of the step's element; `proceed`: where a run goes that leaves it out."""
        match place.step.element:
            case Variable(name):
                return self.variable(place, name, sink, proceed, contiguity, first, window_us)
            case Group(steps):
                return self.group(place, steps, sink, proceed, contiguity, first, window_us)
            case Alternation(branches):
                places = [(branch, sink) for branch in branches]
                return self.choice(place, places, proceed, contiguity, window_us)
            case Permutation() as permutation:
                return self.permutation(place, permutation, sink, proceed, contiguity, window_us)
            case Negation():
                raise AssertionError("a negation does not repeat")

    def variable(
        self,
        place: _Place,
        name: str,
        sink: State,
        proceed: State | None,
        contiguity: Contiguity,
        first: bool,
        window_us: int | None,
    ) -> State:
        until = self.until(place.step)
        take = self.takes(name, place.closed | until)
        target = self.past_negations(place, sink)
        state = self.state(name, window_us)
        state.add(Action.TAKE, target, take, name)
        if proceed is not None:
            unguarded = self.unguarded.get(proceed)
            if place.step.quantifier.greedy and until and unguarded is not None:
                state.add(Action.PROCEED, unguarded, Guard(until, place.closed))
                state.add(Action.PROCEED, proceed, Guard(forbid=place.closed | until))
            else:
                state.add(Action.PROCEED, proceed, Guard(forbid=place.closed))
        closed = place.closed if first else place.closed | until
        ignore = self.ignore(contiguity, frozenset({self.condition_of(name)}), closed)
        if ignore is None:
            return state
        waiting = state
        if proceed is not None or self.heads_skippable_group(place):
            waiting = self.state(name)
            waiting.add(Action.TAKE, target, take, name)
            waiting.add(Action.IGNORE, waiting, ignore)
            self.add_kills(place, waiting)
        state.add(Action.IGNORE, waiting, ignore)
        return state

    def heads_skippable_group(self, place: _Place) -> bool:
        return place.is_head and place.enclosing is not None and place.enclosing.skippable

    def group(
        self,
        place: _Place,
        steps: tuple[Step, ...],
        sink: State,
        proceed: State | None,
        contiguity: Contiguity,
        first: bool,
        window_us: int | None,
    ) -> State:
        closed = place.closed | self.until(place.step)
        skippable = first and place.step.quantifier.optional
        inside = _Enclosing(contiguity, skippable, closed)
        entry = self.sequence(steps, sink, place.following, inside)
        if window_us:
            entry.window_us = min(window_us, entry.window_us or window_us)
        if proceed is not None:
            entry.add(Action.PROCEED, proceed, Guard(forbid=place.closed))
        return entry

    def choice(
        self,
        place: _Place,
        branches: list[tuple[tuple[Step, ...], State]],
        proceed: State | None,
        contiguity: Contiguity,
        window_us: int | None,
    ) -> State:
        """One of several sequences, each with its own sink.

        The choice itself waits for the first event, for all branches together.
        """
        closed = place.closed | self.until(place.step)
        inside = _Enclosing(Contiguity.STRICT, closed=closed)
        entries = []
        for steps, sink in branches:
            # Of its own: a greedy loop that ends a branch forbids nothing behind the others.
            target = self.copy(self.past_negations(place, sink))
            entry = self.sequence(steps, target, place.following, inside)
            entries.append(self.without_waiting(entry, target, {}))
        state = self.state("one of", window_us)
        waiting = state if proceed is None else self.state("one of")
        if proceed is not None:
            # First in, last tried: taking comes before leaving.
            state.add(Action.PROCEED, proceed, Guard(forbid=place.closed))
        for entry in reversed(entries):  # proceed edges are followed last in, first out
            state.add(Action.PROCEED, entry)
            if waiting is not state:
                waiting.add(Action.PROCEED, entry)
        heads = frozenset().union(*(self.heads(steps) for steps, _ in branches))
        ignore = self.ignore(contiguity, heads, closed)
        if ignore is not None:
            state.add(Action.IGNORE, waiting, ignore)
            if waiting is not state:
                waiting.add(Action.IGNORE, waiting, ignore)
                self.add_kills(place, waiting)
        return state

    def without_waiting(self, state: State, sink: State, copies: dict[State, State]) -> State:
        """The entry of a branch for which the choice waits, past its optional parts as well."""
        if state is sink or state in copies:
            return copies.get(state, state)
        copy = copies[state] = State(state.name, state.window_us, state.pending)
        for edge in state.edges:
            if edge.action is Action.PROCEED:
                target = self.without_waiting(edge.target, sink, copies)
                copy.edges.append(replace(edge, target=target))
            elif edge.action is not Action.IGNORE:
                copy.edges.append(edge)
        return copy

    def permutation(
        self,
        place: _Place,
        permutation: Permutation,
        sink: State,
        proceed: State | None,
        contiguity: Contiguity,
        window_us: int | None,
    ) -> State:
        """All orders at once: a state for each set of elements that are still to come."""
        elements = permutation.elements
        rest: dict[frozenset[int], State] = {frozenset(): sink}

        def waiting_for(missing: frozenset[int]) -> State:
            if missing not in rest:
                rest[missing] = enter(missing, None, permutation.inner, None)
            return rest[missing]

        def enter(
            missing: frozenset[int],
            skip: State | None,
            link: Contiguity,
            bound_us: int | None,
        ) -> State:
            branches: list[tuple[tuple[Step, ...], State]] = [
                ((elements[i],), waiting_for(missing - {i})) for i in sorted(missing)
            ]
            return self.choice(place, branches, skip, link, bound_us)

        return enter(frozenset(range(len(elements))), proceed, contiguity, window_us)
