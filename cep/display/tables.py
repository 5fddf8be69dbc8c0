"""Late events, errors, rows of aggregates and joins: the first of each as HTML tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element

import pyarrow as pa

from cep.display.html import Content, block, cut, faint, folded, html, strong, table, tag
from cep.display.style import INK
from cep.results.columns import in_microseconds
from cep.results.errors import ErrorTable
from cep.results.tables import LateTable, RowTables
from cep.results.values import as_cell, counted

ROWS_SHOWN = 10
COLUMNS_SHOWN = 15
REASONS_SHOWN = 10
TABLES_SHOWN = 20


def value(of: Any) -> Content:
    """A value in a cell; NULL is told from an empty text."""
    if of is None:
        return tag("span", "NULL", style=f"color:{INK}")
    if isinstance(of, datetime):
        return tag("span", as_cell(of), style="white-space:nowrap")
    return cut(as_cell(of))


def rows_table(rows: pa.Table) -> Element:
    """Rows of an Arrow table, all of them, and as many columns as fit."""
    shown = rows.select(rows.schema.names[:COLUMNS_SHOWN])
    lines = in_microseconds(shown).to_pylist()
    return block(
        table(shown.schema.names, [[value(v) for v in line.values()] for line in lines]),
        more(rows.num_columns - COLUMNS_SHOWN, "column"),
    )


def more(left_out: int, what: str) -> Element | None:
    """How much is not shown."""
    return faint(f"… and {counted(left_out, f'more {what}')}") if left_out > 0 else None


def first_of(shown: int, total: int, what: str, many: str = "") -> Element | None:
    """How much of it all is shown."""
    if shown >= total:
        return None
    return faint(f"the first {shown:,} of {counted(total, what, many)}")


def errors_html(errors: ErrorTable) -> str:
    return html(block(strong(counted(len(errors), "error")), *errors_content(errors)))


def errors_content(errors: ErrorTable) -> Iterator[Content]:
    """How often each reason, and the first events."""
    counts = sorted(errors.counts().items(), key=lambda item: -item[1])
    if len(counts) > 1:
        yield table(
            ("events", "reason"), [(f"{n:,}", reason_text(r)) for r, n in counts[:REASONS_SHOWN]]
        )
        yield more(len(counts) - REASONS_SHOWN, "reason")
    if len(errors):
        yield rows_table(errors.first(ROWS_SHOWN))
        yield first_of(ROWS_SHOWN, len(errors), "error")


def reason_text(reason: tuple[str, str | None, str | None]) -> str:
    """What went wrong, and in which condition."""
    text, pattern, variable = reason
    where = [part for part in (pattern, variable) if part is not None]
    return f"{text} (in {'.'.join(where)})" if where else text


def late_html(late: LateTable) -> str:
    return html(block(strong(counted(len(late), "late event")), *late_content(late)))


def late_content(late: LateTable) -> Iterator[Content]:
    if len(late):
        yield rows_table(late.to_arrow().slice(0, ROWS_SHOWN))
        yield first_of(ROWS_SHOWN, len(late), "late event")


def rows_html(tables: RowTables) -> str:
    return html(block(*rows_content(tables, is_open=True) or [faint("no aggregates and no joins")]))


def rows_content(tables: RowTables, *, is_open: bool) -> list[Content]:
    """Each aggregate and join with its first rows."""
    counts = tables.counts()
    made: list[Content] = [
        _rows(tables, n, counts[n], is_open) for n in list(counts)[:TABLES_SHOWN]
    ]
    return [*made, more(len(counts) - TABLES_SHOWN, "table")]


def _rows(tables: RowTables, name: str, size: int, is_open: bool) -> Element:
    title = f"{name}: {counted(size, 'row')}"
    if not size:
        return block(title)
    first = rows_table(tables[name].slice(0, ROWS_SHOWN))
    return folded(title, first, first_of(ROWS_SHOWN, size, "row"), is_open=is_open)


def fields_lines(event: Mapping[str, Any], fields: int = 30) -> Sequence[str]:
    """An event as lines of text, for whoever points at it."""
    lines = [f"{name}: {as_cell(v)}"[:200] for name, v in list(event.items())[:fields]]
    left = len(event) - fields
    return [*lines, f"… and {counted(left, 'more field')}"] if left > 0 else lines
