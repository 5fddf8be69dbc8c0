"""Key fields -> which shard an event belongs to, and a dense code for its key there.

    rows ─► without NULL keys ─► key group (stable hash of the key) ─► shard ─► code
                                                                        │
                                            KeyShard: the keys' codes, and the states that use them

A shard owns a range of the KEY_GROUPS, so that state can be handed to more or fewer shards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cep.engine.algebra.expression import DataType, Field
from cep.engine.batch import Bools, EventBatch, Int64s
from cep.engine.columns.evaluator import Column, ColumnEvaluator
from cep.engine.state.cleaning import Cleaning
from cep.engine.state.interning import KeyCodes, saved_keys
from cep.engine.state.key_groups import Groups, KeyGrouping, by_shard, key_groups, shard_of
from cep.engine.state.snapshot import Parts, Snapshot, Value

KEYS_KEPT_MIN = 1 << 16  # key tables smaller than this are not worth cleaning


class KeyedState(Protocol):
    """What is held for the keys of one shard."""

    def active_keys(self) -> Int64s:
        """Codes of the keys that have state."""
        ...

    def keep_keys(self, codes: Int64s) -> None:
        """Key i is from now on what was key codes[i] (sorted); no other key has state."""
        ...


class SavedState(Protocol):
    """What one statement holds for the keys of one shard."""

    def snapshot(self) -> Snapshot:
        """A copy of everything."""
        ...

    def restore(self, parts: Parts) -> None:
        """Take over what snapshots hold of this shard's keys; the state is empty before."""
        ...


class ShardedOperator(Protocol):
    """An operator whose state is asked for shard by shard."""

    def active_keys(self, shard: int) -> Int64s: ...

    def keep_keys(self, shard: int, codes: Int64s) -> None: ...

    def snapshot(self, shard: int) -> Snapshot: ...

    def restore(self, shard: int, parts: Parts) -> None: ...


@dataclass(frozen=True, slots=True)
class OperatorShard:
    """One shard of an operator, as a `KeyedState` and a `SavedState`."""

    operator: ShardedOperator
    shard: int

    def active_keys(self) -> Int64s:
        return self.operator.active_keys(self.shard)

    def keep_keys(self, codes: Int64s) -> None:
        self.operator.keep_keys(self.shard, codes)

    def snapshot(self) -> Snapshot:
        return self.operator.snapshot(self.shard)

    def restore(self, parts: Parts) -> None:
        self.operator.restore(self.shard, parts)


class KeyShard:
    """The keys of one shard, and the states that know them by their codes."""

    def __init__(self, types: Sequence[DataType]) -> None:
        self.codes = KeyCodes(types)
        self.states: list[KeyedState] = []
        self._cleaning = Cleaning(KEYS_KEPT_MIN)

    def forget_idle_keys(self) -> None:
        """Give new codes to the keys that have state and forget the others, now and then."""
        if not self._cleaning.is_due(len(self.codes), self.codes.characters):
            return
        active = np.zeros(len(self.codes), np.bool_)
        for state in self.states:
            active[state.active_keys()] = True
        kept = np.flatnonzero(active)
        if 2 * len(kept) <= len(active) or self.codes.characters >= self._cleaning.weight:
            self.codes = self.codes.keep(kept)
            for state in self.states:
                state.keep_keys(kept)
        self._cleaning.done(len(self.codes), self.codes.characters)


class KeySpace:
    """The keys of all operators that are partitioned by the same fields."""

    def __init__(self, fields: Sequence[str], types: Sequence[DataType], shards: int = 1) -> None:
        self.fields = tuple(fields)
        self._reads = [Field(f, type=t) for f, t in zip(fields, types, strict=True)]
        self.shards = [KeyShard(types) for _ in range(shards)]
        self._grouping = KeyGrouping(len(fields))

    def on(self, batch: EventBatch, evaluator: ColumnEvaluator) -> SliceKeys:
        """The keys of a batch's rows. Reads nothing that changes: other threads may be at work."""
        return SliceKeys(self, [evaluator.evaluate(field) for field in self._reads], len(batch))

    def groups(self, columns: Sequence[Column], rows: Int64s) -> Groups:
        """The key group of each row; of slices one after the other."""
        return self._grouping.groups(columns, rows)

    @property
    def bytes_held(self) -> int:
        """The size of the tables of keys; texts are not in it."""
        return sum(shard.codes.bytes_held for shard in self.shards)

    def forget_idle_keys(self, shard: int) -> None:
        if self.fields:
            self.shards[shard].forget_idle_keys()

    def snapshot(self) -> list[Snapshot]:
        """The keys of each shard."""
        return [shard.codes.snapshot() for shard in self.shards]

    def restore(self, saved: Sequence[Mapping[str, Value]]) -> list[list[Int64s]]:
        """Share out the keys of other shards, as snapshots of them.

        [i][j][c] is the code that key c of saved[j] has in shard i, -1 where it is not there.
        """
        owners = [self._owners(snapshot) for snapshot in saved]
        found = []
        for number, shard in enumerate(self.shards):
            mine = [np.flatnonzero(owner == number) for owner in owners]
            pairs = list(zip(saved, mine, strict=True))
            shard.codes, renamed = KeyCodes.restored(self.types, pairs)
            found.append(renamed)
        return found

    def _owners(self, saved: Mapping[str, Value]) -> Int64s:
        """Which shard each of the saved keys belongs to."""
        if not self.fields:
            return np.zeros(saved["size"], np.int64)
        groups = key_groups(saved_keys(self.types, saved), np.arange(saved["size"]))
        return shard_of(groups, len(self.shards))

    @property
    def types(self) -> tuple[DataType, ...]:
        return tuple(field.type or DataType.NULL for field in self._reads)


@dataclass(slots=True)
class _Encoded:
    """The rows that a shard has encoded first, and the codes of their keys.

    Each shard has its own: in one for all, cores would wait for each other's cache lines.
    """

    rows: Int64s
    codes: Int64s
    _by_row: Int64s | None = None

    def by_row(self, size: int) -> Int64s:
        """The code of each of so many rows, -1 where it is not known: to be written to."""
        if self._by_row is None:
            self._by_row = np.full(size, -1, np.int64)
            self._by_row[self.rows] = self.codes
        return self._by_row


class SliceKeys:
    """The keys of the rows of one batch. Each row is encoded once, by its own shard."""

    def __init__(self, space: KeySpace, columns: list[Column], rows: int) -> None:
        self._space = space
        self._columns = columns
        self._rows = rows
        self._encoded: list[_Encoded | None] = [None] * len(space.shards)
        self._groups: Groups | None = None
        self._all: list[Int64s] | None = None
        nulls = [missing for c in columns if (missing := _null_rows(c)) is not None]
        self._null_rows = np.unique(np.concatenate(nulls)) if nulls else None
        self._missed = np.zeros(rows, np.bool_)

    def split(self, rows: Int64s | None) -> list[Int64s]:
        """Those of the rows (ascending; None: all) that have a key, shard by shard."""
        if rows is None:
            if self._all is None:
                self._all = self._split(np.arange(self._rows))
            return self._all
        return self._split(rows)

    def want(self, rows: Bools | None) -> None:
        """These rows (None: all) are somebody's concern: those without a key will be `missing`."""
        if self._null_rows is not None:
            here = self._null_rows if rows is None else self._null_rows[rows[self._null_rows]]
            self._missed[here] = True

    def _split(self, rows: Int64s) -> list[Int64s]:
        shards = len(self._space.shards)
        if self._null_rows is not None:
            self._missed[np.intersect1d(rows, self._null_rows, assume_unique=True)] = True
            rows = np.setdiff1d(rows, self._null_rows, assume_unique=True)
        if shards == 1 or not self._columns:
            return [rows, *(rows[:0] for _ in range(shards - 1))]
        return by_shard(rows, self._groups_of(rows), shards)

    def _groups_of(self, rows: Int64s) -> Groups:
        if 8 * len(rows) < self._rows and self._groups is None:
            return self._space.groups(self._columns, rows)
        if self._groups is None:
            self._groups = self._space.groups(self._columns, np.arange(self._rows))
        return self._groups if len(rows) == self._rows else self._groups[rows]

    def codes(self, shard: int, rows: Int64s) -> Int64s:
        """The key codes of these rows, all of which belong to the shard."""
        if not self._columns:
            return np.zeros(len(rows), np.int64)
        own, encoded = self._space.shards[shard].codes, self._encoded[shard]
        if encoded is None:
            codes = own.encode(self._columns, rows)
            self._encoded[shard] = _Encoded(rows, codes)
            return codes
        if encoded.rows is rows:
            return encoded.codes
        known = encoded.by_row(self._rows)
        codes = known[rows]
        fresh = rows[codes < 0]
        if len(fresh):
            known[fresh] = own.encode(self._columns, fresh)
            codes = known[rows]
        return codes

    def missing(self) -> Iterator[tuple[str, Int64s]]:
        """(reason, rows) of the events that are somebody's concern and that have no key."""
        if self._null_rows is None:
            return
        for name, column in zip(self._space.fields, self._columns, strict=True):
            rows = _null_rows(column)
            missed = None if rows is None else rows[self._missed[rows]]
            if missed is not None and len(missed):
                yield f"key field {name!r} is NULL", missed


def _null_rows(column: Column) -> Int64s | None:
    """Rows where the column is NULL; None where there are none."""
    if column.type is DataType.NULL:
        return np.arange(len(column.valid)) if column.valid is not None else None
    if column.type is DataType.TEXT:
        if not column.values.null_count:
            return None
        return np.flatnonzero(column.values.is_null().to_numpy(zero_copy_only=False))
    if column.valid is None or bool(column.valid.all()):
        return None
    return np.flatnonzero(~column.valid)


__all__ = [
    "KeyShard",
    "KeySpace",
    "KeyedState",
    "OperatorShard",
    "SavedState",
    "SliceKeys",
    "shard_of",
]
