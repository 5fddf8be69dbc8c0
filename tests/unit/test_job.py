"""A job as a user sees it: guarantees, going on after an end of any kind, being held back."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

import cep
from cep.engine.algebra.errors import DataError
from cep.engine.io.callable_sink import CallableSink
from cep.engine.io.file_sink import FileSink
from cep.engine.io.replay.files import FileSource
from cep.engine.io.replay.iterables import IterableSource
from cep.engine.state.snapshot import Snapshot, Value
from cep.jobs.channel import AbortedError, Channel
from cep.jobs.job import Job
from cep.jobs.options import JobError, parse_every
from cep.jobs.status import JobStatus
from tests.simulation.fakes import FakeResult, MemoryStore, SumDetector

RULES = cep.compile("pattern p from s by key match a b define a as true, b as value > a.value")
Row = tuple[str, int, int]

# (key, value) of each event, one batch each; x passes 10, 20, 30 at events 1, 3, 5
EVENTS = [("x", 6), ("x", 6), ("y", 9), ("x", 8), ("y", 9), ("x", 10)]
EXPECTED: list[Row] = [("x", 1, 12), ("x", 3, 20), ("y", 4, 18), ("x", 5, 30)]
AT_THE_END: list[Row] = [("x", -1, 30), ("y", -1, 18)]


def events(asked: Callable[[int], None] = lambda _: None, last: Any = ()) -> IterableSource:
    def make(position: Value | None) -> Iterator[Any]:
        for at, (key, value) in enumerate(EVENTS):
            if at >= (position or 0):
                asked(at)
                yield {"id": at, "key": key, "value": value}, at + 1
        yield from last

    return IterableSource(make, batch_rows=1)


class Collected:
    """Rows that a callable sink was called with."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def __call__(self, table: pa.Table) -> None:
        self.rows += [(row["key"], row["id"], row["sum"]) for row in table.to_pylist()]


def written(folder: Path) -> list[Row]:
    lines = [x for path in sorted(folder.glob("part-*")) for x in path.read_text().splitlines()]
    return [(row["key"], row["id"], row["sum"]) for row in map(json.loads, lines)]


def job(source: Any, sinks: Any, store: MemoryStore | None = None, **named: Any) -> Job:
    opened = None if store is None else lambda: store
    named = {"every": "1 row", "detector": SumDetector, **named}
    return Job(source, RULES, sinks, checkpoint=opened, **named)


def out(tmp_path: Path) -> FileSink:
    return FileSink(tmp_path / "out", format="jsonl")


# -- to the end, and on from anywhere --------------------------------------------------------------


def test_a_job_reads_to_the_end_of_its_source_and_is_finished(tmp_path: Path) -> None:
    store = MemoryStore()
    made = job(events(), out(tmp_path), store)
    status = made.run()
    assert written(tmp_path / "out") == EXPECTED + AT_THE_END
    assert (status.state, status.rows, status.batches) == ("finished", 6, 6)
    assert status.written == {"matches": 6}
    assert made.run().state == "finished"
    assert written(tmp_path / "out") == EXPECTED + AT_THE_END


@pytest.mark.parametrize("stop_at", range(1, 7))
def test_a_stopped_job_goes_on_where_it_was(tmp_path: Path, stop_at: int) -> None:
    store = MemoryStore()
    first = job(events(), out(tmp_path), store).run(lambda status: status.rows >= stop_at)
    assert (first.state, first.rows) == ("stopped", stop_at)
    assert written(tmp_path / "out") == [row for row in EXPECTED if row[1] < stop_at]
    second = job(events(), out(tmp_path), store).run()
    assert (second.state, second.rows, second.restored_rows) == ("finished", 6, stop_at)
    assert written(tmp_path / "out") == EXPECTED + AT_THE_END


@pytest.mark.parametrize("fail_at", range(6))
def test_an_error_loses_nothing_and_repeats_nothing(tmp_path: Path, fail_at: int) -> None:
    def fail(at: int) -> None:
        if at == fail_at:
            raise ConnectionError("gone")

    store = MemoryStore()
    with pytest.raises(JobError, match="the job has failed: gone; run it again") as caught:
        job(events(fail), out(tmp_path), store).run()
    assert isinstance(caught.value.__cause__, ConnectionError)
    job(events(), out(tmp_path), store).run()
    assert written(tmp_path / "out") == EXPECTED + AT_THE_END


def test_stop_before_run_reads_nothing(tmp_path: Path) -> None:
    made = job(events(), out(tmp_path), MemoryStore())
    made.stop()
    assert (made.status().state, made.run().rows) == ("new", 0)
    assert made.run().state == "finished"


def test_stop_from_another_thread_ends_a_job_that_waits_for_data(tmp_path: Path) -> None:
    source = FileSource(tmp_path / "in", follow=True, poll_seconds=60)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text('{"id": 0, "key": "x", "value": 12}\n')
    called = threading.Event()
    sinks = [out(tmp_path), CallableSink(lambda _: called.set())]
    made = job(source, sinks, MemoryStore(), guarantee="at-least-once")
    statuses: list[JobStatus] = []
    thread = threading.Thread(target=lambda: statuses.append(made.run()))
    thread.start()
    assert called.wait(60)
    made.stop()
    thread.join(60)
    assert [status.state for status in statuses] == ["stopped"]
    assert written(tmp_path / "out") == [("x", 0, 12)]


def test_a_job_that_runs_cannot_be_run_again(tmp_path: Path) -> None:
    made: Job | None = None

    def again(_: pa.Table) -> None:
        assert made is not None
        made.run()

    made = job(events(), CallableSink(again), MemoryStore(), guarantee="at-least-once")
    with pytest.raises(JobError, match="this job is running already"):
        made.run()


def test_several_streams_are_read_in_turn(tmp_path: Path) -> None:
    made: list[SumDetector] = []

    def start(snapshot: Snapshot | None) -> SumDetector:
        made.append(SumDetector(snapshot))
        return made[-1]

    job({"a": events(), "b": events()}, out(tmp_path), MemoryStore(), detector=start).run()
    assert made[0].streams == ["a", "b"] * 6


# -- guarantees ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", range(8))
def test_exactly_once_holds_from_every_checkpoint_that_can_be_the_last(
    tmp_path: Path, kept: int
) -> None:
    """Crash once `kept` checkpoints are written: the last of them may not be committed yet."""

    class Crashing(MemoryStore):
        def write(self, snapshot: Snapshot) -> None:
            super().write(snapshot)
            if len(self.written) == kept:
                raise OSError("crash behind the write")

    store: MemoryStore = Crashing()
    try:
        job(events(), out(tmp_path), store).run()
    except JobError:
        assert len(store.written) == kept
    store.__class__ = MemoryStore
    job(events(), out(tmp_path), store).run()
    assert written(tmp_path / "out") == EXPECTED + AT_THE_END
    assert not list((tmp_path / "out").glob(".*"))


def test_at_least_once_calls_again_for_what_no_checkpoint_covers() -> None:
    def fail_first(table: pa.Table) -> None:
        sink(table)
        if len(sink.rows) == 2:
            raise ValueError("the other side is down")

    sink, store = Collected(), MemoryStore()
    named = {"guarantee": "at-least-once", "every": "1 row"}
    with pytest.raises(JobError):
        job(events(), CallableSink(fail_first), store, **named).run()
    job(events(), CallableSink(sink), store, **named).run()
    assert set(sink.rows) == {*EXPECTED, *AT_THE_END}
    assert Counter(sink.rows)["x", 3, 20] == 2


def test_at_least_once_without_checkpoints_begins_again() -> None:
    sink = Collected()
    made = job(events(), CallableSink(sink), guarantee="at-least-once")
    made.run()
    made.run()
    assert sink.rows == (EXPECTED + AT_THE_END) * 2


@pytest.mark.parametrize("fail_at", range(1, 5))
def test_at_most_once_never_calls_twice_for_a_row(fail_at: int) -> None:
    def fail(table: pa.Table) -> None:
        sink(table)
        if len(sink.rows) == fail_at:
            raise ValueError("the other side is down")

    sink, store = Collected(), MemoryStore()
    with pytest.raises(JobError):
        job(events(), CallableSink(fail), store, guarantee="at-most-once").run()
    job(events(), CallableSink(sink), store, guarantee="at-most-once").run()
    assert len(sink.rows) == len(set(sink.rows))
    assert set(sink.rows) <= {*EXPECTED, *AT_THE_END}


@pytest.mark.parametrize("kept", range(1, 8))
def test_at_most_once_loses_what_waited_for_a_checkpoint_but_no_state(kept: int) -> None:
    class Crashing(MemoryStore):
        def write(self, snapshot: Snapshot) -> None:
            super().write(snapshot)
            if len(self.written) == kept:
                raise OSError("crash behind the write")

    sink, store = Collected(), Crashing()

    def run() -> JobStatus:
        """One event, and a checkpoint behind it; the seventh time the end of the source."""
        named = {"guarantee": "at-most-once", "every": "100 rows"}
        return job(events(), CallableSink(sink), store, **named).run(lambda status: True)

    for _ in range(kept - 1):
        run()
    with pytest.raises(JobError, match="crash behind the write"):
        run()
    assert sink.rows == [row for row in EXPECTED if row[1] < kept - 1]
    while run().state != "finished":
        pass
    lost = [row for row in EXPECTED if row[1] == kept - 1] if kept < 7 else AT_THE_END
    assert sink.rows == [row for row in EXPECTED + AT_THE_END if row not in lost]


def test_at_most_once_loses_nothing_while_nothing_fails(tmp_path: Path) -> None:
    sink, store = Collected(), MemoryStore()
    sinks, named = [out(tmp_path), CallableSink(sink)], {"guarantee": "at-most-once"}
    job(events(), sinks, store, **named).run(lambda status: status.rows >= 3)
    job(events(), sinks, store, **named).run()
    assert written(tmp_path / "out") == sink.rows == EXPECTED + AT_THE_END


def test_a_source_without_positions_can_be_read_at_most_once() -> None:
    sink = Collected()
    rows = [{"id": i, "key": key, "value": value} for i, (key, value) in enumerate(EVENTS)]
    source = IterableSource(lambda _: rows, positions=False)
    job(source, CallableSink(sink), guarantee="at-most-once").run()
    assert sink.rows == EXPECTED + AT_THE_END


PLAIN = IterableSource(lambda _: [], positions=False)


@pytest.mark.parametrize(
    ("source", "sink", "store", "guarantee", "message"),
    [
        (events(), CallableSink(print), True, "exactly-once", "use a FileSink; or be content with"),
        (events(), FileSink("out"), False, "exactly-once", "add checkpoint=DIRECTORY"),
        (events(), FileSink("out"), False, "at-most-once", "reads all of the source"),
        (PLAIN, FileSink("out"), True, "exactly-once", "has no positions"),
        (PLAIN, FileSink("out"), True, "at-least-once", "or be content with guarantee='at-most-on"),
        (events(), FileSink("out"), True, "twice", "guarantee='twice': there are exactly-once, at"),
    ],
)
def test_a_promise_that_cannot_be_kept_is_refused(
    source: Any, sink: Any, store: bool, guarantee: str, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        job(source, sink, MemoryStore() if store else None, guarantee=guarantee)
    assert message in str(caught.value)


def test_the_guarantee_is_named(tmp_path: Path) -> None:
    assert job(events(), out(tmp_path), MemoryStore()).guarantee == "exactly-once"
    made = job(events(), CallableSink(print), guarantee="at-least-once")
    assert made.guarantee == "at-least-once"


@pytest.mark.parametrize(
    ("sinks", "message"),
    [
        ([], "a job without a sink has no output"),
        ([FileSink("out"), FileSink("out", "errors")], "give each a directory of its own"),
        (FileSink("out", "hits"), "a sink of 'hits': the results have matches, timeouts"),
    ],
)
def test_sinks_that_make_no_sense_are_refused(sinks: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        job(events(), sinks, MemoryStore())


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    store.write({"format": "detector 3"})
    with pytest.raises(JobError, match="the checkpoint is not one of a job"):
        job(events(), out(tmp_path), store).run()


def test_rows_prepared_for_a_sink_that_is_gone_are_not_forgotten(tmp_path: Path) -> None:
    class Crashing(MemoryStore):
        def write(self, snapshot: Snapshot) -> None:
            super().write(snapshot)
            if len(self.written) == 2:
                raise OSError("crash behind the write")

    store: MemoryStore = Crashing()
    with pytest.raises(JobError):
        job(events(), out(tmp_path), store).run()
    assert written(tmp_path / "out") == []
    store.__class__ = MemoryStore
    (tmp_path / "out").rename(tmp_path / "moved")
    with pytest.raises(JobError, match="out: no such directory, but the checkpoint holds rows"):
        job(events(), FileSink(tmp_path / "other"), store).run()
    (tmp_path / "moved").rename(tmp_path / "out")
    job(events(), FileSink(tmp_path / "other", format="jsonl"), store).run()
    rows = [*written(tmp_path / "out"), *written(tmp_path / "other")]
    assert rows == EXPECTED + AT_THE_END
    assert written(tmp_path / "out") != []


# -- checkpoints -----------------------------------------------------------------------------------


def test_checkpoints_come_every_so_many_rows(tmp_path: Path) -> None:
    store = MemoryStore()
    job(events(), out(tmp_path), store, every="100 rows").run()
    assert [json.loads(text)["rows"] for text in store.written] == [6]


def test_a_job_that_waits_makes_one_checkpoint_of_what_came_before(tmp_path: Path) -> None:
    made: Job | None = None

    def make(position: Value | None) -> Iterator[Any]:
        yield {"id": 0, "key": "x", "value": 12}, 1
        while not store.written:
            yield None
        for _ in range(3):
            yield None
        assert made is not None
        made.stop()
        yield None

    store = MemoryStore()
    made = job(IterableSource(make, poll_seconds=0.0), out(tmp_path), store, every=1e-9)
    made.run()
    rows = [json.loads(text)["rows"] for text in store.written]
    assert rows == [1, 1]  # one while it waited, one when it stopped


class Ticking(SumDetector):
    def tick(self) -> FakeResult:
        return FakeResult(matches=pa.table({"key": ["x"], "id": [7], "sum": [0]}))


def test_rows_that_time_alone_has_made_come_with_a_checkpoint_of_their_own(tmp_path: Path) -> None:
    made: Job | None = None

    def make(position: Value | None) -> Iterator[Any]:
        yield {"id": 0, "key": "x", "value": 1}, 1
        while ("x", 7, 0) not in written(tmp_path / "out"):
            yield None
        assert made is not None
        made.stop()
        yield None

    source = IterableSource(make, poll_seconds=0.0)
    made = job(source, out(tmp_path), MemoryStore(), every=1e-9, detector=Ticking)
    assert made.run().detector == {"keys": 1}


@pytest.mark.parametrize(
    ("every", "seconds", "rows"),
    [
        (timedelta(minutes=1), 60.0, None),
        (2.5, 2.5, None),
        ("10 seconds", 10.0, None),
        ("5_000 rows", None, 5000),
        ("1 row", None, 1),
    ],
)
def test_every_is_time_or_rows(every: Any, seconds: float | None, rows: int | None) -> None:
    made = parse_every(every)
    assert (made.seconds, made.rows) == (seconds, rows)


@pytest.mark.parametrize("every", [0, "0 rows", timedelta(0), -1])
def test_every_nothing_is_refused(every: Any) -> None:
    with pytest.raises(DataError, match="some time or some rows after the last"):
        parse_every(every)


# -- being held back, and failing ------------------------------------------------------------------


class Watched(Channel[Any]):
    """Knows whether two channels are full, with a thread at each that waits for room."""

    full: ClassVar[set[int]] = set()
    both_full: ClassVar[threading.Event] = threading.Event()
    guard: ClassVar[threading.Lock] = threading.Lock()

    def get(self) -> Any:
        with self._changed:
            item = super().get()
            with Watched.guard:
                Watched.full.discard(id(self))
                Watched.both_full.clear()
            return item

    def _wait_for_room(self) -> None:
        with Watched.guard:
            Watched.full.add(id(self))
            if len(Watched.full) == 2:
                Watched.both_full.set()
        super()._wait_for_room()


def test_a_slow_sink_holds_back_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 batch in the sink, 2 before it, 1 in the detector, 2 before it, 1 in the source."""
    monkeypatch.setattr("cep.jobs.loop.Channel", Watched)
    asked: list[int] = []
    asked_when_full: list[int] = []

    def make(position: Value | None) -> Iterator[Any]:
        for at in range(100):
            asked.append(at)
            yield {"id": at, "key": "x", "value": 10}, at + 1

    def slow(_: pa.Table) -> None:
        if not asked_when_full:
            assert Watched.both_full.wait(60)
            asked_when_full.append(len(asked))

    source = IterableSource(make, batch_rows=1)
    job(source, CallableSink(slow), guarantee="at-least-once", every="1000 rows").run()
    assert asked_when_full == [7]
    assert len(asked) == 100


class FailingDetector(SumDetector):
    def process_batch(self, table: pa.Table, stream: str | None = None) -> FakeResult:
        raise ValueError("no")


class FailingStore(MemoryStore):
    def write(self, snapshot: Snapshot) -> None:
        raise OSError("disk full")


def endless(position: Value | None) -> Iterator[Any]:
    at = position or 0
    while True:
        yield {"id": at, "key": "x", "value": 10}, at + 1
        at += 1


def test_an_error_in_any_thread_ends_the_job_with_its_cause(tmp_path: Path) -> None:
    source = IterableSource(endless, batch_rows=1)

    def fail(_: pa.Table) -> None:
        raise ValueError("no")

    failing: list[tuple[Job, str]] = [
        (job(source, out(tmp_path), MemoryStore(), detector=FailingDetector), "detector"),
        (job(source, out(tmp_path), FailingStore()), "checkpoints"),
        (job(source, CallableSink(fail), guarantee="at-least-once"), "sinks"),
    ]
    for made, thread in failing:
        with pytest.raises(JobError) as caught:
            made.run()
        assert made.status().state == "failed"
        cause = caught.value.__cause__
        assert cause is not None
        assert cause.__notes__ == [f"in the {thread} thread of the job"]


def test_an_aborted_channel_lets_no_one_wait() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    channel.abort()
    for use in (lambda: channel.put(2), channel.get):
        with pytest.raises(AbortedError):
            use()


# -- what it says ----------------------------------------------------------------------------------


def test_broken_rows_of_the_input_go_to_the_errors(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,key,value\n0,x,12\n1\n")
    errors: list[Any] = []
    sink = CallableSink(lambda t: errors.extend(t.column("reason").to_pylist()), "errors")
    status = job(tmp_path / "a.csv", sink, guarantee="at-least-once").run()
    assert [error.partition(" in ")[0] for error in errors] == ["broken row"]
    assert (status.errors, status.rows) == (1, 2)


def test_a_status_is_a_line_of_text() -> None:
    status = JobStatus("stopped", 1200, 3, 1, {"matches": 7}, 2, 5, 3, 1000, 1500, 20_000)
    assert str(status) == (
        "stopped: 1,200 rows read, went on from checkpoint 3 at 1,000, 7 matches, 1 row with "
        "errors, checkpoint 5 (pause 1.5 ms, written in 20.0 ms)"
    )


def test_explain_draws_the_dataflow(tmp_path: Path) -> None:
    rules = cep.compile("pattern p from s by key match a b define a as true, b as v > a.v")
    sinks = [FileSink("out"), FileSink("late", "late", "csv")]
    made = Job(FileSource("in", follow=True), rules, sinks, checkpoint="cp")
    assert made.explain().replace(str(tmp_path), "") == (
        "source: files in, followed\n"
        "├─ by key (key) ─► pattern p\n"
        "│  └─ forward ─► sink matches: parquet files in out, commits with checkpoints\n"
        "└─ forward ─► sink late: csv files in late, commits with checkpoints\n"
        "guarantee: exactly-once; detector: 1 thread"
    )
