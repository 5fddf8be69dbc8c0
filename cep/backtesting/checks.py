"""Names that callers give, met with those there are."""

from __future__ import annotations

from collections.abc import Collection

from cep.engine.algebra.errors import DataError
from cep.engine.io.source import did_you_mean


def known_name(problem: str, name: str, known: Collection[str]) -> None:
    """Raises DataError, which begins with `problem`, where the name is none of those known."""
    if name not in known:
        near = did_you_mean(name, known) or ";"
        raise DataError(f"{problem} {name!r}{near} known: {', '.join(known) or 'none'}")
