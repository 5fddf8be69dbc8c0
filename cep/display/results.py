"""What a run found, in HTML: the numbers, the first matches, and the rest to open."""

from __future__ import annotations

from collections.abc import Iterator

from cep.display.html import Content, block, faint, folded, html, table
from cep.display.matches import table_content
from cep.display.tables import errors_content, late_content, more, rows_content
from cep.results.result import Result, Summary
from cep.results.values import counted

PATTERNS_SHOWN = 20


def result_html(result: Result) -> str:
    summary = result.summary(exact=False)
    return html(
        block(
            *table_content(result.matches),
            faint(summary.pace),
            *_by_pattern(summary),
            *rows_content(result.tables, is_open=not summary.matches),
            *_sides(result),
            *(faint(f"note: {note}") for note in summary.notes),
        )
    )


def _by_pattern(summary: Summary) -> Iterator[Content]:
    """Those with most matches, where there are several patterns."""
    if len(summary.matches) < 2:
        return
    most = sorted(summary.matches.items(), key=lambda item: -item[1])
    yield table(("pattern", "matches"), [(n, f"{size:,}") for n, size in most[:PATTERNS_SHOWN]])
    yield more(len(most) - PATTERNS_SHOWN, "pattern")


def _sides(result: Result) -> Iterator[Content]:
    """What did not become a match, where there is any."""
    errors = result.known_errors()
    if len(result.timeouts):
        yield folded(result.timeouts.title, *table_content(result.timeouts))
    if len(result.late):
        yield folded(counted(len(result.late), "late event"), *late_content(result.late))
    if len(errors):
        title = f"{counted(len(errors), 'event')} with errors"
        yield folded(title, *errors_content(errors))
