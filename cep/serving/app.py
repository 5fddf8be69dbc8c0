"""A service -> a whole ASGI app, and a server for it that ends in good order."""

from __future__ import annotations

import gc
import ipaddress
import signal
import socket

import uvicorn
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from cep.serving.admission import Admission
from cep.serving.events import Directly
from cep.serving.router import router_of
from cep.serving.service import Service

LOCAL_NAMES = ["localhost", "127.0.0.1", "[::1]"]
KEEP_ALIVE_SECONDS = 30
GRACEFUL_SECONDS = 30


def create_app(service: Service, *, hosts: list[str] | None = None) -> FastAPI:
    """The app. `hosts`: the only names under which it answers (None: any).

    Where it has no token, name them: else a page in a browser on the same machine can have its own
    name resolved to this address and ask.
    """
    from cep import __version__

    app = FastAPI(title="cep", version=__version__, description="Patterns over event streams.")
    admission = Admission(service.settings)
    app.include_router(router_of(service, admission))
    app.add_middleware(Directly, service=service, admission=admission)
    if hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    return app


def is_local(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(service: Service, host: str, port: int, *, log_level: str = "info") -> None:
    """Serve until SIGTERM or SIGINT; requests in flight end, then a last checkpoint is written."""
    hosts = LOCAL_NAMES if is_local(host) and service.settings.token is None else None
    config = uvicorn.Config(
        create_app(service, hosts=hosts),
        host,
        port,
        ws="none",
        lifespan="on",
        log_level=log_level,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # The server raises what it was stopped by once more when all is done: that is no failure.
        signal.signal(number, lambda *_: None)
    _Server(config).run()


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """What is there once all is compiled stays: to look through it for garbage takes 100 ms."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
