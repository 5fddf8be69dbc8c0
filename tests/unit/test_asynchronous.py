"""A detector in an event loop: the same matches, the loop goes on, producers are held back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

import cep

RULES = """
stream s (ts timestamp, key int, x int) time ts;
pattern p from s by key match a b within 1 hour define a as x = 1, b as x = 2 select key
"""
WAIT_S = 60


def events(count: int) -> list[dict[str, Any]]:
    return [
        {"ts": f"2025-01-01 00:{i // 60:02}:{i % 60:02}", "key": 7, "x": 1 + i % 2}
        for i in range(count)
    ]


async def one_by_one(rows: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for row in rows:
        yield row
        await asyncio.sleep(0)


def test_awaited_calls_give_what_plain_ones_give() -> None:
    async def main() -> list[int]:
        with cep.Detector(RULES) as detector:
            found = [len(await detector.aprocess(event)) for event in events(4)]
            return [*found, len(await detector.aprocess_batch(events(8)[4:]))]

    assert asyncio.run(main()) == [0, 1, 0, 1, 2]


def test_calls_that_wait_together_are_worked_on_in_their_order() -> None:
    async def main() -> list[int]:
        with cep.Detector(RULES) as detector:
            return [len(r) for r in await asyncio.gather(*map(detector.aprocess, events(6)))]

    assert asyncio.run(main()) == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("batch_rows", [1, 3, 1_000])
def test_matches_of_an_asynchronous_iterator(batch_rows: int) -> None:
    async def main() -> list[int]:
        detector = cep.Detector(RULES)
        found = detector.amatches(one_by_one(events(20)), batch_rows=batch_rows)
        return [match.key async for match in found]

    assert asyncio.run(main()) == [7] * 10


def test_the_end_of_the_events_finishes_the_detector_unless_it_should_not() -> None:
    rules = (
        "stream s (ts timestamp, x int) time ts; pattern p from s match a -> not b within 1 hour"
    )
    rules += " define a, b as x = 2"

    async def main(finish: bool) -> int:
        detector = cep.Detector(rules)
        results = detector.aresults(one_by_one(events(1)), finish=finish)
        return sum([len(result) async for result in results])

    assert asyncio.run(main(finish=True)) == 1
    assert asyncio.run(main(finish=False)) == 0


def test_the_loop_goes_on_while_events_are_worked_on() -> None:
    """The work waits for something that only the loop can do."""
    at_work, go_on = threading.Event(), threading.Event()

    def work(_: Any) -> None:
        at_work.set()
        assert go_on.wait(WAIT_S)

    async def main() -> int:
        with cep.Detector(RULES, on={"matches": work}) as detector:
            waiting = asyncio.create_task(detector.aprocess_batch(events(2)))
            while not at_work.is_set():
                await asyncio.sleep(0)
            go_on.set()
            return len(await waiting)

    assert asyncio.run(main()) == 1


def test_a_producer_that_is_too_fast_is_held_back() -> None:
    """While a batch is worked on, so many events wait and no more are asked for."""
    asked = [0]
    most_while_busy = [0]
    at_work, go_on = threading.Event(), threading.Event()

    def work(_: Any) -> None:
        at_work.set()
        assert go_on.wait(WAIT_S)

    async def producer() -> AsyncIterator[dict[str, Any]]:
        for event in events(100):
            asked[0] += 1
            yield event

    async def watch() -> None:
        while not at_work.is_set():
            await asyncio.sleep(0)
        for _ in range(1_000):  # turns of the loop, in which the producer could go on
            await asyncio.sleep(0)
        most_while_busy[0] = asked[0]
        go_on.set()

    async def main() -> int:
        detector = cep.Detector(RULES, on={"matches": work})
        watching = asyncio.create_task(watch())
        found = detector.amatches(producer(), batch_rows=4)
        count = len([match async for match in found])
        await watching
        return count

    assert asyncio.run(main()) == 50
    # A batch of at most 4 at work, 4 that wait in the queue, and 1 for which there is no room.
    assert most_while_busy[0] <= 9


def test_an_error_of_the_producer_comes_behind_what_came_before_it() -> None:
    async def failing() -> AsyncIterator[dict[str, Any]]:
        for event in events(4):
            yield event
        raise OSError("the connection broke")

    async def main() -> list[Any]:
        found: list[Any] = []
        detector = cep.Detector(RULES)
        try:
            async for match in detector.amatches(failing()):
                found.append(match.key)
        except OSError as error:
            found.append(str(error))
        return [*found, detector.status()["events"]]

    assert asyncio.run(main()) == [7, 7, "the connection broke", 4]


def test_an_event_that_cannot_be_taken_ends_it_with_its_error() -> None:
    async def main() -> None:
        wrong: Any = one_by_one([{"ts": "2025-01-01"}, 5])  # type: ignore[list-item]
        async for _ in cep.Detector(RULES).amatches(wrong):
            pass

    with pytest.raises(cep.DataError, match="not a dict"):
        asyncio.run(main())


def test_who_stops_early_stops_the_producer() -> None:
    closed: list[bool] = []

    async def producer() -> AsyncIterator[dict[str, Any]]:
        try:
            for event in events(100):
                yield event
                await asyncio.sleep(0)
        finally:
            closed.append(True)

    async def main() -> None:
        detector, made = cep.Detector(RULES), producer()
        found = detector.amatches(made, batch_rows=2)
        async for _ in found:
            break
        await found.aclose()
        await made.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    assert closed == [True]


def test_what_cannot_be_meant() -> None:
    async def main() -> None:
        async for _ in cep.Detector(RULES).aresults(one_by_one([]), batch_rows=0):
            pass

    with pytest.raises(cep.DataError, match="batch_rows=0: it is at least 1"):
        asyncio.run(main())
