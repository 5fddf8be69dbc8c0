"""What runs have captured, read out: matches, timed-out runs, and runs that came to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cep.engine.batch import Int64s


@dataclass(frozen=True, slots=True)
class Chains:
    """Captured events of several matches: match i is [offsets[i]:offsets[i + 1]].

    `sequence[offsets[i]]` is the event that began it. `cause`, shape (m,): the event whose step
    made the match known, -1 where time alone did. `member`, shape (m,): of which pattern of
    the family it is.
    """

    offsets: Int64s
    variable: Int64s
    sequence: Int64s
    at_us: Int64s
    cause: Int64s
    member: Int64s

    def __len__(self) -> int:
        return len(self.at_us)

    def only(self, rows: Int64s) -> Chains:
        """Some of them, in this order."""
        if len(rows) == len(self) and (rows[1:] > rows[:-1]).all():
            return self
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Chains(
            offsets,
            self.variable[places],
            self.sequence[places],
            self.at_us[rows],
            self.cause[rows],
            self.member[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence[Chains]) -> Chains:
        """Several as one, in this order."""
        if not parts:
            return NO_CHAINS
        if len(parts) == 1:
            return parts[0]
        begins = np.cumsum([0, *(len(part.sequence) for part in parts)])
        offsets = [part.offsets[:-1] + at for part, at in zip(parts, begins, strict=False)]
        return cls(
            np.concatenate([*offsets, begins[-1:]]),
            np.concatenate([part.variable for part in parts]),
            np.concatenate([part.sequence for part in parts]),
            np.concatenate([part.at_us for part in parts]),
            np.concatenate([part.cause for part in parts]),
            np.concatenate([part.member for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Ended:
    """Runs that ended without a match; shapes (m,). `cause` of a chain: the event that ended it.

    `state`: of the automaton, -1 where a run was complete and its match dropped by another.
    `missing`: how many events more would have made it a match, at least. `reason`: as the kernel
    has it (END_REASON). Of runs that began at the same event only the nearest is there.
    """

    chains: Chains
    state: Int64s
    missing: Int64s
    reason: Int64s

    @classmethod
    def joined(cls, parts: Sequence[Ended]) -> Ended:
        """Several as one, in this order."""
        if not parts:
            return NO_RUNS
        if len(parts) == 1:
            return parts[0]
        return cls(
            Chains.joined([part.chains for part in parts]),
            np.concatenate([part.state for part in parts]),
            np.concatenate([part.missing for part in parts]),
            np.concatenate([part.reason for part in parts]),
        )


_NOTHING = np.empty(0, np.int64)
NO_CHAINS = Chains(np.zeros(1, np.int64), *[_NOTHING] * 5)
NO_RUNS = Ended(NO_CHAINS, _NOTHING, _NOTHING, _NOTHING)


def nearest_runs(
    first: Int64s, missing: Int64s, at_us: Int64s, last: Int64s, total: Int64s
) -> Int64s:
    """Rows of those that came nearest among runs of equal `first`, in the order of these.

    Nearest is what misses least, lived longest and took its last event last; `total`: the sum of
    the numbers of its events. The choice does not depend on the order of the runs. Shapes (m,).
    """
    order = np.lexsort((-total, -last, -at_us, missing, first))
    rows: Int64s = order[np.diff(first[order], prepend=-1) != 0]
    return rows
