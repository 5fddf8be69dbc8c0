"""What a real `cep serve` takes over loopback, asked by this process -> a line of JSON.

    python -m benchmarks.service '{"cards": 50000, "loads": [[1000, 1, 16]], "options": []}'

The server has one core for itself, this process another one, where there are two.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pyarrow as pa

import cep
from benchmarks.http_load import Load, asked
from benchmarks.latency import counts_of
from benchmarks.queries import QUERIES
from cep.datasets import benchmark_transactions

Numbers = dict[str, Any]
RULES = f"""
stream transactions (id text, card int, ts timestamp, amount float, merchant int, country text,
  kind text) time ts;
{QUERIES["Q1"]};
"""
JSON, NDJSON = "application/json", "application/x-ndjson"


class Server:
    """A process that serves; `options` as of the command line."""

    def __init__(self, rules: Path, options: Sequence[str]) -> None:
        command = [sys.executable, "-m", "cep", "serve", str(rules), "--port", "0", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.url = self._address()

    def _address(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(r"running on (http://\S+)", line):
                return found[1]
        raise RuntimeError("the service has ended")

    def status(self) -> Numbers:
        with urlopen(f"{self.url}/status") as answer:
            found: Numbers = json.load(answer)
        return found

    def cpu_seconds(self) -> float:
        """That it has used so far."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()


@contextmanager
def served(options: Sequence[str], checkpoints: bool) -> Iterator[Server]:
    """On a core of its own, if there are two."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.cep"
        rules.write_text(RULES)
        keeping = ("--checkpoints", f"{folder}/state") if checkpoints else ()
        os.sched_setaffinity(0, cores[:1])
        server = Server(rules, [*options, *keeping])
        os.sched_setaffinity(0, cores[1:] or cores)
        try:
            yield server
        finally:
            server.stop()
            os.sched_setaffinity(0, cores)


def main(cards: int, loads: list[list[int]], options: list[str], checkpoints: bool) -> Numbers:
    """`loads`: (events, events per request, connections) each, one after the other."""
    table = transactions(cards, loads)
    lines = [json.dumps(row, default=str).encode() for row in table.to_pylist()]
    owners = table.column("card").to_numpy()
    found, begin, matches = [], 0, 0
    with served(options, checkpoints) as server:
        for events, per_request, connections in loads:
            mine = slice(begin, begin + events)
            bodies = [
                [b"\n".join(each) for each in batched(share, per_request)]
                for share in shared(lines[mine], owners[mine] % connections, connections)
            ]
            before = server.cpu_seconds()
            path, kind = ("/events", JSON) if per_request == 1 else ("/events/batch", NDJSON)
            load = asked(f"{server.url}{path}", kind, bodies)
            found.append(_numbers(load, events, server.cpu_seconds() - before))
            matches += sum(json.loads(answer)["counts"]["matches"] for answer in load.answers)
            begin += events
        status = server.status()
    told = [matches, status["matches"], status["events"], status["late"]]
    in_all = len(cep.compile(RULES).run(table).matches)
    expected = [in_all, in_all, table.num_rows, 0]
    return {"loads": found, "told": told, "expected": expected, "right": told == expected}


def transactions(cards: int, loads: list[list[int]]) -> pa.Table:
    """The events of all loads, each with an id.

    Those of a load over several connections have one time: none of them can be late by overtaking.
    """
    table = benchmark_transactions(sum(load[0] for load in loads), cards)
    times = table.column("ts").to_numpy().copy()
    begin = 0
    for events, _, connections in loads:
        if connections > 1:
            times[begin : begin + events] = times[begin]
        begin += events
    ids: Any = pa.array([f"t{row:08}" for row in range(table.num_rows)])
    table = table.set_column(1, "ts", pa.array(times, pa.timestamp("us")))
    return table.add_column(0, "id", ids)


def shared(lines: Sequence[bytes], owners: Any, connections: int) -> list[list[bytes]]:
    """The lines of each connection: all of a card go over the same one."""
    return [
        [lines[row] for row in np.flatnonzero(owners == each).tolist()]
        for each in range(connections)
    ]


def batched(lines: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    """So many at a time."""
    return (lines[begin : begin + size] for begin in range(0, len(lines), size))


def _numbers(load: Load, events: int, cpu_s: float) -> Numbers:
    each = np.array(load.each)
    return {
        "events": events,
        "seconds": load.seconds,
        "cpu_seconds": cpu_s,
        "latencies": [float(np.quantile(each, q)) for q in (0.5, 0.99, 0.999, 1)],
        "counts": counts_of(each),
    }


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(json.dumps(main(**json.loads(argument))))
