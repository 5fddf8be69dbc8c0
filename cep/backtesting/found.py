"""Matches as they come out of a run -> what each pattern found of the labelled stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cep.backtesting.checks import known_name
from cep.backtesting.labels import Labels
from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Pattern, variables
from cep.engine.batch import Bools, Int64s
from cep.engine.results import MatchBatch

ROW = "(row)"
"""A column beside those of the labelled stream: the number of the row. No rule can read it."""

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Found:
    """What one pattern, or several as one, found.

    `flagged`: the rows of the labelled stream that it flags, each once, ascending. `at_us`,
    `is_hit`, shape (alerts,): when each alert was found, and whether it is about something
    labelled. `first_us`, shape (cases,): when the first alert about each case was found, else
    NEVER.
    """

    flagged: Int64s
    at_us: Int64s
    is_hit: Bools
    first_us: Int64s


def together(parts: Iterable[Found], cases: int) -> Found:
    """What several patterns found as one: their alerts, and events that any of them flags."""
    several = list(parts)
    none = np.zeros(0, np.int64)
    flagged = [part.flagged for part in several]
    return Found(
        np.unique(np.concatenate([none, *flagged])),
        np.concatenate([none, *(part.at_us for part in several)]),
        np.concatenate([np.zeros(0, np.bool_), *(part.is_hit for part in several)]),
        np.minimum.reduce([np.full(cases, NEVER), *(part.first_us for part in several)]),
    )


class Finder:
    """Collects what one pattern finds, step by step; memory holds a few numbers per match.

    `flagged`: None for all captured events of a match, "last" for its last, else the variables
    whose events count.
    """

    def __init__(self, labels: Labels, flagged: Sequence[str] | str | None = None) -> None:
        self._labels = labels
        self._flagged = flagged
        self._rows: list[Int64s] = []
        self._at_us: list[Int64s] = []
        self._is_hit: list[Bools] = []
        self._first_us = np.full(len(labels.begin_us), NEVER)

    def add(self, batch: MatchBatch, rows: Int64s, key: Int64s | None) -> None:
        """`rows`, `key`, shape (e,): of the batch's events, -1 for none; None: there are no spans.

        An event that is no row of the labelled stream is what another rule made, or another stream.
        """
        owner = np.repeat(np.arange(len(batch)), np.diff(batch.offsets))
        is_flagged = self._chosen(batch, owner, rows[batch.row] >= 0)
        owner, event = owner[is_flagged], batch.row[is_flagged]
        row = rows[event]
        case = np.where(row >= 0, self._labels.case[row], -1)
        is_hit = np.zeros(len(batch), np.bool_)
        self._hit(batch, owner, case, is_hit)
        if key is not None and self._labels.spans is not None:
            at_us = batch.at_us[owner]
            self._hit(batch, owner, self._labels.spans.cases_at(key[event], at_us), is_hit)
        self._rows.append(np.unique(row[row >= 0]))
        self._at_us.append(batch.at_us)
        self._is_hit.append(is_hit)

    def _chosen(self, batch: MatchBatch, owner: Int64s, is_labelled_stream: Bools) -> Bools:
        """(t,) which of the captured events are flagged; what other rules made stays as it is."""
        if self._flagged is None:
            return np.ones(len(owner), np.bool_)
        if self._flagged == "last":
            own = np.flatnonzero(is_labelled_stream)
            is_last = np.append(owner[own][1:] != owner[own][:-1], True)[: len(own)]
            chosen = ~is_labelled_stream
            chosen[own[is_last]] = True
            return chosen
        numbers = [at for at, name in enumerate(batch.variables) if name in self._flagged]
        return np.isin(batch.variable, numbers)

    def _hit(self, batch: MatchBatch, owner: Int64s, case: Int64s, is_hit: Bools) -> None:
        hits = case >= 0
        is_hit[owner[hits]] = True
        np.minimum.at(self._first_us, case[hits], batch.at_us[owner[hits]])

    def found(self) -> Found:
        none = np.zeros(0, np.int64)
        return Found(
            np.unique(np.concatenate([none, *self._rows])),
            np.concatenate([none, *self._at_us]),
            np.concatenate([np.zeros(0, np.bool_), *self._is_hit]),
            self._first_us,
        )


class EventRows:
    """Which rows of the labelled stream, and which keys of spans, the events of matches are.

    Batches of one step share their events: what is looked up of them is remembered for that step.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._known: dict[int, tuple[Int64s, Int64s | None]] = {}

    def of(self, batch: MatchBatch) -> tuple[Int64s, Int64s | None]:
        """(rows, keys), see `Finder.add`."""
        known = self._known.get(id(batch.events))
        if known is None:
            known = self._known[id(batch.events)] = self._look_up(batch)
        return known

    def _look_up(self, batch: MatchBatch) -> tuple[Int64s, Int64s | None]:
        events, spans = batch.events, self._labels.spans
        rows = np.full(events.num_rows, -1)
        if ROW in events.schema.names:
            column: Any = events.column(ROW)
            rows = column.fill_null(-1).to_numpy().astype(np.int64)
        if spans is None:
            return rows, None
        missing = [name for name in spans.index.fields if name not in events.schema.names]
        if not missing:
            return rows, spans.index.codes(events)
        if ROW not in events.schema.names:
            raise DataError(
                f"pattern {batch.pattern.name!r} has no field {missing[0]!r}, the key of the "
                "labels: select it in the rules that it reads, or name other `patterns`"
            )
        own: npt.NDArray[np.int64] = self._labels.key[rows]  # type: ignore[index] # spans have it
        return rows, np.where(rows >= 0, own, -1)


def check_flagged(
    flagged: str | Mapping[str, str | Sequence[str]] | None, patterns: Sequence[Pattern]
) -> dict[str, Sequence[str] | str | None]:
    """Pattern -> what `Finder` takes. Raises DataError for what is not in the rules."""
    if flagged is None or flagged == "last":
        return dict.fromkeys((pattern.name for pattern in patterns), flagged)
    if isinstance(flagged, str):
        raise DataError(f"flagged is {flagged!r}: say 'last', or a dict from pattern to variables")
    for name in flagged:
        known_name("flagged: no pattern", name, [pattern.name for pattern in patterns])
    chosen: dict[str, Sequence[str] | str | None] = {}
    for pattern in patterns:
        given = flagged.get(pattern.name)
        names = [given] if isinstance(given, str) else given
        known = [variable.name for variable in variables(pattern.steps)]
        for name in names or ():
            known_name(f"flagged: pattern {pattern.name!r} has no variable", name, known)
        chosen[pattern.name] = names
    return chosen
