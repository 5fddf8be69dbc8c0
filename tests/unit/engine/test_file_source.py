"""Files read from any position: equal rows wherever reading stops, and errors for what changed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.io.replay.files import FileSource
from cep.engine.io.replay.source import Piece
from cep.engine.io.replay.text_blocks import blocks, line_end, record_end
from cep.engine.state.snapshot import Value

Rows = list[dict[str, Any]]


def source(path: Path, **named: Any) -> FileSource:
    return FileSource(path, **{"batch_rows": 2, "batch_bytes": 16, **named})


def read_some(
    from_: FileSource, position: Value = None, pieces: int | None = None
) -> tuple[Rows, list[Piece]]:
    """(rows, pieces) until the end, until there is nothing for now, or so many pieces."""
    found: list[Piece] = []
    for piece in from_.read(position):
        if piece is None or len(found) == pieces:
            break
        found.append(piece)
    return [row for piece in found for row in piece.table.to_pylist()], found


def lines(*ids: int) -> str:
    return "".join(json.dumps({"id": number}) + "\n" for number in ids)


def ids(rows: Rows) -> list[int]:
    return [row["id"] for row in rows]


def write(folder: Path, format_: str, name: str, numbers: list[int]) -> None:
    if format_ == "parquet":
        pq.write_table(pa.table({"id": numbers}), folder / f"{name}.parquet", row_group_size=3)
    elif format_ == "jsonl":
        (folder / f"{name}.jsonl").write_text(lines(*numbers))
    elif format_ == "jsonl.gz":
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(lines(*numbers).encode()))
    else:
        text = "id\n" + "".join(f"{number}\n" for number in numbers)
        (folder / f"{name}.csv").write_text(text)


FORMATS = ["parquet", "jsonl", "csv", "jsonl.gz"]


@pytest.mark.parametrize("format_", FORMATS)
def test_reading_goes_on_behind_any_position(tmp_path: Path, format_: str) -> None:
    write(tmp_path, format_, "a", [1, 2, 3, 4, 5, 6, 7, 8])
    write(tmp_path, format_, "b", [9, 10, 11, 12, 13])
    rows, pieces = read_some(source(tmp_path))
    assert ids(rows) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    assert len(pieces) > 3
    read = 0
    for piece in pieces:
        read += piece.table.num_rows
        assert ids(read_some(source(tmp_path), piece.position)[0]) == ids(rows)[read:]


@pytest.mark.parametrize("format_", FORMATS)
def test_a_finished_source_goes_on_with_new_files_only(tmp_path: Path, format_: str) -> None:
    write(tmp_path, format_, "b", [1, 2, 3])
    position = read_some(source(tmp_path))[1][-1].position
    write(tmp_path, format_, "c", [4])
    write(tmp_path, format_, "a", [5])
    assert ids(read_some(source(tmp_path), position)[0]) == [5, 4]


def test_files_come_in_the_order_of_their_names_and_hidden_ones_are_left_alone(
    tmp_path: Path,
) -> None:
    for name, number in (("b", 2), ("a", 1), (".c", 3), ("_d", 4)):
        (tmp_path / f"{name}.jsonl").write_text(lines(number))
    assert ids(read_some(source(tmp_path))[0]) == [1, 2]
    assert ids(read_some(source(tmp_path / "[ab].jsonl"))[0]) == [1, 2]
    assert ids(read_some(source(tmp_path / "b.jsonl"))[0]) == [2]


def test_names_in_a_position_do_not_depend_on_where_the_folder_lies(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    write(tmp_path / "one", "jsonl", "a", [1, 2, 3])
    position = read_some(source(tmp_path / "one"), pieces=1)[1][-1].position
    (tmp_path / "one").rename(tmp_path / "two")
    assert ids(read_some(source(tmp_path / "two"), position)[0]) == [2, 3]


def test_the_format_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(lines(1, 2))
    assert ids(read_some(source(tmp_path, format="jsonl"))[0]) == [1, 2]


def test_types_stay_those_of_the_first_rows_across_a_restart(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1.5,a\n2,b\n3,c\n4,d\n")
    rows, pieces = read_some(source(tmp_path))
    after, _ = read_some(source(tmp_path), pieces[0].position)
    assert rows[:3] == [{"x": 1.5, "y": "a"}, {"x": 2.0, "y": "b"}, {"x": 3.0, "y": "c"}]
    assert after == rows[pieces[0].table.num_rows :]
    assert {type(row["x"]) for row in after} == {float}


def test_declared_fields_are_handed_over_as_written(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n2\n")
    (piece,) = [p for p in source(tmp_path).read(None, {"": {"x": DataType.INTEGER}}) if p]
    assert piece.table.to_pydict() == {"x": ["1", "2"]}


def test_broken_rows_come_with_the_piece_in_which_they_lie(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3\n4,5\n")
    (tmp_path / "b.csv").write_text("y,x\n7,6\n")
    rows, pieces = read_some(source(tmp_path, batch_bytes=1000))
    assert rows == [{"x": 1, "y": 2}, {"x": 4, "y": 5}, {"x": 6, "y": 7}]
    (broken,) = pieces[0].broken
    assert broken.events.to_pydict() == {"row": ["1 cells for 2 columns: 3"]}


def test_a_file_without_rows_does_not_decide_the_types(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n")
    (tmp_path / "b.csv").write_text("x\n1\n")
    assert read_some(source(tmp_path))[0] == [{"x": 1}]
    with pytest.raises(DataError, match=r"c\.csv: no such file"):
        read_some(source(tmp_path / "c.csv"))


# -- text is cut where lines end -------------------------------------------------------------------


def test_a_line_feed_inside_quotes_ends_no_record(tmp_path: Path) -> None:
    text = 'x,y\n1,"a\nb"\n2,"say ""hi""\n"\n3,c\n4,5" pipe\n5,"e"\n'
    (tmp_path / "a.csv").write_text(text)
    expected = ["a\nb", 'say "hi"\n', "c", '5" pipe', "e"]
    for size in range(1, 30):
        rows, pieces = read_some(source(tmp_path, batch_bytes=size))
        assert [row["y"] for row in rows] == expected
        after, _ = read_some(source(tmp_path), pieces[0].position)
        assert after == rows[pieces[0].table.num_rows :]


CELL = st.text(st.sampled_from('a",\n'), max_size=4)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6), st.integers(1, 12))
def test_records_are_cut_only_between_records(table: list[tuple[str, str]], size: int) -> None:
    import io

    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in table]
    data = "".join(line + "\n" for line in quoted).encode()
    ends, end = set(), 0
    for line in quoted:
        end += len(line) + 1
        ends.add(end)
    found, at = list(blocks(io.BytesIO(data), size, record_end(b","), is_whole=False)), 0
    assert b"".join(found) == data
    for block in found:
        at += len(block)
        assert at in ends


def test_what_lies_behind_the_last_line_end_waits_unless_the_file_is_whole() -> None:
    import io

    def cut(*, is_whole: bool) -> list[bytes]:
        return list(blocks(io.BytesIO(b"ab\ncd\nef"), 2, line_end, is_whole=is_whole))

    assert cut(is_whole=False) == [b"ab\n", b"cd\n"]
    assert cut(is_whole=True) == [b"ab\n", b"cd\n", b"ef"]


# -- following -------------------------------------------------------------------------------------


def test_a_growing_file_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines(1) + '{"id"')
    pieces = source(path, follow=True).read()
    first = next(pieces)
    assert first is not None
    assert first.table.to_pydict() == {"id": [1]}
    assert next(pieces) is None
    with path.open("a") as file:
        file.write(': 2}\n{"id": 3')
    second = next(pieces)
    assert second is not None
    assert second.table.to_pydict() == {"id": [2]}
    assert next(pieces) is None
    assert next(pieces) is None
    with path.open("a") as file:
        file.write("}\n")
    assert ids(read_some(source(path, follow=True), first.position)[0]) == [2, 3]
    assert ids(read_some(source(path, follow=True), second.position)[0]) == [3]


def test_a_growing_csv_file_waits_for_its_first_record(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,x\n")
    pieces = source(path, follow=True).read()
    assert next(pieces) is None
    with path.open("a") as file:
        file.write("1,0.5\n")
    piece = next(pieces)
    assert piece is not None
    assert piece.table.to_pydict() == {"id": [1], "x": [0.5]}


def test_new_files_are_picked_up_whatever_their_name(tmp_path: Path) -> None:
    pieces = source(tmp_path, follow=True).read()
    assert next(pieces) is None
    write(tmp_path, "parquet", "b", [1, 2])
    write(tmp_path, "parquet", ".c", [3])
    piece = next(pieces)
    assert piece is not None
    assert piece.table.to_pydict() == {"id": [1, 2]}
    assert next(pieces) is None
    (tmp_path / ".c.parquet").rename(tmp_path / "a.parquet")
    piece = next(pieces)
    assert piece is not None
    assert piece.table.to_pydict() == {"id": [3]}
    assert next(pieces) is None


def test_a_file_that_is_followed_may_come_later(tmp_path: Path) -> None:
    pieces = source(tmp_path / "a.jsonl", follow=True).read()
    assert next(pieces) is None
    (tmp_path / "a.jsonl").write_text(lines(1))
    assert next(pieces) is not None


def test_half_a_parquet_file_is_an_error_that_says_how_to_write_it(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and so on")
    with pytest.raises(DataError, match="write it under a name that begins with a dot"):
        next(source(tmp_path, follow=True).read())


def test_files_that_have_been_read_may_be_deleted(tmp_path: Path) -> None:
    for format_ in FORMATS[:3]:
        folder = tmp_path / format_
        folder.mkdir()
        write(folder, format_, "a", [1])
        write(folder, format_, "b", [2])
        position = read_some(source(folder, follow=True))[1][-1].position
        for path in folder.iterdir():
            path.unlink()
        write(folder, format_, "c", [3])
        assert ids(read_some(source(folder, follow=True), position)[0]) == [3]


# -- what is not what it was -----------------------------------------------------------------------


def position_within(path: Path) -> Value:
    return read_some(source(path), pieces=1)[1][0].position


def test_a_file_that_shrank_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines(1, 2, 3))
    position = position_within(path)
    path.write_text('{"id"')
    with pytest.raises(DataError, match=r"a\.jsonl: it shrank: it has 5 bytes, 10 had been read"):
        read_some(source(path), position)


def test_a_file_that_shrinks_while_it_is_followed_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines(1, 2, 3))
    pieces = source(path, follow=True, batch_bytes=1000).read()
    assert next(pieces) is not None
    assert next(pieces) is None
    path.write_text(lines(1))
    with pytest.raises(DataError, match="it shrank"):
        next(pieces)


def test_a_file_that_was_overwritten_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines(1, 2, 3))
    position = position_within(path)
    path.write_text(lines(9, 2, 3, 4))
    with pytest.raises(DataError, match=r"not the file that was read: its first 10 bytes have"):
        read_some(source(path), position)


@pytest.mark.parametrize("format_", ["parquet", "jsonl.gz"])
def test_another_whole_file_under_the_same_name_is_an_error(tmp_path: Path, format_: str) -> None:
    write(tmp_path, format_, "a", [1, 2, 3, 4, 5, 6])
    position = position_within(tmp_path)
    write(tmp_path, format_, "a", [1, 2, 3, 4, 5, 7])
    with pytest.raises(DataError, match=r"it grew from|have changed|it shrank"):
        read_some(source(tmp_path), position)


def test_a_file_that_went_away_half_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines(1, 2, 3))
    position = position_within(path)
    path.unlink()
    with pytest.raises(DataError, match="it had not been read to its end"):
        read_some(source(path), position)


def test_a_last_line_that_was_read_without_an_end_must_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n2")
    position = read_some(source(path))[1][-1].position
    path.write_text("id\n1\n23\n")
    with pytest.raises(DataError, match="was read when it had no end yet, and has grown since"):
        read_some(source(path), position)


def test_a_position_of_another_kind_of_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines(1))
    with pytest.raises(DataError, match="is one of 'iterable', not of 'files'"):
        read_some(source(tmp_path), {"source": "iterable"})
