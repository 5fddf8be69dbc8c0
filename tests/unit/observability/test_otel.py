"""What OpenTelemetry is told, through the readers and exporters of its own kit."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import cep
from cep.observability.otel import DetectorInstruments, trace
from cep.observability.readings import FAMILIES

RULES = """
stream s (id int, ts timestamp, x float) time ts;
pattern up from s match a b define a as true, b as x > a.x;
pattern large from s match a define a as x > 100;
"""
UP = "\n".join(RULES.splitlines()[:3])


def event(id: int, x: float) -> dict[str, Any]:  # noqa: A002
    return {"id": id, "ts": f"2025-03-03 12:00:{id:02}", "x": x}


def told(reader: InMemoryMetricReader) -> dict[str, dict[tuple[tuple[str, Any], ...], float]]:
    """Instrument -> attributes -> value."""
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: {
            tuple(sorted((point.attributes or {}).items())): getattr(point, "value", -1)
            for point in metric.data.data_points
        }
        for of_resource in data.resource_metrics
        for scope in of_resource.scope_metrics
        for metric in scope.metrics
    }


def observed(*detectors: cep.Detector, rules_max: int = 10) -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    instruments = DetectorInstruments(MeterProvider([reader]), rules_max=rules_max)
    for number, detector in enumerate(detectors):
        instruments.add(detector, {"detector": str(number)})
    return reader


def test_a_collection_tells_what_was_counted_by_hand() -> None:
    detector = cep.Detector(RULES)
    detector.process_batch([event(1, 1.0), event(2, 101.0), event(3, 50.0)])
    detector.process(event(4, 70.0))
    found = told(observed(detector))
    own = ("detector", "0")
    assert found["cep.events"] == {(own,): 4}
    assert found["cep.matches"] == {(own,): 3}
    assert found["cep.rule_matches"] == {(own, ("rule", "up")): 2, (own, ("rule", "large")): 1}
    assert found["cep.open_runs"] == {(own,): 0}
    assert found["cep.latency.count"][("call", "process"), own] == 1
    assert found["cep.latency.bucket"][("call", "process"), own, ("le", "+Inf")] == 1
    assert found["cep.latency.sum"][("call", "process"), own] > 0
    assert "cep.watermark_lag" in found


def test_units_are_those_of_the_conventions() -> None:
    reader = observed(cep.Detector(RULES))
    data = reader.get_metrics_data()
    assert data is not None
    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    units = {metric.name: metric.unit for metric in metrics}
    assert units["cep.state"] == "By"
    assert (units["cep.latency.sum"], units["cep.latency.count"]) == ("s", "")
    assert {metric.description for metric in metrics} <= {family.help for family in FAMILIES}


def test_a_detector_is_read_once_per_collection() -> None:
    asked = Counter[str]()

    class Asked(cep.Detector):
        def status(self) -> dict[str, Any]:
            asked["status"] += 1
            return super().status()

    detector = Asked(RULES)
    reader = observed(detector)
    assert told(reader)["cep.events"] == {(("detector", "0"),): 0}
    detector.process(event(1, 1.0))
    assert told(reader)["cep.events"] == {(("detector", "0"),): 1}
    assert asked["status"] == 2


def test_several_detectors_and_few_rules_are_told() -> None:
    one, two = cep.Detector(RULES), cep.Detector(RULES)
    two.process(event(1, 101.0))
    found = told(observed(one, two, rules_max=1))
    assert found["cep.matches"] == {(("detector", "0"),): 0, (("detector", "1"),): 1}
    assert {dict(attributes)["rule"] for attributes in found["cep.rule_matches"]} == {"up"}


def test_a_detector_may_be_taken_out_and_must_be_told_from_others() -> None:
    reader, detector = InMemoryMetricReader(), cep.Detector(RULES)
    instruments = DetectorInstruments(MeterProvider([reader]))
    instruments.add(detector)
    with pytest.raises(cep.DataError, match="another detector has them"):
        instruments.add(cep.Detector(RULES))
    assert "cep.events" in told(reader)
    instruments.remove(detector)
    assert told(reader) == {}
    with pytest.raises(cep.DataError, match="rules_max=-1"):
        DetectorInstruments(MeterProvider(), rules_max=-1)


# ---- spans


def traced(detector: cep.Detector, **options: Any) -> tuple[TracerProvider, InMemorySpanExporter]:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace(detector, provider, **options)
    return provider, exporter


def names(spans: tuple[ReadableSpan, ...]) -> list[str]:
    return [span.name for span in spans]


def test_batches_updates_and_checkpoints_have_spans_and_single_events_have_none(
    tmp_path: Path,
) -> None:
    detector = cep.Detector(RULES)
    _, exporter = traced(detector, attributes={"detector": "one"})
    detector.process(event(1, 1.0))
    detector.tick()
    assert exporter.get_finished_spans() == ()
    detector.process_batch([event(2, 101.0), event(3, 50.0)])
    (span,) = exporter.get_finished_spans()
    assert span.name == "cep.process_batch"
    assert dict(span.attributes or {}) == {"detector": "one", "cep.events": 2, "cep.matches": 2}
    exporter.clear()
    detector.update(UP)
    assert names(exporter.get_finished_spans()) == ["cep.snapshot", "cep.update"]
    exporter.clear()
    info = detector.checkpoint(tmp_path)
    snapshot, checkpoint = exporter.get_finished_spans()
    assert (snapshot.name, checkpoint.name) == ("cep.snapshot", "cep.checkpoint")
    assert snapshot.parent is not None
    assert snapshot.parent.span_id == checkpoint.context.span_id
    assert (checkpoint.attributes or {})["cep.place"] == info.path


def test_single_events_have_spans_where_they_are_asked_for() -> None:
    detector = cep.Detector(RULES)
    _, exporter = traced(detector, single_events=True)
    detector.process(event(1, 101.0))
    (span,) = exporter.get_finished_spans()
    assert (span.name, dict(span.attributes or {})) == (
        "cep.process",
        {"cep.events": 1, "cep.matches": 1},
    )


def test_a_span_says_what_a_call_failed_for() -> None:
    detector = cep.Detector(RULES)
    _, exporter = traced(detector)
    with pytest.raises(cep.DataError):
        detector.process_batch([event(1, 1.0)], "nowhere")
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert [each.name for each in span.events] == ["exception"]


def test_a_span_in_an_event_loop_is_the_parent_of_that_on_the_thread() -> None:
    detector = cep.Detector(RULES)
    provider, exporter = traced(detector)

    async def request() -> None:
        with provider.get_tracer("test").start_as_current_span("request"):
            await detector.aprocess_batch([event(1, 1.0)])

    asyncio.run(request())
    detector.close()
    inner, outer = exporter.get_finished_spans()
    assert (inner.name, outer.name) == ("cep.process_batch", "request")
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
