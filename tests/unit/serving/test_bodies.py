"""Bodies that are taken in parts: others come between, and what is taken is told."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cep.engine.algebra.errors import DataError
from cep.serving import Service, Settings
from tests.serving.process import RULES, payment
from tests.unit.serving.test_core import core_of, crash


def lines(*events: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


@pytest.fixture
def _parts_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cep.serving.bodies.PART_ROWS", 2)


PARTS_OF_TWO = pytest.mark.usefixtures("_parts_of_two")


@PARTS_OF_TWO
def test_a_crash_between_two_parts_loses_and_doubles_nothing(tmp_path: Path) -> None:
    events = [payment(n, amount=60.0 + n) for n in range(6)]
    whole, _ = core_of()
    expected = json.loads(whole.take_lines(lines(*events), None))
    core, durability = core_of(tmp_path)
    core.take_part(core.read(lines(*events), None))
    crash(core, durability)
    core, durability = core_of(tmp_path)
    answer = json.loads(core.take_lines(lines(*events), None))
    assert answer["matches"] == expected["matches"]
    assert (len(answer["matches"]), answer["events"], answer["duplicates"]) == (3, 4, 2)
    again = json.loads(core.take_lines(lines(*events), None))
    assert again["matches"] == expected["matches"]
    assert (again["events"], again["duplicates"], again["answer_kept"]) == (0, 6, True)
    crash(core, durability)


@PARTS_OF_TWO
def test_an_id_that_comes_twice_in_a_body_is_taken_and_answered_once() -> None:
    core, _ = core_of()
    events = [payment(n, amount=60.0 + n) for n in (0, 1, 1, 0, 1)]
    answer = json.loads(core.take_lines(lines(*events), None))
    assert (answer["events"], answer["duplicates"], len(answer["matches"])) == (2, 3, 1)


@PARTS_OF_TWO
def test_where_a_part_is_refused_it_is_told_what_was_taken() -> None:
    late = RULES.replace("time ts;", "time ts lateness 1 hour;")
    core, _ = core_of(settings=Settings(ahead=None, held_max=3), rules=late)
    events = [payment(n) for n in range(6)]
    with pytest.raises(DataError, match="the events up to line 2 were taken, those behind not"):
        core.take_lines(lines(*events), None)
    assert core.detector.status()["events"] == 2


@PARTS_OF_TWO
def test_lines_that_are_no_events_are_told_whatever_part_they_are_in() -> None:
    core, _ = core_of()
    events = [payment(n) | ({"id": None} if n in (1, 4) else {}) for n in range(6)]
    answer = json.loads(core.take_lines(b"{}\n" + lines(*events), None))
    assert [line["line"] for line in answer["broken"]] == [1, 3, 6]
    assert (answer["events"], answer["broken_count"]) == (4, 3)


@PARTS_OF_TWO
def test_single_events_are_taken_between_the_parts_of_a_body() -> None:
    parts = 20
    body = lines(*(payment(n) for n in range(2 * parts)))

    async def places() -> list[int]:
        """After which step each of the single events was taken."""
        found: list[int] = []
        async with Service(RULES, Settings(id_field="id", ahead=None)).running() as service:
            taking = asyncio.create_task(service.take_lines(body, None))
            while not taking.done():
                event = payment(50_000) | {"id": f"single {len(found)}"}
                await service.take_event(lines(event), None)
                found.append(service.core.position)
                await asyncio.sleep(0)
            assert json.loads(await taking)["events"] == 2 * parts
        return found

    found = asyncio.run(places())
    steps = [after - before for before, after in pairwise(found)]
    assert max(steps) == 2  # a part and the event itself: never does it wait for two
    assert steps.count(2) >= parts - 1


@PARTS_OF_TWO
def test_rules_change_behind_a_body_that_was_read_by_those_before() -> None:
    body = lines(*(payment(n) for n in range(40)))
    more = RULES.replace("amount float)", "amount float, country text)")

    async def positions() -> tuple[int, int]:
        async with Service(RULES).running() as service:
            taking = asyncio.create_task(service.take_lines(body, None))
            await asyncio.sleep(0)  # it has its turn
            await service.change_rules(more)
            return int(taking.done()), json.loads(await taking)["events"]

    assert asyncio.run(positions()) == (1, 40)
