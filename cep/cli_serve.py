"""`cep serve`: options -> a service that runs until it is stopped."""

from __future__ import annotations

import os
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from cep.engine.algebra.errors import DataError
from cep.engine.io.text_files import read_text

TOKEN_VARIABLE = "CEP_TOKEN"


class Time(StrEnum):
    """Which time events have."""

    EVENT = "event"
    PROCESSING = "processing"


class Survival(StrEnum):
    """What an answered event survives."""

    KILL = "kill"
    POWER = "power"


Host = Annotated[str, typer.Option(help="Where to listen; others than this machine need a token.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")]
TokenFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help=f"Its text is the token; else the variable {TOKEN_VARIABLE}."
    ),
]
NoAuth = Annotated[bool, typer.Option("--no-auth", help="Let anybody in who can reach it.")]
Checkpoints = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Keep state and a journal there, and go on from it."),
]
CheckpointEvery = Annotated[str, typer.Option(metavar="TIME", help="Between two checkpoints.")]
SurvivesOption = Annotated[
    Survival, typer.Option(help="What an answered event survives, with --checkpoints.")
]
IdField = Annotated[
    str | None, typer.Option(metavar="NAME", help="The field by which a repeated event is known.")
]
IdsMax = Annotated[int, typer.Option(min=1, help="How many ids are remembered.")]
MaxBody = Annotated[int, typer.Option(min=1, metavar="BYTES", help="Of NDJSON at once.")]
MaxEvent = Annotated[int, typer.Option(min=1, metavar="BYTES", help="Of a single event.")]
BodyTimeout = Annotated[str, typer.Option(metavar="TIME", help="For a body to come.")]
RateOption = Annotated[
    float | None, typer.Option(metavar="N", help="Requests per second from one address.")
]
TimeOption = Annotated[Time, typer.Option(help="Of events: their own, or when they arrive.")]
Ahead = Annotated[
    str, typer.Option(metavar="TIME", help='How far ahead of the clock an event may be, or "any".')
]
TickEvery = Annotated[str, typer.Option(metavar="TIME", help="How often the clock is looked at.")]
RunsMax = Annotated[int, typer.Option(min=1, help="Open runs of each pattern; more are refused.")]
Workers = Annotated[int, typer.Option(min=1, help="Threads that share the keys.")]
MessagesKept = Annotated[int, typer.Option(min=1, help="For those who listen to /matches.")]
WithEvents = Annotated[bool, typer.Option("--with-events", help="Tell matches with their events.")]
TableOption = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        metavar="NAME=FILE",
        help="What the rules look up: Parquet, CSV or JSONL; read at the start.",
    ),
]
RulesFile = Annotated[str, typer.Argument(metavar="RULES", help="A file of rules.")]


def serve(
    rules: RulesFile,
    table: TableOption = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token_file: TokenFile = None,
    no_auth: NoAuth = False,
    checkpoints: Checkpoints = None,
    checkpoint_every: CheckpointEvery = "10 seconds",
    survives: SurvivesOption = Survival.KILL,
    id_field: IdField = None,
    ids_max: IdsMax = 100_000,
    max_body: MaxBody = 8 << 20,
    max_event: MaxEvent = 64 << 10,
    body_timeout: BodyTimeout = "10 seconds",
    rate: RateOption = None,
    time: TimeOption = Time.EVENT,
    ahead: Ahead = "5 minutes",
    tick_every: TickEvery = "1 second",
    runs_max: RunsMax = 1_000_000,
    workers: Workers = 1,
    with_events: WithEvents = False,
    messages_kept: MessagesKept = 10_000,
) -> None:
    """Serve rules over HTTP: events in, matches out, until SIGTERM or SIGINT.

    /docs describes the endpoints. With --checkpoints nothing that was answered is lost, and with
    --id-field a client may send again what it got no answer to.
    """
    from cep.cli import read_rules

    try:
        from cep.serving import Service, Settings, Survives
        from cep.serving import serve as serve_app
        from cep.serving.app import is_local
    except ImportError as error:
        raise DataError(str(error)) from error
    token = _token(token_file)
    if token is None and not no_auth and not is_local(host):
        message = f"{host} can be reached from elsewhere: give --token-file, or say --no-auth"
        raise typer.BadParameter(message, param_hint="--host")
    settings = Settings(
        time=time.value,
        ahead=None if ahead == "any" else _duration(ahead),
        runs_max=runs_max,
        workers=workers,
        tick_every=_duration(tick_every),
        id_field=id_field,
        ids_max=ids_max,
        checkpoints=checkpoints,
        checkpoint_every=_duration(checkpoint_every),
        survives=Survives(survives.value),
        events_in_matches=with_events,
        messages_kept=messages_kept,
        token=None if no_auth else token,
        event_bytes_max=max_event,
        body_bytes_max=max_body,
        body_seconds_max=_duration(body_timeout).total_seconds(),
        requests_per_second=rate,
    )
    serve_app(Service(read_rules(rules), settings, tables=_tables(table or [])), host, port)


def _tables(texts: list[str]) -> dict[str, str]:
    """NAME=FILE each -> the file of each table."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path) or name in found:
            message = f"table {name!r} twice" if name in found else f"{text!r}: write NAME=FILE"
            raise typer.BadParameter(message, param_hint="--table")
        found[name] = path
    return found


def _token(path: str | None) -> str | None:
    """From a file or the environment, never from the command line, which others can see."""
    token = os.environ.get(TOKEN_VARIABLE) if path is None else read_text(path).strip()
    if token == "":
        where = f"the variable {TOKEN_VARIABLE}" if path is None else path
        raise DataError(f"{where} is empty: an empty token would let everybody in")
    return token


def _duration(text: str) -> timedelta:
    from cep.dsl.parts import parse_duration

    return timedelta(microseconds=parse_duration(text))
