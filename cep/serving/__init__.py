"""Rules as a service: an ASGI app or a router around a detector, with a journal and checkpoints."""

from __future__ import annotations

try:
    import fastapi  # noqa: F401 - only to see whether it is there
    import sse_starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:  # the extra is missing: say what to do
    message = f"a service needs more packages ({error.name}): pip install 'cep[serve]'"
    raise ImportError(message, name=error.name) from error

from cep.engine.io.journal import Survives
from cep.serving.app import create_app, serve
from cep.serving.router import create_router
from cep.serving.service import Service
from cep.serving.settings import Settings

__all__ = ["Service", "Settings", "Survives", "create_app", "create_router", "serve"]
