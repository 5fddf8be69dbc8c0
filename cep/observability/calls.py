"""Methods of a detector whose calls are counted and timed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from cep.engine.checkpoint.store import CheckpointInfo
from cep.engine.io.clock import now_seconds
from cep.engine.state.restoring import Restored
from cep.observability import logs
from cep.observability.logs import LimitCounts
from cep.observability.measured import Measured
from cep.observability.readings import counters_of


class Observed(Protocol):
    """What counts its calls, one at a time: a `cep.Detector`."""

    measured: Measured

    @property
    def lock(self) -> AbstractContextManager[Any]: ...

    def status(self) -> dict[str, Any]: ...

    def limit_counts(self) -> LimitCounts:
        """Of each pattern with a limit: runs that it has refused, and that it has dropped."""
        ...


P = ParamSpec("P")
R = TypeVar("R")
Of = TypeVar("Of", bound=Observed)
NO_SPAN: AbstractContextManager[Any] = nullcontext()
Method = Callable[Concatenate[Of, P], R]


def measured(call: str) -> Callable[[Method[Of, P, R]], Method[Of, P, R]]:
    """A method during which no other of the object is at work; `call` is one of CALLS.

    Its time is that of the work, with the functions of `on` that it calls. A call that raises is
    counted apart. All of this costs less than half a microsecond.
    """

    def decorate(method: Method[Of, P, R]) -> Method[Of, P, R]:
        @wraps(method)
        def timed(self: Of, /, *args: P.args, **kwargs: P.kwargs) -> R:
            spans = self.measured.spans
            with self.lock if spans is None else spans.around(call, self.lock) as tell:
                begun = now_seconds()
                try:
                    result = method(self, *args, **kwargs)
                except BaseException as error:
                    self.measured.has_failed(call, error)
                    raise
                ended = now_seconds()
                self.measured.calls[call].add(ended - begun)
                if ended >= self.measured.look_at:
                    self.measured.look(ended, self.limit_counts())
                if spans is not None:
                    tell(result)
                return result

        return timed

    return decorate


def updating(method: Method[Of, P, Restored]) -> Method[Of, P, Restored]:
    """A method that puts other rules into force, measured as any other, and said to the log."""
    of_rules = measured("update")(method)

    @wraps(method)
    def told(self: Of, /, *args: P.args, **kwargs: P.kwargs) -> Restored:
        begun = now_seconds()
        restored = of_rules(self, *args, **kwargs)
        logs.updated(restored, now_seconds() - begun)
        return restored

    return told


def checkpointing(method: Method[Of, P, CheckpointInfo]) -> Method[Of, P, CheckpointInfo]:
    """A method that writes a checkpoint; while it writes, other methods may be at work."""

    @wraps(method)
    def timed(self: Of, /, *args: P.args, **kwargs: P.kwargs) -> CheckpointInfo:
        return written(self, lambda: method(self, *args, **kwargs))

    return timed


def written(detector: Observed, write: Callable[[], CheckpointInfo]) -> CheckpointInfo:
    """A checkpoint of a detector, whoever writes it, timed, and said to the log."""
    spans = detector.measured.spans
    with NO_SPAN if spans is None else spans.around("checkpoint", NO_SPAN) as tell:
        begun = now_seconds()
        try:
            info = write()
        except BaseException as error:
            with detector.lock:
                detector.measured.checkpoints.failures += 1
            logs.not_written(error, now_seconds() - begun)
            raise
        seconds = now_seconds() - begun
        with detector.lock:
            detector.measured.wrote(info, seconds)
        logs.wrote(info, seconds)
        if spans is not None:
            tell(info)
        return info


def taken_over(detector: Observed, restored: Restored | None) -> None:
    """Call it once a detector has taken over a snapshot: what was before is not counted again."""
    detector.measured.begun_with = counters_of(detector)
    detector.measured.log.know_limits(detector.limit_counts())
    logs.went_on(restored)
