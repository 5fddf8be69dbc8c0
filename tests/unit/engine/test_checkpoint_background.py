"""Checkpoints written in the background: one at a time, no error lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cep.engine.checkpoint.background import CheckpointWriter, WriteMetrics
from cep.engine.checkpoint.errors import CheckpointError
from cep.engine.checkpoint.store import CheckpointInfo, CheckpointStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CheckpointStore]:
    with CheckpointStore(tmp_path) as store:
        yield store


class Gate:
    """What is done with a durable checkpoint: wait until the test lets it pass."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, _: CheckpointInfo) -> None:
        self.reached.set()
        assert self.open.wait(60)


def test_snapshots_become_checkpoints_in_the_order_in_which_they_were_given(
    store: CheckpointStore,
) -> None:
    durable: list[int | None] = []
    with CheckpointWriter(store) as writer:
        assert writer.result() is None
        for value in (1, 2, 3):
            writer.submit({"value": value}, lambda info: durable.append(info.number))
        info = writer.result()
    assert info is not None
    assert (info.number, durable) == (3, [1, 2, 3])
    assert [store.read(number).snapshot["value"] for number in (1, 2, 3)] == [1, 2, 3]


def test_the_caller_goes_on_while_a_checkpoint_is_written(store: CheckpointStore) -> None:
    gate = Gate()
    with CheckpointWriter(store) as writer:
        writer.submit({"value": 1}, gate)
        assert gate.reached.wait(60)
        assert writer.is_writing()
        assert store.numbers() == [1]  # durable when the callback is called
        gate.open.set()
        assert writer.result() is not None
        assert not writer.is_writing()


def test_a_second_snapshot_waits_for_the_first(store: CheckpointStore) -> None:
    gate = Gate()
    waited: list[float] = []
    with CheckpointWriter(store) as writer:
        assert writer.submit({"value": 1}, gate) >= 0.0
        assert gate.reached.wait(60)
        second = threading.Thread(target=lambda: waited.append(writer.submit({"value": 2})))
        second.start()
        assert store.numbers() == [1]
        assert waited == []
        gate.open.set()
        second.join()
        assert len(waited) == 1
        writer.result()
        assert writer.metrics.waited_seconds == waited[0]
    assert store.numbers() == [1, 2]


def test_an_error_is_raised_once_by_the_next_call_and_nothing_is_written_then(
    store: CheckpointStore,
) -> None:
    durable: list[CheckpointInfo] = []
    with CheckpointWriter(store) as writer:
        writer.submit({"value": (1, 2)}, durable.append)
        with pytest.raises(CheckpointError, match="value: a tuple cannot be written"):
            writer.submit({"value": 2}, durable.append)
        assert (store.numbers(), durable) == ([], [])
        writer.submit({"value": 3}, durable.append)
        assert writer.result() == durable[0]
    assert store.numbers() == [1]


def test_an_error_of_what_follows_a_checkpoint_is_raised_too(store: CheckpointStore) -> None:
    def fail(_: CheckpointInfo) -> None:
        raise OSError("the sink is gone")

    with CheckpointWriter(store) as writer:
        writer.submit({"value": 1}, fail)
        with pytest.raises(OSError, match="the sink is gone"):
            writer.result()
        assert writer.result() is None  # the last one that went well
        assert writer.metrics.writes == 1


def test_close_waits_and_raises_the_last_error(store: CheckpointStore) -> None:
    writer = CheckpointWriter(store)
    writer.submit({"value": object()})
    with pytest.raises(CheckpointError, match="a object cannot be written"):
        writer.close()
    writer.close()
    with pytest.raises(CheckpointError, match="this checkpoint writer is closed"):
        writer.submit({"value": 1})


def test_an_error_under_way_is_not_hidden_by_one_of_the_last_checkpoint(
    store: CheckpointStore,
) -> None:
    def job() -> None:
        with CheckpointWriter(store) as writer:
            writer.submit({"value": object()})
            raise ValueError("bad event")

    with pytest.raises(ValueError, match="bad event") as caught:
        job()
    assert "the last checkpoint failed: snapshot: value: a object" in caught.value.__notes__[0]


def test_metrics_say_what_the_last_write_cost(store: CheckpointStore) -> None:
    with CheckpointWriter(store) as writer:
        assert writer.metrics == WriteMetrics()
        writer.submit({"value": 1})
        info = writer.result()
        assert info is not None
        assert writer.metrics.size_bytes == info.size_bytes
        assert (writer.metrics.writes, writer.metrics.seconds > 0) == (1, True)
