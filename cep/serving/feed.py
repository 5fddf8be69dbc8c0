"""Messages for listeners, numbered from 1; the last of them are kept, so that many may read them.

    kept      [ 41 42 43 44 45 46 ]        bounded in number and in bytes
                 ▲           ▲
    listeners    slow        fast          each has a place of its own, and no queue

A listener whose next message is no longer kept is told how many it has missed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from cep.engine.state.snapshot import Snapshot
from cep.serving.answers import Message


class Feed:
    """One thread adds; any may read."""

    def __init__(self, messages_max: int, bytes_max: int) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._kept: dict[int, Message] = {}  # by number, oldest first
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self.last = 0

    @property
    def first(self) -> int:
        """The number of the oldest message that is kept; `last + 1` where there is none."""
        return self.last + 1 - len(self._sizes)

    def add(self, messages: Iterable[Message]) -> None:
        """Number them and keep them. The oldest make way."""
        for message in messages:
            self._kept[self.last + 1] = message
            self._sizes.append(len(message.data))
            self._bytes += len(message.data)
            self.last += 1
            while len(self._sizes) > self._messages_max or self._bytes > self._bytes_max:
                del self._kept[self.first]
                self._bytes -= self._sizes.popleft()

    def get(self, number: int) -> Message | None:
        """None for a message that is no longer kept, or not there yet."""
        return self._kept.get(number)

    def snapshot(self) -> Snapshot:
        """A copy; O(messages kept)."""
        kept = list(self._kept.values())
        kinds: Any = pa.array([message.kind for message in kept], pa.string())
        data: Any = pa.array([message.data for message in kept], pa.large_binary())
        return {"last": self.last, "kept": pa.table({"kind": kinds, "data": data})}

    def restore(self, snapshot: Snapshot) -> None:
        """Go on where a snapshot was taken; the bounds may be others."""
        kept = [Message(row["kind"], row["data"]) for row in snapshot["kept"].to_pylist()]
        self._kept, self._sizes, self._bytes = {}, deque(), 0
        self.last = snapshot["last"] - len(kept)
        self.add(kept)
