"""The pattern operator: batches of events in, matches and timed-out runs of one pattern out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cep.engine.arena import Chains, RunArena
from cep.engine.batch import Bools, EventBatch, Int64s
from cep.engine.columns import Column, ColumnEvaluator, EvaluationError
from cep.engine.expression import DataType, Expression
from cep.engine.interning import TextCodes
from cep.engine.kernels import layout
from cep.engine.kernels.codes import FAULT_TEXT, Fault
from cep.engine.nfa import build_nfa
from cep.engine.pattern import Pattern
from cep.engine.program import split_condition
from cep.engine.tables import Tables, build_tables, condition_name

CONSTANT = True  # a condition that holds for every event


@dataclass(frozen=True, slots=True)
class Fed:
    """What all operators share of the batch in hand."""

    batch: EventBatch
    base: int  # sequence of the batch's first event
    evaluator: ColumnEvaluator
    keys_of: Callable[[Int64s], tuple[Int64s, Int64s]]  # rows -> rows with a key, their key codes


@dataclass(frozen=True, slots=True)
class Failure:
    """Rows of the batch for which a condition could not be evaluated."""

    reason: str
    variable: str | None
    rows: Int64s


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
        self._runs = RunArena(self.tables, capacity)
        self._nodes_before = 0

    @property
    def variables(self) -> tuple[str, ...]:
        return self.tables.flat.nfa.variables

    @property
    def open_runs(self) -> int:
        return self._runs.open_runs

    # ------------------------------------------------------------------ events

    def process(self, fed: Fed) -> list[Failure]:
        """Offer a batch to the pattern; what could not be evaluated comes back."""
        truths = [self._truth(fed, number) for number in range(len(self._own))]
        rows = self._rows_of_interest(fed, truths)
        rows, keys = fed.keys_of(rows)
        self._nodes_before = self._runs.node_count
        if len(rows) == 0:
            return list(self._column_failures(fed))
        events = self._events(fed, truths, rows, keys)
        self._runs.ensure_keys(int(keys.max()) + 1)
        self._runs.process(events)
        return [*self._column_failures(fed), *self._kernel_failures(rows)]

    def advance_to(self, time_us: int) -> None:
        self._runs.expire(time_us)

    def close(self, last_us: int) -> None:
        """The final watermark: deadlines pass, and what waits for them comes out."""
        self._runs.expire(layout.NEVER, last_us)

    def take_matches(self) -> Chains:
        return self._runs.take_found()

    def take_timeouts(self) -> Chains:
        return self._runs.take_timed_out()

    def _truth(self, fed: Fed, number: int) -> Bools | bool:
        """Where the column part of a condition holds; True: everywhere."""
        condition, own = self.tables.flat.nfa.conditions[number], self._own[number]
        truth = CONSTANT if own is None else fed.evaluator.true_rows(own)
        if condition.stream is None or fed.batch.stream is None:
            return truth
        here: Bools = fed.batch.stream == self._streams[condition.stream]
        return here if truth is CONSTANT else truth & here

    def _rows_of_interest(self, fed: Fed, truths: list[Bools | bool]) -> Int64s:
        """Rows that could do something to a run: one that meets no condition often cannot."""
        masks = [t for t in truths if not isinstance(t, bool)]
        if not self.tables.flat.settles or len(masks) < len(truths):
            wanted: Bools | None = None
        else:
            wanted = np.logical_or.reduce(masks) if len(masks) > 1 else masks[0]
        mine = self._own_streams(fed)
        if mine is not None:
            wanted = mine if wanted is None else wanted & mine
        return np.arange(len(fed.batch)) if wanted is None else np.flatnonzero(wanted)

    def _own_streams(self, fed: Fed) -> Bools | None:
        if fed.batch.stream is None or len(self.pattern.streams) == len(self._streams):
            return None
        numbers = [self._streams[name] for name in self.pattern.streams]
        mine: Bools = np.isin(fed.batch.stream, numbers)
        return mine

    def _events(
        self, fed: Fed, truths: list[Bools | bool], rows: Int64s, keys: Int64s
    ) -> layout.Events:
        table = np.empty((len(rows), layout.EVENT_FIELDS), np.int64)
        table[:, layout.EVENT_TIME_US] = fed.batch.time_us[rows]
        table[:, layout.EVENT_SEQUENCE] = rows + fed.base
        table[:, layout.EVENT_KEY] = keys
        table[:, layout.EVENT_MASK] = _packed(truths, rows)
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
            column = fed.evaluator.evaluate(expression)
            held = _valid(column)
            valid.append(CONSTANT if held is None else held)
            inputs[:, number] = self._words(column, rows)
        return inputs, _packed(valid, rows)

    def _words(self, column: Column, rows: Int64s) -> Int64s:
        if column.type is DataType.TEXT:
            return self._texts.encode(column.values)[rows]
        values = column.values[rows]
        if column.type is DataType.FLOAT:
            words: Int64s = np.ascontiguousarray(values, np.float64).view(np.int64)
            return words
        whole: Int64s = values.astype(np.int64)
        return whole

    # ------------------------------------------------------------------ failures

    def _column_failures(self, fed: Fed) -> Iterator[Failure]:
        nfa = self.tables.flat.nfa
        for number, own in enumerate(self._own):
            errors = () if own is None else fed.evaluator.errors_of(own)
            for error in errors:
                yield Failure(error.reason, condition_name(nfa, number), error.rows)
        for expression in self.tables.machine.inputs:
            yield from _input_failures(expression, fed.evaluator.errors_of(expression))

    def _kernel_failures(self, rows: Int64s) -> Iterator[Failure]:
        found: dict[tuple[str, str | None], list[int]] = {}
        for event, condition, code in self._runs.take_faults():
            found.setdefault(self._fault_reason(condition, code), []).append(event)
        for (reason, variable), events in found.items():
            known = np.unique(np.array([e for e in events if e >= 0], np.int64))
            yield Failure(reason, variable, rows[known])

    def _fault_reason(self, condition: int, code: int) -> tuple[str, str | None]:
        nfa = self.tables.flat.nfa
        if code == layout.FAULT_SKIP_TARGET:
            target = self.pattern.skip.variable
            return f"skip target {target} matched no event: nothing was skipped", target
        if code < 0:
            return FAULT_TEXT[Fault(-code)], self.tables.machine.registers[condition].variable
        return FAULT_TEXT[Fault(code)], condition_name(nfa, condition)

    # ------------------------------------------------------------------ state

    def new_sequences(self) -> Int64s:
        """The events that the last batch captured and that must be kept, sorted."""
        if self._runs.is_worth_compacting():
            self._runs.compact()
            self._nodes_before = 0
        return self._runs.sequences_since(self._nodes_before)

    def live_sequences(self) -> Int64s:
        """All events that runs hold, sorted; may name some that none holds any more."""
        return self._runs.sequences_since(0)

    def active_keys(self) -> Bools:
        return self._runs.active_keys()

    def keep_keys(self, codes: Int64s) -> None:
        self._runs.keep_keys(codes)


def _packed(truths: list[Bools | bool], rows: Int64s) -> Int64s:
    """One word per row: bit i says whether truth i holds there."""
    words = np.zeros(len(rows), np.int64)
    for number, truth in enumerate(truths):
        bit = np.int64(1 << number)
        words |= bit if isinstance(truth, bool) else truth[rows] * bit
    return words


def _valid(column: Column) -> Bools | None:
    if column.type is DataType.TEXT and column.values.null_count:
        held: Bools = np.asarray(column.values.is_valid().to_numpy(zero_copy_only=False), np.bool_)
        return held
    return column.valid


def _input_failures(
    expression: Expression, errors: tuple[EvaluationError, ...]
) -> Iterator[Failure]:
    for error in errors:
        yield Failure(error.reason, None, error.rows)
