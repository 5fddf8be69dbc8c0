"""Which of many families of patterns has something due, as time moves with each event."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from cep.engine.kernels.layout import NEVER
from cep.engine.state.evaluator import Evaluator


class Deadlines:
    """The next deadline of each, in a heap. Some may be stale."""

    def __init__(self, runs: Sequence[Evaluator]) -> None:
        self._runs = runs
        self._next: list[tuple[int, int]] = []
        self._known: dict[int, int] = {}

    def refresh(self) -> None:
        """Others have changed the state."""
        self._known = {number: self._due(number) for number in range(len(self._runs))}
        self._next = [(due, number) for number, due in self._known.items() if due < NEVER]
        heapify(self._next)

    def note(self, number: int) -> None:
        """A step of this family may have made a deadline."""
        due = self._due(number)
        if due < NEVER and due != self._known[number]:
            self._known[number] = due
            heappush(self._next, (due, number))

    def advance_to(self, time_us: int) -> list[int]:
        """Let what is due by then happen; the numbers of the families where it was."""
        found = []
        while self._next and self._next[0][0] <= time_us:
            _, number = heappop(self._next)
            self._runs[number].advance_to(time_us)
            self._known[number] = int(NEVER)
            self.note(number)
            found.append(number)
        return found

    def _due(self, number: int) -> int:
        return self._runs[number].next_due_us
