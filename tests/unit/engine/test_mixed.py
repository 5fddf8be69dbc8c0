"""What a value becomes in a declared field does not depend on the values beside it."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import cep

VALUES: list[Any] = [
    *(50.0, 1.0, 0.0, -0.0, 1.5, 0.1, 1e16, 1e17, 2.0**62, 1e300, math.nan, math.inf),
    *(True, False, 0, 1, 7, 2**62, 2**63, -(2**63) - 1, 10**30),
    *(Decimal("50.00"), Decimal("1.5"), Decimal("5E+1"), Decimal("1e400")),
    *(date(2025, 1, 1), datetime(2025, 1, 1, 5, 6, 7, 80), timedelta(1), time(1, 2)),  # noqa: DTZ001
    *(datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=2)))),
    *("", " 50 ", "50.0", "1e3", "true", "TRUE", "1", b"ab", b"50", b"\xff", "\ud800", [1], None),
    *(uuid.UUID(int=3), np.int64(4), np.float64(4.0), np.float32(0.1), np.bool_(True)),
    *(np.datetime64("2025-01-01"), np.timedelta64(5, "s")),
]
TYPES = ["integer", "float", "boolean", "text", "timestamp", "duration"]
RULES = """
stream s (ts timestamp, n integer, v TYPE) time ts;
pattern p from s match a define a as n = 1 select a.v as v;
"""


@pytest.mark.parametrize("type_", TYPES)
def test_a_value_is_the_same_by_itself_and_beside_a_text(type_: str) -> None:
    detector = cep.Detector(RULES.replace("TYPE", type_))
    for value in VALUES:
        event, text = ({"ts": "2025-03-03", "n": n, "v": v} for n, v in ((1, value), (2, "zzz")))
        alone = taken(detector, [event])
        assert taken(detector, [event, text]) == alone, value
        assert taken(detector, [text, event]) == alone, value


def taken(detector: cep.Detector, events: list[dict[str, Any]]) -> list[str]:
    """What became of the event that is no text."""
    try:
        result = detector.process_batch(events)
    except cep.DataError as error:
        return [str(error)]
    values = [repr(match.values["v"]) for match in result.matches]
    return [
        *values,
        *(row.reason.split(":")[0] for row in result.errors if "zzz" not in row.reason),
    ]
