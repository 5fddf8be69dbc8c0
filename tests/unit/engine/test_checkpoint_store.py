"""Stores of checkpoints: the same behaviour in a directory, in memory and on an S3 server."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cep.engine.checkpoint import objects
from cep.engine.checkpoint.errors import CheckpointError, CheckpointWarning
from cep.engine.checkpoint.format import Decoded, Readable, decode
from cep.engine.checkpoint.store import CheckpointInfo, CheckpointStore, read_checkpoint
from cep.engine.state.snapshot import Snapshot
from tests.unit.engine.checkpoint_places import Spot, names_of, opened_path, s3_options, spot
from tests.unit.engine.checkpoint_tools import arrow_tree, assert_same, forged, small_tree

__all__ = ["s3_options", "spot"]  # fixtures


def state(value: int) -> Snapshot:
    return {"value": value, "array": np.full(100, value)}


def value_of(store: CheckpointStore) -> int:
    """What the newest checkpoint holds, which must be undamaged as all others newer than it."""
    restored = store.latest()
    assert restored is not None
    assert restored.damaged == ()
    assert_same(restored.snapshot, state(restored.snapshot["value"]))
    value: int = restored.snapshot["value"]
    return value


# -- numbers go up, the newest comes back ----------------------------------------------------------


def test_an_empty_place_has_no_latest_checkpoint(spot: Spot) -> None:
    with spot.store() as store:
        assert store.latest() is None
        assert store.numbers() == []


def test_the_newest_checkpoint_comes_back_whole(spot: Spot) -> None:
    with spot.store() as store:
        first = store.write(small_tree())
        second = store.write(arrow_tree())
    assert (first.number, second.number) == (1, 2)
    assert spot.names() == names_of([1, 2])
    with spot.store() as store:
        restored = store.latest()
        assert restored is not None
        assert restored.info == second
        assert restored.info.size_bytes == len(spot.get("checkpoint-00000002.ckpt"))
        assert restored.damaged == ()
        assert_same(restored.snapshot, arrow_tree())
        assert_same(store.read(1).snapshot, small_tree())


def test_numbers_go_on_where_the_last_job_stopped(spot: Spot) -> None:
    for value in (1, 2, 3):
        with spot.store() as store:
            assert store.write(state(value)).number == value
            assert value_of(store) == value


def test_what_belongs_to_others_is_neither_read_nor_deleted(spot: Spot) -> None:
    others = [
        "checkpoint-1.ckpt",
        "checkpoint-00000007.ckpt.bak",
        "checkpoint-000000009.ckpt",
        "x.csv",
    ]
    with spot.store(keep=1) as store:
        for name in others:
            spot.put(name, b"not ours")
        store.write(state(1))
        store.write(state(2))
        assert store.numbers() == [2]
    assert spot.names() == sorted([*others, *names_of([2])])


def test_numbers_of_nine_digits_come_after_those_of_eight(spot: Spot) -> None:
    with spot.store() as store:
        store.write(state(1))
        spot.put("checkpoint-99999999.ckpt", spot.get("checkpoint-00000001.ckpt"))
    with spot.store() as store:
        assert store.write(state(2)).number == 100_000_000
        assert value_of(store) == 2


# -- damage ----------------------------------------------------------------------------------------


def test_the_one_before_is_used_where_the_newest_is_damaged_and_that_is_said(spot: Spot) -> None:
    with spot.store() as store:
        for value in (1, 2, 3):
            store.write(state(value))
    spot.spoil(3)
    spot.put("checkpoint-00000002.ckpt", spot.get("checkpoint-00000002.ckpt")[:100])
    with spot.store() as store:
        with pytest.warns(CheckpointWarning) as caught:
            restored = store.latest()
        assert restored is not None
        assert_same(restored.snapshot, state(1))
        assert [os.path.basename(file.path) for file in restored.damaged] == names_of([3, 2])
        assert [str(w.message) for w in caught] == [
            f"{file.path}: damaged ({file.reason}); {restored.info.path} is used instead"
            for file in restored.damaged
        ]
        assert restored.damaged[1].reason == "not a checkpoint: 100 bytes are too few"
        assert store.write(state(4)).number == 4  # the damaged ones keep their numbers


def test_it_is_an_error_that_names_all_files_if_all_are_damaged(spot: Spot) -> None:
    with spot.store() as store:
        store.write(state(1))
        store.write(state(2))
        spot.spoil(1)
        spot.put("checkpoint-00000002.ckpt", b"")
        with pytest.raises(CheckpointError, match="all 2 checkpoints are damaged") as caught:
            store.latest()
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "checkpoint-00000002.ckpt: not a checkpoint: 0 bytes" in lines[1]
    assert "checkpoint-00000001.ckpt: array" in lines[2]


def test_a_checkpoint_of_a_later_version_is_an_error_not_a_reason_to_go_back(spot: Spot) -> None:
    with spot.store() as store:
        store.write(state(1))
        spot.put("checkpoint-00000002.ckpt", forged({}, version=2))
        with pytest.raises(CheckpointError, match="format version 2"):
            store.latest()


# -- what is kept ----------------------------------------------------------------------------------


def test_the_newest_few_are_kept(spot: Spot) -> None:
    with spot.store(keep=2) as store:
        for value in range(1, 6):
            store.write(state(value))
            assert store.numbers() == [1, 2, 3, 4, 5][max(0, value - 2) : value]
    assert spot.names() == names_of([4, 5])


def test_a_damaged_checkpoint_is_not_counted_as_kept(spot: Spot) -> None:
    with spot.store() as store:
        for value in (1, 2, 3):
            store.write(state(value))
    spot.spoil(3)
    spot.spoil(2)
    with spot.store(keep=2) as store:
        with pytest.warns(CheckpointWarning, match="it is not counted as kept"):
            store.write(state(4))
        assert store.numbers() == [1, 2, 3, 4]  # 4 and 1 are good
        store.write(state(5))
        assert store.numbers() == [4, 5]


def test_checkpoints_of_an_earlier_job_are_looked_at_before_they_count(spot: Spot) -> None:
    with spot.store(keep=3) as store:
        for value in (1, 2, 3):
            store.write(state(value))
    for value in (4, 5):  # as jobs do that crash after one checkpoint
        with spot.store(keep=3) as store:
            assert value_of(store) == value - 1
            store.write(state(value))
            assert store.numbers() == [value - 2, value - 1, value]


def test_old_checkpoints_are_there_until_the_new_one_is_durable(spot: Spot) -> None:
    seen: list[tuple[int | None, list[int]]] = []
    with spot.store(keep=1) as store:
        store.write(state(1))

        def on_durable(info: CheckpointInfo) -> None:
            seen.append((info.number, store.numbers()))

        store.write(state(2), on_durable)
        assert seen == [(2, [1, 2])]
        assert store.numbers() == [2]


def test_nothing_is_deleted_where_the_commit_behind_a_checkpoint_fails(spot: Spot) -> None:
    def fail(_: CheckpointInfo) -> None:
        raise CheckpointError("the sink is full")

    with spot.store(keep=1) as store:
        store.write(state(1))
        with pytest.raises(CheckpointError, match="the sink is full"):
            store.write(state(2), fail)
        assert store.numbers() == [1, 2]


def test_at_least_one_checkpoint_must_be_kept(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="keep=0: at least 1"):
        CheckpointStore(tmp_path, keep=0)


# -- savepoints ------------------------------------------------------------------------------------


def test_savepoints_stay_and_are_read_by_name_and_path(spot: Spot) -> None:
    with spot.store(keep=1) as store:
        info = store.write_savepoint("before-2.0", state(7))
        assert (info.number, store.savepoints()) == (None, ["before-2.0"])
        for value in (1, 2, 3):
            store.write(state(value))
        assert value_of(store) == 3
        assert spot.names() == [*names_of([3]), "savepoint-before-2.0.ckpt"]
        for which in ("before-2.0", "savepoint-before-2.0.ckpt", info.path):
            restored = store.read(which)
            assert restored.info == info
            assert_same(restored.snapshot, state(7))
        assert store.read("checkpoint-00000003.ckpt").snapshot["value"] == 3
    path = opened_path(spot, "savepoint-before-2.0.ckpt")
    assert_same(read_checkpoint(path, spot.options).snapshot, state(7))


def test_a_savepoint_is_never_written_over(spot: Spot) -> None:
    with spot.store() as store:
        store.write_savepoint("a", state(1))
        with pytest.raises(CheckpointError, match=r"savepoint-a\.ckpt: exists already"):
            store.write_savepoint("a", state(2))
        assert_same(store.read("a").snapshot, state(1))


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden", "a b", "a" * 101, "ü", "a\n"])
def test_a_savepoint_has_a_plain_name(tmp_path: Path, name: str) -> None:
    with CheckpointStore(tmp_path) as store, pytest.raises(CheckpointError, match="use up to 100"):
        store.write_savepoint(name, state(1))


def test_what_is_not_there_is_named(spot: Spot) -> None:
    with spot.store() as store:
        for which in (5, "nope"):
            with pytest.raises(CheckpointError, match=r"-(00000005|nope)\.ckpt: cannot be read: "):
                store.read(which)


# -- two writers -----------------------------------------------------------------------------------


def test_a_second_writer_of_an_object_store_is_refused_at_the_same_number() -> None:
    spot = Spot("memory://two-writers")
    with spot.store() as one, spot.store() as other:
        one.write(state(1))
        who = f"process {os.getpid()} on "
        with pytest.raises(CheckpointError, match=rf"another job \({who}.*\) writes to this direc"):
            other.write(state(2))
        assert value_of(one) == 1


def test_a_writer_that_was_overtaken_is_refused_though_its_number_is_free_again() -> None:
    spot = Spot("memory://overtaken")
    with spot.store(keep=1) as one, spot.store(keep=1) as other:
        for value in (1, 2, 3):
            other.write(state(value))
        with pytest.raises(CheckpointError, match=r"checkpoint-00000003\.ckpt: another job writes"):
            one.write(state(9))
        assert spot.names() == names_of([3])


def test_a_put_whose_answer_was_lost_and_that_was_tried_again_is_no_second_writer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import obstore

    put = obstore.put

    def put_twice(*args: Any, **options: Any) -> Any:
        put(*args, **options)
        return put(*args, **options)

    spot = Spot("memory://answer-lost")
    with spot.store() as store:
        monkeypatch.setattr(obstore, "put", put_twice)
        assert store.write(state(1)).number == 1
        store.write_savepoint("a", state(2))
        with pytest.raises(CheckpointError, match="exists already"):
            store.write_savepoint("a", state(2))


def test_a_second_writer_of_a_directory_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    with CheckpointStore(tmp_path):
        with pytest.raises(
            CheckpointError, match=rf"another job .* this process \({os.getpid()}\)"
        ):
            CheckpointStore(tmp_path)
        reader = CheckpointStore(tmp_path, read_only=True)
        assert reader.latest() is None
    CheckpointStore(tmp_path).close()


def test_a_store_that_is_forgotten_gives_its_directory_back(tmp_path: Path) -> None:
    CheckpointStore(tmp_path)
    gc.collect()
    CheckpointStore(tmp_path).close()


def test_a_forked_child_does_not_hold_the_lock_of_its_parent(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    born, tell = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads of the test session
        child = os.fork()
    if child == 0:
        os.write(tell, b"!")
        signal.pause()
    try:
        assert os.read(born, 1) == b"!"
        with pytest.raises(CheckpointError, match="another job"):
            CheckpointStore(tmp_path)  # the child's end of it is closed, the parent's is not
        store.close()
        CheckpointStore(tmp_path).close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(born)
        os.close(tell)


# -- a store for reading, a closed store -----------------------------------------------------------


def test_a_store_for_reading_writes_nothing(spot: Spot) -> None:
    with spot.store() as writer, spot.store(read_only=True) as reader:
        writer.write(state(1))
        assert value_of(reader) == 1
        with pytest.raises(CheckpointError, match="this store is open for reading only"):
            reader.write(state(2))


def test_a_closed_store_writes_nothing(spot: Spot) -> None:
    store = spot.store()
    store.close()
    store.close()
    with pytest.raises(CheckpointError, match="this store is closed"):
        store.write_savepoint("a", state(2))


def test_a_directory_that_is_only_read_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be opened: No such file or directory"):
        CheckpointStore(tmp_path / "missing", read_only=True)
    with pytest.raises(CheckpointError, match="cannot be opened: No such file or directory"):
        read_checkpoint(tmp_path / "missing" / "checkpoint-00000001.ckpt")


# -- directories -----------------------------------------------------------------------------------


def test_what_a_killed_process_left_half_written_is_deleted_and_nothing_else(
    tmp_path: Path,
) -> None:
    theirs = ["data.partial", "checkpoint.partial", "checkpoint-1.csv.partial"]
    ours = ["checkpoint-00000004.ckpt.partial", "savepoint-a.b.ckpt.partial"]
    for name in theirs + ours:
        (tmp_path / name).write_bytes(b"half")
    CheckpointStore(tmp_path, read_only=True)
    assert (tmp_path / ours[0]).exists()
    CheckpointStore(tmp_path).close()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*theirs, "checkpoints.lock"])


def test_directories_are_made_and_may_be_given_as_urls(tmp_path: Path) -> None:
    with CheckpointStore(f"file://{tmp_path}/new%20one/below") as store:
        store.write(state(1))
    assert (tmp_path / "new one" / "below" / "checkpoint-00000001.ckpt").exists()


def test_nothing_is_left_of_a_write_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with CheckpointStore(tmp_path) as store:
        store.write(state(1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(CheckpointError, match=r"2\.ckpt: cannot be written: No space left"):
                store.write(state(2))
        assert Spot(str(tmp_path)).names() == names_of([1])
        assert store.write(state(3)).number == 3
        assert value_of(store) == 3


def test_a_file_is_synced_before_it_gets_its_name_and_the_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def watched_fsync(descriptor: int) -> None:
        done.append(f"fsync {os.path.basename(os.readlink(f'/proc/self/fd/{descriptor}'))}")
        fsync(descriptor)

    def watched_rename(old: str, new: str) -> None:
        done.append(f"rename to {os.path.basename(new)}")
        rename(old, new)

    with CheckpointStore(tmp_path / "here") as store:
        monkeypatch.setattr(os, "fsync", watched_fsync)
        monkeypatch.setattr(os, "rename", watched_rename)
        store.write(state(1))
    assert done == [
        "fsync checkpoint-00000001.ckpt.partial",
        "rename to checkpoint-00000001.ckpt",
        "fsync here",
    ]


def test_a_file_that_the_disk_cannot_read_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode_if_readable(source: Readable, size: int, name: str) -> Decoded:
        if name.endswith("2.ckpt"):
            raise OSError(errno.EIO, "Input/output error")
        return decode(source, size, name)

    with CheckpointStore(tmp_path) as store:
        store.write(state(1))
        store.write(state(2))
        monkeypatch.setattr("cep.engine.checkpoint.store.decode", decode_if_readable)
        with pytest.warns(CheckpointWarning, match="the disk cannot read it: Input/output error"):
            restored = store.latest()
        assert restored is not None
        assert_same(restored.snapshot, state(1))


def test_a_file_that_may_not_be_read_is_no_reason_to_go_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Decoded:
        raise PermissionError(errno.EACCES, "Permission denied")

    with CheckpointStore(tmp_path) as store:
        store.write(state(1))
        store.write(state(2))
        monkeypatch.setattr("cep.engine.checkpoint.store.decode", refuse)
        with pytest.raises(CheckpointError, match=r"2\.ckpt: cannot be read: Permission denied"):
            store.latest()


def test_an_old_file_that_cannot_be_deleted_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with CheckpointStore(tmp_path, keep=1) as store:
        store.write(state(1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "unlink", refuse)
            with pytest.warns(
                CheckpointWarning, match=r"an old checkpoint stays: .*1\.ckpt: cannot"
            ):
                store.write(state(2))
        store.write(state(3))
        assert store.numbers() == [3]


# -- object stores ---------------------------------------------------------------------------------


def test_a_missing_obstore_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(CheckpointError, match=r"need obstore: pip install 'cep\[s3\]'"):
        CheckpointStore("s3://bucket/prefix")


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(
        CheckpointError, match="ftp://x: unknown kind of place; use a directory, s3"
    ):
        CheckpointStore("ftp://x")


def test_a_misspelt_option_is_named(s3_options: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="'endpont' is not valid for store 'S3'"):
        CheckpointStore("s3://bucket/a", storage_options={"endpont": "http://x"})


def test_a_missing_bucket_is_an_error_that_names_it(s3_options: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"s3://nobodys/a: cannot be read: .*404 Not Fo"):
        CheckpointStore("s3://nobodys/a", storage_options=s3_options)


def test_a_store_of_obstore_is_a_place() -> None:
    store_module = pytest.importorskip("obstore.store")
    memory = store_module.MemoryStore()
    with CheckpointStore(memory) as store:
        store.write(state(1))
    with CheckpointStore(memory) as store:
        assert value_of(store) == 1


def test_jobs_of_neighbouring_prefixes_do_not_see_each_other(s3_options: dict[str, Any]) -> None:
    spots = [Spot(f"s3://bucket/{prefix}", s3_options) for prefix in ("near", "near/by", "near-by")]
    for value, one in enumerate(spots, start=1):
        with one.store() as store:
            assert store.latest() is None
            store.write(state(value))
    for value, one in enumerate(spots, start=1):
        with one.store() as store:
            assert (store.numbers(), value_of(store)) == ([1], value)


def test_chunks_of_any_size_are_read_in_pieces_of_any_size() -> None:
    reader = objects._Chunks(iter([b"ab", b"", b"cde", b"f"]))
    piece = memoryview(bytearray(4))
    counts: list[int] = []
    text = b""
    while count := reader.readinto(piece[: 1 + len(counts) % 4]):
        counts.append(count)
        text += bytes(piece[:count])
    assert (text, counts) == (b"abcdef", [1, 1, 3, 1])
