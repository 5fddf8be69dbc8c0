"""Precision and recall of rules.cep on the handbook's transactions, from the rules to the figures.

    python examples/handbook/evaluate.py transactions.parquet

The file has the columns TRANSACTION_ID, TX_DATETIME, CUSTOMER_ID, TERMINAL_ID, TX_AMOUNT, TX_FRAUD:
the handbook's simulated data (Fraud-Detection-Handbook/simulated-data-raw), as one Parquet file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import cep

RULES = Path(__file__).parent / "rules.cep"
SINGLE = ("large", "jump_3x", "jump_5x", "terminal")
Flags = dict[str, "np.typing.NDArray[np.bool_]"]


def main(path: str) -> None:
    """Print a line per rule."""
    for name, (precision, recall) in evaluate(path).items():
        print(f"{name:<10} precision {precision:.3f}  recall {recall:.3f}")


def evaluate(path: str) -> dict[str, tuple[float, float]]:
    """Rule -> (precision, recall), per transaction."""
    transactions = pq.read_table(path)
    ids = transactions["TRANSACTION_ID"].to_numpy()
    fraud = transactions["TX_FRAUD"].to_numpy() == 1
    found = flagged(transactions, ids)
    found["union"] = found["large"] | found["jump_5x"] | found["terminal"]
    return {name: _score(flags, fraud) for name, flags in found.items()}


def flagged(transactions: pa.Table, ids: Any) -> Flags:
    """Rule -> which of the transactions it flags."""
    booked: Any = transactions["TX_DATETIME"].cast(pa.timestamp("us"))
    labels: dict[str, Any] = {
        "known_at": pc.add(booked, _days(7)),
        "TERMINAL_ID": transactions["TERMINAL_ID"],
        "fraud": transactions["TX_FRAUD"],
    }
    rules = cep.load(RULES)
    result = rules.run({"transactions": transactions, "labels": pa.table(labels)})
    flags = {}
    for name in SINGLE:
        table = result.matches.by_pattern(name).to_arrow()
        flags[name] = np.isin(ids, table["TRANSACTION_ID"].to_numpy())
    pairs = result.matches.by_pattern("two_jumps").to_arrow()
    both = np.concatenate([pairs["first"].to_numpy(), pairs["second"].to_numpy()])
    flags["two_jumps"] = np.isin(ids, both)
    return flags


def _days(number: int) -> Any:
    return pa.scalar(number * 86_400_000_000, pa.duration("us"))


def _score(flags: Any, fraud: Any) -> tuple[float, float]:
    hits = int((flags & fraud).sum())
    return hits / max(int(flags.sum()), 1), hits / max(int(fraud.sum()), 1)


if __name__ == "__main__":
    main(sys.argv[1])
