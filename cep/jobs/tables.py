"""A result, and the name of one of its tables -> that table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from cep.engine.results import ErrorBatch
from cep.results.errors import ErrorTable

OWN = ("matches", "timeouts", "errors", "late")


def table_of(result: Any, what: str, broken: Sequence[ErrorBatch]) -> pa.Table | None:
    """The rows for a sink; None where there are none. `broken` rows of the input are errors."""
    if what == "errors" and broken:
        tables = [ErrorTable(broken).to_arrow()]
        if result is not None:
            tables.append(result.errors.to_arrow())
        return pa.concat_tables(tables)
    if result is None:
        return None
    table: Any = getattr(result, what, None) if what in OWN else result.tables.get(what)
    made: pa.Table | None = table.to_arrow() if hasattr(table, "to_arrow") else table
    return made


def count_errors(result: Any, broken: Sequence[ErrorBatch]) -> int:
    """Broken rows of the input, events set aside, and select lists that failed."""
    own = 0 if result is None else len(result.errors)
    return own + sum(map(len, broken))


def has_rows(result: Any) -> bool:
    """Whether anything came out."""
    sides = (result.matches, result.timeouts, result.late, *result.tables.values(), result.errors)
    return any(side is not None and len(side) > 0 for side in sides)
