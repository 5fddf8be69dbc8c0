"""The pattern operator: batches of events in, matches and timed-out runs of one pattern out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cep.engine.algebra.expression import Expression
from cep.engine.algebra.pattern import Pattern
from cep.engine.automaton.flat import condition_name
from cep.engine.automaton.nfa import build_nfa
from cep.engine.automaton.program import split_condition
from cep.engine.automaton.tables import Tables, build_tables
from cep.engine.batch import Bools, Int64s
from cep.engine.columns.evaluator import EvaluationError
from cep.engine.kernels import layout
from cep.engine.kernels.codes import FAULT_TEXT, Fault
from cep.engine.kernels.gather import gather
from cep.engine.operators.fed import Failure, Fed, Words
from cep.engine.state.arena import RunArena
from cep.engine.state.interning import TextCodes
from cep.engine.state.limits import Limit
from cep.engine.state.snapshot import Parts, Snapshot

CONSTANT = True  # a condition that holds for every event
BEGINNING = -(1 << 62)  # before any event
ROWS_PER_STEP = 1 << 14  # so few keys have state at a time, and so little is held for them

Faults = dict[tuple[int, int], list[int]]  # (condition, code) -> rows


@dataclass(frozen=True, slots=True)
class Interest:
    """What a batch is to a pattern: the rows that could do something, shard by shard.

    `masks`: which conditions hold for each of the rows. `inputs`: for each input of the pattern's
    programs its values for every row of the batch, and which are valid.
    """

    fed: Fed
    rows: list[Int64s]
    masks: list[Int64s]
    inputs: list[Words]
    failures: list[Failure]


class MatchOperator:
    """Runs one bound pattern over its keys. Knows no clock and no file.

    `streams`: number of each stream, as `EventBatch.stream` has it. `texts` gives texts their codes
    and is shared by all operators of a runtime. `traced`: runs that end without a match are told.
    A batch is prepared once (no runs change by that) and then worked on by each shard, on whichever
    thread.
    """

    def __init__(
        self,
        pattern: Pattern,
        streams: Mapping[str, int],
        texts: TextCodes,
        capacity: int = 1024,
        shards: int = 1,
        limit: Limit | None = None,
        *,
        traced: bool = False,
    ) -> None:
        self.pattern = pattern
        self._streams = streams
        self._texts = texts
        self.tables: Tables = build_tables(build_nfa(pattern), texts.code)
        nfa = self.tables.flat.nfa
        self._own = [split_condition(c.expression)[0] for c in nfa.conditions]
        self._own_numbers = self._numbers_of_own_streams()
        self.shards = [MatchShard(self, n, capacity, limit, traced) for n in range(shards)]

    @property
    def key(self) -> tuple[str, ...]:
        return self.pattern.key

    @property
    def variables(self) -> tuple[str, ...]:
        return self.tables.flat.nfa.variables

    @property
    def open_runs(self) -> int:
        """Runs that have taken an event and are not yet decided."""
        return sum(shard.open_runs for shard in self.shards)

    @property
    def held_back(self) -> int:
        """Completed matches that wait for runs that began earlier."""
        return sum(shard.runs.held_back for shard in self.shards)

    @property
    def refused_runs(self) -> int:
        """Runs that a limit did not let come into being."""
        return sum(shard.runs.refused for shard in self.shards)

    @property
    def dropped_runs(self) -> int:
        """Runs that made way for younger ones."""
        return sum(shard.runs.dropped for shard in self.shards)

    def status(self) -> dict[str, int]:
        """What is open, and what limits have done, as plain values."""
        return {
            "open_runs": self.open_runs,
            "held_back": self.held_back,
            "refused_runs": self.refused_runs,
            "dropped_runs": self.dropped_runs,
            "bytes": sum(shard.runs.bytes_held for shard in self.shards),
        }

    @property
    def expressions(self) -> list[Expression]:
        """What is evaluated of every event."""
        own = [expression for expression in self._own if expression is not None]
        return [*own, *self.tables.machine.inputs]

    # ------------------------------------------------------------------ what a batch is to it

    def prepare(self, fed: Fed) -> Interest:
        """Evaluate what reads one event only, for the whole batch."""
        truths = [self._truth(fed, number) for number in range(len(self._own))]
        keys = fed.keys[self.key]
        keys.want(self._rows_of_own_streams(fed))
        rows = keys.split(self._rows_of_interest(fed, truths))
        masks = [_packed(truths, part) for part in rows]
        inputs = [fed.words(expression) for expression in self.tables.machine.inputs]
        return Interest(fed, rows, masks, inputs, list(self._column_failures(fed)))

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

    def events(
        self, interest: Interest, rows: Int64s, slots: Int64s, masks: Int64s
    ) -> layout.Events:
        """Those of the rows whose key has a slot, as the kernel sees them."""
        fed = interest.fed
        table = np.empty((len(rows), layout.EVENT_FIELDS), np.int64)
        table = table[: gather(rows, slots, masks, fed.time_us, fed.base, table)]
        inputs = np.empty((len(table), len(interest.inputs)), np.int64)
        if interest.inputs:
            rows = table[:, layout.EVENT_SEQUENCE] - fed.base
            valid = [CONSTANT if held is None else held for _, held in interest.inputs]
            table[:, layout.EVENT_VALID] = _packed(valid, rows)
        for number, (words, _) in enumerate(interest.inputs):
            inputs[:, number] = words[rows]
        ordered = self.tables.machine.uses_text_order
        rank = self._texts.rank() if ordered else np.empty(0, np.int64)
        return layout.Events(table, inputs, inputs.view(np.float64), rank)

    # ------------------------------------------------------------------ what came out

    def process(self, shard: int, interest: Interest) -> list[Failure]:
        """Offer a prepared batch to the runs of one shard; what could not be evaluated comes back.

        What could not be evaluated as columns is in the `Interest`.
        """
        return self.shards[shard].process(interest, interest.rows[shard], interest.masks[shard])

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

    def kernel_failures(self, faults: Faults) -> Iterator[Failure]:
        """What went wrong in the programs of some conditions, in the kernel."""
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


class MatchShard:
    """The runs of one pattern for the keys of one shard."""

    def __init__(
        self,
        operator: MatchOperator,
        number: int,
        capacity: int,
        limit: Limit | None,
        traced: bool,
    ) -> None:
        self._operator = operator
        self._number = number
        self.runs = RunArena(operator.tables, capacity, limit, traced=traced)
        self._now_us = BEGINNING

    @property
    def open_runs(self) -> int:
        """Runs that have taken an event and are not yet decided."""
        if self.runs.open_runs:  # those that time has ended may be among them
            self.runs.expire(self._now_us)
        return self.runs.open_runs

    # ------------------------------------------------------------------ events

    def process(self, interest: Interest, rows: Int64s, masks: Int64s) -> list[Failure]:
        """Offer these rows of a batch, each with the conditions that hold for it, to the runs."""
        if len(rows) == 0:
            return []
        operator, fed = self._operator, interest.fed
        codes = fed.keys[operator.key].codes(self._number, rows)
        faults: Faults = {}
        for begin in range(0, len(rows), ROWS_PER_STEP):
            part = slice(begin, begin + ROWS_PER_STEP)
            self._step(interest, rows[part], codes[part], masks[part], faults)
        return list(operator.kernel_failures(faults))

    def _step(
        self, interest: Interest, rows: Int64s, codes: Int64s, masks: Int64s, faults: Faults
    ) -> None:
        begins = masks & self._operator.tables.automaton.settings[layout.START_ANY] != 0
        slots = self.runs.slots_of(codes, begins, int(interest.fed.batch.time_us[rows[0]]))
        events = self._operator.events(interest, rows, slots, masks)
        self.runs.process(events)
        for event, condition, code in self.runs.take_faults():
            if event >= 0:
                row = int(events.rows[event, layout.EVENT_SEQUENCE]) - interest.fed.base
                faults.setdefault((condition, code), []).append(row)

    def advance_to(self, time_us: int) -> None:
        """No event before this time will come any more."""
        self._now_us = time_us
        self.runs.advance_to(time_us)

    def close(self, last_us: int) -> None:
        """The final watermark: deadlines pass, and what waits for them comes out."""
        self.runs.expire(layout.NEVER, last_us)
        self.runs.trace_open(last_us)

    # ------------------------------------------------------------------ state

    def sequences_from(self, sequence: int) -> Int64s:
        """The events from this one on that must be kept, in any order, perhaps with others."""
        if self.runs.is_worth_compacting():
            self.runs.tidy(self._now_us)
        return self.runs.sequences_from(sequence)

    def active_keys(self) -> Int64s:
        """Codes of the keys that have state."""
        self.runs.expire(self._now_us)
        return self.runs.active_keys()

    def keep_keys(self, codes: Int64s) -> None:
        """Key i is from now on what was key codes[i]; no other key has state."""
        self.runs.keep_keys(codes)

    def snapshot(self) -> Snapshot:
        """A copy of all runs."""
        return {"now_us": self._now_us, "runs": self.runs.snapshot()}

    def restore(self, parts: Parts) -> None:
        """Take over what snapshots hold of this shard's keys; the state is empty before."""
        self._now_us = max((saved["now_us"] for saved, _ in parts), default=self._now_us)
        self.runs.restore([(saved["runs"], codes) for saved, codes in parts])


def _packed(truths: list[Bools | bool], rows: Int64s) -> Int64s:
    """One word per row: bit i says whether truth i holds there."""
    constant = sum(1 << i for i, truth in enumerate(truths) if isinstance(truth, bool))
    words = np.full(len(rows), constant, np.int64)
    for number, truth in enumerate(truths):
        if not isinstance(truth, bool):
            words |= truth[rows].astype(np.int64) << number
    return words


def _failures(
    errors: tuple[EvaluationError, ...], variable: str | None, here: Bools | None
) -> Iterator[Failure]:
    for error in errors:
        rows = error.rows if here is None else error.rows[here[error.rows]]
        if len(rows):
            yield Failure(error.reason, variable, rows)
