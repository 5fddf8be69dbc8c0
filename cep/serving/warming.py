"""Rules -> everything compiled that the first event needs, before it comes."""

from __future__ import annotations

from typing import Any

from cep.detector import Detector
from cep.engine.algebra.expression import DataType
from cep.rules import Rules
from cep.serving.answers import outcome_of

VALUES: dict[DataType, Any] = {
    DataType.BOOLEAN: True,
    DataType.INTEGER: 1,
    DataType.FLOAT: 1.0,
    DataType.TEXT: "",
    DataType.TIMESTAMP: "2000-01-01T00:00:00",
}


def warm(rules: Rules, options: dict[str, Any]) -> None:
    """Run made-up events through a detector of their own. Undeclared streams stay cold."""
    with Detector(rules, **options) as detector:
        if not all(stream.fields for stream in rules.base_streams):
            return
        for stream in rules.base_streams:
            event = {field.name: VALUES.get(field.type) for field in stream.fields}
            outcome_of(detector.process(event, stream.name), events_in_matches=False)
            outcome_of(detector.process_batch([event, event], stream.name), events_in_matches=False)
        detector.tick()
        detector.snapshot()
        outcome_of(detector.finish(), events_in_matches=False)
