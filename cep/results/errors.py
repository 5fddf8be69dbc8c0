"""Error batches -> a table of events that something went wrong with, and how many by reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from cep.engine.results import ErrorBatch
from cep.results.columns import in_microseconds
from cep.results.tabular import Tabular

ERRORS_KEPT = 10_000
_TYPES: dict[str, pa.DataType] = {
    "reason": pa.string(),
    "pattern": pa.string(),
    "variable": pa.string(),
    "time": pa.timestamp("us"),
    "event": pa.string(),
}
SCHEMA = pa.schema(_TYPES)


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One event that was set aside, and why. `event` is the event as JSON text."""

    reason: str
    pattern: str | None
    variable: str | None
    time: datetime | None
    event: str


class ErrorTable(Tabular):
    """The errors of a run: all are counted, the first 10,000 events are kept."""

    def __init__(self, batches: Iterable[ErrorBatch] = ()) -> None:
        self._counts: Counter[tuple[str, str | None, str | None]] = Counter()
        self._kept: list[ErrorBatch] = []
        self._rows_kept = 0
        self._table: pa.Table | None = None
        for batch in batches:
            self.add(batch)

    def add(self, batch: ErrorBatch) -> None:
        """Count a batch, keep as much of it as there is room for."""
        if len(batch) == 0:
            return
        self._counts[batch.reason, batch.pattern, batch.variable] += len(batch)
        room = ERRORS_KEPT - self._rows_kept
        if room <= 0:
            return
        self._kept.append(_first(batch, room))
        self._rows_kept += min(room, len(batch))
        self._table = None

    def counts(self) -> dict[tuple[str, str | None, str | None], int]:
        """(reason, pattern, variable) -> number of events, the kept and the dropped alike."""
        return dict(self._counts)

    def __len__(self) -> int:
        """All errors counted; the tables may hold fewer rows (`rows_kept`)."""
        return sum(self._counts.values())

    @property
    def rows_kept(self) -> int:
        return self._rows_kept

    def __iter__(self) -> Iterator[ErrorRow]:
        for row in self.to_arrow().to_pylist():
            yield ErrorRow(**row)

    def __getitem__(self, index: int) -> ErrorRow:
        if not -self._rows_kept <= index < self._rows_kept:
            raise IndexError(f"error {index} of {self._rows_kept} that were kept")
        row = self.to_arrow().slice(index % self._rows_kept, 1).to_pylist()[0]
        return ErrorRow(**row)

    def __repr__(self) -> str:
        return f"ErrorTable({len(self):,} errors)"

    def _repr_html_(self) -> str:
        from cep.display.tables import errors_html

        return errors_html(self)

    def first(self, size: int) -> pa.Table:
        """The first rows of `to_arrow()`; no others are built."""
        some = ErrorTable()
        for batch in self._kept:
            if some.rows_kept < size:
                some.add(_first(batch, size - some.rows_kept))
        return some.to_arrow()

    def to_arrow(self) -> pa.Table:
        """Columns reason, pattern, variable, time (UTC, NULL where there is none), event."""
        if self._table is None:
            tables = [_table(batch) for batch in self._kept]
            self._table = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
        return self._table


def _first(batch: ErrorBatch, rows: int) -> ErrorBatch:
    if len(batch) <= rows:
        return batch
    times = None if batch.time_us is None else batch.time_us[:rows]
    values = None if batch.values is None else batch.values.slice(0, rows)
    events = batch.events.slice(0, rows)
    return ErrorBatch(batch.reason, events, times, batch.pattern, batch.variable, values)


def _table(batch: ErrorBatch) -> pa.Table:
    size = len(batch)
    values = [None] * size if batch.values is None else batch.values.to_pylist()
    reasons = [batch.reason if v is None else f"{batch.reason}: {v!r:.80}" for v in values]
    events = in_microseconds(batch.events).to_pylist()
    times = None if batch.time_us is None else pa.array(batch.time_us, pa.timestamp("us"))
    return pa.table(
        [
            pa.array(reasons, pa.string()),
            pa.array([batch.pattern] * size, pa.string()),
            pa.array([batch.variable] * size, pa.string()),
            pa.nulls(size, pa.timestamp("us")) if times is None else times,
            pa.array([json.dumps(e, default=str) for e in events], pa.string()),
        ],
        schema=SCHEMA,
    )
