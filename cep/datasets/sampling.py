"""What the generators share: seeded, vectorised draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

COUNTRIES = ("US", "GB", "DE", "FR", "ES", "IT", "PL", "NL", "BR", "MX", "JP", "AU")
COUNTRY_WEIGHTS = (30, 14, 12, 10, 8, 7, 5, 4, 4, 3, 2, 1)

# Log-normal amounts with 3% below 2.00: the 3% quantile of a normal lies 1.881 deviations below.
AMOUNT_LOG_DEVIATION = 1.2
AMOUNT_LOG_MEAN = float(np.log(2.0)) + 1.881 * AMOUNT_LOG_DEVIATION


def draw(rng: np.random.Generator, weights: Sequence[float] | Floats, size: int) -> Ints:
    """`size` indices, each chosen with a probability proportional to its weight."""
    limits = np.cumsum(np.asarray(weights, dtype=np.float64))
    chosen: Ints = np.searchsorted(limits, rng.random(size) * limits[-1], side="right")
    return chosen


def zipf_weights(count: int, exponent: float, offset: float = 0.0) -> Floats:
    """The weight of each rank, the greatest first: 1 / (rank + offset) ** exponent."""
    weights: Floats = (np.arange(1.0, count + 1) + offset) ** -exponent
    return weights


def to_cents(amounts: Floats) -> Floats:
    """Amounts as money has them: whole cents, none of them free."""
    cents: Floats = np.maximum(np.round(amounts, 2), 0.01)
    return cents


def text_column(
    codes: Ints, words: Sequence[str], absent: npt.NDArray[np.bool_] | None = None
) -> pa.Array[Any]:
    """`words[code]` per row as dictionary-encoded text, NULL where `absent`."""
    indices: pa.Array[Any] = pa.array(codes.astype(np.int32), mask=absent)
    return pa.DictionaryArray.from_arrays(indices, pa.array(words, type=pa.string()))
