"""A priority queue whose ties come out as Flink CEP's do.

Completed matches that wait for an earlier run stand in a binary heap ordered by first event. Which
of two matches that begin at the same event comes out first, and so survives a skip, follows from
how the heap moves its items; the conformance cases show it. This is the textbook binary heap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class TiedQueue(Generic[T]):
    """Items in heap order: iteration is the order of the array, not that of the keys."""

    def __init__(self, key: Callable[[T], int]) -> None:
        self._key = key
        self._items: list[T] = []

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T) -> None:
        """Append, then rise above every parent that is greater."""
        self._items.append(item)
        place = len(self._items) - 1
        while place and self._key(item) < self._key(self._items[(place - 1) // 2]):
            self._items[place] = self._items[(place - 1) // 2]
            place = (place - 1) // 2
        self._items[place] = item

    def peek(self) -> T | None:
        return self._items[0] if self._items else None

    def poll(self) -> T:
        """Remove the first; the last takes its place and sinks."""
        first, last = self._items[0], self._items.pop()
        if self._items:
            self._items[0] = last
            self._sink(0)
        return first

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Drop the items that are not wanted, then make a heap of the rest."""
        kept = [item for item in self._items if wanted(item)]
        if len(kept) == len(self._items):
            return
        self._items = kept
        for place in reversed(range(len(kept) // 2)):
            self._sink(place)

    def _sink(self, place: int) -> None:
        item = self._items[place]
        while (child := 2 * place + 1) < len(self._items):
            right = child + 1
            if right < len(self._items) and self._key_at(right) < self._key_at(child):
                child = right
            if self._key(item) <= self._key_at(child):
                break
            self._items[place] = self._items[child]
            place = child
        self._items[place] = item

    def _key_at(self, place: int) -> int:
        return self._key(self._items[place])
