"""One pattern as single events meet it: an event and its key in, a step of the run kernel."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import DataType, Expression, Field
from cep.engine.algebra.plan import EVENT_TIME
from cep.engine.batch import Int64s
from cep.engine.kernels import layout
from cep.engine.kernels.conditions import INPUT_STATE, INPUT_WORD, VALID
from cep.engine.operators.fed import Failure
from cep.engine.operators.match import Faults, MatchOperator
from cep.engine.runtime.reporting import FromRuns
from cep.engine.single.inputs import TIME_AT
from cep.engine.state.interning import TextCodes

ROW = struct.Struct("=5q")  # time, sequence, slot, mask, valid inputs
Writer = Callable[[int, Any], None]


@dataclass(slots=True)
class Event:
    """An event on its way through the patterns."""

    values: Sequence[Any]
    time_us: int
    sequence: int


class SinglePattern:
    """A pattern's runs of the only shard.

    `computed`: which row of `values`, shape (v, 2), an input is, where it is no field.
    """

    def __init__(
        self,
        operator: MatchOperator,
        schema: pa.Schema,
        texts: TextCodes,
        computed: Mapping[Expression, int],
        values: Int64s,
    ) -> None:
        self.operator = operator
        self.settles = operator.tables.flat.settles
        self._texts = texts
        self._values = values
        inputs = operator.tables.machine.inputs
        rows = np.zeros((1, layout.EVENT_FIELDS), np.int64)
        words = np.zeros((1, len(inputs)), np.int64)
        self._rows, self._words, self._floats = rows, words, words.view(np.float64)
        self._events = layout.Events(rows, words, self._floats, np.empty(0, np.int64))
        self._ordered = operator.tables.machine.uses_text_order
        self._fields: list[tuple[int, int, Writer]] = []
        self._computed: list[tuple[int, int]] = []
        for number, expression in enumerate(inputs):
            if isinstance(expression, Field):
                name = expression.name
                at = TIME_AT if name == EVENT_TIME else schema.names.index(name)
                self._fields.append((number, at, self._writer(expression)))
            else:
                self._computed.append((number, computed[expression]))

    def step(self, event: Event, code: int, mask: int, *, begins: bool) -> bool:
        """Offer the event to the runs of its key. Whether something has captured it."""
        runs = self.operator.shards[0].runs
        slot = runs.slot_for(code, event.time_us) if begins else runs.slot_of(code)
        if slot < 0:
            return False
        valid = self._write_inputs(event)
        ROW.pack_into(self._rows.data, 0, event.time_us, event.sequence, slot, mask, valid)
        if self._ordered:
            self._events = self._events._replace(text_rank=self._texts.rank())
        runs.process(self._events)
        arena = runs.arena
        count = arena.counters[layout.NODES]
        return bool(count and arena.nodes[count - 1, layout.NODE_SEQUENCE] == event.sequence)

    def told(self, number: int) -> FromRuns | None:
        """What has come out; None: nothing."""
        counters = self.operator.shards[0].runs.arena.counters
        if not counters[layout.FOUND] and not counters[layout.TIMED_OUT]:
            return None
        runs = self.operator.shards[0].runs
        return FromRuns(number, runs.take_found(), runs.take_timed_out(), runs.take_ended())

    def failures(self) -> list[Failure]:
        """What programs of the last step could not compute, of the event in row 0."""
        runs = self.operator.shards[0].runs
        if not runs.arena.counters[layout.FAULTS]:
            return []
        faults: Faults = {}
        for event, condition, code in runs.take_faults():
            if event >= 0:
                faults[condition, code] = [0]
        return list(self.operator.kernel_failures(faults))

    # ------------------------------------------------------------------ inputs

    def _write_inputs(self, event: Event) -> int:
        """Words of the inputs of programs; which of them are not NULL."""
        valid = 0
        for number, at, write in self._fields:
            value = event.time_us if at == TIME_AT else event.values[at]
            if value is not None:
                write(number, value)
                valid |= 1 << number
        for number, at in self._computed:
            self._words[0, number] = self._values[at, INPUT_WORD]
            if self._values[at, INPUT_STATE] == VALID:
                valid |= 1 << number
        return valid

    def _writer(self, expression: Expression) -> Writer:
        if expression.type is DataType.FLOAT:
            return self._write_float
        return self._write_text if expression.type is DataType.TEXT else self._write_whole

    def _write_float(self, number: int, value: float) -> None:
        self._floats[0, number] = value

    def _write_whole(self, number: int, value: int) -> None:
        self._words[0, number] = value

    def _write_text(self, number: int, value: str) -> None:
        self._words[0, number] = self._texts.code(value)
