"""Matches -> ids that depend on the pattern's name and the captured events' content alone.

A match's id is 128 bits: two independent 64-bit lanes of

    id(match)    = mix(sum over its events, in order, of mix(event, variable, place) + pattern)
    event        = sum over its non-NULL fields of mix(field name, value), and its time

Every distinct event is hashed once, column by column; text by its bytes, numbers by their value, so
that neither the width of a type, nor dictionary encoding, nor the order of columns, keys and
batches shows. Not a cryptographic hash: it tells matches apart, it proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cep.engine.ingest.event_time import is_text
from cep.engine.results import MatchBatch
from cep.engine.state.hashing import PLACE, Words, mix, seed, text_words

LANES = (b"cep match id, first lane", b"cep match id, second lane")
_HEX = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint8).reshape(256, 2)


def match_ids(batch: MatchBatch, lanes: Sequence[Words] | None = None) -> Any:
    """The ids of all matches of a batch, shape (m,), as 32 hexadecimal digits.

    `lanes`: `event_lanes` of the batch's events, where they are known.
    """
    if len(batch) == 0:
        return pa.array([], pa.string())
    lanes = lanes or event_lanes(batch.events, batch.event_time_us)
    pairs = zip(lanes, LANES, strict=True)
    return _hex(np.stack([_lane(batch, events, salt) for events, salt in pairs], axis=1))


def event_lanes(events: pa.Table, time_us: npt.NDArray[np.int64]) -> list[Words]:
    """For each lane one word per event."""
    return [event_words(events, time_us, salt) for salt in LANES]


def _lane(batch: MatchBatch, events: Words, salt: bytes) -> Words:
    names = np.array([seed(salt, "variable", name) for name in batch.variables], np.uint64)
    lengths = np.diff(batch.offsets)
    place = np.arange(len(batch.row), dtype=np.int64) - np.repeat(batch.offsets[:-1], lengths)
    taken = mix(events[batch.row] + mix(names[batch.variable] + place.astype(np.uint64) * PLACE))
    summed = np.add.reduceat(taken, batch.offsets[:-1])
    return mix(summed + seed(salt, "pattern", batch.pattern.name))


def event_words(events: pa.Table, time_us: npt.NDArray[np.int64], salt: bytes) -> Words:
    """One word per event."""
    words = mix(time_us.astype(np.int64).view(np.uint64) + seed(salt, "time"))
    for name in events.schema.names:
        words = words + _column_words(events.column(name), seed(salt, "field", name), salt)
    return mix(words)


def _column_words(column: Any, name: np.uint64, salt: bytes) -> Words:
    """mix(name, value) per row, 0 where NULL, so that a column of NULLs changes nothing."""
    array = one_array(column)
    if pa.types.is_null(array.type):
        return np.zeros(len(array), np.uint64)
    words = mix(_value_words(array, salt) + name)
    if array.null_count:
        words = np.where(array.is_null().to_numpy(zero_copy_only=False), np.uint64(0), words)
    return words


def _value_words(array: Any, salt: bytes) -> Words:
    type_ = array.type
    if pa.types.is_dictionary(type_):
        if len(array.dictionary) == 0:
            return np.zeros(len(array), np.uint64)
        words: Words = _value_words(array.dictionary, salt)[_filled(array.indices, pa.int64())]
        return words
    if pa.types.is_boolean(type_) or pa.types.is_integer(type_):
        wide = pa.uint64() if pa.types.is_uint64(type_) else pa.int64()
        return mix(_filled(array, wide).view(np.uint64))
    if pa.types.is_floating(type_):
        return _float_words(_filled(array, pa.float64())) + seed(salt, "float")
    if pa.types.is_timestamp(type_) or pa.types.is_duration(type_) or pa.types.is_date(type_):
        return _time_words(array) + seed(salt, "time")
    if is_text(type_):
        return text_words(array, seed(salt, "text"))
    text = [None if v is None else json.dumps(v, default=str) for v in array.to_pylist()]
    return text_words(pa.array(text, pa.string()), seed(salt, "text"))


def one_array(column: Any) -> Any:
    """A chunked column as one array, without a copy where it has one chunk."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _filled(array: Any, type_: pa.DataType) -> Any:
    """A NumPy array with 0 for NULL."""
    array = array.cast(type_)
    if array.null_count:
        array = array.fill_null(pa.scalar(0, pa.int64()).cast(type_))
    return array.to_numpy(zero_copy_only=False)


def _float_words(values: npt.NDArray[np.float64]) -> Words:
    """By bits, after making all NaNs one and both zeros one."""
    values = np.where(np.isnan(values), np.nan, values) + 0.0
    return mix(values.view(np.uint64))


def _time_words(array: Any) -> Words:
    """By the moment, whatever the unit: microseconds, and what a nanosecond clock adds to them."""
    type_ = array.type
    if pa.types.is_date(type_):
        array = array.cast(pa.timestamp("ms"))
        type_ = array.type
    values = _filled(array, pa.int64())
    if type_.unit == "ns":
        us, rest = np.divmod(values, 1000)
        return mix(us.view(np.uint64) + rest.view(np.uint64) * PLACE)
    factor = {"s": 1_000_000, "ms": 1_000, "us": 1}[type_.unit]
    return mix((values * factor).view(np.uint64))


def _hex(words: Words) -> Any:
    """(m, 2) words -> m texts of 32 digits."""
    size = len(words)
    digits = _HEX[np.ascontiguousarray(words.astype(">u8")).view(np.uint8)]
    offsets = np.arange(size + 1, dtype=np.int64) * 32
    text = pa.LargeStringArray.from_buffers(
        size, pa.py_buffer(offsets.tobytes()), pa.py_buffer(digits.tobytes())
    )
    return text.cast(pa.string())
