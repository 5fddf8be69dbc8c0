"""Tumbling, sliding and cumulating windows of one shard, put together from panes.

Where each firing says only what is new, the entries are windows instead, and an event goes into
each of its own.
"""

from __future__ import annotations

import numpy as np

from cep.engine.batch import Bools, Int64s
from cep.engine.columns.arithmetic import INT64_MAX
from cep.engine.kernels import windows as kernels
from cep.engine.kernels import windows_layout as layout
from cep.engine.kernels.layout import word
from cep.engine.operators.windows.firings import Firings
from cep.engine.operators.windows.grid import BEYOND, WindowGrid
from cep.engine.operators.windows.shard import BEHIND_EVENTS, ShardSettings, WindowShard
from cep.engine.operators.windows.store import NO_ROWS, FiredPart, Inputs
from cep.engine.state.snapshot import Parts, Snapshot


class PaneShard(WindowShard):
    """`fired_to` and `closed_to`: the last windows that have fired, and that no event may enter."""

    def __init__(self, settings: ShardSettings, grid: WindowGrid) -> None:
        super().__init__(settings)
        self._grid = grid
        fires_once = settings.lateness_us == 0 and settings.early_us is None
        self._alone = settings.discarding and not fires_once
        self._words = grid.words(self._alone)
        self._fired_to = self._closed_to = self._dropped_to = -BEYOND
        self._places = NO_ROWS  # for the kernel: a row per key code
        self._firings = Firings()  # of windows that have fired again

    # ------------------------------------------------------------------ events

    def _add(self, inputs: Inputs, rows: Int64s, codes: Int64s) -> None:
        rows, codes, ids = self._covered(inputs, rows, codes)
        if self._alone:
            rows, codes, ids = self._per_window(rows, codes, ids)
        store, lanes = self.store, self.store.lanes()
        arrivals = inputs.arrivals(rows, codes, ids)
        store.drive(
            len(rows),
            lambda done: kernels.add(self._words, lanes, store.entries, arrivals, word(done)),
        )
        store.gather(inputs, arrivals)

    def _covered(
        self, inputs: Inputs, rows: Int64s, codes: Int64s
    ) -> tuple[Int64s, Int64s, Int64s]:
        """The events that are in a window at all, and their panes."""
        panes = inputs.ids[rows]
        if not self._grid.has_gaps:
            return rows, codes, panes
        covered = self._grid.first_windows(panes) <= self._grid.last_windows(panes)
        return rows[covered], codes[covered], panes[covered]

    def _per_window(
        self, rows: Int64s, codes: Int64s, panes: Int64s
    ) -> tuple[Int64s, Int64s, Int64s]:
        """Each event once for each of its windows, with their numbers."""
        first = self._grid.first_windows(panes)
        windows = self._grid.last_windows(panes) - first + 1
        begins = np.cumsum(windows) - windows
        numbers = np.arange(int(windows.sum())) + np.repeat(first - begins, windows)
        return np.repeat(rows, windows), np.repeat(codes, windows), numbers

    def _add_late(self, inputs: Inputs, rows: Int64s, codes: Int64s) -> Bools:
        panes = inputs.ids[rows]
        last = self._grid.last_windows(panes)
        late: Bools = last <= self._closed_to
        if self._grid.has_gaps:
            late &= self._grid.first_windows(panes) <= last
        rows, codes, panes = self._covered(inputs, rows[~late], codes[~late])
        if self._alone:
            rows, codes, panes = self._per_window(rows, codes, panes)
            still_open = panes > self._closed_to
            rows, codes, panes = rows[still_open], codes[still_open], panes[still_open]
        # Where gatherings are read between two events, the events must come one by one.
        step = 1 if self.store.gathered else max(1, len(rows))
        for begin in range(0, len(rows), step):
            part = slice(begin, begin + step)
            self._add_late_part(inputs, inputs.arrivals(rows[part], codes[part], panes[part]))
        return late

    def _add_late_part(self, inputs: Inputs, arrivals: layout.Arrivals) -> None:
        store, lanes = self.store, self.store.lanes()
        bounds = word(self._fired_to), word(self._closed_to)
        store.drive(
            len(arrivals.rows),
            lambda done: kernels.add_late(
                self._words, lanes, store.entries, arrivals, store.fired, word(done), *bounds
            ),
        )
        store.gather(inputs, arrivals)
        self._collect(layout.FIRING, None, is_late=True)

    # ------------------------------------------------------------------ time

    def _advance(self, watermark_us: int) -> None:
        counters = self.store.counters
        ended = self._grid.ended(watermark_us)
        closed = BEYOND if watermark_us >= INT64_MAX else self._closed_by(watermark_us)
        fires = ended >= counters[layout.DUE]
        if fires:
            self._fire(self._fired_to + 1, ended, layout.FIRING)
            self._collect(layout.FIRING, None)
        self.watermark_us = watermark_us
        self._fired_to, self._closed_to = ended, closed
        if fires:
            counters[layout.DUE] = ended + 1
        if closed >= counters[layout.CLOSES] or (fires and self._grid.cumulates):
            self._drop_now_and_then()
        self._firings.close(closed)

    def _closed_by(self, watermark_us: int) -> int:
        return self._grid.ended(watermark_us - self.settings.lateness_us)

    def _fire(self, first: int, last: int, reason: int) -> None:
        """Windows first..last, of which `last` may be beyond all that there are."""
        store, lanes = self.store, self.store.lanes()
        if reason == layout.FIRING and self._is_read_whole(first, last):
            first = max(first, int(store.counters[layout.DUE]))
            for window in range(first, last + 1):
                self._fire_window(window, reason)
            return
        store.drive(
            int(store.counters[layout.USED]),
            lambda done: kernels.fire(
                self._words,
                lanes,
                store.entries,
                store.fired,
                word(done),
                word(first),
                word(last),
                word(reason),
            ),
        )

    def _is_read_whole(self, first: int, last: int) -> bool:
        """Whether all entries are read for each window, or only those of keys with windows to fire.

        Reading an entry in passing costs about an eighth of finding it.
        """
        if self._alone or self.store.gathered:
            return False
        windows = last - max(first, int(self.store.counters[layout.DUE])) + 1
        each = self._grid.size if self._grid.cumulates else self._grid.size // self._grid.slide
        return windows <= 8 * min(windows, max(1, each))

    def _fire_window(self, window: int, reason: int) -> None:
        store, lanes = self.store, self.store.lanes()
        if len(self._places) < len(store.entries.newest):
            self._places = np.full(len(store.entries.newest), -1, np.int64)
        store.drive(
            1,
            lambda done: int(
                kernels.fire_window(
                    self._words,
                    lanes,
                    store.entries,
                    store.fired,
                    self._places,
                    word(window),
                    word(reason),
                )
            ),
        )

    def _drop_now_and_then(self) -> None:
        """Once a quarter of the panes of a window may go: it means to look at all entries."""
        each = 1 if self._grid.cumulates else self._grid.size // self._grid.slide
        if self._closed_to - self._dropped_to >= each // 4:
            self._dropped_to = self._closed_to
            self._drop()

    def _drop(self) -> None:
        store = self.store
        store.wants_merged()
        freed = store.new_freed()
        bounds = word(self._fired_to), word(self._closed_to)
        count = kernels.drop(self._words, store.lanes(), store.entries, store.fired, *bounds, freed)
        if store.gathered:
            store.gathered.merge(store.merged())
            store.gathered.free(freed[:count])

    def _emit_open(self, reason: int, time_us: int) -> None:
        self._fire(self._fired_to + 1, BEYOND, reason)
        self._collect(reason, time_us)

    @property
    def wake_us(self) -> int:
        due = int(self.store.counters[layout.DUE])
        if due >= BEYOND:
            return self._next_early_us()
        if due <= self._fired_to:
            return self.watermark_us + 1
        end_us = int(self._grid.ends_us(np.array([due]))[0])
        return min(end_us - 1, self._next_early_us())

    # ------------------------------------------------------------------ results

    def _collect(self, reason: int, time_us: int | None, is_late: bool = False) -> None:
        store = self.store
        if store.counters[layout.ROWS] == 0:
            return
        fired, gathered = store.take_fired()
        if self._alone and reason != layout.LOOK:
            store.gathered.free(fired.members)
        windows, codes = fired.rows[:, layout.OUT_WINDOW], fired.rows[:, layout.OUT_CODE]
        end = self._grid.ends_us(windows)
        if reason != layout.FIRING:
            update = np.full(len(windows), -1)
        elif self._alone:
            update = fired.rows[:, layout.OUT_UPDATE]
        else:
            update = self._updates(fired) if is_late else np.zeros(len(codes), np.int64)
        self.parts.append(
            FiredPart(
                fired,
                gathered,
                self._grid.starts_us(windows),
                end,
                end - 1 if time_us is None else np.full(len(end), time_us),
                BEHIND_EVENTS + fired.rows[:, layout.OUT_FIRST],
                update,
            )
        )

    def _updates(self, fired: layout.Fired) -> Int64s:
        """How often each window had fired before; one that had no events had not."""
        updates = np.empty(len(fired.rows), np.int64)
        columns = (layout.OUT_CODE, layout.OUT_WINDOW, layout.OUT_EVENTS)
        for row, (code, window, events) in enumerate(fired.rows[:, columns].tolist()):
            before = self._firings.of(code, window, 1 if events > 1 else 0)
            updates[row] = before
            self._firings.put(code, window, before + 1)
        return updates

    # ------------------------------------------------------------------ state

    def keep_keys(self, codes: Int64s) -> None:
        super().keep_keys(codes)
        self._firings.keep_keys(codes)

    def snapshot(self) -> Snapshot:
        return super().snapshot() | {
            "fired_to": self._fired_to,
            "closed_to": self._closed_to,
            "refired": np.array(sorted(self._firings), np.int64).reshape(-1, 3),
        }

    def restore(self, parts: Parts) -> None:
        super().restore(parts)
        for snapshot, codes in parts:
            self._fired_to = max(self._fired_to, snapshot["fired_to"])
            self._closed_to = max(self._closed_to, snapshot["closed_to"])
            for code, window, count in snapshot["refired"].tolist():
                if codes[code] >= 0:
                    self._firings.put(int(codes[code]), window, count)
