"""Jobs from files, and from an iterable, to files and functions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import assert_type

import pyarrow as pa

import cep
from cep.jobs.status import JobStatus

RULES = """
stream trades (ts timestamp, symbol text, price float) time ts;
pattern rise from trades by symbol match low high within 1 minute
  define low as true, high as price > low.price;
"""
TRADES: list[dict[str, str | float]] = [
    {"ts": f"2025-03-03 12:00:{second:02}", "symbol": "x", "price": price}
    for second, price in enumerate([1.0, 2.0])
]


def of_files(folder: Path) -> cep.Job:
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "trades.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TRADES))
    return cep.Job(
        cep.FileSource(folder / "in"),
        cep.compile(RULES),
        [cep.FileSink(folder / "out"), cep.FileSink(folder / "errors", "errors", "jsonl")],
        checkpoint=folder / "checkpoints",
        every=timedelta(seconds=10),
        held_max=100,
    )


def pairs(position: object) -> Iterator[tuple[dict[str, str | float], int]]:
    begin = position if isinstance(position, int) else 0
    for number, trade in enumerate(TRADES[begin:], begin + 1):
        yield trade, number


def of_pairs(called: list[pa.Table]) -> cep.Job:
    sink = cep.CallableSink(called.append)
    return cep.Job(cep.IterableSource(pairs), RULES, sink, guarantee="at-least-once")


def run(job: cep.Job) -> int:
    assert_type(job, cep.Job)
    assert_type(job.guarantee, str)
    assert_type(job.explain(), str)
    try:
        status = job.run(until=lambda status: status.rows > 10)
    except cep.JobError as error:
        raise SystemExit(str(error)) from error
    assert_type(status, JobStatus)
    assert_type(status.written, dict[str, int])
    return status.rows


def main(place: Path) -> None:
    called: list[pa.Table] = []
    assert run(of_files(place)) == run(of_pairs(called)) == 2
    assert [table.num_rows for table in called] == [1]
