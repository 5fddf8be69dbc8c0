"""Matches one by one and as tables: columns are computed when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa

from cep.engine.algebra.pattern import Stream
from cep.engine.batch import Int64s
from cep.engine.results import ErrorBatch, MatchBatch
from cep.results.columns import EventPool, PatternMatches, TakenEvent, pick, take
from cep.results.layout import Events, Layout
from cep.results.tabular import Tabular
from cep.results.values import counted

if TYPE_CHECKING:
    from cep.results.why import Why


class Match:
    """One match (or timed-out run).

    `key` is None without `by`, a tuple for several fields. Times are `datetime`s in UTC, with a
    zone where the data states one. `at` is when the match was known: later than `end` for an
    absence. `events` maps each variable to the events that it took, `values` each `select` name to
    its value.
    """

    __slots__ = ("_index", "_source")

    def __init__(self, source: PatternMatches, index: int) -> None:
        self._source = source
        self._index = index

    @property
    def pattern(self) -> str:
        return self._source.pattern.name

    @property
    def key(self) -> Any:
        return self._source.key_at(self._index)

    @property
    def key_fields(self) -> tuple[str, ...]:
        """The fields that make the key."""
        return self._source.pattern.key

    @property
    def stream(self) -> Stream | None:
        """The stream of the data that the pattern reads, with its time field; of several the first.

        None for a pattern that reads only what other rules make.
        """
        layout, names = self._source.layout, self._source.pattern.streams
        return next((s for s in layout.streams if not names or s.name in names), None)

    @property
    def start(self) -> datetime:
        return _moment(self._source.starts, self._index)

    @property
    def end(self) -> datetime:
        return _moment(self._source.ends, self._index)

    @property
    def at(self) -> datetime:
        return _moment(self._source.found_at, self._index)

    @property
    def id(self) -> str:
        """The same for the same pattern name and events, in every run.

        Made of what the events say: matches of events that are equal in every field share it.
        """
        return str(self._source.ids[self._index])

    @property
    def events(self) -> dict[str, list[dict[str, Any]]]:
        return self._source.events_at(self._index)

    @property
    def values(self) -> dict[str, Any]:
        return {name: col[self._index].as_py() for name, col in self._source.values.items()}

    @property
    def sizes(self) -> dict[str, int]:
        """How many events each variable took."""
        return self._source.sizes_at(self._index)

    def taken(self, limit: int | None = None) -> list[TakenEvent]:
        """(time, variable, event) in the order in which they were taken; the first `limit`."""
        return self._source.taken_at(self._index, limit)

    def alone(self) -> Match:
        """The same match apart from the others: its values are computed for it alone.

        Where matches are many that is less work, as long as not all of them are asked.
        """
        return Match(self._source.only(self._index), 0)

    def why(self) -> Why:
        """Event by event, which variable took it and what held, with which values."""
        from cep.results.why import why

        return why(self._source, self._index, self.key)

    def __repr__(self) -> str:
        key = "" if self.key is None else f" key={self.key!r}"
        taken = ", ".join(f"{name}: {size}" for name, size in self.sizes.items())
        values = f" {found}" if (found := self.alone().values) else ""
        return f"<{self.pattern}{key} {self.start} .. {self.end} ({taken}){values}>"

    def _repr_html_(self) -> str:
        from cep.display.matches import match_html

        return match_html(self)


def _moment(times: Any, index: int) -> datetime:
    moment: datetime = times[index].as_py()
    return moment


class MatchTable(Tabular):
    """Matches in the order in which they were found, of all patterns together.

    Columns are built when asked for. The order (time found, pattern, first events) and everything
    else are the same however the input was cut into batches.
    """

    def __init__(self, layout: Layout, batches: Sequence[MatchBatch] = ()) -> None:
        self._layout = layout
        self._batches = [batch for batch in batches if len(batch)]

    def __len__(self) -> int:
        return sum(len(batch) for batch in self._batches)

    def __repr__(self) -> str:
        return f"MatchTable({self.title})"

    @property
    def title(self) -> str:
        """How many of what there are."""
        if self._layout.timeouts:
            return counted(len(self), "timed-out run")
        return counted(len(self), "match", "matches")

    def _repr_html_(self) -> str:
        from cep.display.matches import table_html

        return table_html(self)

    @cached_property
    def _parts(self) -> list[PatternMatches]:
        """One part per pattern that matched, in the order of the rules."""
        by_pattern: dict[int, list[MatchBatch]] = {}
        for batch in self._batches:
            by_pattern.setdefault(self._layout.number[batch.pattern.name], []).append(batch)
        if not by_pattern:
            return []
        parts, pools = [], self._pools()
        for _, batches in sorted(by_pattern.items()):
            pool = pools[self._layout.events_of(batches[0].pattern.name)]
            parts.append(PatternMatches(pool.joined(batches), self._layout, pool))
        return parts

    def _pools(self) -> dict[Events, EventPool]:
        """One pool for all patterns that read the same events."""
        sharing: dict[Events, list[MatchBatch]] = {}
        for batch in self._batches:
            sharing.setdefault(self._layout.events_of(batch.pattern.name), []).append(batch)
        return {read: EventPool(found, self._layout.added) for read, found in sharing.items()}

    @cached_property
    def _order(self) -> Int64s | None:
        """Row numbers of the parts, one after the other, in output order; None: as they are."""
        return _order(self._parts)

    @cached_property
    def _begins(self) -> Int64s:
        return np.cumsum([0, *(len(part.batch) for part in self._parts)])

    @overload
    def __getitem__(self, index: int) -> Match: ...
    @overload
    def __getitem__(self, index: slice) -> list[Match]: ...
    def __getitem__(self, index: int | slice) -> Match | list[Match]:
        if isinstance(index, slice):
            return [self._match(at) for at in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"match {index} of {len(self)}")
        return self._match(index % len(self))

    def __iter__(self) -> Iterator[Match]:
        return (self._match(at) for at in range(len(self)))

    def _match(self, at: int) -> Match:
        row = at if self._order is None else int(self._order[at])
        part = int(np.searchsorted(self._begins, row, side="right")) - 1
        return Match(self._parts[part], row - int(self._begins[part]))

    def first(self, size: int) -> list[Match]:
        """The same as `[:size]`, but what is asked of them is computed for them alone."""
        found = self if len(self) <= size else MatchTable(self._layout, self._earliest(size))
        return [match.alone() for match in found[:size]]

    def _earliest(self, size: int) -> list[MatchBatch]:
        """The matches that were found first; more than `size` where they were found at a time."""
        at = np.concatenate([batch.at_us for batch in self._batches])
        last = np.partition(at, size - 1)[size - 1]
        picked = [(batch, np.flatnonzero(batch.at_us <= last)) for batch in self._batches]
        return [pick(batch, rows) for batch, rows in picked if len(rows)]

    def by_pattern(self, name: str) -> MatchTable:
        """The matches of one pattern. KeyError for a name that the rules do not have."""
        if name not in self._layout.number:
            known = ", ".join(self._layout.number)
            raise KeyError(f"no pattern {name!r}; the rules have: {known}")
        batches = [batch for batch in self._batches if batch.pattern.name == name]
        pattern = self._layout.patterns[self._layout.number[name]]
        return MatchTable(replace(self._layout, patterns=(pattern,)), batches)

    def counts(self) -> dict[str, int]:
        """Pattern -> number of matches, for every pattern of the rules."""
        counts = dict.fromkeys(self._layout.number, 0)
        for batch in self._batches:
            counts[batch.pattern.name] += len(batch)
        return counts

    @property
    def has_values(self) -> bool:
        """Whether there are matches with a select list."""
        return bool(self._batches) and any(self._layout.value_columns.values())

    def select_errors(self) -> list[ErrorBatch]:
        """What could not be computed of the select lists; without one no column is built."""
        if not self.has_values:
            return []
        return [error for part in self._parts for error in part.select_errors]

    @property
    def schema(self) -> pa.Schema:
        """The columns of `to_arrow()`, known whether there are matches or not."""
        return self._layout.arrow_schema

    @cached_property
    def _table(self) -> pa.Table:
        if not self._parts:
            return self.schema.empty_table()
        table = pa.concat_tables([part.to_table() for part in self._parts])
        return table if self._order is None else take(table, self._order)

    def to_arrow(self) -> pa.Table:
        """pattern, key, start, end, id, then a column per `select` name of any pattern."""
        return self._table

    @property
    def events(self) -> pa.Table:
        """A row per captured event: match (its id), pattern, variable, position, all fields.

        `position` counts from 0 within the match. A field with one of these names gets `event_`
        in front. An event that two matches captured is there twice.
        """
        tables = [_long(part) for part in self._parts]
        if not tables:
            return _long_schema(self._layout.schema).empty_table()
        table = pa.concat_tables(tables, promote_options="default")
        if self._order is None:
            return table
        return take(table, self._rows_in_order())

    def _rows_in_order(self) -> Int64s:
        """Row numbers of the long table, match by match in output order."""
        assert self._order is not None
        lengths = np.concatenate([np.diff(part.batch.offsets) for part in self._parts])
        begins = np.cumsum(lengths) - lengths
        taken = lengths[self._order]
        first = np.repeat(begins[self._order] - (np.cumsum(taken) - taken), taken)
        return first + np.arange(len(first))


def _order(parts: Sequence[PatternMatches]) -> Int64s | None:
    """By time found, then pattern, then the places of the captured events in the input."""
    if not parts:
        return None
    at = np.concatenate([part.batch.at_us for part in parts])
    if len(parts) == 1 and bool((at[1:] > at[:-1]).all()):
        return None
    pattern = np.repeat(np.arange(len(parts)), [len(part.batch) for part in parts])
    is_ordered = len(parts) == 1 and bool((at[1:] >= at[:-1]).all())
    order = np.arange(len(at)) if is_ordered else np.lexsort((pattern, at))
    equal = (at[order][1:] == at[order][:-1]) & (pattern[order][1:] == pattern[order][:-1])
    if not equal.any():
        return order
    tied = np.flatnonzero(np.append(equal, False) | np.insert(equal, 0, False))
    rows = order[tied]
    keys = [np.concatenate(k)[rows] for k in zip(*(p.tie_breakers for p in parts), strict=True)]
    group = np.cumsum(~np.insert(equal, 0, False))[tied]
    order[tied] = rows[np.lexsort((*reversed(keys), group))]
    return order


LONG_COLUMNS = ("match", "pattern", "variable", "position")


def _long_schema(events: pa.Schema) -> pa.Schema:
    fields = zip(LONG_COLUMNS, (pa.string(), pa.string(), pa.string(), pa.int64()), strict=True)
    renamed = [(_long_name(f.name), f.type) for f in events]
    return pa.schema([*fields, *renamed])


def _long_name(field_name: str) -> str:
    return f"event_{field_name}" if field_name in LONG_COLUMNS else field_name


def _long(part: PatternMatches) -> pa.Table:
    batch = part.batch
    lengths = np.diff(batch.offsets)
    owner = np.repeat(np.arange(len(batch)), lengths)
    position = np.arange(len(batch.row)) - np.repeat(batch.offsets[:-1], lengths)
    events = take(batch.events, batch.row)
    names = pa.array(batch.variables, pa.string())
    columns: list[Any] = [
        part.ids.take(pa.array(owner)),
        pa.repeat(part.pattern.name, len(batch.row)),
        names.take(pa.array(batch.variable, pa.int32())),
        pa.array(position, pa.int64()),
        *events.columns,
    ]
    named = [*LONG_COLUMNS, *(_long_name(name) for name in events.schema.names)]
    return pa.Table.from_arrays(columns, named)
