"""One shard of a task: the runs and windows of its keys, and what comes out of them.

    a slice made ready ─► runs, windows ─► time moves ─► HandedOver ─► keys without state go
                                                             │
                                                      whoever collects

What is handed over is read by others while the shard goes on with the next slice: it holds nothing
that the shard still changes, and key codes have become values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from cep.engine.batch import Int64s
from cep.engine.kernels import layout
from cep.engine.operators.fed import Failure
from cep.engine.operators.match import Family, Interest, MatchOperator
from cep.engine.operators.windows.rows import FiredRows
from cep.engine.runtime.window_node import WindowNode, WindowPart
from cep.engine.state.families import EventClock, FromRuns
from cep.engine.state.key_space import KeySpace

T = TypeVar("T")
NONE = np.empty(0, np.int64)


class Told(NamedTuple):
    """What the runs of one operator, by its number, have told."""

    operator: int
    found: FromRuns


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What came out of one shard in a step: a list has an entry for each operator or window.

    `told`: by runs, of those operators that have something. `needed`: sequences of the step's
    events that runs hold, in any order, perhaps with others; `live`: those of all events that they
    hold, where that was asked for.
    """

    told: list[Told]
    rows: list[list[FiredRows]]
    failures: list[list[Failure]]
    window_failures: list[list[Failure]]
    needed: Int64s
    live: Int64s | None


def joined(shards: Iterable[list[list[T]]]) -> list[list[T]]:
    """What several shards have for each operator, as one list for each."""
    return [[one for part in parts for one in part] for parts in zip(*shards, strict=True)]


class TaskShard:
    """Works on one slice after the other; on one thread at a time, whichever."""

    def __init__(
        self,
        number: int,
        operators: Sequence[MatchOperator],
        families: Sequence[Family],
        windows: Sequence[WindowNode],
        spaces: Mapping[tuple[str, ...], KeySpace],
    ) -> None:
        self.number = number
        self.time = EventClock()
        self.families = [(family.shards[number], family.operators) for family in families]
        for runs, _ in self.families:
            runs.time = self.time
        self._operators = operators
        self._windows = windows
        self._spaces = spaces
        self._failures: list[list[Failure]] = [[] for _ in operators]

    def offer(self, at: int, interest: Interest) -> None:
        """A slice's events to the runs of the operator at this place."""
        self._failures[at] += self._operators[at].process(self.number, interest)

    def add(self, at: int, part: WindowPart) -> None:
        """A slice's events to the windows at this place."""
        self._windows[at].process(self.number, part, self.time.now_us - 1)

    def advance_to(self, last_us: int) -> None:
        """No event before this time will come any more."""
        self.time.now_us = last_us
        for runs, _ in self.families:
            runs.advance_to(last_us)
        for window in self._windows:
            window.advance_to(self.number, last_us - 1)

    def finish(self) -> None:
        """The final watermark: no event will come any more."""
        for runs, _ in self.families:
            runs.close()
        for window in self._windows:
            window.advance_to(self.number, int(layout.NEVER))

    def hand_over(self, base: int | None = None, *, all_live: bool = False) -> HandedOver:
        """What came out since the last call; which events from sequence `base` on are held."""
        failures, self._failures = self._failures, [[] for _ in self._operators]
        families = [runs for runs, _ in self.families]
        return HandedOver(
            self.told(),
            [window.take(self.number, self._spaces[window.key]) for window in self._windows],
            failures,
            [window.take_failures(self.number) for window in self._windows],
            NONE if base is None else _joined([s.sequences_from(base) for s in families]),
            _joined([runs.live_sequences() for runs in families]) if all_live else None,
        )

    def told(self) -> list[Told]:
        """What came out of runs since the last call."""
        return [
            Told(numbers[member], found)
            for runs, numbers in self.families
            for member, found in runs.told()
        ]

    def forget_idle_keys(self) -> None:
        """Let go of keys without state, now and then; behind `hand_over`, which names keys."""
        for space in self._spaces.values():
            space.forget_idle_keys(self.number)


def _joined(parts: Sequence[Int64s]) -> Int64s:
    return np.concatenate([NONE, *parts])
