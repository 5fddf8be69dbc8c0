"""A detector in an event loop: its work on a thread of its own, its results awaited.

    async iterator ─► queue, bounded ─► batches of what has come ─► worker thread ─► results
         held back while it is full                  the loop goes on

The loop is never blocked by the work itself. The thread shares the interpreter with it, which hands
over every few milliseconds (`sys.getswitchinterval()`, 5 ms); compiled kernels let go of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Protocol

from cep.results.result import Result

_END = object()


class Taking(Protocol):
    """What takes events."""

    def process_batch(self, events: Any, stream: str | None = None) -> Result: ...

    def finish(self, stream: str | None = None) -> Result: ...


class Worker:
    """One thread that does one thing after the other, in the order in which it is asked."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "cep-detector")

    async def do(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Await what a call returns. Work that has been asked for is done, also if nobody waits."""
        loop, context = asyncio.get_running_loop(), copy_context()  # spans have their parents there
        done = loop.run_in_executor(self._executor, context.run, work, *arguments)
        return await asyncio.shield(done)

    def stop(self) -> None:
        """Let go of the thread once it has done what it was asked for."""
        self._executor.shutdown(wait=False)


async def results_of(
    detector: Taking,
    worker: Worker,
    events: AsyncIterable[Any],
    stream: str | None,
    batch_rows: int,
    finish: bool,
) -> AsyncGenerator[Result, None]:
    """What comes out of the events, batch by batch; at the end what finishing decides.

    A batch is what has come while the one before was worked on, at most `batch_rows` events; so
    many wait at most before `events` is held back. An error of `events` is raised behind the
    results of what came before it.
    """
    queue: asyncio.Queue[Any] = asyncio.Queue(batch_rows)
    reading = asyncio.create_task(_read(events, queue))
    try:
        is_over = False
        while not is_over:
            batch, is_over = await _next_batch(queue, batch_rows)
            if batch:
                yield await worker.do(detector.process_batch, batch, stream)
        await reading  # raises what reading has raised
        if finish:
            yield await worker.do(detector.finish, stream)
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await reading


async def _read(events: AsyncIterable[Any], queue: asyncio.Queue[Any]) -> None:
    """All events, then the end; also where reading fails, but not where nobody asks any more."""
    try:
        async for event in events:
            await queue.put(event)
    except Exception:
        await queue.put(_END)
        raise
    await queue.put(_END)


async def _next_batch(queue: asyncio.Queue[Any], rows: int) -> tuple[list[Any], bool]:
    """(the events that are there, whether they are the last); waits for the first of them."""
    batch: list[Any] = []
    event = await queue.get()
    while event is not _END:
        batch.append(event)
        if len(batch) == rows or queue.empty():
            return batch, False
        event = queue.get_nowait()
    return batch, True
