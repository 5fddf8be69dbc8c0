"""Payments are judged while they wait: a detector inside an application of one's own.

uvicorn --app-dir examples/fastapi_service app:app
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel, Field

import cep
from cep.serving import Service, create_router

HERE = Path(__file__).parent
STATE = Path(os.environ.get("STATE", "state"))
SAVED_EVERY_SECONDS = 10.0
LOG = logging.getLogger("payments")


class Payment(BaseModel):
    """What a client sends: the fields of the stream `payments`."""

    ts: datetime
    card: int
    amount: float = Field(gt=0)
    country: str


class Alert(BaseModel):
    """A match that the payment completes. The same match has the same id after a restart, too."""

    id: str
    pattern: str
    since: datetime
    values: dict[str, Any]


class Verdict(BaseModel):
    """`late`: the payment is older than others before it, and no pattern has seen it."""

    accepted: bool
    alerts: list[Alert]
    late: bool


@asynccontextmanager
async def life(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """The detector lives as long as the app, and goes on where the app has ended before."""
    stopping = asyncio.Event()
    with opened(STATE) as detector:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(save(detector, stopping))
            try:
                yield {"detector": detector}
            finally:
                stopping.set()


def opened(state: Path) -> cep.Detector:
    """From the last checkpoint, where there is one."""
    rules = cep.load(HERE / "payments.cep")
    ahead = timedelta(minutes=5)  # one wrong clock must not make all others late
    if state.is_dir() and any(state.iterdir()):
        return cep.Detector.restore(state, rules, ahead=ahead)
    return cep.Detector(rules, ahead=ahead)


async def save(detector: cep.Detector, stopping: asyncio.Event) -> None:
    """A checkpoint now and then, on a thread while payments go on, and a last one at the end."""
    while not stopping.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), SAVED_EVERY_SECONDS)
        try:
            await asyncio.to_thread(detector.checkpoint, STATE)
        except cep.CheckpointError:
            LOG.exception("a checkpoint has failed")


async def detector_of(request: Request) -> cep.Detector:
    """The one that `life` has made."""
    detector: cep.Detector = request.state.detector
    return detector


app = FastAPI(title="payments", lifespan=life)


@app.post("/payments")
async def judge(
    payment: Payment, detector: Annotated[cep.Detector, Depends(detector_of)]
) -> Verdict:
    """Refuse the payment that completes a match."""
    result = await detector.aprocess(payment)
    alerts = [
        Alert(id=match.id, pattern=match.pattern, since=match.start, values=match.values)
        for match in result
    ]
    return Verdict(accepted=not alerts, alerts=alerts, late=len(result.late) > 0)


# A whole service beside it, with rules, events and routes of its own: POST /logins/events, ...
logins = Service((HERE / "logins.cep").read_text())
app.include_router(create_router(logins), prefix="/logins")
