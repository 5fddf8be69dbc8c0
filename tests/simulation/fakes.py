"""A small stateful detector and a small store, for tests of what lies around the real ones."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from cep.engine.state.snapshot import Snapshot
from cep.results.errors import ErrorTable


@dataclass
class FakeResult:
    """What a sink is given."""

    matches: pa.Table | None = None
    timeouts: pa.Table | None = None
    errors: ErrorTable = field(default_factory=ErrorTable)
    late: pa.Table | None = None
    tables: dict[str, pa.Table] = field(default_factory=dict)


class SumDetector:
    """Per key a running sum of `value`; a match whenever it passes a multiple of ten.

    Its output depends on everything before, so that a lost or repeated event is seen.
    """

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.sums: dict[str, int] = dict((snapshot or {}).get("sums", {}))
        self.streams: list[str | None] = []

    def process_batch(self, table: pa.Table, stream: str | None = None) -> FakeResult:
        self.streams.append(stream)
        rows = []
        for event in table.to_pylist():
            key, value = str(event["key"]), int(event["value"])
            before = self.sums.get(key, 0)
            self.sums[key] = before + value
            if (before + value) // 10 > before // 10:
                rows.append({"key": key, "id": int(event["id"]), "sum": before + value})
        return FakeResult(matches=_table(rows))

    def finish(self) -> FakeResult:
        rows = [{"key": key, "id": -1, "sum": total} for key, total in sorted(self.sums.items())]
        return FakeResult(matches=_table(rows))

    def tick(self) -> FakeResult:
        return FakeResult()

    def status(self) -> dict[str, Any]:
        return {"keys": len(self.sums)}

    def close(self) -> None:
        """Nothing is held."""

    def snapshot(self) -> Snapshot:
        return {"sums": dict(self.sums)}


TYPES: dict[str, pa.DataType] = {"key": pa.string(), "id": pa.int64(), "sum": pa.int64()}
SCHEMA = pa.schema(TYPES)


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, SCHEMA)


@dataclass(frozen=True)
class Kept:
    snapshot: Snapshot


class JsonStore:
    """One JSON file, replaced by renaming. Bytes are base64."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder) / "checkpoint.json"
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, snapshot: Snapshot) -> None:
        partial = self.path.with_suffix(".partial")
        with partial.open("w") as file:
            json.dump(snapshot, file, default=_as_text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.path)

    def latest(self) -> Kept | None:
        if not self.path.exists():
            return None
        return Kept(json.loads(self.path.read_text(), object_hook=_as_bytes))

    def close(self) -> None:
        """Nothing is held."""


def _as_text(value: Any) -> Any:
    assert isinstance(value, bytes)
    return {"base64": base64.b64encode(value).decode()}


def _as_bytes(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["base64"]) if "base64" in value else value


class MemoryStore:
    """Keeps every checkpoint, as text like `JsonStore`; `at` says from which one to go on."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.at: int | None = None

    def write(self, snapshot: Snapshot) -> None:
        self.written.append(json.dumps(snapshot, default=_as_text))

    def latest(self) -> Kept | None:
        kept = self.written if self.at is None else self.written[: self.at]
        return Kept(json.loads(kept[-1], object_hook=_as_bytes)) if kept else None

    def close(self) -> None:
        """Nothing is held."""
