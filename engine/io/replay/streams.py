"""A source for each stream -> one source that reads a piece of each in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cep.engine.io.replay.source import (
    Declared,
    Pieces,
    ReplaySource,
    check_position,
    fields_of,
)
from cep.engine.state.snapshot import Value

KIND = "streams"
ENDED: Any = object()


@dataclass(frozen=True, slots=True)
class StreamsSource:
    """Stream name -> source. Turns go round in the order of the mapping.

    Bounded sources are read in the same order whenever they are read: the position says whose turn
    it is. A source that has nothing for now is passed over.
    """

    sources: Mapping[str, ReplaySource]

    @property
    def has_positions(self) -> bool:
        return all(source.has_positions for source in self.sources.values())

    @property
    def follows(self) -> bool:
        return any(source.follows for source in self.sources.values())

    @property
    def poll_seconds(self) -> float:
        return min(source.poll_seconds for source in self.sources.values())

    def __str__(self) -> str:
        return "; ".join(f"{name}: {source}" for name, source in self.sources.items())

    def read(self, position: Value | None = None, declared: Declared | None = None) -> Pieces:
        """See `ReplaySource.read`."""
        at: dict[str, Value] = dict.fromkeys(self.sources)
        turn = 0
        if position is not None:
            value = check_position(position, KIND, str(self))
            at |= {name: value["at"][name] for name in at if name in value["at"]}
            turn = value["turn"]
        return self._round(at, turn, declared or {})

    def _round(self, at: dict[str, Value], turn: int, declared: Declared) -> Pieces:
        names = list(self.sources)
        open_: dict[str, Pieces] = {
            name: source.read(at[name], {**declared, "": fields_of(declared, name)})
            for name, source in self.sources.items()
        }
        idle = 0
        while open_:
            name = names[turn % len(names)]
            turn = (turn + 1) % len(names)
            if name not in open_:
                continue
            piece = next(open_[name], ENDED)
            if piece is ENDED:
                del open_[name]
            elif piece is None:
                idle += 1
            else:
                idle, at[name] = 0, piece.position
                position = {"source": KIND, "turn": turn, "at": dict(at)}
                yield piece._replace(stream=name, position=position if self.has_positions else None)
            if open_ and idle >= len(open_):
                idle = 0
                yield None
