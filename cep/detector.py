"""Rules over a live stream: events in as they come, matches and side outputs out at once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Unpack

import pyarrow as pa

from cep.awaited import Awaited
from cep.callbacks import CallbackError
from cep.changing.book import AnyRules, RuleBook, as_book
from cep.changing.changing import Changing
from cep.changing.given import KINDS, apart, carried, joined
from cep.changing.saved import restored_book, saved_book
from cep.changing.shadow import LastReading, Shadow, followed
from cep.engine.algebra.errors import CepError, DataError, StateError
from cep.engine.algebra.pattern import Pattern, Stream
from cep.engine.algebra.plan import NodeKind
from cep.engine.algebra.timestamp import parse_timestamp
from cep.engine.checkpoint.errors import CheckpointError
from cep.engine.checkpoint.store import CheckpointInfo, CheckpointStore
from cep.engine.ingest.inlet import Inlet, declared_schema, schema_of_data
from cep.engine.io.clock import now_seconds, now_us
from cep.engine.io.source import did_you_mean
from cep.engine.results import Output
from cep.engine.single.reading import NotPlainError
from cep.engine.state.limits import Limit
from cep.engine.state.restoring import Restored
from cep.engine.state.snapshot import Snapshot
from cep.execution import Execution
from cep.live import Live, LiveOptions
from cep.observability import logs
from cep.observability.calls import checkpointing, measured, taken_over, updating
from cep.observability.measured import Measured
from cep.options import SIDES, DetectorOptions
from cep.results.result import Result
from cep.rules import RuleWarning
from cep.taking_turns import one_at_a_time

When = datetime | str | int
Place = str | os.PathLike[str]
FORMAT = 1  # of snapshots; raised whenever what they hold changes its meaning
AHEAD = timedelta(days=1)
NOT_STARTED: dict[str, Any] = {
    **dict.fromkeys(("watermark", "held_back_by", "oldest_held")),
    **dict.fromkeys(("events_held", "bytes_held", "implausible"), 0),
    **{name: {} for name in ("streams", "ignored_fields", "nodes", "state_bytes")},
}
_OF_RULES = (
    "_book",
    "_waiting",
    "_rules",
    "_options",
    "_tables",
    "_on",
    "_known",
    "_schemas",
    "_running",
    "restored",
)


class Detector(Awaited, Changing):
    """Rules that run over events as they come.

    Several threads may share one: their calls are worked on one after the other. It goes through a
    fork if it has one worker, and is never pickled.

    `process(event)` and `process_batch(table)` take what has arrived and return what came out of it
    as a `Result`: matches, and as side outputs timeouts, late events, errors and the rows of
    aggregates. `finish()` says that nothing more will come.

    Event time (`time="event"`): each stream has a watermark, its greatest time less its `lateness`;
    what is behind it is late. With several streams the slowest holds the others back, for patterns
    may read them together: `status()` names it. `in_arrival_order=True` says that the events of all
    streams come in the order of their times, so that nothing has to wait. Processing time
    (`time="processing"`): an event happens when it arrives, none is late.

    `ahead`: an event further ahead of the clock than this is an error and moves no watermark: one
    wrong clock would make all others late. A day, but None (no bound) with a `clock` of your own.
    `held_max`: how many events may wait for a watermark; a batch that would leave more is refused.

    `schemas`: the columns of streams that the rules do not declare, as Arrow schemas or tables;
    else the first data say. `tables`: what the rules look up, by name. `workers`: threads that
    share the keys; the results are the same for any number (but with a limit of `runs` over all
    keys). `limits`: pattern -> `Limit` of its
    open runs. `on`: a side output, or the name of an aggregate or join -> function that is called
    with its table wherever it has rows.
    `clock`: what reads the wall clock, in microseconds since 1970.

    Raises RuleError for rules that do not fit the streams, DataError for options without sense.
    """

    def __init__(
        self,
        rules: AnyRules | RuleBook,
        *,
        time: Literal["event", "processing"] = "event",
        schemas: Mapping[str, Any] | None = None,
        tables: Mapping[str, Any] | None = None,
        workers: int = 1,
        limits: Mapping[str, Limit] | None = None,
        in_arrival_order: bool = False,
        ahead: timedelta | None = AHEAD,
        held_max: int | None = None,
        on: Mapping[str, Callable[[Any], None]] | None = None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._book = as_book(rules, clock())
        self._rules = self._book.rules
        given, self._waiting = apart(self._book, {"tables": tables, "limits": limits, "on": on})
        self._tables, limits, self._on = (given[kind] for kind in KINDS)
        self._check_names(limits, self._on)
        if ahead is AHEAD and clock is not now_us:
            ahead = None  # it may know nothing of the time of the events
        ahead_us = None if ahead is None else round(ahead / timedelta(microseconds=1))
        self._options = LiveOptions(time, workers, limits, in_arrival_order, ahead_us, held_max)
        _check(self._options)
        self._known = {stream.name: stream for stream in self._rules.base_streams}
        self._schemas: dict[str, pa.Schema] = {
            name: declared_schema(stream) for name, stream in self._known.items() if stream.fields
        }
        for name, given in (schemas or {}).items():
            self._schemas[self.stream_named(name).name] = _schema(given)
        self._running: Live | None = None
        self._is_finished = False
        self._is_closed = False
        self.measured = Measured(clock)
        self.restored: Restored | None = None
        if all(name in self._schemas for name in self._known):
            self._start()

    # ------------------------------------------------------------------ events and time

    @measured("process")
    @followed
    def process(self, event: Any, stream: str | None = None) -> Result:
        """Take one event: a dict of its fields, or an object that has them.

        An object is one of a dataclass, a pydantic, msgspec or attrs class, or a named tuple.
        `stream`: of which the event is, where the rules read several.
        """
        single = self._take_one(event, stream)
        return self._take([event], stream) if single is None else single

    @measured("process_batch")
    @followed
    def process_batch(self, events: Any, stream: str | None = None) -> Result:
        """Take what has arrived: a table, a list of dicts or objects, whatever `Rules.run` takes.

        Events may be in any order; the `lateness` of their stream says how late one may be. Raises
        DataError for data that do not have the columns of the stream: nothing is taken then.
        """
        return self._take(events, stream)

    def _take_one(self, event: Any, stream: str | None) -> Result | None:
        """An event past the columns; None where it needs the way of batches."""
        running = self._running
        if running is None or running.reader is None:
            return None
        self.check_open()
        self.stream_named(stream)
        begun = now_seconds()
        try:
            output = running.add_one(event, self._clock())
        except NotPlainError:
            return None
        self.measured.totals["events"] += 1
        if output is None:
            return running.execution.empty_result(1, now_seconds() - begun)
        return self._result(running, output, 1, begun)

    def _take(self, events: Any, stream: str | None) -> Result:
        self.check_open()
        begun = now_seconds()
        name = self.stream_named(stream).name
        if self._running is None and not schema_of_data(events, self._known[name]).names:
            return Execution.of_nothing(self._rules).result(Output(), 0, 0.0)
        running = self._running_for(name, events)
        taken = running.inlets[name].read(events)
        output = Output(errors=taken.errors)
        if len(taken.batch):
            running.add(name, taken.batch, self._clock(), output)
        self.measured.totals["events"] += taken.rows
        return self._result(running, output, taken.rows, begun)

    @measured("advance_to")
    @followed
    def advance_to(self, time: When, stream: str | None = None) -> Result:
        """Promise that no event at or before this time will come, of one stream or of all.

        `time`: a datetime, ISO 8601 text or microseconds since 1970. What was due
        by then comes out.
        """
        self.check_open()
        begun, running = now_seconds(), self._started("advance_to")
        name = None if stream is None else self.stream_named(stream).name
        output = Output()
        running.advance(name, _microseconds(time), output)
        return self._result(running, output, 0, begun)

    @measured("tick")
    @followed
    def tick(self) -> Result:
        """Let the clock tell: idle sources stop holding others back, processing time goes on."""
        self.check_open()
        begun, running = now_seconds(), self._started("tick")
        output = Output()
        running.tick(self._clock(), output)
        return self._result(running, output, 0, begun)

    def finish(self, stream: str | None = None) -> Result:
        """Say that no event will come any more, of one stream or (None) of any.

        In the end what is held, open or waited for is decided, and the detector is done.
        """
        if stream is None:
            self._dismiss()
        return self._finish(stream)

    @one_at_a_time
    @followed
    def _finish(self, stream: str | None) -> Result:
        self.check_open()
        begun = now_seconds()
        if stream is not None:
            running, output = self._started("finish"), Output()
            running.finish(output, self.stream_named(stream).name)
            return self._result(running, output, 0, begun)
        self._is_finished = True
        if self._running is None:
            return Execution.of_nothing(self._rules).result(Output(), 0, 0.0)
        output = Output()
        self._running.finish(output)
        self._running.execution.close()
        return self._result(self._running, output, 0, begun)

    def close(self) -> None:
        """Let go of threads: no event can follow, and what is open stays undecided."""
        try:
            self._dismiss()
        finally:
            with self.lock:
                self.stop_shadow()
                self._is_closed = True
                self.stop_worker()
                if self._running is not None:
                    self._running.execution.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @one_at_a_time
    @followed
    def reload(self, table: str, rows: Any) -> None:
        """Look up in other rows from the next event on. DataError where they do not fit.

        A snapshot does not hold the rows of tables: who restores it hands in those of the day.
        """
        if table in self._waiting["tables"]:
            self._waiting["tables"][table] = rows
            return
        if self._running is not None:
            self._running.execution.reload(table, rows)
        self._tables[table] = rows

    @one_at_a_time
    def current(self, name: str) -> pa.Table:
        """The open windows of an aggregate, as they are now: early results on request."""
        return self._started("current").execution.current(name)

    # ------------------------------------------------------------------ what it knows

    @one_at_a_time
    def status(self) -> dict[str, Any]:
        """How it stands, as plain values: watermarks, who holds them back, open runs, counts.

        `watermark` and times are ISO 8601 texts, None before the first event and at the end of all.
        """
        known: dict[str, Any] = {"rules": self._rules.name, "finished": self._is_finished}
        known |= self.measured.counts()
        with_rows = frozenset(self._rules.row_names)
        known |= NOT_STARTED if self._running is None else self._running.status()
        return known | {"nodes": self.measured.with_counts(known["nodes"], with_rows)}

    def limit_counts(self) -> dict[str, tuple[int, int]]:
        """Of each pattern with a limit: runs that it has refused, and that it has dropped."""
        running, limits = self._running, self._options.limits
        return {} if running is None else running.execution.runtime.limit_counts(limits)

    # ------------------------------------------------------------------ state

    @measured("snapshot")
    def snapshot(self) -> Snapshot:
        """A copy of all state, between two batches; `from_snapshot` goes on from it."""
        running = self._running
        return {
            "format": FORMAT,
            "rules": self._rules.text,
            "schemas": {name: schema.empty_table() for name, schema in self._schemas.items()},
            "running": None if running is None else running.snapshot(),
            "finished": self._is_finished,
            **self.measured.snapshot(),
            **saved_book(self._book),
        }

    @checkpointing
    def checkpoint(
        self, place: Place, *, keep: int = 3, storage_options: Mapping[str, Any] | None = None
    ) -> CheckpointInfo:
        """Write all state down: the next checkpoint in a directory or under a URL (`s3://...`).

        It is there as a whole or not at all; the last `keep` stay. `storage_options`: what an
        object store needs (`endpoint`, `access_key_id`, ...), else the environment says. Raises
        CheckpointError.
        """
        with CheckpointStore(place, keep=keep, storage_options=storage_options) as store:
            return store.write(self.snapshot())

    @checkpointing
    def savepoint(
        self, place: Place, name: str, *, storage_options: Mapping[str, Any] | None = None
    ) -> CheckpointInfo:
        """Write all state down under a name; a savepoint stays until somebody deletes it."""
        with CheckpointStore(place, storage_options=storage_options) as store:
            return store.write_savepoint(name, self.snapshot())

    @classmethod
    def restore(
        cls,
        place: Place,
        rules: AnyRules | None = None,
        *,
        savepoint: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        **options: Unpack[DetectorOptions],
    ) -> Detector:
        """A detector that goes on from the newest checkpoint in a place, or from a savepoint there.

        A damaged checkpoint is passed over for the one before, with a CheckpointWarning. Raises
        CheckpointError where there is none to go on from. For the rest see `from_snapshot`.
        """
        with CheckpointStore(place, read_only=True, storage_options=storage_options) as store:
            if savepoint is not None and savepoint not in (there := store.savepoints()):
                near = did_you_mean(savepoint, there) or ";"
                message = f"{place}: no savepoint {savepoint!r}{near} there are {_listed(there)}"
                raise CheckpointError(message)
            found = store.latest() if savepoint is None else store.read(savepoint)
        if found is None:
            raise CheckpointError(f"{place}: no checkpoint to go on from")
        logs.read(found.info)
        return cls.from_snapshot(found.snapshot, rules, **options)

    @classmethod
    def from_snapshot(
        cls,
        snapshot: Snapshot,
        rules: AnyRules | None = None,
        **options: Unpack[DetectorOptions],
    ) -> Detector:
        """A detector that goes on where a snapshot was taken.

        `rules` may have changed (None: those of the snapshot go on): what is as it was keeps its
        state, a changed statement starts afresh, which is a RuleWarning; `restored` says what
        became of each. `options` are those of the constructor and may differ, in the number of
        workers too.
        """
        if snapshot.get("format") != FORMAT:
            known = f"this version reads format {FORMAT}"
            raise DataError(f"a snapshot of format {snapshot.get('format')!r}; {known}")
        clock = options.get("clock", now_us)
        detector = cls(restored_book(snapshot, rules, clock()), **options)
        detector._take_over(snapshot)
        taken_over(detector, detector.restored)
        for name in [] if detector.restored is None else detector.restored.fresh:
            message = f"{name} has changed since its state was saved: it starts without state"
            warnings.warn(message, RuleWarning, stacklevel=3)
        return detector

    @updating
    def _take_on(self, book: RuleBook, given: Mapping[str, Any], beside: bool) -> Restored:
        self._become(self._with_other(book, given, beside))
        return self.restored or Restored()

    def _with_other(self, book: RuleBook, given: Mapping[str, Any], beside: bool) -> Detector:
        """One with other rules that goes on from here."""
        options = self._options
        there = {"tables": self._tables, "limits": dict(options.limits), "on": self._on}
        kept, waiting = carried(book, given, joined(self._waiting, there), beside=beside)
        other = Detector(
            book,
            time="processing" if options.time == "processing" else "event",
            workers=options.workers,
            in_arrival_order=options.in_arrival_order,
            ahead=None if options.ahead_us is None else timedelta(microseconds=options.ahead_us),
            held_max=options.held_max,
            clock=self._clock,
            **kept,
        )
        other._waiting = joined(waiting, other._waiting)
        try:
            other._take_over(self.snapshot())
        except BaseException:
            other.close()
            raise
        return other

    def _begin_shadow(self, book: RuleBook, given: Mapping[str, Any]) -> Shadow:
        reading = LastReading(self._clock)
        other = self._with_other(book, given, False)
        handlers, other._on, other._clock = other._on, {}, reading.again
        self._clock, self._shadow = reading, Shadow(self, other, handlers, reading)
        self._shadow.share_lock()
        return self._shadow

    @updating
    def _promote(self, other: Detector, handlers: dict[str, Any]) -> Restored:
        """Go on as the detector of a shadow."""
        other._on, other._book = handlers, other._book.after(self._book, self._clock())
        self._become(other)
        return self.restored or Restored()

    def _become(self, other: Detector) -> None:
        if self._running is not None:
            self._running.execution.close()
        for name in _OF_RULES:
            setattr(self, name, getattr(other, name))
        self.measured.keep(self._rules.names)

    def _take_over(self, snapshot: Snapshot) -> None:
        before = dict(self._schemas)
        for name, table in snapshot["schemas"].items():
            if name in self._known:
                self._schemas[name] = table.schema
        self.measured.restore(snapshot, self._rules.names)
        self._is_finished = snapshot["finished"]
        if snapshot["running"] is None:
            return
        if self._running is not None and before != self._schemas:
            self._running.execution.close()
            self._running = None
        if self._running is None:
            self._start()
        assert self._running is not None
        self.restored = self._running.restore(snapshot["running"], self._clock())

    # ------------------------------------------------------------------ inside

    def __reduce__(self) -> Any:
        message = "a detector is not pickled: make one in the process that needs it"
        raise StateError(f"{message}, of the text of its rules or by Detector.restore")

    @property
    def has_handlers(self) -> bool:
        """Whether `on` names functions that are called with what comes out."""
        return bool(self._on)

    @property
    def is_started(self) -> bool:
        """The columns of all streams are known, so that time can pass."""
        return self._running is not None

    @property
    def is_finished(self) -> bool:
        """No event can follow, since the detector was told that none will come."""
        return self._is_finished

    def check_open(self) -> None:
        """DataError or StateError where no event can follow."""
        if self.forked and self._options.workers > 1:
            message = f"the {self._options.workers} threads of this detector did not survive a fork"
            raise StateError(f"{message}: make it behind the fork, or with workers=1")
        if self._is_finished:
            raise DataError("the detector has finished: no event can follow; make a new one")
        if self._is_closed:
            raise DataError("the detector is closed: no event can follow; make a new one")

    def _check_names(self, limits: Mapping[str, Limit], on: Mapping[str, Any]) -> None:
        nodes = self._rules.unbound().nodes
        patterns = [node.name for node in nodes if isinstance(node.plan, Pattern)]
        for name in limits:
            if name not in patterns:
                near = did_you_mean(name, patterns) or ";"
                raise DataError(f"limits: no pattern {name!r}{near} there are {_listed(patterns)}")
        tables = [node.name for node in nodes if node.kind is not NodeKind.PATTERN]
        for name in on:
            if name not in (*SIDES, *tables):
                near = did_you_mean(name, (*SIDES, *tables)) or ";"
                raise DataError(f"on: no output {name!r}{near} there are {_listed(SIDES, tables)}")

    def stream_named(self, stream: str | None) -> Stream:
        """The stream of this name; None: the only one. DataError where it cannot be told."""
        if stream is None and len(self._known) == 1:
            return next(iter(self._known.values()))
        if stream in self._known:
            return self._known[str(stream)]
        if stream is not None and list(self._known) == [""]:
            return self._known[""]
        names = ", ".join(self._known)
        if stream is None:
            raise DataError(f"the rules read several streams ({names}): say of which this is")
        raise DataError(f"no rule reads a stream {stream!r:.60}; read: {names}")

    def _running_for(self, name: str, data: Any) -> Live:
        """Started by the first data, if not before: they say what undeclared columns there are."""
        if self._running is None:
            before = dict(self._schemas)
            self._schemas.setdefault(name, schema_of_data(data, self._known[name]))
            try:
                self._start()
            except CepError:
                self._schemas = before  # better data may come
                raise
        assert self._running is not None
        return self._running

    def _started(self, what: str) -> Live:
        if self._running is None:
            raise DataError(f"{what}: no event has come yet, and the rules declare no stream")
        return self._running

    def _start(self) -> None:
        missing = [name for name in self._known if name not in self._schemas]
        if missing:
            raise DataError(
                f"stream {missing[0]!r}: nobody knows its columns; declare them in the rules, "
                "`stream NAME (FIELD TYPE, ...) time FIELD;`, or give `schemas`"
            )
        inlets = {name: self._inlet(stream) for name, stream in self._known.items()}
        self._running = Live.start(self._rules, inlets, self._tables, self._options)

    def _inlet(self, stream: Stream) -> Inlet:
        by_clock = self._options.time == "processing"
        return Inlet(stream, self._schemas[stream.name], has_time=not by_clock)

    def _result(self, running: Live, output: Output, rows: int, begun: float) -> Result:
        output.errors = running.told(output.errors)
        result = running.execution.result(output, rows, now_seconds() - begun, ())
        self.measured.found(output, result)
        self._call(result)
        return result

    def _call(self, result: Result) -> None:
        """Every function with what is for it, also where another one fails."""
        failed: list[tuple[str, Exception]] = []
        for name, function in self._on.items():
            table = getattr(result, name) if name in SIDES else result.tables[name]
            if len(table):
                try:
                    function(table)
                except Exception as error:
                    failed.append((name, error))
        if failed:
            what, cause = failed[0]
            raise CallbackError(what, cause, result) from cause


def _listed(*names: Iterable[str]) -> str:
    return ", ".join(name for several in names for name in several) or "none"


def _check(options: LiveOptions) -> None:
    """DataError for what cannot be meant."""
    if options.time not in ("event", "processing"):
        raise DataError(f"time={options.time!r}: it is 'event' or 'processing'")
    for name, least in (("workers", 1), ("held_max", 0)):
        given = getattr(options, name)
        if given is not None and given < least:
            raise DataError(f"{name}={given}: it is at least {least}")


def _schema(given: Any) -> pa.Schema:
    return given if isinstance(given, pa.Schema) else schema_of_data(given, Stream(""))


def _microseconds(time: When) -> int:
    """Microseconds since 1970; a datetime without a zone is UTC."""
    if isinstance(time, datetime):
        zoned = time if time.tzinfo else time.replace(tzinfo=UTC)
        since = zoned - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    found = parse_timestamp(time) if isinstance(time, str) else time
    if not isinstance(found, int):
        raise DataError(f"{time!r} is no time: give a datetime, ISO 8601 text or microseconds")
    return found
