"""The options of a detector as types, for those that hand them on by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from cep.engine.state.limits import Limit


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
