"""Two-phase commit with files: what is visible is final, whatever happens in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from cep.engine.algebra.errors import DataError
from cep.engine.io.callable_sink import CallableSink
from cep.engine.io.file_sink import FileSink
from cep.engine.state.snapshot import Value


def rows(*numbers: int) -> pa.Table:
    return pa.table({"n": list(numbers)})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def sink(out: Path) -> Iterator[FileSink]:
    made = FileSink(out, format="jsonl")
    made.open(None, at_once=False)
    yield made
    made.close()


def again(out: Path, state: Value | None, *, at_once: bool = False) -> FileSink:
    """A sink after a restart."""
    made = FileSink(out, format="jsonl")
    made.open(state, at_once=at_once)
    return made


def visible(out: Path) -> list[int]:
    lines = [line for path in sorted(out.glob("part-*")) for line in path.read_text().splitlines()]
    return [json.loads(line)["n"] for line in lines]


def test_rows_are_visible_after_the_commit_and_not_before(sink: FileSink, out: Path) -> None:
    sink.write(rows(1))
    sink.write(rows(2, 3))
    assert names(out) == [".part-00000000.jsonl.inprogress"]
    state = sink.prepare()
    assert names(out) == [".part-00000000.jsonl.inprogress"]
    assert state == {"next": 1, "pending": ["part-00000000.jsonl"]}
    sink.commit(state)
    assert names(out) == ["part-00000000.jsonl"]
    assert visible(out) == [1, 2, 3]


def test_a_checkpoint_without_rows_makes_no_file(sink: FileSink, out: Path) -> None:
    sink.write(rows())
    state = sink.prepare()
    sink.commit(state)
    assert state == {"next": 0, "pending": []}
    assert names(out) == []


def test_rows_of_the_next_checkpoint_go_into_the_next_file(sink: FileSink, out: Path) -> None:
    sink.write(rows(1))
    first = sink.prepare()
    sink.write(rows(2))
    sink.commit(first)
    assert names(out) == [".part-00000001.jsonl.inprogress", "part-00000000.jsonl"]
    second = sink.prepare()
    assert second == {"next": 2, "pending": ["part-00000001.jsonl"]}


def test_a_checkpoint_names_what_an_earlier_one_has_not_committed(sink: FileSink) -> None:
    sink.write(rows(1))
    sink.prepare()
    sink.write(rows(2))
    assert sink.prepare()["pending"] == ["part-00000000.jsonl", "part-00000001.jsonl"]


def test_other_columns_begin_another_file(sink: FileSink, out: Path) -> None:
    sink.write(rows(1))
    sink.write(pa.table({"n": [2], "m": [3]}))
    sink.commit(sink.prepare())
    assert names(out) == ["part-00000000.jsonl", "part-00000001.jsonl"]


def test_a_restart_commits_what_the_checkpoint_names_and_deletes_the_rest(
    sink: FileSink, out: Path
) -> None:
    sink.write(rows(1))
    state = sink.prepare()
    sink.write(rows(2))
    sink.prepare()
    sink.write(rows(3))
    sink.close()
    assert len(names(out)) == 3
    again(out, state).close()
    assert names(out) == ["part-00000000.jsonl"]
    assert visible(out) == [1]


def test_a_restart_after_the_commit_changes_nothing(sink: FileSink, out: Path) -> None:
    sink.write(rows(1))
    state = sink.prepare()
    sink.commit(state)
    sink.commit(state)
    sink.close()
    restarted = again(out, state)
    assert visible(out) == [1]
    restarted.write(rows(2))
    restarted.commit(restarted.prepare())
    restarted.close()
    assert names(out) == ["part-00000000.jsonl", "part-00000001.jsonl"]


def test_a_file_that_a_reader_took_away_is_not_missed(sink: FileSink, out: Path) -> None:
    sink.write(rows(1))
    state = sink.prepare()
    sink.commit(state)
    sink.close()
    (out / "part-00000000.jsonl").unlink()
    again(out, state).close()
    assert names(out) == []


def test_files_of_others_are_left_alone(sink: FileSink, out: Path) -> None:
    sink.close()
    (out / "notes.txt").write_text("mine")
    (out / ".other.inprogress").write_text("mine")
    again(out, None).close()
    assert names(out) == [".other.inprogress", "notes.txt"]


def test_parts_that_no_checkpoint_knows_are_refused(sink: FileSink, out: Path) -> None:
    sink.write(rows(1))
    old = sink.prepare()
    sink.commit(old)
    sink.write(rows(2))
    sink.commit(sink.prepare())
    sink.close()
    with pytest.raises(DataError, match="holds part-00000001, but the checkpoint is older"):
        again(out, old)
    with pytest.raises(DataError, match="holds part-00000000 to 00000001, but there is no check"):
        again(out, None)
    assert visible(out) == [1, 2]


def test_two_jobs_cannot_write_into_one_directory(sink: FileSink, out: Path) -> None:
    with pytest.raises(DataError, match="another job writes into this directory"):
        again(out, None)
    sink.close()
    again(out, None).close()


def test_at_least_once_shows_rows_as_soon_as_they_are_prepared(out: Path) -> None:
    sink = again(out, None, at_once=True)
    sink.write(rows(1))
    assert sink.prepare() == {"next": 1, "pending": []}
    sink.close()
    assert visible(out) == [1]
    restarted = again(out, None, at_once=True)  # before any checkpoint: the rows come again
    restarted.write(rows(1))
    restarted.commit(restarted.prepare())
    restarted.close()
    assert visible(out) == [1, 1]


def test_parquet_and_csv_files_are_whole(tmp_path: Path) -> None:
    for format_ in ("parquet", "csv"):
        sink = FileSink(tmp_path / format_, format=format_)
        sink.open(None, at_once=False)
        sink.write(rows(1))
        sink.write(rows(2))
        sink.commit(sink.prepare())
        sink.close()
    assert pq.read_table(tmp_path / "parquet" / "part-00000000.parquet").equals(rows(1, 2))
    assert pcsv.read_csv(tmp_path / "csv" / "part-00000000.csv").equals(rows(1, 2))


def test_what_cannot_be_written_is_an_error_that_names_the_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file/out: cannot be written: Not a directory"):
        again(tmp_path / "file" / "out", None)
    with pytest.raises(DataError, match="format 'xml': a file sink writes parquet, jsonl, csv"):
        FileSink(tmp_path, format="xml")


def test_a_callable_is_called_with_each_table() -> None:
    seen: list[Any] = []

    def note(table: pa.Table) -> None:
        seen.extend(table.column("n").to_pylist())

    sink = CallableSink(note, "errors")
    sink.open(None, at_once=True)
    sink.write(rows(1, 2))
    sink.commit(sink.prepare())
    sink.close()
    assert seen == [1, 2]
    assert (sink.what, sink.commits, str(sink)[:8]) == ("errors", False, "function")
