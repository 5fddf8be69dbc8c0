"""Matches counted, none of them made: the evaluator of `Rules.count`."""

from __future__ import annotations

import numpy as np

from cep.engine.algebra.errors import DataError
from cep.engine.automaton.tables import Tables
from cep.engine.batch import Bools, Int64s
from cep.engine.kernels import counting as kernels
from cep.engine.kernels import layout
from cep.engine.state.chains import NO_CHAINS, Chains
from cep.engine.state.evaluator import NO_KEYS, Evaluator
from cep.engine.state.snapshot import Parts, Snapshot

UNBOUNDED = 1 << 62
NOTHING = np.empty(0, np.int64)


class CountArena(Evaluator):
    """The events that could do something, by key; `counts` says what they come to.

    For bounded data: 24 bytes for each such event are held until then.
    """

    def __init__(
        self, tables: Tables, touch: Int64s, capacity: int = 1024, members: int = 1
    ) -> None:
        self._automaton = tables.automaton
        self._touch = touch
        begins = int(self._automaton.settings[layout.START_ANY])
        super().__init__(np.zeros(1, np.int64), begins, capacity, members)
        self._members = members
        self._events: list[Int64s] = []

    def process(self, events: layout.Events) -> None:
        """Take in the events, in order (rows of `slots_of`)."""
        columns = [layout.EVENT_TIME_US, layout.EVENT_KEY, layout.EVENT_MASK]
        self._events.append(events.rows[:, columns].T)

    def counts(self) -> Int64s:
        """The matches of each member, shape (members,).

        Raises DataError where they, or a key's partial matches at some event, are more than 2**62.
        """
        found = np.zeros(self._members, np.int64)
        if not sum(part.shape[1] for part in self._events):
            return found
        times, keys, masks = np.concatenate(self._events, axis=1)
        order = np.argsort(keys, kind="stable")
        times, keys, masks = times[order], keys[order], masks[order]
        ends = np.append(np.flatnonzero(np.diff(keys)) + 1, len(keys))
        of_key = np.zeros(len(ends), np.int64)
        room = self._room(_widest(times, ends, int(self._automaton.settings[layout.WITHIN_US])))
        done = kernels.count_matches(self._automaton, self._touch, room, times, masks, ends, of_key)
        members = self.members_of(keys[ends - 1])
        in_all = np.bincount(members, of_key, minlength=self._members)
        if done < 0 or in_all.max() > UNBOUNDED:
            message = "there are more than 2**62 matches or partial matches"
            raise DataError(f"{message}: ask for less with `within`")
        np.add.at(found, members, of_key)
        return found

    def _room(self, events: int) -> kernels.Counting:
        states, edges = len(self._automaton.states), len(self._automaton.edges)
        return kernels.Counting(
            np.zeros((events, states), np.int64),
            np.zeros((states, states), np.int64),
            np.zeros((states, states), np.int64),
            np.zeros((states, states), np.int64),
            np.zeros(states, np.int64),
            np.zeros((edges, 2), np.int64),
            np.zeros(states, np.int64),
            np.zeros((states, 2), np.int64),
            np.zeros(kernels.SIZES, np.int64),
        )

    # ------------------------------------------------------------------ nothing is made

    def expire(self, now_us: int, closing_us: int = -1) -> None:
        """What is over counts, too."""

    @property
    def has_told(self) -> bool:
        return False

    def take_found(self) -> Chains:
        return NO_CHAINS

    def read_out(self) -> None:
        """There is nothing."""

    def has_captured(self, sequence: int) -> bool:
        return False

    def open_runs_by_key(self) -> tuple[Int64s, Int64s]:
        return NO_KEYS

    def sequences_from(self, sequence: int) -> Int64s:
        return NOTHING

    def is_worth_compacting(self) -> bool:
        return False

    def tidy(self, now_us: int, room: int = 0) -> None:
        """Every key is needed to the end."""

    @property
    def spare_captures(self) -> int:
        return UNBOUNDED

    @property
    def bytes_held(self) -> int:
        return sum(part.nbytes for part in self._events)

    def _has_state(self) -> Bools:
        return np.ones(self._slots.count, np.bool_)

    def _keys_have_moved(self) -> None:
        """Keys keep their rows, since all have state."""

    def snapshot(self) -> Snapshot:
        raise NotImplementedError("counts are of bounded data")

    def split(self, saved: Snapshot, owners: Int64s, count: int) -> list[Snapshot]:
        raise NotImplementedError("counts are of bounded data")

    def restore(self, parts: Parts) -> None:
        raise NotImplementedError("counts are of bounded data")


def _widest(times: Int64s, ends: Int64s, within_us: int) -> int:
    """The most events of a key that lie in one window."""
    if within_us <= 0:
        return 1
    widest = 1
    for begin, end in zip(np.append(0, ends[:-1]).tolist(), ends.tolist(), strict=True):
        mine = times[begin:end]
        if end - begin > widest:
            oldest = np.searchsorted(mine, mine - within_us, side="right")
            widest = max(widest, int((np.arange(1, len(mine) + 1) - oldest).max()))
    return widest
