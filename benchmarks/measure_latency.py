"""The measurements of single events, small batches and many rules; their section of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.measure_stateful import StateSize
from benchmarks.process import WrongOutputError, measured
from benchmarks.report_table import table

WORKER = "benchmarks.latency"
BATCH = 1_000
EVERY_S = 10.0
BAR = 40

TEXT = f"""## Single events and thousands of rules

Dicts of six fields through `Detector.process`, one by one, and tables of {BATCH:,} events through
`process_batch`, on one core. Another thread of the process writes a checkpoint after 2 s and then
every {EVERY_S:g} s; calls that wait for its snapshot, or for the interpreter while it writes, are
among those measured. Microseconds of a call by the clock; *events/s* counts the time inside calls.
Matches equal those of a run over all events at once. *compile* is `cep.compile`, *start* the making
of the detector, *MB* what both add to the resident set, *kB per rule* what each rule behind the
first does.
"""


@dataclass(frozen=True, slots=True)
class Latency:
    """Of `rows` events. Seconds: of all calls, the median one, those at 99%, 99.9% and the longest.

    `counts`: calls of up to 1, 2, 4, 8, ... microseconds, each without those before. `checkpoints`:
    seconds that each took to be written.
    """

    name: str
    rules: int
    rows: int
    compile: float
    start: float
    rules_mb: float
    seconds: float
    median: float
    high: list[float]
    counts: list[int]
    checkpoints: list[float]
    matches: int


def measure_latency(size: StateSize, say: Callable[[str], None]) -> list[Latency]:
    """From one pattern to five thousand. Raises WrongOutputError."""
    patterns = (1, 100) if size.together else (1, 100, 1_000, 5_000)
    return [_measured(size, say, many, batch) for batch in (None, BATCH) for many in patterns]


def _measured(
    size: StateSize, say: Callable[[str], None], patterns: int, batch: int | None
) -> Latency:
    """With many patterns there are fewer events: each takes longer."""
    events = "single events" if batch is None else f"batches of {batch:,}"
    name = f"{events}, {f'{patterns:,} patterns' if patterns > 1 else 'Q1'}"
    say(name)
    job = {
        "patterns": patterns,
        "rows": size.rows // 2 // (1 if patterns == 1 else max(patterns // 50, 4)),
        "cards": size.keys,
        "batch": batch,
        "every_s": EVERY_S,
    }
    (numbers,) = measured(WORKER, [job])
    if not numbers.pop("right"):
        raise WrongOutputError(f"{name}: other matches than a run finds")
    return Latency(name, patterns, **numbers)


def latency_section(found: Sequence[Latency]) -> str:
    """As Markdown."""
    header = ["work", "events", "events/s", "median", "99%", "99.9%", "longest", "checkpoints"]
    rows = [
        [
            one.name,
            f"{one.rows:,}",
            f"{one.rows / one.seconds:,.0f}",
            *(f"{1e6 * seconds:,.0f}" for seconds in (one.median, *one.high)),
            f"{len(one.checkpoints)}",
        ]
        for one in found
    ]
    parts = [TEXT, table(header, rows), "", _of_rules(found)]
    parts += [f"\n{one.name}:\n\n```text\n{histogram(one.counts)}\n```" for one in found[:2]]
    return "\n".join(parts) + "\n"


def _of_rules(found: Sequence[Latency]) -> str:
    """What rules take before the first event, once for each number of them."""
    header = ["patterns", "compile s", "start s", "MB", "kB per rule"]
    each = {one.rules: one for one in found if not one.name.startswith("batches")}
    least = each[1]
    rows = [
        [
            f"{one.rules:,}",
            f"{one.compile:.2f}",
            f"{one.start:.2f}",
            f"{one.rules_mb:.0f}",
            _kb_per_rule(one, least),
        ]
        for one in each.values()
    ]
    return table(header, rows)


def _kb_per_rule(one: Latency, least: Latency) -> str:
    """What the process loads for the first rule is not counted."""
    if one is least:
        return ""
    return f"{1000 * (one.rules_mb - least.rules_mb) / (one.rules - least.rules):.0f}"


def histogram(counts: Sequence[int]) -> str:
    """Calls by their microseconds, on a scale of logarithms: a bar twice as long is a square."""
    lines = []
    first = next((at for at, count in enumerate(counts) if count), 0)
    most = max(counts, default=1)
    for at, count in list(enumerate(counts))[first:]:
        length = round(BAR * count.bit_length() / most.bit_length())
        lines.append(f"up to {2**at:>7,} us {count:>9,} {'#' * length}".rstrip())
    return "\n".join(lines)
