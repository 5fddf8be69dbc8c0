"""What `Detector.status()` returns: plain values that `json.dumps` takes.

Times are ISO 8601 texts in UTC, None before the first event and after the end of all. Counts are
those since the very first start: a restore goes on counting.
"""

from __future__ import annotations

from typing import TypedDict


class SourceStatus(TypedDict):
    """One source of a stream: its values of the fields behind `by`, as texts; none without `by`."""

    source: list[str]
    watermark: str | None
    idle: bool
    late: int


class StreamStatus(TypedDict):
    """One stream; several with one watermark (`in_arrival_order`) are one.

    `latest`: the greatest time seen. `idle`: it is silent and not waited for. `late`: events behind
    its watermark, those that a window took too. `slowest_sources`: at most five that speak.
    """

    watermark: str | None
    latest: str | None
    lateness_seconds: float
    idle: bool
    finished: bool
    events: int
    late: int
    sources: int
    slowest_sources: list[SourceStatus]


class RuleStatus(TypedDict, total=False):
    """A pattern, an aggregate or a join. All of them have `errors` and `bytes`.

    Patterns have `matches` and `timeouts`; aggregates and joins `rows`. Patterns and joins have
    `open_runs` (partial matches in progress), `held_back` (matches that wait for runs that began
    earlier) and what limits have done: `refused_runs`, `dropped_runs`. Aggregates have `panes`: the
    windows, or parts of them, of single keys that are held. `bytes`: of runs or windows.
    """

    matches: int
    timeouts: int
    rows: int
    errors: int
    open_runs: int
    held_back: int
    refused_runs: int
    dropped_runs: int
    panes: int
    bytes: int


class StateBytes(TypedDict, total=False):
    """Memory by what it is for, used or spare; empty before the first event is known.

    `runs` and `windows` of rules, what `features` hold, `events` that runs have taken, `keys`.
    Texts and what Python functions hold are not counted.
    """

    runs: int
    windows: int
    features: int
    events: int
    keys: int


class Status(TypedDict):
    """A detector between two calls.

    `rules` is their name. `late`: events that no window took. `errors`: events set aside, and
    conditions and select lists that failed. `events_held`, `bytes_held`, `oldest_held`: events that
    wait for the watermark. `implausible`: events too far ahead of the clock. `ignored_fields`: of
    each stream the columns that its declaration does not have.
    """

    rules: str
    finished: bool
    events: int
    matches: int
    timeouts: int
    late: int
    errors: int
    rows: int
    watermark: str | None
    held_back_by: str | None
    events_held: int
    bytes_held: int
    oldest_held: str | None
    implausible: int
    streams: dict[str, StreamStatus]
    ignored_fields: dict[str, list[str]]
    nodes: dict[str, RuleStatus]
    state_bytes: StateBytes
