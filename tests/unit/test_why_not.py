"""Why a pattern did not match, as people read it, and the attempts and the funnel behind it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pyarrow as pa
import pytest

import cep
from cep import plots

HEAD = """
stream cards (card int, ts timestamp, amount float, kind text) time ts;
pattern testing from cards by card
"""
RULES = f"""{HEAD}
  match probe{{3}} -> hit -> not refund -> done within 12 minutes
  define probe as amount < 5, hit as amount > 500 and amount > 10 * avg(probe.amount),
         refund as kind = 'refund', done as kind = 'done'
"""


def event(minute: int, amount: float, kind: str = "buy", card: int = 17) -> dict[str, Any]:
    return {"card": card, "ts": f"2024-01-01 10:{minute:02}:00", "amount": amount, "kind": kind}


PROBES = [event(2, 1), event(3, 2), event(4, 3)]


def test_a_hit_that_was_too_small_is_the_nearest_event() -> None:
    answer = cep.compile(RULES).why_not([*PROBES, event(8, 20), event(9, 480), event(20, 600)])
    lines = str(answer[0]).splitlines()
    assert (
        lines[:8]
        == """\
testing, key 17: 3 of 5 events
  2024-01-01 10:02:00  probe  amount < 5 (amount = 1.0)
  2024-01-01 10:03:00  probe  amount < 5 (amount = 2.0)
  2024-01-01 10:04:00  probe  amount < 5 (amount = 3.0)
  still needed: hit (amount > 500 and amount > 10 * avg(probe.amount)), then done (kind = 'done')
  came nearest: 2024-01-01 10:09:00 as hit: amount > 500 (amount = 480.0)
  ended: time was up at 2024-01-01 10:14:00 (within 12 minutes)
  if it had met hit: still missing done""".splitlines()
    )
    late = "  if time had not been up when hit came at 2024-01-01 10:20:00, 6 minutes later"
    assert lines[8:] == [f"{late}: still missing done"]


def test_events_still_missing_are_counted_and_not_listed() -> None:
    rules = cep.compile(
        "pattern burst match p{12} -> end within 1 hour define p as amount > 5, end as amount < 0"
    )
    (suggestion,) = rules.why_not([event(1, 1)])[0].suggestions
    assert str(suggestion) == "if it had met p: still missing 11 x p, end"
    assert suggestion.then == (*["p"] * 11, "end")


def test_an_event_that_came_too_late_says_how_late() -> None:
    answer = cep.compile(RULES).why_not([*PROBES, event(9, 600), event(20, 7, "done")])
    miss = answer[0]
    assert (miss.missing, miss.fate, miss.nearest) == (1, "time", None)
    assert [(s.kind, s.is_enough) for s in miss.suggestions] == [("add", True), ("longer", True)]
    assert miss.suggestions[1].within == timedelta(minutes=18, microseconds=1)
    assert str(miss.suggestions[1]) == (
        "if time had not been up when done came at 2024-01-01 10:20:00, 6 minutes later: a match"
    )


def test_a_negated_event_is_named_and_without_it_there_is_a_match() -> None:
    data = [*PROBES, event(9, 600), event(10, 7, "refund"), event(11, 7, "done")]
    miss = cep.compile(RULES).why_not(data)[0]
    assert (
        miss.ended == "refund (kind = 'refund'), which must not come, came at 2024-01-01 10:10:00"
    )
    assert miss.ended_by is not None
    assert miss.ended_by["kind"] == "refund"
    assert [str(s) for s in miss.suggestions] == [
        "if an event for done (kind = 'done') had come next: a match",
        "if that event had not come: a match",
    ]


def small(match: str, tail: str = "") -> cep.Rules:
    return cep.compile(f"{HEAD} match {match} define a as kind = 'a', b as kind = 'b' {tail}")


def test_the_next_event_was_another() -> None:
    miss = small("a b").why_not([event(1, 1, "a"), event(2, 1, "x"), event(3, 1, "b")])[0]
    assert (miss.fate, miss.ended) == (
        "not_next",
        "the next event, at 2024-01-01 10:02:00, was another",
    )
    assert [str(s) for s in miss.suggestions] == [
        "if it had met b: a match",
        "if that event had not come: a match",
    ]


def test_an_event_that_meets_unless_ended_it() -> None:
    data = [event(1, 1, "a"), event(2, 1, "stop"), event(3, 1, "b")]
    miss = small("a -> b", "unless kind = 'stop'").why_not(data)[0]
    assert miss.ended == "an event met unless (kind = 'stop') at 2024-01-01 10:02:00"
    assert str(miss.suggestions[-1]) == "if that event had not come: a match"


def test_what_a_match_dropped_says_so_and_comes_last() -> None:
    data = [event(1, 1, "a"), event(2, 1, "a"), event(3, 1, "b"), event(5, 1, "a", card=3)]
    answer = small("a -> b").why_not(data)
    assert [miss.fate for miss in answer] == ["open", "skip"]
    assert answer[1].ended == "dropped at 2024-01-01 10:03:00: after a match, skip past last event"
    assert str(answer[1].suggestions[-1]) == "with `after match no skip`: a match"
    assert answer[0].ended == "still open when the events ended, at 2024-01-01 10:05:00"


def test_without_an_event_to_begin_with_the_one_nearest_to_it_is_named() -> None:
    answer = cep.compile(RULES).why_not([event(1, 8), event(2, 6)], key=17)
    miss = answer[0]
    assert (miss.taken, miss.start, miss.fate, miss.missing) == ((), None, None, 5)
    assert miss.needed[0] == "3 x probe (amount < 5)"
    assert str(miss).splitlines()[2:4] == [
        "  came nearest: 2024-01-01 10:02:00 as probe: amount < 5 (amount = 6.0)",
        "  ended: no event began it",
    ]


def test_one_key_alone_and_a_key_without_events() -> None:
    data = [event(1, 1, "a"), event(2, 1, "a", card=3)]
    rules = small("a -> b")
    assert [miss.key for miss in rules.why_not(data, key=3)] == [3]
    assert [miss.key for miss in rules.why_not(data, key={"card": 17})] == [17]
    assert str(rules.why_not(data, key=4)) == "testing: no event of key 4 is in the data"


def test_a_key_of_dictionary_encoded_text_and_one_of_several_fields() -> None:
    rows = [event(1, 1, "a") | {"land": "DE"}, event(2, 1, "a") | {"land": "NL"}]
    table = pa.Table.from_pylist(rows)
    land: Any = table.column("land")
    table = table.set_column(4, "land", land.dictionary_encode())
    rules = cep.compile("""
        pattern p by card, land match a -> b define a as kind = 'a', b as kind = 'b'
    """)
    assert [miss.key for miss in rules.why_not(table)] == [(17, "NL"), (17, "DE")]
    assert [miss.key for miss in rules.why_not(table, key=(17, "DE"))] == [(17, "DE")]


def test_around_a_time_are_the_attempts_that_were_open_then() -> None:
    data = [event(1, 1, "a"), event(10, 1, "a"), event(30, 1, "a")]
    rules = small("a -> b", "within 5 minutes")
    starts = [miss.start for miss in rules.why_not(data, around="2024-01-01 10:12", limit=1)]
    assert starts == [datetime.fromisoformat("2024-01-01 10:10")]
    begin = pd.Timestamp("2024-01-01 10:28")
    starts = [miss.start for miss in rules.why_not(data, around=(begin, begin), limit=1)]
    assert starts == [datetime.fromisoformat("2024-01-01 10:30")]


def test_every_attempt_matched() -> None:
    answer = small("a -> b").why_not([event(1, 1, "a"), event(2, 1, "b")])
    assert str(answer) == "testing: every attempt became a match"


def test_a_ranking_is_a_table() -> None:
    data = [*PROBES, event(9, 480), event(5, 1, card=3)]
    answer = cep.compile(RULES).why_not(sorted(data, key=lambda e: e["ts"]))
    table = answer.to_arrow().to_pydict()
    assert table["key"] == ["17", "3"]
    assert table["missing"] == [2, 4]
    assert table["unmet"] == ["amount > 500 (amount = 480.0)", None]


def test_features_and_streams_that_rules_make_are_read_as_the_pattern_reads_them() -> None:
    rules = cep.compile("""
        stream cards (card int, ts timestamp, amount float, kind text) time ts;
        feature mean on cards as avg(amount) over 1 hour by card excluding current;
        pattern jump from cards by card match a -> b
          define a as kind = 'a', b as amount > 3 * mean;
        pattern twice from jump by card match one -> two within 1 hour define one, two
    """)
    data = [event(1, 10), event(2, 1, "a"), event(3, 15)]
    nearest = rules.why_not(data, pattern="jump")[0].nearest
    assert nearest == _without_the_second(rules).why_not(data)[0].nearest
    assert nearest is not None
    assert str(nearest.unmet[0]) == "amount > 3 * mean (amount = 15.0, mean = 5.5)"
    miss = rules.why_not([*data, event(4, 90)], pattern="twice")[0]
    assert (len(miss.taken), miss.missing, miss.key) == (1, 1, 17)


def _without_the_second(rules: cep.Rules) -> cep.Rules:
    """Nobody else reads the feature then."""
    return cep.compile(rules.text[: rules.text.index("pattern twice")])


def test_patterns_over_two_streams_and_without_a_key() -> None:
    rules = cep.compile("""
        stream logins (ts timestamp, who text) time ts;
        stream pays (ts timestamp, amount float) time ts;
        pattern p from logins, pays match l -> p within 10 minutes
          define l as logins where who = 'x', p as pays where amount > 5
    """)
    logins = [{"ts": "2024-01-01 10:00:00", "who": "x"}, {"ts": "2024-01-01 10:02:00", "who": "y"}]
    pays = [{"ts": "2024-01-01 10:01:00", "amount": 4.0}]
    miss = rules.why_not({"logins": logins, "pays": pays})[0]
    assert miss.key is None
    assert miss.nearest is not None
    assert miss.nearest.event["amount"] == 4.0
    assert [str(s) for s in miss.suggestions] == ["if it had met p: a match"]


def test_data_that_can_be_read_once_is_read_once() -> None:
    rows = [event(1, 1, "a"), event(2, 1, "c")]
    assert len(small("a -> b").why_not(pa.Table.from_pylist(rows).to_reader())) == 1
    assert len(small("a -> b").why_not(iter(rows))) == 1


def test_without_events_there_is_nothing_to_tell() -> None:
    assert str(small("a -> b").why_not([])) == "testing: no event is in the data"


def said(match: str, rows: list[dict[str, Any]], tail: str = "") -> list[str]:
    return [str(each) for miss in small(match, tail).why_not(rows) for each in miss.suggestions]


def test_where_a_gap_has_ended_it_a_longer_within_is_not_suggested() -> None:
    rows = [event(1, 1, "a"), event(5, 1, "a"), event(6, 1, "c")]
    assert said("a{2} gap 1 minute -> b", rows[:2]) == [
        "if an event for a (kind = 'a') had come next: still missing b",
        "if an event for a (kind = 'a') had come next: still missing b",
    ]
    assert said("a -> within 1 minute b", [rows[0], event(5, 1, "b")]) == [
        "if an event for b (kind = 'b') had come next: a match"
    ]


def test_more_time_is_not_suggested_where_something_would_have_come_before() -> None:
    rules = cep.compile(f"""{HEAD} match a -> not n -> b within 10 minutes
      define a as kind = 'a', n as kind = 'n', b as kind = 'b'""")
    rows = [event(1, 1, "a"), event(20, 1, "n"), event(25, 1, "b")]
    (miss,) = rules.why_not(rows)
    assert [each.kind for each in miss.suggestions] == ["add"]
    assert [each.kind for each in rules.why_not(rows[::2])[0].suggestions] == ["add", "longer"]


def test_that_another_attempt_matches_instead_is_said() -> None:
    rows = [event(1, 1, "a"), event(2, 1, "a"), event(3, 1, "x")]
    assert said("a -> b", rows) == [
        "if it had met b: a match",
        "if it had met b: another attempt matches instead",
    ]
    assert said("a -> b", rows[:2]) == [
        "if it had met b: a match",
        "if an event for b (kind = 'b') had come next: another attempt matches instead",
    ]
    rows = [*rows[:2], event(3, 1, "n"), event(4, 1, "b")]
    assert said("a -> b", rows, "unless kind = 'n'") == [
        "if it had met b: a match",
        "if that event had not come: a match",
        "if an event for b (kind = 'b') had come next: another attempt matches instead",
        "if that event had not come: another attempt matches instead",
    ]


def test_an_event_that_could_begin_it_is_one_of_a_key() -> None:
    rules = cep.compile("""
stream logins (card int, ts timestamp) time ts;
stream pays (card int, ts timestamp, amount float) time ts;
pattern p from logins, pays by card match l -> p within 1 hour
  define l as logins where true, p as pays where amount > 5
""")
    pays = [{"card": 1, "ts": "2024-01-01 10:01:00", "amount": 9.0}]
    (miss,) = rules.why_not({"logins": [], "pays": pays})
    assert [str(s) for s in miss.suggestions] == ["if an event for l (true) had come next: a match"]


class Query:
    """The rows of a query: whoever asks for them a second time gets none."""

    def __init__(self, table: pa.Table) -> None:
        self._rows = table.to_reader()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        rows: Any = self._rows
        return rows.__arrow_c_stream__(requested_schema)


def test_iterators_and_queries_are_read_once() -> None:
    rows = [event(1, 1, "a"), event(2, 1, "c")]
    assert len(small("a -> b").why_not(iter(rows))) == 1
    assert len(small("a -> b").why_not({"cards": iter(rows)})) == 1
    assert len(small("a -> b").why_not(Query(pa.Table.from_pylist(rows)))) == 1


def test_a_key_that_says_the_same_otherwise_is_found() -> None:
    rules = cep.compile(
        "stream s time ts; pattern p from s by k match a -> b define a as true, b as x > 5"
    )
    zoned = pa.array([datetime(2024, 1, 1, tzinfo=UTC)], pa.timestamp("us", "Europe/Berlin"))
    data = pa.table({"k": zoned, "ts": zoned, "x": [1]})
    assert len(rules.why_not(data, key=datetime(2024, 1, 1))) == 1  # noqa: DTZ001 - UTC
    assert len(small("a -> b").why_not([event(1, 1, "a")], key=[17])) == 1


def test_a_key_that_is_not_a_number_is_one_key() -> None:
    rules = cep.compile(
        "stream s time ts; pattern p from s by k match a -> b define a as x < 5, b as x > 5"
    )
    times = [datetime(2024, 1, 1, 10, minute) for minute in range(3)]  # noqa: DTZ001 - UTC
    data = pa.table({"k": [math.nan, 1.0, math.nan], "ts": times, "x": [1, 7, 2]})
    assert [len(miss.taken) for miss in rules.why_not(data)] == [1, 1]
    assert len(rules.why_not(data, key=math.nan)) == 2


def test_rules_without_patterns_say_so() -> None:
    rules = cep.compile(
        "stream s (ts timestamp) time ts;"
        "aggregate g from s window tumbling 1 hour select count(*) as n"
    )
    assert str(rules.why_not([{"ts": "2024-01-01"}])) == "the rules have no pattern"
    attempts = rules.run([{"ts": "2024-01-01"}], trace=True).attempts
    assert attempts.to_arrow().schema.names[:2] == ["pattern", "key"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"key": (1, 2)}, r"pattern testing has the key \(card\), not \(1, 2\)"),
        ({"key": {"cart": 1}}, "the key of testing is: card"),
        ({"key": "x"}, "key card is of type int64 in the data: 'x' cannot be"),
        ({"limit": 0}, "limit 0: at least one"),
        ({"pattern": "testin"}, "no pattern 'testin'.*did you mean 'testing'"),
        ({"key": [["x"]]}, r"type int64 in the data: \['x'\] cannot be"),
        ({"key": 1 << 70}, "type int64 in the data: 1180591620717411303424 cannot be"),
        ({"around": "noon"}, "around: 'noon' is not a time"),
        ({"around": pd.NaT}, "around: NaT is not a time"),
        ({"around": ("2024-01-01",)}, "around: 1 times: give one, or a pair of them"),
        ({"around": ("2024-01-02", "2024-01-01")}, "give the earlier one first"),
        ({"limit": None}, "limit None: at least one near miss"),
    ],
)
def test_what_cannot_be_asked(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(cep.DataError, match=message):
        small("a -> b").why_not([event(1, 1, "a")], **asked)


# -- attempts and funnel ---------------------------------------------------------------------------

FUNNEL_DATA = [
    *[event(1, 1, "a", card) for card in (1, 2, 3, 4)],
    *[event(2, 1, "b", card) for card in (1, 2)],
    event(3, 1, "x", 3),
    event(3, 1, "b", 1),
]


def test_the_funnel_counts_attempts_by_what_they_reached_and_what_ended_them() -> None:
    rules = small("a b{2}", "within 30 minutes")
    result = rules.run(FUNNEL_DATA, trace=True)
    rows = result.attempts.funnel().to_pylist()
    assert [(row["variable"], row["reached"]) for row in rows] == [
        ("a", 4),
        ("b 1", 2),
        ("b 2", 1),
        (None, 1),
    ]
    assert (rows[0]["not_next"], rows[0]["time"], rows[1]["time"]) == (1, 1, 1)
    table = result.attempts.to_arrow().to_pylist()
    assert [(row["key"], row["fate"], row["missing"], row["reached"]) for row in table] == [
        ("2", "time", 1, "b"),
        ("3", "not_next", 2, "a"),
        ("4", "time", 2, "a"),
    ]


def test_the_funnel_is_drawn() -> None:
    result = small("a b{2}", "within 30 minutes").run(FUNNEL_DATA, trace=True)
    figure = plots.funnel(result)
    bars = {one.name: list(one.x) for one in figure.data if one.type == "bar"}
    assert bars == {
        "went on": [2, 1, 1, 1],
        "time was up": [1, 1, 0, 0],
        "next event was another": [1, 0, 0, 0],
    }
    assert list(figure.data[0].y) == ["a", "b 1", "b 2", "match"]


def test_a_funnel_needs_a_traced_run_and_one_pattern() -> None:
    rules = small("a -> b")
    with pytest.raises(cep.DataError, match="trace=True"):
        plots.funnel(rules.run(FUNNEL_DATA))
    with pytest.raises(cep.DataError, match="no pattern 'q'; the rules have: testing"):
        plots.funnel(rules.run(FUNNEL_DATA, trace=True), "q")


def test_nothing_to_trace() -> None:
    result = small("a -> b").run([], trace=True)
    assert result.attempts.funnel().column("reached").to_pylist() == [0, 0, 0]
    assert len(result.attempts) == 0
    assert plots.funnel(result).layout.title.text == "Attempts of testing: no event began one"


# -- in notebooks ----------------------------------------------------------------------------------


def test_a_near_miss_shows_itself_in_a_notebook() -> None:
    answer = cep.compile(RULES).why_not([*PROBES, event(9, 480, "<b>")])
    page = answer._repr_html_()
    text = " ".join(ElementTree.fromstring(page).itertext())
    assert "testing, key 17: 3 of 5 events" in text
    assert "2024-01-01 10:09:00 as hit: amount > 500 (amount = 480.0)" in text
    assert "time was up at 2024-01-01 10:14:00 (within 12 minutes)" in text
    assert "if it had met hit:  still missing done" in text
    assert answer[0]._repr_html_() in page


def test_an_answer_without_near_misses_shows_its_notes() -> None:
    page = small("a -> b").why_not([event(1, 1, "a"), event(2, 1, "b")])._repr_html_()
    assert "testing: every attempt became a match" in page
