"""The pattern operator: batches of events in, matches and timed-out runs of one pattern out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cep.engine.arena import Chains, RunArena
from cep.engine.batch import Bools, EventBatch, Int64s
from cep.engine.columns import Column, ColumnEvaluator, EvaluationError
from cep.engine.expression import DataType, Expression, Field
from cep.engine.interning import TextCodes
from cep.engine.kernels import layout
from cep.engine.kernels.codes import FAULT_TEXT, Fault
from cep.engine.nfa import build_nfa
from cep.engine.pattern import Pattern
from cep.engine.program import split_condition
from cep.engine.tables import Tables, build_tables, condition_name

CONSTANT = True  # a condition that holds for every event
ROWS_PER_STEP = 1 << 14  # so few keys have state at a time, and so little is held for them

Words = tuple[Int64s, Bools | None]  # raw values, and which are valid; None: all


class Fed:
    """What all operators share of the batch in hand.

    `base`: sequence of the batch's first event. Expressions in `shared` are those that several
    operators ask for; what belongs to one alone is let go of by `forget`.
    """

    def __init__(
        self,
        batch: EventBatch,
        base: int,
        texts: TextCodes,
        shared: frozenset[Expression] = frozenset(),
    ) -> None:
        self.batch = batch
        self.base = base
        self.evaluator = ColumnEvaluator(batch.table)
        self._texts = texts
        self._shared = shared
        self._words: dict[tuple[Expression, DataType | None], Words] = {}

    def words(self, expression: Expression) -> Words:
        """An expression's value for every row, as words for the kernel."""
        asked = expression, expression.type
        if asked not in self._words:
            column = self.evaluator.evaluate(expression)
            self._words[asked] = _words_of(column, self._texts), _valid(column)
        return self._words[asked]

    def forget(self) -> None:
        """The operator in hand is done."""
        self.evaluator.forget(self._shared)
        self._words = {
            asked: words
            for asked, words in self._words.items()
            if asked[0] in self._shared or isinstance(asked[0], Field)
        }


class Keys(Protocol):
    """Gives the rows of the batch in hand their key codes."""

    def keys_of(self, rows: Int64s | None) -> tuple[Int64s, Int64s]:
        """The rows (None: all) that have a key, and their key codes."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """Rows of the batch for which a condition could not be evaluated."""

    reason: str
    variable: str | None
    rows: Int64s


Faults = dict[tuple[int, int], list[int]]  # (condition, code) -> rows


class MatchOperator:
    """Runs one bound pattern over its keys. Knows no clock and no file.

    `streams`: number of each stream, as `EventBatch.stream` has it. `texts` gives texts their codes
    and is shared by all operators of a runtime.
    """

    def __init__(
        self,
        pattern: Pattern,
        streams: dict[str, int],
        texts: TextCodes,
        capacity: int = 1024,
    ) -> None:
        self.pattern = pattern
        self._streams = streams
        self._texts = texts
        self.tables: Tables = build_tables(build_nfa(pattern), texts.code)
        nfa = self.tables.flat.nfa
        self._own = [split_condition(c.expression)[0] for c in nfa.conditions]
        self._own_numbers = self._numbers_of_own_streams()
        self._runs = RunArena(self.tables, capacity)
        self._now_us = 0

    @property
    def variables(self) -> tuple[str, ...]:
        return self.tables.flat.nfa.variables

    @property
    def open_runs(self) -> int:
        """Runs that have taken an event and are not yet decided."""
        self._runs.expire(self._now_us)
        return self._runs.open_runs

    @property
    def held_back(self) -> int:
        """Completed matches that wait for runs that began earlier."""
        return self._runs.held_back

    @property
    def expressions(self) -> list[Expression]:
        """What is evaluated of every event."""
        own = [expression for expression in self._own if expression is not None]
        return [*own, *self.tables.machine.inputs]

    # ------------------------------------------------------------------ events

    def process(self, fed: Fed, keys: Keys) -> list[Failure]:
        """Offer a batch to the pattern; what could not be evaluated comes back."""
        truths = [self._truth(fed, number) for number in range(len(self._own))]
        rows, codes = keys.keys_of(self._rows_of_interest(fed, truths))
        masks = _packed(truths, rows)
        faults: Faults = {}
        for begin in range(0, len(rows), ROWS_PER_STEP):
            part = slice(begin, begin + ROWS_PER_STEP)
            self._step(fed, rows[part], codes[part], masks[part], faults)
        return [*self._column_failures(fed), *self._kernel_failures(faults)]

    def _step(self, fed: Fed, rows: Int64s, codes: Int64s, masks: Int64s, faults: Faults) -> None:
        begins = masks & self.tables.automaton.settings[layout.START_ANY] != 0
        slots = self._runs.slots_of(codes, begins, int(fed.batch.time_us[rows[0]]))
        matters = slots >= 0
        if not matters.all():
            rows, slots, masks = rows[matters], slots[matters], masks[matters]
        if len(rows) == 0:
            return
        self._runs.process(self._events(fed, rows, slots, masks))
        for event, condition, code in self._runs.take_faults():
            if event >= 0:
                faults.setdefault((condition, code), []).append(int(rows[event]))

    def advance_to(self, time_us: int) -> None:
        self._now_us = time_us
        self._runs.advance_to(time_us)

    def close(self, last_us: int) -> None:
        """The final watermark: deadlines pass, and what waits for them comes out."""
        self._runs.expire(layout.NEVER, last_us)

    def take_matches(self) -> Chains:
        return self._runs.take_found()

    def take_timeouts(self) -> Chains:
        return self._runs.take_timed_out()

    def _truth(self, fed: Fed, number: int) -> Bools | bool:
        """Where the column part of a condition holds; True: everywhere."""
        own = self._own[number]
        truth = CONSTANT if own is None else fed.evaluator.true_rows(own)
        here = self._rows_of_stream(fed, number)
        if here is None:
            return truth
        return here if isinstance(truth, bool) else truth & here

    def _rows_of_stream(self, fed: Fed, number: int) -> Bools | None:
        """Where the events are of the stream that a condition asks for; None: everywhere."""
        condition = self.tables.flat.nfa.conditions[number]
        if condition.stream is None or fed.batch.stream is None:
            return None
        here: Bools = fed.batch.stream == self._streams[condition.stream]
        return here

    def _rows_of_interest(self, fed: Fed, truths: list[Bools | bool]) -> Int64s | None:
        """Rows that could do something to a run: one that meets no condition often cannot."""
        masks = [t for t in truths if not isinstance(t, bool)]
        wanted = self._rows_of_own_streams(fed)
        if self.tables.flat.settles and len(masks) == len(truths):
            any_holds = masks[0].copy()
            for mask in masks[1:]:
                any_holds |= mask
            wanted = any_holds if wanted is None else wanted & any_holds
        return None if wanted is None else np.flatnonzero(wanted)

    def _numbers_of_own_streams(self) -> list[int] | None:
        """None: the pattern reads all streams."""
        if len(self.pattern.streams) == len(self._streams):
            return None
        return [self._streams[name] for name in self.pattern.streams]

    def _rows_of_own_streams(self, fed: Fed) -> Bools | None:
        if fed.batch.stream is None or self._own_numbers is None:
            return None
        mine: Bools = np.isin(fed.batch.stream, self._own_numbers)
        return mine

    def _events(self, fed: Fed, rows: Int64s, slots: Int64s, masks: Int64s) -> layout.Events:
        table = np.empty((len(rows), layout.EVENT_FIELDS), np.int64)
        table[:, layout.EVENT_TIME_US] = fed.batch.time_us[rows]
        table[:, layout.EVENT_SEQUENCE] = rows + fed.base
        table[:, layout.EVENT_KEY] = slots
        table[:, layout.EVENT_MASK] = masks
        inputs, table[:, layout.EVENT_VALID] = self._inputs(fed, rows)
        ordered = self.tables.machine.uses_text_order
        rank = self._texts.rank() if ordered else np.empty(0, np.int64)
        return layout.Events(table, inputs, inputs.view(np.float64), rank)

    def _inputs(self, fed: Fed, rows: Int64s) -> tuple[Int64s, Int64s]:
        """Values of the event under test that programs read, as raw words, and which are valid."""
        expressions = self.tables.machine.inputs
        inputs = np.zeros((len(rows), len(expressions)), np.int64)
        valid: list[Bools | bool] = []
        for number, expression in enumerate(expressions):
            words, held = fed.words(expression)
            valid.append(CONSTANT if held is None else held)
            inputs[:, number] = words[rows]
        return inputs, _packed(valid, rows)

    # ------------------------------------------------------------------ failures

    def _column_failures(self, fed: Fed) -> Iterator[Failure]:
        """What could not be evaluated, on rows of the streams that are read there."""
        nfa, mine = self.tables.flat.nfa, self._rows_of_own_streams(fed)
        for number, own in enumerate(self._own):
            errors = () if own is None else fed.evaluator.errors_of(own)
            if errors:
                here = self._rows_of_stream(fed, number)
                name = condition_name(nfa, number)
                yield from _failures(errors, name, mine if here is None else here)
        for expression in self.tables.machine.inputs:
            yield from _failures(fed.evaluator.errors_of(expression), None, mine)

    def _kernel_failures(self, faults: Faults) -> Iterator[Failure]:
        rows_of: dict[tuple[str, str | None], list[int]] = {}
        for (condition, code), rows in faults.items():
            rows_of.setdefault(self._fault_reason(condition, code), []).extend(rows)
        for (reason, variable), rows in rows_of.items():
            yield Failure(reason, variable, np.unique(np.array(rows, np.int64)))

    def _fault_reason(self, condition: int, code: int) -> tuple[str, str | None]:
        nfa = self.tables.flat.nfa
        if code == layout.FAULT_SKIP_TARGET:
            target = self.pattern.skip.variable
            return f"skip target {target} matched no event: nothing was skipped", target
        if code < 0:
            return FAULT_TEXT[Fault(-code)], self.tables.machine.registers[condition].variable
        return FAULT_TEXT[Fault(code)], condition_name(nfa, condition)

    # ------------------------------------------------------------------ state

    def sequences_from(self, sequence: int) -> Int64s:
        """The events from this one on that must be kept, in any order, perhaps with others."""
        if self._runs.is_worth_compacting():
            self._runs.tidy(self._now_us)
        return self._runs.sequences_from(sequence)

    def active_keys(self) -> Int64s:
        """Codes of the keys that have state."""
        self._runs.expire(self._now_us)
        return self._runs.active_keys()

    def keep_keys(self, codes: Int64s) -> None:
        """Key i is from now on what was key codes[i]; no other key has state."""
        self._runs.keep_keys(codes)


def _packed(truths: list[Bools | bool], rows: Int64s) -> Int64s:
    """One word per row: bit i says whether truth i holds there."""
    constant = sum(1 << i for i, truth in enumerate(truths) if isinstance(truth, bool))
    words = np.full(len(rows), constant, np.int64)
    for number, truth in enumerate(truths):
        if not isinstance(truth, bool):
            words |= truth[rows].astype(np.int64) << number
    return words


def _words_of(column: Column, texts: TextCodes) -> Int64s:
    if column.type is DataType.TEXT:
        return texts.encode(column.values)
    if column.type is DataType.FLOAT:
        words: Int64s = np.ascontiguousarray(column.values, np.float64).view(np.int64)
        return words
    whole: Int64s = column.values.astype(np.int64)
    return whole


def _valid(column: Column) -> Bools | None:
    if column.type is DataType.TEXT and column.values.null_count:
        held: Bools = np.asarray(column.values.is_valid().to_numpy(zero_copy_only=False), np.bool_)
        return held
    return column.valid


def _failures(
    errors: tuple[EvaluationError, ...], variable: str | None, here: Bools | None
) -> Iterator[Failure]:
    for error in errors:
        rows = error.rows if here is None else error.rows[here[error.rows]]
        if len(rows):
            yield Failure(error.reason, variable, rows)
