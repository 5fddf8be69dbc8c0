"""Measurements of live streams and state -> their sections of the page."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measure_stateful import (
    Bounded,
    Checkpoint,
    First,
    Live,
    Made,
    StateSize,
    Workers,
)
from benchmarks.report_table import table
from benchmarks.streams import BATCH

LIVE = f"""## Live

Batches of {BATCH:,} events through `Detector.process_batch`, in turns with `rules.run` over all of
them in the same process; CPU seconds. *of a run* is the speed of the detector by that of the run.
*tables* is what `to_arrow` of all matches takes, once for the run and once per batch for the
detector; it is not in the other columns. The tables are equal. The last line reads the same events
shuffled, each less than 30 seconds late, with `lateness 30 seconds`.
"""

WINDOWS = """## Windows and features

`sum(amount)` by {keys:,} integer keys, up to an Arrow table of rows; CPU seconds. *8 a minute* is a
stream of {dense:,} events in which each key has eight events a minute on average, evenly drawn;
*1 a minute* the same in {minutes:.0f} minutes. In *transactions*, the workload above, nearly each
event makes a row of its own, or ten where windows slide. The feature's rows are matches of a
pattern that reads it. Counts of rows and sums of sums equal those of NumPy
(`benchmarks/streams.py`).
"""

WORKERS = """## Two threads

`workers=1` and `workers=2` in turns, in seconds of the clock on {cores} cores, up to a `Result`,
whose tables are made when they are asked for. Results are equal. Keys are drawn evenly but in
*transactions*: there the shards have 59% and 41% of the events, and the larger one is what the
other waits for. Rules that cost less than some 100 nanoseconds an event gain less or nothing: most
of their time is not spent with a key.
"""

BOUNDED = """## Memory over ever-new keys

{events:,} events, {per_second:,} a second of event time, of {keys:,} keys that come five times each
within milliseconds and never again; through a detector with a pattern within 1 minute, a feature
over 1 minute and an aggregate per minute. Resident set of the process in MB, the most since the
line before; {seconds:.0f} CPU seconds in all. The most of the last third is {growth:.2f} times that
of the middle third. Counts are checked over {checked:,} events.
"""

CHECKPOINT = """## Checkpoints

State of {states:,} keys, one thread. *pause* is `Detector.snapshot()`, all that events wait for
(CPU seconds: the median, and *first* the first one, into memory that the process did not have
before: *system* is what the operating system took of it to find that memory); *write* is what the
thread in the background then takes to make it durable, in seconds of the clock. Each restored
detector goes on with every key (checked).
"""

FIRST = """## The first result

CPU seconds of a process from its start to the first rows of 1,000 events: *cold* where kernels must
be compiled, *warm* with kernels on disk; *imports* is the part of Python, NumPy, Arrow and
`import cep`.
"""


def live_section(found: Sequence[Live]) -> str:
    header = ["query", "million events/s", "of a run", "run s", "live s"]
    header += ["tables of the run s", "of the batches s", "matches"]
    rows = [
        [
            one.name,
            f"{one.million_per_second:.2f}",
            f"{one.ratio:.2f}",
            f"{one.run:.3f}",
            f"{one.live:.3f}",
            f"{one.run_tables:.3f}",
            f"{one.live_tables:.3f}",
            f"{one.matches:,}",
        ]
        for one in found
    ]
    return f"{LIVE}\n{table(header, rows)}\n"


def windows_section(found: Sequence[Made], size: StateSize) -> str:
    rows = [
        [
            one.name,
            one.stream,
            f"{one.million_per_second:.2f}",
            f"{one.seconds:.3f}",
            f"{one.events:,}",
            f"{one.rows:,}",
        ]
        for one in found
    ]
    text = WINDOWS.format(
        keys=size.keys,
        dense=size.dense_rows,
        minutes=size.dense_rows / size.keys,
    )
    header = ["window", "stream", "million events/s", "seconds", "events", "rows"]
    return f"{text}\n{table(header, rows)}\n"


def workers_section(found: Sequence[Workers], cores: int) -> str:
    rows = [
        [
            one.name,
            f"{one.ratio:.2f}",
            f"{one.one:.3f}",
            f"{one.two:.3f}",
            f"{one.events / one.two / 1e6:.2f}",
        ]
        for one in found
    ]
    header = ["rules", "times as fast", "one s", "two s", "million events/s with two"]
    return f"{WORKERS.format(cores=cores)}\n{table(header, rows)}\n"


def bounded_section(found: Sequence[Bounded], size: StateSize) -> str:
    lines = []
    for one in found:
        text = BOUNDED.format(
            events=one.events,
            per_second=size.bounded_per_second,
            keys=one.events // 5,
            seconds=one.seconds,
            growth=one.growth,
            checked=size.bounded_checked_rows,
        )
        half = (len(one.curve) + 1) // 2
        rows = [
            [f"{events / 1e6:.1f}", f"{mb:.0f}", *_second(one.curve, place + half)]
            for place, (events, mb) in enumerate(one.curve[:half])
        ]
        header = ["million events", "MB", "million events", "MB"]
        lines.append(f"{text}\n{table(header, rows)}\n")
    return "\n".join(lines)


def _second(curve: Sequence[tuple[int, float]], place: int) -> list[str]:
    """The second half of the curve stands beside the first."""
    if place >= len(curve):
        return ["", ""]
    events, mb = curve[place]
    return [f"{events / 1e6:.1f}", f"{mb:.0f}"]


def checkpoint_section(found: Sequence[Checkpoint], size: StateSize) -> str:
    rows = [
        [
            one.name,
            f"{1e3 * one.pause:.0f}",
            f"{1e3 * one.first:.0f}",
            f"{1e3 * one.first_system:.0f}",
            f"{one.write:.2f}",
            f"{one.size_mb:.0f}",
            f"{one.restore:.2f}",
        ]
        for one in found
    ]
    header = ["state", "pause ms", "first ms", "system ms", "write s", "MB", "restore s"]
    return f"{CHECKPOINT.format(states=size.states)}\n{table(header, rows)}\n"


def first_section(found: Sequence[First]) -> str:
    rows = [[one.name, f"{one.cold:.1f}", f"{one.warm:.2f}", f"{one.imports:.2f}"] for one in found]
    return f"{FIRST}\n{table(['rules', 'cold s', 'warm s', 'imports s'], rows)}\n"
