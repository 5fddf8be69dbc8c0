"""Scores of rules in HTML: those of a backtest, and those of each setting of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cep.display.html import Content, block, faint, html, strong, table, tag

ROWS_SHOWN = 60


def scores_html(headline: str | None, rows: Iterable[Sequence[str]], notes: Sequence[str]) -> str:
    """`rows`: the head of the table, then what stands in it; each a list of texts."""
    head, *body = rows
    shown: list[Content] = [table(head, map(_unbroken, body[:ROWS_SHOWN]))]
    if len(body) > ROWS_SHOWN:
        shown.append(faint(f"and {len(body) - ROWS_SHOWN:,} more rows: to_pandas() has them all"))
    title = None if headline is None else strong(headline)
    return html(block(title, *shown, *(faint(f"note: {note}") for note in notes)))


def _unbroken(row: Sequence[str]) -> list[Content]:
    """A value and its interval in one line."""
    return [tag("span", text, style="white-space:nowrap") for text in row]
