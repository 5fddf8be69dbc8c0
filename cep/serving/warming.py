"""Rules -> everything compiled that events need, before the first one comes.

What is compiled depends on the kind of a rule and on what happens to events: a match, a deadline,
captures that are let go. So made-up events go through the rules themselves, where most likely
nothing comes of them, and through a trial in which all of it happens.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from cep.detector import Detector
from cep.engine.algebra.expression import DataType
from cep.rules import Rules, check
from cep.serving.answers import outcome_of

VALUES: dict[DataType, Any] = {
    DataType.BOOLEAN: True,
    DataType.INTEGER: 1,
    DataType.FLOAT: 1.0,
    DataType.TEXT: "",
}
YEARS = (2000, 2010)  # deadlines and windows of the first are over in the second
TRIAL = """
stream trial (ts timestamp, key int, amount float) time ts;
pattern more from trial by key match a -> b within 1 minute
  define a as true, b as amount > a.amount
  on timeout select a.amount as amount;
"""
BEGIN = datetime(2000, 1, 1)  # noqa: DTZ001 - as event times are
CAPTURES = 3_000  # so many that those of runs that are over are let go


def warm(rules: Rules, options: dict[str, Any]) -> None:
    """Run made-up events through detectors of their own. Undeclared streams stay cold."""
    with Detector(rules, **options) as detector:
        if all(stream.fields for stream in rules.base_streams):
            for year in YEARS:
                _pass_by(detector, rules, f"{year}-01-01T00:00:00")
            _end(detector)
    with Detector(check(TRIAL)) as detector:
        _try_out(detector)
        _end(detector)


def _pass_by(detector: Detector, rules: Rules, time: str) -> None:
    values = VALUES | {DataType.TIMESTAMP: time}
    for stream in rules.base_streams:
        event = {field.name: values.get(field.type) for field in stream.fields}
        outcome_of(detector.process(event, stream.name), events_in_matches=False)
        outcome_of(detector.process_batch([event, event], stream.name), events_in_matches=False)


def _try_out(detector: Detector) -> None:
    """Single events of one key that match, time out and are let go; then many of other keys."""
    for second, amount in ((0, 1.0), (1, 2.0), (2, 1.0), (100, 1.0), (101, 2.0)):
        event = {"ts": BEGIN + timedelta(seconds=second), "key": 0, "amount": amount}
        outcome_of(detector.process(event), events_in_matches=True)
    number = np.arange(CAPTURES)
    columns: dict[str, Any] = {
        "ts": pa.array(np.datetime64(BEGIN) + np.timedelta64(200, "s") + number),
        "key": pa.array(number),
        "amount": pa.array(-number / 1.0),
    }
    outcome_of(detector.process_batch(pa.table(columns)), events_in_matches=False)


def _end(detector: Detector) -> None:
    detector.tick()
    detector.snapshot()
    outcome_of(detector.finish(), events_in_matches=False)
