"""Colours that read on white and on #111, and short texts: of plots and notebook displays."""

from __future__ import annotations

# Okabe and Ito's colours for all kinds of sight, without those that vanish on white or on black.
PALETTE = ("#0077bb", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#999933", "#aa4499")
INK = "#7b7b7b"  # a contrast of more than 4 on white and on #111
GRID = "rgba(128, 128, 128, 0.25)"

STATE_COLORS = {
    "start": INK,
    "state": PALETTE[0],
    "pending": "#b07800",
    "match": "#00805d",
    "killed": "#b84f00",
}
"""Kind of a state -> its colour, on which white text can be read."""


def shortened(text: str, length: int) -> str:
    """At most `length` characters of a text; cut between words where there are."""
    if len(text) <= length:
        return text
    cut = text[: length - 1]
    words = cut.rpartition(" ")[0] if text[length - 1] != " " else cut
    return (words if len(words) > length // 2 else cut).rstrip() + "…"
