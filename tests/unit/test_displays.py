"""What a notebook shows of rules, results, matches and reasons, read back from its HTML."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import numpy as np
import pyarrow as pa
import pytest

import cep
from cep.results.errors import ErrorTable
from cep.results.result import Result

JUMP = """
pattern jump from trades by symbol match low{2} -> high within 1 minute
  define low as price < 5, high as price > 2 * low.price
  select count(low) as lows, high.price as top, high.note as note
"""
NOTE = "<script>alert(1)</script> & so on"
SVG = "{http://www.w3.org/2000/svg}"


def second(number: float) -> datetime:
    return datetime(2025, 1, 1) + timedelta(seconds=number)  # noqa: DTZ001 - as the data has it


def trades(*prices: float, note: str | None = NOTE) -> list[dict[str, Any]]:
    return [
        {"ts": second(i), "symbol": "x", "price": price, "note": note}
        for i, price in enumerate(prices)
    ]


def shown(what: Any) -> Element:
    """The display, which is well-formed."""
    return fromstring(what._repr_html_())


def text(element: Element) -> str:
    return "".join(element.itertext())


def tables(element: Element) -> Iterator[list[list[str]]]:
    """The cells of each table, its head first."""
    for table in element.iter("table"):
        yield [[text(cell) for cell in row] for row in table.iter("tr")]


def titles(element: Element) -> list[str]:
    """What one sees when one points at something."""
    said = [one.get("title") or "" for one in element.iter("span") if one.get("title")]
    return said + [text(one) for one in element.iter(f"{SVG}title")]


@pytest.fixture(scope="module")
def result() -> Result:
    return cep.compile(JUMP).run(trades(1, 2, 9, 3, 4, 20))


# -- matches ---------------------------------------------------------------------------------------


def test_matches_are_a_table_of_the_first(result: Result) -> None:
    (table,) = tables(shown(result.matches))
    head, first, *_ = table
    assert head == ["", "pattern", "key", "start", "end", "events", "lows", "top", "note"]
    assert first == [
        *("0", "jump", "x", "2025-01-01 00:00:00", "2025-01-01 00:00:02", "low x2, high"),
        *("2", "9", NOTE),
    ]


def test_data_are_text_and_never_tags(result: Result) -> None:
    for what in (result, result.matches, result.matches[0], result.why(0), result.errors):
        names = {element.tag.removeprefix(SVG) for element in shown(what).iter()}
        assert "script" not in names


def test_a_match_is_a_time_line_with_a_lane_for_each_variable(result: Result) -> None:
    display = shown(result.matches[0])
    assert text(display).startswith("jump, key 'x': 3 events in 2 seconds")
    dots = list(display.iter(f"{SVG}circle"))
    xs = [float(dot.get("cx", "")) for dot in dots]
    ys = [dot.get("cy") for dot in dots]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert ys[0] == ys[1] != ys[2]
    assert titles(display)[2] == (
        f"low, 2025-01-01 00:00:00\nts: 2025-01-01 00:00:00\nsymbol: x\nprice: 1\nnote: {NOTE}"
    )
    lanes = [text(one) for one in display.iter(f"{SVG}text")]
    assert lanes == ["lowlow", "highhigh", "2025-01-01 00:00:00", "00:00:02"]
    assert list(tables(display)) == [
        [["select", "value"], ["lows", "2"], ["top", "9"], ["note", NOTE]]
    ]


def test_events_of_one_time_stand_in_the_middle() -> None:
    rules = cep.compile("pattern p match a b define a as x > 0, b as x > 0")
    match = rules.run([{"ts": second(1), "x": 1}, {"ts": second(1), "x": 2}]).matches[0]
    display = shown(match)
    assert len({dot.get("cx") for dot in display.iter(f"{SVG}circle")}) == 1
    assert "p: 2 events in 0 seconds" in text(display)


def test_a_match_over_midnight_says_both_days() -> None:
    rules = cep.compile("pattern p match a b define a as x > 0, b as x > 0")
    utc = [
        {"ts": second(-1).replace(tzinfo=UTC), "x": 1},
        {"ts": second(1).replace(tzinfo=UTC), "x": 2},
    ]
    said = text(shown(rules.run(utc).matches[0]))
    assert "2024-12-31 23:59:59+00:00" in said
    assert "2025-01-01 00:00:01+00:00" in said


def test_without_keys_and_values_no_column_is_for_them() -> None:
    found = cep.compile("pattern p match a define a as x > 1").run([{"ts": second(0), "x": 2}])
    (table,) = tables(shown(found.matches))
    assert table[0] == ["", "pattern", "start", "end", "events"]


def test_null_is_told_from_an_empty_text() -> None:
    notes = [[row[-1] for row in next(tables(shown(run.matches)))][1] for run in _runs("", None)]
    assert notes == ["", "NULL"]


def _runs(*notes: str | None) -> list[Result]:
    return [cep.compile(JUMP).run(trades(1, 2, 9, note=note)) for note in notes]


def test_what_is_long_is_short_and_in_full_when_one_points_at_it() -> None:
    (run,) = _runs("word " * 100)
    cell = next(tables(shown(run.matches)))[1][-1]
    assert cell.endswith("word…")
    assert len(cell) <= 60
    assert ("word " * 100) in titles(shown(run.matches))


def test_what_no_document_may_hold_is_replaced() -> None:
    (run,) = _runs("a\x00b\x1b")
    assert next(tables(shown(run.matches)))[1][-1] == "a\ufffdb\ufffd"


def test_many_values_and_variables_are_counted_where_they_are_not_shown() -> None:
    names = [f"v{number}" for number in range(300)]
    values = ", ".join(f"{name}.x as x{name}" for name in names)
    with pytest.warns(cep.RuleWarning):
        rules = cep.compile(f"pattern p match {' '.join(names)} select {values}")
    found = rules.run([{"ts": second(n), "x": n} for n in range(301)])
    assert "an automaton of 301 states: too many for a picture" in text(shown(rules))
    assert "… and 289 more values" in text(shown(found.matches))
    display = shown(found.matches[0])
    assert "275 more" in text(display)
    assert len(list(display.iter(f"{SVG}circle"))) == 300
    assert "260 more events" in text(shown(found.why(0)))


def test_only_the_first_matches_are_computed() -> None:
    found = _many(60_000)
    display = shown(found)
    assert "30,000 matches" in text(display)
    assert [row[-1] for row in next(tables(display))] == ["s", *["0"] * 10]
    assert "the first 10 of them" in text(display)
    assert "errors of select lists are not counted here: result.errors counts them" in text(display)
    assert "errors" not in found.__dict__
    assert len(found.errors) == 0
    assert "not counted" not in text(shown(found))


def _many(size: int) -> Result:
    """Some at the same time, in an order that the first events decide."""
    rules = cep.compile(
        "pattern p by k match a b define a as x = 0, b as x = 1 select b.x - 1 as s"
    )
    times: Any = pa.array(np.arange(size) // 8, pa.timestamp("us"))
    number: Any = np.arange(size)
    return rules.run(
        pa.table({"ts": times, "k": pa.array(number % 4), "x": pa.array(number // 4 % 2)})
    )


def test_the_first_matches_are_those_of_the_whole_table() -> None:
    found = _many(4_000)
    expected = [match.id for match in found.matches[:25]]
    assert [match.id for match in found.matches.first(25)] == expected
    assert [match.id for match in found.matches.first(10_000)] == [m.id for m in found.matches]
    assert found.matches.first(0) == []


def test_a_match_alone_says_what_it_says_among_others(result: Result) -> None:
    match = result.matches[1]
    alone = match.alone()
    assert (alone.values, alone.events, alone.id) == (match.values, match.events, match.id)
    assert alone.sizes == {"low": 2, "high": 1}
    assert [(one.variable, one.event["price"]) for one in alone.taken()] == [
        ("low", 3),
        ("low", 4),
        ("high", 20),
    ]
    assert alone.taken(1)[0].time == second(3)


# -- results ---------------------------------------------------------------------------------------


def test_a_result_says_its_numbers_and_the_first_matches(result: Result) -> None:
    display = shown(result)
    assert "2 matches" in text(display)
    assert "6 events in " in text(display)
    assert next(tables(display))[1][1] == "jump"


def test_a_result_without_matches_says_so() -> None:
    for data in ([], trades(9)):
        display = shown(cep.compile(JUMP).run(data))
        assert text(display).startswith("0 matches")
        assert list(display.iter("table")) == []


def test_all_that_is_no_match_is_there_to_open() -> None:
    detector = cep.Detector(
        """
        stream e (ts timestamp, x int) time ts;
        pattern p from e match a -> b within 1 second define a as x > 1, b as x / (x - 5) > 9
          on timeout select a.x as began;
        pattern q from e match c define c as x = 2;
        aggregate n from e window tumbling 1 minute select count(*) as n
        """
    )
    detector.process_batch([{"ts": second(100), "x": 2}, {"ts": second(101), "x": 5}])
    late = detector.process({"ts": second(0), "x": 3})
    (late_table,) = tables(shown(late.late))
    assert late_table[0] == ["stream", "time", "watermark", "late_by", "ts", "x"]
    assert late_table[1][3] == "1 minute 40 seconds 999 ms 999 microseconds"
    done = detector.finish()
    summaries = [text(one) for one in shown(done).iter("summary")]
    assert summaries == ["n: 1 row", "1 timed-out run"]
    rows = list(tables(shown(done)))
    assert [["pattern", "matches"], ["p", "0"], ["q", "0"]] in rows
    assert next(tables(shown(done.tables))) == [
        ["n", "window_start", "window_end"],
        ["2", "2025-01-01 00:01:00", "2025-01-01 00:02:00"],
    ]


def test_errors_are_counted_by_reason() -> None:
    rules = cep.compile("pattern p match a define a as 1 / x > 0 select 1 / (x - 1) as v")
    rows = [{"ts": second(n), "x": x} for n, x in enumerate([0, 0, 1])]
    found = rules.run([*rows, {"ts": None, "x": 1}])
    reasons, first = tables(shown(found.errors))
    assert reasons[0] == ["events", "reason"]
    assert ["2", "division by zero (in p.a)"] in reasons
    assert ["1", "select: division by zero (in p)"] in reasons
    assert len(first) == 5
    assert "4 events with errors" in [text(one) for one in shown(found).iter("summary")]
    assert text(shown(ErrorTable())) == "0 errors"


# -- why -------------------------------------------------------------------------------------------


def test_a_reason_is_a_row_with_its_values() -> None:
    rules = cep.compile(
        "pattern p by k match a -> not n -> b within 1 minute "
        "define a as x > 1 and k = 'é', n as x = 0, b as x > a.x unless x < -1"
    )
    run = rules.run([{"ts": second(n), "k": "é", "x": x} for n, x in enumerate([2, 3])])
    display = shown(run.why(0))
    assert list(tables(display)) == [
        [
            ["time", "variable", "condition", "values"],
            ["2025-01-01 00:00:00", "a", "x > 1", "x = 2"],
            ["", "", "k = 'é'", ""],
            ["2025-01-01 00:00:01", "b", "x > a.x", "x = 3, a.x = 2"],
        ]
    ]
    assert text(display).startswith("p, key 'é': 2 events in 1 second (within 1 minute)")
    assert "not n: no event with x = 0 where it stands" in text(display)
    assert "unless: no event with x < -1 in between" in text(display)


# -- rules -----------------------------------------------------------------------------------------

RULES = """
parameter $limit = 10 minutes;
stream t (ts timestamp, card int, amount float) time ts lateness 5 seconds;
feature spent on t as sum(amount) over 1 hour by card;
pattern testing from t by card match probe{2,} -> not hit within $limit
  define probe as amount < 2, hit as amount > 500 unless spent > 1000
"""


def test_rules_are_shown_with_text_picture_parameters_and_streams() -> None:
    display = shown(cep.compile(RULES))
    assert text(display).startswith("1 pattern, 1 feature, 1 stream, 1 parameter")
    assert list(tables(display)) == [
        [
            ["parameter", "type", "value", "default"],
            ["$limit", "duration", "10 minutes", "10 minutes"],
        ],
        [
            ["stream", "time", "lateness", "fields"],
            ["t", "ts", "5 seconds", "ts timestamp, card int, amount float"],
        ],
    ]
    assert "match probe{2,} -> not hit" in text(display)
    assert "feature spent on t" in text(display)


def test_the_picture_has_every_edge_of_the_automaton() -> None:
    rules = cep.compile(RULES)
    display = shown(rules)
    said = [title.splitlines() for title in titles(display) if "→" in title.splitlines()[0]]
    graph = rules.explain().graph("testing")
    assert [lines[0] for lines in said] == [f"{e.source} → {e.target}" for e in graph.edges]
    assert [lines[1].split(":")[0] for lines in said] == [e.action for e in graph.edges]
    assert ["unless: spent > 1000"] in [lines[2:] for lines in said]
    states = {title for title in titles(display) if title.endswith(")")}
    assert {"start (start)", "match (match)", "killed (killed)"} < states


@pytest.mark.parametrize(
    "clauses",
    [
        "match a{3,} -> b define a as x < 2, b as x > 500 unless x = 9",
        "match a -> (b | c -> d) define a as x = 1, b as x = 2, c as x = 3, d as x = 4",
        "match permute(a, b, c) define a as x = 1, b as x = 2, c as x = 3 unless x = 9",
        "match a -> not b define a as x = 1, b as x = 2 unless x = 3",
    ],
)
def test_labels_hide_neither_each_other_nor_states(clauses: str) -> None:
    display = shown(cep.compile(f"pattern p {clauses} within 1 hour"))
    texts = [list(one.iter(f"{SVG}tspan")) for one in display.iter(f"{SVG}text")]
    boxes = [_box(lines) for lines in texts]
    hidden = [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if _overlap(a, b)]
    assert hidden == []


def _box(lines: list[Element]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of centred lines of text, some 5 pixels a letter."""
    half = max(len(text(line)) for line in lines) * 2.5
    x, ys = float(lines[0].get("x", "")), [float(line.get("y", "")) for line in lines]
    return x - half, min(ys) - 8, x + half, max(ys)


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_where_unless_has_many_edges_one_stands_for_all() -> None:
    rules = cep.compile("pattern p match a{9} define a as x = 1 unless x = 2")
    arrows = [title.splitlines() for title in titles(shown(rules)) if "→ killed" in title]
    (only,) = arrows
    assert only[1:] == ["kill: unless", "unless: x = 2", "in every state but the start"]


def test_an_edge_after_which_a_run_is_a_match_as_well_is_marked() -> None:
    rules = cep.compile("pattern p match a -> b{1,2} within 1 hour define a as x = 1, b as x = 2")
    marked = [text(one) for one in shown(rules).iter(f"{SVG}tspan") if "◎" in text(one)]
    assert marked == ["b ◎"]


def test_one_pattern_that_cannot_be_built_does_not_hide_the_others() -> None:
    wide = " and ".join(f"x <> {n} + last(a.x)" for n in range(3))
    names = [f"v{n}" for n in range(70)]
    defined = ", ".join(f"{name} as x = {n} and {wide}" for n, name in enumerate(names))
    rules = cep.compile(
        f"pattern p match a {' '.join(names)} define a as x > 0, {defined};"
        "pattern q match a b define a as x = 1, b as x = 2"
    )
    display = shown(rules)
    assert "pattern p has 71 different conditions, more than 63" in text(display)
    assert len(list(display.iter(f"{SVG}svg"))) == 1


def test_many_patterns_are_counted_where_they_are_not_shown() -> None:
    rules = cep.compile(
        ";".join(f"pattern p{n} match a b define a as x = {n}, b as x = 2" for n in range(30))
    )
    display = shown(rules)
    folded = list(display.iter("details"))
    assert [one.get("open") for one in folded] == ["open"] * 3 + [None] * 17
    assert "… and 10 more patterns" in text(display)


def test_without_pygments_rich_and_plotly_all_is_shown_in_plain() -> None:
    script = f"""
import sys
for name in ("pygments", "rich", "typer", "plotly", "IPython", "tqdm"):
    sys.modules[name] = None
import cep
rules = cep.compile({JUMP!r})
found = rules.run([{{"ts": f"2025-01-01 00:00:0{{i}}", "symbol": "x", "price": p, "note": "n"}}
                   for i, p in enumerate([1, 2, 9])])
for shown in (rules, found, found.matches, found.matches[0], found.why(0), found.errors):
    assert shown._repr_html_().startswith("<div")
assert "pattern jump" in rules._repr_html_()
"""
    subprocess.run([sys.executable, "-c", script], check=True)
