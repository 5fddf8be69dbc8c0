"""The pattern operator: batches of events in, matches and timed-out runs of one pattern out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cep.engine.algebra.expression import Expression, Field
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
from cep.engine.kernels.packing import add_bit
from cep.engine.operators.fed import Failure, Fed, Words
from cep.engine.state.evaluator import Evaluator
from cep.engine.state.families import RunFamily, family_key
from cep.engine.state.interning import TextCodes
from cep.engine.state.limits import Limit
from cep.engine.state.snapshot import Parts, Snapshot

CONSTANT = True  # a condition that holds for every event
FEW_FAMILIES = 64  # of more than these each begins with small buffers
SMALL_CAPACITY = 16
FEW_ROWS = 4  # of fewer than one in so many the bits are gathered one by one
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
    ) -> None:
        self.pattern = pattern
        self._streams = streams
        self._texts = texts
        self.tables: Tables = build_tables(build_nfa(pattern), texts.code)
        nfa = self.tables.flat.nfa
        self._own = [split_condition(c.expression)[0] for c in nfa.conditions]
        self._own_numbers = self._numbers_of_own_streams()
        self.shards: list[MatchShard] = []  # filled by `make_families`

    @property
    def key(self) -> tuple[str, ...]:
        return self.pattern.key

    @property
    def variables(self) -> tuple[str, ...]:
        return self.tables.flat.nfa.variables

    @property
    def expressions(self) -> list[Expression]:
        """What is evaluated of every event."""
        own = [expression for expression in self._own if expression is not None]
        return [*own, *self.tables.machine.inputs]

    @property
    def own_conditions(self) -> list[Expression | None]:
        """The part of each condition that reads one event only; None: it holds for every event."""
        return self._own

    @property
    def computed_inputs(self) -> list[Expression]:
        """What programs read of an event that is not a field of it."""
        return [e for e in self.tables.machine.inputs if not isinstance(e, Field)]

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
        self, interest: Interest, rows: Int64s, slots: Int64s, masks: Int64s, constants: int = 0
    ) -> layout.Events:
        """Those of the rows whose key has a slot, as the kernel sees them."""
        fed = interest.fed
        table = np.empty((len(rows), layout.EVENT_FIELDS), np.int64)
        table = table[: gather(rows, slots, masks, fed.time_us, fed.base, constants, table)]
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
    """The runs of one pattern for the keys of one shard, among those of its family."""

    def __init__(
        self, operator: MatchOperator, number: int, family: RunFamily, member: int
    ) -> None:
        self._operator = operator
        self._number = number
        self.family = family
        self.member = member

    @property
    def runs(self) -> Evaluator:
        """Those of the whole family."""
        return self.family.runs

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
        codes = self.family.codes_of(self.member, codes)
        slots = self.runs.slots_of(codes, begins, int(interest.fed.batch.time_us[rows[0]]))
        events = self._operator.events(interest, rows, slots, masks, self.constants)
        self.runs.process(events)
        for event, condition, code in self.runs.take_faults():
            if event >= 0:
                row = int(events.rows[event, layout.EVENT_SEQUENCE]) - interest.fed.base
                faults.setdefault((condition, code), []).append(row)

    @property
    def constants(self) -> int:
        """Where those of the pattern begin."""
        return self.member * self.family.constants

    # ------------------------------------------------------------------ state

    def snapshot(self) -> Snapshot:
        """A copy of all runs, which the family has made (`RunFamily.save`)."""
        return {"now_us": self.family.time.now_us, "runs": self.family.saved(self.member)}

    def restore(self, parts: Parts) -> None:
        """Take over what snapshots hold of this shard's keys, when the family is loaded."""
        for saved, codes in parts:
            time = self.family.time
            time.now_us = max(time.now_us, saved["now_us"])
            self.family.restore(self.member, saved["runs"], codes)


@dataclass(frozen=True, slots=True)
class Family:
    """Operators by number that have one key and share their runs: in each shard, a `RunFamily`."""

    key: tuple[str, ...]
    operators: tuple[int, ...]
    shards: tuple[RunFamily, ...]

    def held_back(self) -> Int64s:
        """Completed matches of each that wait for runs that began earlier."""
        return sum_of([runs.held_back() for runs in self.shards])

    def counted(self) -> list[int] | None:
        """How many matches each has come to, where they are counted and not made."""
        counts = [found.tolist() for runs in self.shards if (found := runs.counted()) is not None]
        return [sum(each) for each in zip(*counts, strict=True)] if counts else None

    def limit_counts(self) -> tuple[int, int]:
        """Runs that a limit did not let come into being, and those that made way for others."""
        runs = [family.runs for family in self.shards]
        return sum(each.refused for each in runs), sum(each.dropped for each in runs)

    def status(self) -> list[dict[str, int]]:
        """Of each what is open, and what limits have done, as plain values; bytes are shared."""
        open_runs = sum_of([runs.open_runs() for runs in self.shards]).tolist()
        held_back = self.held_back().tolist()
        refused, dropped = self.limit_counts()
        of_all = {
            "refused_runs": refused,
            "dropped_runs": dropped,
            "bytes": sum(family.runs.bytes_held for family in self.shards) // len(self.operators),
        }
        return [
            {"open_runs": opened, "held_back": held, **of_all}
            for opened, held in zip(open_runs, held_back, strict=True)
        ]


def make_families(
    operators: Sequence[MatchOperator],
    shards: int = 1,
    capacity: int = 1024,
    limits: Mapping[str, Limit] | None = None,
    traced: Collection[str] = (),
    counted: Collection[str] = (),
) -> list[Family]:
    """Give the operators their shards; those that are alike but for constants share them.

    `limits`, `traced`: of patterns by name; such a pattern shares with nobody. `counted`: those
    whose matches need not be made, as far as they can be counted without.
    """
    limits = limits or {}
    members: dict[tuple[bool, bool, object], list[int]] = {}
    for number, operator in enumerate(operators):
        name = operator.pattern.name
        alone = name in limits or name in traced
        alike = name if alone else (operator.key, family_key(operator.tables))
        is_counted = name in counted and operator.tables.touch is not None
        members.setdefault((alone, is_counted, alike), []).append(number)
    if len(members) > FEW_FAMILIES:
        capacity = min(capacity, SMALL_CAPACITY)
    made = []
    for (_, is_counted, _), numbers in members.items():
        mine = [operators[number] for number in numbers]
        tables, name = [one.tables for one in mine], mine[0].pattern.name
        runs = tuple(
            RunFamily(tables, capacity, limits.get(name), traced=name in traced, counted=is_counted)
            for _ in range(shards)
        )
        for member, operator in enumerate(mine):
            operator.shards = [MatchShard(operator, n, runs[n], member) for n in range(shards)]
        made.append(Family(mine[0].key, tuple(numbers), runs))
    return made


def sum_of(counts: Sequence[Int64s]) -> Int64s:
    """Counts of several shards as one, shapes (n,)."""
    total: Int64s = np.sum(counts, axis=0, dtype=np.int64)
    return total


def _packed(truths: list[Bools | bool], rows: Int64s) -> Int64s:
    """One word per row: bit i says whether truth i holds there."""
    constant = sum(1 << i for i, truth in enumerate(truths) if isinstance(truth, bool))
    parts = [(i, truth) for i, truth in enumerate(truths) if not isinstance(truth, bool)]
    if parts and len(rows) * FEW_ROWS > len(parts[0][1]):
        words = np.full(len(parts[0][1]), constant, np.int64)
        for number, truth in parts:
            add_bit(np.require(truth, np.bool_, ["C", "W"]), number, words)
        return words if len(rows) == len(words) else words[rows]
    words = np.full(len(rows), constant, np.int64)
    for number, truth in parts:
        words |= truth[rows].astype(np.int64) << number
    return words


def _failures(
    errors: tuple[EvaluationError, ...], variable: str | None, here: Bools | None
) -> Iterator[Failure]:
    for error in errors:
        rows = error.rows if here is None else error.rows[here[error.rows]]
        if len(rows):
            yield Failure(error.reason, variable, rows)
