"""Trees to write down, trees compared to the bit, and files made by hand."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from cep.engine.checkpoint.format import HEADER, MAGIC, encode
from cep.engine.checkpoint.tree import DTYPES
from cep.engine.state.snapshot import Snapshot


def file_of(snapshot: Snapshot) -> bytes:
    return b"".join(part.tobytes() for part in encode(snapshot).parts)


def assert_same(found: Any, expected: Any) -> None:
    """Of the same types and of the same bits, all the way down."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()
        assert found.flags.writeable
        assert found.flags.c_contiguous
    elif isinstance(expected, float):
        assert struct.pack("<d", found) == struct.pack("<d", expected)
    elif isinstance(expected, (pa.Table, pa.Array, pa.ChunkedArray)):
        found.validate(full=True)
        schema = found.schema if isinstance(expected, pa.Table) else found.type
        assert schema == (expected.schema if isinstance(expected, pa.Table) else expected.type)
        assert found.to_pylist() == expected.to_pylist()
    else:
        assert found == expected


# -- trees of any shape ----------------------------------------------------------------------------

texts = st.text(st.characters(), max_size=5)  # with halves of surrogate pairs
rows = st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=4)
words = st.lists(st.none() | st.text(max_size=5), max_size=4)
arrays = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda dtype: npst.arrays(
        np.dtype(dtype), npst.array_shapes(min_dims=0, max_dims=3, min_side=0)
    )
)
arrow = st.one_of(
    rows.map(lambda values: pa.array(values, pa.int64())),
    words.map(lambda values: pa.array(values, pa.string())),
    words.map(lambda values: pa.array(values, pa.large_string()).dictionary_encode()),
    st.lists(rows, max_size=3).map(lambda chunks: pa.chunked_array(chunks, pa.int64())),
    st.tuples(rows, st.integers(0, 3)).map(
        lambda drawn: pa.table({"a": pa.array(drawn[0], pa.int64())}).slice(drawn[1])
    ),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    st.binary(max_size=70),
    arrays,
    arrow,
)
trees = st.dictionaries(
    texts,
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


# -- one small tree with a leaf of each kind -------------------------------------------------------


def small_tree() -> Snapshot:
    """The golden file's tree, without Arrow, whose writers may change their bytes."""
    return {
        "operators": [
            {"times_us": np.array([1, 2, -3], np.int64), "live": np.array([True, False])},
            {"sums": np.array([[0.5, math.nan, -0.0], [math.inf, 1e300, 5e-324]])},
        ],
        "codes": np.zeros((0, 2), np.uint16),
        "one": np.array(7, np.uint64),
        "name": "café ∅",
        "raw": b"\x00\xff",
        "numbers": [0, -1, 2**53, 2**53 + 1, -(2**63), 2**100, True, None],
        "floats": [1.5, -math.inf, math.nan],
        "empty": {},
    }


def arrow_tree() -> Snapshot:
    return {
        "events": pa.table({"user": ["ann", None, "bob"], "amount": [1, 2, None]}),
        "keys": pa.array(["x", "y"]),
        "chunks": pa.chunked_array([[1], [2, 3]]),
    }


# -- files made by hand, with checksums that are right ---------------------------------------------


def forged(manifest: object, blobs: bytes = b"", version: int = 1) -> bytes:
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    size = 128 + len(text) + len(blobs)
    header = HEADER.pack(MAGIC, version, size, len(text), hashlib.sha256(text).digest())
    return header + hashlib.sha256(header).digest() + text + blobs


def described(*blobs: bytes) -> list[dict[str, Any]]:
    """What a manifest says of blobs that are multiples of 64 bytes long."""
    found, offset = [], 0
    for blob in blobs:
        sha = hashlib.sha256(blob).hexdigest()
        found.append({"offset": offset, "length": len(blob), "sha256": sha})
        offset += len(blob)
    return found
