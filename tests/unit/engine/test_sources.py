"""Fields to source numbers: any type, NULL, several chunks, several fields."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.engine.time.sources import SourceCodes


def test_sources_are_numbered_in_order_of_appearance_whatever_the_batch() -> None:
    codes = SourceCodes(["host"])
    assert codes.encode(pa.table({"host": ["b", "a", "b"]})).tolist() == [0, 1, 0]
    assert codes.encode(pa.table({"host": ["c", "a"]})).tolist() == [2, 1]
    assert codes.names == [("b",), ("a",), ("c",)]
    assert len(codes) == 3


def test_no_rows_have_no_sources() -> None:
    codes = SourceCodes(["host", "port"])
    nothing = pa.table({"host": pa.array([], pa.string()), "port": pa.array([], pa.int64())})
    assert codes.encode(nothing).tolist() == []


def test_null_and_nan_are_values_like_others() -> None:
    codes = SourceCodes(["x"])
    for _ in range(2):
        found = codes.encode(pa.table({"x": [None, float("nan"), 1.0, float("nan"), None]}))
        assert found.tolist() == [0, 1, 2, 1, 0]


def test_a_dictionary_is_the_texts_that_it_stands_for() -> None:
    codes = SourceCodes(["host"])
    plain = pa.table({"host": ["a", "b", None]})
    parts: list[list[Any]] = [["b", "a"], ["a", None]]
    chunks = [pa.table({"host": pa.array(part).dictionary_encode()}) for part in parts]
    assert codes.encode(plain).tolist() == [0, 1, 2]
    assert codes.encode(pa.concat_tables(chunks)).tolist() == [1, 0, 0, 2]


def test_a_full_small_index_has_room_for_null() -> None:
    texts = [str(i) for i in range(128)]
    indices = pa.array([*range(128), None], pa.int8())
    codes = SourceCodes(["host"])
    table = pa.table({"host": pa.DictionaryArray.from_arrays(indices, pa.array(texts))})
    assert codes.encode(table).tolist() == list(range(129))


def test_many_values_in_many_fields_are_not_counted_out() -> None:
    rows = 3_000
    steps = (("a", 1), ("b", 3), ("c", 7))
    columns = {name: pa.array(np.arange(rows) * step) for name, step in steps}
    codes = SourceCodes(["a", "b", "c"])
    assert codes.encode(pa.table(columns)).tolist() == list(range(rows))


VALUES = st.sampled_from((None, 1, 2, 3))


@settings(deadline=None)
@given(st.lists(st.tuples(VALUES, st.sampled_from("xyz"), st.booleans()), max_size=30))
def test_equal_tuples_have_equal_numbers_and_a_snapshot_keeps_them(
    rows: list[tuple[int | None, str, bool]],
) -> None:
    fields: list[tuple[str, pa.DataType]]
    fields = [("n", pa.int64()), ("t", pa.string()), ("b", pa.bool_())]
    schema = pa.schema(fields)
    dicts = [dict(zip(schema.names, row, strict=True)) for row in rows]
    table = pa.Table.from_pylist(dicts, schema=schema)
    codes, again = SourceCodes(schema.names), SourceCodes(schema.names)
    expected = [list(dict.fromkeys(rows)).index(row) for row in rows]
    assert codes.encode(table).tolist() == expected
    again.restore(codes.to_table(schema))
    assert again.encode(table).tolist() == expected
    assert again.names == codes.names
