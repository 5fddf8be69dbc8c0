"""A detector of dicts and objects: its results, its state, rules that change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, assert_type

import pyarrow as pa
from pydantic import BaseModel

import cep
from cep.changing.report import ShadowReport
from cep.changing.versions import RuleVersion, RuleVersions
from cep.engine.checkpoint.store import CheckpointInfo
from cep.engine.state.restoring import Restored
from cep.results.errors import ErrorTable
from cep.results.matches import Match, MatchTable
from cep.ticker import Ticker

RULES = """
stream trades (ts timestamp, symbol text, price float) time ts;
pattern rise from trades by symbol match low high within 1 minute
  define low as true, high as price > low.price select low.price as low;
aggregate highs from trades by symbol window tumbling 1 minute
  select symbol, max(price) as high;
"""


@dataclass(frozen=True)
class Trade:
    ts: datetime
    symbol: str
    price: float


class Posted(BaseModel):
    ts: datetime
    symbol: str
    price: float


def handle_matches(found: MatchTable) -> None:
    assert len(found)


def handle_errors(found: ErrorTable) -> None:
    assert len(found)


def handle_rows(found: pa.Table) -> None:
    assert found.num_rows


def made() -> cep.Detector:
    return cep.Detector(
        RULES,
        time="event",
        workers=1,
        limits={"rise": cep.Limit(runs_per_key=10, policy="drop oldest")},
        ahead=timedelta(days=1),
        held_max=1_000,
        on={"matches": handle_matches, "errors": handle_errors, "highs": handle_rows},
        clock=lambda: 1_741_003_200_000_000,
    )


def process(detector: cep.Detector) -> list[Match]:
    at = datetime(2025, 3, 3, 12, tzinfo=UTC)
    result = detector.process({"ts": at, "symbol": "x", "price": 1.0})
    assert_type(result, cep.Result)
    result = detector.process(Trade(at + timedelta(seconds=1), "x", 2.0), "trades")
    found = assert_type(list(result), list[Match])
    detector.process(Posted(ts=at + timedelta(seconds=2), symbol="x", price=1.0))
    detector.process_batch([Trade(at + timedelta(seconds=3), "x", 2.0)])
    assert_type(detector.advance_to(at + timedelta(seconds=3)), cep.Result)
    assert_type(detector.tick(), cep.Result)
    assert_type(detector.current("highs"), pa.Table)
    assert_type(detector.status(), dict[str, Any])
    assert_type(detector.rules, RuleVersions)
    assert_type(detector.rules["rise"], RuleVersion)
    assert_type(detector.rules.current, cep.Rules)
    return found


def keep(detector: cep.Detector, place: Path) -> cep.Detector:
    info = assert_type(detector.checkpoint(place), CheckpointInfo)
    assert_type(info.number, int | None)
    assert_type(detector.savepoint(str(place), "before"), CheckpointInfo)
    restored = cep.Detector.restore(place, RULES, workers=2, held_max=10)
    assert_type(restored, cep.Detector)
    assert_type(restored.restored, Restored | None)
    copied = cep.Detector.from_snapshot(detector.snapshot(), RULES, ahead=timedelta(days=1))
    copied.close()
    return restored


def change(detector: cep.Detector) -> list[str]:
    changed = assert_type(detector.update(RULES.replace("1 minute", "2 minutes")), Restored)
    try:
        detector.update("pattern")
    except cep.RuleError as error:
        assert_type(str(error), str)
    return assert_type(changed.fresh, list[str])


def change_by_name(detector: cep.Detector) -> ShadowReport:
    assert_type(detector.add("pattern up from trades match a define a as price > 9"), Restored)
    assert_type(detector.disable("up"), Restored)
    assert_type(detector.enable("up"), Restored)
    assert_type(detector.replace("pattern up from trades match a define a as price > 8"), Restored)
    assert_type(detector.remove("up"), Restored)
    with detector.shadow(RULES) as shadow:
        assert_type(shadow.promote(), Restored)
    return assert_type(shadow.report(), ShadowReport)


def watch(detector: cep.Detector, place: Path) -> None:
    (place / "rules.cep").write_text(RULES)
    with detector.watch(place, lambda watcher: print(watcher.error)) as watcher:
        assert_type(watcher.restored, Restored | None)


def end(detector: cep.Detector) -> cep.Result:
    with detector.tick_every(timedelta(hours=1), lambda result: print(len(result))) as ticker:
        assert_type(ticker, Ticker)
        assert_type(ticker.is_running, bool)
    try:
        return detector.finish()
    except cep.CallbackError as error:
        return assert_type(error.result, cep.Result)


def main(place: Path) -> None:
    with made() as detector:
        assert_type(detector, cep.Detector)
        assert [match.values["low"] for match in process(detector)] == [1.0]
        with keep(detector, place) as restored:
            assert restored.restored is not None
        assert sorted(change(detector)) == ["highs", "rise"]
        assert change_by_name(detector).is_same
        watch(detector, place)
        assert len(end(detector)) == 0
