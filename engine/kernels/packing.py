"""Truths of conditions, one array each -> one word per event."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.engine.kernels.jit import kernel
from cep.engine.kernels.layout import Int64s

Bools = npt.NDArray[np.bool_]


@kernel
def add_bit(truth: Bools, number: int, words: Int64s) -> None:
    """Set bit `number` of the word of each event for which a condition holds; shapes (n,)."""
    for row in range(words.size):
        words[row] |= np.int64(truth[row]) << number
