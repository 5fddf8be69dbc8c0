"""Events, ticks and rules, one step at a time: journal, detector, what is remembered of it.

    body ─► event ─► known by its id? ──yes──────────────► the answer of the first time
                          │no
                          ▼
                      detector ─► journal ─► ids, feed ─► the answer

A step is a function of the state and of its journal entry, which has the clock's reading. So state
= checkpoint + the entries behind it: `replay` runs the same steps again, which makes the same
answers under the same ids. Where a step raises, nothing was taken and nothing is kept. Knows
neither HTTP nor an event loop, and is for one thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from cep.detector import Detector
from cep.engine.algebra.errors import CepError, DataError
from cep.engine.algebra.expression import DataType
from cep.engine.checkpoint.errors import CheckpointError
from cep.engine.io.clock import now_us
from cep.engine.io.journal import Entry, Journal
from cep.engine.state.limits import Limit
from cep.engine.state.restoring import Restored
from cep.engine.state.snapshot import Snapshot
from cep.rules import Rules, check
from cep.serving.answers import NO_OUTCOME, NOTHING, Outcome, body_of, outcome_of
from cep.serving.bodies import Body, Source
from cep.serving.feed import Feed
from cep.serving.identity import Identified, id_of, identify, ids_of
from cep.serving.lines import UnknownFields, event_of, read_lines
from cep.serving.remembered import Remembered
from cep.serving.settings import Settings

FORMAT = "cep service 1"  # raised whenever what a checkpoint or an entry holds changes its meaning
EVENT, TABLE, TICK, RULES = "event", "table", "tick", "rules"  # kinds of entries
FROM_FILE, PUT = "file", "put"  # where rules come from


class Core:
    """A detector with its journal. Make it with the rules of the start, then `recover`."""

    def __init__(
        self,
        rules: Rules,
        settings: Settings,
        *,
        tables: Mapping[str, Any] | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._first_rules = rules
        self._settings = settings
        self._tables = dict(tables or {})  # rules that were put may look up fewer
        self._journal = journal
        self._clock_us = now_us()
        self.position = 0  # the number of the last entry
        self.duplicates = self.broken_lines = 0  # since the process began
        self.rules_text = rules.text  # as the file had them when it was last read
        self.unknown = UnknownFields()
        self.remembered = Remembered(settings.ids_max, settings.answers_bytes)
        self.feed = Feed(settings.messages_kept, settings.answers_bytes)
        self.broken: Exception | None = None  # why no step can follow
        self.detector = self._detector(rules)

    # -- events ------------------------------------------------------------------------------------

    def take_event(self, body: bytes, stream: str | None) -> bytes:
        """One event as JSON -> the JSON of the answer. Raises DataError, and nothing is taken."""
        source = self._source(stream)
        row = event_of(body, source.read, self.unknown)
        ids: tuple[str, ...] = ()
        if self._settings.id_field is not None:
            ids = (id_of(row.get(self._settings.id_field), source.name, self._settings.id_field),)
            kept = self.remembered.get(ids[0])
            if kept is not None:
                self.duplicates += 1
                is_kept = kept.answer is not None
                return body_of(kept.answer or NOTHING, duplicate=True, answer_kept=is_kept)
        outcome = self._step(Entry(EVENT, source.name, self._now_us(), body), ids, row)
        return body_of(outcome.answer, duplicate=False, answer_kept=True)

    def take_lines(self, body: bytes, stream: str | None) -> bytes:
        """Events as NDJSON -> the JSON of one answer to all of them.

        Lines that are no events are told in it. Raises DataError, whose text says what was taken.
        """
        found = self.read(body, stream)
        while found.has_more:
            self.take_part(found)
        return self.answer(found)

    def read(self, body: bytes, stream: str | None) -> Body:
        """What a body of NDJSON brings. Others may take steps meanwhile, but not change rules."""
        source = self._source(stream)
        return Body(source, read_lines(body, source.read, self.unknown, self._settings.id_field))

    def take_part(self, body: Body) -> None:
        """The next events of a body, as one step."""
        part, field = body.part(), self._settings.id_field
        new = Identified(part.table)
        if field is not None:
            new = identify(part, field, body.source.name, self.remembered)
        outcome, kept = NO_OUTCOME, None
        if new.table.num_rows:
            entry = Entry(TABLE, body.source.name, self._now_us(), _packed(new.table))
            try:
                outcome = self._step(entry, new.ids, new.table)
            except DataError as error:
                raise body.cut_short(error) from error
            kept = self.remembered.get(new.ids[0]) if new.ids else None
        self.duplicates += new.duplicates
        body.took(part, new, outcome, kept)

    def answer(self, body: Body) -> bytes:
        """To all events of a body. Raises DataError where there was none."""
        self.broken_lines += body.lines.broken_count
        return body.answer()

    def tick(self) -> None:
        """Let the clock tell."""
        if self.needs_ticks and self.detector.is_started:
            self._step(Entry(TICK, None, self._now_us(), b""))

    def change_rules(self, rules: Rules, origin: str = PUT) -> Restored:
        """Go on with rules of `compiled`. Raises DataError, and nothing has changed then."""
        self._check_usable()
        restored = self._update(rules)
        self._done(Entry(RULES, origin, self._now_us(), rules.text.encode()), ())
        self._on_rules(origin, rules.text)
        return restored

    # -- what a step is ----------------------------------------------------------------------------

    def _step(self, entry: Entry, ids: tuple[str, ...] = (), data: Any = None) -> Outcome:
        """`data`: what is in the payload, where somebody has it already."""
        self._check_usable()
        outcome = self._apply(entry, data)
        if entry.kind != TICK or self._is_told(outcome):
            self._done(entry, ids, outcome)
        return outcome

    def _apply(self, entry: Entry, data: Any) -> Outcome:
        """The detector's part. CepErrors are those of `process_batch`: nothing was taken."""
        self._clock_us = entry.at_us
        try:
            if entry.kind == TICK:
                result = self.detector.tick()
            elif entry.kind == EVENT:
                result = self.detector.process(self._without_id(data, entry), entry.stream)
            else:
                result = self.detector.process_batch(self._without_id(data, entry), entry.stream)
        except CepError:
            raise
        except Exception as error:
            self.broken = error  # nobody knows how far it came
            raise
        return outcome_of(result, self._settings.events_in_matches)

    def _is_told(self, outcome: Outcome) -> bool:
        """Whether a tick must be kept: it moved idle sources, or something came out."""
        return self._settings.time == "event" or outcome is not NO_OUTCOME

    def _done(self, entry: Entry, ids: tuple[str, ...], outcome: Outcome = NO_OUTCOME) -> None:
        """What was done is kept, then told."""
        if self._journal is not None:
            try:
                self._journal.append(self.position + 1, entry)
            except Exception as error:
                self.broken = error  # the detector is ahead of what is kept
                raise
        self._remember(ids, outcome)

    def _remember(self, ids: tuple[str, ...], outcome: Outcome) -> None:
        self.position += 1
        if ids:
            self.remembered.add(ids, outcome.answer)
        self.feed.add(outcome.messages)

    def _without_id(self, data: Any, entry: Entry) -> Any:
        """An id that is no field of the stream is for us alone."""
        source, field = self._sources[entry.stream or ""], self._settings.id_field
        if field is None or source.has_id:
            return data
        if isinstance(data, pa.Table):
            return data.drop_columns([field])
        return {name: value for name, value in data.items() if name != field}

    def _check_usable(self) -> None:
        if self.broken is not None:
            message = f"work has broken off ({self.broken}): start the service again"
            raise CheckpointError(message) from self.broken

    def _now_us(self) -> int:
        """A clock that never goes back: what is done again must be in the same order."""
        self._clock_us = max(self._clock_us, now_us())
        return self._clock_us

    # -- rules -------------------------------------------------------------------------------------

    def compiled(self, text: str) -> Rules:
        """Rules that events may be taken by. Raises RuleError."""
        return check(text, functions=self._first_rules.functions.values())

    def options(self, rules: Rules) -> dict[str, Any]:
        """Of a detector for these rules."""
        return {
            "time": self._settings.time,
            "tables": self._tables_of(rules),
            "workers": self._settings.workers,
            "limits": self._limits(rules),
            "ahead": self._settings.ahead if self._settings.time == "event" else None,
            "held_max": self._settings.held_max,
            "clock": lambda: self._clock_us,
        }

    def _detector(self, rules: Rules, snapshot: Snapshot | None = None) -> Detector:
        options = self.options(rules)
        if snapshot is None:
            made = Detector(rules, **options)
        else:
            made = Detector.from_snapshot(snapshot, rules, **options)
        self._look_at(made)
        return made

    def _update(self, rules: Rules) -> Restored:
        given: dict[str, Any] = {"tables": self._tables_of(rules), "limits": self._limits(rules)}
        return self.detector.update(rules, **given)

    def _tables_of(self, rules: Rules) -> dict[str, Any]:
        names = {table.name for table in rules.tables}
        return {name: rows for name, rows in self._tables.items() if name in names}

    def _limits(self, rules: Rules) -> dict[str, Limit]:
        if self._settings.runs_max is None:
            return {}
        limit = Limit(runs=self._settings.runs_max)
        return {pattern.name: limit for pattern in rules.patterns}

    def _on_rules(self, origin: str, text: str) -> None:
        if origin == FROM_FILE:
            self.rules_text = text
        self._look_at(self.detector)

    def _look_at(self, detector: Detector) -> None:
        """What the rules say of the streams."""
        streams = detector.rules.current.base_streams
        id_field = self._settings.id_field
        self._sources: dict[str, Source] = {}
        for stream in streams:
            fields = {field.name: field.type for field in stream.fields}
            has_id = id_field is None or not fields or id_field in fields
            read = fields if has_id else fields | {str(id_field): DataType.TEXT}
            self._sources[stream.name] = Source(stream.name, read, has_id)
        is_idle = any(stream.idle_us is not None for stream in streams)
        self.needs_ticks = self._settings.time == "processing" or is_idle

    def _source(self, stream: str | None) -> Source:
        return self._sources[self.detector.stream_named(stream).name]

    # -- state -------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """A copy of all state; a checkpoint is this."""
        self._check_usable()
        return {
            "format": FORMAT,
            "position": self.position,
            "clock_us": self._clock_us,
            "rules_text": self.rules_text,
            "detector": self.detector.snapshot(),
            "remembered": self.remembered.snapshot(),
            "feed": self.feed.snapshot(),
        }

    def recover(self, snapshot: Snapshot | None) -> int:
        """Go on from a checkpoint and the journal; how many entries were done again.

        Rules that were put stay, unless those of the file have changed since. Raises
        CheckpointError where the journal has not all that the checkpoint needs.
        """
        before = self.position if snapshot is None else self._restore(snapshot)
        text = self._first_rules.text
        if self._journal is not None:
            for number, entry in self._journal.after(self.position):
                self._replay(number, entry)
        done = self.position - before
        if self.position == 0:
            self._done(Entry(RULES, FROM_FILE, self._now_us(), text.encode()), ())
        elif self.rules_text != text:
            self.change_rules(self.compiled(text), FROM_FILE)
        return done

    def _restore(self, snapshot: Snapshot) -> int:
        if snapshot.get("format") != FORMAT:
            message = f"the checkpoint is not one of a service ({snapshot.get('format')!r:.40})"
            raise CheckpointError(f"{message}: give another directory")
        self.position = snapshot["position"]
        self._clock_us = snapshot["clock_us"]
        self.rules_text = snapshot["rules_text"]
        self.remembered.restore(snapshot["remembered"])
        self.feed.restore(snapshot["feed"])
        self.detector.close()
        saved = snapshot["detector"]
        self.detector = self._detector(self.compiled(saved["rules"]), saved)
        return self.position

    def _replay(self, number: int, entry: Entry) -> None:
        if number != self.position + 1:
            gap = f"entries {self.position + 1} to {number - 1} are not in the journal"
            raise CheckpointError(f"{gap}: the state before entry {number} cannot be made again")
        try:
            if entry.kind == RULES:
                self._replay_rules(entry)
            else:
                data, ids = self._unpacked(entry)
                self._remember(ids, self._apply(entry, data))
        except CheckpointError:
            raise
        except CepError as error:
            message = f"entry {number} of the journal cannot be done again ({error})"
            raise CheckpointError(f"{message}: start with the options of before") from error

    def _replay_rules(self, entry: Entry) -> None:
        text = entry.payload.decode()
        rules = self.compiled(text)
        if self.position == 0:
            self.detector.close()
            self.detector = self._detector(rules)
        else:
            self._clock_us = entry.at_us
            self._update(rules)
        self._remember((), NO_OUTCOME)
        self._on_rules(str(entry.stream), text)

    def _unpacked(self, entry: Entry) -> tuple[Any, tuple[str, ...]]:
        """What was taken, and its ids."""
        field, name = self._settings.id_field, entry.stream or ""
        if entry.kind == TICK:
            return None, ()
        if entry.kind == EVENT:
            row = event_of(entry.payload, self._sources[name].read, self.unknown)
            return row, (id_of(row[field], name, field),) if field in row else ()
        table = pa.ipc.open_stream(entry.payload).read_all()
        return table, () if field is None else ids_of(table, name, field)

    def close(self) -> None:
        """Let go of the detector's threads."""
        self.detector.close()


def _packed(table: pa.Table) -> bytes:
    """The events as they are, in the form in which they are quick to read again."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
