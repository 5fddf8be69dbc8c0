"""Keys -> key groups -> the rows of each shard."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.engine.kernels.jit import inlined, kernel

Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]


@inlined
def mixed(word: np.uint64) -> np.uint64:
    """The finaliser of splitmix64, as `state.hashing.mix`."""
    word ^= word >> np.uint64(30)
    word *= np.uint64(0xBF58476D1CE4E5B9)
    word ^= word >> np.uint64(27)
    word *= np.uint64(0x94D049BB133111EB)
    word ^= word >> np.uint64(31)
    return word


@kernel
def mix_in(totals: Words, words: Words) -> None:
    """The totals of keys, with one field more. Shapes (n,)."""
    for i in range(totals.size):
        totals[i] = mixed(totals[i] + words[i])


@kernel
def count_rows(groups: Bytes, shard_of: Int64s, ends: Int64s) -> None:
    """Write behind which place the rows of each shard end, were they sorted by shard.

    groups (n,): of each row; shard_of (groups,); ends (shards,): zeros before.
    """
    for i in range(groups.size):
        ends[shard_of[groups[i]]] += 1
    for shard in range(1, ends.size):
        ends[shard] += ends[shard - 1]


@kernel
def sort_rows(
    rows: Int64s, groups: Bytes, shard_of: Int64s, places: Int64s, by_shard: Int64s
) -> None:
    """Write the rows shard by shard, those of a shard as they were. places: where each begins."""
    for i in range(rows.size):
        shard = shard_of[groups[i]]
        by_shard[places[shard]] = rows[i]
        places[shard] += 1
