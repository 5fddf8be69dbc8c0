"""Pattern algebra and events -> matches and timed-out runs: plain, slow, written to be read.

The second, independent implementation that the engine is tested against. A pattern becomes a small
graph of states (`tests.reference.graph`); here the runs walk over it, one event at a time:

    time moves to the event      runs that waited too long time out, absences complete
    unless                       open runs for which it is true are dropped
    the event is offered         each open run, and one that has taken nothing yet, makes its steps
    completed matches            are reported in the order of their first events, as the skip
                                 strategy says; each drops the runs that began too early

Nothing is shared, nothing is fast: a run is its state and the tuple of what it took.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cep.engine.algebra.pattern import Pattern, SkipStrategy, WithinScope
from tests.reference.expressions import evaluate
from tests.reference.graph import Action, Kind, Moment, State, build_graph
from tests.reference.queue import TiedQueue

Event = Mapping[str, Any]
Match = dict[str, list[int]]  # variable -> indices into the events, in the order they were taken
Taken = tuple[tuple[str, int], ...]

END_OF_TIME_US = 1 << 62
MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}


@dataclass(frozen=True, slots=True)
class ReferenceResult:
    """What came out, in the order found. `missed`: matches whose skip target took nothing."""

    matches: list[Match] = field(default_factory=list)
    timeouts: list[Match] = field(default_factory=list)
    missed: list[Match] = field(default_factory=list)


def reference_matches(
    pattern: Pattern,
    events: Sequence[Event],
    *,
    end_of_stream: bool = True,
    time_field: str = "ts",
    time_unit: str = "ms",
    stream_field: str | None = None,
) -> ReferenceResult:
    """Run one pattern over events that are ordered by time, ties in arrival order.

    `time_field` holds a datetime or an integer count of `time_unit`. `stream_field` names the field
    that says which stream an event is of. Events with a NULL key or time are left out. With
    `end_of_stream` time goes to infinity after the last event. ValueError: time goes back.
    """
    result = ReferenceResult()
    machines: dict[tuple[Any, ...], _Machine] = {}
    now = -END_OF_TIME_US
    for index, event in enumerate(events):
        key = tuple(event.get(name) for name in pattern.key)
        if event.get(time_field) is None or any(part is None for part in key):
            continue
        time_us = _microseconds(event[time_field], time_unit)
        if time_us < now:
            raise ValueError(f"event {index} goes back in time, to {event[time_field]}")
        now = time_us
        if key not in machines:
            machines[key] = _Machine(pattern, events, result, stream_field)
        for machine in machines.values():
            machine.advance_time(now)
        machines[key].offer(index, now)
    for machine in machines.values():
        if end_of_stream:
            machine.end()
        else:
            machine.advance_time(now)  # a run may have entered a state whose time is already up
    return result


def _microseconds(value: Any, unit: str) -> int:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        since = aware - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return int(value) // 1_000 if unit == "ns" else int(value) * MICROSECONDS[unit]


@dataclass(frozen=True, slots=True)
class _Run:
    """A partial match: where it stands in the graph and what it took, (variable, event index)."""

    state: State
    taken: Taken
    start_us: int
    previous_us: int

    @property
    def start(self) -> int:
        """The index of the first event taken."""
        return self.taken[0][1]


class _Machine:
    """The runs of one pattern over the events of one key."""

    def __init__(
        self,
        pattern: Pattern,
        events: Sequence[Event],
        result: ReferenceResult,
        stream_field: str | None,
    ) -> None:
        self.pattern = pattern
        self.events = events
        self.result = result
        self.stream_field = stream_field
        self.beginning = _Run(build_graph(pattern), (), 0, 0)
        self.open: list[_Run] = []  # in the order of their first events
        self.completed: TiedQueue[_Run] = TiedQueue(lambda run: run.start)
        self.found: dict[Taken, int] = {}  # with the order in which they were found
        self.timed_out: set[Taken] = set()
        self.ended = False

    # -- time ---------------------------------------------------------------------------------

    def advance_time(self, now_us: int) -> None:
        """Time out the runs that waited too long; an absence that lasted completes its match."""
        late = [run for run in self.open if self._is_late(run, now_us)]
        self.open = [run for run in self.open if not self._is_late(run, now_us)]
        for run in late:
            if run.state.kind is not Kind.PENDING and run.taken not in self.timed_out:
                self.timed_out.add(run.taken)
                self.result.timeouts.append(_by_variable(run.taken))
        self._complete(run for run in late if run.state.kind is Kind.PENDING)

    def end(self) -> None:
        """Time goes to infinity, and no event follows: what is the longest match is known."""
        self.ended = True
        self.advance_time(END_OF_TIME_US)

    def _is_late(self, run: _Run, now_us: int) -> bool:
        within = self.pattern.within_us
        between = self.pattern.within_scope is WithinScope.BETWEEN_EVENTS
        since = run.previous_us if between else run.start_us
        if within is not None and now_us - since >= within:
            return True
        window = run.state.window_us
        return window is not None and now_us - run.previous_us >= window

    # -- events -------------------------------------------------------------------------------

    def offer(self, index: int, now_us: int) -> None:
        unless = self.pattern.unless
        if unless is not None:
            self.open = [r for r in self.open if not self._moment(r, index).is_true(unless)]
        survivors: list[_Run] = []
        ended: list[_Run] = []
        for run in (*self.open, self.beginning):
            stopped, steps = self._steps(run, index, now_us)
            ended += [step for step in steps if step.state.kind is Kind.FINAL]
            if not stopped:
                survivors += [step for step in steps if step.state.kind is not Kind.FINAL]
        self.open = list(dict.fromkeys(survivors))  # the same run twice has one future
        self._complete(ended)

    def _steps(self, run: _Run, index: int, now_us: int) -> tuple[bool, list[_Run]]:
        """What becomes of a run, and whether a negation stopped it (then only matches count)."""
        moment = self._moment(run, index)
        steps: list[_Run] = []
        stopped = False
        for state in _reachable(run.state, moment):
            stopped = stopped or state.kind is Kind.STOP
            for edge in state.open_edges(moment):
                if edge.action is Action.IGNORE and run.taken:  # one without events always waits
                    steps.append(replace(run, state=edge.target))
                elif edge.action is Action.TAKE:
                    taken = (*run.taken, (edge.variable, index))
                    start_us = run.start_us if run.taken else now_us
                    steps.append(_Run(edge.target, taken, start_us, now_us))
                    # what may be left out at the end is left out at once: the match is complete
                    for end in _reachable(edge.target, moment):
                        if end.kind is Kind.FINAL and end is not edge.target:
                            steps.append(_Run(end, taken, start_us, now_us))
        return stopped, steps

    def _moment(self, run: _Run, index: int) -> Moment:
        captured: dict[str, list[Event]] = {}
        for variable, taken in run.taken:
            captured.setdefault(variable, []).append(self.events[taken])
        taken_events = [self.events[taken] for _, taken in run.taken]
        event = self.events[index]
        stream = event.get(self.stream_field) if self.stream_field else None
        return Moment(event, captured, taken_events, evaluate, stream)

    # -- matches ------------------------------------------------------------------------------

    def _complete(self, ended: Iterable[_Run]) -> None:
        """Report completed matches, earliest first event first, until one has to wait."""
        for run in ended:
            if run.taken not in self.found:
                self.found[run.taken] = len(self.found)
                self.completed.add(run)
        while (match := self.completed.peek()) is not None and not self._must_wait(match):
            if self.pattern.longest:
                match = self._last_found(match.start)
            else:
                self.completed.poll()
            self.result.matches.append(_by_variable(match.taken))
            self._skip(match)

    def _must_wait(self, match: _Run) -> bool:
        if self.pattern.longest:
            return not self.ended and any(run.start <= match.start for run in self.open)
        if self.pattern.skip.strategy is SkipStrategy.NO_SKIP:
            return False
        return any(run.start < match.start for run in self.open)

    def _last_found(self, start: int) -> _Run:
        """Of the completed matches that begin here the last one found; the others are dropped."""
        of_start = [run for run in self.completed if run.start == start]
        last = max(of_start, key=lambda run: self.found[run.taken])
        self.completed.keep(lambda run: run.start != start)
        return last

    def _skip(self, match: _Run) -> None:
        """Drop the open runs and completed matches that begin before the match says to resume."""
        resume = self._resume_at(match)
        self.open = [run for run in self.open if run.start >= resume]
        self.completed.keep(lambda run: run.start >= resume)

    def _resume_at(self, match: _Run) -> int:
        """The index of the first event with which another match may begin."""
        skip = self.pattern.skip
        if skip.strategy is SkipStrategy.NO_SKIP:
            return 0
        if skip.strategy is SkipStrategy.TO_NEXT_ROW:
            return match.start + 1
        if skip.strategy is SkipStrategy.PAST_LAST_EVENT:
            return match.taken[-1][1] + 1
        targets = [index for variable, index in match.taken if variable == skip.variable]
        if not targets:
            self.result.missed.append(_by_variable(match.taken))
            return 0
        return targets[0] if skip.strategy is SkipStrategy.TO_FIRST else targets[-1]


def _reachable(state: State, moment: Moment) -> Iterator[State]:
    """The state and those that it proceeds to without taking the event."""
    stack, seen = [state], {state}
    while stack:
        state = stack.pop()
        yield state
        for edge in state.open_edges(moment):
            if edge.action is Action.PROCEED and edge.target not in seen:
                seen.add(edge.target)
                stack.append(edge.target)


def _by_variable(taken: Taken) -> Match:
    match: Match = {}
    for variable, index in taken:
        match.setdefault(variable, []).append(index)
    return match
