"""A directory of case files -> cases. The format is described in `cases/ORIGIN.md`."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Event = dict[str, Any]
Stage = Mapping[str, Any]
WINDOWS = "windows"  # how the files of window cases begin
NOT_PATTERNS = (WINDOWS, "sql_")  # files of other kinds that live beside the pattern cases
MISSED_TARGET = "skip target"


@dataclass(frozen=True, slots=True)
class Case:
    """One pattern, its events and what comes out. `data` is the case as it stands in the file."""

    file: str
    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.data["name"])

    @property
    def stages(self) -> list[Stage]:
        return list(self.data["stages"])

    @property
    def strict_order(self) -> bool:
        """Whether events are fed as they arrive, although their times go back."""
        return not self.data["sorted_by_ts"] and not self.data["watermarks"]

    @property
    def end_of_stream(self) -> bool:
        return bool(self.data["end_of_stream"])

    @property
    def misses_skip_target(self) -> bool:
        return MISSED_TARGET in (self.data.get("expected_error") or "")

    @property
    def counts_duplicates(self) -> bool:
        """Flink reports one match more than once here; we report each once."""
        return "more than once" in (self.data.get("semantics_note") or "")

    def events(self) -> list[Event]:
        """The events in the order in which they are matched.

        Sorted by time, ties by the case's own order or by arrival. Where the source feeds its
        matcher as they arrive, with times that go back, the arrival number stands in for the time:
        such cases have no window, so time means nothing else there.
        """
        events = [dict(event) for event in self.data["events"]]
        if self.strict_order:
            return [{**event, "ts": number} for number, event in enumerate(events)]
        tie_breaker = self.data.get("secondary_order")
        return sorted(events, key=lambda e: (e["ts"], e[tie_breaker] if tie_breaker else 0))

    @property
    def is_live(self) -> bool:
        """Whether watermarks (or a clock) are said while the events come."""
        return bool(self.data["watermarks"] or self.data.get("clock"))

    def needs_watermarks(self) -> str | None:
        """What the case needs that a bounded run over sorted events does not have, or None."""
        if self.data.get("expected_late"):
            return "late events: needs watermarks while the stream runs"
        last_ts = max(event["ts"] for event in self.data["events"])
        beyond = [mark for mark in self.data["watermarks"] or () if mark["ts"] > last_ts]
        if beyond and not self.end_of_stream and self.data["within_ms"]:
            return "a window closed by a watermark before the end of the stream"
        return None

    def waits_for(self) -> str | None:
        """What the case needs that neither a bounded run nor a live one has, or None."""
        if self.strict_order and (self.data["within_ms"] or _windows(self.stages)):
            return "time that goes back within a window"
        return None


def _windows(stages: list[Stage]) -> bool:
    return any(
        stage.get("within_ms")
        or (stage.get("quantifier") or {}).get("window_ms")
        or _windows(stage.get("group") or [])
        for stage in stages
    )


def case_files(directory: Path) -> Iterator[Path]:
    """The pattern case files of a directory, in the order of their names."""
    for path in sorted(directory.iterdir()):
        is_case_file = path.name.endswith((".json", ".jsonl", ".jsonl.gz"))
        if is_case_file and not path.name.startswith(NOT_PATTERNS):
            yield path


def window_files(directory: Path) -> Iterator[Path]:
    """The window case files of a directory, in the order of their names."""
    for path in sorted(directory.iterdir()):
        if path.name.startswith(WINDOWS) and path.suffix == ".json":
            yield path


def load_cases(path: Path) -> list[Case]:
    """All cases of one file: a suite (.json) or one case per line (.jsonl, .jsonl.gz)."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    if path.suffix == ".json":
        return [Case(path.name, data) for data in json.loads(text)["cases"]]
    return [Case(path.name, json.loads(line)) for line in text.splitlines() if line.strip()]
