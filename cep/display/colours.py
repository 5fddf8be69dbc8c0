"""Rule text in colours, where Pygments is there (IPython brings it), else as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from cep.display.html import CODE, css, faint, tag
from cep.display.style import INK, PALETTE

LENGTH_SHOWN = 3_000


def code(text: str) -> Element:
    """A block of rule text."""
    shown = text[:LENGTH_SHOWN]
    made = tag("pre", *_spans(shown), style=css(CODE))  # nbconvert keeps its line beginnings
    if len(text) > len(shown):
        made.append(faint(f"… and {len(text) - len(shown):,} more characters"))
    return made


def _spans(text: str) -> list[Element | str]:
    try:
        from cep.notebook.highlight import RulesLexer
    except ImportError:  # no Pygments
        return [text]
    looks = _looks()
    return [_span(value, _look(kind, looks)) for kind, value in RulesLexer().get_tokens(text)]


def _span(text: str, look: str | None) -> Element | str:
    return text if look is None else tag("span", text, style=look)


def _look(kind: Any, looks: Mapping[Any, str]) -> str | None:
    """That of the token type or of the next one above it."""
    return next((looks[k] for k in reversed(kind.split()) if k in looks), None)


def _looks() -> dict[Any, str]:
    from pygments.token import Comment, Keyword, Name, Number, String

    return {
        Keyword: f"color:{PALETTE[0]}",
        Keyword.Declaration: f"color:{PALETTE[0]};font-weight:bold",
        Name.Function: f"color:{PALETTE[7]}",
        Name.Constant: f"color:{PALETTE[3]}",
        Name.Variable.Global: f"color:{PALETTE[3]}",
        Number: f"color:{PALETTE[3]}",
        String: f"color:{PALETTE[2]}",
        Comment: f"color:{INK}",
    }
