"""What the windows of one shard have in common: the watermark, early results, what has fired."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from cep.engine.batch import Bools, Int64s
from cep.engine.columns.arithmetic import INT64_MAX, INT64_MIN
from cep.engine.kernels import windows_layout as layout
from cep.engine.operators.windows.accumulators import Accumulators
from cep.engine.operators.windows.store import EntryStore, FiredPart, Inputs
from cep.engine.state.interning import TextCodes
from cep.engine.state.snapshot import Parts, Snapshot

BEHIND_EVENTS = 2**62  # position of a window's row: behind all events of its time


@dataclass(frozen=True, slots=True)
class ShardSettings:
    """What a shard needs to know of the aggregate."""

    accumulators: Accumulators
    texts: TextCodes
    capacity: int
    lateness_us: int
    discarding: bool
    early_us: int | None


class WindowShard(ABC):
    """One shard's windows, of whatever kind. Events come in order of time, late ones apart."""

    def __init__(self, settings: ShardSettings) -> None:
        self.settings = settings
        self.store = EntryStore(settings.accumulators, settings.texts, settings.capacity)
        self.watermark_us = INT64_MIN
        self.early_to_us: int | None = None  # early results are out up to this multiple
        self.parts: list[FiredPart] = []

    # ------------------------------------------------------------------ events

    def process(self, inputs: Inputs, rows: Int64s, codes: Int64s, watermark_us: int) -> None:
        """Events in order of time, all behind the watermark so far."""
        self.advance_to(watermark_us)
        self.store.reach(codes)
        if self.settings.early_us is None:
            self._add(inputs, rows, codes)
            return
        step = self.settings.early_us
        multiples = inputs.time_us[rows] // step
        begins = np.flatnonzero(np.diff(multiples)) + 1
        parts = zip(np.split(rows, begins), np.split(codes, begins), strict=True)
        for part_rows, part_codes in parts:
            if len(part_rows):
                self._reach_multiple(int(inputs.time_us[part_rows[0]]) // step * step)
                self._add(inputs, part_rows, part_codes)

    def _reach_multiple(self, multiple_us: int) -> None:
        """All events before this time have come."""
        if self.early_to_us is not None and multiple_us - 1 > self.watermark_us:
            self.advance_to(multiple_us - 1)
        self.early_to_us = max(multiple_us, self.early_to_us or multiple_us)

    def process_late(self, inputs: Inputs, rows: Int64s, codes: Int64s, watermark_us: int) -> Bools:
        """Events behind the watermark, in order of arrival; for which of them it is too late."""
        self.advance_to(watermark_us)
        self.store.reach(codes)
        return self._add_late(inputs, rows, codes)

    @abstractmethod
    def _add(self, inputs: Inputs, rows: Int64s, codes: Int64s) -> None: ...

    @abstractmethod
    def _add_late(self, inputs: Inputs, rows: Int64s, codes: Int64s) -> Bools: ...

    # ------------------------------------------------------------------ time

    def advance_to(self, watermark_us: int) -> None:
        """No event at or before the watermark follows. O(1) where nothing is due."""
        if watermark_us <= self.watermark_us:
            return
        if self.settings.early_us is not None:
            self._put_out_early(watermark_us, self.settings.early_us)
        self._advance(watermark_us)

    def _put_out_early(self, watermark_us: int, step: int) -> None:
        last = (watermark_us + 1) // step * step
        if self.early_to_us is None:
            self.early_to_us = last
        if last <= self.early_to_us:
            return
        # No event has come since the first multiple passed: the others have nothing new to say.
        if self.store.counters[layout.DIRTY_ENTRIES]:
            first = self.early_to_us + step
            self._advance(first - 1)
            self._emit_open(layout.EARLY, first - 1)
            self.store.entries.table[: self.store.counters[layout.USED], layout.DIRTY] = 0
            self.store.counters[layout.DIRTY_ENTRIES] = 0
        self.early_to_us = last

    @abstractmethod
    def _advance(self, watermark_us: int) -> None: ...

    @abstractmethod
    def _emit_open(self, reason: int, time_us: int) -> None:
        """Put out the windows that are open, for `reason`, with the time that their rows get."""

    @property
    @abstractmethod
    def wake_us(self) -> int:
        """The earliest watermark at which something may be put out; never too late."""

    def _next_early_us(self) -> int:
        if self.settings.early_us is None or self.early_to_us is None:
            return INT64_MAX
        if not self.store.counters[layout.DIRTY_ENTRIES]:
            return INT64_MAX
        return self.early_to_us + self.settings.early_us - 1

    # ------------------------------------------------------------------ results

    def look(self) -> list[FiredPart]:
        """The windows that are open, as they are now."""
        kept, self.parts = self.parts, []
        self._emit_open(layout.LOOK, self.watermark_us)
        found, self.parts = self.parts, kept
        return found

    def take(self) -> list[FiredPart]:
        taken, self.parts = self.parts, []
        return taken

    # ------------------------------------------------------------------ state

    def active_keys(self) -> Int64s:
        return self.store.active_keys()

    def keep_keys(self, codes: Int64s) -> None:
        self.store.keep_keys(codes)

    def rename_texts(self, mapping: Int64s) -> None:
        """The text with code c has code mapping[c] from now on; what has fired must be taken."""
        assert not self.parts, "windows have fired and were not taken"
        self.store.rename_texts(mapping)

    def snapshot(self) -> Snapshot:
        """The state; what has fired must have been taken."""
        assert not self.parts, "windows have fired and were not taken"
        early = {"early_to_us": self.early_to_us}
        return self.store.snapshot() | early | {"watermark_us": self.watermark_us}

    def restore(self, parts: Parts) -> None:
        self.store.restore(parts)
        for snapshot, _ in parts:
            self.watermark_us = max(self.watermark_us, snapshot["watermark_us"])
            early_us = snapshot["early_to_us"]
            if early_us is not None:
                self.early_to_us = max(early_us, self.early_to_us or early_us)
