"""The states of gatherings, one list per gathering, by entry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from cep.engine.batch import Int64s
from cep.engine.operators.windows.accumulators import Failed
from cep.engine.operators.windows.accumulators_gathered import Gathering, Recode, State, UserDefined
from cep.engine.state.interning import TextCodes
from cep.engine.state.snapshot import Snapshot

Trouble = dict[str, list[int]]  # why a value could not be taken -> its places


class Gathered:
    """What the gatherings of a shard hold. An entry without a state has been given nothing."""

    def __init__(self, gatherings: Sequence[Gathering], texts: TextCodes) -> None:
        self._gatherings = gatherings
        self._texts = texts
        self._states: list[dict[int, State]] = [{} for _ in gatherings]

    def __len__(self) -> int:
        return len(self._gatherings)

    def add(
        self, number: int, entries: Int64s, words: Int64s, time_us: Int64s, sequence: Int64s
    ) -> Trouble:
        """Values with the entries that they go into. O(n log n)."""
        trouble: Trouble = {}
        if len(entries) == 0:
            return trouble
        gathering, states = self._gatherings[number], self._states[number]
        order = np.argsort(entries, kind="stable")
        begins = np.flatnonzero(np.diff(entries[order], prepend=-1))
        ends = np.append(begins[1:], len(order))
        words, time_us, sequence = words[order], time_us[order], sequence[order]
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            entry = int(entries[order[begin]])
            state = states[entry] if entry in states else gathering.create()
            part = slice(begin, end)
            states[entry], failed = gathering.add(
                state, words[part], time_us[part], sequence[part], self._texts
            )
            for place, reason in failed:
                trouble.setdefault(reason, []).append(int(order[begin + place]))
        return trouble

    def results(self, members: Int64s, ends: Int64s) -> list[list[Any]]:
        """For each gathering, its result over members[end of the row before:end], newest first."""
        if not self._gatherings:
            return []
        bounds = [0, *ends.tolist()]
        groups = [members[begin:end][::-1].tolist() for begin, end in pairwise(bounds)]
        return [
            [self._result(number, group) for group in groups]
            for number in range(len(self._gatherings))
        ]

    def _result(self, number: int, entries: Sequence[int]) -> Any:
        gathering = self._gatherings[number]
        try:
            return gathering.result(self._merged(number, entries), self._texts)
        except Exception as error:
            if isinstance(gathering, UserDefined):
                return Failed(gathering.reason(error))
            raise

    def _merged(self, number: int, entries: Iterable[int]) -> State:
        gathering, states = self._gatherings[number], self._states[number]
        found = [states[entry] for entry in entries if entry in states]
        if len(found) == 1:
            return found[0]
        return gathering.merge(found) if found else gathering.create()

    def merge(self, pairs: Int64s) -> None:
        """In each pair, what the second (older or overlapping) entry has goes into the first."""
        for number, states in enumerate(self._states):
            for entry, other in pairs.tolist():
                if other in states:
                    states[entry] = self._merged(number, (other, entry))
                    del states[other]

    def free(self, entries: Int64s) -> None:
        for states in self._states:
            for entry in entries.tolist():
                states.pop(entry, None)

    # ------------------------------------------------------------------ texts

    def used_texts(self) -> Int64s:
        """The codes of texts that states hold, distinct and sorted."""
        used = set[int]()
        for gathering, states in zip(self._gatherings, self._states, strict=True):
            for state in states.values():
                used.update(gathering.used_texts(state))
        return np.array(sorted(used), np.int64)

    def rename_texts(self, mapping: Int64s) -> None:
        """The text with code c has code mapping[c] from now on; every one in use has one."""
        for gathering, states in zip(self._gatherings, self._states, strict=True):
            for entry, state in states.items():
                states[entry] = gathering.rename_texts(state, mapping)

    # ------------------------------------------------------------------ state

    def dump(self, entries: Int64s, recode: Recode) -> list[Snapshot]:
        """The states of these entries, in their order."""
        return [
            gathering.dump(
                [states[e] if e in states else gathering.create() for e in entries.tolist()], recode
            )
            for gathering, states in zip(self._gatherings, self._states, strict=True)
        ]

    def loaded(self, dumped: list[Snapshot], recode: Recode) -> list[list[State]]:
        pairs = zip(self._gatherings, dumped, strict=True)
        return [gathering.load(snapshot, recode) for gathering, snapshot in pairs]

    def load(self, number: int, states: list[State]) -> None:
        """Entry i has state i from now on."""
        self._states[number] = dict(enumerate(states))
