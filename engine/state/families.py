"""The runs of patterns whose automata differ in constants only, in one arena.

    key code, member ─► slot of the arena       members: thousands of patterns,
                                                one step of the kernel for all

A family of one is the usual case: there the code of a key is its code in the arena. In others it is
that of a pair, key code x members + member.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cep.engine.automaton.tables import Tables
from cep.engine.batch import Int64s
from cep.engine.kernels import layout
from cep.engine.state.arena import RunArena
from cep.engine.state.chains import Chains, Ended
from cep.engine.state.count_arena import CountArena
from cep.engine.state.evaluator import Evaluator
from cep.engine.state.limits import Limit
from cep.engine.state.set_arena import SetArena
from cep.engine.state.snapshot import Snapshot, Value

COUNTED_MAX = 1 << 53  # more partial matches than these are not told apart
BEGINNING = -(1 << 62)  # before any event


@dataclass(slots=True)
class EventClock:
    """The time that a shard has come to: no event before it will come any more.

    All patterns of a shard read the same, which is set once for all of them.
    """

    now_us: int = BEGINNING


@dataclass(frozen=True, slots=True)
class FromRuns:
    """What the runs of one member have told."""

    matches: Chains
    timeouts: Chains
    ended: Ended

    def __bool__(self) -> bool:
        """Whether it is anything."""
        return bool(len(self.matches) or len(self.timeouts) or len(self.ended.reason))

    @property
    def sequences(self) -> list[Int64s]:
        """The events in all of it, part by part."""
        chains = (self.matches, self.timeouts, self.ended.chains)
        return [each.sequence for each in chains if len(each.sequence)]

    @classmethod
    def joined(cls, parts: Sequence[FromRuns]) -> FromRuns:
        """Those of several shards as one."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            Chains.joined([part.matches for part in parts]),
            Chains.joined([part.timeouts for part in parts]),
            Ended.joined([part.ended for part in parts]),
        )


def family_key(tables: Tables) -> object:
    """Equal for patterns that may be one family: all but the constants of their programs."""
    automaton, programs, machine = tables.automaton, tables.programs, tables.machine
    arrays = (*automaton, programs.start, programs.code, programs.registers, tables.missing)
    inputs = tuple((expression, expression.type) for expression in machine.inputs)
    return (
        tuple((array.shape, array.tobytes()) for array in arrays),
        inputs,
        len(programs.constants),
        machine.uses_text_order,
        tables.slots,
        len(tables.flat.states),
    )


class RunFamily:
    """The runs of some patterns for the keys of one shard.

    `tables`: those of each member, alike by `family_key`. A limit or a trace is for a family of
    one. `counted`: matches are counted and not made, which the patterns must allow.
    """

    def __init__(
        self,
        tables: Sequence[Tables],
        capacity: int = 1024,
        limit: Limit | None = None,
        *,
        traced: bool = False,
        counted: bool = False,
    ) -> None:
        self.size = len(tables)
        self.constants = len(tables[0].programs.constants)  # of each member
        joined = _with_all_constants(tables)
        self.runs = _evaluator(joined, capacity, limit, self.size, traced=traced, counted=counted)
        self.time = EventClock()
        if self.size > 1:
            self.runs.settled_us = self._settled_us
        self._waiting: list[tuple[Mapping[str, Value], Int64s, int]] = []
        self._saved: list[Snapshot] = []

    # ------------------------------------------------------------------ keys

    def codes_of(self, member: int, codes: Int64s) -> Int64s:
        """The arena's codes of a member's keys."""
        return codes if self.size == 1 else codes * self.size + member

    def active_keys(self) -> Int64s:
        """Codes of the keys that have state."""
        self.runs.expire(self.time.now_us)
        active = self.runs.active_keys()
        return active if self.size == 1 else np.unique(active // self.size)

    def keep_keys(self, codes: Int64s) -> None:
        """Key i is from now on what was key codes[i] (sorted); no other key has state."""
        self.runs.keep_keys(codes)

    # ------------------------------------------------------------------ time

    def _settled_us(self, now_us: int) -> int:
        """Until when all members have seen all events; one may be ahead of others in a slice."""
        return min(now_us, self.time.now_us)

    def advance_to(self, time_us: int) -> None:
        """No event before this time will come any more; the clock says so already."""
        self.runs.advance_to(time_us)

    def close(self) -> None:
        """The final watermark: deadlines pass, and what waits for them comes out."""
        self.runs.expire(layout.NEVER, self.time.now_us)
        self.runs.trace_open(self.time.now_us)

    def sequences_from(self, sequence: int) -> Int64s:
        """The events from this one on that must be kept, in any order, perhaps with others."""
        if self.runs.is_worth_compacting():
            self.runs.tidy(self.time.now_us)
        return self.runs.sequences_from(sequence)

    def live_sequences(self) -> Int64s:
        """The events that must be kept, in any order, and no others. O(runs and their events)."""
        self.runs.tidy(self.time.now_us)
        return self.runs.sequences_from(0)

    # ------------------------------------------------------------------ what came out

    def told(self) -> list[tuple[int, FromRuns]]:
        """What came out since the last call, of each member that has something."""
        if not self.runs.has_told:
            return []
        matches, timeouts = self.runs.take_found(), self.runs.take_timed_out()
        ended = self.runs.take_ended()
        if self.size == 1:
            found = FromRuns(matches, timeouts, ended)
            return [(0, found)] if found else []
        of_matches, of_timeouts = matches.member, timeouts.member
        return [
            (
                member,
                FromRuns(
                    matches.only(np.flatnonzero(of_matches == member)),
                    timeouts.only(np.flatnonzero(of_timeouts == member)),
                    ended,
                ),
            )
            for member in np.unique(np.concatenate([of_matches, of_timeouts])).tolist()
        ]

    # ------------------------------------------------------------------ of one member

    def open_runs(self) -> Int64s:
        """Runs of each member that have taken an event and are not yet decided; shape (size,)."""
        return self._counted(self.runs.open_runs_by_key)

    def held_back(self) -> Int64s:
        """Completed matches of each member that wait for runs that began earlier."""
        return self._counted(self.runs.held_back_by_key)

    def _counted(self, by_key: Callable[[], tuple[Int64s, Int64s]]) -> Int64s:
        self.runs.expire(self.time.now_us)
        codes, counts = by_key()
        found = np.bincount(codes % self.size, counts, minlength=self.size)
        return np.minimum(found, COUNTED_MAX).astype(np.int64)

    def counted(self) -> Int64s | None:
        """How many matches each member has come to, where they are counted; shape (size,)."""
        return self.runs.counts() if isinstance(self.runs, CountArena) else None

    # ------------------------------------------------------------------ state

    def save(self) -> None:
        """Make the snapshots that `saved` hands out."""
        whole = self.runs.snapshot()
        if self.size == 1:
            self._saved = [whole]
            return
        pairs = whole["codes"]
        whole["codes"] = pairs // self.size
        self._saved = self.runs.split(whole, pairs % self.size, self.size)

    def saved(self, member: int) -> Snapshot:
        """The snapshot of one member's state, once."""
        found = self._saved[member]
        self._saved[member] = {}
        return found

    def restore(self, member: int, saved: Mapping[str, Value], codes: Int64s) -> None:
        """Take over a member's state from one shard's snapshot, in `load`.

        `codes`: what its keys are called now, -1 where they do not belong here.
        """
        self._waiting.append((saved, codes, member))

    def load(self) -> None:
        """Go on with all that was given to `restore`; the family is empty before."""
        parts = []
        for saved, codes, member in self._waiting:
            now = codes[saved["codes"]]
            found = np.where(now < 0, -1, self.codes_of(member, now))
            parts.append(({**saved, "codes": np.arange(len(now))}, found))
        self._waiting = []
        if parts:
            self.runs.restore(parts)

    # ------------------------------------------------------------------ texts

    def used_texts(self) -> Int64s:
        return self.runs.used_texts()

    def rename_texts(self, mapping: Int64s) -> None:
        self.runs.rename_texts(mapping)


def _evaluator(
    tables: Tables,
    capacity: int,
    limit: Limit | None,
    members: int,
    *,
    traced: bool,
    counted: bool,
) -> Evaluator:
    """Sets, where a pattern can be evaluated so; limits and traces are about runs."""
    if tables.touch is None or limit is not None or traced:
        return RunArena(tables, capacity, limit, traced=traced, members=members)
    evaluator = CountArena if counted else SetArena
    return evaluator(tables, tables.touch, capacity, members)


def _with_all_constants(tables: Sequence[Tables]) -> Tables:
    """The tables of a family: its members' constants one behind the other."""
    if len(tables) == 1:
        return tables[0]
    constants = np.concatenate([each.programs.constants for each in tables])
    return replace(tables[0], programs=tables[0].programs._replace(constants=constants))
