"""Results of two detectors over the same events -> what only one of them has found.

The two may find the same match in different calls (one of them may wait longer). So a match waits
for its twin, by its id; of those that wait, the oldest is given up where they are too many.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cep.results.columns import in_microseconds
from cep.results.matches import MatchTable
from cep.results.result import Result
from cep.results.values import as_cell

OLD, NEW = "old", "new"
WAITING_MAX = 10_000  # matches that may still find their twin
SAMPLE_MAX = 20  # matches of each pattern and side that are told
Twin = tuple[str, str]  # pattern, id
Told = dict[str, Any]


@dataclass(slots=True)
class Waiting:
    """Matches of one id that only one side has found: how many, and what is told of them."""

    side: str
    size: int
    told: Told


class Comparison:
    """What the old rules and the new ones have found. Memory is bounded by constants.

    `patterns`: what both have; matches of all others can have no twin.
    """

    def __init__(self, patterns: Collection[str], waiting_max: int = WAITING_MAX) -> None:
        self._patterns = patterns
        self._waiting_max = waiting_max
        self._waiting: OrderedDict[Twin, Waiting] = OrderedDict()
        self.both: Counter[str] = Counter()  # of patterns
        self._alone: Counter[tuple[str, str]] = Counter()  # (side, pattern)
        self._samples: dict[tuple[str, str], list[Told]] = {}
        self.counts: Counter[tuple[str, str, str]] = Counter()  # (side, what, name)
        self.events = 0

    def add(self, old: Result, new: Result) -> None:
        """What came out of one call on each side."""
        self.events += old.events
        for side, result in ((OLD, old), (NEW, new)):
            self._count(side, result)
            if len(result.matches):
                self._pair(side, result.matches)

    def _count(self, side: str, result: Result) -> None:
        for name, size in result.timeouts.counts().items():
            self.counts[side, "timeouts", name] += size
        for name, size in result.tables.counts().items():
            self.counts[side, "rows", name] += size
        self.counts[side, "errors", ""] += len(result.errors)
        self.counts[side, "late", ""] += len(result.late)

    def _pair(self, side: str, matches: MatchTable) -> None:
        table = matches.to_arrow().select(["pattern", "key", "start", "end", "id"])
        for row in in_microseconds(table).to_pylist():
            told = row | {"key": as_cell(row["key"])}
            if row["pattern"] not in self._patterns:
                self._give_up(row["pattern"], Waiting(side, 1, told))
            else:
                self._meet(side, told)
        while len(self._waiting) > self._waiting_max:
            (pattern, _), oldest = self._waiting.popitem(last=False)
            self._give_up(pattern, oldest)

    def _meet(self, side: str, told: Told) -> None:
        """A match meets its twin, or waits. Several matches of one id are told by their number."""
        twin = told["pattern"], told["id"]
        waiting = self._waiting.setdefault(twin, Waiting(side, 0, told))
        if waiting.side == side:
            waiting.size += 1
            return
        self.both[told["pattern"]] += 1
        waiting.size -= 1
        if not waiting.size:
            del self._waiting[twin]

    def _give_up(self, pattern: str, found: Waiting) -> None:
        self._alone[found.side, pattern] += found.size
        kept = self._samples.setdefault((found.side, pattern), [])
        if len(kept) < SAMPLE_MAX:
            kept.append(found.told)

    def alone(self) -> Mapping[tuple[str, str], int]:
        """(side, pattern) -> matches that the other side has not found, by now."""
        found = Counter(self._alone)
        for (pattern, _), waiting in self._waiting.items():
            found[waiting.side, pattern] += waiting.size
        return found

    def sample(self) -> Iterator[Told]:
        """The first of them for each side and pattern, with `only_in`."""
        samples = {where: list(told) for where, told in self._samples.items()}
        for (pattern, _), waiting in self._waiting.items():
            kept = samples.setdefault((waiting.side, pattern), [])
            if len(kept) < SAMPLE_MAX:
                kept.append(waiting.told)
        for (side, _), kept in samples.items():
            yield from ({"only_in": side, **told} for told in kept)


_TIME = pa.timestamp("us")  # UTC
_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(("only_in", "pattern", "id", "key"), pa.string()),
    **dict.fromkeys(("start", "end"), _TIME),
}
SAMPLED = pa.schema(_TYPES)
