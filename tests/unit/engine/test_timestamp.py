"""Texts that are times, and texts that only look like times."""
# ruff: noqa: RUF001 - digits of other scripts are part of the test

from __future__ import annotations

import pytest

from cep.engine.algebra.timestamp import parse_timestamp


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01", 0),
        (" 1970-01-02 ", 86_400_000_000),
        ("1970-01-01 00:01", 60_000_000),
        ("1970-01-01T00:00:01", 1_000_000),
        ("1970-01-01 00:00:00.5", 500_000),
        ("1970-01-01 00:00:00.000001999", 1),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T02:00:00+0200", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31 23:59:59.999999", -1),
        ("9999-12-31 23:59:59.999999", 253_402_300_799_999_999),
    ],
)
def test_a_text_is_a_time(text: str, expected: int) -> None:
    assert parse_timestamp(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1970",
        "1970-1-1",
        "1970-13-01",
        "2023-02-29",
        "1970-01-01 24:01",
        "1970-01-01 00:00:00.",
        "1970-01-01 00:0012",
        "1970-01-01 00:00 UTC",
        "0000-01-01",
        "１９７０-01-01",
    ],
)
def test_a_text_is_no_time(text: str) -> None:
    assert parse_timestamp(text) is None
