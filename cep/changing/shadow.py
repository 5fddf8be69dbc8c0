"""Other rules beside those of a detector, over the same events: what would they do?"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from cep.callbacks import CallbackError
from cep.changing.comparison import Comparison
from cep.changing.report import ShadowReport, report_of
from cep.engine.algebra.errors import StateError
from cep.engine.io.readers import to_read_twice
from cep.engine.state.restoring import Restored
from cep.observability.logs import Log, say
from cep.results.result import Result

if TYPE_CHECKING:
    from cep.changing.book import RuleBook
    from cep.detector import Detector
    from cep.engine.results import Output
    from cep.observability.logs import LimitCounts
    from cep.results.errors import ErrorTable

P = ParamSpec("P")
R = TypeVar("R")


class LastReading:
    """A clock, and what it said last: the shadow sees the same times as its detector."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.last_us = clock()

    def __call__(self) -> int:
        self.last_us = self.clock()
        return self.last_us

    def again(self) -> int:
        """What it said last."""
        return self.last_us


class Unheard(Log):
    """What happens in the shadow is in its report, and in no log."""

    def found(self, output: Output, errors: ErrorTable | None) -> None: ...

    def failed(self, call: str, error: BaseException) -> None: ...

    def limits(self, counts: LimitCounts) -> None: ...


class Shadow:
    """Rules that run in the shadow of a detector's own. Made by `Detector.shadow`.

    Nothing of what they find comes out of the detector. An error in them ends the shadow, is told
    by `report` and costs the detector nothing. The shadow ends with `stop` or `with`, with
    `promote`, and when the detector is closed.
    """

    def __init__(
        self, detector: Detector, other: Detector, handlers: dict[str, Any], clock: LastReading
    ) -> None:
        self.error: Exception | None = None
        self.is_running = True
        self._detector = detector
        self._other = other
        self._handlers = handlers
        self._clock = clock
        self._is_at_work = False
        self._restored = other.restored or Restored()
        other.measured.log = Unheard()
        old, new = ([p.name for p in d.rules.current.patterns] for d in (detector, other))
        self._patterns = list(dict.fromkeys([*old, *new]))
        self._comparison = Comparison(frozenset(old) & frozenset(new))

    @property
    def book(self) -> RuleBook:
        """Its rules."""
        return self._other._book

    def report(self) -> ShadowReport:
        """What has been different up to now."""
        with self._detector.lock:
            return report_of(
                self._comparison, self._patterns, self._restored, self.error, self.is_running
            )

    def promote(self) -> Restored:
        """Go on with these rules and their state from the next event on, in place of the others.

        Returns what became of each statement since the shadow began. Raises StateError where the
        shadow has ended.
        """
        with self._detector.lock:
            self._detector.check_open()
            if not self.is_running:
                why = "" if self.error is None else f" ({self.error})"
                raise StateError(f"the shadow has ended{why}: begin another one")
            self._detach()
            return self._detector._promote(self._other, self._handlers)

    def stop(self) -> None:
        """End it; what it has found out stays in `report`."""
        with self._detector.lock:
            if self.is_running:
                self._detach()
                self._other.close()

    def __enter__(self) -> Shadow:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ------------------------------------------------------------------ beside the detector

    def beside(self, method: Callable[..., R], detector: Detector, *args: Any, **kwargs: Any) -> R:
        """Call a method of the detector, then do the same here.

        What the detector refuses never comes here. Of calls inside a call only the outer one does.
        """
        if self._is_at_work:
            return method(detector, *args, **kwargs)
        given = [to_read_twice(value) for value in args]
        named = {name: to_read_twice(value) for name, value in kwargs.items()}
        self._is_at_work = True
        try:
            found = method(detector, *given, **named)
        except CallbackError as error:
            self._follow(method, given, named, error.result)
            raise
        finally:
            self._is_at_work = False
        self._follow(method, given, named, found)
        return found

    def _follow(
        self, method: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], found: Any
    ) -> None:
        try:
            if method.__name__ == "reload" and not self._looks_up(*args, **kwargs):
                return
            own = method(self._other, *args, **kwargs)
            if isinstance(found, Result):
                self._comparison.add(found, own)
            if self._other.is_finished:
                self._detach()
        except Exception as error:
            say(logging.ERROR, "shadow_failed", "the shadow of a detector has ended", error)
            self.error = error
            self.stop()
        except BaseException:
            self.stop()
            raise

    def _looks_up(self, table: str, rows: Any) -> bool:
        return table in {each.name for each in self._other.rules.current.tables}

    def share_lock(self) -> None:
        """Two locks may be taken in two orders: a fork waits for all that there are."""
        self._other.take_turns_with(self._detector)

    def _detach(self) -> None:
        self.is_running = False
        self._detector._shadow = None
        self._detector._clock = self._clock.clock


class Shadowed(Protocol):
    """What may have a shadow."""

    @property
    def _shadow(self) -> Shadow | None: ...


S = TypeVar("S", bound="Shadowed")


def followed(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method of a detector that its shadow does as well. The lock is held."""

    @wraps(method)
    def both(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self._shadow is None:
            return method(self, *args, **kwargs)
        return self._shadow.beside(method, self, *args, **kwargs)  # type: ignore[arg-type]

    return both
