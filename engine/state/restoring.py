"""Saved state -> running state, where the rules may have changed in between."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cep.engine.batch import Int64s
from cep.engine.state.key_space import KeySpace, SavedState
from cep.engine.state.snapshot import Snapshot, Value


@dataclass(slots=True)
class Restored:
    """What became of each statement's state when a detector was made from a snapshot.

    `kept`: as it was, with its state. `fresh`: it has changed and starts without state. `new`: it
    was not there. `dropped`: it is no longer there, and its state is gone.
    """

    kept: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = []
        for what in ("kept", "fresh", "new", "dropped"):
            names = getattr(self, what)
            if names:
                parts.append(f"{what}: {', '.join(names)}")
        return "; ".join(parts) or "nothing"


@dataclass(frozen=True, slots=True)
class StateOf:
    """What one statement holds: a state per shard of a key space."""

    name: str
    space: KeySpace
    shards: Sequence[SavedState]


def save_states(states: Iterable[StateOf]) -> Snapshot:
    """The keys of each space, and what is held for them, shard by shard."""
    spaces: dict[int, str] = {}
    saved: Snapshot = {"spaces": {}, "states": {}}
    for state in states:
        if id(state.space) not in spaces:
            name = spaces[id(state.space)] = str(len(spaces))
            saved["spaces"][name] = {
                "types": [kind.value for kind in state.space.types],
                "shards": state.space.snapshot(),
            }
        shards = [shard.snapshot() for shard in state.shards]
        saved["states"][state.name] = {"space": spaces[id(state.space)], "shards": shards}
    return saved


def restore_states(
    states: Iterable[StateOf], saved: Mapping[str, Value], kept: Collection[str]
) -> None:
    """Give each state that is in `kept` what was saved of it, over as many shards as there are.

    The states and their key spaces are empty.
    """
    codes: dict[int, list[list[Int64s]]] = {}
    for state in states:
        if state.name not in kept:
            continue
        found = saved["states"][state.name]
        space = id(state.space)
        if space not in codes:
            codes[space] = state.space.restore(saved["spaces"][found["space"]]["shards"])
        for shard, renamed in zip(state.shards, codes[space], strict=True):
            shard.restore(list(zip(found["shards"], renamed, strict=True)))
