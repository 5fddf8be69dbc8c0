"""The threads of a runtime: stages through which slices of events go, several on the way at a time.

    enriching ─► preparing ─► shards, each through its slices in order ─► whoever collects

One thread for each stage and each shard, so that nothing overtakes. The first two stages may wait
for features, which shards compute, and shards wait for nobody: so no two wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial
from typing import TypeVar

T = TypeVar("T")


def results_of(shards: Sequence[Future[T]]) -> list[T]:
    """Wait for all of them, even where one has failed."""
    wait(shards)
    return [shard.result() for shard in shards]


def _submit(thread: ThreadPoolExecutor, work: Callable[[], T]) -> Future[T]:
    """Work in the context of the caller: what it has set for numbers (NumPy, decimal) holds."""
    context = copy_context()
    return thread.submit(lambda: context.run(work))


class Stages:
    """`shards`: how many threads share the keys; two more keep them busy."""

    def __init__(self, shards: int) -> None:
        self._enriching = ThreadPoolExecutor(1, "cep-enrich")
        self._preparing = ThreadPoolExecutor(1, "cep-prepare")
        self._shards = [ThreadPoolExecutor(1, f"cep-shard-{number}") for number in range(shards)]

    def enrich(self, work: Callable[[], T]) -> Future[T]:
        """Work for the first stage."""
        return _submit(self._enriching, work)

    def prepare(self, work: Callable[[], T]) -> Future[T]:
        """Work for the second stage."""
        return _submit(self._preparing, work)

    def begin_on_shards(self, work: Callable[[int], T]) -> list[Future[T]]:
        """Work for every shard by its number, behind what it has to do already."""
        return [_submit(shard, partial(work, number)) for number, shard in enumerate(self._shards)]

    def on_shards(self, work: Callable[[int], T]) -> list[T]:
        """The same, and wait for it."""
        return results_of(self.begin_on_shards(work))

    def shutdown(self) -> None:
        """Let go of the threads, once they have done what they have to do."""
        for stage in (self._enriching, self._preparing, *self._shards):
            stage.shutdown()
