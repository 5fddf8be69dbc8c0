"""The loop: batches of events in; matches, timed-out runs, rows and errors out.

    base events ─► task 0: all nodes that read base streams ─► rows ─┐
         │                                                            ▼ merged by time and position
         └──────────────────────────────────────────────────────► task 1: nodes that read them ► ...

Each slice of events goes through all tasks in turn: what a node makes of it reaches those that
read it in the same step, and no task sees time go back. With threads the first task is some slices
ahead.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.aggregates import NO_FUNCTIONS, Functions
from cep.engine.algebra.errors import StateError
from cep.engine.algebra.plan import Dataflow, NodeKind
from cep.engine.batch import Bools, EventBatch
from cep.engine.dataflow.fingerprint import fingerprints
from cep.engine.dataflow.rule_changes import RuleChanges
from cep.engine.dataflow.tasks import TaskPlan, hidden_fields, task_plans
from cep.engine.operators.match import MatchOperator
from cep.engine.results import ErrorBatch, Output
from cep.engine.runtime.derived import FeedMerger, only_stream
from cep.engine.runtime.stages import Stages
from cep.engine.runtime.task import Begun, Task, Wiring, Worked, late_batches
from cep.engine.single.events import SingleEvents, goes_one_by_one
from cep.engine.single.reading import NotPlainError
from cep.engine.state.cleaning import Cleaning
from cep.engine.state.event_store import take_rows
from cep.engine.state.families import RunFamily
from cep.engine.state.interning import TextCodes
from cep.engine.state.limits import Limit
from cep.engine.state.restoring import Restored
from cep.engine.state.snapshot import Snapshot, Value
from cep.engine.state.texts import TextHolder
from cep.engine.time.arrivals import LateBatch as LateArrivals

TEXTS_KEPT_MIN = 1 << 16  # fewer texts than this are not worth cleaning
Made = dict[str, list[EventBatch]]  # name of a derived stream -> its rows of one step
SLICES_AHEAD = 3  # are on their way with threads, beside the one that is waited for
SLICE_ROWS = 1 << 17  # events worked on at a time: their columns should stay in the cache


class Runtime:
    """Runs a bound rule set over its events.

    Batches must come in event-time order; their `stream` numbers are those of `flow.streams`, whose
    fields are complete. `workers`: how many threads share the keys. `capacity` is the first size of
    growing buffers. `traced`: `Output.ended` tells of runs that become no match. `counted`: matches
    are counted (`counts`) and not made, of the patterns that allow it.
    """

    def __init__(
        self,
        flow: Dataflow,
        *,
        workers: int = 1,
        slice_rows: int | None = None,
        capacity: int = 1024,
        traced: bool = False,
        counted: bool = False,
        limits: Mapping[str, Limit] | None = None,
        functions: Functions = NO_FUNCTIONS,
        tables: Mapping[str, pa.Table] | None = None,
    ) -> None:
        self.flow = flow
        self._slice_rows = SLICE_ROWS if slice_rows is None else slice_rows
        self.workers = workers
        self._stages = Stages(workers) if workers > 1 else None
        base, *derived = task_plans(flow)
        read = frozenset(stream.name for plan in derived for stream in plan.streams)
        self._texts = TextCodes()
        self._hidden = hidden_fields(flow)
        self._functions = functions
        wiring = Wiring(
            texts=self._texts,
            read=read,
            hidden=self._hidden,
            shards=workers,
            capacity=capacity,
            traced=traced,
            counted=counted,
            limits=limits or {},
            functions=functions,
            tables=tables or {},
            stages=self._stages,
        )
        self._base = Task(base, wiring)
        self._shown = {node.name for node in flow.nodes if node.kind is not NodeKind.PATTERN}
        self._derived = [_DerivedTask(flow, plan, wiring) for plan in derived]
        self._texts.pin()  # constants of conditions keep their codes
        self._cleaning = Cleaning(TEXTS_KEPT_MIN)
        self._is_whole = True
        self._single: SingleEvents | None = None

    @property
    def tasks(self) -> list[Task]:
        return [self._base, *(derived.task for derived in self._derived)]

    @property
    def operators(self) -> list[MatchOperator]:
        return [operator for task in self.tasks for operator in task.operators]

    @property
    def open_runs(self) -> int:
        return sum(task.open_runs for task in self.tasks)

    def counts(self) -> dict[str, int]:
        """Matches so far of the patterns whose matches are counted and not made."""
        return {name: count for task in self.tasks for name, count in task.counts().items()}

    def close(self) -> None:
        """Let go of the threads."""
        if self._stages is not None:
            self._stages.shutdown()

    # ------------------------------------------------------------------ events and time

    def process(self, batch: EventBatch) -> Output:
        """Offer a batch to every node. Its times must not go back behind the batch before."""
        (output,) = self.process_all([batch])
        return output

    def process_all(self, batches: Iterable[EventBatch]) -> Iterator[Output]:
        """The same for batch after batch: threads go on with the next ones.

        Where reading them fails, what came before the failure comes out first.
        """
        output, failures = Output(), list[Exception]()
        slices = _until_failure(_slices(batches, self._slice_rows), failures)
        with self._at_work():
            for one, worked in self._worked(slices):
                if worked is not None:
                    move = _moving_to(int(one.events.time_us[-1]) - 1)
                    output.extend(self._pass_on(worked.events, worked.output, move))
                if one.is_last:
                    yield output
                    output = Output()
        if failures:
            raise failures.pop()

    def takes_single_events(self, schema: pa.Schema) -> bool:
        """Whether `process_one` may be called from now on, with values of these columns."""
        if not self._derived and goes_one_by_one(self._base):
            self._single = SingleEvents(self._base, schema)
        return self._single is not None

    def process_one(self, values: Sequence[Any], time_us: int) -> Output | None:
        """`process` of one event, past the columns; None: nothing came out.

        Raises NotPlainError where it needs the way of batches: nothing has changed then.
        """
        assert self._single is not None
        self._check_whole()
        try:
            output = self._single.offer(values, time_us)
        except NotPlainError:
            raise
        except BaseException:
            self._is_whole = False
            raise
        if self._cleaning.is_due(len(self._texts), self._texts.characters):
            self._forget_texts()
        return output

    def advance_to(self, watermark_us: int) -> Output:
        """No event at or before this time will come: what was due by then happens."""
        with self._at_work():
            output = self._base.advance_to(watermark_us)
            return self._pass_on(None, output, _moving_to(watermark_us))

    def process_late(self, late: LateArrivals) -> Output:
        """Events behind the watermark, in the order in which they came: windows may take them.

        A row that such an event makes is late, too, for those who read it.
        """
        output, taken = Output(), np.zeros(len(late), np.bool_)
        with self._at_work():
            for made in self._base.process_late(late, taken):
                output.extend(self._pass_on_late(made))
            full = replace(late, events=self._base.enricher.add_to_late(late.events))
            for derived in self._derived:
                for made in derived.process_late(full, taken):
                    output.extend(self._pass_on_late(made))
            output.late += late_batches(late, taken, self._base.streams)
        return output

    def reload(self, table: str, rows: pa.Table) -> None:
        """Look up in other rows from the next event on. DataError where they do not fit."""
        self._check_whole()
        for task in self.tasks:
            task.enricher.reload(table, rows)

    def current(self, name: str) -> Output:
        """The open windows of an aggregate, as rows; nothing changes."""
        for task in self.tasks:
            for window in task.windows:
                if window.name == name:
                    return window.current(task.spaces[window.key])
        raise KeyError(name)

    def status(self) -> dict[str, Any]:
        """Per pattern and aggregate what is open, and the memory that state takes."""
        nodes = {n: s for task in self.tasks for n, s in task.status().items()}
        size = Counter(dict.fromkeys(("runs", "windows", "features", "events", "keys"), 0))
        for state in nodes.values():
            size["windows" if "panes" in state else "runs"] += state["bytes"]
        for task in self.tasks:
            size.update(task.bytes_held())
        return {"nodes": nodes, "state_bytes": dict(size)}

    def limit_counts(self, patterns: Collection[str]) -> dict[str, tuple[int, int]]:
        """Of these patterns: runs that a limit has refused, and that it has dropped."""
        if not patterns:
            return {}
        return {name: n for task in self.tasks for name, n in task.limit_counts(patterns).items()}

    def finish(self) -> Output:
        """The final watermark: no event will come any more."""
        with self._at_work():
            return self._pass_on(None, self._base.finish(), lambda task: task.finish())

    # ------------------------------------------------------------------ state

    def snapshot(self) -> Snapshot:
        """A copy of all state, while no batch is being worked on."""
        self._check_whole()
        return {
            "texts": self._texts.snapshot(),
            "prints": self._prints,
            "tasks": {task.plan.name: task.snapshot() for task in self.tasks},
        }

    def restore(self, saved: Mapping[str, Value]) -> Restored:
        """Go on from a snapshot of the same or other rules, in a new runtime.

        Statements that are as they were go on with their state, over as many shards as there are
        now; the others start afresh. A feature is a statement, whoever reads it.
        """
        plans = [task.plan for task in self.tasks]
        changes = RuleChanges(saved["prints"], self._prints, saved["tasks"], plans)
        for task in self.tasks:
            if task.plan.name in saved["tasks"]:
                state = saved["tasks"][task.plan.name]
                task.restore(state, changes.kept_nodes, changes.gone_fields)
            features = changes.features_of(task.plan)
            if features is not None:
                task.enricher.restore(features, changes.kept_features)
        renamed = self._texts.restore(saved["texts"])
        for runs in self._families():
            runs.rename_texts(renamed)
        return changes.report()

    @cached_property
    def _prints(self) -> Snapshot:
        """What tells the statements from others, for as long as the runtime is there."""
        return fingerprints(self.flow, self._functions)

    @property
    def _texts_are_many(self) -> bool:
        is_due = self._cleaning.is_due(len(self._texts), self._texts.characters)
        return is_due or any(task.enricher.texts_are_many for task in self.tasks)

    def _forget_texts(self) -> None:
        """Let go of texts that no run and no window holds, now and then: while nothing runs."""
        for task in self.tasks:
            task.enricher.forget_texts()
        if not self._cleaning.is_due(len(self._texts), self._texts.characters):
            return
        holders = self._text_holders()
        used = [holder.used_texts() for holder in holders]
        renamed = self._texts.keep(np.unique(np.concatenate([np.empty(0, np.int64), *used])))
        for holder in holders:
            holder.rename_texts(renamed)
        self._cleaning.done(len(self._texts), self._texts.characters)

    def _families(self) -> Iterator[RunFamily]:
        """All runs of patterns."""
        for task in self.tasks:
            for family in task.families:
                yield from family.shards

    def _text_holders(self) -> list[TextHolder]:
        """All state that holds codes of the texts that operators share."""
        return [
            *self._families(),
            *(window.operator for task in self.tasks for window in task.windows),
        ]

    # ------------------------------------------------------------------ inside

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Whatever breaks off leaves some shards ahead of others: nothing may go on from there."""
        self._check_whole()
        self._is_whole = False
        if self._single is not None:
            self._single.is_stale = True
        yield
        self._is_whole = True

    def _check_whole(self) -> None:
        if not self._is_whole:
            message = (
                "work on earlier events broke off, by an error or because not all results were "
                "taken: the state is not whole; go on from a checkpoint"
            )
            raise StateError(message)

    def _worked(self, slices: Iterable[_Slice]) -> Iterator[tuple[_Slice, Worked | None]]:
        """Each slice, and what the first task makes of it; with threads, some are on the way."""
        if self._stages is None:
            for one in slices:
                yield one, self._base.process(one.events) if len(one.events) else None
                self._forget_texts()
            return
        ahead: _Ahead = deque()
        try:
            for one in slices:
                begun = self._begin(one.events, self._stages) if len(one.events) else None
                ahead.append((one, begun))
                while len(ahead) > (0 if self._texts_are_many else SLICES_AHEAD):
                    yield self._next_of(ahead)
                if not ahead:
                    self._forget_texts()
            while ahead:
                yield self._next_of(ahead)
            self._forget_texts()
        finally:
            _wait_for(begun for _, begun in ahead if begun is not None)

    def _begin(self, events: EventBatch, stages: Stages) -> Future[Begun]:
        """Send a slice on its way."""
        enriching = stages.enrich(lambda: self._base.enrich(events))
        return stages.prepare(lambda: self._base.begin(enriching.result()))

    def _next_of(self, ahead: _Ahead) -> tuple[_Slice, Worked | None]:
        """Wait for the first slice, which is among them until it is done."""
        one, begun = ahead[0]
        worked = None if begun is None else self._base.end(begun.result())
        ahead.popleft()
        return one, worked

    def _pass_on(
        self,
        base: EventBatch | None,
        output: Output,
        move: Callable[[Task], Output] | None = None,
    ) -> Output:
        """What a step of the first task made goes to the tasks that read it, and so on.

        `move`: what moves time in each of them, once it has got its rows.
        """
        if not self._derived:
            return self._without_hidden(output)
        made: Made = {}
        _add_rows(made, output)
        for derived in self._derived:
            found = derived.step(base, made)
            if move is not None:
                found.extend(move(derived.task))
            _add_rows(made, found)
            output.extend(found)
        return self._without_hidden(output)

    def _pass_on_late(self, output: Output) -> Output:
        """What a late event made goes to the tasks that read it, as events that are late."""
        if not self._derived:
            return self._without_hidden(output)
        made: Made = {}
        _add_rows(made, output)
        for derived in self._derived:
            found = derived.step_late(made)
            _add_rows(made, found)
            output.extend(found)
        return self._without_hidden(output)

    def _without_hidden(self, output: Output) -> Output:
        """Rows of patterns (they are matches) and some fields are for those who read them only."""
        output.rows = [rows for rows in output.rows if rows.name in self._shown]
        if self._hidden:
            output.errors = [_without(error, self._hidden) for error in output.errors]
        return output


@dataclass(frozen=True, slots=True)
class _Slice:
    """A part of a batch; empty where the batch is. `is_last`: the batch ends with it."""

    events: EventBatch
    is_last: bool


_Ahead = deque[tuple[_Slice, Future[Begun] | None]]  # on their way; None: nothing in it


def _slices(batches: Iterable[EventBatch], rows: int) -> Iterator[_Slice]:
    for batch in batches:
        for begin in range(0, max(len(batch), 1), rows):
            end = min(begin + rows, len(batch))
            yield _Slice(batch.slice(begin, end), end == len(batch))


def _until_failure(slices: Iterable[_Slice], failures: list[Exception]) -> Iterator[_Slice]:
    """The slices; an error goes to `failures` and ends them."""
    try:
        yield from slices
    except Exception as error:
        failures.append(error)


def _wait_for(slices: Iterable[Future[Begun]]) -> None:
    """Until no thread works on them any more, whatever comes of it."""
    for begun in slices:
        if begun.exception() is None:
            wait(begun.result().shards)


class _DerivedTask:
    """A task that reads what other nodes make, perhaps beside base streams."""

    def __init__(self, flow: Dataflow, plan: TaskPlan, wiring: Wiring) -> None:
        base = {stream.name: number for number, stream in enumerate(flow.streams)}
        names = [stream.name for stream in plan.incoming]
        self._base = {name: base[name] for name in names if name in base}
        self._made = [name for name in names if name not in base]
        self.task = Task(plan, wiring)
        self._merger = FeedMerger(plan.incoming)

    def step(self, base: EventBatch | None, made: Made) -> Output:
        """One step's rows of all the streams that are read, through the task."""
        parts = []
        if base is not None:
            parts = [(name, only_stream(base, number)) for name, number in self._base.items()]
        feed = self._merger.merge([*parts, *self._parts(made)])
        return Output() if feed is None else self.task.process(feed).output

    def step_late(self, made: Made) -> Output:
        """Rows that a late event has made: they are late here."""
        output = Output()
        feed = self._merger.merge(self._parts(made))
        if feed is not None:
            watermarks = np.maximum(feed.time_us, self.task.watermark_us)
            late, taken = LateArrivals(feed, watermarks), np.zeros(len(feed), np.bool_)
            for found in self.task.process_late(late, taken):
                output.extend(found)
            output.late += late_batches(late, taken, self.task.streams)
        return output

    def process_late(self, late: LateArrivals, taken: Bools) -> Iterator[Output]:
        """Late events of base streams, for windows over these; `taken` is set where one is."""
        if not any(window.stream in self._base for window in self.task.windows):
            return
        streams = late.events.stream
        rows = np.arange(len(late))
        if streams is not None:
            rows = np.flatnonzero(np.isin(streams, list(self._base.values())))
        mine = take_rows(late.events, rows)
        taken_here = np.zeros(len(rows), np.bool_)
        events = self._merger.renumbered(mine, self._base)
        yield from self.task.process_late(LateArrivals(events, late.watermark_us[rows]), taken_here)
        taken[rows[taken_here]] = True

    def _parts(self, made: Made) -> list[tuple[str, EventBatch]]:
        return [(name, batch) for name in self._made for batch in made.get(name, ())]


def _without(error: ErrorBatch, hidden: frozenset[str]) -> ErrorBatch:
    names = [name for name in error.events.schema.names if name in hidden]
    return replace(error, events=error.events.drop_columns(names)) if names else error


def _moving_to(watermark_us: int) -> Callable[[Task], Output]:
    return lambda task: task.advance_to(watermark_us)


def _add_rows(made: Made, output: Output) -> None:
    """What others read of the rows that came out: each window's row when it first comes."""
    for rows in output.rows:
        batch = EventBatch(rows.table, rows.time_us, None, rows.position)
        if rows.update is not None and bool((rows.update != 0).any()):
            batch = take_rows(batch, np.flatnonzero(rows.update == 0))
        made.setdefault(rows.name, []).append(batch)
