"""A thread that looks at the clock for a detector, so that time passes without events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread, current_thread
from typing import Protocol

from cep.observability.logs import say
from cep.results.result import Result

Handle = Callable[[Result], None]


class Ticking(Protocol):
    """What is told to look at the clock."""

    def tick(self) -> Result: ...


class Ticker:
    """Calls `tick` every so many seconds until `stop`, and `handle` with what came of it.

    Where either fails, that is logged, the ticker ends, and `stop` raises it.
    """

    def __init__(self, detector: Ticking, every_s: float, handle: Handle | None) -> None:
        self.error: Exception | None = None
        self._detector = detector
        self._every_s = every_s
        self._handle = handle
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="cep-ticker", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """End it and wait for the last tick. Raises what a tick or the function has raised."""
        self._stopping.set()
        if current_thread() is not self._thread:
            self._thread.join()
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def __enter__(self) -> Ticker:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                self._tick()
            except Exception as error:
                text = "the ticker of a detector has ended"
                say(logging.ERROR, "ticker_failed", text, error)
                self.error = error
                return

    def _tick(self) -> None:
        result = self._detector.tick()
        if self._handle is not None and not result.is_empty:
            self._handle(result)
