"""A service -> the routes of an API, to be mounted into any FastAPI app.

    app = FastAPI()
    app.include_router(create_router(service), prefix="/cep")

The router brings the service's life with it: the app's start recovers, its end checkpoints.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic_core import to_json

from cep.serving.admission import Admission, body_of, content_type
from cep.serving.events import JSON, NDJSON, Taking, unsupported
from cep.serving.models import (
    EventAnswer,
    HealthModel,
    LinesAnswer,
    RefusedModel,
    RulesChangedModel,
    RulesModel,
    RulesRefusedModel,
)
from cep.serving.refusals import RefusedError, RefusingRoute, problems_of
from cep.serving.service import Service
from cep.serving.stream import listening

METRICS = "text/plain; version=0.0.4; charset=utf-8"
TEXT = "text/plain"
Responses = dict[int | str, dict[str, Any]]


def create_router(service: Service) -> APIRouter:
    """All routes of a service. Those but `/health` ask for its token, where it has one."""
    return router_of(service, Admission(service.settings))


def router_of(service: Service, admission: Admission) -> APIRouter:
    """The same, with somebody else at the door, too."""
    router = APIRouter(lifespan=_life_of(service), route_class=RefusingRoute, tags=["cep"])
    guarded = partial(_guarded, service, admission)
    _add_events(router, service, guarded)
    _add_matches(router, service, guarded)
    _add_rules(router, service, guarded)
    _add_state(router, service, guarded)
    return router


def _life_of(service: Service) -> Any:
    @asynccontextmanager
    async def life(app: Any) -> AsyncIterator[None]:
        async with service.running():
            yield

    return life


Guarded = Callable[..., dict[str, Any]]


def _guarded(service: Service, admission: Admission, *statuses: int) -> dict[str, Any]:
    """Arguments of a route: what it checks, and how it may refuse."""
    wanted = {*statuses, 429, 503}
    if service.settings.token is not None:
        wanted.add(401)
    responses: Responses = {n: {"model": RefusedModel} for n in sorted(wanted)}
    return {
        "dependencies": [Depends(check) for check in admission.checks()],
        "responses": responses,
    }


OF_BODIES = (400, 408, 413, 415, 422)


# -- events ----------------------------------------------------------------------------------------


def _add_events(router: APIRouter, service: Service, guarded: Guarded) -> None:
    taking = Taking(service)
    lines_body = {NDJSON: {"schema": {"type": "string"}}}
    event_body = {JSON: {"schema": {"type": "object"}}}

    async def post_events(request: Request, stream: str | None = None) -> Response:
        """Take one event (JSON), or several (NDJSON): what they complete is the answer.

        `stream`: of which the events are, where the rules read several.
        """
        return await taking.take(request, stream)

    async def post_batch(request: Request, stream: str | None = None) -> Response:
        """Take events as NDJSON, an object per line. Lines that are none cost only themselves.

        `stream`: of which the events are, where the rules read several.
        """
        return await taking.take_lines(request, stream)

    router.add_api_route(
        "/events",
        post_events,
        methods=["POST"],
        response_model=EventAnswer | LinesAnswer,
        openapi_extra=_body(event_body | lines_body),
        **guarded(*OF_BODIES),
    )
    router.add_api_route(
        "/events/batch",
        post_batch,
        methods=["POST"],
        response_model=LinesAnswer,
        openapi_extra=_body(lines_body),
        **guarded(*OF_BODIES),
    )


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


# -- matches as they come --------------------------------------------------------------------------

STREAM = {"text/event-stream": {"schema": {"type": "string"}}}


def _add_matches(router: APIRouter, service: Service, guarded: Guarded) -> None:
    async def get_matches(
        last_event_id: Annotated[str | None, Header(pattern=r"^[0-9]{1,18}$")] = None,
    ) -> Response:
        """Matches, timed-out runs and rows as server-sent events, from now on.

        Events are `match`, `timeout` and `row`, with JSON and a number as id. Who comes again with
        `Last-Event-ID` gets what was since, as far as it is kept; `missed` says how many are not.
        """
        service.check_may_listen()
        return listening(service, None if last_event_id is None else int(last_event_id))

    listed = guarded(422)
    listed["responses"][200] = {"content": STREAM, "description": "Without an end."}
    router.add_api_route(
        "/matches", get_matches, methods=["GET"], response_class=Response, **listed
    )


# -- rules -----------------------------------------------------------------------------------------


def _add_rules(router: APIRouter, service: Service, guarded: Guarded) -> None:
    settings = service.settings

    async def get_rules() -> Response:
        """The rules in force."""
        versions = await service.rules()
        named = ("name", "kind", "version", "state", "since")
        told = {
            "text": versions.text,
            "statements": [{name: getattr(each, name) for name in named} for each in versions],
        }
        return Response(to_json(told), media_type=JSON)

    async def put_rules(request: Request) -> Response:
        """Go on with other rules (their text) from the next event on.

        Statements that are the same keep their state. Rules that are refused change nothing.
        """
        if content_type(request) != TEXT:
            raise unsupported(content_type(request), TEXT)
        body = await body_of(request, settings.rules_bytes_max, settings.body_seconds_max)
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RefusedError(400, f"the rules are not UTF-8 (byte {error.start})") from None
        restored, rules = await service.change_rules(text)
        warnings = problems_of(rules.warnings, rules.text, rules.name)
        parts = ("kept", "fresh", "new", "dropped")
        told: dict[str, Any] = {part: getattr(restored, part) for part in parts}
        return JSONResponse(told | {"warnings": warnings})

    router.add_api_route(
        "/rules", get_rules, methods=["GET"], response_model=RulesModel, **guarded()
    )
    putting = guarded(*OF_BODIES)
    putting["responses"][422] = {"model": RulesRefusedModel}
    router.add_api_route(
        "/rules",
        put_rules,
        methods=["PUT"],
        response_model=RulesChangedModel,
        openapi_extra=_body({TEXT: {"schema": {"type": "string"}}}),
        **putting,
    )


# -- how it stands ---------------------------------------------------------------------------------


def _add_state(router: APIRouter, service: Service, guarded: Guarded) -> None:
    async def get_status() -> Response:
        """How it stands: watermarks, who holds them back, open runs, counts."""
        return Response(to_json(await service.status(), fallback=str), media_type=JSON)

    async def get_metrics() -> Response:
        """Metrics of the detector and of the service for Prometheus."""
        return Response(await service.metrics(), media_type=METRICS)

    async def get_health() -> Response:
        """Whether events are taken. Asks for no token."""
        if service.failure is None:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "failed", "reason": service.failure}, 503)

    router.add_api_route(
        "/status",
        get_status,
        methods=["GET"],
        response_model=dict[str, Any],
        **guarded(),
    )
    router.add_api_route(
        "/metrics",
        get_metrics,
        methods=["GET"],
        response_class=PlainTextResponse,
        **guarded(),
    )
    router.add_api_route(
        "/health",
        get_health,
        methods=["GET"],
        response_model=HealthModel,
        responses={503: {"model": HealthModel}},
    )
