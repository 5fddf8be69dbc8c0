"""What a detector counts of itself while it works: plain integers, read when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from cep.engine.checkpoint.store import CheckpointInfo
from cep.engine.results import Output
from cep.engine.state.snapshot import Snapshot
from cep.observability.histogram import (
    BYTES_OF_CHECKPOINTS,
    SECONDS_OF_CALLS,
    SECONDS_OF_CHECKPOINTS,
    Histogram,
)
from cep.observability.logs import LimitCounts, Log
from cep.results.result import Result

TOTALS = ("events", "matches", "timeouts", "late", "errors", "rows")
OF_RULES = ("matches", "timeouts", "rows", "errors")
NONE = (0,) * len(OF_RULES)
CALLS = ("process", "process_batch", "advance_to", "tick", "snapshot", "update")

LOOK_EVERY_S = 10.0

Labels = tuple[str, ...]
Counted = Mapping[tuple[str, Labels], float]


class Spans(Protocol):
    """What a tracing system puts around calls."""

    def around(
        self, call: str, lock: AbstractContextManager[Any]
    ) -> AbstractContextManager[Callable[[object], None]]:
        """Holds the lock; gives what is to be told the result of the call."""
        ...


class Checkpoints:
    """How long checkpoints took (the snapshot included), how large they were, which have failed.

    `last_us`: the clock when the last one was safe, None before there is one.
    """

    def __init__(self) -> None:
        self.seconds = Histogram(SECONDS_OF_CHECKPOINTS)
        self.bytes = Histogram(BYTES_OF_CHECKPOINTS)
        self.failures = 0
        self.last_us: int | None = None


class Measured:
    """The counts of one detector; whoever changes them holds its lock.

    `totals` and `of_rules` (rule -> counts in the order of OF_RULES) are those since the very first
    start and part of snapshots; all else begins with the process. `begun_with`: what counters of
    this process had when it took over a snapshot. `calls`: seconds of each call, the wait for other
    threads not included.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.totals: Counter[str] = Counter()
        self.of_rules: dict[str, list[int]] = {}
        self.calls = {name: Histogram(SECONDS_OF_CALLS) for name in CALLS}
        self.failed: Counter[str] = Counter()
        self.checkpoints = Checkpoints()
        self.log = Log()
        self.spans: Spans | None = None
        self.look_at = 0.0  # the time at which to look at the limits again
        self.begun_with: dict[tuple[str, Labels], float] = {}

    # ------------------------------------------------------------------ while it works

    def found(self, output: Output, result: Result) -> None:
        """Count what came out of a call; next to nothing where nothing did."""
        for batch in output.matches:
            self._count("matches", 0, batch.pattern.name, len(batch))
        for batch in output.timeouts:
            self._count("timeouts", 1, batch.pattern.name, len(batch))
        for rows in output.rows:
            self._count("rows", 2, rows.name, len(rows))
        if output.late:
            self.totals["late"] += sum(map(len, output.late))
        errors = None
        if output.errors or output.matches or output.timeouts:  # select lists may fail, too
            errors = result.errors
            for (_, rule, _), size in errors.counts().items():
                self._count("errors", 3, rule, size)
        if output.late or errors:
            self.log.found(output, errors)

    def _count(self, what: str, place: int, rule: str | None, size: int) -> None:
        self.totals[what] += size
        if rule is not None and size:
            self.of_rules.setdefault(rule, [*NONE])[place] += size

    def has_failed(self, call: str, error: BaseException) -> None:
        """A call raises this."""
        self.failed[call] += 1
        self.log.failed(call, error)

    def wrote(self, info: CheckpointInfo, seconds: float) -> None:
        """A checkpoint is safe, so many seconds after it was asked for."""
        self.checkpoints.seconds.add(seconds)
        self.checkpoints.bytes.add(info.size_bytes)
        self.checkpoints.last_us = self.clock()

    def look(self, now: float, limits: LimitCounts) -> None:
        """Say what limits have done, now and then."""
        self.look_at = now + LOOK_EVERY_S
        self.log.limits(limits)

    def keep(self, rules: Collection[str]) -> None:
        """Forget the counts of rules that there are no more."""
        self.of_rules = {name: n for name, n in self.of_rules.items() if name in rules}

    # ------------------------------------------------------------------ in a status

    def counts(self) -> dict[str, int]:
        """The totals, by name."""
        return {name: self.totals[name] for name in TOTALS}

    def with_counts(
        self, nodes: Mapping[str, Mapping[str, Any]], with_rows: Collection[str]
    ) -> dict[str, dict[str, Any]]:
        """What is known of each rule, with its counts. `with_rows`: the aggregates and joins."""
        found = {}
        for name, known in nodes.items():
            matches, timeouts, rows, errors = self.of_rules.get(name, NONE)
            out = (
                {"rows": rows} if name in with_rows else {"matches": matches, "timeouts": timeouts}
            )
            found[name] = {**out, "errors": errors, **known}
        return found

    # ------------------------------------------------------------------ in a snapshot

    def snapshot(self) -> Snapshot:
        """The counts since the very first start."""
        return {
            "counts": dict(self.totals),
            "counts_of_rules": {name: list(counts) for name, counts in self.of_rules.items()},
        }

    def restore(self, saved: Mapping[str, Any], rules: Iterable[str]) -> None:
        """Go on counting; snapshots of before there were counts of rules have none of them."""
        self.totals = Counter(saved["counts"])
        of_rules = saved.get("counts_of_rules", {})
        self.of_rules = {name: list(of_rules[name]) for name in rules if name in of_rules}
