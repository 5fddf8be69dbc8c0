"""Session windows of one shard.

A session is over once no event can touch it any more: once the watermark has reached its end, for
an event at the very end of a session still belongs to it. That is also the time of its row.
"""

from __future__ import annotations

import numpy as np

from cep.engine.batch import Bools, Int64s
from cep.engine.kernels import windows_layout as layout
from cep.engine.kernels import windows_sessions as kernels
from cep.engine.kernels.layout import word
from cep.engine.operators.windows.shard import BEHIND_EVENTS, WindowShard
from cep.engine.operators.windows.store import FiredPart, Inputs


class SessionShard(WindowShard):
    # ------------------------------------------------------------------ events

    def _add(self, inputs: Inputs, rows: Int64s, codes: Int64s) -> None:
        self._add_part(inputs, inputs.arrivals(rows, codes), is_late=False)

    def _add_late(self, inputs: Inputs, rows: Int64s, codes: Int64s) -> Bools:
        late = np.zeros(len(rows), np.bool_)
        step = 1 if self.store.gathered else max(1, len(rows))
        for begin in range(0, len(rows), step):
            part = slice(begin, begin + step)
            arrivals = inputs.arrivals(rows[part], codes[part])
            self._add_part(inputs, arrivals, is_late=True)
            late[part] = arrivals.entry < 0
        return late

    def _add_part(self, inputs: Inputs, arrivals: layout.Arrivals, is_late: bool) -> None:
        store, lanes = self.store, self.store.lanes()
        store.wants_merged()
        watermark, lateness = word(self.watermark_us), word(self.settings.lateness_us)
        store.drive(
            len(arrivals.rows),
            lambda done: kernels.add(
                lanes,
                store.entries,
                arrivals,
                store.fired,
                word(done),
                watermark,
                lateness,
                is_late,
                self.settings.discarding,
            ),
        )
        if store.gathered:
            store.gathered.merge(store.merged())
        store.gather(inputs, arrivals)
        self._collect(layout.FIRING, None)

    # ------------------------------------------------------------------ time

    def _advance(self, watermark_us: int) -> None:
        counters = self.store.counters
        self.watermark_us = watermark_us
        fires = watermark_us >= counters[layout.DUE]
        if fires:
            self._fire(layout.FIRING)
            self._collect(layout.FIRING, None)
        if fires or watermark_us >= counters[layout.CLOSES]:
            self._drop()

    def _fire(self, reason: int) -> None:
        store, lanes = self.store, self.store.lanes()
        watermark, why = word(self.watermark_us), word(reason)
        store.drive(
            int(store.counters[layout.USED]),
            lambda done: kernels.fire(
                lanes,
                store.entries,
                store.fired,
                word(done),
                watermark,
                why,
                self.settings.discarding,
            ),
        )

    def _drop(self) -> None:
        store, freed = self.store, self.store.new_freed()
        lateness = word(self.settings.lateness_us)
        count = kernels.drop(store.entries, word(self.watermark_us), lateness, freed)
        if store.gathered:
            store.gathered.free(freed[:count])

    def _emit_open(self, reason: int, time_us: int) -> None:
        self._fire(reason)
        self._collect(reason, time_us)

    @property
    def wake_us(self) -> int:
        return min(int(self.store.counters[layout.DUE]), self._next_early_us())

    # ------------------------------------------------------------------ results

    def _collect(self, reason: int, time_us: int | None) -> None:
        store = self.store
        if store.counters[layout.ROWS] == 0:
            return
        fired, gathered = store.take_fired()
        if self.settings.discarding and reason != layout.LOOK:
            store.gathered.free(fired.members)
        end = fired.rows[:, layout.OUT_END]
        fires = reason == layout.FIRING
        self.parts.append(
            FiredPart(
                fired,
                gathered,
                fired.rows[:, layout.OUT_WINDOW],
                end,
                end if time_us is None else np.full(len(end), time_us),
                BEHIND_EVENTS + fired.rows[:, layout.OUT_FIRST],
                fired.rows[:, layout.OUT_UPDATE] if fires else np.full(len(end), -1),
            )
        )
