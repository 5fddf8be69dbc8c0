"""What the responses look like, for the OpenAPI page; they are not built by these classes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel


class MatchModel(BaseModel):
    """A match, or a run that ran out of time. `events`: if the service is asked to tell them."""

    id: str
    pattern: str
    key: Any
    start: datetime
    end: datetime
    at: datetime
    values: dict[str, Any]
    events: dict[str, list[dict[str, Any]]] | None = None


class RowModel(BaseModel):
    """A row of an aggregate or a join."""

    name: str
    values: dict[str, Any]


class LateModel(BaseModel, extra="allow"):
    """A late event: these, and the event's own fields."""

    stream: str
    time: datetime
    watermark: datetime
    late_by: float


class ErrorModel(BaseModel):
    """An event that something went wrong with, as JSON text in `event`."""

    reason: str
    pattern: str | None
    variable: str | None
    time: datetime | None
    event: str


class CountsModel(BaseModel):
    """How many there were of each; the lists of late events and errors show the first 100."""

    matches: int
    timeouts: int
    rows: int
    late: int
    errors: int


class AnswerModel(BaseModel):
    """What has come out. `answer_kept` false: an earlier answer is no longer known."""

    matches: list[MatchModel]
    timeouts: list[MatchModel]
    rows: list[RowModel]
    late: list[LateModel]
    errors: list[ErrorModel]
    counts: CountsModel
    answer_kept: bool


class EventAnswer(AnswerModel):
    """`duplicate`: the event had come before; this is what was answered then."""

    duplicate: bool


class BrokenLine(BaseModel):
    """A line that is no event."""

    line: int
    reason: str


class LinesAnswer(AnswerModel):
    """`events`: how many were taken. `duplicates`: had come before; their answers are in this one.

    `broken`: the first 100 of the lines that are no events.
    """

    events: int
    duplicates: int
    broken: list[BrokenLine]
    broken_count: int


class ProblemModel(BaseModel):
    """One thing wrong or doubtful in rules. Places count from 1; `text` has a caret."""

    message: str
    warning: bool
    line: int | None
    column: int | None
    end_line: int | None
    end_column: int | None
    hint: str | None
    text: str


class RefusedModel(BaseModel):
    """What was wrong, and what to do."""

    detail: str


class RulesRefusedModel(RefusedModel):
    """`problems`: every mistake of the rules, where it was in the rules."""

    problems: list[ProblemModel] | None = None


class StatementModel(BaseModel):
    """A statement of the rules. `version` counts what it has said, `since` is when it began to."""

    name: str
    kind: str
    version: int
    state: str
    since: datetime


class RulesModel(BaseModel):
    """`text`: of the rules in force. `statements`: of them, and those that are disabled."""

    text: str
    statements: list[StatementModel]


class RulesChangedModel(BaseModel):
    """What became of each statement: `fresh` ones have changed and start without state."""

    kept: list[str]
    fresh: list[str]
    new: list[str]
    dropped: list[str]
    warnings: list[ProblemModel]


class HealthModel(BaseModel):
    """`status`: `ok`, or `failed` with a reason."""

    status: str
    reason: str | None = None
