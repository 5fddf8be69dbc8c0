"""Detectors -> OpenTelemetry: instruments that are observed, and spans around calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.trace import Span, TracerProvider

from cep.engine.algebra.errors import DataError
from cep.engine.checkpoint.store import CheckpointInfo
from cep.observability.histogram import Histogram
from cep.observability.measured import Measured
from cep.observability.readings import (
    FAMILIES,
    RULES_MAX,
    Family,
    Kind,
    Readable,
    Reading,
    check_rules_max,
    read,
    samples,
)
from cep.results.result import Result

SCOPE = "cep"
UNITS = {"seconds": "s", "bytes": "By", "": ""}
TRACED = frozenset(("process_batch", "snapshot", "update", "checkpoint"))
Attributes = Mapping[str, str]
NO_ATTRIBUTES: Attributes = {}


# -- metrics ---------------------------------------------------------------------------------------


class DetectorInstruments:
    """Observable instruments of a meter provider over the detectors that are added.

    They are those of `DetectorCollector`, without units in their names: `cep.rule_matches`,
    `cep.watermark_lag` in seconds. Histograms, which cannot be observed, are three counters:
    `.count`, `.sum` and `.bucket` with the attribute `le`. The first `rules_max` rules of a
    detector have values of their own. Detectors are read once per collection.
    """

    def __init__(self, provider: MeterProvider, *, rules_max: int = RULES_MAX) -> None:
        self._rules_max = check_rules_max(rules_max)
        self._detectors: list[tuple[Readable, Attributes]] = []
        self._readings: list[tuple[Reading, Readable, Attributes]] = []
        self._given: set[str] = set()
        meter = provider.get_meter(SCOPE)
        for family in FAMILIES:
            for name, part in _instruments_of(family):
                is_gauge = family.kind is Kind.GAUGE
                create: Callable[..., object] = (
                    meter.create_observable_gauge if is_gauge else meter.create_observable_counter
                )
                unit = "" if part in ("count", "bucket") else UNITS[family.unit]
                create(name, [self._callback(family, name, part)], unit, family.help)

    def add(self, detector: Readable, attributes: Attributes = NO_ATTRIBUTES) -> None:
        """Observe a detector, too; the attributes tell it from the others."""
        if any(attributes == known for _, known in self._detectors):
            raise DataError(f"attributes {dict(attributes)}: another detector has them")
        self._detectors = [*self._detectors, (detector, dict(attributes))]

    def remove(self, detector: Readable) -> None:
        """Observe it no more."""
        self._detectors = [pair for pair in self._detectors if pair[0] is not detector]

    def _callback(
        self, family: Family, name: str, part: str
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observed(_: CallbackOptions) -> Iterator[Observation]:
            for reading, detector, attributes in self._read_for(name):
                for labels, value in samples(family, reading, detector.measured.begun_with):
                    own = {**attributes, **dict(zip(family.labels, labels, strict=True))}
                    if isinstance(value, Histogram):
                        yield from _of_histogram(value, part, own)
                    else:
                        yield Observation(value, own)

        return observed

    def _read_for(self, name: str) -> list[tuple[Reading, Readable, Attributes]]:
        """What all instruments of a collection are given; a new one begins where one asks again."""
        if name in self._given or not self._given:
            self._given.clear()
            self._readings = [(read(d, self._rules_max), d, a) for d, a in self._detectors]
        self._given.add(name)
        return self._readings


def _instruments_of(family: Family) -> list[tuple[str, str]]:
    """(name, which part of a histogram it is, else "") of a family's instruments."""
    name = family.name.replace("cep_", "cep.", 1).removesuffix(f"_{family.unit}")
    if family.kind is not Kind.HISTOGRAM:
        return [(name, "")]
    return [(f"{name}.{part}", part) for part in ("count", "sum", "bucket")]


def _of_histogram(
    value: Histogram, part: str, attributes: Mapping[str, str]
) -> Iterator[Observation]:
    if part == "sum":
        yield Observation(value.sum, attributes)
    elif part == "count":
        yield Observation(len(value), attributes)
    else:
        for bound, count in zip((*map(repr, value.bounds), "+Inf"), value.up_to(), strict=True):
            yield Observation(count, {**attributes, "le": bound})


# -- spans -----------------------------------------------------------------------------------------


class Traceable(Protocol):
    """What has spans around its calls: a `cep.Detector`."""

    measured: Measured


def trace(
    detector: Traceable,
    provider: TracerProvider,
    *,
    attributes: Attributes = NO_ATTRIBUTES,
    single_events: bool = False,
) -> None:
    """Spans around `process_batch`, `update`, `snapshot` and checkpoints of a detector.

    `cep.process_batch` has the numbers of events and matches. With `single_events` there is one
    around each `process`, too, which takes longer than most of these calls.
    """
    calls = TRACED | {"process"} if single_events else TRACED
    detector.measured.spans = DetectorSpans(provider, calls, dict(attributes))


class DetectorSpans:
    """The `Spans` of `cep.observability.calls` for OpenTelemetry."""

    def __init__(
        self, provider: TracerProvider, calls: frozenset[str], attributes: Attributes
    ) -> None:
        self._tracer = provider.get_tracer(SCOPE)
        self._calls = calls
        self._attributes = attributes

    @contextmanager
    def around(
        self, call: str, lock: AbstractContextManager[Any]
    ) -> Iterator[Callable[[object], None]]:
        """The lock, in a span that begins before the wait for it."""
        if call not in self._calls:
            with lock:
                yield _nothing
            return
        begun = self._tracer.start_as_current_span(f"cep.{call}", attributes=self._attributes)
        with begun as span, lock:
            yield lambda result: _tell(span, result)


def _nothing(_: object) -> None:
    """No span, nothing to tell it."""


def _tell(span: Span, result: object) -> None:
    if isinstance(result, Result):
        span.set_attributes({"cep.events": result.events, "cep.matches": len(result)})
    elif isinstance(result, CheckpointInfo):
        span.set_attributes({"cep.place": result.path, "cep.size_bytes": result.size_bytes})
