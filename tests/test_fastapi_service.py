"""The example of a FastAPI app: payments are judged, and it goes on where it has ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.serving.process import ROOT, Running

FOLDER = ROOT / "examples" / "fastapi_service"


@contextmanager
def started(state: Path) -> Iterator[Running]:
    """As README.md says, on a free port."""
    app = ("--app-dir", str(FOLDER), "app:app", "--port", "0")
    running = Running("uvicorn", *app, environment={"STATE": str(state)})
    try:
        yield running
        assert running.stop() == -signal.SIGTERM  # by which it ends, once all is done
    finally:
        running.kill()


def payment(second: int, amount: float, card: int = 1) -> dict[str, object]:
    return {"ts": f"2025-03-03T12:00:{second:02}Z", "card": card, "amount": amount, "country": "IS"}


def judged(client: httpx.Client, *payments: dict[str, object]) -> list[bool]:
    answers = [client.post("/payments", json=each) for each in payments]
    return [answer.json()["accepted"] for answer in answers]


def test_payments_are_judged_also_by_what_came_before_a_restart(tmp_path: Path) -> None:
    with started(tmp_path) as running, running.client() as client:
        assert (
            judged(client, payment(1, 1.0), payment(2, 1.5), payment(3, 1.5, card=2)) == [True] * 3
        )
        late = client.post("/payments", json=payment(0, 900.0)).json()
        assert late == {"accepted": True, "alerts": [], "late": True}
        assert client.post("/payments", json=payment(4, -1.0)).status_code == 422
        assert client.post("/payments", json={"card": 1}).status_code == 422
    with started(tmp_path) as running, running.client() as client:
        assert judged(client, payment(5, 900.0, card=2)) == [True]
        refused = client.post("/payments", json=payment(6, 900.0)).json()
        (alert,) = refused["alerts"]
        assert (refused["accepted"], alert["pattern"]) == (False, "card_testing")
        assert alert["values"] == {"probes": 2, "amount": 900.0}
        assert judged(client, payment(7, 900.0)) == [True]
        logins = [
            {"ts": f"2025-03-03T12:00:0{n}", "address": "192.0.2.1", "accepted": n == 3}
            for n in range(4)
        ]
        found = [client.post("/logins/events", json=login).json()["matches"] for login in logins]
        assert [[match["values"] for match in each] for each in found] == [
            [],
            [],
            [],
            [{"attempts": 3}],
        ]
        assert {"/payments", "/logins/events"} <= client.get("/openapi.json").json()["paths"].keys()
