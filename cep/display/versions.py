"""The statements of a detector in HTML, each with its version and, folded, its text."""

from __future__ import annotations

from cep.changing.versions import RuleVersions
from cep.display.colours import code
from cep.display.html import Content, block, folded, html, strong, table
from cep.display.tables import first_of

ROWS_SHOWN = 100


def versions_html(versions: RuleVersions) -> str:
    rows: list[tuple[Content, ...]] = [
        (*cells, folded("text", code(version.text)))
        for cells, version in zip(versions.cells()[:ROWS_SHOWN], versions, strict=False)
    ]
    head = ("name", "kind", "version", "since", "state", "")
    left_out = first_of(ROWS_SHOWN, len(versions), "statement")
    return html(block(strong(versions.title), table(head, rows), left_out))
