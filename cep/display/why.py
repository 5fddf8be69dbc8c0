"""Why a match is one, in HTML: a row for each condition of each of its events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cep.display.html import Content, block, cut, faint, html, strong, table, tag
from cep.display.style import INK, PALETTE
from cep.results.values import as_cell, counted
from cep.results.why import NOT_KEPT, Reason, Taken, Why

FIRST_SHOWN, LAST_SHOWN = 30, 10
TEXT_LENGTH = 120


def why_html(why: Why) -> str:
    return html(
        block(
            strong(why.title),
            table(("time", "variable", "condition", "values"), reason_rows(why.taken)),
            *(tag("div", cut(sentence, TEXT_LENGTH)) for sentence in why.absent),
        )
    )


def reason_rows(taken: Sequence[Taken]) -> Iterator[Sequence[Content]]:
    """Of a long match the first and the last events."""
    between = len(taken) - FIRST_SHOWN - LAST_SHOWN
    first, last = (taken, ()) if between <= 0 else (taken[:FIRST_SHOWN], taken[-LAST_SHOWN:])
    for one in first:
        yield from _rows(one)
    if last:
        yield "…", faint(counted(between, "more event")), "", ""
    for one in last:
        yield from _rows(one)


def _rows(one: Taken) -> Iterator[Sequence[Content]]:
    """Time and variable stand in the first row of an event."""
    begin: tuple[Content, Content] = as_cell(one.time), cut(one.variable)
    if not one.reasons:
        yield *begin, tag("span", "any event", style=f"color:{INK}"), ""
    for reason in one.reasons:
        yield *begin, _condition(reason), cut(reason.values_text, TEXT_LENGTH)
        begin = "", ""


def _condition(reason: Reason) -> Content:
    text = cut(reason.text, TEXT_LENGTH)
    if reason.holds is None:
        return tag("span", text, tag("span", f" ({NOT_KEPT})", style=f"color:{INK}"))
    if not reason.holds:
        return tag("span", text, tag("span", " does not hold", style=f"color:{PALETTE[3]}"))
    return text
