"""What a job promises about its output."""

from __future__ import annotations

from enum import StrEnum


class Guarantee(StrEnum):
    """How often a row of the output is there after crashes and restarts."""

    EXACTLY_ONCE = "exactly-once"
    AT_LEAST_ONCE = "at-least-once"
    AT_MOST_ONCE = "at-most-once"
