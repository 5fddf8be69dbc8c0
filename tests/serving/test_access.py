"""Who is let in, how often, and where a service listens."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from cep.cli import main
from cep.serving.admission import CLIENTS_KNOWN, Rate
from tests.serving.process import JSON, NDJSON, RULES, TEXT, payment, served

REQUESTS = [
    ("POST", "/events", JSON),
    ("POST", "/events/batch", NDJSON),
    ("GET", "/rules", {}),
    ("PUT", "/rules", TEXT),
    ("GET", "/status", {}),
    ("GET", "/metrics", {}),
    ("GET", "/matches", {}),
]


def test_without_the_token_nobody_gets_in(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a secret\n")
    options = ("--token-file", str(token), "--host", "0.0.0.0")
    with served(tmp_path, *options) as server, server.client() as client:
        for method, path, headers in REQUESTS:
            for given in ({}, {"Authorization": "Bearer b"}, {"Authorization": "Basic a secret"}):
                answer = client.request(method, path, headers=headers | given)
                assert answer.status_code == 401, path
                assert answer.headers["www-authenticate"] == "Bearer"
                assert "Authorization: Bearer TOKEN" in answer.json()["detail"]
        assert client.get("/health").status_code == 200
        right = {"Authorization": "Bearer a secret"}
        assert client.post("/events", json=payment(0), headers=right).status_code == 200
        assert "a secret" not in "".join(server.log)


def test_the_token_may_be_in_the_environment_and_too_many_requests_wait(tmp_path: Path) -> None:
    environment = {"CEP_TOKEN": "another"}
    with (
        served(tmp_path, "--rate", "0.001", environment=environment) as server,
        server.client(Authorization="Bearer another") as client,
    ):
        answers = [client.get("/rules") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert int(answers[1].headers["retry-after"]) > 900
        assert "too many requests" in answers[1].json()["detail"]
        assert client.get("/health").status_code == 200
        stranger = client.get("/rules", headers={"Authorization": "Bearer x"})
        assert stranger.status_code == 401


def test_a_name_that_somebody_else_gave_this_machine_is_refused(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        assert client.get("/rules", headers={"Host": "rebound.example"}).status_code == 400
        assert client.get("/rules", headers={"Host": "localhost:80"}).status_code == 200


def cep(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["cep", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_the_world_is_not_let_in_by_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CEP_TOKEN", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    rules = tmp_path / "rules.cep"
    rules.write_text(RULES)
    assert cep(monkeypatch, "serve", str(rules), "--host", "0.0.0.0") == 2
    assert "give --token-file, or say --no-auth" in capsys.readouterr().err


def test_an_empty_token_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.cep").write_text(RULES)
    (tmp_path / "token").write_text("\n")
    arguments = ["serve", str(tmp_path / "rules.cep"), "--token-file", str(tmp_path / "token")]
    assert cep(monkeypatch, *arguments) == 1
    assert "an empty token would let everybody in" in capsys.readouterr().err


def test_rules_with_mistakes_are_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.cep").write_text("pattern p match a define b as true")
    assert cep(monkeypatch, "serve", str(tmp_path / "rules.cep")) == 1
    assert "rules.cep:1" in capsys.readouterr().err


def test_a_bucket_is_filled_at_a_steady_rate() -> None:
    now = 0.0
    rate = Rate(2.0, clock=lambda: now)
    assert [rate.wait_seconds("a") for _ in range(3)] == [0, 0, 0.5]
    assert rate.wait_seconds("b") == 0
    now = 0.5
    assert [rate.wait_seconds("a") for _ in range(2)] == [0, 0.5]
    now = 60.0
    assert [rate.wait_seconds("a") for _ in range(3)] == [0, 0, 0.5]


def test_a_flood_of_addresses_does_not_fill_memory() -> None:
    rate = Rate(1.0, clock=lambda: 0.0)
    for client in range(CLIENTS_KNOWN + 100):
        rate.wait_seconds(str(client))
    assert len(rate._buckets) == CLIENTS_KNOWN


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    """A client that promises a body and sends but a part of it."""
    with served(tmp_path, "--body-timeout", "50 milliseconds") as server:
        host, port = server.url.removeprefix("http://").split(":")
        request = b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n"
        request += b"Content-Type: application/json\r\n\r\n{"
        import socket

        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(request)
            assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_what_the_pages_say_is_there(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        page = httpx.get(f"{server.url}/openapi.json").json()
        assert sorted(page["paths"]) == [
            "/events",
            "/events/batch",
            "/health",
            "/matches",
            "/metrics",
            "/rules",
            "/status",
        ]
        assert server.stop() == 0
