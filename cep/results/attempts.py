"""Runs that became no match, and those that did -> one row per attempt: how far it came, and why.

    event that begins runs     runs of it                 the attempt
    probe 10:00            ┬─► probe probe, time up       missing 1: reached the second probe,
                           └─► probe, skipped             ended by time

An attempt is everything that began at one event for one pattern. Of its runs the one that came
nearest to a match speaks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.pattern import Pattern
from cep.engine.automaton.distances import variables_needed
from cep.engine.automaton.flat import flatten
from cep.engine.automaton.nfa import build_nfa
from cep.engine.batch import Int64s
from cep.engine.results import EndedBatch, Fate, MatchBatch
from cep.engine.state.chains import nearest_runs
from cep.results.columns import EventPool, PatternMatches
from cep.results.layout import Layout
from cep.results.tabular import Tabular

FATES = tuple(fate.name.lower() for fate in Fate)


@dataclass(frozen=True)
class PatternAttempts:
    """The attempts of one pattern that became no match, in the order of their first events.

    `runs`: the nearest of each; `state` to `cause`, shapes (m,), as in `EndedBatch`.
    `matched`: how many attempts became matches, which are not among `runs`.
    """

    runs: PatternMatches
    state: Int64s
    missing: Int64s
    fate: Int64s
    cause: Int64s
    matched: int

    @property
    def name(self) -> str:
        return self.runs.pattern.name

    @cached_property
    def needed(self) -> list[tuple[str, ...]]:
        """The variables of the events that a match needs at least, first to last."""
        return variables_needed(flatten(build_nfa(self.runs.pattern)))

    @cached_property
    def last_variables(self) -> list[str]:
        """The variable of each run's last event."""
        batch = self.runs.batch
        return [batch.variables[n] for n in batch.variable[batch.offsets[1:] - 1].tolist()]


class AttemptTable(Tabular):
    """All attempts of a traced run that became no match; `to_arrow()` has a row for each."""

    def __init__(self, parts: Sequence[PatternAttempts]) -> None:
        self.parts = {part.name: part for part in parts}

    def __len__(self) -> int:
        return sum(len(part.missing) for part in self.parts.values())

    def __repr__(self) -> str:
        return f"AttemptTable({len(self):,} attempts without a match)"

    def to_arrow(self) -> pa.Table:
        """pattern, key (as text), start, end, fate, missing (events), reached, taken (events)."""
        tables = [_rows(part) for part in self.parts.values()]
        return pa.concat_tables(tables) if tables else ROWS.empty_table()

    def funnel(self) -> pa.Table:
        """How far attempts came, a row for each event that a match needs at least.

        pattern, step (from 1), variable, reached (attempts that came to this event), then for each
        fate how many ended between this event and the next. The last row of a pattern, without a
        variable, is for matches.
        """
        rows = [row for part in self.parts.values() for row in _funnel(part)]
        return pa.Table.from_pylist(rows, FUNNEL)


_ROWS: dict[str, pa.DataType] = {
    "pattern": pa.string(),
    "key": pa.string(),
    "start": pa.timestamp("us"),
    "end": pa.timestamp("us"),
    "fate": pa.string(),
    "missing": pa.int64(),
    "reached": pa.string(),
    "taken": pa.int64(),
}
ROWS = pa.schema(_ROWS)
"""Of `AttemptTable.to_arrow`, where the data have no zone."""

_FUNNEL: dict[str, pa.DataType] = {
    "pattern": pa.string(),
    "step": pa.int64(),
    "variable": pa.string(),
    "reached": pa.int64(),
    **{name: pa.int64() for name in FATES},
}
FUNNEL = pa.schema(_FUNNEL)


def attempts_of(
    layout: Layout, matches: Sequence[MatchBatch], ended: Sequence[EndedBatch]
) -> AttemptTable:
    """The attempts behind what the engine has put out."""
    plain = replace(
        layout,
        patterns=tuple(replace(p, select=(), timeout_select=None) for p in layout.patterns),
        timeouts=False,
    )
    parts = []
    for pattern in plain.patterns:
        mine = [batch for batch in matches if batch.pattern.name == pattern.name]
        dead = [batch for batch in ended if batch.runs.pattern.name == pattern.name]
        starts = [batch.event_position[batch.row[batch.offsets[:-1]]] for batch in mine]
        matched = np.unique(np.concatenate([np.empty(0, np.int64), *starts]))
        runs = dead or [_no_runs(plain, pattern)]
        parts.append(_nearest(plain, runs, matched))
    return AttemptTable(parts)


def _no_runs(layout: Layout, pattern: Pattern) -> EndedBatch:
    nothing = np.empty(0, np.int64)
    events = layout.events_of(pattern.name).schema.empty_table()
    offsets = np.zeros(1, np.int64)
    runs = MatchBatch(
        pattern, (), offsets, nothing, nothing, nothing, events, nothing, None, nothing
    )
    return EndedBatch(runs, nothing, nothing, nothing, nothing)


def _nearest(layout: Layout, ended: Sequence[EndedBatch], matched: Int64s) -> PatternAttempts:
    """One run for each event that began some and no match."""
    pool = EventPool([each.runs for each in ended], layout.added)
    runs = pool.joined([each.runs for each in ended])
    missing = np.concatenate([each.missing for each in ended])
    events = pool.position[runs.row]
    starts, last = events[runs.offsets[:-1]], events[runs.offsets[1:] - 1]
    total = np.diff(np.concatenate([[0], np.cumsum(events)])[runs.offsets])
    rows = nearest_runs(starts, missing, runs.at_us, last, total)
    rows = rows[~np.isin(starts[rows], matched)]
    state = np.concatenate([each.state for each in ended])
    fate = np.concatenate([each.fate for each in ended])
    cause = np.concatenate([each.cause for each in ended])
    kept = PatternMatches(runs.only(rows), layout, pool)
    return PatternAttempts(kept, state[rows], missing[rows], fate[rows], cause[rows], len(matched))


def _rows(part: PatternAttempts) -> pa.Table:
    runs, size = part.runs, len(part.missing)
    keys: Any = pa.nulls(size, pa.string())
    if runs.keys is not None:
        keys = pa.array([None if k is None else str(k) for k in runs.keys.to_pylist()], pa.string())
    columns: dict[str, Any] = {
        "pattern": pa.repeat(part.name, size),
        "key": keys,
        "start": runs.starts,
        "end": runs.found_at,
        "fate": pa.array([FATES[fate] for fate in part.fate.tolist()], pa.string()),
        "missing": pa.array(part.missing),
        "reached": pa.array(part.last_variables, pa.string()),
        "taken": pa.array(np.diff(runs.batch.offsets)),
    }
    return pa.table(columns)


def _funnel(part: PatternAttempts) -> list[dict[str, Any]]:
    labels = _labels(part.needed)
    came = len(labels) - part.missing  # how many of the needed events each attempt has
    rows: list[dict[str, Any]] = []
    for step, label in enumerate(labels, start=1):
        fates = np.bincount(part.fate[came == step], minlength=len(FATES)).tolist()
        reached = int((came >= step).sum()) + part.matched
        row = {"pattern": part.name, "step": step, "variable": label, "reached": reached}
        rows.append(row | dict(zip(FATES, fates, strict=True)))
    last = {"pattern": part.name, "step": len(labels) + 1, "variable": None}
    return [*rows, last | {"reached": part.matched} | dict.fromkeys(FATES, 0)]


def _labels(needed: Sequence[tuple[str, ...]]) -> list[str]:
    """`probe 1`, `probe 2`, `hit`: a number where a variable is needed more than once."""
    names = [" or ".join(variables) for variables in needed]
    return [
        name if names.count(name) == 1 else f"{name} {names[: i + 1].count(name)}"
        for i, name in enumerate(names)
    ]
