"""A detector for an event loop: whose turn it is, ticks, checkpoints, who listens.

Single events are worked on in the loop itself, for that takes microseconds; everything that may
take longer (parts of bodies, rules, snapshots) on one thread, while the loop goes on and the others
wait for their turn. What needs no detector is done on threads of its own, and nobody waits for it:
bodies are read and rules compiled, one after the other, on one; checkpoints are written on another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from cep.changing.versions import RuleVersions
from cep.engine.algebra.errors import DataError
from cep.engine.state.restoring import Restored
from cep.execution import looked_up
from cep.observability.calls import written
from cep.rules import Rules, check
from cep.serving.answers import Message
from cep.serving.core import Core
from cep.serving.durability import Durability
from cep.serving.metrics import Numbers, metrics_of
from cep.serving.settings import Settings
from cep.serving.turns import BusyError, Turns, to_the_end
from cep.serving.warming import warm

LOG = logging.getLogger("cep.serving")
SECOND = timedelta(seconds=1)
T = TypeVar("T")


class Service:
    """One detector that takes events from many requests. `running()` is its life.

    `rules`: text, or checked rules. `tables`: what they look up, by name; files are read here and
    now. With `settings.checkpoints` all that was answered survives the process.

    Raises RuleError, and DataError where a table is missing or none that is looked up.
    """

    def __init__(
        self,
        rules: Rules | str,
        settings: Settings | None = None,
        *,
        tables: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._rules = check(rules) if isinstance(rules, str) else rules
        self._tables = looked_up(self._rules, tables or {})
        self._core: Core | None = None
        self._durability: Durability | None = None
        self._checkpoint_error: str | None = None
        self._checkpoints_failed = 0
        self._listeners = 0

    # -- its life ----------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Service]:
        """Recovers, takes events until the end, and leaves a checkpoint behind.

        Raises RuleError, DataError and CheckpointError where it cannot begin.
        """
        settings = self.settings
        async with AsyncExitStack() as stack:
            self._thread = stack.enter_context(ThreadPoolExecutor(1, "cep-service"))
            self._writer = stack.enter_context(ThreadPoolExecutor(1, "cep-service-checkpoint"))
            self._reader = stack.enter_context(ThreadPoolExecutor(1, "cep-service-bodies"))
            self._turns = Turns(settings.requests_waiting_max, settings.wait_seconds_max)
            self._bodies = Turns(settings.requests_waiting_max, settings.wait_seconds_max)
            self._news = asyncio.Event()
            self._is_stopping = False
            self._core = await self._off_loop(self._thread, lambda: self._recovered(stack))
            stack.callback(self._core.close)
            if self._durability is not None:
                stack.push_async_callback(self._last_checkpoint)
                self._begin(stack, self._checkpoint_every())
            self._begin(stack, self._tick_every())
            stack.push_async_callback(self._bodies.begin, patient=True)  # until the last is taken
            try:
                yield self
            finally:
                self.stop_listening()

    def _recovered(self, stack: AsyncExitStack) -> Core:
        """What was there, from the checkpoint and the journal. On a thread: it may take long."""
        settings, journal, found = self.settings, None, None
        if settings.checkpoints is not None:
            kept, survives = settings.checkpoints_kept, settings.survives
            self._durability = Durability(settings.checkpoints, kept, survives)
            stack.callback(self._durability.close)
            journal, found = self._durability.journal, self._durability.latest()
        core = Core(self._rules, settings, tables=self._tables, journal=journal)
        warm(self._rules, core.options(self._rules))
        done = core.recover(found)
        if found is not None or done:
            LOG.info("gone on behind entry %d; %d entries done again", core.position, done)
        return core

    def _begin(self, stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
        stack.push_async_callback(_ended, asyncio.create_task(work))

    @property
    def core(self) -> Core:
        """DataError before `running()`."""
        if self._core is None:
            raise DataError("the service is not running yet: enter `running()` first")
        return self._core

    @property
    def failure(self) -> str | None:
        """Why it can do nothing any more; None where all is well."""
        if self._core is None:
            return "the service is not running"
        return None if self._core.broken is None else str(self._core.broken)

    # -- what requests ask for: all of it raises BusyError, too ------------------------------------

    async def take_event(self, body: bytes, stream: str | None) -> bytes:
        """See `Core.take_event`."""
        core = self.core
        await self._turns.begin()
        try:
            return core.take_event(body, stream)
        finally:
            self._turns.end()
            self._tell()

    async def take_lines(self, body: bytes, stream: str | None) -> bytes:
        """See `Core.take_lines`; others get their turn between its parts."""
        return await to_the_end(self._take_lines(body, stream))

    async def _take_lines(self, body: bytes, stream: str | None) -> bytes:
        core = self.core
        async with self._bodies.mine():
            found = await self._off_loop(self._reader, lambda: core.read(body, stream))
            while found.has_more:
                part = partial(core.take_part, found)
                await self._in_turn(part, patient=found.has_begun)
            return await self._off_loop(self._reader, lambda: core.answer(found))

    async def change_rules(self, text: str) -> tuple[Restored, Rules]:
        """See `Core.change_rules`. What became of each statement, and the rules now in force."""
        return await to_the_end(self._change_rules(text))

    async def _change_rules(self, text: str) -> tuple[Restored, Rules]:
        core = self.core
        async with self._bodies.mine():
            rules = await self._off_loop(self._reader, lambda: core.compiled(text))
            restored = await self._in_turn(lambda: core.change_rules(rules))
            return restored, rules

    async def rules(self) -> RuleVersions:
        """All statements with their versions."""
        return await self._in_turn(lambda: self.core.detector.rules)

    async def status(self) -> dict[str, Any]:
        """That of the detector, and in `service` what only the service knows."""
        found = await self._in_turn(lambda: self.core.detector.status())
        core = self.core
        mine = {
            "entries": core.position,
            "duplicates": core.duplicates,
            "broken_lines": core.broken_lines,
            "ids_remembered": len(core.remembered),
            "answers_bytes": core.remembered.answers_bytes,
            "messages": core.feed.last,
            "unknown_fields": sorted(core.unknown.names),
            "checkpoint_error": self._checkpoint_error,
        }
        mine |= asdict(self._numbers())
        return found | {"service": mine}

    async def metrics(self) -> bytes:
        """Those of the detector and of the service, in the text format of Prometheus."""
        return await self._in_turn(lambda: metrics_of(self.core, self._numbers()))

    def _numbers(self) -> Numbers:
        durability = self._durability
        return Numbers(
            checkpoints_written=0 if durability is None else durability.written,
            checkpoints_failed=self._checkpoints_failed,
            listeners=self._listeners,
            waiting=self._turns.waiting,
        )

    async def _in_turn(self, work: Callable[[], T], *, patient: bool = False) -> T:
        turn = self._turns.on_thread(self._thread, work, patient=patient)
        try:
            return await to_the_end(turn)
        finally:
            self._tell()

    async def _off_loop(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work)

    # -- who listens -------------------------------------------------------------------------------

    async def listen(self, after: int | None) -> AsyncGenerator[tuple[int, Message] | int, None]:
        """Messages behind number `after` (None: those to come) as they come, with their numbers.

        Where some are no longer kept: how many were missed. Ends after `stop_listening`.
        """
        feed = self.core.feed
        place = feed.last if after is None else min(after, feed.last)
        self._listeners += 1
        try:
            while True:
                news = self._news
                message = feed.get(place + 1)
                if message is not None:
                    place += 1
                    yield place, message
                elif (missed := min(feed.first - 1, feed.last) - place) > 0:
                    place += missed
                    yield missed
                elif self._is_stopping:
                    return
                else:
                    await news.wait()
        finally:
            self._listeners -= 1

    def check_may_listen(self) -> None:
        """BusyError where too many listen already."""
        if self._listeners >= self.settings.listeners_max:
            raise BusyError(f"{self._listeners} listen already, and no more may")

    def stop_listening(self) -> None:
        """Let all who listen go, once they have what there is."""
        self._is_stopping = True
        self._news.set()

    def _tell(self) -> None:
        """Wake those who listen."""
        if self._listeners:
            news, self._news = self._news, asyncio.Event()
            news.set()
            if self._is_stopping:
                self._news.set()

    # -- time and checkpoints ----------------------------------------------------------------------

    async def _tick_every(self) -> None:
        while True:
            await asyncio.sleep(self.settings.tick_every / SECOND)
            if self.core.needs_ticks and self.core.broken is None:
                with suppress(BusyError):  # events come, which move time as well
                    await self._logged(self._in_turn(self.core.tick), "a tick has failed")

    async def _checkpoint_every(self) -> None:
        last = self.core.position
        while True:
            await asyncio.sleep(self.settings.checkpoint_every / SECOND)
            if self.core.position > last and self.core.broken is None:
                last = self.core.position
                await self._checkpoint()

    async def _last_checkpoint(self) -> None:
        if self.core.broken is None:
            await self._checkpoint()

    async def _checkpoint(self) -> None:
        """State as it is now, written while events go on. What fails is logged and told."""
        durability = self._durability
        assert durability is not None
        try:
            core = self.core
            snapshot = await self._in_turn(core.snapshot)
            write = partial(written, core.detector, lambda: durability.write(snapshot))
            await self._off_loop(self._writer, write)
            self._checkpoint_error = None
        except Exception as error:  # the journal has all of it; the next one may succeed
            self._checkpoint_error = str(error)
            self._checkpoints_failed += 1
            LOG.exception("a checkpoint has failed; the journal goes on")

    async def _logged(self, work: Coroutine[Any, Any, None], message: str) -> None:
        try:
            await work
        except BusyError:
            raise
        except Exception:
            LOG.exception(message)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
