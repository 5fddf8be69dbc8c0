"""A family of patterns as single events meet it: an event and its key in, a step of the kernel."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import DataType, Expression, Field
from cep.engine.algebra.plan import EVENT_TIME
from cep.engine.batch import Int64s
from cep.engine.kernels import layout
from cep.engine.kernels.conditions import FAULTY, INPUT_STATE, INPUT_WORD, VALID
from cep.engine.operators.fed import Failure
from cep.engine.operators.match import Faults, MatchOperator
from cep.engine.runtime.shard import Told
from cep.engine.single.inputs import TIME_AT, Found, Leaf
from cep.engine.single.reading import NotPlainError
from cep.engine.state.families import RunFamily
from cep.engine.state.interning import TextCodes

ROW = struct.Struct("=6q")  # time, sequence, slot, mask, valid inputs, where constants begin
Writer = Callable[[int, Any], None]


@dataclass(slots=True)
class Event:
    """An event on its way through the patterns."""

    values: Sequence[Any]
    time_us: int
    sequence: int


class SingleFamily:
    """Patterns that share their runs, of the only shard.

    `numbers`: of the operators; `computed`: which row of `values`, shape (v, 2), an input is, where
    it is no field.
    """

    def __init__(
        self,
        runs: RunFamily,
        numbers: Sequence[int],
        operators: Sequence[MatchOperator],
        schema: pa.Schema,
        texts: TextCodes,
        computed: Mapping[Expression, int],
        values: Int64s,
    ) -> None:
        self.runs = runs
        self._numbers = numbers
        self._operators = operators
        self._texts = texts
        self._values = values
        machine = operators[0].tables.machine
        self._begins = int(operators[0].tables.automaton.settings[layout.START_ANY])
        self._ordered = machine.uses_text_order
        self._make_room(1, len(machine.inputs))
        self._fields: list[tuple[int, int, Writer]] = []
        self._computed: list[tuple[int, int]] = []
        self._leaves: list[tuple[int, Leaf]] = []  # computed texts
        self._found: list[Found] = []  # and their values
        for number, expression in enumerate(machine.inputs):
            if isinstance(expression, Field):
                name = expression.name
                at = TIME_AT if name == EVENT_TIME else schema.names.index(name)
                self._fields.append((number, at, self._writer(expression)))
            elif expression.type is DataType.TEXT:
                self._leaves.append((number, Leaf(expression, schema)))
            else:
                self._computed.append((number, computed[expression]))

    def _make_room(self, events: int, inputs: int) -> None:
        self._rows = np.zeros((events, layout.EVENT_FIELDS), np.int64)
        self._words = np.zeros((events, inputs), np.int64)
        self._floats = self._words.view(np.float64)
        rank = np.empty(0, np.int64)
        self._all = layout.Events(self._rows, self._words, self._floats, rank)
        self._one = layout.Events(self._rows[:1], self._words[:1], self._floats[:1], rank)

    # ------------------------------------------------------------------ events

    def compute_texts(self, event: Event) -> None:
        """Those that programs read of the event, before its step. Raises NotPlainError."""
        self._found = [leaf.value(event.values, event.time_us) for _, leaf in self._leaves]
        if any(state == FAULTY for state, _ in self._found):
            raise NotPlainError

    def step(self, event: Event, code: int, members: Int64s, masks: Int64s) -> bool:
        """Offer the event to the runs of its key, of these members. Whether one captured it."""
        if self.runs.size == 1:
            events = self._for_one(event, code, int(masks[0]))
        else:
            events = self._for_many(event, code, members, masks)
        if events is None:
            return False
        runs = self.runs.runs
        before = runs.compactions
        runs.process(events)
        # Behind a compaction what captured it may have come out and been forgotten.
        return runs.compactions != before or runs.has_captured(event.sequence)

    def _for_one(self, event: Event, code: int, mask: int) -> layout.Events | None:
        """The event for the only member; None: nothing can happen to the key."""
        arena = self.runs.runs
        begins = mask & self._begins
        slot = arena.slot_for(code, event.time_us) if begins else arena.slot_of(code)
        if slot < 0:
            return None
        valid = self._write_inputs(event)
        ROW.pack_into(self._rows.data, 0, event.time_us, event.sequence, slot, mask, valid, 0)
        return self._ranked(self._one)

    def _for_many(
        self, event: Event, code: int, members: Int64s, masks: Int64s
    ) -> layout.Events | None:
        """The event once for each member where something can happen to the key."""
        if len(members) > len(self._rows):
            self._make_room(min(2 * len(members), self.runs.size), self._words.shape[1])
        valid = self._write_inputs(event)
        ROW.pack_into(self._rows.data, 0, event.time_us, event.sequence, 0, 0, valid, 0)
        count = self.runs.runs.gather(code, members, masks, self.runs.constants, self._all)
        if count == 0:
            return None
        rows, words, floats, rank = self._all
        return self._ranked(layout.Events(rows[:count], words[:count], floats[:count], rank))

    def _ranked(self, events: layout.Events) -> layout.Events:
        return events._replace(text_rank=self._texts.rank()) if self._ordered else events

    # ------------------------------------------------------------------ what came out

    def told(self) -> list[Told]:
        """What has come out, of each member that has something."""
        return [Told(self._numbers[member], found) for member, found in self.runs.told()]

    def failures(self) -> Iterator[tuple[int, list[Failure]]]:
        """What programs of the last step could not compute, by operator, of the event as row 0."""
        runs = self.runs.runs
        faults: dict[int, Faults] = {}
        for event, condition, code in runs.take_faults():
            if event >= 0:
                slots = self._rows[event : event + 1, layout.EVENT_KEY]
                member = int(runs.members_of(slots)[0])
                faults.setdefault(member, {})[condition, code] = [0]
        for member, of_member in faults.items():
            failures = self._operators[member].kernel_failures(of_member)
            yield self._numbers[member], list(failures)

    # ------------------------------------------------------------------ inputs

    def _write_inputs(self, event: Event) -> int:
        """Words of the inputs of programs into the first row; which of them are not NULL."""
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
        for (number, _), (state, text) in zip(self._leaves, self._found, strict=True):
            if state == VALID:
                self._write_text(number, text)
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
