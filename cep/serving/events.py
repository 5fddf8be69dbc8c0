"""A request that brings events -> its response, behind FastAPI or past it."""

from __future__ import annotations

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from cep.engine.algebra.errors import CepError
from cep.serving.admission import Admission, body_of, content_type
from cep.serving.refusals import RefusedError, refusal_of
from cep.serving.service import Service

JSON, NDJSON = "application/json", "application/x-ndjson"
PATH = "/events"


class Taking:
    """What `/events` and `/events/batch` do. Raises CepError for what is refused."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._settings = service.settings

    async def take(self, request: Request, stream: str | None) -> Response:
        """One event as JSON, or lines of them."""
        kind = content_type(request)
        if kind == NDJSON:
            return await self.take_lines(request, stream)
        if kind != JSON:
            raise unsupported(kind, JSON, NDJSON)
        settings = self._settings
        body = await body_of(request, settings.event_bytes_max, settings.body_seconds_max)
        return Response(await self._service.take_event(body, stream), media_type=JSON)

    async def take_lines(self, request: Request, stream: str | None) -> Response:
        """Lines of events."""
        kind, settings = content_type(request), self._settings
        if kind != NDJSON:
            raise unsupported(kind, NDJSON)
        body = await body_of(request, settings.body_bytes_max, settings.body_seconds_max)
        return Response(await self._service.take_lines(body, stream), media_type=JSON)


class Directly:
    """Answers `POST /events` itself, as the route of FastAPI does; all else is the app's.

    Its router, dependencies and parameters would take longer than the event does. For an app that
    has no dependencies of its own, for they are not asked.
    """

    def __init__(self, app: ASGIApp, service: Service, admission: Admission) -> None:
        self._app = app
        self._taking = Taking(service)
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says."""
        is_mine = scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST"
        if not is_mine:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            self._admission.check(request)
            stream = request.query_params.get("stream") if scope["query_string"] else None
            response = await self._taking.take(request, stream)
        except CepError as error:
            response = refusal_of(error)
        await response(scope, receive, send)


def unsupported(kind: str, *known: str) -> RefusedError:
    """A content type that nobody reads."""
    found = f"content type {kind!r:.60}" if kind else "no content type"
    return RefusedError(415, f"{found}; send {' or '.join(known)}")
