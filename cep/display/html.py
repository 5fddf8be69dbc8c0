"""Elements of HTML and SVG, tables among them. ElementTree writes them, so all text is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from xml.etree.ElementTree import Element, tostring

from cep.display.style import GRID, INK, shortened

CELL_LENGTH = 60
TITLE_LENGTH = 2_000  # of what is shown in full when one points at it
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")

FONT = {"font-size": "13px", "line-height": "1.4"}
CODE = {"font-family": "monospace", "white-space": "pre-wrap", "margin": "4px 0", "padding": "0"}
CODE |= {"border": "none", "background": "transparent", "color": "inherit"}
FAINT = {"color": INK}
_CELL = {"text-align": "left", "vertical-align": "top", "padding": "2px 10px 2px 0"}
_CELL |= {"border": "none", "max-width": "420px", "overflow-wrap": "break-word"}
_HEAD = _CELL | {"border-bottom": f"1px solid {GRID}", "font-weight": "bold"}
_HEAD |= {"vertical-align": "bottom"}
_TABLE = FONT | {"border-collapse": "collapse", "border": "none", "margin": "4px 0"}
_ROW = {"background": "transparent", "border": "none"}

Content = Element | str | None


def tag(name: str, *content: Content, **attributes: object) -> Element:
    """An element; None among its content and its attributes is left out."""
    given = {key: clean(str(value)) for key, value in attributes.items() if value is not None}
    made = Element(name, given)
    for part in content:
        if isinstance(part, Element):
            made.append(part)
        elif part is not None:
            _append_text(made, clean(part))
    return made


def _append_text(to: Element, text: str) -> None:
    if len(to):
        to[-1].tail = (to[-1].tail or "") + text
    else:
        to.text = (to.text or "") + text


def clean(text: str) -> str:
    """The text without what no document may hold."""
    return _NO_TEXT.sub("\ufffd", text)


def css(*styles: Mapping[str, str]) -> str:
    """Styles as the text of an attribute."""
    return ";".join(f"{key}:{value}" for style in styles for key, value in style.items())


def html(element: Element) -> str:
    """As text."""
    return tostring(element, encoding="unicode", method="html")


def block(*content: Content) -> Element:
    return tag("div", *content, style=css(FONT))


def strong(text: str) -> Element:
    return tag("strong", text)


def faint(text: str) -> Element:
    """What is said beside the matter."""
    return tag("div", text, style=css(FAINT))


def cut(text: str, length: int = CELL_LENGTH) -> Content:
    """The text, where it is long shortened and in full when one points at it."""
    if len(text) <= length:
        return text
    return tag("span", shortened(text, length), title=shortened(text, TITLE_LENGTH))


def table(head: Sequence[str], rows: Iterable[Sequence[Content]]) -> Element:
    """A table that keeps its looks in whatever page it stands."""
    made = tag("table", style=css(_TABLE))
    cells = [tag("th", cut(name), style=css(_HEAD)) for name in head]
    made.append(tag("thead", tag("tr", *cells, style=css(_ROW))))
    lines = [tag("tr", *(_cell(cell) for cell in row), style=css(_ROW)) for row in rows]
    made.append(tag("tbody", *lines))
    return made


def _cell(content: Content) -> Element:
    return tag("td", cut(content) if isinstance(content, str) else content, style=css(_CELL))


def folded(summary: Content, *content: Content, is_open: bool = False) -> Element:
    """What opens when one clicks on it."""
    made = tag("details", tag("summary", summary, style="cursor:pointer"), *content)
    if is_open:
        made.set("open", "open")
    return made


def svg(width: int, height: int) -> Element:
    """A picture of so many pixels, to be filled."""
    shrinks = f"max-width:100%;min-width:{int(width * 0.7)}px;height:auto"
    look = f"display:block;font-family:sans-serif;font-size:11px;{shrinks}"
    size = {"width": width, "height": height, "viewBox": f"0 0 {width} {height}"}
    return tag("svg", xmlns="http://www.w3.org/2000/svg", role="img", style=look, **size)


def scrolled(content: Element) -> Element:
    """What may be larger than the page."""
    return tag("div", content, style="overflow:auto;max-height:600px")
