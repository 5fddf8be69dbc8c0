"""How many runs a pattern may have open at a time, and the automaton's tables that say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cep.engine.algebra.errors import DataError
from cep.engine.kernels import layout

Policy = Literal["refuse new", "drop oldest"]


@dataclass(frozen=True, slots=True)
class Limit:
    """Bounds on a pattern's open runs; None: no bound.

    An event first moves the key's open runs, oldest first, then may begin a new one. The first run
    that an open run becomes takes its place; what it becomes beside that (in the order of the
    state's edges), and a new one, are added. (An open repetition may take more than one run.)

    `runs_per_key`: a run that would be added to as many in its key is refused, or, under "drop
    oldest", the first of the key's runs in the order of their first events makes way for it.
    `runs`: the same over all keys of an arena; there the new run is always refused, since the
    oldest over all keys cannot be told cheaply. An arena is one shard: with this bound, unlike
    with the first, results depend on the number of shards. Completed matches are not runs and are
    never refused. Neither bound makes results depend on batches. Raises DataError for a bound below
    1 and for another policy.
    """

    runs_per_key: int | None = None
    runs: int | None = None
    policy: Policy = "refuse new"

    def __post_init__(self) -> None:
        for name in ("runs_per_key", "runs"):
            most = getattr(self, name)
            if most is not None and most < 1:
                raise DataError(f"limit of {name} to {most}: at least one run must be allowed")
        if self.policy not in get_args(Policy):
            known = " or ".join(map(repr, get_args(Policy)))
            raise DataError(f"limit with policy {self.policy!r}: it is {known}")


def limited(automaton: layout.Automaton, limit: Limit | None) -> layout.Automaton:
    """The automaton under these limits."""
    if limit is None or (limit.runs_per_key is None and limit.runs is None):
        return automaton
    settings = automaton.settings.copy()
    settings[layout.LIMITED] = 1
    settings[layout.RUNS_PER_KEY_MAX] = limit.runs_per_key or layout.NEVER
    settings[layout.RUNS_MAX] = limit.runs or layout.NEVER
    settings[layout.DROPS_OLDEST] = limit.policy == "drop oldest"
    if limit.runs is not None:
        settings[layout.TELLS_TIME] = 1  # which runs have ended decides who may begin
    return automaton._replace(settings=settings)
