"""The forms for event loops of what takes events; the work is in `cep.asynchronous`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from cep.engine.algebra.errors import DataError
from cep.results.matches import Match
from cep.results.result import Result
from cep.taking_turns import TakingTurns

if TYPE_CHECKING:  # asyncio is imported where somebody awaits
    from cep.asynchronous import Worker


class Awaited(TakingTurns, ABC):
    """What takes events, here without waiting for it, there awaited."""

    _worker: Worker | None = None

    @abstractmethod
    def process(self, event: Any, stream: str | None = None) -> Result:
        """Take one event."""

    @abstractmethod
    def process_batch(self, events: Any, stream: str | None = None) -> Result:
        """Take what has arrived."""

    @abstractmethod
    def finish(self, stream: str | None = None) -> Result:
        """No event will come any more."""

    @abstractmethod
    def check_open(self) -> None:
        """DataError or StateError where no event can follow."""

    async def aprocess(self, event: Any, stream: str | None = None) -> Result:
        """`process` in an event loop, which goes on meanwhile: the work is done on a thread.

        Calls are worked on in the order in which they are made. One that is cancelled takes its
        event nevertheless; what comes of it then goes to `on` alone.
        """
        return await self._on_thread().do(self.process, event, stream)

    async def aprocess_batch(self, events: Any, stream: str | None = None) -> Result:
        """`process_batch` in an event loop; see `aprocess`."""
        return await self._on_thread().do(self.process_batch, events, stream)

    async def aresults(
        self,
        events: AsyncIterable[Any],
        stream: str | None = None,
        *,
        batch_rows: int = 1_000,
        finish: bool = True,
    ) -> AsyncGenerator[Result, None]:
        """A `Result` for each batch of the events that an asynchronous iterator brings.

        A batch is whatever has come while the one before was worked on, so a slow stream is taken
        event by event. At most `batch_rows` events are in one, and as many wait at most: then the
        iterator is held back. `finish`: at the end of the events the detector finishes, too.
        """
        if batch_rows < 1:
            raise DataError(f"batch_rows={batch_rows}: it is at least 1")
        from cep.asynchronous import results_of

        worker = self._on_thread()
        async with aclosing(results_of(self, worker, events, stream, batch_rows, finish)) as found:
            async for result in found:
                yield result

    async def amatches(
        self,
        events: AsyncIterable[Any],
        stream: str | None = None,
        *,
        batch_rows: int = 1_000,
        finish: bool = True,
    ) -> AsyncGenerator[Match, None]:
        """The matches of `aresults`; what else comes out goes to `on` alone."""
        results = self.aresults(events, stream, batch_rows=batch_rows, finish=finish)
        async with aclosing(results):
            async for result in results:
                for match in result:
                    yield match

    def _on_thread(self) -> Worker:
        with self.lock:
            self.check_open()
            if self._worker is None:
                from cep.asynchronous import Worker

                self._worker = Worker()
            return self._worker

    def forget_threads(self) -> None:
        """In the child of a fork: they are not there."""
        super().forget_threads()
        self._worker = None

    def stop_worker(self) -> None:
        """Let go of the thread once it has done what it was asked for."""
        if self._worker is not None:
            self._worker.stop()
