"""Whatever is sent: the answer is none of 500 and above, and looks as the OpenAPI page says.

CEP_FUZZ_SERVICE sets the number of examples for each test and route; a normal test run takes few.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi import checks

from cep.serving import Service, create_app
from tests.serving.process import JSON, NDJSON, RULES, TEXT, Server, served

EXAMPLES = int(os.environ.get("CEP_FUZZ_SERVICE", "20"))
LARGE = (
    RULES
    + """
aggregate spent from payments by card window tumbling 1 hour select card, sum(amount) as total;
feature sums on payments as sum(amount) over 1 hour by card;
pattern alone from payments by card match a -> not b within 1 hour
  define a as sums > 100, b as true on timeout select a.amount as amount;
"""
)
CHECKS = [
    not_a_server_error,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.status_code_conformance,
    checks.unsupported_method,
    checks.negative_data_rejection,
    checks.missing_required_header,
]
load_all_checks()
sending = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@schemathesis.serializer("application/x-ndjson")
def _lines(_: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that keeps what it takes; in the end it must be able to take it all once more."""
    folder = tmp_path_factory.mktemp("fuzz")
    keeping = ("--checkpoints", str(folder / "state"), "--checkpoint-every", "1 hour")
    options = ("--id-field", "id", *keeping)
    with served(folder, *options, rules=LARGE) as server:
        yield server
        taken = entries(server)
        server.kill()
    with served(folder, *options, rules=LARGE) as server:
        assert taken <= entries(server) <= taken + 1  # those of the file, once more in force


def entries(server: Server) -> int:
    status = httpx.get(f"{server.url}/status", timeout=60).json()
    return int(status["service"]["entries"])


api = schemathesis.openapi.from_dict(create_app(Service(LARGE)).openapi())
api.config.generation.update(max_examples=EXAMPLES, deterministic=True)


# A list of matches has no end: it is looked at below.
@api.exclude(path="/matches").parametrize()
def test_what_the_page_describes_is_so(case: schemathesis.Case[Any], server: Server) -> None:
    case.call_and_validate(base_url=server.url, checks=CHECKS)


# -- what is nearly right --------------------------------------------------------------------------

numbers = st.integers(-(2**70), 2**70) | st.integers(0, 3) | st.floats()
texts = st.text(max_size=20) | st.sampled_from(["", "\0", "x" * 300, "2025-03-03", "1e400", "NaN"])
times = st.datetimes().map(lambda time: time.isoformat()) | st.sampled_from(
    ["2025-03-03T12:00:00Z", "0000-01-01", "9999-12-31T23:59:60", "2025-03-03 12:00+99:00"]
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts | times,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["id", "ts", "card", "amount"]) | texts
plausible = st.fixed_dictionaries(
    {"id": st.integers(0, 99) | texts, "ts": times, "card": st.integers(0, 3), "amount": numbers}
)
events = plausible | st.builds(
    lambda event, more: event | more, plausible, st.dictionaries(names, values, max_size=3)
)
written = (events | values).map(lambda event: json.dumps(event).encode("utf-8", "surrogatepass"))
odd_lines = st.binary(max_size=20) | st.sampled_from(
    [b"", b"{", b"{}", b'{"ts":', b'{"id":"a"}{"id":"b"}', b"[" * 2_000, b"\xff", b"\r", b" {} "]
)
lines = st.lists(written | odd_lines, max_size=8).map(b"\n".join)
streams = st.none() | st.sampled_from(["payments", "", "x", "spent"]) | texts


def checked(server: Server, path: str, method: str, **sent: Any) -> None:
    with server.client() as client:
        answer = client.request(method, path, **sent)
    case = api[path][method].Case()
    case.validate_response(answer, checks=CHECKS[:5])


@given(body=written | odd_lines, stream=streams)
@sending
def test_an_event_is_taken_or_refused(server: Server, body: bytes, stream: Any) -> None:
    params = {} if stream is None else {"stream": stream}
    checked(server, "/events", "POST", content=body, headers=JSON, params=params)


@given(body=lines, stream=streams, path=st.sampled_from(["/events", "/events/batch"]))
@sending
def test_lines_are_taken_or_refused(server: Server, body: bytes, stream: Any, path: str) -> None:
    params = {} if stream is None else {"stream": stream}
    checked(server, path, "POST", content=body, headers=NDJSON, params=params)


WORDS = LARGE.split()
rules = st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join) | st.builds(
    lambda begin, end, put: " ".join([*WORDS[:begin], put, *WORDS[end:]]),
    st.integers(0, len(WORDS)),
    st.integers(0, len(WORDS)),
    st.sampled_from(["", ";", "'", "99999999999999999999", "pattern"]) | st.text(max_size=5),
)


@given(text=rules)
@sending
def test_rules_are_taken_or_refused(server: Server, text: str) -> None:
    sent = text.encode("utf-8", "surrogatepass")
    checked(server, "/rules", "PUT", content=sent, headers=TEXT)


@given(number=st.text(st.characters(max_codepoint=255), max_size=25) | st.integers().map(str))
@sending
def test_a_listener_may_begin_where_it_likes_to(server: Server, number: str) -> None:
    headers = {b"Last-Event-ID": number.encode("latin-1")}
    try:
        with httpx.stream("GET", f"{server.url}/matches", headers=headers) as answer:
            assert answer.status_code in (200, 400, 422)  # 400: no header at all
    except httpx.LocalProtocolError:
        pass  # it cannot be sent
