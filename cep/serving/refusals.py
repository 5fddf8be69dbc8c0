"""What is wrong with a request -> a response in JSON that says so, never a 5xx for an input."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from cep.engine.algebra.errors import CepError, DataError, Problem, RuleError, render_problem
from cep.serving.lines import MalformedError
from cep.serving.turns import BusyError

DETAIL_SHOWN = 2_000
RETRY_SECONDS = 1


class RefusedError(CepError):
    """A request that is not worked on. `more`: members of the response beside `detail`."""

    def __init__(
        self, status: int, detail: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        self.status = status
        self.headers = headers
        self.more = more
        super().__init__(detail)


class RefusingRoute(APIRoute):
    """A route whose CepErrors become responses, whatever app it is mounted into."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of FastAPI, with an answer for what is raised in it."""
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except CepError as error:
                return refusal_of(error)

        return told


def refusal_of(error: CepError) -> Response:
    """The response that says what was wrong, and what to do."""
    match error:
        case RefusedError():
            return _response(error.status, str(error), error.headers, **error.more)
        case RuleError():
            first = next(problem.message for problem in error.problems if not problem.warning)
            problems = problems_of(error.problems, error.source, error.name)
            return _response(422, first, problems=problems)
        case BusyError():
            return _response(429, str(error), {"Retry-After": str(RETRY_SECONDS)})
        case MalformedError():
            return _response(400, str(error))
        case DataError():
            return _response(422, str(error))
    return _response(503, str(error))


def problems_of(problems: Iterable[Problem], source: str | None, name: str) -> list[dict[str, Any]]:
    """Each problem of rules with its place, and as a person reads it, with a caret."""
    return [
        {
            "message": problem.message,
            "warning": problem.warning,
            "line": None if problem.span is None else problem.span.line,
            "column": None if problem.span is None else problem.span.column,
            "end_line": None if problem.span is None else problem.span.end_line,
            "end_column": None if problem.span is None else problem.span.end_column,
            "hint": problem.hint,
            "text": render_problem(problem, source, name),
        }
        for problem in problems
    ]


def _response(
    status: int, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    return JSONResponse({"detail": f"{detail:.{DETAIL_SHOWN}}"} | more, status, headers)
