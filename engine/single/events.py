"""Events one at a time through the patterns of a task.

    values of an event ─► conditions of all patterns, in one kernel ─► patterns that it touches
                              ─► a step of the run kernel for each family of them ─► time ─► matches

The state is that of batches, and so is what comes out: an event is a batch of one. What this way
does not know (a condition that fails, a key that is NULL) is left to the other one, before anything
has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import DataType, Expression
from cep.engine.algebra.plan import NodeKind
from cep.engine.batch import EventBatch, Int64s
from cep.engine.kernels.conditions import TOUCHED_FAMILIES
from cep.engine.operators.match import Family, MatchOperator
from cep.engine.results import ErrorBatch, Output
from cep.engine.runtime.task import Task, error_batches
from cep.engine.single.asking import Asker, build_questions
from cep.engine.single.deadlines import Deadlines
from cep.engine.single.family import Event, SingleFamily
from cep.engine.single.inputs import Inputs
from cep.engine.single.keys import Keys
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
        operators = [task.operators[n] for family in task.families for n in family.operators]
        computed = {e: i for i, e in enumerate(_computed(operators))}
        questions = build_questions(
            [self._askers(family) for family in task.families],
            list(computed),
        )
        self._asked = questions.asked
        self._inputs = Inputs(questions, schema)
        self._families = [self._family(family, computed) for family in task.families]
        keys = {fields: self._keys_of(fields) for fields in task.spaces}
        self._keys = list(keys.values())
        self._keys_of_family = [keys[family.key] for family in task.families]
        self._key_places = sorted({schema.names.index(n) for each in keys for n in each})
        self._deadlines = Deadlines([family.runs.runs for family in self._families])
        self._captured = 0
        self.is_stale = True  # state has changed by other ways

    def _askers(self, family: Family) -> list[Asker]:
        operators = [self._task.operators[number] for number in family.operators]
        return [Asker(one.own_conditions, not one.tables.flat.settles) for one in operators]

    def _family(self, family: Family, computed: Mapping[Expression, int]) -> SingleFamily:
        operators = [self._task.operators[number] for number in family.operators]
        texts, values = self._task.wiring.texts, self._asked.values
        runs = family.shards[0]
        return SingleFamily(
            runs, family.operators, operators, self._schema, texts, computed, values
        )

    def _keys_of(self, fields: Sequence[str]) -> Keys:
        places = [self._schema.names.index(name) for name in fields]
        return Keys(self._task.spaces[tuple(fields)], places)

    def offer(self, values: Sequence[Any], time_us: int) -> Output | None:
        """Let the event happen; None: nothing came out.

        Its time must not lie before that of the event before. Raises NotPlainError: nothing has
        changed, and the event needs the way of batches.
        """
        touched = self._inputs.ask(values, time_us)
        if touched < 0 or any(values[at] is None for at in self._key_places):
            raise NotPlainError
        if self.is_stale:
            self._deadlines.refresh()
            self.is_stale = False
        event = Event(values, time_us, self._task.next_sequence)
        stepped, is_captured = [], False
        offered = list(self._touched()) if touched else []
        for number, _, _ in offered:
            self._families[number].compute_texts(event)
        for number, members, masks in offered:
            code = self._keys_of_family[number].code(values)
            is_captured |= self._families[number].step(event, code, members, masks)
            stepped.append(number)
        return self._end(event, stepped, is_captured=is_captured)

    def _touched(self) -> Iterator[tuple[int, Int64s, Int64s]]:
        """(family, its members, their masks) of the patterns that the event touches."""
        members, masks, begin = self._asked.members, self._asked.masks, 0
        count = self._asked.counters[TOUCHED_FAMILIES]
        for number, end in self._asked.families[:count].tolist():
            yield number, members[begin:end], masks[begin:end]
            begin = end

    def _end(self, event: Event, stepped: list[int], *, is_captured: bool) -> Output | None:
        """Time comes to the event, and what was found comes out."""
        errors = self._errors(event, stepped) if stepped else []
        for number in stepped:
            self._deadlines.note(number)
        due = self._deadlines.advance_to(event.time_us)
        self._task.shards[0].time.now_us = event.time_us
        self._task.took_one(event.time_us)
        if is_captured:
            self._task.store.add_one(event.sequence, event.time_us, event.values, self._schema)
        told = [one for n in {*stepped, *due} for one in self._families[n].told()]
        output = None
        if told or errors:
            output = Output(errors=errors)
            output.extend(self._task.reporter.report(sorted(told, key=lambda one: one.operator)))
        if is_captured:
            self._tidy(stepped)
        for keys in self._keys:
            keys.forget_idle()
        return output

    def _errors(self, event: Event, stepped: Iterable[int]) -> list[ErrorBatch]:
        """What could not be computed, as events set aside."""
        found: list[ErrorBatch] = []
        failed = [one for number in stepped for one in self._families[number].failures()]
        for number, failures in sorted(failed, key=lambda one: one[0]):
            table = table_of_rows([event.values], self._schema)
            batch = EventBatch(table, np.array([event.time_us], np.int64))
            found += error_batches(batch, self._task.operators[number].pattern.name, failures)
        return found

    def _tidy(self, stepped: Iterable[int]) -> None:
        """Let go of what nobody holds any more, now and then."""
        for number in stepped:
            family = self._families[number].runs
            if family.runs.is_worth_compacting():
                family.runs.tidy(family.time.now_us)
        self._captured += 1
        if self._captured % TIDY_EVERY == 0 or self._task.events_weigh_much:
            self._task.forget_events()


def _computed(operators: Sequence[MatchOperator]) -> list[Expression]:
    """What programs across events read of an event beside its fields, each once.

    Texts are apart (`SingleFamily.compute_texts`): the kernel knows only those that are constants.
    """
    inputs = (expression for one in operators for expression in one.computed_inputs)
    return list(dict.fromkeys(each for each in inputs if each.type is not DataType.TEXT))
