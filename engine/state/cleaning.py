"""When keys, texts or events are worth cleaning of those that nobody needs any more."""

from __future__ import annotations

WEIGHT_KEPT_MIN = 1 << 24  # so that few, but long texts do not fill memory either


class Cleaning:
    """Due where there is twice as much as was kept the last time.

    `entries_min`: fewer are not worth it, unless their texts are long. `weight` is in characters or
    bytes. The work is in proportion to what there is, so it is constant for each entry.
    """

    def __init__(self, entries_min: int) -> None:
        self._entries_min = entries_min
        self.entries = entries_min
        self.weight = WEIGHT_KEPT_MIN

    def is_due(self, entries: int, weight: int) -> bool:
        return entries >= self.entries or weight >= self.weight

    def done(self, entries: int, weight: int) -> None:
        """So much was kept."""
        self.entries = max(2 * entries, self._entries_min)
        self.weight = max(2 * weight, WEIGHT_KEPT_MIN)
