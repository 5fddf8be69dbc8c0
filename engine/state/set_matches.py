"""The matches that captures stand for, listed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cep.engine.batch import Int64s
from cep.engine.kernels import layout
from cep.engine.kernels import sets as kernels


@dataclass(frozen=True, slots=True)
class Listed:
    """Match i is [offsets[i]:offsets[i + 1]]; of_row, shape (matches,): the row that it is of."""

    offsets: Int64s
    variable: Int64s
    sequence: Int64s
    of_row: Int64s


def listed(automaton: layout.Automaton, sets: kernels.Sets, rows: int, most: int) -> Listed | None:
    """All matches of the first `rows` of `sets.found`, of each the oldest first.

    None: there are more than `most` events in them.
    """
    captures = sets.found[:rows, kernels.OUT_CAPTURE]
    depth = sets.captures[captures, kernels.DEPTHS].max(initial=0)
    stack = np.empty(int(depth) + 1, np.int64)
    sizes = np.empty((rows, 2), np.int64)
    if not kernels.count_found(automaton, sets, stack, most, sizes):
        return None
    matches, lengths = sizes.sum(axis=0).tolist()
    offsets = np.zeros(matches + 1, np.int64)
    variable, sequence = np.empty(lengths, np.int64), np.empty(lengths, np.int64)
    kernels.write_found(automaton, sets, sizes, stack, offsets, variable, sequence)
    return Listed(offsets, variable, sequence, np.repeat(np.arange(rows), sizes[:, 0]))
