"""Server-sent events: who listens gets matches as they come, or is told how many it has missed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.serving.process import NDJSON, RULES, Server, payment, served

LARGE = RULES + "pattern large from payments match t define t as amount > 1000;"
Event = tuple[str, str, dict[str, object]]  # id, kind, data


def read(lines: Iterator[str]) -> Iterator[Event]:
    """The events, without the comments that keep the connection alive."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields.get("id", ""), fields["event"], json.loads(fields["data"])
            fields = {}


@contextmanager
def listening(client: httpx.Client, **headers: str) -> Iterator[Iterator[Event]]:
    with client.stream("GET", "/matches", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield read(answer.iter_lines())


def test_matches_come_as_they_are_found_and_again_to_who_was_away(tmp_path: Path) -> None:
    with served(tmp_path, rules=LARGE) as server, server.client() as client:
        with server.client() as other, listening(other) as events:
            events_sent = [payment(number, amount=2_000.0 + number) for number in range(3)]
            answers = [client.post("/events", json=event).json() for event in events_sent]
            told = [match for answer in answers for match in answer["matches"]]
            found = [next(events) for _ in told]
        assert [event[0] for event in found] == [str(n + 1) for n in range(len(told))]
        assert {event[1] for event in found} == {"match"}
        assert [event[2] for event in found] == told
        with listening(client, **{"Last-Event-ID": "3"}) as events:
            assert [next(events) for _ in found[3:]] == found[3:]
        with listening(client, **{"Last-Event-ID": "0"}) as events:
            assert [next(events) for _ in found] == found
        assert client.get("/matches", headers={"Last-Event-ID": "x"}).status_code == 422


def test_a_listener_that_does_not_read_is_told_how_many_it_has_missed(tmp_path: Path) -> None:
    size = 40_000
    with served(tmp_path, "--messages-kept", "10", rules=LARGE) as server:
        connection = slow_listener(server)
        with server.client() as client:
            lines = (json.dumps(payment(0, card=n, amount=2_000.0)).encode() for n in range(size))
            answer = client.post("/events/batch", content=b"\n".join(lines), headers=NDJSON)
            assert answer.json()["counts"]["matches"] == size
        with connection, connection.makefile("r", encoding="utf-8") as file:
            last, missed, came = 0, 0, 0
            for id_, kind, data in read(line.rstrip("\n") for line in file):
                if kind == "missed":
                    missed += int(str(data["missed"]))
                else:
                    came += 1
                    assert int(id_) == came + missed
                    last = int(id_)
                if last == size:
                    break
        assert (came + missed, missed > 0) == (size, True)


def slow_listener(server: Server) -> socket.socket:
    """A connection on which all is asked and nothing read."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(b"GET /matches HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert connection.recv(9) == b"HTTP/1.1 "  # it listens now
    return connection


@pytest.mark.parametrize("checkpoints", [True, False])
def test_listeners_are_let_go_when_the_service_stops(tmp_path: Path, checkpoints: bool) -> None:
    """What they have not seen by then is there after a restart, where there is a journal."""
    options = ("--checkpoints", str(tmp_path / "state")) if checkpoints else ()
    with (
        served(tmp_path, *options, rules=LARGE) as server,
        server.client() as other,
        server.client() as client,
        listening(client) as events,
    ):
        other.post("/events", json=payment(0, amount=2_000.0))
        first = next(events)
        assert server.stop() == 0
        assert list(events) == []
    if checkpoints:
        with served(tmp_path, *options, rules=LARGE) as server, server.client() as client:
            client.post("/events", json=payment(1, card=2, amount=2_001.0))
            with listening(client, **{"Last-Event-ID": "0"}) as events:
                assert next(events) == first
                assert next(events)[0] == "2"


def test_metrics_are_those_of_the_detector_and_of_the_service(tmp_path: Path) -> None:
    with served(tmp_path, "--id-field", "id") as server, server.client() as client:
        for _ in range(2):
            client.post("/events", json=payment(0))
        answer = client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        told = answer.text.splitlines()
        assert "cep_events_total 1.0" in told
        assert "cep_service_duplicates_total 1.0" in told
        assert 'cep_rule_matches_total{rule="more"} 0.0' in told
