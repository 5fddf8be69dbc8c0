"""A detector at one moment -> named values, the same for every system that collects them.

FAMILIES is the list of all metrics: what each is called, what it means, how it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from itertools import islice
from typing import Any, Protocol

from cep.engine.algebra.errors import DataError
from cep.observability.histogram import Histogram
from cep.observability.measured import Labels, Measured

RULES_MAX = 1_000


class Readable(Protocol):
    """What is read: a `cep.Detector`."""

    measured: Measured

    @property
    def lock(self) -> AbstractContextManager[Any]: ...

    def status(self) -> dict[str, Any]: ...


class Kind(Enum):
    """How values of a family change."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Reading:
    """A detector at one moment. `rules`: those that have values of their own."""

    status: Mapping[str, Any]
    rules: Mapping[str, Mapping[str, Any]]
    now_us: int
    calls: Mapping[str, Histogram]
    failed: Mapping[str, int]
    checkpoint_seconds: Histogram
    checkpoint_bytes: Histogram
    checkpoint_failures: int
    last_checkpoint_us: int | None


Value = float | Histogram
Samples = Iterable[tuple[Labels, Value]]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `name` has its unit at its end, and no `_total`."""

    name: str
    kind: Kind
    help: str
    read: Callable[[Reading], Samples]
    labels: Labels = ()
    unit: str = ""


def check_rules_max(rules_max: int) -> int:
    """The same. Raises DataError for a number of rules that cannot be."""
    if rules_max < 0:
        raise DataError(f"rules_max={rules_max}: it is at least 0")
    return rules_max


def read(detector: Readable, rules_max: int | None = RULES_MAX) -> Reading:
    """The detector between two calls. O(rules), some 15 microseconds each.

    The first `rules_max` rules (None: all) have values of their own.
    """
    with detector.lock:
        status, measured = detector.status(), detector.measured
        checkpoints = measured.checkpoints
        return Reading(
            status,
            dict(islice(status["nodes"].items(), rules_max)),
            measured.clock(),
            {call: seconds.copy() for call, seconds in measured.calls.items()},
            {call: measured.failed[call] for call in measured.calls},
            checkpoints.seconds.copy(),
            checkpoints.bytes.copy(),
            checkpoints.failures,
            checkpoints.last_us,
        )


def counters_of(detector: Readable) -> dict[tuple[str, Labels], float]:
    """All counters as they are now: (family, labels) -> value."""
    reading = read(detector, None)
    return {
        (family.name, labels): value
        for family in FAMILIES
        if family.kind is Kind.COUNTER
        for labels, value in family.read(reading)
        if value and not isinstance(value, Histogram)
    }


def samples(
    family: Family, reading: Reading, begun_with: dict[tuple[str, Labels], float]
) -> Iterator[tuple[Labels, Value]]:
    """The values of a family; counters from 0 on, whatever this process has taken over.

    A counter that comes back after a crash with a little less than it had is, to those who collect
    it, one that was reset and counted all of it again.
    """
    for labels, value in family.read(reading):
        if family.kind is not Kind.COUNTER or isinstance(value, Histogram):
            yield labels, value
            continue
        before = begun_with.get((family.name, labels), 0)
        if value < before:  # its state was lost since: it has begun again
            before = begun_with[family.name, labels] = 0
        yield labels, value - before


# -- how values are read ---------------------------------------------------------------------------


def _total(key: str) -> Callable[[Reading], Samples]:
    return lambda reading: [((), reading.status[key])]


def _sum(key: str) -> Callable[[Reading], Samples]:
    """Over all rules, those without values of their own too."""
    return lambda reading: [
        ((), sum(node.get(key, 0) for node in reading.status["nodes"].values()))
    ]


def _by_rule(key: str) -> Callable[[Reading], Samples]:
    return lambda reading: [
        ((name,), node[key]) for name, node in reading.rules.items() if key in node
    ]


def _by_stream(key: str) -> Callable[[Reading], Samples]:
    return lambda reading: [
        ((name,), stream[key]) for name, stream in reading.status["streams"].items()
    ]


def _state_bytes(reading: Reading) -> Samples:
    parts = {**reading.status["state_bytes"], "waiting": reading.status["bytes_held"]}
    return [((part,), size) for part, size in parts.items()]


def _lag(reading: Reading) -> Samples:
    return [((), seconds) for seconds in _behind(reading, reading.status)]


def _lag_by_stream(reading: Reading) -> Samples:
    streams = reading.status["streams"].items()
    return [((name,), seconds) for name, one in streams for seconds in _behind(reading, one)]


def _behind(reading: Reading, what: Mapping[str, Any]) -> list[float]:
    """Seconds by which the watermark is behind the clock, where there is one."""
    if what["watermark"] is None:
        return []
    watermark = datetime.fromisoformat(what["watermark"]).replace(tzinfo=UTC)
    return [reading.now_us / 1e6 - watermark.timestamp()]


def _last_checkpoint(reading: Reading) -> Samples:
    last_us = reading.last_checkpoint_us
    return [] if last_us is None else [((), last_us / 1e6)]


COUNTER, GAUGE, HISTOGRAM = Kind
RULE, STREAM, CALL, PART = ("rule",), ("stream",), ("call",), ("part",)

FAMILIES = (
    Family("cep_events", COUNTER, "Events taken in, those with errors too.", _total("events")),
    Family("cep_matches", COUNTER, "Matches of all patterns.", _total("matches")),
    Family("cep_timeouts", COUNTER, "Runs that ran out of time and were told.", _total("timeouts")),
    Family("cep_rows", COUNTER, "Rows of aggregates and joins.", _total("rows")),
    Family(
        "cep_late_events",
        COUNTER,
        "Events behind the watermark that no window took.",
        _total("late"),
    ),
    Family(
        "cep_errors",
        COUNTER,
        "Events set aside, and conditions and select lists that failed.",
        _total("errors"),
    ),
    Family(
        "cep_implausible_events",
        COUNTER,
        "Events too far ahead of the clock; they are among the errors.",
        _total("implausible"),
    ),
    Family("cep_refused_runs", COUNTER, "Runs that a limit refused.", _sum("refused_runs")),
    Family("cep_dropped_runs", COUNTER, "Runs that a limit dropped.", _sum("dropped_runs")),
    Family("cep_rules", GAUGE, "Patterns, aggregates and joins.", lambda r: [((), _rules(r))]),
    Family(
        "cep_rules_unlisted",
        GAUGE,
        "Rules beyond the most that have series of their own.",
        lambda r: [((), _rules(r) - len(r.rules))],
    ),
    Family("cep_open_runs", GAUGE, "Partial matches in progress.", _sum("open_runs")),
    Family("cep_held_events", GAUGE, "Events that wait for the watermark.", _total("events_held")),
    Family(
        "cep_state_bytes",
        GAUGE,
        "Memory of state by what it is of; texts are not counted.",
        _state_bytes,
        PART,
        "bytes",
    ),
    Family(
        "cep_watermark_lag_seconds",
        GAUGE,
        "The clock less the watermark; none before the first event and after the last.",
        _lag,
        unit="seconds",
    ),
    Family("cep_stream_events", COUNTER, "Events of a stream.", _by_stream("events"), STREAM),
    Family(
        "cep_stream_late_events",
        COUNTER,
        "Events of a stream behind its watermark.",
        _by_stream("late"),
        STREAM,
    ),
    Family(
        "cep_stream_watermark_lag_seconds",
        GAUGE,
        "The clock less the watermark of a stream.",
        _lag_by_stream,
        STREAM,
        "seconds",
    ),
    Family(
        "cep_stream_idle",
        GAUGE,
        "1 where a stream is not waited for because it is silent.",
        lambda r: [((name,), int(s["idle"])) for name, s in r.status["streams"].items()],
        STREAM,
    ),
    Family("cep_rule_matches", COUNTER, "Matches of a pattern.", _by_rule("matches"), RULE),
    Family(
        "cep_rule_timeouts", COUNTER, "Timed-out runs of a pattern.", _by_rule("timeouts"), RULE
    ),
    Family("cep_rule_rows", COUNTER, "Rows of an aggregate or join.", _by_rule("rows"), RULE),
    Family("cep_rule_errors", COUNTER, "What failed in a rule.", _by_rule("errors"), RULE),
    Family(
        "cep_rule_open_runs",
        GAUGE,
        "Partial matches of a pattern in progress.",
        _by_rule("open_runs"),
        RULE,
    ),
    Family(
        "cep_rule_state_bytes",
        GAUGE,
        "Memory of a rule's runs or windows.",
        _by_rule("bytes"),
        RULE,
        "bytes",
    ),
    Family(
        "cep_latency_seconds",
        HISTOGRAM,
        "Time that calls took, without the wait for other threads.",
        lambda r: [((call,), seconds) for call, seconds in r.calls.items()],
        CALL,
        "seconds",
    ),
    Family(
        "cep_failed_calls",
        COUNTER,
        "Calls that raised an error.",
        lambda r: [((call,), times) for call, times in r.failed.items()],
        CALL,
    ),
    Family(
        "cep_checkpoint_duration_seconds",
        HISTOGRAM,
        "Time from the call until a checkpoint was safe.",
        lambda r: [((), r.checkpoint_seconds)],
        unit="seconds",
    ),
    Family(
        "cep_checkpoint_size_bytes",
        HISTOGRAM,
        "Size of checkpoints.",
        lambda r: [((), r.checkpoint_bytes)],
        unit="bytes",
    ),
    Family(
        "cep_checkpoint_failures",
        COUNTER,
        "Checkpoints that could not be written.",
        lambda r: [((), r.checkpoint_failures)],
    ),
    Family(
        "cep_last_checkpoint_timestamp_seconds",
        GAUGE,
        "When the last checkpoint was safe, in seconds since 1970.",
        _last_checkpoint,
        unit="seconds",
    ),
)


def _rules(reading: Reading) -> int:
    return len(reading.status["nodes"])
