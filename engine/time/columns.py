"""Tables of one stream -> tables of the union of all streams' columns, fit to be put together."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from cep.engine.ingest.merge import as_union

INDEX_BITS = 32


def widened(schema: pa.Schema) -> pa.Schema:
    """The schema with 32-bit indices in dictionaries.

    Dictionaries of several batches, put together, may have more values than a small index counts.
    """
    return pa.schema([pa.field(column.name, _wide(column.type)) for column in schema])


def _wide(type_: Any) -> Any:
    if not pa.types.is_dictionary(type_) or type_.index_type.bit_width >= INDEX_BITS:
        return type_
    return pa.dictionary(pa.int32(), type_.value_type, type_.ordered)


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns of `schema`, NULL where it has no such column."""
    if table.schema.equals(schema):
        return table
    columns = []
    for column in table.schema:
        values = table.column(column.name)
        is_narrow = column.type != _wide(column.type)
        columns.append(_with_wide_indices(values) if is_narrow else values)
    return as_union(pa.table(columns, names=table.schema.names), schema)


def _with_wide_indices(column: Any) -> Any:
    wide = _wide(column.type)
    chunks = [
        pa.DictionaryArray.from_arrays(
            chunk.indices.cast(wide.index_type), chunk.dictionary, ordered=wide.ordered
        )
        for chunk in column.chunks
    ]
    arrow: Any = pa
    return arrow.chunked_array(chunks, type=wide)
