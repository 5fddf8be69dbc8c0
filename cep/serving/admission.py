"""Who may ask, how often, and how much at once."""

from __future__ import annotations

import asyncio
import hmac
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Security
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import ClientDisconnect

from cep.engine.io.clock import now_seconds
from cep.serving.refusals import RefusedError
from cep.serving.settings import Settings

CLIENTS_KNOWN = 10_000
BEARER = HTTPBearer(auto_error=False, description="the token of the service")
Check = Callable[..., Awaitable[None]]


class Admission:
    """Who may ask, and how often: one for all routes of a service."""

    def __init__(self, settings: Settings) -> None:
        self._token = None if settings.token is None else settings.token.encode()
        per_second = settings.requests_per_second
        self._rate = None if per_second is None else Rate(per_second)

    def check(self, request: Request) -> None:
        """Raises RefusedError: 401 without the token, 429 for what comes too often."""
        if self._token is not None:
            _check_token(request.headers.get("authorization"), self._token)
        if self._rate is not None:
            _check_rate(self._rate, "" if request.client is None else request.client.host)

    def checks(self) -> list[Check]:
        """The same for FastAPI, whose pages say then that there is a token."""

        async def admitted(request: Request) -> None:
            self.check(request)

        async def admitted_by_token(
            request: Request,
            _: Any = Security(BEARER),  # noqa: B008 - FastAPI's way
        ) -> None:
            self.check(request)

        return [admitted if self._token is None else admitted_by_token]


def _check_token(header: str | None, expected: bytes) -> None:
    scheme, given = get_authorization_scheme_param(header)
    is_bearer = scheme.lower() == "bearer"
    if not hmac.compare_digest(given.encode() if is_bearer else b"", expected):
        what = "the bearer token is another one" if is_bearer else "no bearer token"
        message = f"{what}: send 'Authorization: Bearer TOKEN'"
        raise RefusedError(401, message, headers={"WWW-Authenticate": "Bearer"})


def _check_rate(rate: Rate, client: str) -> None:
    seconds = rate.wait_seconds(client)
    if seconds:
        after = str(math.ceil(seconds))
        message = f"too many requests; come again in {after} s, or send events as NDJSON"
        raise RefusedError(429, message, headers={"Retry-After": after})


class Rate:
    """A bucket of tokens for each client: a second's worth at most, filled at a steady rate.

    The clients seen longest ago are forgotten, so that many addresses do not fill memory.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = now_seconds) -> None:
        self._per_second = per_second
        self._size = max(per_second, 1.0)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, client: str) -> float:
        """0 where the client may go on now, which counts; else how long it has to wait."""
        now = self._clock()
        tokens, then = self._buckets.pop(client, (self._size, now))
        tokens = min(self._size, tokens + (now - then) * self._per_second)
        missing = max(0.0, 1 - tokens)
        self._buckets[client] = (tokens if missing else tokens - 1, now)
        if len(self._buckets) > CLIENTS_KNOWN:
            self._buckets.popitem(last=False)
        return missing / self._per_second


async def body_of(request: Request, bytes_max: int, seconds_max: float) -> bytes:
    """The whole body. Raises RefusedError: 413 if it is too long, 408 if it takes too long."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RefusedError(415, "a body must come as it is, without a content encoding")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > bytes_max:
        raise _too_long(bytes_max)
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(seconds_max):
            size = 0
            async for part in request.stream():
                size += len(part)
                if size > bytes_max:
                    raise _too_long(bytes_max)
                parts.append(part)
    except TimeoutError:
        raise RefusedError(408, f"the body did not come within {seconds_max:g} s") from None
    except ClientDisconnect:
        raise RefusedError(400, "the client left before its body had come") from None
    return b"".join(parts)


def _too_long(bytes_max: int) -> RefusedError:
    return RefusedError(413, f"the body is longer than {bytes_max:,} bytes; send less at once")


def content_type(request: Request) -> str:
    """Without its parameters; JSON where nothing is said."""
    text: Any = request.headers.get("content-type", "")
    return str(text).partition(";")[0].strip().lower()
