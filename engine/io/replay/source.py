"""What a job reads from: pieces of a stream, each with the position at which reading goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.results import ErrorBatch
from cep.engine.state.snapshot import Value

Declared = Mapping[str, Mapping[str, DataType]]
"""Stream name -> the fields whose type the rules state; "" is the only stream of all."""


class Piece(NamedTuple):
    """Some rows of a stream (None: of the only one), and where reading goes on behind them.

    `position` is made of what a snapshot is made of: dicts, lists, numbers, text, bytes. `broken`
    are rows that could not be read; they lie before the position like the others.
    """

    table: pa.Table
    position: Value
    stream: str | None = None
    broken: Sequence[ErrorBatch] = ()


Pieces = Iterator[Piece | None]
"""None where there is nothing more for now: ask again after `poll_seconds`."""


class ReplaySource(Protocol):
    """An input that can be read again.

    `has_positions`: `read(p)` for a position p that was handed out yields what followed it then,
    and nothing else. False: `position` is None always, and what has been read is gone. `follows`:
    reading never ends of itself.
    """

    @property
    def has_positions(self) -> bool: ...
    @property
    def follows(self) -> bool: ...
    @property
    def poll_seconds(self) -> float: ...

    def read(self, position: Value | None, declared: Declared) -> Pieces:
        """What follows the position (None: everything), and then None or the end.

        Raises DataError for what cannot be read, and where the input before the position is not
        what it was. Called by one thread, from which the iterator is used, too.
        """
        ...


def fields_of(declared: Declared, stream: str | None) -> Mapping[str, DataType]:
    """The declared fields of a stream."""
    return declared.get(stream or "", {})


def schema_bytes(schema: pa.Schema | None) -> bytes | None:
    """A schema as a position holds it."""
    return None if schema is None else schema.serialize().to_pybytes()


def schema_of(data: bytes | None) -> pa.Schema | None:
    """The inverse of `schema_bytes`."""
    return None if data is None else pa.ipc.read_schema(pa.py_buffer(data))


def check_position(position: Value, kind: str, what: str) -> Value:
    """The position, if it is one of a source of this kind; DataError for one of another."""
    found = position.get("source") if isinstance(position, dict) else type(position).__name__
    if found != kind:
        message = (
            f"{what}: the position in the checkpoint is one of {found!r}, not of {kind!r}: give "
            "the job the source that it had, or another checkpoint directory"
        )
        raise DataError(message)
    return position
