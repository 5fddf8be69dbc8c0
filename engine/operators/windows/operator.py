"""The window operator: events of one stream in, rows of one bound `aggregate` statement out.

    events ─► prepare: which count, their panes, the arguments as columns
           ─► process (per shard): into the entries of their key and pane
           ─► advance_to (per shard): windows that are over fire, closed ones are forgotten
           ─► take_fired (per shard): what they fired, with their keys
           ─► rows: rows of all shards, in an order that does not depend on them

When windows are over:

    tumbling, sliding, cumulating   watermark >= end - 1; their rows have the time end - 1
    session                         watermark >= end, since an event at the end still belongs to
                                    it; their rows have the time end
    count                           with the event that fills them, whose time the row has
    early results                   at each multiple m of `early_us` of event time, when all events
                                    before m have come; their rows have the time m - 1

A window that is over takes late events until end - 1 + lateness (sessions: end + lateness) and
fires again with each; after that they are too late. Windows by count take whatever comes, and know
neither lateness nor early results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cep.engine.algebra.errors import Problem, RuleError
from cep.engine.algebra.expression import Expression, Literal
from cep.engine.algebra.plan import Aggregate, Window, WindowKind
from cep.engine.batch import Bools, Int64s
from cep.engine.columns.arithmetic import INT64_MAX
from cep.engine.columns.evaluator import EvaluationError
from cep.engine.operators.fed import Failure, Fed
from cep.engine.operators.windows.accumulators import Accumulators
from cep.engine.operators.windows.accumulators_gathered import UserFunction
from cep.engine.operators.windows.counts import CountShard
from cep.engine.operators.windows.grid import CountGrid, WindowGrid, count_grid_of, grid_of
from cep.engine.operators.windows.panes import PaneShard
from cep.engine.operators.windows.rows import FiredRows, KeyColumns, RowMaker, WindowRows
from cep.engine.operators.windows.sessions import SessionShard
from cep.engine.operators.windows.shard import ShardSettings, WindowShard
from cep.engine.operators.windows.store import NO_ROWS, FiredPart, Inputs
from cep.engine.state.interning import TextCodes
from cep.engine.state.snapshot import Parts, Snapshot

NO_FUNCTIONS: Mapping[str, UserFunction] = {}
NO_GAP = "the gap of the session is NULL or not more than 0"


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A slice made ready. `rows`: those that count, ascending; `failures`: what went wrong."""

    rows: Int64s
    inputs: Inputs
    failures: list[Failure]


class WindowOperator:
    """Runs one bound aggregate over its windows. Knows no clock and no file.

    `number`: what `EventBatch.stream` has for the stream that it reads, None where there is no
    other. `capacity`: room to begin with, per shard. `count_fills`: a window by count that slides
    fires when it is full (as in SQL), not with every so many events. Raises RuleError for a window
    without sense.
    """

    def __init__(
        self,
        aggregate: Aggregate,
        number: int | None = None,
        texts: TextCodes | None = None,
        functions: Mapping[str, UserFunction] = NO_FUNCTIONS,
        shards: int = 1,
        capacity: int = 1024,
        count_fills: bool = False,
    ) -> None:
        if aggregate.window is None:
            raise RuleError([Problem("an aggregate without a window is no work for windows")])
        self.aggregate = aggregate
        self._window = aggregate.window
        self._number = number
        self._texts = TextCodes() if texts is None else texts
        asked = [output.value for output in aggregate.select]
        having = [] if aggregate.having is None else [aggregate.having]
        self._accumulators = Accumulators([*asked, *having], functions)
        self._grid = _grid_of(self._window, count_fills)
        by_count = isinstance(self._grid, CountGrid)
        self._rows = RowMaker(aggregate, self._accumulators, by_count)
        self._shards = [self._new_shard(capacity) for _ in range(shards)]

    def _new_shard(self, capacity: int) -> WindowShard:
        aggregate = self.aggregate
        settings = ShardSettings(
            self._accumulators,
            self._texts,
            capacity,
            aggregate.lateness_us,
            aggregate.discarding,
            aggregate.early_us,
        )
        if isinstance(self._grid, CountGrid):
            return CountShard(settings, self._grid)
        return SessionShard(settings) if self._grid is None else PaneShard(settings, self._grid)

    @property
    def expressions(self) -> list[Expression]:
        """What is evaluated of every event."""
        more = (self.aggregate.where, self._gap)
        return [*(e for e in more if e is not None), *self._accumulators.arguments]

    @property
    def _gap(self) -> Expression | None:
        return self._window.gap if self._window.kind is WindowKind.SESSION else None

    # ------------------------------------------------------------------ a slice of events

    def prepare(self, fed: Fed) -> Prepared:
        """Which rows count, and what they bring. `fed` and the operator share their TextCodes."""
        counts = self._own_rows(fed)
        failures = self._where(fed, counts)
        ends_us = NO_ROWS
        if self._gap is not None:
            ends_us = self._session_ends(fed, self._gap, counts, failures)
        inputs, valid = self._arguments(fed)
        for argument in self._accumulators.arguments:
            failures += _failures(fed.evaluator.errors_of(argument), counts)
        time_us = fed.time_us
        ids = self._grid.panes(time_us) if isinstance(self._grid, WindowGrid) else time_us
        base = np.array([fed.base], np.int64)
        made = Inputs(time_us, ids, ends_us, inputs, valid, base)
        return Prepared(np.flatnonzero(counts), made, failures)

    def _own_rows(self, fed: Fed) -> Bools:
        if fed.batch.stream is None or self._number is None:
            return np.ones(len(fed.batch), np.bool_)
        own: Bools = fed.batch.stream == self._number
        return own

    def _where(self, fed: Fed, counts: Bools) -> list[Failure]:
        """Leaves those rows in `counts` for which the condition is true."""
        where = self.aggregate.where
        if where is None:
            return []
        truth = fed.evaluator.true_rows(where)
        failures = _failures(fed.evaluator.errors_of(where), counts)
        counts &= truth
        return failures

    def _session_ends(
        self, fed: Fed, gap: Expression, counts: Bools, failures: list[Failure]
    ) -> Int64s:
        """Leaves those rows in `counts` that have a gap."""
        time_us = fed.batch.time_us
        if isinstance(gap, Literal) and isinstance(gap.value, int) and gap.value > 0:
            gaps: Int64s = np.full(len(time_us), gap.value)
        else:
            words, valid = fed.words(gap)
            has_gap = (words > 0) if valid is None else (words > 0) & valid
            failures += _failures(fed.evaluator.errors_of(gap), counts)
            known = np.zeros(len(time_us), np.bool_)
            for error in fed.evaluator.errors_of(gap):
                known[error.rows] = True
            without = np.flatnonzero(counts & ~has_gap & ~known)
            if len(without):
                failures.append(Failure(NO_GAP, None, without))
            counts &= has_gap
            gaps = np.where(has_gap, words, 1)
        return np.where(time_us > INT64_MAX - gaps, INT64_MAX, time_us + gaps)

    def _arguments(self, fed: Fed) -> tuple[Int64s, Bools]:
        """Raw words of the arguments, one column each, and where they are not NULL."""
        shape = len(fed.batch), len(self._accumulators.arguments)
        inputs, valid = np.empty(shape, np.int64), np.ones(shape, np.bool_)
        for column, argument in enumerate(self._accumulators.arguments):
            words, held = fed.words(argument)
            inputs[:, column] = words
            if held is not None:
                valid[:, column] = held
        return inputs, valid

    def process(
        self, shard: int, prepared: Prepared, rows: Int64s, codes: Int64s, watermark_us: int
    ) -> None:
        """Events of one shard in order of time, behind the watermark so far.

        `rows`: some of prepared.rows, `codes`: their keys'. Different shards may do so at once.
        """
        self._shards[shard].store.rank_texts()
        self._shards[shard].process(prepared.inputs, rows, codes, watermark_us)

    def process_late(
        self, shard: int, prepared: Prepared, rows: Int64s, codes: Int64s, watermark_us: int
    ) -> Bools:
        """Events at or before the watermark, as they arrive; True: no window takes it any more.

        An event that no window would ever have taken, between two that slide further than they are
        long, is not late.
        """
        self._shards[shard].store.rank_texts()
        return self._shards[shard].process_late(prepared.inputs, rows, codes, watermark_us)

    def advance_to(self, shard: int, watermark_us: int) -> None:
        """No event at or before the watermark follows. O(1) where no window is due."""
        self._shards[shard].advance_to(watermark_us)

    def wake_us(self, shard: int) -> int:
        """The earliest watermark at which the shard may have something to put out."""
        return self._shards[shard].wake_us

    # ------------------------------------------------------------------ results

    def take(self, key_columns: KeyColumns) -> WindowRows | None:
        """The rows that came out since the last call; None: none did.

        `key_columns(shard, codes)`: the key fields of these keys, one column each.
        """
        shards = range(len(self._shards))
        return self.rows([one for n in shards for one in self.take_fired(n, key_columns)])

    def take_fired(self, shard: int, key_columns: KeyColumns) -> list[FiredRows]:
        """What a shard has fired since the last call: nothing in it changes any more."""
        return _with_keys(shard, self._shards[shard].take(), key_columns)

    def rows(self, fired: Sequence[FiredRows]) -> WindowRows | None:
        """The rows of what shards have fired. Reads no state: they may be at work."""
        return self._rows.rows(fired, self._texts) if fired else None

    def current(self, key_columns: KeyColumns) -> WindowRows | None:
        """The windows that are open, as they are now; changes nothing.

        Their `update` is -1, their time the watermark; rows of windows by count have the time and
        position of their last event.
        """
        found: list[FiredRows] = []
        for number, shard in enumerate(self._shards):
            found += _with_keys(number, shard.look(), key_columns)
        return self.rows(found)

    def take_failures(self, shard: int) -> list[Failure]:
        """What user-defined functions could not take, with rows of the slice in hand."""
        store = self._shards[shard].store
        found, store.failures = store.failures, []
        return found

    # ------------------------------------------------------------------ state

    @property
    def entries(self) -> int:
        """How many panes, windows or sessions of single keys are held."""
        return sum(len(shard.store) for shard in self._shards)

    @property
    def bytes_held(self) -> int:
        """The size of all buffers, used or spare; what gatherings hold as objects is not in it."""
        return sum(shard.store.bytes_held for shard in self._shards)

    def active_keys(self, shard: int) -> Int64s:
        """Codes of the keys that have state."""
        return self._shards[shard].active_keys()

    def keep_keys(self, shard: int, codes: Int64s) -> None:
        """Key i is from now on what was codes[i] (sorted); no other key has state."""
        self._shards[shard].keep_keys(codes)

    def used_texts(self) -> Int64s:
        """The codes of texts that windows hold, in any order. O(entries)."""
        return np.concatenate([shard.store.used_texts() for shard in self._shards])

    def rename_texts(self, mapping: Int64s) -> None:
        """The text with code c has code mapping[c] from now on; every one in use has one.

        All rows must have been taken.
        """
        for shard in self._shards:
            shard.rename_texts(mapping)

    def snapshot(self, shard: int) -> Snapshot:
        """A shard's state. All rows must have been taken."""
        return self._shards[shard].snapshot()

    def restore(self, shard: int, parts: Parts) -> None:
        """Into a shard that has seen nothing."""
        self._shards[shard].restore(parts)


def _with_keys(shard: int, parts: Sequence[FiredPart], key_columns: KeyColumns) -> list[FiredRows]:
    return [FiredRows(part, key_columns(shard, part.codes)) for part in parts]


def _grid_of(window: Window, count_fills: bool) -> WindowGrid | CountGrid | None:
    """How windows are laid out; None for sessions."""
    if window.kind is WindowKind.SESSION:
        return None
    if window.kind is WindowKind.COUNT:
        return count_grid_of(window, count_fills or window.slide_events is None)
    return grid_of(window)


def _failures(errors: tuple[EvaluationError, ...], counts: Bools) -> list[Failure]:
    """Errors, on the rows that count."""
    found = [(error.reason, error.rows[counts[error.rows]]) for error in errors]
    return [Failure(reason, None, rows) for reason, rows in found if len(rows)]
