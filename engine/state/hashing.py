"""Values -> 64-bit words that are the same in every process, for ids and for key groups.

Not cryptographic: the words tell values apart and spread them, they prove nothing.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Words = npt.NDArray[np.uint64]
PLACE = np.uint64(0x9E3779B97F4A7C15)


def seed(salt: bytes, *names: str) -> np.uint64:
    """A fixed number for a name; the same in every process."""
    digest = hashlib.blake2b("\0".join(names).encode(), digest_size=8, key=salt)
    return np.uint64(int.from_bytes(digest.digest(), "little"))


def mix(words: Words) -> Words:
    """Spread every bit of each word over all of it (the finaliser of splitmix64)."""
    mixed = words >> np.uint64(30)
    mixed ^= words
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def text_words(array: Any, start: np.uint64) -> Words:
    """A word for each text of a string array, from its bytes and `start`; NULL counts as ''.

    Takes eight bytes at a time for all texts at once: the longest text decides the rounds.
    """
    array = array.cast(pa.large_string())
    size = len(array)
    if size == 0:
        return np.zeros(0, np.uint64)
    _, offset_buffer, data = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[array.offset : array.offset + size + 1]
    raw = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    begin, length = offsets[:-1] - offsets[0], np.diff(offsets)
    used = raw[offsets[0] : offsets[-1]]
    padded = np.concatenate([used, np.zeros(8, np.uint8)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 8)
    words = mix(length.view(np.uint64) + start)
    active, done = np.flatnonzero(length > 0), 0
    while len(active):
        left = np.minimum(length[active] - done, 8)
        part = np.ascontiguousarray(windows[begin[active] + done]).view("<u8")[:, 0]
        keep = (np.uint64(2**64 - 1) >> ((8 - left) * 8).astype(np.uint64)).astype(np.uint64)
        words[active] = mix(words[active] * PLACE + (part & keep) + np.uint64(done))
        done += 8
        active = active[length[active] > done]
    return words
