"""Sizes -> the streams that windows, features and state are measured on, and what must come out.

What must come out is counted with NumPy from the definition, in whole cents.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64s = npt.NDArray[np.int64]
MINUTE_US = 60_000_000
BATCH = 131_072
BEGIN_US = 1_735_776_000_000_000  # 2025-01-02 00:00


class Rows(NamedTuple):
    """How many rows must come out, and the sum of their sums in cents."""

    rows: int
    total: int


def dense_stream(rows: int, keys: int, per_minute: int) -> pa.Table:
    """Events of keys drawn evenly, `per_minute` for each key and minute: card, ts, amount."""
    rng = np.random.default_rng(1)
    step_us = MINUTE_US / (keys * per_minute)
    times = BEGIN_US + (np.arange(rows) * step_us).astype(np.int64)
    return _events(rng.integers(0, keys, rows), times, rng.integers(1, 1_000, rows))


def ever_new_keys(rows: int, per_second: int) -> Iterator[pa.Table]:
    """Batches of events whose keys come about five times each within some events and never again.

    The same batches each time, `per_second` events a second of event time.
    """
    rng = np.random.default_rng(1)
    for begin in range(0, rows, BATCH):
        at = np.arange(begin, min(begin + BATCH, rows))
        card = at // 40 * 8 + rng.integers(0, 8, len(at))
        yield _events(card, BEGIN_US + at * 1_000_000 // per_second, rng.integers(0, 100, len(at)))


def one_event_per_key(keys: int, *, text: bool, amount: int = 1, later_us: int = 0) -> pa.Table:
    """One event of each key, in no order, all within a second: card (int or text), ts, amount."""
    card = np.random.default_rng(1).permutation(keys)
    times = BEGIN_US + later_us + np.arange(keys) * 1_000_000 // keys
    table = _events(card, times, np.full(keys, amount))
    if not text:
        return table
    names = pa.array([f"customer-{number}" for number in card.tolist()], pa.string())
    return table.set_column(0, "card", names)


def shuffled(table: pa.Table, within_us: int) -> pa.Table:
    """The same events in an order in which none is as much as `within_us` late."""
    times = table["ts"].cast(pa.int64()).to_numpy()
    delay = np.random.default_rng(2).integers(0, within_us, len(times))
    return table.take(np.argsort(times + delay, kind="stable"))


def _events(card: Int64s, times: Int64s, amount: Int64s) -> pa.Table:
    return pa.table(
        {
            "card": pa.array(card),
            "ts": pa.array(times, pa.timestamp("us")),
            "amount": pa.array(amount.astype(np.float64)),
        }
    )


# ------------------------------------------------------------------ what must come out


def count_windows(table: pa.Table, minutes: int = 1) -> Rows:
    """Of `sum(amount)` per card over windows of so many minutes, one beginning every minute."""
    card, times, amounts = _columns(table)
    width = 1 << 24  # minutes: more than there are
    cells = np.unique(card * width + (times // MINUTE_US))
    windows = np.unique((cells[:, None] - np.arange(minutes)).ravel())
    return Rows(len(windows), minutes * int(amounts.sum()))


def count_above(table: pa.Table, over_us: int, limit: float) -> int:
    """Events with which the card's amounts, less than `over_us` back, sum up to above `limit`."""
    card, times, amounts = _columns(table)
    order = np.argsort(card, kind="stable")
    since = times - times.min()
    place = (card * (int(since.max()) + 2 * over_us) + since)[order]
    sums = np.concatenate([[0], np.cumsum(amounts[order])])
    first = np.searchsorted(place, place - over_us, side="right")
    return int(((sums[1:] - sums[first]) > 100 * limit).sum())


def count_surges(table: pa.Table, factor: int) -> int:
    """Events of over `factor` times the amount of the card's event before, less than a minute ago.

    The largest amount must be less than the square of the factor: no two of them in a row.
    """
    card, times, amounts = _columns(table)
    order = np.argsort(card, kind="stable")
    card, times, amounts = card[order], times[order], amounts[order]
    near = (card[1:] == card[:-1]) & (np.diff(times) < MINUTE_US)
    return int((near & (amounts[1:] > factor * amounts[:-1])).sum())


def _columns(table: pa.Table) -> tuple[Int64s, Int64s, Int64s]:
    amounts = np.rint(100 * table["amount"].to_numpy()).astype(np.int64)
    return table["card"].to_numpy(), table["ts"].cast(pa.int64()).to_numpy(), amounts


def count_bounded(rows: int, per_second: int, spent: int) -> Rows:
    """Of `queries.BOUNDED`: matches, and the sum of its sums. Each key is over within a minute."""
    matches, total = 0, 0
    small: dict[int, int] = {}
    sums: dict[int, float] = {}
    for table in ever_new_keys(rows, per_second):
        columns = (table[name].to_pylist() for name in ("card", "amount"))
        for card, amount in zip(*columns, strict=True):
            total += 100 * int(amount)
            sums[card] = sums.get(card, 0) + amount
            if amount < 30:
                small[card] = small.get(card, 0) + 1
            elif amount > 70 and sums[card] > spent and small.get(card, 0) >= 2:
                matches += 1
                small[card] = 0
    return Rows(matches, total)
