"""What a detector writes to the logger `cep`: a text for people, and fields for machines.

Each record has `event`, a name that stays, and what belongs to it; see docs/observability.md. What
the caller is told as well (by a result or an error) is INFO. What events may cause again and again
is written down seldom, with how many there were since.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from cep.engine.io.clock import now_seconds
from cep.results.values import counted

if TYPE_CHECKING:  # whoever logs need not load kernels for that
    from cep.engine.checkpoint.store import CheckpointInfo
    from cep.engine.results import Output
    from cep.engine.state.restoring import Restored
    from cep.results.errors import ErrorTable

LOG = logging.getLogger("cep")
EVERY_S = 60.0
WAITING_MAX = 10_000  # keys
RECORDS_MAX = 20  # of those that events cause, in EVERY_S seconds
NAMES_MAX = 20  # of rules, in one record
TEXT_MAX = 500

Key = tuple[str, str]
LimitCounts = Mapping[str, tuple[int, int]]


def say(
    level: int, event: str, text: str, error: BaseException | None = None, /, **fields: Any
) -> None:
    """One record; with an error, where it came from is shown, too."""
    LOG.log(level, "%s", text[:TEXT_MAX], exc_info=error, extra={"event": event, **fields})


class Seldom:
    """Says of each key how many there were, at most once in EVERY_S seconds; few keys in that time.

    The first is told at once. What is not told is counted, and told with the next one that is.
    """

    def __init__(self) -> None:
        self._begun = 0.0
        self._told: dict[Key, float] = {}
        self._records = 0
        self._waiting: Counter[Key] = Counter()

    def due(self, key: Key, size: int, now: float) -> int:
        """How many to tell of now; 0: of none."""
        if now - self._begun >= EVERY_S:
            self._begun, self._records = now, 0
            self._told = {k: when for k, when in self._told.items() if now - when < EVERY_S}
            if len(self._waiting) > WAITING_MAX:  # of rules that are long gone, too
                self._waiting.clear()
        self._waiting[key] += size
        if key in self._told or self._records >= RECORDS_MAX:
            return 0
        self._told[key] = now
        self._records += 1
        return self._waiting.pop(key)


class Log:
    """The records of one detector."""

    def __init__(self) -> None:
        self._seldom = Seldom()
        self._limits: dict[str, tuple[int, int]] = {}

    def found(self, output: Output, errors: ErrorTable | None) -> None:
        """Late events and errors among what came out."""
        now = now_seconds()
        for late in output.late:
            if count := self._seldom.due(("late", late.stream), len(late), now):
                text = f"{counted(count, 'late event')} of stream {late.stream!r}"
                say(logging.INFO, "late_events", text, stream=late.stream, count=count)
        if errors is None:
            return
        for (reason, rule, variable), size in errors.counts().items():
            if count := self._seldom.due(("errors", rule or ""), size, now):
                where = f" in {rule}" if rule else ""
                text = f"{counted(count, 'error')}{where}, the last of them: {reason}"
                known = {"rule": rule, "variable": variable, "reason": reason[:TEXT_MAX]}
                say(logging.INFO, "errors", text, count=count, **known)

    def failed(self, call: str, error: BaseException) -> None:
        """A call has raised; its caller knows."""
        if call == "update":
            text = f"an update of the rules was refused: {_line(error)}"
            say(logging.INFO, "update_refused", text, error=_line(error))
        elif count := self._seldom.due(("failed", call), 1, now_seconds()):
            text = f"{call} has failed: {_line(error)}"
            say(logging.INFO, "call_failed", text, call=call, count=count, error=_line(error))

    def limits(self, counts: LimitCounts) -> None:
        """How many runs limits have refused or dropped until now."""
        now = now_seconds()
        for rule, (refused, dropped) in counts.items():
            before = self._limits.get(rule, (0, 0))
            more = max(refused - before[0], 0), max(dropped - before[1], 0)
            if any(more) and self._seldom.due(("limit", rule), sum(more), now):
                text = f"the limit of {rule} refused {more[0]:,} and dropped {more[1]:,} runs"
                known = {"rule": rule, "refused_runs": more[0], "dropped_runs": more[1]}
                say(logging.WARNING, "limit_reached", text, **known)
                self._limits[rule] = refused, dropped

    def know_limits(self, counts: LimitCounts) -> None:
        """What of limits has been told, or was before a restart."""
        self._limits = dict(counts)


def updated(restored: Restored, seconds: float) -> None:
    """Other rules are in force."""
    text = f"rules updated in {1000 * seconds:.0f} ms: {restored}"
    say(logging.INFO, "update_accepted", text, duration_seconds=seconds, **_names(restored))


def read(info: CheckpointInfo) -> None:
    """A checkpoint has been found to go on from."""
    text = f"checkpoint {info.path} read: {info.size_bytes:,} bytes"
    say(logging.INFO, "checkpoint_read", text, place=info.path, size_bytes=info.size_bytes)


def went_on(restored: Restored | None) -> None:
    """A detector has taken over a snapshot."""
    known = {} if restored is None else _names(restored)
    say(logging.INFO, "restored", f"going on from a snapshot: {restored or 'nothing'}", **known)


def wrote(info: CheckpointInfo, seconds: float) -> None:
    """A checkpoint is safe."""
    text = f"checkpoint {info.path}: {info.size_bytes:,} bytes in {1000 * seconds:.0f} ms"
    known = {"size_bytes": info.size_bytes, "duration_seconds": seconds}
    say(logging.INFO, "checkpoint_written", text, place=info.path, **known)


def not_written(error: BaseException, seconds: float) -> None:
    """A checkpoint is not there."""
    text = f"a checkpoint was not written: {_line(error)}"
    known = {"duration_seconds": seconds, "error": _line(error)}
    say(logging.ERROR, "checkpoint_failed", text, **known)


def _names(restored: Restored) -> dict[str, Any]:
    """How many statements went on, and which did not, as far as there is room for names."""
    kinds = {"fresh": restored.fresh, "new": restored.new, "dropped": restored.dropped}
    named = {kind: list(islice(names, NAMES_MAX)) for kind, names in kinds.items()}
    return {"kept": len(restored.kept), **named}


def _line(error: BaseException) -> str:
    """The first line of what an error says."""
    said = str(error).strip().splitlines()
    return (said[0] if said else type(error).__name__)[:TEXT_MAX]
