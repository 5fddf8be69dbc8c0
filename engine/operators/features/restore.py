"""Saved state of one plan of a queue -> what another plan of it goes on with.

What the saved state has is found by its name: a slot's words, a tree, the values for a function in
Python. What it does not have starts as if all older events had had NULL there; what the new plan
does not need is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.batch import Int64s
from cep.engine.kernels import features_layout as layout
from cep.engine.operators.features.plan import FeatureGroup, GroupPlan
from cep.engine.state.snapshot import Snapshot, Value

Member = tuple[str, str]  # (stream, name) of a feature


# ---------------------------------------------------------------- which state is whose


def described(group: FeatureGroup, plan: GroupPlan) -> Snapshot:
    """What is saved beside the state: whose it is, and what is where in it."""
    return {
        "stream": group.first.stream,
        "epochs": group.epoch_by_name,
        "slots": list(plan.slot_names),
        "slot_at": [words.start for words in plan.slot_words],
        "trees": list(plan.tree_names),
        "values": list(plan.value_names),
    }


def state_of(saved: Mapping[str, Value], kept: Collection[Member]) -> dict[Member, str]:
    """Which of the saved states each of the features in `kept` is in. `saved`: by name."""
    return {
        (plan["stream"], name): state
        for state, found in saved.items()
        for plan in (found["shards"][0]["plan"],)
        for name in plan["epochs"]
        if (plan["stream"], name) in kept
    }


def continued(
    group: FeatureGroup, states: Mapping[Member, str], saved: Mapping[str, Value]
) -> list[tuple[FeatureGroup, str | None]]:
    """The group as it goes on from saved states (None: it begins), in the epochs that these have.

    Features without state begin a new epoch. There are several groups where features have had
    queues apart: because one of them was computed from another one that was computed from these.
    """
    of = {f: states.get((f.stream, f.name)) for f in group.features}
    found = list(dict.fromkeys(state for state in of.values() if state is not None))
    if not found:
        return [(group, None)]
    parts: list[tuple[FeatureGroup, str | None]] = []
    for state in found:
        begins = (None,) if state == found[0] else ()
        mine = tuple(f for f in group.features if of[f] in (state, *begins))
        before = saved[state]["shards"][0]["plan"]["epochs"]
        new = 1 + max(before.values())
        epochs = [before[f.name] if of[f] == state else new for f in mine]
        parts.append((replace(group, features=mine).begun(epochs), state))
    return parts


# ---------------------------------------------------------------- what is in it


def queues_for(plan: GroupPlan, was: Mapping[str, Any], queues: Snapshot) -> Snapshot:
    """A snapshot of a `QueueState` as one of the new plan."""
    if not plan.tables.settings[layout.KEEPS_NODES]:
        queues = _without_events(queues)
    return queues | {
        "back": _elements(plan, was, queues["back"]),
        "node_elements": _elements(plan, was, queues["node_elements"]),
        "tree_values": _rows(plan.tree_names, was["trees"], queues["tree_values"]),
        "tree_held": _rows(plan.tree_names, was["trees"], queues["tree_held"]),
    }


def _without_events(queues: Snapshot) -> Snapshot:
    """Only what is known of all events together: where none leaves that is in the back."""
    none = np.zeros(len(queues["codes"]), np.int64)
    by_event = {name: queues[name][:0] for name in ("node_time_us", "node_elements")}
    by_tree = {name: queues[name][:, :0] for name in ("tree_values", "tree_held")}
    return queues | {"ends": none, "fronts": none} | by_event | by_tree


def _elements(plan: GroupPlan, was: Mapping[str, Any], elements: Int64s) -> Int64s:
    found = np.zeros((len(elements), plan.element_words), np.int64)
    first = dict(zip(was["slots"], was["slot_at"], strict=True))
    for name, words in zip(plan.slot_names, plan.slot_words, strict=True):
        if name in first:
            at = first[name]
            found[:, words.start : words.stop] = elements[:, at : at + len(words)]
    return found


def _rows(names: Sequence[str], was: Sequence[str], rows: Any) -> Any:
    """A row for each name: that of old, or zeros."""
    found = np.zeros((len(names), rows.shape[1]), rows.dtype)
    for number, name in enumerate(names):
        if name in was:
            found[number] = rows[was.index(name)]
    return found


def values_for(plan: GroupPlan, was: Mapping[str, Any], saved: Snapshot) -> Snapshot | None:
    """A snapshot of `ValueQueues` as one of the new plan; None where it has none of its values."""
    places = [was["values"].index(n) if n in was["values"] else None for n in plan.value_names]
    if all(place is None for place in places):
        return None
    table, size = saved["values"], len(saved["time_us"])
    columns = [pa.nulls(size) if place is None else table.column(place) for place in places]
    names = [f"value_{number}" for number in range(len(columns))]
    return saved | {"values": pa.table(columns, names=names)}
