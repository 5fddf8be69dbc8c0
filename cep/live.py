"""The running part of a detector: arrivals -> event time -> the runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cep.engine.batch import EventBatch
from cep.engine.ingest_merge import as_union, union_schema
from cep.engine.inlet import Inlet
from cep.engine.limits import Limit
from cep.engine.results import Output
from cep.engine.time import Arrived, EventTime, ProcessingTime
from cep.execution import Execution
from cep.rules import Rules


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How a detector runs; see there."""

    time: str
    workers: int
    limits: Mapping[str, Limit]
    in_arrival_order: bool


@dataclass(slots=True)
class Live:
    """Rules bound to live streams, with all their state."""

    execution: Execution
    inlets: dict[str, Inlet]
    numbers: dict[str, int]
    schema: pa.Schema
    time: EventTime | ProcessingTime

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
            time = EventTime(streams, schema, in_order_over_all=options.in_arrival_order)
        numbers = {name: number for number, name in enumerate(plans)}
        return Live(execution, inlets, numbers, schema, time)

    # ------------------------------------------------------------------ what arrives

    def add(self, name: str, batch: EventBatch, clock_us: int, output: Output) -> None:
        """Events of one stream, in the order in which they came."""
        if len(self.inlets) > 1:
            batch = EventBatch(as_union(batch.table, self.schema), batch.time_us)
        self._work(self.time.add(self.numbers[name], batch, clock_us), output)

    def advance(self, name: str | None, time_us: int, output: Output) -> None:
        """A promise of the caller, for one stream or for all."""
        number = None if name is None else self.numbers[name]
        self._work(self.time.advance(time_us, number), output)

    def tick(self, clock_us: int, output: Output) -> None:
        """Time by the clock."""
        self._work(self.time.tick(clock_us), output)

    def finish(self, output: Output) -> None:
        """No event will come any more."""
        self._work(self.time.finish(), output)
        output.extend(self.execution.runtime.finish())
