"""Precision and recall of rules.cep on the handbook's transactions, from the rules to the figures.

    python examples/handbook/evaluate.py transactions.parquet

The file has the columns TRANSACTION_ID, TX_DATETIME, CUSTOMER_ID, TERMINAL_ID, TX_AMOUNT, TX_FRAUD:
the handbook's simulated data (Fraud-Detection-Handbook/simulated-data-raw), as one Parquet file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import cep

RULES = Path(__file__).parent / "rules.cep"
UNION = ("large", "jump_5x", "terminal")


def main(path: str) -> None:
    """Print a line per rule, and one for the union of three."""
    backtest = evaluate(path)
    print(backtest)
    print(f"{', '.join(UNION)} together:\n{backtest.only(*UNION).scores}")


def evaluate(path: str) -> cep.Backtest:
    """The rules scored against TX_FRAUD, per transaction."""
    transactions = pq.read_table(path)
    booked: Any = transactions["TX_DATETIME"].cast(pa.timestamp("us"))
    labels: dict[str, Any] = {
        "known_at": pc.add(booked, pa.scalar(7 * 86_400_000_000, pa.duration("us"))),
        "TERMINAL_ID": transactions["TERMINAL_ID"],
        "fraud": transactions["TX_FRAUD"],
    }
    data = {"transactions": transactions, "labels": pa.table(labels)}
    return cep.backtest(cep.load(RULES), data, labels="TX_FRAUD", amount="TX_AMOUNT")


if __name__ == "__main__":
    main(sys.argv[1])
