"""A detector that is watched."""

from __future__ import annotations

import json
from typing import assert_type

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, generate_latest

import cep
from cep.observability.otel import DetectorInstruments, trace
from cep.observability.prometheus import DetectorCollector
from cep.observability.status import Status

RULES = """
stream trades (ts timestamp, price float) time ts;
pattern high from trades match a define a as price > 100
"""


def open_runs(status: Status) -> int:
    return sum(rule.get("open_runs", 0) for rule in status["nodes"].values())


def main() -> None:
    registry, reader = CollectorRegistry(), InMemoryMetricReader()
    with cep.Detector(RULES) as detector:
        collector = DetectorCollector(detector, {"detector": "one"}, rules_max=100)
        collector.add(cep.Detector(RULES), {"detector": "two"})
        registry.register(collector)
        DetectorInstruments(MeterProvider([reader])).add(detector)
        trace(detector, TracerProvider(), single_events=True)
        detector.process({"ts": "2025-03-03 12:00", "price": 101.0})
        status: Status = json.loads(json.dumps(detector.status()))
    assert assert_type(open_runs(status), int) == 0
    assert b'cep_matches_total{detector="one"} 1.0' in generate_latest(registry)
    assert reader.get_metrics_data() is not None
