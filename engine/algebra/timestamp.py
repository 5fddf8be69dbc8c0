"""Text -> microseconds since 1970, one value at a time (columns: `engine.columns.cast`).

Accepted: a date, or date and time separated by a space or a T, ISO 8601, years 0001 to 9999, hours
and minutes given, seconds and a fraction of up to nine digits optional, then optionally Z or an
offset such as +02:00. Without a zone the time is UTC. Digits past the microsecond are cut off.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

TIMESTAMP_FORM = (
    r"^\s*(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[ T](?P<minutes>[0-9]{2}:[0-9]{2})"
    r"(?P<seconds>:[0-9]{2}(?:(?P<fraction>\.[0-9]{1,6})[0-9]{0,3})?)?"
    r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?\s*$"
)
_FORM = re.compile(TIMESTAMP_FORM, re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse_timestamp(text: str) -> int | None:
    """Microseconds since 1970 UTC, or None where the text is not a timestamp.

    >>> parse_timestamp("1970-01-01 00:00:01.5")
    1500000
    >>> parse_timestamp("yesterday") is None
    True
    """
    found = _FORM.match(text)
    if found is None:
        return None
    whole = f"{found['date']}T{found['minutes'] or '00:00'}{(found['seconds'] or ':00')[:3]}"
    fraction = (found["fraction"] or ".0")[1:].ljust(6, "0")
    zone = (found["zone"] or "Z").replace("Z", "+00:00")
    try:
        return (datetime.fromisoformat(f"{whole}.{fraction}{zone}") - _EPOCH) // _MICROSECOND
    except ValueError:
        return None
