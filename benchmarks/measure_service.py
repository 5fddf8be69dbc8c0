"""The measurements of `cep serve`, and their section of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.measure_latency import histogram
from benchmarks.measure_stateful import StateSize
from benchmarks.process import WrongOutputError, measured
from benchmarks.report_table import table

WORKER = "benchmarks.service"
KEEPING = ["--id-field", "id", "--checkpoint-every", "2 seconds"]
SERVICES = {"plain": False, "ids, checkpoints": True}
SINGLE, LINES = (20_000, 500), (1_000_000, 20_000)  # events; in a quick run
LOADS = {  # (events per request, connections)
    "single events": (1, 1),
    "single events, 16 connections": (1, 16),
    "1,000 lines": (1_000, 1),
    "10,000 lines": (10_000, 1),
}

TEXT = """## The service

A real `cep serve` with Q1 on a core of its own, asked over loopback by another process. Each
connection is kept alive and sends the next request when it has its answer. *per CPU second* is by
the time that the server's process has worked, all threads and checkpoints included. Latencies are
those of requests, from the sending to the end of the answer; with 16 connections most of it is
waiting for the others. *ids, checkpoints*: `--id-field id --checkpoints`, a checkpoint every two
seconds. A single connection has events with the times of the workload, those of 16 have one time.
The answers together have the matches that `rules.run` finds.
"""


@dataclass(frozen=True, slots=True)
class Served:
    """`latencies`: the median, the 99th and 99.9th percentile and the longest, in seconds.

    `counts`: requests of up to 1, 2, 4, 8, ... microseconds, each without those before.
    """

    service: str
    load: str
    events: int
    seconds: float
    cpu_seconds: float
    latencies: list[float]
    counts: list[int]


def measure_service(size: StateSize, say: Callable[[str], None]) -> list[Served]:
    """All loads on a service without and on one with a journal. Raises WrongOutputError."""
    loads = []
    for per_request, connections in LOADS.values():
        of_size = SINGLE if per_request == 1 else LINES
        loads.append([of_size[1 if size.together else 0], per_request, connections])
    found = []
    for service, checkpoints in SERVICES.items():
        say(f"service, {service}")
        options = KEEPING if checkpoints else []
        job = {"cards": size.keys, "loads": loads, "options": options, "checkpoints": checkpoints}
        (numbers,) = measured(WORKER, [job])
        if not numbers["right"]:
            told = f"{numbers['told']} instead of {numbers['expected']}"
            raise WrongOutputError(f"service, {service}: matches, events and late ones are {told}")
        for load, one in zip(LOADS, numbers["loads"], strict=True):
            found.append(Served(service, load, **one))
    return found


def service_section(found: Sequence[Served]) -> str:
    """As Markdown."""
    header = ["requests", "service", "events/s", "per CPU second"]
    header += ["median ms", "99% ms", "99.9% ms", "longest ms"]
    rows = [
        [
            one.load,
            one.service,
            f"{one.events / one.seconds:,.0f}",
            f"{one.events / one.cpu_seconds:,.0f}" if one.cpu_seconds else "",
            *(f"{1000 * latency:.2f}" for latency in one.latencies),
        ]
        for one in found
    ]
    parts = [TEXT, table(header, rows)]
    for one in (each for each in found if each.load == next(iter(LOADS))):
        parts.append(f"\n{one.load}, {one.service}:\n\n```text\n{histogram(one.counts)}\n```")
    return "\n".join(parts) + "\n"
