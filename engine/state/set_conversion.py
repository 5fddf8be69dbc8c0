"""A snapshot of sets <-> one of runs, where a pattern is evaluated another way than before.

It is so where a limit on runs is given or taken away, and where a later version of the engine can
evaluate a pattern by the set that this one could not.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cep.engine.algebra.errors import StateError
from cep.engine.batch import Int64s
from cep.engine.kernels import layout
from cep.engine.kernels import sets as kernels
from cep.engine.state.set_matches import Listed, listed
from cep.engine.state.snapshot import Value

EVENTS_MAX = 1 << 26  # in the runs that are made of sets


def as_runs(
    saved: Mapping[str, Value], automaton: layout.Automaton, registers: int
) -> Mapping[str, Value]:
    """A snapshot of runs; `saved` itself where it is one.

    Raises StateError where they are too many to be run one by one.
    """
    if "heads" not in saved:
        return saved
    keys, states = np.nonzero(saved["heads"] >= 0)
    heads = saved["heads"][keys, states]
    made = _listed(saved["captures"], heads, automaton)
    offsets, sequence, of_set = made.offsets, made.sequence, made.of_row
    count = len(offsets) - 1
    nodes = np.full((len(sequence), layout.SAVED_FIELDS), -1, np.int64)
    nodes[:, layout.SAVED_PARENT] = np.arange(len(sequence)) - 1
    nodes[offsets[:-1], layout.SAVED_PARENT] = -1
    nodes[:, layout.SAVED_VARIABLE] = made.variable
    nodes[:, layout.SAVED_SEQUENCE] = sequence
    nodes[:, layout.SAVED_VALID] = 0
    runs = np.empty((count, layout.RUN_NEXT), np.int64)
    runs[:, layout.RUN_STATE] = states[of_set] + 1
    runs[:, layout.RUN_NODE] = offsets[1:] - 1
    runs[:, layout.RUN_START] = sequence[offsets[:-1]]
    runs[:, layout.RUN_START_US] = _times(saved["captures"], runs[:, layout.RUN_START])
    runs[:, layout.RUN_PREVIOUS_US] = runs[:, layout.RUN_START_US]
    order = np.lexsort((runs[:, layout.RUN_START], keys[of_set]))
    return {
        "codes": saved["codes"],
        "runs_of": np.bincount(keys[of_set], minlength=len(saved["codes"])),
        "waiting_of": np.zeros(len(saved["codes"]), np.int64),
        "runs": runs[order],
        "waiting": np.empty((0, layout.WAITING_NEXT), np.int64),
        "nodes": nodes,
        "registers": np.zeros((len(nodes), registers), np.int64),
    }


def _listed(captures: Int64s, heads: Int64s, automaton: layout.Automaton) -> Listed:
    """All partial matches, set by set."""
    found = np.zeros((len(heads), kernels.OUT_FIELDS), np.int64)
    found[:, kernels.OUT_CAPTURE] = heads
    found[:, kernels.OUT_AT_US] = captures[heads, kernels.STARTS_US]
    found[:, kernels.OUT_WHOLE] = 1
    nothing = np.empty(0, np.int64)
    sets = kernels.Sets(nothing, captures, found, nothing)
    made = listed(automaton, sets, len(heads), EVENTS_MAX)
    if made is None:
        message = "there are too many partial matches to be run one by one, as a limit asks for"
        raise StateError(f"{message}: more than {EVENTS_MAX:,} events in them")
    return made


def _times(captures: Int64s, sequences: Int64s) -> Int64s:
    """When these events were, each of which began something."""
    first = captures[captures[:, kernels.EARLIER] < 0]
    first = first[np.argsort(first[:, kernels.SEQUENCE])]
    at = np.searchsorted(first[:, kernels.SEQUENCE], sequences)
    times: Int64s = first[at, kernels.START_US]
    return times


def as_sets(saved: Mapping[str, Value], states: int) -> Mapping[str, Value]:
    """A snapshot of sets, of an automaton with so many states; `saved` itself where it is one."""
    if "heads" in saved:
        return saved
    nodes, runs = saved["nodes"], saved["runs"]
    heads = np.full((len(saved["codes"]), states - 1), -1, np.int64)
    captures: list[list[int]] = []
    for key, run in zip(np.repeat(np.arange(len(heads)), saved["runs_of"]), runs, strict=True):
        start_us, state = int(run[layout.RUN_START_US]), int(run[layout.RUN_STATE])
        chain = _chain(nodes, int(run[layout.RUN_NODE]))
        for depth, node in enumerate(chain, 1):
            variable, sequence = node[layout.SAVED_VARIABLE], node[layout.SAVED_SEQUENCE]
            earlier = len(captures) - 1 if depth > 1 else -1
            captures.append(
                [earlier, -1, variable, sequence, start_us, start_us, depth, depth],
            )
        _enter(captures, heads[key], state - 1)
    table = np.array(captures, np.int64).reshape(-1, kernels.CAPTURE_FIELDS)
    return {"codes": saved["codes"], "heads": heads, "captures": table}


def _chain(nodes: Int64s, last: int) -> list[Int64s]:
    """The captures up to the last one, first event first."""
    found = []
    while last >= 0:
        found.append(nodes[last])
        last = int(nodes[last, layout.SAVED_PARENT])
    return found[::-1]


def _enter(captures: list[list[int]], heads: Int64s, place: int) -> None:
    """Put the last capture in front of a set."""
    last, behind = captures[-1], int(heads[place])
    if behind >= 0:
        last[kernels.NEXT] = behind
        for column in (kernels.STARTS_US, kernels.DEPTHS):
            last[column] = max(last[column], captures[behind][column])
    heads[place] = len(captures) - 1
