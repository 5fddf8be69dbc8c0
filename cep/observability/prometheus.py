"""Detectors -> metrics of the official Prometheus client, read when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from cep.engine.algebra.errors import DataError
from cep.observability.histogram import Histogram
from cep.observability.readings import (
    FAMILIES,
    RULES_MAX,
    Family,
    Kind,
    Readable,
    Reading,
    Value,
    check_rules_max,
    read,
    samples,
)

NO_LABELS: Mapping[str, str] = {}
OWN_LABELS = frozenset(label for family in FAMILIES for label in (*family.labels, "le"))


class DetectorCollector(Collector):
    """What `registry.register` takes: one collector for all detectors of a process.

    `labels` tell detectors apart; all of them have the same names. The first `rules_max` rules of
    each have series of their own, five each (0: none do). A scrape waits for the call that a
    detector is at, and takes it some 15 microseconds a rule, during which its next call waits.

    Raises DataError for labels that do not fit.
    """

    def __init__(
        self,
        detector: Readable | None = None,
        labels: Mapping[str, str] = NO_LABELS,
        *,
        rules_max: int = RULES_MAX,
    ) -> None:
        self._rules_max = check_rules_max(rules_max)
        self._names = tuple(sorted(labels))
        self._detectors: dict[tuple[str, ...], Readable] = {}
        _check_names(self._names)
        if detector is not None:
            self.add(detector, labels)

    def add(self, detector: Readable, labels: Mapping[str, str] = NO_LABELS) -> None:
        """Collect of another detector, under other values of the same labels."""
        if not self._detectors and not self._names:
            self._names = tuple(sorted(labels))
            _check_names(self._names)
        if tuple(sorted(labels)) != self._names:
            known = ", ".join(self._names) or "none"
            raise DataError(f"labels {sorted(labels)}: all detectors have the same names: {known}")
        values = tuple(str(labels[name]) for name in self._names)
        if values in self._detectors:
            raise DataError(f"labels {dict(labels)}: another detector has them; give it others")
        self._detectors[values] = detector

    def remove(self, detector: Readable) -> None:
        """Collect of it no more."""
        self._detectors = {v: each for v, each in self._detectors.items() if each is not detector}

    def describe(self) -> Iterable[Metric]:
        """The families without values: registering reads no detector."""
        return [_metric(family, self._names) for family in FAMILIES]

    def collect(self) -> Iterable[Metric]:
        """All families with the values of all detectors, each read once."""
        now = [
            (values, detector, read(detector, self._rules_max))
            for values, detector in list(self._detectors.items())
        ]
        return [self._filled(family, now) for family in FAMILIES]

    def _filled(
        self, family: Family, now: Sequence[tuple[tuple[str, ...], Readable, Reading]]
    ) -> Metric:
        metric = _metric(family, self._names)
        for values, detector, reading in now:
            for labels, value in samples(family, reading, detector.measured.begun_with):
                _add(metric, (*values, *labels), value)
        return metric


_Known = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_CLASSES: Mapping[Kind, Callable[..., _Known]] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


def _metric(family: Family, names: tuple[str, ...]) -> _Known:
    return _CLASSES[family.kind](family.name, family.help, labels=(*names, *family.labels))


def _add(metric: _Known, labels: tuple[str, ...], value: Value) -> None:
    if isinstance(metric, HistogramMetricFamily):
        assert isinstance(value, Histogram), f"{metric.name} has no plain values"
        bounds = (*map(repr, value.bounds), "+Inf")
        buckets = list(zip(bounds, value.up_to(), strict=True))
        metric.add_metric(labels, buckets, value.sum)
    else:
        assert not isinstance(value, Histogram), f"{metric.name} has plain values"
        metric.add_metric(labels, value)


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if name in OWN_LABELS:
            raise DataError(f"label {name!r}: the metrics have one of that name; use another")
