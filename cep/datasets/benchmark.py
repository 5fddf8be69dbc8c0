"""Size and seed -> the transactions that the benchmarks run on."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cep.datasets.sampling import (
    AMOUNT_LOG_DEVIATION,
    AMOUNT_LOG_MEAN,
    COUNTRIES,
    COUNTRY_WEIGHTS,
    DAY_US,
    draw,
    text_column,
    to_cents,
    zipf_weights,
)

START_US = 1_735_776_000_000_000  # 2025-01-02 00:00
KINDS = ("purchase", "login", "cash_out", "refund")
KIND_WEIGHTS = (0.85, 0.08, 0.04, 0.03)
ABROAD = 0.1
MERCHANTS = 5_000


def benchmark_transactions(n: int = 2_000_000, cards: int = 50_000, seed: int = 1) -> pa.Table:
    """`n` unlabelled card transactions over seven days, in time order.

    Columns: card int64, ts timestamp[us], amount float64, merchant int32, country and kind text
    (dictionary-encoded); no NULLs. Cards are drawn by Zipf's law with exponent 1 (of 50,000, the
    busiest has 9% of all events), amounts are log-normal with 3% below 2.00, nine of ten events
    happen in the card's own country. The same arguments give the same table.
    """
    rng = np.random.default_rng(seed)
    card = rng.permutation(cards)[draw(rng, zipf_weights(cards, 1.0), n)]
    home = draw(rng, COUNTRY_WEIGHTS, cards)
    elsewhere = draw(rng, COUNTRY_WEIGHTS, n)
    country = np.where(rng.random(n) < ABROAD, elsewhere, home[card])
    times = np.sort(rng.integers(0, 7 * DAY_US, n))
    amounts = to_cents(rng.lognormal(AMOUNT_LOG_MEAN, AMOUNT_LOG_DEVIATION, n))
    return pa.table(
        {
            "card": pa.array(card.astype(np.int64)),
            "ts": pa.array(START_US + times, type=pa.timestamp("us")),
            "amount": pa.array(amounts),
            "merchant": pa.array(rng.integers(0, MERCHANTS, n).astype(np.int32)),
            "country": text_column(country, COUNTRIES),
            "kind": text_column(draw(rng, KIND_WEIGHTS, n), KINDS),
        }
    )
