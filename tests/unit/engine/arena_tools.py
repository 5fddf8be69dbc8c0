"""An arena alone, fed by the reference evaluator: no columns, no runtime; checked at every step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from cep.engine.algebra.pattern import Pattern
from cep.engine.automaton.nfa import build_nfa
from cep.engine.automaton.program import split_condition
from cep.engine.automaton.tables import build_tables
from cep.engine.batch import Int64s
from cep.engine.binding.patterns import bind_pattern
from cep.engine.kernels import layout
from cep.engine.state.arena import RunArena
from cep.engine.state.chains import Chains
from cep.engine.state.evaluator import Evaluator
from cep.engine.state.limits import Limit
from cep.engine.state.set_arena import SetArena
from cep.engine.state.texts import TextCodes
from tests.reference.expressions import evaluate
from tests.reference.random_patterns import STREAM
from tests.unit.engine.arena_check import check_arena
from tests.unit.engine.machine_tools import word_of

Event = dict[str, Any]

# Two that begin with a: where the first wants more than there is, the match of the second waits.
WAITING = """pattern p by k match a -> b within 9 ms after match skip to next row
  define a as name = 'a', b as name = 'b' and i > a.i"""


class Result(NamedTuple):
    """A match or a timed-out run: when it was known, the event that made it known, what it took."""

    at_us: int
    cause: int
    taken: tuple[tuple[str, int], ...]


class Driven:
    """One arena; events have `ts` in milliseconds and their key in `k`. Event n has sequence n.

    `by_sets`: partial matches are kept by the set, which the pattern must allow.
    """

    def __init__(
        self,
        pattern: Pattern,
        capacity: int = 1,
        limit: Limit | None = None,
        *,
        by_sets: bool = False,
    ) -> None:
        if pattern.streams == (STREAM.name,):
            pattern, _ = bind_pattern(pattern, {STREAM.name: STREAM})
        self.texts = TextCodes()
        self.tables = build_tables(build_nfa(pattern), self.texts.code)
        self.texts.pin()
        self.nfa = self.tables.flat.nfa
        self.by_sets = by_sets
        self.limit = limit
        self.arena: Any = self.new_arena(capacity)  # RunArena or SetArena
        self.codes: dict[str, int] = {}
        self.key_of: list[str] = []  # by sequence
        self.matches: dict[str, list[Result]] = defaultdict(list)  # by key
        self.timeouts: dict[str, list[Result]] = defaultdict(list)

    def new_arena(self, capacity: int = 1) -> Evaluator:
        if not self.by_sets:
            return RunArena(self.tables, capacity, self.limit)
        assert self.tables.touch is not None
        return SetArena(self.tables, self.tables.touch, capacity)

    @property
    def results(self) -> tuple[dict[str, list[Result]], dict[str, list[Result]]]:
        return self.matches, self.timeouts

    def feed(self, events: Sequence[Event]) -> None:
        """The events in one batch."""
        if not events:
            return
        table, inputs = self._rows(events)
        codes = table[:, layout.EVENT_KEY].copy()
        starts = self.tables.automaton.settings[layout.START_ANY]
        begins = table[:, layout.EVENT_MASK] & starts != 0
        slots = self.arena.slots_of(codes, begins, int(table[0, layout.EVENT_TIME_US]))
        table[:, layout.EVENT_KEY] = slots
        used = slots >= 0
        table, inputs = np.ascontiguousarray(table[used]), np.ascontiguousarray(inputs[used])
        rank = self.texts.rank()
        self.arena.process(layout.Events(table, inputs, inputs.view(np.float64), rank))
        self.arena.take_faults()
        self.collect()

    def advance_to(self, time_us: int) -> None:
        self.arena.advance_to(time_us)
        self.collect()

    def close(self) -> None:
        self.arena.expire(layout.NEVER, 10**9)
        self.collect()

    def collect(self) -> None:
        """Take what came out, and see that the arena is whole."""
        for results, chains in (
            (self.matches, self.arena.take_found()),
            (self.timeouts, self.arena.take_timed_out()),
        ):
            for key, result in self._results(chains):
                results[key].append(result)
        if isinstance(self.arena, RunArena):
            check_arena(self.arena, len(self.tables.flat.states), len(self.nfa.variables))

    def _results(self, chains: Chains) -> Iterable[tuple[str, Result]]:
        names = self.nfa.variables
        for i, (begin, end) in enumerate(pairwise(chains.offsets.tolist())):
            taken = [
                (names[chains.variable[j]], int(chains.sequence[j])) for j in range(begin, end)
            ]
            result = Result(int(chains.at_us[i]), int(chains.cause[i]), tuple(taken))
            yield self.key_of[taken[0][1]], result

    def _rows(self, events: Sequence[Event]) -> tuple[Int64s, Int64s]:
        table = np.zeros((len(events), layout.EVENT_FIELDS), np.int64)
        expressions = self.tables.machine.inputs
        inputs = np.zeros((len(events), len(expressions)), np.int64)
        for at, event in enumerate(events):
            table[at, layout.EVENT_TIME_US] = event["ts"] * 1000
            table[at, layout.EVENT_SEQUENCE] = len(self.key_of)
            table[at, layout.EVENT_KEY] = self.codes.setdefault(event["k"], len(self.codes))
            table[at, layout.EVENT_MASK] = self._mask(event)
            self.key_of.append(event["k"])
            for number, expression in enumerate(expressions):
                value = evaluate(expression, event)
                if value is not None:
                    inputs[at, number] = word_of(value, expression.type, self.texts)
                    table[at, layout.EVENT_VALID] |= 1 << number
        return table, inputs

    def _mask(self, event: Event) -> int:
        own = [split_condition(condition.expression)[0] for condition in self.nfa.conditions]
        holds = [part is None or evaluate(part, event) is True for part in own]
        return sum(1 << number for number, held in enumerate(holds) if held)


def run(
    pattern: Pattern,
    events: Sequence[Event],
    cuts: Iterable[int] = (),
    limit: Limit | None = None,
    *,
    by_sets: bool = False,
) -> Driven:
    """All events in batches that end at `cuts`, time advancing with each, to the end."""
    driven = Driven(pattern, limit=limit, by_sets=by_sets)
    ends = sorted({0, len(events), *(min(cut, len(events)) for cut in cuts)})
    for begin, end in pairwise(ends):
        driven.feed(events[begin:end])
        driven.advance_to(events[end - 1]["ts"] * 1000)
    driven.close()
    return driven
