"""What a service is told: limits, times, places. All of it has a default but the rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from cep.engine.algebra.errors import DataError
from cep.engine.io.journal import Survives

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """How a service takes events in, what it remembers and what it refuses.

    `time`, `ahead`, `held_max`, `workers`: as of `Detector`. `runs_max`: open runs of each pattern
    (`Limit.runs`), None: no bound.

    `id_field`: the field that tells an event apart; the ids of the last `ids_max` events are
    remembered, and the answers to them as long as they fit in `answers_bytes`.

    `checkpoints`: a directory, None: nothing survives the process. `survives`: what an event that
    was answered survives, once there is one.

    `events_in_matches`: matches are told with the events that they took. `messages_kept`: how many
    a listener may be behind before it misses some.
    """

    time: Literal["event", "processing"] = "event"
    ahead: timedelta | None = timedelta(minutes=5)
    held_max: int | None = 1_000_000
    runs_max: int | None = 1_000_000
    workers: int = 1
    tick_every: timedelta = timedelta(seconds=1)

    id_field: str | None = None
    ids_max: int = 100_000
    answers_bytes: int = 64 * MEBIBYTE

    checkpoints: str | None = None
    checkpoint_every: timedelta = timedelta(seconds=10)
    checkpoints_kept: int = 3
    survives: Survives = Survives.KILL

    events_in_matches: bool = False
    messages_kept: int = 10_000
    listeners_max: int = 100

    token: str | None = None
    event_bytes_max: int = 64 * 1024
    body_bytes_max: int = 8 * MEBIBYTE
    rules_bytes_max: int = MEBIBYTE
    requests_per_second: float | None = None
    body_seconds_max: float = 10.0
    wait_seconds_max: float = 10.0
    requests_waiting_max: int = 1_000

    def __post_init__(self) -> None:
        for name in (*COUNTS, *SECONDS):
            given = getattr(self, name)
            if given is not None and given <= 0:
                raise DataError(f"{name}={given}: it is more than 0")
        for name in DURATIONS:
            if getattr(self, name) <= timedelta(0):
                raise DataError(f"{name}={getattr(self, name)}: it is more than nothing")
        if self.token == "":
            raise DataError("token='': an empty token lets everybody in; give one, or None")


COUNTS = (
    "runs_max",
    "workers",
    "ids_max",
    "answers_bytes",
    "checkpoints_kept",
    "messages_kept",
    "listeners_max",
    "event_bytes_max",
    "body_bytes_max",
    "rules_bytes_max",
    "requests_waiting_max",
)
SECONDS = ("requests_per_second", "body_seconds_max", "wait_seconds_max")
DURATIONS = ("tick_every", "checkpoint_every")
