"""Events over HTTP: what they complete is in the reply, and what is no event is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serving.process import JSON, NDJSON, payment, served


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with served(tmp_path_factory.mktemp("events")) as server, server.client() as client:
        yield client


def lines(*events: object) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


def found(answer: Any) -> list[tuple[Any, float, float]]:
    return [(m["key"], m["values"]["first"], m["values"]["second"]) for m in answer["matches"]]


# -- one by one ------------------------------------------------------------------------------------


def test_the_event_that_completes_a_match_is_answered_with_it(client: httpx.Client) -> None:
    first = client.post("/events", json=payment(0, card=10, amount=60.0))
    second = client.post("/events", json=payment(1, card=10, amount=70.0))
    assert (first.status_code, first.json()["matches"]) == (200, [])
    answer = second.json()
    assert found(answer) == [(10, 60.0, 70.0)]
    (match,) = answer["matches"]
    assert (match["pattern"], match["start"], match["end"]) == (
        "more",
        "2025-03-03T00:00:00Z",
        "2025-03-03T00:00:01Z",
    )
    assert answer["counts"] == {"matches": 1, "timeouts": 0, "rows": 0, "late": 0, "errors": 0}
    assert answer["duplicate"] is False


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"ts": "soon"}, "time 'ts' does not parse as ISO 8601: 'soon'"),
        ({"ts": [1]}, "ts is not a timestamp: '[1]'"),
        ({"ts": "2025-03-03", "card": "x"}, "card is not an int: 'x'"),
        ({"ts": "2025-03-03", "card": 10**30}, "card is not an int: '1000"),
        ({"ts": "2025-03-03", "amount": [1, "a"]}, "amount is not a float: \"[1, 'a']\""),
        ({"ts": "2025-03-03", "id": {"a": {"b": 1}}}, "id is not text"),
        ({"ts": "9999-12-31"}, "the event's time is too far ahead of the clock"),
        ({"ts": 10**18}, "is outside the years 1 to 9999"),
    ],
)
def test_values_that_do_not_fit_are_told_and_counted(
    client: httpx.Client, event: dict[str, object], reason: str
) -> None:
    before = client.get("/status").json()["errors"]
    answer = client.post("/events", json=event).json()
    assert [reason in error["reason"] for error in answer["errors"]] == [True]
    assert client.get("/status").json()["errors"] == before + 1


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 400, "not JSON: EOF while parsing a value"),
        (b'{"ts":', 400, "not JSON: EOF while parsing a value"),
        (b"[1]", 400, "an event is a JSON object, this is a list"),
        (b"NaN", 400, "not JSON"),
        (b'{"id":"\\ud800"}', 400, "not JSON"),
        (b'{"id":"\xff"}', 400, "not JSON"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, "recursion limit"),
        (b"{}", 422, "no field that is known; the stream has id, ts, card, amount"),
        (b'{"colour":"red"}', 422, "no field that is known"),
        (b'{"card":1}', 422, "no column 'ts', the event time"),
        (b'{"ts":true}', 422, "event time must be a timestamp"),
        (b'{"id":"' + b"x" * 70_000 + b'"}', 413, "longer than 65,536 bytes"),
    ],
)
def test_what_is_no_event_is_refused_and_not_taken(
    client: httpx.Client, body: bytes, status: int, detail: str
) -> None:
    before = client.get("/status").json()["service"]["entries"]
    answer = client.post("/events", content=body, headers=JSON)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert client.get("/status").json()["service"]["entries"] == before


def test_fields_that_no_rule_knows_are_left_out_and_named(client: httpx.Client) -> None:
    answer = client.post("/events", json=payment(2) | {"colour": "red", "x" * 500: 1})
    assert answer.status_code == 200
    known = client.get("/status").json()["service"]["unknown_fields"]
    assert {"colour", "x" * 100} <= set(known)


def test_names_of_fields_do_not_fill_memory(client: httpx.Client) -> None:
    client.post("/events", json=payment(2) | {f"f{n}": n for n in range(2_000)})
    assert len(client.get("/status").json()["service"]["unknown_fields"]) == 100


def test_a_time_far_ahead_does_not_make_the_others_late(client: httpx.Client) -> None:
    client.post("/events", json=payment(3) | {"ts": "2970-01-01"})
    answer = client.post("/events", json=payment(3)).json()
    assert answer["counts"]["late"] == 0


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "no content type; send application/json or application/x-ndjson"),
        ({"Content-Type": "text/plain"}, "content type 'text/plain'"),
        (JSON | {"Content-Encoding": "gzip"}, "without a content encoding"),
    ],
)
def test_only_what_is_understood_is_read(
    client: httpx.Client, headers: dict[str, str], detail: str
) -> None:
    answer = client.post("/events", content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert detail in answer.json()["detail"]


def test_a_stream_that_no_rule_reads_is_refused(client: httpx.Client) -> None:
    answer = client.post("/events", params={"stream": "logins"}, json=payment(3))
    assert answer.status_code == 422
    assert answer.json()["detail"] == "no rule reads a stream 'logins'; read: payments"


# -- several at once -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/events", "/events/batch"])
def test_a_batch_is_answered_with_what_all_of_it_completes(client: httpx.Client, path: str) -> None:
    card = len(path)
    body = lines(*(payment(card * 10 + n, card=card, amount=51.0 + n) for n in range(3)))
    answer = client.post(path, content=body, headers=NDJSON).json()
    assert found(answer) == [(card, 51.0, 52.0)]
    assert (answer["events"], answer["duplicates"], answer["broken"]) == (3, 0, [])


def test_lines_that_are_no_events_cost_only_themselves(client: httpx.Client) -> None:
    good = payment(200, card=40), payment(201, card=40, amount=61.0)
    body = b"\r\n".join([lines(good[0]), b"{x", b"", b"[1]", b"{}", lines(good[1]), b""])
    answer = client.post("/events/batch", content=body, headers=NDJSON).json()
    assert found(answer) == [(40, 60.0, 61.0)]
    assert answer["events"] == 2
    assert [line["line"] for line in answer["broken"]] == [2, 4, 5]
    assert "not JSON" in answer["broken"][0]["reason"]


def test_a_line_that_is_no_utf8_costs_only_itself(client: httpx.Client) -> None:
    good = payment(202, card=41), payment(203, card=41, amount=61.0)
    body = b"\n".join(
        [lines(good[0]), lines(payment(204)).replace(b"204", b"\xff"), lines(good[1])]
    )
    answer = client.post("/events/batch", content=body, headers=NDJSON).json()
    assert found(answer) == [(41, 60.0, 61.0)]
    assert [line["line"] for line in answer["broken"]] == [2]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "no line of the body is an event; line 1: it is empty"),
        (b"\n\n", "it is empty"),
        (b"[1]\n[2]", "line 1: an event is a JSON object, this is a list"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "recursion limit"),
        (b'{"a":\n' * 200_000 + b"1" + b"}" * 200_000, "line 1: not JSON"),
        (b'{"id":' + b"[" * 200_000 + b"1" + b"]" * 200_000 + b"}", "recursion limit"),
    ],
    ids=["empty", "blank", "lists", "deep", "deep over lines", "deep list"],
)
def test_a_body_without_an_event_is_refused(client: httpx.Client, body: bytes, detail: str) -> None:
    answer = client.post("/events/batch", content=body, headers=NDJSON)
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]


def test_each_event_may_have_fields_of_its_own_that_nobody_knows(client: httpx.Client) -> None:
    """A reader of columns would make as many columns as there are events."""
    body = b"\n".join(b'{"f%d":1}' % n for n in range(50_000))
    answer = client.post("/events/batch", content=body, headers=NDJSON).json()
    assert (answer["events"], answer["counts"]["errors"]) == (50_000, 50_000)
    assert len(answer["errors"]) == 100


def test_a_body_that_is_too_long_is_refused(client: httpx.Client) -> None:
    answer = client.post("/events/batch", content=b"x" * ((8 << 20) + 1), headers=NDJSON)
    assert answer.status_code == 413
    assert "longer than 8,388,608 bytes" in answer.json()["detail"]


def test_a_body_of_unknown_length_is_cut_off_where_it_is_too_long(client: httpx.Client) -> None:
    body = (b"x" * (1 << 16) for _ in range(200))
    try:
        answer = client.post("/events/batch", content=body, headers=NDJSON)
    except httpx.WriteError:
        return  # it had hung up before all of it was written
    assert answer.status_code == 413


def test_events_come_out_the_same_one_by_one_and_in_a_batch(client: httpx.Client) -> None:
    """Also such values as a reader of columns may take for something else."""
    alone = [client.post("/events", json=value).json() for value in awkward(50, hour=1)]
    body = lines(*awkward(51, hour=2))
    batch = client.post("/events/batch", content=body, headers=NDJSON).json()
    values = [match["values"] for answer in alone for match in answer["matches"]]
    assert values == [{"first": 60.0, "second": 61.5}]
    assert [match["values"] for match in batch["matches"]] == values


def awkward(card: int, hour: int) -> list[dict[str, object]]:
    day = "2025-03-03"
    return [
        {"id": f"{day}T12:00:00", "ts": f"{day}T0{hour}:00:00Z", "card": str(card), "amount": 60},
        {"id": "007", "ts": f"{day}T0{hour}:00:01.5Z", "card": card, "amount": "61.5"},
        {"id": 7, "ts": f"{day} 0{hour + 2}:00:02+02:00", "card": card, "amount": 61.25},
    ]
