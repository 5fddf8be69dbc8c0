"""Data to try rules on: labelled card transactions, the benchmark's workload, real SSH
logins, real Windows events out of order.

    >>> from cep.datasets import card_transactions
    >>> table = card_transactions(n=10_000, cards=500)
    >>> table.num_rows
    10000

`python -m cep.datasets NAME --out FILE` writes one of them to a Parquet or CSV file.
"""

from cep.datasets.benchmark import benchmark_transactions
from cep.datasets.cards import card_transactions
from cep.datasets.openssh import openssh_logins
from cep.datasets.scenarios import SCENARIOS
from cep.datasets.windows import windows_events

__all__ = [
    "SCENARIOS",
    "benchmark_transactions",
    "card_transactions",
    "openssh_logins",
    "windows_events",
]
