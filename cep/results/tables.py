"""Rows of aggregates and joins, and late events -> tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import DataType
from cep.engine.algebra.plan import Aggregate, Node
from cep.engine.columns.data import ARROW_TYPES, data_type_of
from cep.engine.results import LateBatch, RowBatch
from cep.results.tabular import Tabular

LATE_COLUMNS = ("stream", "time", "watermark", "late_by")


class RowTables(Mapping[str, pa.Table]):
    """Name of an aggregate or a join -> its rows, in the order in which they came out.

    Aggregates whose windows may come more than once have a column `update`: 0 for the first time, 1
    and more where late events changed the row, -1 for an early result.
    """

    def __init__(self, nodes: Sequence[Node], batches: Sequence[RowBatch] = ()) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._batches = batches

    def __getitem__(self, name: str) -> pa.Table:
        if name not in self._nodes:
            known = ", ".join(self._nodes) or "none"
            raise KeyError(f"no aggregate or join {name!r}; the rules have: {known}")
        node = self._nodes[name]
        parts = [_with_update(b, node) for b in self._batches if b.name == name and len(b)]
        schema = row_schema(node)
        return pa.concat_tables(parts).cast(schema) if parts else schema.empty_table()

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def key_fields(self, name: str) -> tuple[str, ...]:
        """The fields by which an aggregate counts that are columns of its rows too."""
        node = self._nodes[name]
        columns = {field.name for field in node.stream.fields}
        key = node.plan.key if isinstance(node.plan, Aggregate) else ()
        return tuple(field for field in key if field in columns)

    def counts(self) -> dict[str, int]:
        """Name -> number of rows."""
        counts = dict.fromkeys(self._nodes, 0)
        for batch in self._batches:
            counts[batch.name] += len(batch)
        return counts

    def __repr__(self) -> str:
        return f"RowTables({self.counts()})"

    def _repr_html_(self) -> str:
        from cep.display.tables import rows_html

        return rows_html(self)


def row_schema(node: Node) -> pa.Schema:
    """The columns of a node's rows."""
    fields = [(field.name, ARROW_TYPES[field.type]) for field in node.stream.fields]
    return pa.schema([*fields, *([("update", pa.int64())] if _may_come_again(node) else [])])


def _may_come_again(node: Node) -> bool:
    """Whether the rows say so: a column of the select list may have the name."""
    plan = node.plan
    if any(field.name == "update" for field in node.stream.fields):
        return False
    return isinstance(plan, Aggregate) and (plan.lateness_us > 0 or plan.early_us is not None)


def _with_update(batch: RowBatch, node: Node) -> pa.Table:
    if not _may_come_again(node):
        return batch.table
    update = np.zeros(len(batch), np.int64) if batch.update is None else batch.update
    numbers: Any = pa.array(update)
    return batch.table.append_column("update", numbers)


class LateTable(Tabular):
    """Events that came too late for everything: which watermark each met, and how late it was."""

    def __init__(self, batches: Sequence[LateBatch] = ()) -> None:
        self._batches = [batch for batch in batches if len(batch)]

    def __len__(self) -> int:
        return sum(len(batch) for batch in self._batches)

    def __repr__(self) -> str:
        return f"LateTable({len(self):,} late events)"

    def _repr_html_(self) -> str:
        from cep.display.tables import late_html

        return late_html(self)

    def counts(self) -> dict[str, int]:
        """Stream -> number of late events, for the streams that have any."""
        found: dict[str, int] = {}
        for batch in self._batches:
            found[batch.stream] = found.get(batch.stream, 0) + len(batch)
        return found

    def to_arrow(self) -> pa.Table:
        """Columns stream, time, watermark, late_by, and all fields of the events.

        `late_by` is the watermark less the event's time. A field with one of these names gets
        `event_` in front; one that has another type in each stream gets the stream's name.
        """
        if not self._batches:
            us = pa.timestamp("us")
            types: tuple[pa.DataType, ...] = (pa.string(), us, us, pa.duration("us"))
            return pa.schema(dict(zip(LATE_COLUMNS, types, strict=True))).empty_table()
        apart = _of_several_types(batch.events.schema for batch in self._batches)
        tables = [_late_rows(batch, apart) for batch in self._batches]
        return pa.concat_tables(tables, promote_options="permissive")


def _of_several_types(schemas: Iterable[pa.Schema]) -> set[str]:
    """The fields that no column can hold for all streams."""
    kinds: dict[str, set[object]] = {}
    for schema in schemas:
        for field in schema:
            kinds.setdefault(field.name, set()).add(data_type_of(field.type))
    numbers = {DataType.INTEGER, DataType.FLOAT}
    known = {name: found - {DataType.NULL} for name, found in kinds.items()}
    return {name for name, found in known.items() if len(found) > 1 and found != numbers}


def _late_rows(batch: LateBatch, apart: set[str]) -> pa.Table:
    events = batch.events
    names = [f"event_{n}" if n in LATE_COLUMNS else n for n in events.schema.names]
    names = [f"{batch.stream}_{n}" if n in apart else n for n in names]
    columns: list[Any] = [
        pa.repeat(batch.stream, len(batch)),
        pa.array(batch.time_us, pa.timestamp("us")),
        pa.array(batch.watermark_us, pa.timestamp("us")),
        pa.array(batch.watermark_us - batch.time_us, pa.duration("us")),
        *events.columns,
    ]
    return pa.Table.from_arrays(columns, [*LATE_COLUMNS, *names])
