"""Ids of events -> which events are new, and what is remembered of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.serving.lines import Lines
from cep.serving.remembered import Kept, Remembered

LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class Identified:
    """The events of a body that are new, with their ids; what is kept for those that are not.

    `duplicates`: how many were left out, those included that come twice in the body itself.
    """

    table: pa.Table
    ids: tuple[str, ...] = ()
    repeated: tuple[Kept, ...] = ()
    duplicates: int = 0


def id_of(value: Any, stream: str, field: str) -> str:
    """The id of an event among those of all streams. DataError where it has none that will do."""
    if not _is_id(value):
        what = "has no id" if value is None else f"has the id {value!r:.40}"
        asked = f"a text of 1 to {LENGTH_MAX} characters or a whole number in {field!r}"
        raise DataError(f"the event {what}: it needs {asked}")
    return f"{stream}/{value}"


def _is_id(value: Any) -> bool:
    if type(value) is str:
        return 0 < len(value) <= LENGTH_MAX
    return type(value) is int


def ids_of(table: pa.Table, stream: str, field: str) -> tuple[str, ...]:
    """The ids of events that were taken."""
    if field not in table.schema.names:
        return ()
    return tuple(f"{stream}/{value}" for value in table.column(field).to_pylist())


def identify(lines: Lines, field: str, stream: str, remembered: Remembered) -> Identified:
    """Which events are new. Lines without an id are told among the broken ones."""
    all_new = _all_new(lines.ids, stream, remembered)
    if all_new is not None:
        return Identified(lines.table, all_new)
    rows: list[int] = []
    ids: dict[str, None] = {}
    repeated: list[Kept] = []
    refused = 0
    for row, value in enumerate(lines.ids):
        try:
            id_ = id_of(value, stream, field)
        except DataError as error:
            lines.refuse(int(lines.numbers[row]), str(error))
            refused += 1
            continue
        kept = remembered.get(id_)
        if kept is not None:
            repeated.append(kept)
        elif id_ not in ids:
            ids[id_] = None
            rows.append(row)
    table = lines.table.take(np.array(rows, np.int64))
    return Identified(table, tuple(ids), tuple(repeated), len(lines.ids) - len(rows) - refused)


def _all_new(values: list[Any], stream: str, remembered: Remembered) -> tuple[str, ...] | None:
    """The ids, where all are good texts, all different and none is known: the usual case, fast."""
    if set(map(type, values)) != {str} or min(map(len, values)) == 0:
        return None
    begin = f"{stream}/"
    ids = tuple([begin + value for value in values])
    if max(map(len, ids)) > len(begin) + LENGTH_MAX or len(set(ids)) < len(ids):
        return None
    return None if remembered.has_any(ids) else ids
