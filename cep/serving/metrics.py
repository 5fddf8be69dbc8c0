"""A service -> what Prometheus reads of it and of its detector."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cep.observability.prometheus import DetectorCollector
from cep.serving.core import Core


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the service around a `Core` counts."""

    checkpoints_written: int
    checkpoints_failed: int
    listeners: int
    waiting: int


class ServiceCollector(Collector):
    """What only the service knows."""

    def __init__(self, core: Core, numbers: Numbers) -> None:
        self._core = core
        self._numbers = numbers

    def collect(self) -> Iterable[Metric]:
        """Counters begin at 0 with each process, but for entries and messages."""
        core, numbers = self._core, self._numbers
        counters = {
            "entries": ("Events, batches, ticks and rules that were taken.", core.position),
            "messages": ("Matches, timed-out runs and rows for listeners.", core.feed.last),
            "duplicates": ("Events that had come before.", core.duplicates),
            "broken_lines": ("Lines of NDJSON that were no events.", core.broken_lines),
            "checkpoints": ("Checkpoints written.", numbers.checkpoints_written),
            "checkpoint_failures": ("Checkpoints that failed.", numbers.checkpoints_failed),
        }
        gauges = {
            "ids": ("Ids that are remembered.", len(core.remembered)),
            "answers_bytes": ("Size of remembered answers.", core.remembered.answers_bytes),
            "listeners": ("Clients that listen for matches.", numbers.listeners),
            "waiting_requests": ("Requests that wait for their turn.", numbers.waiting),
        }
        for name, (about, count) in counters.items():
            yield CounterMetricFamily(f"cep_service_{name}", about, count)
        for name, (about, count) in gauges.items():
            yield GaugeMetricFamily(f"cep_service_{name}", about, count)


def metrics_of(core: Core, numbers: Numbers) -> bytes:
    """All of them as they are now. Nobody may work with the detector meanwhile."""
    registry = CollectorRegistry()
    registry.register(DetectorCollector(core.detector))
    registry.register(ServiceCollector(core, numbers))
    return generate_latest(registry)
