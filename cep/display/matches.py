"""A match, and the first of many, in HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cep.display.html import Content, block, cut, faint, html, scrolled, strong, table
from cep.display.tables import COLUMNS_SHOWN, ROWS_SHOWN, first_of, more, value
from cep.display.timeline import timeline_svg
from cep.results.matches import Match, MatchTable
from cep.results.values import as_cell, as_written, counted

EVENTS_DRAWN = 300


def match_html(match: Match) -> str:
    """Title, time line and values."""
    one = match.alone()
    values = list(one.values.items())
    shown = [(cut(name), value(found)) for name, found in values[:ROWS_SHOWN]]
    size = sum(one.sizes.values())
    return html(
        block(
            strong(_title(one, size)),
            scrolled(timeline_svg(one.taken(EVENTS_DRAWN))),
            first_of(EVENTS_DRAWN, size, "event"),
            table(("select", "value"), shown) if shown else None,
            more(len(values) - ROWS_SHOWN, "value"),
        )
    )


def _title(match: Match, size: int) -> str:
    key = "" if match.key is None else f", key {as_written(match.key)}"
    return f"{match.pattern}{key}: {counted(size, 'event')} in {as_cell(match.end - match.start)}"


def table_html(matches: MatchTable) -> str:
    return html(block(*table_content(matches)))


def table_content(matches: MatchTable) -> Iterator[Content]:
    """How many there are, and the first of them as a table."""
    yield strong(matches.title)
    first = matches.first(ROWS_SHOWN)
    if first:
        yield _table(first)
        yield faint(f"the first {ROWS_SHOWN} of them") if len(matches) > ROWS_SHOWN else None


def _table(matches: Sequence[Match]) -> Content:
    """A row for each: its number, when and for whom, and its values or what was taken."""
    values = [match.values for match in matches]
    keys = ["key"] if any(match.key_fields for match in matches) else []
    fixed = ["pattern", *keys, "start", "end", "events"]
    names = list(dict.fromkeys(name for found in values for name in found))
    shown = names[: COLUMNS_SHOWN - len(fixed)]
    rows = [
        [str(place), *(_fixed(match, name) for name in fixed), *(_at(found, n) for n in shown)]
        for place, (match, found) in enumerate(zip(matches, values, strict=True))
    ]
    return block(table(["", *fixed, *shown], rows), more(len(names) - len(shown), "value"))


def _fixed(match: Match, column: str) -> Content:
    if column == "events":
        return taken_text(match)
    return "" if column == "key" and not match.key_fields else value(getattr(match, column))


def taken_text(match: Match) -> str:
    """Which variables took how many events."""
    return ", ".join(f"{name} x{size}" if size > 1 else name for name, size in match.sizes.items())


def _at(values: dict[str, Any], name: str) -> Content:
    """A pattern that selects no such value has none, not NULL."""
    return value(values[name]) if name in values else ""
