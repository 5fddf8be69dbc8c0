"""What docs/observability.md says of the metrics is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import cep
from cep.observability.prometheus import DetectorCollector
from cep.observability.readings import FAMILIES, RULES_MAX, Kind

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "observability.md").read_text()


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    expected = []
    for family in FAMILIES:
        name = f"{family.name}_total" if family.kind is Kind.COUNTER else family.name
        labels = ", ".join(family.labels)
        expected.append(f"| `{name}` | {family.kind.value} | {labels} | {family.help} |")
    assert [line for line in PAGE.splitlines() if line.startswith("| `cep_")] == expected


def test_the_alerts_name_metrics_that_there_are() -> None:
    names = {sample for family in FAMILIES for sample in _samples(family.name, family.kind)}
    alerts = re.findall(r"expr: (.*)", PAGE)
    assert len(alerts) >= 2
    used = {name for alert in alerts for name in re.findall(r"\bcep_\w+", alert)}
    assert used - names == set()


def _samples(name: str, kind: Kind) -> list[str]:
    if kind is Kind.HISTOGRAM:
        return [f"{name}_{part}" for part in ("bucket", "count", "sum")]
    return [f"{name}_total" if kind is Kind.COUNTER else name]


def test_the_page_says_how_many_series_there_are() -> None:
    stream, pattern = (
        "stream s (ts timestamp, x float) time ts;",
        "pattern p{} match a define a as x",
    )
    aggregate = "aggregate n from s window tumbling 1 minute select count(*) as n"
    one = _series(f"{stream} {pattern.format(1)} > 1")
    assert _series(f"{stream} {pattern.format(1)} > 1; {pattern.format(2)} > 2") - one == 5
    assert _series(f"{stream} {pattern.format(1)} > 1; {aggregate}") - one == 3
    alone, words = one - 4 - 5, " ".join(PAGE.split())
    assert f"A detector has {alone} series, four more for each stream, five for each" in words
    assert f"the first {RULES_MAX:,} rules" in words


def _series(rules: str) -> int:
    """Once there are a watermark and a checkpoint, with which all series are there."""
    detector = cep.Detector(rules)
    detector.process({"ts": "2025-03-03 12:00", "x": 0.0})
    detector.measured.checkpoints.last_us = 0
    registry = CollectorRegistry()
    registry.register(DetectorCollector(detector))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return sum(len(family.samples) for family in families)


def test_the_records_listed_are_those_that_are_written() -> None:
    cep_folder = Path(cep.__file__).parent
    code = "".join(path.read_text() for path in cep_folder.rglob("*.py"))
    listed = re.findall(r"^\| `(\w+)` \| (INFO|WARNING|ERROR) \|", PAGE, re.MULTILINE)
    found = re.findall(r'say\(\s*logging\.([A-Z]+), "(\w+)"', code)
    assert sorted((event, level) for level, event in set(found)) == sorted(listed)
