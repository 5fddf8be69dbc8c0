"""The running part of a detector: arrivals -> event time -> the runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from cep.engine.batch import EventBatch
from cep.engine.ingest.event_time import EARLIEST_US, LATEST_US
from cep.engine.ingest.inlet import Inlet
from cep.engine.ingest.merge import union_schema
from cep.engine.ingest.unknown_fields import naming_unknown
from cep.engine.kernels.jit import when_compiling
from cep.engine.kernels.layout import NEVER
from cep.engine.results import ErrorBatch, Output
from cep.engine.single.reading import EventReader, NotPlainError
from cep.engine.state.limits import Limit
from cep.engine.state.restoring import Restored
from cep.engine.state.snapshot import Snapshot, Value
from cep.engine.time.arrivals import Arrived
from cep.engine.time.event_time import EventTime
from cep.engine.time.lane import START_US
from cep.engine.time.moved import moved
from cep.engine.time.processing_time import ProcessingTime
from cep.engine.time.watermarks import HeldBy, StreamStatus
from cep.execution import Execution
from cep.progress import say_compiling
from cep.rules import Rules

IMPLAUSIBLE = "the event's time is too far ahead of the clock"
WATCHED_MAX = (
    100  # single events by which kernels are compiled, if at all: watching takes 3 us each
)


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How a detector runs; see there."""

    time: str
    workers: int
    limits: Mapping[str, Limit]
    in_arrival_order: bool
    ahead_us: int | None
    held_max: int | None


@dataclass(slots=True)
class Live:
    """Rules bound to live streams, with all their state."""

    execution: Execution
    inlets: dict[str, Inlet]
    numbers: dict[str, int]
    schema: pa.Schema
    time: EventTime | ProcessingTime
    reader: EventReader | None = None  # where single events may go past the columns
    watched: int = 0  # single events after which kernels may have been compiled

    @staticmethod
    def start(
        rules: Rules, inlets: dict[str, Inlet], tables: Mapping[str, Any], options: LiveOptions
    ) -> Live:
        """Bind the rules to what the streams look like. Raises RuleError, DataError."""
        plans = {name: inlet.plan for name, inlet in inlets.items()}
        if len(plans) == 1:
            schema = next(iter(plans.values())).schema
        else:
            schema = union_schema({name: plan.schema for name, plan in plans.items()})
        streams = [plan.stream for plan in plans.values()]
        execution = Execution.start(
            rules,
            streams,
            schema,
            [frozenset(plan.schema.names) for plan in plans.values()],
            tables=tables,
            workers=options.workers,
            limits=options.limits,
        )
        time: EventTime | ProcessingTime
        if options.time == "processing":
            time = ProcessingTime(streams, schema)
        else:
            time = EventTime(
                streams,
                schema,
                ahead_us=options.ahead_us,
                held_max=options.held_max,
                in_order_over_all=options.in_arrival_order,
            )
        numbers = {name: number for number, name in enumerate(plans)}
        live = Live(execution, inlets, numbers, schema, time)
        live.reader = live.single_events_reader()
        return live

    def single_events_reader(self) -> EventReader | None:
        """What reads single events; None where they need the way of batches."""
        if len(self.inlets) > 1 or not self.time.holds_nothing:
            return None
        (inlet,) = self.inlets.values()
        reader = EventReader(inlet)
        runtime = self.execution.runtime
        return reader if reader.is_possible and runtime.takes_single_events(self.schema) else None

    # ------------------------------------------------------------------ what arrives

    @when_compiling(say_compiling)
    def add(self, name: str, batch: EventBatch, clock_us: int, output: Output) -> None:
        """Events of one stream, in the order in which they came."""
        self._work(self.time.add(self.numbers[name], batch, clock_us), output)

    def add_one(self, event: Any, clock_us: int) -> Output | None:
        """One event of the only stream, past the columns; None: nothing came out.

        Raises NotPlainError where it needs the way of batches: nothing has changed then.
        """
        if self.reader is None:
            raise NotPlainError
        read = self.reader.read(event)
        time_us = self.time.passes(0, read.time_us, clock_us)
        if time_us is None:
            raise NotPlainError
        output = self._process_one(read.values, time_us)
        self.time.take_next(0, time_us, clock_us)
        return output

    def _process_one(self, values: list[Any], time_us: int) -> Output | None:
        process = self.execution.runtime.process_one
        if self.watched >= WATCHED_MAX:
            return process(values, time_us)
        self.watched += 1
        with when_compiling(say_compiling):
            return process(values, time_us)

    @when_compiling(say_compiling)
    def advance(self, name: str | None, time_us: int, output: Output) -> None:
        """A promise of the caller, for one stream or for all."""
        number = None if name is None else self.numbers[name]
        self._work(self.time.advance(time_us, number), output)

    @when_compiling(say_compiling)
    def tick(self, clock_us: int, output: Output) -> None:
        """Time by the clock."""
        self._work(self.time.tick(clock_us), output)

    @when_compiling(say_compiling)
    def finish(self, output: Output, name: str | None = None) -> None:
        """No event of the stream, or of any, will come any more."""
        number = None if name is None else self.numbers[name]
        self._work(self.time.finish(number), output)
        if name is None:
            output.extend(self.execution.runtime.finish())

    def _work(self, arrived: Arrived, output: Output) -> None:
        """What has been set free, late events where they came."""
        runtime = self.execution.runtime
        for step in arrived.steps():
            if len(step.ready):
                output.extend(runtime.process(step.ready))
            if START_US < step.watermark_us < NEVER:
                output.extend(runtime.advance_to(step.watermark_us))
            if len(step.late):
                output.extend(runtime.process_late(step.late))
        if len(arrived.implausible):
            events = arrived.implausible
            output.errors.append(ErrorBatch(IMPLAUSIBLE, events.table, events.time_us))

    # ------------------------------------------------------------------ from outside

    def told(self, errors: list[ErrorBatch]) -> list[ErrorBatch]:
        """The errors as they are shown: those of missing fields name unknown ones."""
        return naming_unknown(errors, self._ignored()) if errors else errors

    def _ignored(self) -> dict[str, set[str]]:
        return {name: inlet.ignored for name, inlet in self.inlets.items() if inlet.ignored}

    def status(self) -> dict[str, Any]:
        """Watermarks, who holds them back, and what is open, as plain values."""
        time = self.time.status()
        return {
            "watermark": _iso(time.watermark_us),
            "held_back_by": _holder(time.held_by),
            "events_held": time.held,
            "bytes_held": time.held_bytes,
            "oldest_held": _iso(time.oldest_held_us),
            "implausible": time.implausible,
            "streams": {stream.stream: _stream_status(stream) for stream in time.streams},
            "ignored_fields": {name: sorted(known) for name, known in self._ignored().items()},
            **self.execution.runtime.status(),
        }

    # ------------------------------------------------------------------ state

    def snapshot(self) -> Snapshot:
        """A copy of everything."""
        return {
            "streams": list(self.numbers),
            "time": self.time.snapshot(),
            "runtime": self.execution.runtime.snapshot(),
        }

    def restore(self, saved: Mapping[str, Value], clock_us: int) -> Restored:
        """Go on from a snapshot, in a new `Live`."""
        time = moved(saved["time"], saved["streams"], list(self.numbers), self.time)
        self.time.restore(time, clock_us)
        return self.execution.runtime.restore(saved["runtime"])


def _holder(held_by: HeldBy | None) -> str | None:
    """Who holds the watermark back, where somebody does."""
    if held_by is None or held_by.behind_us == 0:
        return None
    return str(held_by).rstrip(",")


def _stream_status(stream: StreamStatus) -> dict[str, Any]:
    return {
        "watermark": _iso(stream.watermark_us),
        "latest": _iso(stream.latest_us),
        "lateness_seconds": stream.lateness_us / 1e6,
        "idle": stream.is_idle,
        "finished": stream.is_finished,
        "events": stream.events,
        "late": stream.late,
        "sources": stream.sources,
        "slowest_sources": [
            {
                "source": [str(part) for part in source.source],
                "watermark": _iso(source.watermark_us),
                "idle": source.is_idle,
                "late": source.late,
            }
            for source in stream.slowest
        ],
    }


def _iso(time_us: int | None) -> str | None:
    """A time as ISO 8601 text, in UTC; None where there is none, or it is the end of all time."""
    if time_us is None or not EARLIEST_US <= time_us <= LATEST_US:
        return None
    return (datetime(1970, 1, 1) + timedelta(microseconds=time_us)).isoformat()  # noqa: DTZ001
