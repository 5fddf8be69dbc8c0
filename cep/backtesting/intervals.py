"""How sure a score is: Wilson intervals of shares, bootstrap over days of everything else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from cep.engine.batch import Int64s

Floats = npt.NDArray[np.float64]

RESAMPLES = 1_000
GRID_MAX = 2_000  # distinct delays that resampled medians are told apart by


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score with its confidence interval; NaN where there is nothing to say."""

    value: float
    low: float
    high: float

    def __float__(self) -> float:
        return self.value


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def wilson(hits: int, trials: int, confidence: float = 0.95) -> Estimate:
    """The share of hits, with the score interval of Wilson (1927), JASA 22:209-212.

    UNKNOWN without trials.

    >>> share = wilson(8, 10)
    >>> round(share.low, 3), round(share.high, 3)
    (0.49, 0.943)
    """
    if trials == 0:
        return UNKNOWN
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = hits / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    # At the ends of the scale the formula meets them but for rounding.
    low = 0.0 if hits == 0 else middle - half
    return Estimate(share, low, 1.0 if hits == trials else middle + half)


def resample_days(days: int, seed: int) -> Floats:
    """(RESAMPLES, days) how often each day is in each resample: the bootstrap of Efron (1979).

    Days are drawn whole, since what happens within one is not independent.
    """
    drawn = np.random.default_rng(seed).multinomial(days, np.full(days, 1 / days), RESAMPLES)
    return drawn.astype(np.float64)  # products of floats go through BLAS, those of integers do not


def spread_of(value: float, resampled: Floats, confidence: float) -> Estimate:
    """A value with the percentile interval of its resamples, those without a value left out."""
    known = resampled[np.isfinite(resampled)]
    if not math.isfinite(value) or not len(known):
        return UNKNOWN
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(low), float(high))


def resampled_medians(values: Int64s, day: Int64s, draws: Floats) -> Floats:
    """(RESAMPLES,) the median of the values of the days of each resample; NaN without any.

    `values` and `day`, shape (n,). More than GRID_MAX distinct values are rounded up to as many.
    """
    grid = np.unique(values)
    if len(grid) > GRID_MAX:
        grid = grid[np.linspace(0, len(grid) - 1, GRID_MAX).astype(np.int64)]
    if not len(grid):
        return np.full(len(draws), np.nan)
    cell = day * len(grid) + np.searchsorted(grid, values)
    counts = np.bincount(cell, minlength=draws.shape[1] * len(grid))
    below = np.cumsum(draws @ counts.reshape(-1, len(grid)), axis=1)
    half = below[:, -1:] / 2
    lower, upper = (below >= half).argmax(axis=1), (below > half).argmax(axis=1)
    middle: Floats = (grid[lower] + grid[upper]) / 2
    return np.where(half[:, 0] > 0, middle, np.nan)
