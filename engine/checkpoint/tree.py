"""A snapshot -> plain JSON that describes it, with its blobs of bytes; and back.

JSON says what it can say exactly: null, true, false, text, lists, and whole numbers up to 2^53.
Everything else is an object whose first key is its kind:

    {"dict": {"name": node, ...}}
    {"int": "-1f..."}                      hexadecimal, for numbers beyond 2^53
    {"float": "7ff8000000000000"}          the 64 bits of IEEE 754, the sign's end first
    {"bytes": blob}
    {"array": blob, "dtype": "int64", "shape": [2, 3]}     row after row, little-endian
    {"table": blob}, {"chunked": blob}, {"arrow": blob}    an Arrow IPC stream; the latter two
                                                           are its only column, in chunks or whole

`blob` is a number: blobs are numbered from 0 in the order in which the tree names them, each is
named once, and so one pass over tree and file reads both.
"""

from __future__ import annotations

import math
import re
import struct
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cep.engine.checkpoint.errors import CheckpointError
from cep.engine.state.snapshot import Snapshot, Value

Blob = npt.NDArray[np.uint8]
Node = Any  # what json.loads returns
Where = tuple[str, ...]

TIME_UNITS = ("D", "s", "ms", "us", "ns")
DTYPES = frozenset(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
    + ["float16", "float32", "float64", "complex64", "complex128"]
    + [f"{kind}[{unit}]" for kind in ("datetime64", "timedelta64") for unit in TIME_UNITS]
)
DEPTH_MAX = 100
EXACT_IN_JSON = 1 << 53
HEXADECIMAL = re.compile(r"-?[0-9a-f]+")
FLOAT_BITS = re.compile(r"[0-9a-f]{16}")


def place(where: Where) -> str:
    """The way to a value from the root of the tree, for messages."""
    return "/".join(where) or "the whole"


# -- a snapshot to JSON and blobs ------------------------------------------------------------------


def take_apart(snapshot: Snapshot) -> tuple[Node, list[Blob]]:
    """The tree as JSON, and its blobs: views of the arrays where they lie as the file wants them.

    CheckpointError names the first value that has no place in a checkpoint.
    """
    if not isinstance(snapshot, dict):
        raise CheckpointError(f"a snapshot is a dict, not a {type(snapshot).__name__}")
    blobs: list[Blob] = []
    return _node(snapshot, blobs, ()), blobs


def _node(value: Value, blobs: list[Blob], where: Where) -> Node:
    if len(where) > DEPTH_MAX:
        raise CheckpointError(
            f"snapshot: more than {DEPTH_MAX} levels at {place(where[:3])}/...; make it flatter"
        )
    if isinstance(value, dict):
        return {"dict": {_key(k, where): _node(v, blobs, (*where, k)) for k, v in value.items()}}
    if isinstance(value, list):
        return [_node(item, blobs, (*where, str(i))) for i, item in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return _scalar(value)
    return _with_blob(value, blobs, where)


def _key(key: object, where: Where) -> str:
    if not isinstance(key, str):
        raise CheckpointError(f"snapshot: {place(where)}: the key {key!r} is not text; use str")
    return key


def _scalar(value: bool | int | float | str | None) -> Node:
    if isinstance(value, float):
        return {"float": struct.pack(">d", value).hex()}
    if isinstance(value, int) and abs(value) > EXACT_IN_JSON:
        return {"int": format(value, "x")}
    return value


def _with_blob(value: Value, blobs: list[Blob], where: Where) -> Node:
    number = len(blobs)
    if type(value) is np.ndarray:
        blobs.append(_array_blob(value, where))
        return {"array": number, "dtype": _name(value.dtype), "shape": list(value.shape)}
    if isinstance(value, bytes):
        blobs.append(np.frombuffer(value, np.uint8))
        return {"bytes": number}
    if isinstance(value, pa.Table):
        blobs.append(_stream(value))
        return {"table": number}
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        blobs.append(_stream(pa.Table.from_arrays([value], names=["value"])))
        return {"arrow" if isinstance(value, pa.Array) else "chunked": number}
    raise CheckpointError(
        f"snapshot: {place(where)}: a {type(value).__name__} cannot be written; use dict, list, "
        "a NumPy array, an Arrow table or array, int, float, str, bytes, bool or None"
    )


@cache
def _name(dtype: np.dtype[Any]) -> str:
    return dtype.name


def _array_blob(array: npt.NDArray[Any], where: Where) -> Blob:
    if _name(array.dtype) not in DTYPES:
        raise CheckpointError(
            f"snapshot: {place(where)}: an array of {array.dtype} cannot be written; "
            "use numbers or times of NumPy, or an Arrow array for text"
        )
    little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    return little.reshape(-1).view(np.uint8)


def _stream(table: pa.Table) -> Blob:
    """The table as an Arrow IPC stream, in memory of just its size: what grows is copied."""
    measured = pa.MockOutputStream()
    _write_stream(table, measured)
    stream = np.empty(measured.size(), np.uint8)
    _write_stream(table, pa.FixedSizeBufferWriter(pa.py_buffer(stream.data)))
    return stream


def _write_stream(table: pa.Table, sink: pa.NativeFile) -> None:
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


# -- JSON and blobs to a snapshot ------------------------------------------------------------------


class MalformedError(ValueError):
    """A tree that no writer of this format makes."""


NextBlob = Callable[[int, int | None, Where], Blob]
"""(number, length it must have or None, where) -> that blob, which is the next one of the file."""


def put_together(node: Node, next_blob: NextBlob) -> Snapshot:
    """The snapshot that `take_apart` took apart, of arrays that may be written to.

    MalformedError for anything else; lengths are compared before anything is allocated.
    """
    if not (isinstance(node, dict) and list(node) == ["dict"]):
        raise MalformedError("the tree is not a dict")
    snapshot: Snapshot = _value(node, next_blob, ())
    return snapshot


def _value(node: Node, next_blob: NextBlob, where: Where) -> Value:
    if len(where) > DEPTH_MAX:
        raise MalformedError(f"more than {DEPTH_MAX} levels at {place(where[:3])}/...")
    if isinstance(node, list):
        return [_value(item, next_blob, (*where, str(i))) for i, item in enumerate(node)]
    if node is None or isinstance(node, (bool, int, str)):
        return node
    if isinstance(node, dict) and isinstance(node.get("dict"), dict):
        return {k: _value(v, next_blob, (*where, k)) for k, v in node["dict"].items()}
    kind = next(iter(node), None) if isinstance(node, dict) else None
    if kind in ("int", "float"):
        return _number(kind, node[kind], where)
    if kind in ("array", "bytes", "table", "chunked", "arrow") and isinstance(node[kind], int):
        return _from_blob(kind, node, next_blob, where)
    raise MalformedError(f"{place(where)}: a node that means nothing: {str(node)[:80]}")


def _number(kind: str, text: object, where: Where) -> int | float:
    pattern = HEXADECIMAL if kind == "int" else FLOAT_BITS
    if not (isinstance(text, str) and pattern.fullmatch(text)):
        raise MalformedError(f"{place(where)}: not the digits of {kind}: {str(text)[:80]}")
    if kind == "int":
        return int(text, 16)
    (value,) = struct.unpack(">d", bytes.fromhex(text))
    return float(value)


def _from_blob(kind: str, node: Mapping[str, Node], next_blob: NextBlob, where: Where) -> Value:
    if kind == "array":
        return _array(node, next_blob, where)
    blob = next_blob(node[kind], None, where)
    if kind == "bytes":
        return blob.tobytes()
    try:
        table = pa.ipc.open_stream(pa.py_buffer(blob.data)).read_all()
        table.validate(full=True)
        return table if kind == "table" else _only_column(table, kind)
    except (pa.ArrowException, OSError, IndexError) as error:
        raise MalformedError(f"{place(where)}: not an Arrow IPC stream: {error}") from error


def _only_column(table: pa.Table, kind: str) -> pa.Array[Any] | pa.ChunkedArray[Any]:
    """The column, or as an array; an empty array may be written as no chunk at all."""
    column = table.column(0)
    if kind == "chunked":
        return column
    array: pa.Array[Any] = pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    return array


def _array(node: Mapping[str, Node], next_blob: NextBlob, where: Where) -> npt.NDArray[Any]:
    name, shape = node.get("dtype"), node.get("shape")
    if not (isinstance(name, str) and name in DTYPES and _is_shape(shape)):
        raise MalformedError(f"{place(where)}: an array of no known shape: {str(node)[:80]}")
    dtype = np.dtype(name)  # native as written: another byte order would be another kernel
    blob = next_blob(node["array"], math.prod(shape) * dtype.itemsize, where)
    try:
        array = blob.view(dtype).reshape(shape)
        return array if sys.byteorder == "little" else array.byteswap()
    except ValueError as error:  # more dimensions, or longer ones, than NumPy has
        raise MalformedError(f"{place(where)}: {error}") from error


def _is_shape(shape: object) -> TypeGuard[list[int]]:
    if not isinstance(shape, list):
        return False
    return all(type(size) is int and 0 <= size < 1 << 63 for size in shape)
