"""Near misses in HTML: what each took, what it needed, what ended it, what would have helped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from cep.display.html import Content, block, cut, faint, html, strong, table, tag
from cep.display.style import PALETTE
from cep.display.why import reason_rows
from cep.results.values import as_cell
from cep.whynot.answer import Nearest, NearMiss, Suggestion, WhyNot

FIRST_SHOWN = 10
TEXT_LENGTH = 300


def why_not_html(answer: WhyNot) -> str:
    shown = answer.near_misses[:FIRST_SHOWN]
    more = len(answer) - len(shown)
    return html(
        block(
            *(_near_miss(miss) for miss in shown),
            faint(f"and {more:,} more") if more else None,
            *(tag("div", cut(note, TEXT_LENGTH)) for note in answer.notes),
        )
    )


def near_miss_html(miss: NearMiss) -> str:
    return html(_near_miss(miss))


def _near_miss(miss: NearMiss) -> Element:
    columns = ("time", "variable", "condition", "values")
    taken = table(columns, reason_rows(miss.taken)) if miss.taken else None
    return block(strong(miss.title), taken, table(("", ""), _said(miss)))


def _said(miss: NearMiss) -> Iterator[Sequence[Content]]:
    if miss.needed:
        yield faint("still needed"), _line(", then ".join(miss.needed))
    if miss.nearest is not None:
        yield faint("came nearest"), _nearest(miss.nearest)
    yield faint("ended"), _line(miss.ended)
    for suggestion in miss.suggestions:
        yield faint("tried"), _suggestion(suggestion)


def _nearest(nearest: Nearest) -> Content:
    unmet = "; ".join(map(str, nearest.unmet)) or "it meets all that is asked"
    return _line(f"{as_cell(nearest.time)} as {nearest.variable}: {unmet}")


def _suggestion(suggestion: Suggestion) -> Content:
    color = PALETTE[2] if suggestion.is_enough else PALETTE[3]
    outcome = tag("span", suggestion.outcome, style=f"color:{color}")
    return tag("span", cut(f"{suggestion.text}: ", TEXT_LENGTH), outcome)


def _line(text: str) -> Content:
    """Longer than a cell of a table of data would show it."""
    return tag("span", cut(text, TEXT_LENGTH))
