"""Events one at a time through the patterns of a task.

    values of an event ─► conditions of all patterns, in one kernel ─► patterns that it begins
                                                                     + those with runs of its key
                              ─► a step of the run kernel for each ─► time ─► matches

The state is that of batches, and so is what comes out: an event is a batch of one. What this way
does not know (a condition that fails, a key that is NULL) is left to the other one, before anything
has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.plan import NodeKind
from cep.engine.batch import EventBatch
from cep.engine.kernels import conditions as kernel
from cep.engine.kernels import layout
from cep.engine.results import Output
from cep.engine.runtime.reporting import FromRuns
from cep.engine.runtime.task import Task, error_batches
from cep.engine.single.asking import Asker, Questions, build_questions
from cep.engine.single.deadlines import Deadlines
from cep.engine.single.inputs import Inputs
from cep.engine.single.keys import Keys
from cep.engine.single.pattern import Event, SinglePattern
from cep.engine.single.reading import NotPlainError
from cep.engine.state.event_store import table_of_rows

TIDY_EVERY = 256  # captured events


def goes_one_by_one(task: Task) -> bool:
    """Whether single events may go past the columns: patterns over one stream, and no more."""
    wiring = task.wiring
    only_patterns = all(node.kind is NodeKind.PATTERN for node in task.nodes)
    apart = task.windows or wiring.hidden or wiring.traced or wiring.read
    return (
        only_patterns
        and not apart
        and task.enricher.is_idle
        and wiring.shards == 1
        and len(task.streams) == 1
    )


class SingleEvents:
    """`schema`: the columns that an event's values are for."""

    def __init__(self, task: Task, schema: pa.Schema) -> None:
        self._task = task
        self._schema = schema
        operators = task.operators
        askers = [
            Asker(one.own_conditions, int(one.tables.automaton.settings[layout.START_ANY]))
            for one in operators
        ]
        computed = {e: i for i, e in enumerate(_computed(operators))}
        self._questions: Questions = build_questions(askers, list(computed))
        self._asked = asked = self._questions.asked
        self._inputs = Inputs(
            self._questions.inputs, schema, self._questions.texts, asked.inputs, asked.inputs_f
        )
        self._patterns = [
            SinglePattern(one, schema, task.wiring.texts, computed, asked.values)
            for one in operators
        ]
        self._restless = not all(pattern.settles for pattern in self._patterns)
        self._keys = self._key_spaces()
        self._key_places = sorted(
            {schema.names.index(name) for fields in task.spaces for name in fields}
        )
        self._deadlines = Deadlines(operators)
        self._captured = 0
        self.is_stale = True  # state has changed by other ways

    def _key_spaces(self) -> list[tuple[Keys, frozenset[int]]]:
        found = []
        for fields, space in self._task.spaces.items():
            mine = {n: o for n, o in enumerate(self._task.operators) if o.key == fields}
            places = [self._schema.names.index(name) for name in fields]
            found.append((Keys(space, mine, places), frozenset(mine)))
        return found

    def offer(self, values: Sequence[Any], time_us: int) -> Output | None:
        """Let the event happen; None: nothing came out.

        Its time must not lie before that of the event before. Raises NotPlainError: nothing has
        changed, and the event needs the way of batches.
        """
        self._inputs.write(values, time_us)
        begins = kernel.evaluate(self._questions.tables, self._asked)
        if begins < 0 or any(values[at] is None for at in self._key_places):
            raise NotPlainError
        if self.is_stale:
            self._refresh()
        event = Event(values, time_us, self._task.next_sequence)
        stepped: list[int] = []
        is_captured = False
        if begins or self._restless or self._asked.counters[kernel.INTERESTED]:
            is_captured = self._step(event, begins, stepped)
        return self._end(event, stepped, is_captured=is_captured)

    def _refresh(self) -> None:
        for keys, _ in self._keys:
            keys.forget()
        self._deadlines.refresh()
        self.is_stale = False

    def _step(self, event: Event, begins: int, stepped: list[int]) -> bool:
        """Through the patterns that it touches. Whether one has captured it."""
        begun = self._asked.begins[:begins].tolist()
        is_captured = False
        for keys, mine in self._keys:
            here = begun if len(self._keys) == 1 else [n for n in begun if n in mine]
            code = keys.code(event.values)
            active = keys.active(code)
            for number in [*here, *(n for n in active if n not in here)] if active else here:
                pattern, mask = self._patterns[number], int(self._asked.masks[number])
                if not mask and pattern.settles:
                    continue
                is_captured |= pattern.step(event, code, mask, begins=number in here)
                stepped.append(number)
                has_state = pattern.operator.shards[0].runs.has_key(code)
                if has_state != (number in active):
                    (active.append if has_state else active.remove)(number)
        return is_captured

    def _end(self, event: Event, stepped: list[int], *, is_captured: bool) -> Output | None:
        """Time comes to the event, and what was found comes out."""
        output = self._errors(event, stepped) if stepped else None
        for number in stepped:
            self._deadlines.note(number)
        due = self._deadlines.advance_to(event.time_us)
        self._task.shards[0].time.now_us = event.time_us
        self._task.took_one(event.time_us)
        if is_captured:
            self._task.store.add_one(event.sequence, event.time_us, event.values, self._schema)
        if stepped or due:
            told = self._told({*stepped, *due})
            if told:
                output = output or Output()
                output.extend(self._task.reporter.report(told))
        if is_captured:
            self._tidy(event, stepped)
        for keys, _ in self._keys:
            keys.forget_idle()
        return output

    def _errors(self, event: Event, stepped: list[int]) -> Output | None:
        """What could not be computed, as events set aside."""
        output: Output | None = None
        for number in sorted(stepped):
            failures = self._patterns[number].failures()
            if failures:
                output = output or Output()
                table = table_of_rows([event.values], self._schema)
                batch = EventBatch(table, np.array([event.time_us], np.int64))
                name = self._task.operators[number].pattern.name
                output.errors += error_batches(batch, name, failures)
        return output

    def _told(self, numbers: set[int]) -> list[FromRuns]:
        told = (self._patterns[number].told(number) for number in sorted(numbers))
        return [one for one in told if one is not None]

    def _tidy(self, event: Event, stepped: list[int]) -> None:
        """Let go of what nobody holds any more, now and then."""
        for number in stepped:
            runs = self._task.operators[number].shards[0].runs
            if runs.is_worth_compacting():
                runs.tidy(event.time_us)
        self._captured += 1
        if self._captured % TIDY_EVERY == 0:
            self._task.forget_events()


def _computed(operators: Sequence[Any]) -> list[Any]:
    """What programs across events read of an event beside its fields, each once."""
    inputs = (expression for one in operators for expression in one.computed_inputs)
    return list(dict.fromkeys(inputs))
