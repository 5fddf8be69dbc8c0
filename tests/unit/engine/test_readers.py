"""Paths and objects -> sources."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.io import csv_files, json_lines
from cep.engine.io.json_lines import json_stream_source
from cep.engine.io.readers import open_source
from cep.engine.io.source import Access, Source
from cep.engine.io.writers import TextWriter, open_writer

ROWS = [{"ts": 1, "card": "x", "amount": 1.5}, {"ts": 2, "card": "y", "amount": None}]


def rows_of(source: Source) -> list[dict[str, Any]]:
    return [row for chunk in source.read(None) for row in chunk.table.to_pylist()]


def broken_of(source: Source) -> list[str]:
    errors = [error for chunk in source.read(None) for error in chunk.broken]
    return [str(text) for error in errors for text in error.events.column("row").to_pylist()]


def opened(data: Any, **declared: DataType) -> Source:
    return open_source(data, declared)


# -- objects ---------------------------------------------------------------------------------------


class OnlyStream:
    """Knows the Arrow stream protocol and nothing else."""

    def __init__(self, table: pa.Table) -> None:
        self.table: Any = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class OnlyArray:
    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch: Any = batch

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self.batch.__arrow_c_array__(requested_schema)


TABLE = pa.Table.from_pylist(ROWS)


@pytest.mark.parametrize(
    "data",
    [
        TABLE,
        TABLE.to_batches()[0],
        pl.DataFrame(ROWS),
        OnlyStream(TABLE),
        OnlyArray(TABLE.to_batches()[0]),
        ROWS,
        tuple(ROWS),
    ],
    ids=["table", "batch", "polars", "capsule stream", "capsule array", "list", "tuple"],
)
def test_tables_of_every_kind_are_in_memory(data: Any) -> None:
    source = opened(data)
    assert (source.access, source.rows) == (Access.MEMORY, 2)
    assert rows_of(source) == ROWS


def test_text_of_polars_and_its_categories_can_be_cast_and_compared() -> None:
    frame = pl.DataFrame({"ts": ["2024"], "c": pl.Series(["x"], dtype=pl.Categorical)})
    for data in (frame, frame.clear(), pa.table(frame).to_reader()):
        kinds = [str(type_).partition(",")[0] for type_ in opened(data).schema.types]
        assert kinds == ["large_string", "dictionary<values=large_string"]


def test_a_pandas_frame_is_read_without_its_index() -> None:
    frame = pd.DataFrame({"ts": [1, 2], "card": ["x", "y"]}, index=[7, 9])
    assert rows_of(opened(frame)) == [{"ts": 1, "card": "x"}, {"ts": 2, "card": "y"}]


def test_a_pandas_column_of_mixed_objects_is_refused_by_name() -> None:
    frame = pd.DataFrame({"ts": [1, 2], "x": [1, "a"]})
    with pytest.raises(DataError, match=r"field 'x' cannot become a column \(int in row 0, str in"):
        opened(frame)
    assert rows_of(opened(frame, x=DataType.TEXT)) == [{"ts": 1, "x": "1"}, {"ts": 2, "x": "a"}]


def test_what_pandas_calls_missing_is_null() -> None:
    frame = pd.DataFrame({"x": [1.5, float("nan")], "y": pd.Series(["a", None], dtype=object)})
    assert rows_of(opened(frame)) == [{"x": 1.5, "y": "a"}, {"x": None, "y": None}]


def test_a_frame_with_two_columns_of_one_name_is_refused() -> None:
    with pytest.raises(DataError, match="two columns are called 'x'"):
        opened(pd.DataFrame([[1, 2]], columns=["x", "x"]))


def test_a_series_is_refused() -> None:
    with pytest.raises(DataError, match="give a DataFrame, not a Series"):
        opened(pd.Series([1]))


@pytest.mark.parametrize("data", [iter(ROWS), (row for row in ROWS)])
def test_an_iterator_of_dicts_is_read_once(data: Any) -> None:
    source = opened(data)
    assert source.access is Access.ONCE
    assert rows_of(source) == ROWS


@pytest.mark.parametrize("data", [7, None, object(), b"bytes"])
def test_what_holds_no_events_is_refused_with_what_may_be_given(data: Any) -> None:
    with pytest.raises(DataError, match=r"cannot read events from .*: give a pandas, polars"):
        opened(data)


def test_a_row_that_is_no_dict_is_named() -> None:
    with pytest.raises(DataError, match=r"row 1 is list \[1\], not a dict"):
        opened([{"ts": 1}, [1]])


def test_fields_that_only_later_dicts_have_are_columns_too() -> None:
    assert rows_of(opened([{"a": 1}, {"b": 2}])) == [{"a": 1, "b": None}, {"a": None, "b": 2}]


def test_a_mixed_field_is_refused_with_the_rows_to_look_at() -> None:
    with pytest.raises(DataError) as caught:
        opened([{"x": 1}, {"x": None}, {"x": "a"}])
    assert str(caught.value) == (
        "the data: field 'x' cannot become a column (int in row 0, str in row 2); declare its "
        "type in a `stream` statement and rows that do not fit are set aside"
    )


def test_a_mixed_field_that_is_declared_is_text_until_it_is_cast() -> None:
    source = opened([{"x": 1}, {"x": "a"}, {"x": True}], x=DataType.INTEGER)
    assert rows_of(source) == [{"x": "1"}, {"x": "a"}, {"x": "1"}]


def test_an_integer_beyond_64_bits_is_refused() -> None:
    with pytest.raises(DataError, match="field 'x' cannot become a column"):
        opened([{"x": 2**70}, {"x": 1}])


def test_a_field_name_must_be_text() -> None:
    with pytest.raises(DataError, match="the field name 1 is int, not text"):
        opened([{1: 2}])


# -- Parquet ---------------------------------------------------------------------------------------


def test_parquet_is_read_in_batches_and_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pq.write_table(TABLE, path)
    source = opened(path)
    assert (source.access, source.rows) == (Access.FILE, 2)
    assert rows_of(source) == rows_of(source) == ROWS
    assert next(iter(source.read(["ts"]))).table.schema.names == ["ts"]


def test_a_directory_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name, ts in (("b", 2), ("a", 1)):
        pq.write_table(pa.table({"ts": [ts]}), tmp_path / f"{name}.parquet")
    (tmp_path / "_SUCCESS").touch()
    assert rows_of(opened(str(tmp_path))) == [{"ts": 1}, {"ts": 2}]
    assert rows_of(opened(str(tmp_path / "*.parquet"))) == [{"ts": 1}, {"ts": 2}]


def test_files_of_different_columns_do_not_go_together(tmp_path: Path) -> None:
    pq.write_table(pa.table({"ts": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"ts": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"other columns than .*: 'ts' is string, not int64"):
        opened(tmp_path)


def test_a_damaged_parquet_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    path.write_bytes(b"PAR1 and then nothing of use")
    with pytest.raises(DataError, match=r"events.parquet: cannot be read as Parquet"):
        opened(path)


# -- CSV -------------------------------------------------------------------------------------------


def csv(tmp_path: Path, text: str, name: str = "events.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_csv_types_are_found_by_looking(tmp_path: Path) -> None:
    path = csv(tmp_path, "ts,card,amount\n1,x,1.5\n2,y,\n")
    assert rows_of(opened(path)) == ROWS


def test_declared_csv_columns_are_handed_over_as_written(tmp_path: Path) -> None:
    path = csv(tmp_path, "ts,amount\n1,1.5\n2,much\n")
    assert rows_of(opened(path, amount=DataType.FLOAT)) == [
        {"ts": 1, "amount": "1.5"},
        {"ts": 2, "amount": "much"},
    ]


def test_csv_may_be_compressed_or_tab_separated(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"ts,x\n1,a\n"))
    assert rows_of(opened(tmp_path / "a.csv.gz")) == [{"ts": 1, "x": "a"}]
    assert rows_of(opened(csv(tmp_path, "ts\tx\n1\ta\n", "a.tsv"))) == [{"ts": 1, "x": "a"}]


def test_csv_rows_with_a_wrong_number_of_cells_are_set_aside(tmp_path: Path) -> None:
    source = opened(csv(tmp_path, "ts,x\n1,a\n2\n3,c,d\n4,e\n"))
    assert [row["ts"] for row in rows_of(source)] == [1, 4]
    assert broken_of(source) == ["1 cells for 2 columns: 2", "3 cells for 2 columns: 3,c,d"]


def test_a_broken_last_row_is_not_lost(tmp_path: Path) -> None:
    source = opened(csv(tmp_path, "ts,x\n1,a\n2"))
    assert broken_of(source) == ["1 cells for 2 columns: 2"]


def test_a_csv_value_of_another_type_in_a_later_block_asks_to_declare_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 32)
    path = csv(tmp_path, "ts,amount\n" + "1,2\n" * 20 + "2,much\n")
    with pytest.raises(DataError, match="declare the column's type in a `stream` statement"):
        rows_of(opened(path))
    assert len(rows_of(opened(path, amount=DataType.FLOAT))) == 21


def test_an_empty_csv_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as CSV: Empty CSV file"):
        opened(csv(tmp_path, ""))


# -- JSON lines ------------------------------------------------------------------------------------


def jsonl(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_text(text)
    return path


def test_json_lines_are_rows(tmp_path: Path) -> None:
    path = jsonl(tmp_path, '{"ts": 1, "card": "x", "amount": 1.5}\n\n{"ts": 2, "card": "y"}')
    assert rows_of(opened(path)) == ROWS


def test_a_line_that_is_no_json_object_is_set_aside_with_its_number(tmp_path: Path) -> None:
    source = opened(jsonl(tmp_path, '{"ts": 1}\n{"ts": \n[2]\n{"ts": 3}\n'))
    assert rows_of(source) == [{"ts": 1}, {"ts": 3}]
    assert broken_of(source) == [
        'line 2: Expecting value: line 1 column 8 (char 7): {"ts": ',
        "line 3: not an object: [2]",
    ]


def test_blocks_are_cut_at_line_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 16)
    text = "".join(f'{{"ts": {ts}, "x": "abc"}}\n' for ts in range(9)) + '{"ts": 9}'
    assert [row["ts"] for row in rows_of(opened(jsonl(tmp_path, text)))] == list(range(10))


def test_a_field_that_appears_later_asks_to_declare_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 16)
    path = jsonl(tmp_path, '{"ts": 1}\n{"ts": 1}\n{"ts": 2, "x": "abc"}\n')
    with pytest.raises(DataError, match="a field 'x' that the rows before did not have"):
        rows_of(opened(path))


def test_a_declared_field_may_change_its_json_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 16)
    path = jsonl(tmp_path, '{"ts": 1, "x": 1}\n{"ts": 2, "x": "abc"}\n')
    assert [row["x"] for row in rows_of(opened(path, x=DataType.TEXT))] == [1, "abc"]


def test_a_json_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds a JSON array; write one object per line"):
        opened(jsonl(tmp_path, '[{"ts": 1}]'))


def test_an_empty_json_lines_file_has_no_columns(tmp_path: Path) -> None:
    assert opened(jsonl(tmp_path, "")).schema.names == []


def test_json_lines_from_a_pipe_are_read_once() -> None:
    source = json_stream_source(io.BytesIO(b'{"ts": 1}\n{"ts": 2}\n'), {}, "stdin")
    assert source.access is Access.ONCE
    assert rows_of(source) == [{"ts": 1}, {"ts": 2}]


# -- paths -----------------------------------------------------------------------------------------


def test_a_missing_file_is_named_with_a_near_one(tmp_path: Path) -> None:
    csv(tmp_path, "ts\n1\n", "events.csv")
    with pytest.raises(DataError, match=r"event.csv: no such file; did you mean 'events.csv'\?"):
        opened(tmp_path / "event.csv")
    with pytest.raises(DataError, match=r"no such file \(and no directory"):
        opened(tmp_path / "nowhere" / "event.csv")
    with pytest.raises(DataError, match="no such file"):
        opened(tmp_path / "*.jsonl")


def test_an_unknown_ending_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot tell the format from '.xlsx'; known are .parquet"):
        opened(csv(tmp_path, "", "events.xlsx"))


def test_a_directory_without_events_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file in this directory ends in"):
        opened(tmp_path)


def test_a_file_must_be_what_its_ending_says(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a Parquet file \(it begins with 'ts,x'"):
        opened(csv(tmp_path, "ts,x\n1,a\n", "events.parquet"))
    path = tmp_path / "events.csv"
    pq.write_table(TABLE, path)
    with pytest.raises(DataError, match=r"this is a Parquet file; rename it to end in .parquet"):
        opened(path)


# -- writers ---------------------------------------------------------------------------------------


def test_tables_are_appended_to_a_file_of_each_format(tmp_path: Path) -> None:
    for format_ in ("parquet", "csv", "jsonl"):
        path = str(tmp_path / f"out.{format_}")
        with open_writer(path, TABLE.schema, format_) as writer:
            writer.write(TABLE)
            writer.write(TABLE)
        assert rows_of(opened(path)) == ROWS * 2
    assert [p.suffix for p in sorted(tmp_path.iterdir())] == [".csv", ".jsonl", ".parquet"]


def test_a_failure_while_writing_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        open_writer(str(tmp_path / "o.csv"), TABLE.schema, "csv"),
    ):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_a_data_error(tmp_path: Path) -> None:
    path = str(tmp_path / "nowhere" / "o.csv")
    with (
        pytest.raises(DataError, match="cannot be written"),
        open_writer(path, TABLE.schema, "csv"),
    ):
        pass


def test_json_has_no_nan_and_csv_no_structs() -> None:
    table = pa.table({"x": [float("nan")], "key": [{"a": 1, "b": "y"}]})
    texts = []
    for format_ in ("jsonl", "csv"):
        stream = io.StringIO()
        TextWriter(stream, format_).write(table)
        texts.append(stream.getvalue())
    assert texts == [
        '{"x": null, "key": {"a": 1, "b": "y"}}\n',
        '"x","key"\nnan,"{""a"": 1, ""b"": ""y""}"\n',
    ]
