"""Measurements of live streams and state in a process of their own -> a line of JSON for each.

    python -m benchmarks.stateful '{"job": "windows", "rules": "...", ...}' ...

Times are CPU seconds of the process, where not said otherwise, memory is megabytes (1e6 bytes).
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # to import them is a part of what `first` measures
    import pyarrow as pa

    from cep import Result

Numbers = dict[str, Any]


# ------------------------------------------------------------------ live, beside a run


def live(rules: str, whole_rules: str, rows: int, cards: int, late_us: int, repeat: int) -> Numbers:
    """The events batch by batch through a detector, and all of them in one run, in turns."""
    import pyarrow as pa

    import cep
    from benchmarks.streams import BATCH, shuffled
    from cep.datasets import benchmark_transactions

    table = benchmark_transactions(rows, cards)
    arriving = shuffled(table, late_us) if late_us else table
    batches = [arriving.slice(begin, BATCH) for begin in range(0, rows, BATCH)]
    one, whole = cep.compile(rules), cep.compile(whole_rules)

    def in_batches() -> list[Result]:
        detector = cep.Detector(one)
        results = [detector.process_batch(batch) for batch in batches]
        return [*results, detector.finish()]

    by_batch, by_run = pa.table({}), pa.table({})
    spent: dict[str, list[float]] = {"run": [], "live": [], "run_tables": [], "live_tables": []}
    for _ in range(repeat + 1):
        run = _timed(spent["run"], lambda: whole.run(table))
        by_run = _timed(spent["run_tables"], run.matches.to_arrow)
        results = _timed(spent["live"], in_batches)
        by_batch = _timed(spent["live_tables"], partial(_matches, results))
    return {
        **{name: statistics.median(each[1:]) for name, each in spent.items()},
        "matches": by_batch.num_rows,
        "same": by_batch.equals(by_run),
    }


def _matches(results: list[Result]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables([result.matches.to_arrow() for result in results])


def _timed(
    into: list[float], work: Callable[[], Any], clock: Callable[[], float] = time.process_time
) -> Any:
    started = clock()
    made = work()
    into.append(clock() - started)
    return made


# ------------------------------------------------------------------ windows and features


def windows(rules: str, stream: Numbers, repeat: int) -> Numbers:
    """A run over a stream: its rows and the sum of their sums, or its matches."""
    import cep

    table, compiled = stream_of(stream), cep.compile(rules)
    spent: list[float] = []
    found = [_timed(spent, lambda: _found(compiled.run(table))) for _ in range(repeat + 1)]
    assert all(each == found[0] for each in found), found
    return {"seconds": statistics.median(spent[1:]), **found[0]}


def workers(rules: str, stream: Numbers, repeat: int) -> Numbers:
    """Runs with one and with two threads, in turns, in seconds of the clock, without tables."""
    import cep

    table, compiled = stream_of(stream), cep.compile(rules)
    spent: dict[int, list[float]] = {1: [], 2: []}
    found: list[Numbers] = []
    for _ in range(repeat + 1):
        for count, each in spent.items():
            run = partial(compiled.run, table, workers=count)
            found.append(_found(_timed(each, run, time.perf_counter)))
    assert all(each == found[0] for each in found), found
    one, two = (statistics.median(each[1:]) for each in spent.values())
    return {"one": one, "two": two, **found[0]}


def _found(result: Result) -> Numbers:
    """Rows (or matches, as a table), and the sum of sums in cents."""
    if "total" not in result.tables:
        return {"rows": result.matches.to_arrow().num_rows, "total": 0}
    rows = result.tables["total"]
    return {"rows": rows.num_rows, "total": round(100 * rows["total"].to_numpy().sum())}


def stream_of(stream: Numbers) -> pa.Table:
    """A dense stream, or where `per_minute` is 0 the transactions."""
    from benchmarks.streams import dense_stream
    from cep.datasets import benchmark_transactions

    if stream["per_minute"]:
        return dense_stream(**stream)
    return benchmark_transactions(stream["rows"], stream["keys"])


# ------------------------------------------------------------------ memory


def bounded(rules: str, rows: int, per_second: int, points: int) -> Numbers:
    """Ever-new keys through a detector, and the most memory since the point before."""
    import cep
    from benchmarks.streams import ever_new_keys

    detector = cep.Detector(rules)
    curve: list[tuple[int, float]] = []
    matches, total, done, most = 0, 0, 0, 0.0
    for batch in ever_new_keys(rows, per_second):
        found = detector.process_batch(batch)
        matches += len(found.matches)
        total += _found(found)["total"]
        done += len(batch)
        most = max(most, memory_mb())
        if done * points >= rows * (len(curve) + 1):
            curve.append((done, most))
            most = 0.0
            print(f"{done / 1e6:7.2f} M events {curve[-1][1]:6.0f} MB", file=sys.stderr, flush=True)
    found = detector.finish()
    total += _found(found)["total"]
    return {
        "curve": curve,
        "matches": matches + len(found.matches),
        "total": total,
        "seconds": time.process_time(),
    }


def memory_mb() -> float:
    """What the process holds now."""
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (row for row in status if row.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6


# ------------------------------------------------------------------ checkpoints


def checkpoint(rules: str, keys: int, text: bool, repeat: int) -> Numbers:
    """State of so many keys: the pause of a snapshot, the write in the background, the way back.

    `first` is the first pause, `first_system` what of it the operating system took (to find
    memory), `pause` the median of later ones.
    """
    import cep
    from benchmarks.streams import BATCH, one_event_per_key
    from cep.engine.checkpoint.background import CheckpointWriter
    from cep.engine.checkpoint.store import CheckpointStore

    small = cep.Detector(rules)  # kernels are loaded before anything is measured
    small.process_batch(one_event_per_key(1_000, text=text))
    small.snapshot()
    detector = cep.Detector(rules)
    events = one_event_per_key(keys, text=text)
    for begin in range(0, keys, BATCH):
        detector.process_batch(events.slice(begin, BATCH))
    pauses: list[float] = []
    before = os.times().system
    snapshot: Any = _timed(pauses, detector.snapshot)
    first_system = os.times().system - before
    for _ in range(repeat):
        snapshot = _timed(pauses, detector.snapshot)
    with tempfile.TemporaryDirectory() as folder, CheckpointStore(folder) as store:
        with CheckpointWriter(store) as writer:
            writer.submit(snapshot)
            writer.result()
            cost = writer.metrics
        back: list[float] = []
        again = _timed(back, lambda: cep.Detector.restore(folder, rules))
    later = one_event_per_key(keys, text=text, amount=99, later_us=60_000_000)
    results = [again.process_batch(later), again.finish()]
    return {
        "first": pauses[0],
        "first_system": first_system,
        "pause": statistics.median(pauses[1:]),
        "write": cost.seconds,
        "size_mb": cost.size_bytes / 1e6,
        "restore": back[0],
        "rows": sum(_found(result)["rows"] for result in results),
    }


# ------------------------------------------------------------------ the first result


def first(rules: str) -> Numbers:
    """All that a process needs until its first result: imports, rules, kernels, 1,000 events."""
    import cep

    imported = time.process_time()
    found = _found(cep.compile(rules).run(stream_of({"rows": 1_000, "keys": 5, "per_minute": 8})))
    return {"imports": imported, "all": time.process_time(), "rows": found["rows"]}


JOBS: dict[str, Callable[..., Numbers]] = {
    "live": live,
    "windows": windows,
    "workers": workers,
    "bounded": bounded,
    "checkpoint": checkpoint,
    "first": first,
}


def main(job: Numbers) -> Numbers:
    """Run one job: on one core, but for `workers`."""
    work = JOBS[job.pop("job")]
    if work is not workers and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    return work(**job)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(json.dumps(main(json.loads(argument))))
