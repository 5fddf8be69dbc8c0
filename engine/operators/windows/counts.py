"""Windows by count of one shard: so many events of a key, as they come. Time plays no part."""

from __future__ import annotations

import numpy as np

from cep.engine.batch import Bools, Int64s
from cep.engine.columns.arithmetic import INT64_MAX
from cep.engine.kernels import windows, windows_counts
from cep.engine.kernels import windows_layout as layout
from cep.engine.kernels.layout import word
from cep.engine.operators.windows.grid import CountGrid
from cep.engine.operators.windows.shard import ShardSettings, WindowShard
from cep.engine.operators.windows.store import FiredPart, Inputs
from cep.engine.state.snapshot import Parts, Snapshot


class CountShard(WindowShard):
    """`seen`, by key code: how many events of the key have come. A window fires when it is full."""

    def __init__(self, settings: ShardSettings, grid: CountGrid) -> None:
        super().__init__(settings)
        self._grid = grid
        self._words = grid.words()
        self._seen = np.zeros(0, np.int64)

    def process(self, inputs: Inputs, rows: Int64s, codes: Int64s, watermark_us: int) -> None:
        self.watermark_us = max(self.watermark_us, watermark_us)
        self.store.reach(codes)
        self._add(inputs, rows, codes)

    def _add_late(self, inputs: Inputs, rows: Int64s, codes: Int64s) -> Bools:
        self._add(inputs, rows, codes)
        return np.zeros(len(rows), np.bool_)

    def _add(self, inputs: Inputs, rows: Int64s, codes: Int64s) -> None:
        store, lanes = self.store, self.store.lanes()
        arrivals = inputs.arrivals(rows, codes, self._panes(np.array(codes, np.int64)))
        store.drive(
            len(rows),
            lambda done: windows.add(self._words, lanes, store.entries, arrivals, word(done)),
        )
        store.gather(inputs, arrivals)
        windows_counts.note_last(store.entries, arrivals)
        freed = store.new_freed()
        store.counters[layout.CLOSES] = 0
        pane_events = word(self._grid.pane_events)
        store.drive(
            len(rows),
            lambda done: windows_counts.fire_full(
                self._words,
                lanes,
                store.entries,
                arrivals,
                store.fired,
                word(done),
                pane_events,
                freed,
            ),
        )
        count = int(store.counters[layout.CLOSES])
        self._collect(layout.FIRING)
        store.gathered.free(freed[:count])

    def _panes(self, codes: Int64s) -> Int64s:
        """Counts the events; the pane of each."""
        size = len(self.store.entries.newest)
        if len(self._seen) < size:
            self._seen = np.append(self._seen, np.zeros(size - len(self._seen), np.int64))
        ordinals = np.empty(len(codes), np.int64)
        windows_counts.number(codes, self._seen, ordinals)
        return ordinals // self._grid.pane_events

    def advance_to(self, watermark_us: int) -> None:
        self._advance(watermark_us)

    def _advance(self, watermark_us: int) -> None:
        self.watermark_us = max(self.watermark_us, watermark_us)

    @property
    def wake_us(self) -> int:
        return INT64_MAX

    # ------------------------------------------------------------------ results

    def _emit_open(self, reason: int, time_us: int) -> None:
        """Windows that have begun and are not full."""
        store, lanes = self.store, self.store.lanes()
        store.drive(
            int(store.counters[layout.USED]),
            lambda done: windows_counts.fire_filling(
                self._words, lanes, store.entries, store.fired, word(done)
            ),
        )
        self._collect(reason)

    def _collect(self, reason: int) -> None:
        store = self.store
        if store.counters[layout.ROWS] == 0:
            return
        fired, gathered = store.take_fired()
        windows = fired.rows[:, layout.OUT_WINDOW]
        fires = reason == layout.FIRING
        self.parts.append(
            FiredPart(
                fired,
                gathered,
                self._grid.starts(windows),
                self._grid.ends(windows),
                fired.rows[:, layout.OUT_END],
                fired.rows[:, layout.OUT_LAST],
                np.full(len(windows), 0 if fires else -1),
            )
        )

    # ------------------------------------------------------------------ state

    def active_keys(self) -> Int64s:
        """A key's windows are numbered from its first event: it is never forgotten."""
        keys: Int64s = np.flatnonzero(self._seen)
        return keys

    def keep_keys(self, codes: Int64s) -> None:
        super().keep_keys(codes)
        seen = np.zeros(len(codes), np.int64)
        known = codes < len(self._seen)
        seen[known] = self._seen[codes[known]]
        self._seen = seen

    def snapshot(self) -> Snapshot:
        return super().snapshot() | {"seen": self._seen.copy()}

    def restore(self, parts: Parts) -> None:
        super().restore(parts)
        for snapshot, codes in parts:
            seen = snapshot["seen"]
            here = codes[: len(seen)]
            mine = (here >= 0) & (seen[: len(here)] > 0)
            kept, numbers = here[mine], seen[: len(here)][mine]
            self.store.reach(kept)
            size = max(len(self.store.entries.newest), len(self._seen))
            self._seen = np.append(self._seen, np.zeros(size - len(self._seen), np.int64))
            self._seen[kept] = numbers
