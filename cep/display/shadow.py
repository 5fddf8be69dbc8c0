"""What rules in the shadow do differently, in HTML."""

from __future__ import annotations

from cep.changing.report import COLUMNS, ShadowReport
from cep.display.html import block, faint, folded, html, strong, table
from cep.display.tables import first_of, rows_table

ROWS_SHOWN = 100


def report_html(report: ShadowReport) -> str:
    cells = report.cells()
    counts = table(COLUMNS, cells[:ROWS_SHOWN])
    more = first_of(ROWS_SHOWN, len(cells), "row")
    sample = report.sample.slice(0, ROWS_SHOWN)
    shown = folded("matches that only one of them has found", rows_table(sample))
    restored = faint(f"at the beginning: {report.restored}")
    return html(block(strong(report.title), restored, counts, more, shown if len(sample) else None))
