"""How long single events take, and small batches, in a process of its own -> a line of JSON.

    python -m benchmarks.latency '{"patterns": 100, "rows": 1000000, "cards": 50000, ...}'

Events are dicts, made before anything is measured. A thread of the same process, on the same core,
writes a checkpoint every `every_s`; the events that wait for it are measured like the others.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from threading import Event
from typing import Any

import numpy as np

import cep
from benchmarks.beside import beside
from benchmarks.queries import declared, many_rules, rules
from benchmarks.stateful import memory_mb
from cep.datasets import benchmark_transactions

Numbers = dict[str, Any]
WARM = 2_000  # events that load the kernels and are not measured
BEFORE_S = 2.0  # of work until the first checkpoint


def measured_calls(
    patterns: int, rows: int, cards: int, batch: int | None, every_s: float
) -> Numbers:
    """One pass over the events. `batch`: events per call, None: they come one by one."""
    text = declared(rules("Q1") if patterns == 1 else many_rules(patterns))
    table = benchmark_transactions(rows, cards)
    before_mb, begun = memory_mb(), time.perf_counter()
    compiled = cep.compile(text)
    compile_s = time.perf_counter() - begun
    detector = cep.Detector(compiled)
    start_s = time.perf_counter() - begun - compile_s
    started_mb = memory_mb()
    events: list[Any] = (
        table.to_pylist()
        if batch is None
        else [table.slice(first, batch) for first in range(0, rows, batch)]
    )
    gc.freeze()  # a service would not hold its events of a week
    with tempfile.TemporaryDirectory() as folder:
        seconds, matches, checkpoints = _passed(detector, events, batch, folder, every_s)
    gc.unfreeze()
    warm = WARM if batch is None else WARM // batch
    return {
        "rows": rows - WARM,
        "compile": compile_s,
        "start": start_s,
        "rules_mb": started_mb - before_mb,
        "seconds": float(seconds[warm:].sum()),
        "median": float(np.median(seconds[warm:])),
        "high": [float(np.quantile(seconds[warm:], q)) for q in (0.99, 0.999, 1)],
        "counts": counts_of(seconds[warm:]),
        "checkpoints": checkpoints,
        "matches": matches,
        "right": matches == len(compiled.run(table)),
    }


def _passed(
    detector: cep.Detector, events: list[Any], batch: int | None, folder: str, every_s: float
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], int, list[float]]:
    """(seconds of each call, matches, seconds of each checkpoint)."""
    take = detector.process if batch is None else detector.process_batch
    nanoseconds = np.zeros(len(events))
    clock, matches, written = time.perf_counter_ns, 0, list[float]()
    with _checkpoints(detector, folder, every_s, written):
        for number, event in enumerate(events):
            begun = clock()
            found = take(event)
            nanoseconds[number] = clock() - begun
            matches += len(found)
    return nanoseconds / 1e9, matches, written


def _checkpoints(
    detector: cep.Detector, folder: str, every_s: float, seconds: list[float]
) -> AbstractContextManager[None]:
    """Written by another thread: the first soon, then one every so many seconds."""

    def write(stopping: Event) -> None:
        wait_s = min(BEFORE_S, every_s)
        while not stopping.wait(wait_s):
            begun = time.perf_counter()
            detector.checkpoint(folder)
            seconds.append(time.perf_counter() - begun)
            wait_s = every_s

    return beside(write)


def counts_of(seconds: np.ndarray[Any, np.dtype[np.float64]]) -> list[int]:
    """How many calls took less than 1 microsecond, 2, 4, 8, ...: those of each bin."""
    bins = np.ceil(np.log2(np.maximum(seconds * 1e6, 1))).astype(np.int64)
    return [int(count) for count in np.bincount(bins)]


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for argument in sys.argv[1:]:
        print(json.dumps(measured_calls(**json.loads(argument))))
