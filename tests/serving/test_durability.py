"""Nothing is lost or doubled when the service is stopped or killed under load and clients retry."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Thread
from typing import Any

import httpx
import numpy as np
import pytest

import cep
from tests.serving.process import JSON, NDJSON, RULES, Server, payment

LATE = RULES.replace("time ts;", "time ts lateness 10 minutes;")
OPTIONS = ("--id-field", "id", "--checkpoint-every", "100 milliseconds", "--ahead", "any")
CLIENTS = 3
EVENTS = 1_500


@dataclass
class Restarting:
    """A service that is ended again and again, and started again at the same place."""

    rules: Path
    options: tuple[str, ...]
    ends: list[tuple[int, int]]  # (after how many answers, by which signal), soonest first
    answers: int = 0
    generation: int = 0
    codes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server = Server(self.rules, *self.options)
        self._changed = Condition()

    def answered(self) -> None:
        """Called by clients; whoever comes at the right time ends the service."""
        with self._changed:
            self.answers += 1
            if not self.ends or self.answers < self.ends[0][0]:
                return
            number = self.ends.pop(0)[1]
            self.codes.append(self.server.stop(number))
            self.server = Server(self.rules, *self.options)
            self.generation += 1
            self._changed.notify_all()

    def next_url(self, failed: int) -> tuple[int, str]:
        """(generation, url) of one that is younger than the one that failed."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.generation > failed, timeout=120)
            return self.generation, self.server.url


def send(service: Restarting, requests: Sequence[tuple[bytes, dict[str, str]]], found: Any) -> None:
    """Each request until it is answered."""
    generation, url = service.next_url(-1)
    with httpx.Client(timeout=60) as client:
        for body, headers in requests:
            while True:
                try:
                    answer = client.post(f"{url}/events", content=body, headers=headers)
                except httpx.TransportError:
                    generation, url = service.next_url(generation)
                    continue
                break
            assert answer.status_code == 200, answer.text
            found.append(answer.json())
            service.answered()


def requests_of(events: Sequence[dict[str, object]], seed: int) -> list[tuple[bytes, Any]]:
    """One by one, here and there several at once."""
    chance = np.random.default_rng(seed)
    made: list[tuple[bytes, Any]] = []
    begin = 0
    while begin < len(events):
        size = int(chance.choice([1, 1, 1, 1, 1, 1, 7]))
        some = [json.dumps(event).encode() for event in events[begin : begin + size]]
        made.append((b"\n".join(some), JSON if size == 1 else NDJSON))
        begin += size
    return made


def events_of(client: int) -> list[dict[str, object]]:
    """Of its own cards, so that it does not matter who comes first."""
    chance = np.random.default_rng(client)
    cards, amounts = chance.integers(10, size=EVENTS), chance.integers(1, 100, size=EVENTS)
    return [
        payment(n, card=client * 10 + int(cards[n]), amount=float(amounts[n]))
        | {"id": f"{client}-{n}"}
        for n in range(EVENTS)
    ]


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped in good order"]
)
def test_all_matches_are_found_once_however_often_the_service_ends(
    tmp_path: Path, number: signal.Signals
) -> None:
    rules = tmp_path / "rules.cep"
    rules.write_text(LATE)
    chance = np.random.default_rng(int(number))
    ends = sorted(int(n) for n in chance.integers(100, 1_500, size=4))
    options = (*OPTIONS, "--checkpoints", str(tmp_path / "state"))
    service = Restarting(rules, options, [(after, number) for after in ends])
    found: list[dict[str, Any]] = []
    try:
        events = [events_of(client) for client in range(CLIENTS)]
        each = [requests_of(mine, seed) for seed, mine in enumerate(events)]
        clients = [Thread(target=send, args=(service, mine, found)) for mine in each]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        last = payment(40_000) | {"id": "last"}
        url = service.next_url(-1)[1]
        found.append(httpx.post(f"{url}/events", json=last, timeout=60).json())
        status = httpx.get(f"{url}/status", timeout=60).json()
    finally:
        service.server.kill()
    assert service.codes == [0 if number == signal.SIGTERM else -number] * len(ends)
    detector = cep.Detector(LATE)
    whole = sorted((event for mine in events for event in mine), key=lambda e: str(e["ts"]))
    expected = detector.process_batch(whole), detector.process(last)
    ids = [match.id for result in expected for match in result]
    answered = [match["id"] for answer in found for match in answer["matches"]]
    assert sorted(set(answered)) == sorted(ids)
    assert len(ids) > 500
    assert (status["events"], status["matches"]) == (len(whole) + 1, len(ids))
    assert status["late"] == 0
    anew = [each for each in found if not each.get("duplicate") and not each.get("duplicates")]
    told = [match["id"] for answer in anew for match in answer["matches"]]
    assert len(told) == len(set(told))
