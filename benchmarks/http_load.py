"""Requests -> how long a server takes for them, asked over connections that are kept alive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from httptools import HttpResponseParser

STATUS_OK = 200


class RefusedError(Exception):
    """An answer that is not 200."""


@dataclass(slots=True)
class Load:
    """What came of it. `seconds`: of all; `each`: of each request, from its sending to its end."""

    seconds: float = 0.0
    each: list[float] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)


def asked(url: str, content_type: str, bodies: Sequence[Sequence[bytes]]) -> Load:
    """POST bodies over as many connections as there are sequences, each in the order of its own.

    A connection sends the next when it has its answer. Raises RefusedError.
    """
    requests = [[_request(url, content_type, body) for body in mine] for mine in bodies]
    return asyncio.run(_asked(url, requests))


def _request(url: str, content_type: str, body: bytes) -> bytes:
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _asked(url: str, requests: Sequence[Sequence[bytes]]) -> Load:
    loop, load, parts = asyncio.get_running_loop(), Load(), urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    connections = [_Connection(iter(mine), load, loop.create_future()) for mine in requests]
    for connection in connections:
        await loop.create_connection(partial(_itself, connection), host, port)
    begun = time.perf_counter()
    for connection in connections:
        connection.next()
    await asyncio.gather(*(connection.done for connection in connections))
    load.seconds = time.perf_counter() - begun
    return load


def _itself(connection: _Connection) -> _Connection:
    return connection


class _Connection(asyncio.Protocol):
    """Sends, waits for the answer, sends the next."""

    def __init__(self, waiting: Iterator[bytes], load: Load, done: asyncio.Future[None]) -> None:
        self._waiting = waiting
        self._load = load
        self.done = done
        self._parser = HttpResponseParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def next(self) -> None:
        request = next(self._waiting, None)
        if request is None:
            self._transport.close()
            self.done.set_result(None)
            return
        self._begun = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or RefusedError("the server has hung up"))

    # -- what the parser tells -----------------------------------------------------------------

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._load.each.append(time.perf_counter() - self._begun)
        body, self._body = self._body, b""
        if self._parser.get_status_code() != STATUS_OK:
            self.done.set_exception(RefusedError(body.decode(errors="replace")))
            self._transport.close()
            return
        self._load.answers.append(body)
        self.next()
