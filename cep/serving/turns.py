"""Whose turn it is: requests wait for each other, in their order and for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from cep.engine.algebra.errors import CepError

T = TypeVar("T")


class BusyError(CepError):
    """Too many wait already, or somebody has waited for too long. Nothing was taken."""


class Turns:
    """One thing at a time, in the event loop itself or on a thread. Of one event loop."""

    def __init__(self, waiting_max: int, seconds_max: float) -> None:
        self._waiting_max = waiting_max
        self._seconds_max = seconds_max
        self._lock = asyncio.Lock()
        self.waiting = 0

    @asynccontextmanager
    async def mine(self, *, patient: bool = False) -> AsyncIterator[None]:
        """Wait for a turn, and have it. Raises BusyError, but to who is patient."""
        await self.begin(patient=patient)
        try:
            yield
        finally:
            self.end()

    async def begin(self, *, patient: bool = False) -> None:
        """Wait for a turn, which lasts until `end`. Raises BusyError, but to who is patient."""
        if patient or not self._lock.locked():
            await self._lock.acquire()  # which gives nobody else a chance where it is free
            return
        if self.waiting >= self._waiting_max:
            raise BusyError(f"{self.waiting} requests wait already: nothing was taken")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._seconds_max):
                await self._lock.acquire()
        except TimeoutError:
            message = f"no turn came within {self._seconds_max:g} s: nothing was taken"
            raise BusyError(message) from None
        finally:
            self.waiting -= 1

    def end(self) -> None:
        """Let the next one in."""
        self._lock.release()

    async def on_thread(
        self, executor: Executor, work: Callable[[], T], *, patient: bool = False
    ) -> T:
        """A turn on a thread."""
        async with self.mine(patient=patient):
            return await asyncio.get_running_loop().run_in_executor(executor, work)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await what is done to its end, also where nobody waits for it any more."""
    return await asyncio.shield(asyncio.create_task(work))
