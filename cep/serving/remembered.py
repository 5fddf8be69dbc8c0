"""Ids of events that were taken -> what they were answered, for those that are sent again.

ids     e1 e2 e3 e4 e5 ...        the last `ids_max`, oldest first
         │  └──┼──┘  │            events of one request share its answer
answers  a     b     -            all of them in `answers_bytes`, else the oldest are let go
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import pyarrow as pa

from cep.engine.state.snapshot import Snapshot
from cep.serving.answers import NOTHING, SIDES, Answer


class Kept:
    """The answer to a request; None once it was let go. `ids`: how many still lead to it."""

    __slots__ = ("answer", "ids")

    def __init__(self, answer: Answer | None, ids: int) -> None:
        self.answer = answer
        self.ids = ids


_NOTHING_CAME = Kept(NOTHING, 0)  # shared by all: most events complete nothing


class Remembered:
    """The ids of the last events. Not for several threads at once."""

    def __init__(self, ids_max: int, answers_bytes: int) -> None:
        self._ids_max = ids_max
        self._bytes_max = answers_bytes
        self._by_id: dict[str, Kept] = {}
        # The oldest are found here: in the dict they are behind the places of all before them.
        self._requests: deque[tuple[Sequence[str], Kept]] = deque()
        self._gone = 0  # ids of the oldest request that are no longer known
        self._answers: deque[Kept] = deque()
        self.answers_bytes = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._by_id

    def get(self, id_: str) -> Kept | None:
        """What is kept for an event that was taken; None for an id that is not known."""
        return self._by_id.get(id_)

    def has_any(self, ids: Sequence[str]) -> bool:
        """Whether one of them is known; quicker than to ask for each."""
        return not self._by_id.keys().isdisjoint(ids)

    def add(self, ids: Sequence[str], answer: Answer) -> Kept:
        """Ids that are not known yet, of one request. The oldest make way."""
        kept = _NOTHING_CAME
        if answer is not NOTHING:
            kept = Kept(answer, 0)
            self._answers.append(kept)
            self.answers_bytes += answer.size_bytes
        self._keep(ids, kept)
        self._shrink()
        return kept

    def _keep(self, ids: Sequence[str], kept: Kept) -> None:
        self._by_id.update(dict.fromkeys(ids, kept))
        self._requests.append((ids, kept))
        kept.ids += len(ids)

    def _shrink(self) -> None:
        while len(self._by_id) > self._ids_max:
            self._forget(len(self._by_id) - self._ids_max)
        while self._answers and (
            self.answers_bytes > self._bytes_max or self._answers[0].answer is None
        ):
            self._let_go(self._answers.popleft())

    def _forget(self, count: int) -> None:
        """So many of the oldest ids, as far as they are of one request."""
        ids, kept = self._requests[0]
        end = min(self._gone + count, len(ids))
        for id_ in islice(ids, self._gone, end):
            del self._by_id[id_]
        kept.ids -= end - self._gone
        self._gone = end
        if end == len(ids):
            self._requests.popleft()
            self._gone = 0
        if kept.ids == 0 and kept is not _NOTHING_CAME:
            self._let_go(kept)

    def _let_go(self, kept: Kept) -> None:
        if kept.answer is not None:
            self.answers_bytes -= kept.answer.size_bytes
            kept.answer = None

    # -- what a checkpoint holds of it -------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """A copy; O(ids). Answers are numbered; -1 is nothing, -2 an answer that was let go."""
        answers = [kept for kept in self._answers if kept.answer is not None]
        number = {id(kept): place for place, kept in enumerate(answers)}
        number[id(_NOTHING_CAME)] = -1
        of = [number.get(id(kept), -2) for kept in self._by_id.values()]
        ids: Any = pa.array(list(self._by_id), pa.large_string())
        return {
            "ids": pa.table({"id": ids, "answer": pa.array(of, pa.int64())}),
            "answers": _table([kept.answer for kept in answers if kept.answer is not None]),
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Go on where a snapshot was taken; the bounds may be others."""
        kept = [Kept(answer, 0) for answer in _answers(snapshot["answers"])]
        self._answers = deque(kept)
        self.answers_bytes = sum(each.answer.size_bytes for each in kept if each.answer)
        gone = Kept(None, 0)
        choices = {-1: _NOTHING_CAME, -2: gone} | dict(enumerate(kept))
        columns = (snapshot["ids"].column(name).to_pylist() for name in ("id", "answer"))
        self._by_id, self._requests, self._gone = {}, deque(), 0
        for number, group in groupby(zip(*columns, strict=True), itemgetter(1)):
            self._keep([id_ for id_, _ in group], choices[number])
        self._shrink()


def _table(answers: Sequence[Answer]) -> pa.Table:
    columns: dict[str, Any] = {
        side: pa.array([answer.sides[place] for answer in answers], pa.large_binary())
        for place, side in enumerate(SIDES)
    }
    counts = [list(answer.counts) for answer in answers]
    return pa.table(columns | {"counts": pa.array(counts, pa.list_(pa.int64()))})


def _answers(table: pa.Table) -> list[Answer]:
    rows = table.to_pylist()
    return [Answer(tuple(row[side] for side in SIDES), tuple(row["counts"])) for row in rows]
