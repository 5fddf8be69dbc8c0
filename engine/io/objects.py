"""Objects of a program (dataclasses, pydantic, msgspec and attrs classes, named tuples) -> dicts.

None of these libraries is imported: a class says by itself what its fields are called.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any
from uuid import UUID

CLASSES_KNOWN = 1024


def as_dicts(rows: Sequence[Any]) -> Sequence[Any]:
    """Rows with objects as dicts of their fields; what has no fields stays as it is."""
    if all(isinstance(row, Mapping) for row in rows):
        return rows
    return [as_dict(row) for row in rows]


def as_dict(row: Any) -> Any:
    """An object as a dict of its fields, in their order; anything else as it is."""
    if isinstance(row, Mapping):
        return row
    kind: Any = type(row)
    names = field_names(kind)
    return row if names is None else {name: getattr(row, name) for name in names}


@lru_cache(CLASSES_KNOWN)
def field_names(kind: Any) -> tuple[str, ...] | None:
    """The fields of a class of records; None for another class."""
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if hasattr(kind, "__pydantic_fields__"):
        return tuple(kind.__pydantic_fields__)
    if hasattr(kind, "__struct_fields__"):  # msgspec
        return tuple(kind.__struct_fields__)
    if hasattr(kind, "__attrs_attrs__"):
        return tuple(field.name for field in kind.__attrs_attrs__)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return tuple(kind._fields)
    return None


def plain(value: Any) -> Any:
    """A value as Arrow knows it: members of an enumeration and UUIDs are what they stand for."""
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, UUID) else value
