"""`python -m cep.datasets NAME --out FILE` -> the data set as a Parquet or CSV file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from cep.datasets import benchmark_transactions, card_transactions, openssh_logins, windows_events

DATASETS = {
    "card_transactions": card_transactions,
    "benchmark_transactions": benchmark_transactions,
    "openssh_logins": openssh_logins,
    "windows_events": windows_events,
}
FIXED = ("openssh_logins", "windows_events")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write one data set; the exit code is 0, or 2 for arguments that make no sense."""
    parser = _parser()
    given = parser.parse_args(arguments)
    chosen: dict[str, Any] = {
        name: getattr(given, name)
        for name in ("n", "cards", "seed")
        if getattr(given, name) is not None
    }
    if given.name in FIXED and chosen:
        parser.error(f"{given.name} is a fixed table: it takes no --rows, --cards or --seed")
    if given.out.suffix not in (".parquet", ".csv"):
        parser.error(f"--out must end in .parquet or .csv, not {given.out.name!r}")
    try:
        table = DATASETS[given.name](**chosen)
        write(table, given.out)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"{given.out}: {table.num_rows} rows, {table.num_columns} columns")
    return 0


def write(table: pa.Table, path: Path) -> None:
    """The table as a file in the format that the path's ending names."""
    if path.suffix == ".parquet":
        pq.write_table(table, path)
        return
    text = [pa.string() if pa.types.is_dictionary(f.type) else f.type for f in table.schema]
    plain = table.cast(pa.schema(list(zip(table.column_names, text, strict=True))))
    pa_csv.write_csv(plain, path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cep.datasets", description=__doc__)
    parser.add_argument("name", choices=sorted(DATASETS))
    parser.add_argument("--out", type=Path, required=True, help="a .parquet or .csv file")
    parser.add_argument("--rows", dest="n", type=int, help="number of rows")
    parser.add_argument("--cards", type=int, help="number of cards")
    parser.add_argument("--seed", type=int, help="another seed, other data")
    return parser


if __name__ == "__main__":
    sys.exit(main())
