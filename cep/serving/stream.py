"""Messages of a service -> a response of server-sent events."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse, SendTimeoutError
from starlette.types import Receive, Scope, Send

from cep.serving.service import Service

LOG = logging.getLogger("cep.serving")
PING_SECONDS = 15
SEND_SECONDS = 60
GRACE_SECONDS = 5


class Listening(EventSourceResponse):
    """Ends where the client goes, the server stops, or nothing is read for a minute."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end. A client that does not read is left alone."""
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            LOG.info("a listener has read nothing for %d s: it was let go", SEND_SECONDS)


class Stopping:
    """What is `set` when the server stops, before it waits for the responses to end."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def set(self) -> None:
        """Let all who listen go."""
        self._service.stop_listening()


def listening(service: Service, after: int | None) -> EventSourceResponse:
    """The messages behind a number, or those to come."""
    stopping: Any = Stopping(service)  # of an event, only this is asked for
    return Listening(
        _events(service, after),
        ping=PING_SECONDS,
        sep="\n",
        send_timeout=SEND_SECONDS,
        shutdown_event=stopping,
        shutdown_grace_period=GRACE_SECONDS,
    )


async def _events(service: Service, after: int | None) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(service.listen(after)) as messages:
        async for found in messages:
            if isinstance(found, int):
                yield ServerSentEvent(f'{{"missed":{found}}}', event="missed", sep="\n")
            else:
                number, (kind, data) = found
                yield ServerSentEvent(data.decode(), event=kind, id=str(number), sep="\n")
