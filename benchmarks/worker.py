"""One measurement in a process of its own, on one core -> one line of JSON.

    python -m benchmarks.worker '{"rules": "...", "rows": 2000000, "cards": 50000, "repeat": 5}'

The parent starts it with the thread pools limited to one and reads the line. With "path" the data
are streamed from that file, else they are generated and held in memory as an Arrow table.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job. Times are seconds, memory is megabytes of resident set."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import pyarrow as pa

    import cep
    from cep.datasets import benchmark_transactions

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    data = job.get("path") or benchmark_transactions(job["rows"], job["cards"])

    started = time.perf_counter()
    rules = cep.compile(job["rules"])
    compiled = time.perf_counter() - started

    started = time.perf_counter()
    rules.run(benchmark_transactions(1_000, 50)).matches.to_arrow()
    warm_up = time.perf_counter() - started

    before = peak_mb()
    seconds, matches = [], -1
    for _ in range(job["repeat"]):
        started = time.perf_counter()
        results = rules.stream(data) if job.get("path") else [rules.run(data)]
        matches = sum(result.matches.to_arrow().num_rows for result in results)
        seconds.append(time.perf_counter() - started)
    return {
        "compile": compiled,
        "warm_up": warm_up,
        "seconds": statistics.median(seconds),
        "matches": matches,
        "before_mb": before,
        "peak_mb": peak_mb(),
    }


def peak_mb() -> float:
    """The most memory this process has held so far.

    Linux's getrusage would count what the parent held when it started this process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
