"""A bounded queue between two threads of a job: a full one holds its producer back."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class AbortedError(Exception):
    """The job ends because of an error elsewhere."""


class Channel(Generic[Item]):
    """First in, first out; `put` waits for room, `get` for an item.

    After `abort()` both raise AbortedError, also where a thread is waiting in them.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._is_aborted = False

    def put(self, item: Item) -> None:
        with self._changed:
            while len(self._items) >= self._capacity and not self._is_aborted:
                self._wait_for_room()
            self._check()
            self._items.append(item)
            self._changed.notify_all()

    def offer(self, item: Item) -> None:
        """`put` where nobody has to wait for it, nothing otherwise: for what will come again."""
        with self._changed:
            if not self._items and not self._is_aborted:
                self._items.append(item)
                self._changed.notify_all()

    def get(self) -> Item:
        with self._changed:
            while not self._items and not self._is_aborted:
                self._changed.wait()
            self._check()
            self._changed.notify_all()
            return self._items.popleft()

    def abort(self) -> None:
        with self._changed:
            self._is_aborted = True
            self._changed.notify_all()

    def _wait_for_room(self) -> None:
        self._changed.wait()

    def _check(self) -> None:
        if self._is_aborted:
            raise AbortedError
