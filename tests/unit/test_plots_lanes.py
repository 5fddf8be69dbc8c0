"""Few events, and a lane for each match that rules find in them."""

from __future__ import annotations

from typing import Any

import pytest

import cep
from cep import plots

AB = "define a as kind = 'a', b as kind = 'b' after match no skip"


def events(text: str, step: int = 1) -> list[dict[str, Any]]:
    """A letter each second, or each `step` seconds."""
    return [
        {"ts": f"2025-01-01 00:{i * step // 60:02}:{i * step % 60:02}", "kind": kind}
        for i, kind in enumerate(text.split())
    ]


def taken(figure: Any) -> list[list[int]]:
    """The places in each lane's line."""
    return [list(one.x) for one in figure.data if one.mode == "lines"]


def test_each_match_has_a_lane_below_the_events_in_their_order() -> None:
    rules = cep.compile(f"pattern p match a ->> b {AB}")
    shuffled = [events("a b a b")[i] for i in (3, 0, 2, 1)]
    figure = plots.lanes(rules, shuffled, "kind")
    assert taken(figure) == [[0, 1], [0, 3], [2, 3]]
    assert list(figure.data[0].text) == ["a", "b", "a", "b"]
    assert list(figure.layout.yaxis.ticktext) == ["events", "match 1", "match 2", "match 3"]
    assert list(figure.layout.xaxis.ticktext) == ["00:00", "00:01", "00:02", "00:03"]
    dots = {one.name: list(zip(one.x, one.y, strict=True)) for one in figure.data if one.showlegend}
    assert dots == {"a": [(0, 1), (0, 2), (2, 3)], "b": [(1, 1), (3, 2), (3, 3)]}
    assert figure.layout.title.text == "3 matches"


def test_timed_out_runs_come_last_and_dashed() -> None:
    rules = cep.compile(
        f"pattern p match a -> b within 3 seconds {AB} on timeout select count(a) as n"
    )
    figure = plots.lanes(rules, events("a b a c c c"), title="within")
    assert list(figure.layout.yaxis.ticktext) == ["events", "match 1", "timed out 1"]
    assert [one.line.dash for one in figure.data if one.mode == "lines"] == ["solid", "dash"]
    assert figure.layout.title.text == "within: 1 match, 1 timed out"


def test_keys_and_patterns_name_their_lanes() -> None:
    rules = cep.compile("""
        pattern one by k match x define x as kind = 'a';
        pattern two by k match y define y as kind = 'b'
    """)
    data = [row | {"k": f"<{i}>"} for i, row in enumerate(events("a b"))]
    names = list(plots.lanes(rules, data).layout.yaxis.ticktext)
    assert names == ["events", "one match 1, &lt;0&gt;", "two match 2, &lt;1&gt;"]


def test_many_matches_are_counted_and_the_first_are_drawn() -> None:
    rules = cep.compile(f"pattern p match a ->> b {AB}")
    figure = plots.lanes(rules, events("a a a a a b b b b b"))
    assert len(taken(figure)) == 20
    assert figure.layout.title.text == "25 matches (the first 20 are drawn)"


def test_what_cannot_be_drawn() -> None:
    rules = cep.compile(f"pattern p match a ->> b {AB}")
    with pytest.raises(cep.DataError, match="61 events: lanes draws at most 60"):
        plots.lanes(rules, events("a " * 61))
    with pytest.raises(cep.DataError, match="no column 'knd'"):
        plots.lanes(rules, events("a b"), "knd")
    two = cep.compile("""
        stream s (ts timestamp) time ts; stream t (ts timestamp) time ts;
        pattern p from s, t match a define a
    """)
    with pytest.raises(cep.DataError, match="several streams"):
        plots.lanes(two, events("a b"))
