"""What keeps the partial matches of a family of patterns, whichever way."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from cep.engine.batch import Int64s
from cep.engine.kernels import layout
from cep.engine.state.chains import NO_CHAINS, NO_RUNS, Chains, Ended
from cep.engine.state.key_rows import KeyRows
from cep.engine.state.snapshot import Parts, Snapshot

NO_KEYS = np.empty(0, np.int64), np.empty(0, np.int64)


class Evaluator(KeyRows):
    """Events and time in, matches out. See `RunArena` and `SetArena`.

    Only runs have deadlines, faults, limits and texts: what is about these does nothing here.
    """

    def __init__(self, no_state: Int64s, begins: int, capacity: int, members: int) -> None:
        super().__init__(no_state, begins, capacity, members)
        self.settled_us: Callable[[int], int] = int  # until when runs may end, at this time
        self.compactions = 0  # how often captures were forgotten

    # ------------------------------------------------------------------ events and time

    @abstractmethod
    def process(self, events: layout.Events) -> None:
        """Offer the events, in order, to what is open of their keys (rows of `slots_of`)."""

    @abstractmethod
    def expire(self, now_us: int, closing_us: int = -1) -> None:
        """Let event time reach now_us for every key. `closing_us` >= 0: for the last time."""

    def advance_to(self, now_us: int) -> None:
        """`expire` for the keys where that can show."""

    @property
    def next_due_us(self) -> int:
        """No deadline before this time makes a match or a timed-out run; NEVER: there is none."""
        return layout.NEVER

    # ------------------------------------------------------------------ what came out

    @property
    @abstractmethod
    def has_told(self) -> bool:
        """Whether something came out that has not been taken."""

    @abstractmethod
    def take_found(self) -> Chains:
        """The matches found since the last call."""

    def take_timed_out(self) -> Chains:
        """The runs that timed out since the last call."""
        return NO_CHAINS

    def take_ended(self) -> Ended:
        """The runs that ended without a match since the last call, where that is traced."""
        return NO_RUNS

    def trace_open(self, now_us: int) -> None:
        """The stream has ended: open runs have ended with it."""

    def take_faults(self) -> Sequence[tuple[int, int, int]]:
        """(event, condition, code) of each fault of the last `process`."""
        return ()

    # ------------------------------------------------------------------ what is held

    @property
    def refused(self) -> int:
        """Runs that a limit did not let come into being, since the evaluator is there."""
        return 0

    @property
    def dropped(self) -> int:
        """Runs that made way for younger ones, since the evaluator is there."""
        return 0

    @abstractmethod
    def has_captured(self, sequence: int) -> bool:
        """Whether this event, the last one that was offered, is held."""

    @abstractmethod
    def open_runs_by_key(self) -> tuple[Int64s, Int64s]:
        """(codes of keys, how many open runs each has)."""

    def held_back_by_key(self) -> tuple[Int64s, Int64s]:
        """(codes of keys, how many completed matches of each wait for earlier runs)."""
        return NO_KEYS

    @abstractmethod
    def sequences_from(self, sequence: int) -> Int64s:
        """The events from this one on that are held, or were until lately, in any order."""

    @abstractmethod
    def is_worth_compacting(self) -> bool:
        """Whether captures have doubled since the unreachable ones were last dropped."""

    @property
    @abstractmethod
    def bytes_held(self) -> int:
        """The size of all buffers, used or spare."""

    def used_texts(self) -> Int64s:
        """The codes of texts that are held, distinct and sorted."""
        return np.empty(0, np.int64)

    def rename_texts(self, mapping: Int64s) -> None:
        """The text with code c has code mapping[c] from now on; every one in use has one."""

    # ------------------------------------------------------------------ snapshots

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Copies of all state, `codes` of the keys among it; matches must have been taken before.

        What limits have refused and dropped is not in it: the keys may go to several shards.
        """

    @abstractmethod
    def split(self, saved: Snapshot, owners: Int64s, count: int) -> list[Snapshot]:
        """Of a snapshot that of the keys of each owner: key i is of owners[i], of so many."""

    @abstractmethod
    def restore(self, parts: Parts) -> None:
        """Go on from these snapshots, as far as their keys belong here. Nothing is held before."""
