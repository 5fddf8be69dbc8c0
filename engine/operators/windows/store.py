"""What one shard holds for windows: entries with their lanes and gatherings, and what has fired.

The kernels ask for room by stopping; `drive` gives it to them and lets them go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.batch import Bools, Int64s
from cep.engine.kernels import windows_layout as layout
from cep.engine.operators.fed import Failure
from cep.engine.operators.windows.accumulators import Accumulators
from cep.engine.operators.windows.gathered import Gathered
from cep.engine.state.interning import TextCodes
from cep.engine.state.snapshot import Parts, Snapshot, Value

NO_ROWS = np.zeros(0, np.int64)
LINE_WORDS = 8  # of a cache line


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What a slice of events brings: by row, the values of the arguments, and where they begin.

    `ids`: the pane of each event, or its time where windows are sessions; `ends_us`: the end of
    the session that it would be alone, else of size 0.
    """

    time_us: Int64s
    ids: Int64s
    ends_us: Int64s
    inputs: Int64s
    valid: Bools
    base: Int64s

    def arrivals(self, rows: Int64s, codes: Int64s, ids: Int64s | None = None) -> layout.Arrivals:
        """These rows, under other ids than their own where they are given."""
        rows = np.ascontiguousarray(rows, np.int64)
        return layout.Arrivals(
            rows,
            np.array(codes, np.int64),
            self.ids[rows] if ids is None else ids,
            self.ends_us[rows] if len(self.ends_us) else NO_ROWS,
            self.time_us,
            self.inputs,
            self.inputs.view(np.float64),
            self.valid,
            self.base,
            np.full(len(rows), -1, np.int64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class FiredPart:
    """Fired windows of a shard, one per row of `fired`, and what its gatherings gave for each.

    `start` and `end`: of each window, microseconds (counts of events where windows are by count).
    """

    fired: layout.Fired
    gathered: list[list[Any]]
    start: Int64s
    end: Int64s
    time_us: Int64s
    position: Int64s
    update: Int64s

    @property
    def codes(self) -> Int64s:
        """The key of each window."""
        return self.fired.rows[:, layout.OUT_CODE].copy()


class EntryStore:
    """The entries of one shard. `capacity`: how many entries and fired rows there is room for."""

    def __init__(self, accumulators: Accumulators, texts: TextCodes, capacity: int) -> None:
        self._accumulators = accumulators
        self._texts = texts
        self._lanes = accumulators.lanes()
        self._width = layout.HEADER + accumulators.words
        self.gathered = Gathered([g for g, _ in accumulators.gatherings], texts)
        self.failures: list[Failure] = []
        self.counters = np.zeros(layout.COUNTERS, np.int64)
        self.counters[[layout.DUE, layout.CLOSES]] = layout.INT64_MAX
        self.counters[layout.RESUME] = layout.NONE
        table, links = self._room(capacity)
        newest = np.full(0, -1, np.int64)
        self.entries = layout.Entries(self.counters, table, table.view(np.float64), links, newest)
        self.fired = self._fired(capacity, capacity)

    def _fired(self, rows: int, members: int) -> layout.Fired:
        table = np.empty((rows, layout.OUT + self._accumulators.words), np.int64)
        kept = np.empty(members if self.gathered else 0, np.int64)
        merged = np.empty((0, 2), np.int64)
        return layout.Fired(table, table.view(np.float64), kept, merged)

    @property
    def bytes_held(self) -> int:
        """The size of all buffers, used or spare."""
        entries, fired = self.entries, self.fired
        parts = (entries.table, entries.links, entries.newest)
        return sum(part.nbytes for part in (*parts, fired.rows, fired.members, fired.merged))

    # ------------------------------------------------------------------ room

    def lanes(self) -> layout.Lanes:
        return self._lanes

    def rank_texts(self) -> None:
        """Before events with texts that are new.

        Where they are worked on, not where they are prepared: the slice after them may be prepared
        before them, and whoever comes last would leave ranks behind that lack the other's texts.
        """
        if self._accumulators.compares_texts:
            self._lanes = self._lanes._replace(rank=self._texts.rank())

    def reach(self, codes: Int64s) -> None:
        """Be ready for these key codes."""
        largest = int(codes.max(initial=-1))
        newest = self.entries.newest
        if largest >= len(newest):
            larger = np.full(max(largest + 1, 2 * len(newest)), -1, np.int64)
            larger[: len(newest)] = newest
            self.entries = self.entries._replace(newest=larger)

    def drive(self, total: int, step: Callable[[int], int]) -> None:
        """Call `step` with where to go on until it has come to `total`, giving it room."""
        done = step(0)
        while done < total:
            if 4 * self.counters[layout.LIVE] > 3 * len(self.entries.table):
                self._grow_entries()
            else:
                self._grow_fired()
            done = step(done)

    def _room(self, capacity: int) -> tuple[Int64s, Int64s]:
        """Free entries, each beginning at a cache line where its size allows it."""
        words = capacity * self._width
        memory = np.zeros(words + LINE_WORDS, np.int64)
        begin = -(memory.ctypes.data // 8) % LINE_WORDS
        table = memory[begin : begin + words].reshape(capacity, self._width)
        table[:, layout.CODE] = -1
        return table, np.zeros((capacity, layout.LINKS), np.int64)

    def _grow_entries(self) -> None:
        old = self.entries
        table, links = self._room(2 * len(old.table))
        table[: len(old.table)] = old.table
        links[: len(old.table)] = old.links
        self.counters[layout.CURSOR] = len(old.table)
        self.entries = old._replace(table=table, table_f=table.view(np.float64), links=links)

    def _grow_fired(self) -> None:
        old, (rows, members) = self.fired, self.counters[[layout.ROWS, layout.MEMBERS]]
        grown = self._fired(2 * len(old.rows), 2 * len(old.members))
        grown.rows[:rows] = old.rows[:rows]
        grown.members[:members] = old.members[:members]
        self.fired = grown._replace(merged=old.merged)

    def wants_merged(self) -> None:
        """Before a step that may merge entries: there is room to tell of all of them."""
        if self.gathered:
            room = int(self.counters[layout.USED]) + 1
            self.fired = self.fired._replace(merged=np.empty((room, 2), np.int64))
            self.counters[layout.MERGED] = 0

    def merged(self) -> Int64s:
        return self.fired.merged[: self.counters[layout.MERGED]] if self.gathered else NO_ROWS

    def new_freed(self) -> Int64s:
        return np.empty(int(self.counters[layout.USED]) + 1, np.int64)

    # ------------------------------------------------------------------ gatherings

    def gather(self, inputs: Inputs, arrivals: layout.Arrivals) -> None:
        """Give the gatherings the values of events that have found their entries."""
        if not self.gathered:
            return
        took = arrivals.entry >= 0
        rows, entries = arrivals.rows[took], arrivals.entry[took]
        for number, (_, argument) in enumerate(self._accumulators.gatherings):
            valid = inputs.valid[rows, argument]
            mine = rows[valid]
            words = inputs.inputs[mine, argument]
            trouble = self.gathered.add(
                number, entries[valid], words, inputs.time_us[mine], mine + inputs.base[0]
            )
            for reason, places in trouble.items():
                self.failures.append(Failure(reason, None, np.unique(mine[places])))

    # ------------------------------------------------------------------ what has fired

    def take_fired(self) -> tuple[layout.Fired, list[list[Any]]]:
        """The fired rows and the results of their gatherings; the buffers are empty again."""
        count = int(self.counters[layout.ROWS])
        rows = self.fired.rows[:count].copy()
        members = self.fired.members[: self.counters[layout.MEMBERS]]
        results = self.gathered.results(members, rows[:, layout.OUT_MEMBERS])
        self.counters[[layout.ROWS, layout.MEMBERS]] = 0
        fired = layout.Fired(rows, rows.view(np.float64), members.copy(), NO_ROWS)
        return fired, results

    # ------------------------------------------------------------------ state

    def __len__(self) -> int:
        return int(self.counters[layout.LIVE])

    def live(self) -> Int64s:
        """The entries in use, by key and then by id."""
        table = self.entries.table[: self.counters[layout.USED]]
        live = np.flatnonzero(table[:, layout.CODE] >= 0)
        order = np.lexsort((table[live, layout.ID], table[live, layout.CODE]))
        return live[order]

    def active_keys(self) -> Int64s:
        keys: Int64s = np.flatnonzero(self.entries.newest >= 0)
        return keys

    def keep_keys(self, codes: Int64s) -> None:
        """Key i is from now on what was codes[i] (sorted); every key with entries is among them."""
        table = self.entries.table[: self.counters[layout.USED]]
        live = table[:, layout.CODE] >= 0
        table[live, layout.CODE] = np.searchsorted(codes, table[live, layout.CODE])
        newest = np.full(len(codes), -1, np.int64)
        known = codes < len(self.entries.newest)
        newest[known] = self.entries.newest[codes[known]]
        self.entries = self.entries._replace(newest=newest)

    def used_texts(self) -> Int64s:
        """The codes of texts that entries hold, distinct and sorted; what fired has been taken."""
        table = self.entries.table[self.live()]
        held = [table[:, layout.HEADER + word] for word in self._accumulators.text_words()]
        used = np.unique(np.concatenate([self.gathered.used_texts(), *held]))
        return used[(used >= 0) & (used < len(self._texts))]

    def rename_texts(self, mapping: Int64s) -> None:
        """The text with code c has code mapping[c] from now on; every one in use has one."""
        live, table, recode = self.live(), self.entries.table, _recoding(mapping)
        for word in self._accumulators.text_words():
            held = table[live, layout.HEADER + word]
            means_one = (held >= 0) & (held < len(mapping))
            table[live, layout.HEADER + word] = recode(np.where(means_one, held, -1))
        self.gathered.rename_texts(mapping)
        self.rank_texts()

    def snapshot(self) -> Snapshot:
        live = self.live()
        table, links = self.entries.table[live], self.entries.links[live]
        pool = _TextPool(self._texts)
        for word in self._accumulators.text_words():
            at = layout.HEADER + word
            table[:, at] = pool.number(table[:, at])
        gathered = self.gathered.dump(live, pool.number)
        return {
            "entries": table,
            "links": links,
            "gathered": gathered,
            "texts": pa.table({"text": pa.array(pool.texts, pa.string())}),
        }

    def restore(self, parts: Parts) -> None:
        """Take over the entries of keys that have a code; the store is empty."""
        tables = [np.zeros((0, self._width), np.int64)]
        links = [np.zeros((0, layout.LINKS), np.int64)]
        gathered = []
        for snapshot, codes in parts:
            table, kept, states = self._restored(snapshot, codes)
            tables.append(table)
            links.append(snapshot["links"][kept])
            gathered.append(states)
        table = np.concatenate(tables)
        order = np.lexsort((table[:, layout.ID], table[:, layout.CODE]))
        self._load(table[order], np.concatenate(links)[order])
        for number in range(len(self.gathered)):
            found = [state for part in gathered for state in part[number]]
            self.gathered.load(number, [found[i] for i in order])
        self.rank_texts()

    def _restored(
        self, snapshot: Mapping[str, Value], codes: Int64s
    ) -> tuple[Int64s, Int64s, list[list[Any]]]:
        """The entries of keys that have a code, which they are, and their states."""
        table = snapshot["entries"].copy()
        table[:, layout.CODE] = codes[table[:, layout.CODE]]
        known = [self._texts.code(text) for text in snapshot["texts"].column(0).to_pylist()]
        recode = _recoding(np.array(known, np.int64))
        for word in self._accumulators.text_words():
            at = layout.HEADER + word
            table[:, at] = recode(table[:, at])
        kept = np.flatnonzero(table[:, layout.CODE] >= 0)
        states = [
            [loaded[i] for i in kept]
            for loaded in self.gathered.loaded(snapshot["gathered"], recode)
        ]
        return table[kept], kept, states

    def _load(self, table: Int64s, links: Int64s) -> None:
        """Fill the store with entries in order of key and id."""
        count = len(table)
        while 3 * len(self.entries.table) < 4 * count:
            self._grow_entries()
        self.reach(table[:, layout.CODE])
        same = table[1:, layout.CODE] == table[:-1, layout.CODE]
        number = np.arange(count)
        links[:, layout.OLDER] = np.where(np.append(False, same)[:count], number - 1, -1)
        links[:, layout.NEWER] = np.where(np.append(same, False)[:count], number + 1, -1)
        self.entries.table[:count] = table
        self.entries.links[:count] = links
        self.entries.newest[table[:, layout.CODE]] = number  # of a key's entries the last one wins
        self.counters[[layout.USED, layout.LIVE]] = count
        self.counters[layout.CURSOR] = min(count, len(self.entries.table) - 1)
        self.counters[layout.DIRTY_ENTRIES] = int(table[:, layout.DIRTY].any())
        # Too early is never wrong: the next step looks, and then knows.
        self.counters[[layout.DUE, layout.CLOSES]] = layout.INT64_MIN if count else layout.INT64_MAX


class _TextPool:
    """Codes of texts -> their numbers among the texts that a snapshot mentions."""

    def __init__(self, texts: TextCodes) -> None:
        self._source = texts
        self._number: dict[int, int] = {}
        self.texts: list[str] = []

    def number(self, codes: Int64s) -> Int64s:
        """-1 stays -1. (Where a lane has no value, its code is one that means nothing.)"""
        distinct, place = np.unique(codes, return_inverse=True)
        numbers = np.array([self._number_of(int(code)) for code in distinct], np.int64)
        return numbers[place.reshape(codes.shape)] if len(distinct) else codes

    def _number_of(self, code: int) -> int:
        if not 0 <= code < len(self._source):
            return -1
        if code not in self._number:
            self._number[code] = len(self.texts)
            self.texts.append(self._source.text(code))
        return self._number[code]


def _recoding(known: Int64s) -> Callable[[Int64s], Int64s]:
    """Numbers of texts elsewhere, or before -> codes here and now; -1 stays -1."""
    known = np.append(known, -1)
    return lambda numbers: known[numbers]
