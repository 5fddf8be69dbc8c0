"""Checkpoint files: what goes in comes out, and nothing else does."""

from __future__ import annotations

import io
import math
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from cep.engine.algebra.errors import CepError
from cep.engine.checkpoint.errors import CheckpointError, DamagedCheckpointError
from cep.engine.checkpoint.format import BytesReader, encode, read, verify, write
from cep.engine.checkpoint.tree import take_apart
from cep.engine.state.snapshot import Snapshot
from tests.unit.engine.checkpoint_tools import (
    arrow_tree,
    assert_same,
    described,
    file_of,
    forged,
    small_tree,
    trees,
)

GOLDEN = Path(__file__).parent / "golden"


# -- round trips -----------------------------------------------------------------------------------


@given(trees)
def test_every_tree_comes_back_as_it_was(tree: Snapshot) -> None:
    assert_same(read(file_of(tree)), tree)


@given(trees)
def test_the_same_tree_makes_the_same_bytes(tree: Snapshot) -> None:
    assert file_of(tree) == file_of(read(file_of(tree)))


def test_a_file_is_read_from_its_beginning_wherever_it_stands() -> None:
    file = io.BytesIO()
    written = write(small_tree(), file)
    assert written.size_bytes == len(file.getvalue())
    assert_same(read(file), small_tree())


def test_arrays_are_written_row_after_row_and_little_endian_however_they_lie() -> None:
    square = np.arange(6, dtype=np.int32).reshape(2, 3)
    laid_out = {"a": np.asfortranarray(square), "b": square.astype(">i4"), "c": square[:, ::-1]}
    straight = {"a": square, "b": square, "c": square[:, ::-1].copy()}
    assert_same(read(file_of(laid_out)), straight)
    assert file_of(laid_out) == file_of(straight)


def test_large_arrays_are_not_copied_to_be_written() -> None:
    array = np.zeros(100_000)
    assert any(np.shares_memory(part, array) for part in encode({"array": array}).parts)


def test_what_was_read_can_be_written_to_and_shares_nothing() -> None:
    data = file_of({"a": np.zeros(8), "b": np.zeros(8)})
    first, second = read(data), read(data)
    first["a"][:] = 1.0
    assert second["a"].sum() == 0.0
    assert first["b"].sum() == 0.0


def test_a_nan_keeps_its_bits() -> None:
    (odd,) = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_BEEF))
    (back,) = struct.unpack("<Q", struct.pack("<d", read(file_of({"x": odd}))["x"]))
    assert back == 0x7FF8_0000_0000_BEEF


def test_tables_without_columns_or_rows_keep_what_they_have() -> None:
    tree: Snapshot = {
        "nothing": pa.table({}),
        "rows": pa.table({"a": [1, 2, 3]}).select([]),
        "columns": pa.table({"a": pa.array([], pa.timestamp("us"))}),
        "array": pa.array([], pa.dictionary(pa.int32(), pa.string())),
        "chunks": pa.chunked_array([], pa.int32()),
    }
    found = read(file_of(tree))
    assert found["rows"].num_rows == 3
    assert_same(found["columns"], tree["columns"])
    assert_same(found["array"], tree["array"])
    assert_same(found["chunks"], tree["chunks"])


# -- the format does not change unnoticed ----------------------------------------------------------


def test_the_bytes_of_format_version_1_are_these() -> None:
    golden = (GOLDEN / "checkpoint_v1.bin").read_bytes()
    assert file_of(small_tree()) == golden
    assert_same(read(golden), small_tree())


def test_arrow_data_of_format_version_1_can_be_read() -> None:
    assert_same(read((GOLDEN / "checkpoint_arrow_v1.bin").read_bytes()), arrow_tree())


def test_header_and_blobs_lie_where_the_format_says() -> None:
    data = file_of({"a": np.array([258], np.int64)})
    assert data[:12] == b"\x89CEP\r\n\x1a\n\x01\x00\x00\x00"
    (size, manifest) = struct.unpack_from("<QQ", data, 16)
    assert (size, manifest % 64) == (len(data), 0)
    assert data[128 + manifest :] == b"\x02\x01" + bytes(62)


# -- damage ----------------------------------------------------------------------------------------


def test_a_change_of_any_byte_of_a_file_is_refused() -> None:
    whole = file_of(small_tree())
    for position in range(len(whole)):
        for flip in (0x01, 0x20, 0x80, 0xFF):
            data = bytearray(whole)
            data[position] ^= flip
            with pytest.raises(DamagedCheckpointError):
                read(bytes(data))
            with pytest.raises(DamagedCheckpointError):
                verify(BytesReader(bytes(data)), len(data), "checkpoint")


def test_a_file_cut_off_anywhere_is_refused() -> None:
    whole = file_of(small_tree())
    for length in range(len(whole)):
        with pytest.raises(DamagedCheckpointError):
            read(whole[:length])


def test_bytes_too_many_or_too_few_anywhere_are_refused() -> None:
    whole = file_of(small_tree())
    for position in range(len(whole)):
        before, after = whole[:position], whole[position:]
        for other in (before + b"\x00" + after, before + after[1:], before + after[1:] + b"\x00"):
            if other != whole:  # a zero taken from the zeros at the end
                with pytest.raises(DamagedCheckpointError):
                    read(other)
    with pytest.raises(DamagedCheckpointError):
        read(whole + b"\x00")


def test_a_change_of_any_byte_of_arrow_data_is_refused() -> None:
    whole = file_of(arrow_tree())
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 0x10
        with pytest.raises(DamagedCheckpointError):
            read(bytes(data))


def test_a_change_of_a_random_bit_of_a_larger_file_is_refused() -> None:
    random = np.random.default_rng(20)
    tree = {name: random.integers(0, 1 << 60, 9_000 + i) for i, name in enumerate("abcdef")}
    whole = bytearray(file_of(tree))
    for position in random.integers(0, len(whole), 600):
        bit = 1 << int(random.integers(0, 8))
        whole[position] ^= bit
        with pytest.raises(DamagedCheckpointError):
            verify(BytesReader(memoryview(whole)), len(whole), "checkpoint")
        whole[position] ^= bit
    assert_same(read(bytes(whole)), tree)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: b"", "not a checkpoint: 0 bytes are too few"),
        (lambda data: b"SELECT * " * 20, r"not a checkpoint: it begins with b'SELECT \*'"),
        (lambda data: data[:-64], "320 bytes long where its header says 384"),
        (lambda data: data[:40] + b"?" + data[41:], r"its header \(bytes 0 to 128\) is damaged"),
        (lambda data: data[:130] + b"?" + data[131:], r"its manifest \(bytes 128 to 320\) is dam"),
        (lambda data: data[:-60] + b"?" + data[-59:], r"states/0 \(bytes 320 to 384\) is damaged"),
    ],
    ids=["empty", "foreign", "shorter", "header", "manifest", "blob"],
)
def test_a_message_says_what_is_wrong_and_where_and_what_to_do(damage: Any, reason: str) -> None:
    data = damage(file_of({"states": [np.array([1, 2], np.int64)]}))
    with pytest.raises(DamagedCheckpointError, match=f"^here: .*{reason}") as caught:
        read(data, "here")
    assert str(caught.value).endswith("; use an older checkpoint, or a copy of this file")
    assert isinstance(caught.value, CepError)


def test_a_file_of_a_later_version_is_not_called_damaged() -> None:
    with pytest.raises(
        CheckpointError, match="format version 2, and this is a reader of version 1"
    ):
        read(forged({"anything": 1}, version=2))
    assert not issubclass(CheckpointError, DamagedCheckpointError)


# -- files that were made up -----------------------------------------------------------------------

DATA = bytes(range(64))


def an_array(**changed: Any) -> dict[str, Any]:
    return {"array": 0, "dtype": "int64", "shape": [8], **changed}


def test_a_file_made_by_hand_is_read() -> None:
    manifest = {"tree": {"dict": {"a": an_array()}}, "blobs": described(DATA)}
    assert_same(read(forged(manifest, DATA)), {"a": np.frombuffer(DATA, np.int64).copy()})


@pytest.mark.parametrize(
    "node",
    [
        an_array(shape=[1 << 50]),
        an_array(shape=[1 << 62, 1 << 62]),
        an_array(shape=[0, 1 << 62]),
        an_array(shape=[-8]),
        an_array(shape=[-2, -4]),
        an_array(shape=[8.0]),
        an_array(shape="8"),
        an_array(shape=[1] * 100 + [8]),
        an_array(dtype="int32"),
        an_array(dtype="object"),
        an_array(dtype="O"),
        an_array(dtype=["int64"]),
        an_array(array=1),
        an_array(array=-1),
        an_array(array="0"),
        {"table": 0},
        {"arrow": 0},
        {"chunked": 0},
        {"bytes": None},
        {"int": "1_0"},
        {"int": 5},
        {"float": "1.5"},
        {"float": "7ff80000000000000"},
        {"dict": []},
        {"pickle": 0},
        {},
        1.5,
        [an_array(), an_array()],
        [an_array(), {"bytes": 0}],
        {"bytes": 1},
        None,
    ],
)
def test_a_tree_that_nobody_writes_is_refused(node: Any) -> None:
    manifest = {"tree": {"dict": {"a": node}}, "blobs": described(DATA)}
    with pytest.raises(DamagedCheckpointError):
        read(forged(manifest, DATA))


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"9" * 10_000,
        b"\xff",
        [],
        {"tree": {"dict": {}}},
        {"blobs": []},
        {"tree": [], "blobs": []},
        {"tree": None, "blobs": []},
        {"tree": {"dict": {}}, "blobs": None},
        {"tree": {"dict": {}}, "blobs": [3]},
        {"tree": {"dict": {}}, "blobs": [{"offset": 0, "length": 1 << 60, "sha256": ""}]},
        {"tree": {"dict": {}}, "blobs": [{"offset": 0, "length": -64, "sha256": ""}]},
        {"tree": {"dict": {}}, "blobs": [{"offset": 64, "length": 0, "sha256": ""}]},
        {"tree": {"dict": {}}, "blobs": described(b"")},
    ],
)
def test_a_manifest_that_nobody_writes_is_refused(manifest: object) -> None:
    with pytest.raises(DamagedCheckpointError):
        read(forged(manifest))


def test_a_tree_of_endless_depth_is_refused_on_both_ways() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    with pytest.raises(CheckpointError, match="more than 100 levels at a/0/0"):
        encode({"a": deep})
    with pytest.raises(DamagedCheckpointError, match="more than 100 levels"):
        read(forged({"tree": {"dict": {"a": deep}}, "blobs": []}))


def test_sizes_that_were_made_up_allocate_nothing() -> None:
    tera = 1 << 40
    blob = {"offset": 0, "length": tera, "sha256": ""}
    huge = forged({"tree": {"dict": {"a": an_array(shape=[tera // 8])}}, "blobs": [blob]})
    tracemalloc.start()
    try:
        with pytest.raises(DamagedCheckpointError, match="its blobs do not fill it"):
            read(huge)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_arrow_data_that_point_outside_of_themselves_are_refused() -> None:
    tree, (blob,) = take_apart({"a": pa.array(["abc"])})
    sound = blob.tobytes() + bytes(-blob.size % 64)
    wild = sound.replace(struct.pack("<ii", 0, 3), struct.pack("<ii", 0, 1 << 20))
    assert wild != sound
    assert_same(
        read(forged({"tree": tree, "blobs": described(sound)}, sound))["a"], pa.array(["abc"])
    )
    with pytest.raises(DamagedCheckpointError, match="not an Arrow IPC stream"):
        read(forged({"tree": tree, "blobs": described(wild)}, wild))


# -- what cannot be written ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ((1, 2), "states/0: a tuple cannot be written; use dict, list"),
        (np.int64(3), "states/0: a int64 cannot be written"),
        (np.array(["a"]), "states/0: an array of <U1 cannot be written; use numbers or times"),
        (np.array([None]), "states/0: an array of object cannot be written"),
        (np.ma.array([1], mask=[True]), "states/0: a MaskedArray cannot be written"),
        ({1: 2}, "states/0: the key 1 is not text; use str"),
        (object(), "states/0: a object cannot be written"),
    ],
)
def test_a_value_without_a_place_in_the_format_is_named(value: Any, complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        encode({"states": [value]})


def test_a_snapshot_is_a_dict() -> None:
    with pytest.raises(CheckpointError, match="a snapshot is a dict, not a list"):
        encode([1])  # type: ignore[arg-type]


def test_numpy_floats_are_floats() -> None:
    assert_same(read(file_of({"x": np.float64(1.5), "y": math.pi})), {"x": 1.5, "y": math.pi})
