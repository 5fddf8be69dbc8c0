"""The options and side outputs of a detector by name, for those that hand them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from cep.engine.state.limits import Limit

Side = Literal["matches", "timeouts", "late", "errors"]
SIDES: tuple[Side, ...] = ("matches", "timeouts", "late", "errors")
"""What every rule may put out; beside these there are aggregates and joins by name."""


class JobOptions(TypedDict, total=False):
    """What `cep.Job` hands on to its detector; see `cep.Detector`."""

    time: Literal["event", "processing"]
    schemas: Mapping[str, Any] | None
    tables: Mapping[str, Any] | None
    limits: Mapping[str, Limit] | None
    in_arrival_order: bool
    ahead: timedelta | None
    held_max: int | None
    on: Mapping[str, Callable[[Any], None]] | None
    clock: Callable[[], int]


class DetectorOptions(JobOptions, total=False):
    """What `cep.Detector` takes by name."""

    workers: int
