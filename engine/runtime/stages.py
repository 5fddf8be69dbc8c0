"""The threads of a runtime: stages through which slices of events go, several on the way at a time.

    enriching ─► preparing ─► shards, each through its slices in order ─► whoever collects

One thread for each stage and each shard, so that nothing overtakes. The first two stages may wait
for features, which shards compute, and shards wait for nobody: so no two wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


def results_of(shards: Sequence[Future[T]]) -> list[T]:
    """Wait for all of them, even where one has failed."""
    wait(shards)
    return [shard.result() for shard in shards]


class Stages:
    """`shards`: how many threads share the keys; two more keep them busy."""

    def __init__(self, shards: int) -> None:
        self.enriching = ThreadPoolExecutor(1, "cep-enrich")
        self.preparing = ThreadPoolExecutor(1, "cep-prepare")
        self._shards = [ThreadPoolExecutor(1, f"cep-shard-{number}") for number in range(shards)]

    def begin_on_shards(self, work: Callable[[int], T]) -> list[Future[T]]:
        """Work for every shard by its number, behind what it has to do already."""
        return [shard.submit(work, number) for number, shard in enumerate(self._shards)]

    def on_shards(self, work: Callable[[int], T]) -> list[T]:
        """The same, and wait for it."""
        return results_of(self.begin_on_shards(work))

    def shutdown(self) -> None:
        """Let go of the threads, once they have done what they have to do."""
        for stage in (self.enriching, self.preparing, *self._shards):
            stage.shutdown()
