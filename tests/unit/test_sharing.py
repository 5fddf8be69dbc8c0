"""A detector that several threads, processes and the clock use."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

import cep
from cep.results.result import Result

RULES = """
stream s (ts timestamp, key int, x int) time ts lateness 1 hour;
pattern p from s by key match a b within 1 hour define a as x = 1, b as x = 2 select key
"""
SILENT = """
stream beats (machine text, ts timestamp) time ts;
pattern silent from beats by machine match beat -> not other within 1 minute
  define beat, other
"""
WAIT_S = 60
MINUTE_US = 60_000_000
forks = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")


def events(key: int, pairs: int) -> list[dict[str, Any]]:
    return [
        {"ts": f"2025-01-01 00:{i // 60:02}:{i % 60:02}", "key": key, "x": 1 + i % 2}
        for i in range(2 * pairs)
    ]


# -- threads ---------------------------------------------------------------------------------------


def test_threads_that_share_a_detector_find_what_one_finds() -> None:
    detector = cep.Detector(RULES)
    begin = threading.Barrier(6)

    def feed(key: int) -> None:
        begin.wait()
        for event in events(key, 40):
            detector.process(event)

    threads = [threading.Thread(target=feed, args=(key,)) for key in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = [match.key for match in detector.finish()]
    assert sorted(keys) == sorted(list(range(6)) * 40)
    assert detector.status()["events"] == 6 * 80


def test_a_function_of_on_may_ask_the_detector() -> None:
    seen: list[int] = []
    detector = cep.Detector(
        RULES, on={"matches": lambda _: seen.append(detector.status()["events"])}
    )
    detector.process_batch(events(1, 2))
    detector.finish()
    assert seen == [4]


# -- the clock -------------------------------------------------------------------------------------


def test_a_ticker_finds_that_nothing_came() -> None:
    clock = [1_741_003_200_000_000]
    found: SimpleQueue[Result] = SimpleQueue()
    detector = cep.Detector(SILENT, time="processing", clock=lambda: clock[0])
    with detector.tick_every(timedelta(milliseconds=1), found.put):
        detector.process({"machine": "m", "ts": "2025-01-01"})
        clock[0] += MINUTE_US
        (match,) = found.get(timeout=WAIT_S)
    assert match.key == "m"


def test_a_ticker_calls_the_functions_of_on() -> None:
    clock = [1_741_003_200_000_000]
    found: SimpleQueue[int] = SimpleQueue()
    detector = cep.Detector(
        SILENT,
        time="processing",
        clock=lambda: clock[0],
        on={"matches": lambda table: found.put(len(table))},
    )
    detector.tick_every(timedelta(milliseconds=1))
    detector.process_batch([{"machine": name, "ts": "2025-01-01"} for name in "mn"])
    clock[0] += MINUTE_US
    assert found.get(timeout=WAIT_S) == 2
    detector.close()


def test_closing_and_finishing_end_the_ticker() -> None:
    for end in (cep.Detector.close, cep.Detector.finish):
        detector = cep.Detector(SILENT, on={"matches": print})
        ticker = detector.tick_every(timedelta(hours=1))
        assert ticker.is_running
        end(detector)
        assert not ticker.is_running


def test_what_a_ticker_meets_is_raised_when_it_is_stopped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = [1_741_003_200_000_000]
    was_called = threading.Event()

    def fail(_: Result) -> None:
        was_called.set()
        raise ValueError("no mail server")

    detector = cep.Detector(SILENT, time="processing", clock=lambda: clock[0])
    detector.tick_every(timedelta(milliseconds=1), fail)
    detector.process({"machine": "m", "ts": "2025-01-01"})
    clock[0] += MINUTE_US
    assert was_called.wait(WAIT_S)
    with pytest.raises(ValueError, match="no mail server"):
        detector.close()
    assert "the ticker of a detector has ended" in caplog.text
    with pytest.raises(cep.DataError, match="closed"):
        detector.process({"machine": "m", "ts": "2025-01-01"})


def test_a_ticker_whose_results_nobody_takes_is_refused() -> None:
    with pytest.raises(cep.DataError, match="would be lost"):
        cep.Detector(SILENT).tick_every(timedelta(seconds=1))
    with pytest.raises(cep.DataError, match="more than nothing"):
        cep.Detector(SILENT).tick_every(timedelta(0), print)


# -- processes -------------------------------------------------------------------------------------


def in_child(detector: cep.Detector, key: int, out: Any) -> None:
    detector.process_batch(events(key, 3)[1:])
    out.put((key, [match.key for match in detector.finish()]))


def six_forked(detector: cep.Detector) -> list[tuple[int, list[int]]]:
    context: Any = multiprocessing.get_context("fork")
    out = context.Queue()
    workers = [context.Process(target=in_child, args=(detector, key, out)) for key in range(6)]
    for worker in workers:
        worker.start()
    found = [out.get(timeout=WAIT_S) for _ in workers]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    return sorted(found)


@forks
def test_six_workers_forked_from_a_detector_go_on_where_it_was() -> None:
    detector = cep.Detector(RULES)
    detector.process_batch([event for key in range(6) for event in events(key, 1)[:1]])
    found = six_forked(detector)
    assert [keys.count(key) for key, keys in found] == [3] * 6
    assert len(detector.finish()) == 0  # the parent has its own state


SPAWNING = f"""
import multiprocessing

import cep

RULES = {RULES!r}


def work(key, out):
    events = [{{"ts": f"2025-01-01 00:00:0{{x}}", "key": key, "x": x}} for x in (1, 2)]
    detector = cep.Detector(RULES)
    detector.process_batch(events)
    out.put((key, [match.key for match in detector.finish()]))


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    workers = [context.Process(target=work, args=(key, out)) for key in range(6)]
    for worker in workers:
        worker.start()
    print(sorted(out.get(timeout={WAIT_S}) for _ in workers))
    for worker in workers:
        worker.join()
"""


def test_six_spawned_workers_make_their_own(tmp_path: Path) -> None:
    """In a program of its own: what is spawned imports the main module."""
    program = tmp_path / "spawning.py"
    program.write_text(SPAWNING)
    run = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    assert run.stdout == f"{[(key, [key]) for key in range(6)]}\n"


@forks
def test_a_fork_waits_for_the_call_at_work() -> None:
    """The child has whole state although another thread was in the midst of a batch."""
    entered, go_on = threading.Event(), threading.Event()

    def pause(_: Any) -> None:
        entered.set()
        assert go_on.wait(WAIT_S)

    detector = cep.Detector(RULES.replace(" lateness 1 hour", ""), on={"matches": pause})
    busy = threading.Thread(target=detector.process_batch, args=(events(1, 2),))
    busy.start()
    assert entered.wait(WAIT_S)
    releaser = threading.Timer(0.05, go_on.set)
    releaser.start()
    child = os.fork()
    if child == 0:
        os._exit(0 if detector.status()["events"] == 4 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    busy.join()
    releaser.join()


@forks
def test_threads_do_not_survive_a_fork() -> None:
    detector = cep.Detector(RULES, workers=2)
    child = os.fork()
    if child == 0:
        try:
            detector.process(events(1, 1)[0])
        except cep.StateError as error:
            os._exit(0 if "did not survive a fork" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    detector.close()


def test_a_detector_is_not_pickled() -> None:
    with pytest.raises(cep.StateError, match="not pickled"):
        pickle.dumps(cep.Detector(RULES))
