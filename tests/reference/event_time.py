"""Event time, event by event: what is late, what comes out and when, in the plainest terms.

A second implementation of what `cep.engine.time` does with whole batches. Events are dicts with the
keys `id`, `time` and the fields of their stream. The log says what happened, in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cep.engine.algebra.pattern import Stream

Event = dict[str, Any]
Entry = tuple[Any, ...]

START = -(2**63) + 1
END = 2**63 - 1


@dataclass
class PlainSource:
    greatest: int
    spoke: int | None
    is_idle: bool = False


@dataclass
class PlainStream:
    """What is known of one stream; `sources` by their values of the partition fields."""

    declared: Stream
    sources: dict[Any, PlainSource] = field(default_factory=dict)
    watermark: int = START
    is_silent: bool = False
    is_finished: bool = False

    @property
    def is_idle(self) -> bool:
        if not self.sources:
            return self.is_silent
        return all(source.is_idle for source in self.sources.values())

    def raise_to_sources(self) -> None:
        lateness = self.declared.lateness_us
        speaking = [s.greatest - lateness - 1 for s in self.sources.values() if not s.is_idle]
        if speaking:
            self.watermark = max(self.watermark, min(speaking))


class PlainEventTime:
    """`log` has ("ready", id), ("late", id, watermark met) and ("implausible", id)."""

    def __init__(self, streams: Iterable[Stream], ahead: int | None = None) -> None:
        self.streams = [PlainStream(stream) for stream in streams]
        self.ahead = ahead
        self.watermark = START
        self.clock: int | None = None
        self.started: int | None = None
        self.held: list[tuple[int, int, int, Event]] = []  # time, stream, arrival, event
        self.arrivals = 0
        self.log: list[Entry] = []
        only = self.streams[0].declared
        waits = only.lateness_us or only.partition or only.tie_breaker is not None
        self.holds = len(self.streams) > 1 or bool(waits)

    def add(self, stream: int, event: Event, clock: int | None) -> None:
        self.read(clock)
        if self.ahead is not None and event["time"] > (self.clock or 0) + self.ahead:
            self.log.append(("implausible", event["id"]))
            return
        self.arrivals += 1
        if event["time"] <= self.watermark:
            self.log.append(("late", event["id"], self.watermark))
        elif self.holds:
            self.held.append((event["time"], stream, self.arrivals, event))
        else:
            self.log.append(("ready", event["id"]))
        known = self.streams[stream]
        key = tuple(str(event[name]) for name in known.declared.partition)
        source = known.sources.setdefault(key, PlainSource(event["time"], self.clock))
        source.greatest = max(source.greatest, event["time"])
        source.spoke, source.is_idle = self.clock, False
        known.raise_to_sources()
        self.raise_to_streams()

    def tick(self, clock: int) -> None:
        self.read(clock)
        for stream in self.streams:
            idle_us = stream.declared.idle_us
            if idle_us is None or self.clock is None or self.started is None:
                continue
            stream.is_silent = self.clock - self.started >= idle_us
            for source in stream.sources.values():
                since = self.started if source.spoke is None else source.spoke
                source.is_idle = source.is_idle or self.clock - since >= idle_us
            stream.raise_to_sources()
        self.raise_to_streams()

    def advance(self, time: int, stream: int | None) -> None:
        for i, known in enumerate(self.streams):
            if stream in (None, i):
                known.watermark = max(known.watermark, time)
        if stream is None:
            self.watermark = max(self.watermark, time)
        self.raise_to_streams()

    def finish(self, stream: int | None) -> None:
        for i, known in enumerate(self.streams):
            known.is_finished = known.is_finished or stream in (None, i)
        self.raise_to_streams()

    def read(self, clock: int | None) -> None:
        if clock is not None:
            self.started = clock if self.started is None else self.started
            self.clock = clock if self.clock is None else max(self.clock, clock)

    def raise_to_streams(self) -> None:
        unfinished = [s for s in self.streams if not s.is_finished]
        counted = [s for s in unfinished if not s.is_idle] or unfinished
        self.watermark = max(self.watermark, min((s.watermark for s in counted), default=END))
        ready = [held for held in self.held if held[0] <= self.watermark]
        self.held = [held for held in self.held if held[0] > self.watermark]
        self.log += [("ready", event["id"]) for *_, event in sorted(ready, key=self.order)]

    def order(self, held: tuple[int, int, int, Event]) -> tuple[Any, ...]:
        time, stream, arrival, event = held
        name = self.streams[stream].declared.tie_breaker
        value = None if name is None else event[name]
        tie = (value is None, 0 if value is None else value)
        return (time, stream, *tie, arrival)
