"""What has threads of its own that look after it, and end with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Protocol

from cep.engine.algebra.errors import DataError
from cep.results.result import Result
from cep.taking_turns import TakingTurns
from cep.ticker import Ticker


class Attendant(Protocol):
    """A thread that does something for a detector now and then."""

    def stop(self) -> None: ...


class Attended(TakingTurns, ABC):
    """What may be told of time by a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._attendants: list[Attendant] = []

    @property
    @abstractmethod
    def has_handlers(self) -> bool:
        """Whether something is called with what comes out."""

    @abstractmethod
    def check_open(self) -> None:
        """DataError or StateError where no event can follow."""

    @abstractmethod
    def tick(self) -> Result:
        """Let the clock tell."""

    def tick_every(
        self, every: timedelta, handle: Callable[[Result], None] | None = None
    ) -> Ticker:
        """Call `tick` every so often on a thread of its own, so that time passes without events.

        `handle` is called there with each result in which there is something; without it `on` must
        have functions for what may come out. The ticker ends with `stop()` or `with`, with `finish`
        and `close`, and where a function fails: `stop` raises that.
        """
        if handle is None and not self.has_handlers:
            message = "what a tick completes would be lost: give a function to call with it"
            raise DataError(f"{message}, or `on` when the detector is made")
        if every <= timedelta(0):
            raise DataError(f"every={every}: it is more than nothing")
        self.check_open()
        ticker = Ticker(self, every / timedelta(seconds=1), handle)
        self._attendants.append(ticker)
        return ticker

    def forget_threads(self) -> None:
        """In the child of a fork: they are not there."""
        super().forget_threads()
        self._attendants = []

    def _dismiss(self) -> None:
        """Stop them all; without the lock, for which they may be waiting."""
        attendants, self._attendants = self._attendants, []
        with ExitStack() as stack:
            for attendant in attendants:
                stack.callback(attendant.stop)
