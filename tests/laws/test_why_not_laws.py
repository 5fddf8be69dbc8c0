"""What `why_not` says would have helped is done to the data: the match appears where it says so."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from cep.rules import Rules, check
from cep.whynot.answer import NearMiss, Suggestion

law = settings(max_examples=400, suppress_health_check=list(HealthCheck), deadline=None)
Row = dict[str, Any]
BEGIN = datetime.fromisoformat("2024-01-01")
LOW = -1000
HIGH = {"f0": 6, "f1": 1000, "f2": 1000, "f3": 1000}  # f0: as a.f0 no other than 0 or 4 to f1 > 5
INSERTED = -1
LINKS = [" ", " -> ", " ->> "]
SKIPS = ["no skip", "skip past last event", "skip to next row"]


@dataclass(frozen=True)
class Text:
    """A pattern whose variables have fields of their own: one condition says nothing of others."""

    match: str
    across: bool
    within_s: int | None
    unless: bool
    skip: str

    def __str__(self) -> str:
        within = "" if self.within_s is None else f"within {self.within_s} seconds"
        conditions = {
            "a": "f0 > 5",
            "b": "f1 > 5 and f1 > a.f0" if self.across else "f1 > 5",
            "c": "f2 > 5",
            "n": "f3 > 5",
        }
        used = [name for name in conditions if re.search(rf"\b{name}\b", self.match)]
        defined = ", ".join(f"{name} as {conditions[name]}" for name in used)
        return f"""
            stream events (id int, ts timestamp, k int, f0 int, f1 int, f2 int, f3 int, u int)
                time ts;
            pattern p from events by k match {self.match} {within}
            {"unless u > 5" if self.unless else ""}
            define {defined}
            after match {self.skip}
        """


@st.composite
def texts(draw: st.DrawFn) -> Text:
    first = draw(st.sampled_from(["a", "a", "a{2}", "a{1,2}", "a+"]))
    second = draw(st.sampled_from(["b", "b", "b?", "b{2}"]))
    third = draw(st.sampled_from(["c", "c", "c{2}", "(c | n)"]))
    link, more = draw(st.sampled_from(LINKS)), draw(st.sampled_from(LINKS))
    shape = draw(st.sampled_from(["two", "three", "negated", "absent"]))
    match = {
        "two": f"{first}{link}{third}",
        "three": f"{first}{link}{second}{more}{third}",
        "negated": f"{first} -> not n -> {third.replace('n', 'b')}",
        "absent": f"{first}{link}{third.replace('n', 'b')} -> not n",
    }[shape]
    within = draw(st.integers(1, 6)) if shape == "absent" else draw(st.none() | st.integers(1, 6))
    across = draw(st.booleans()) and "b" in match
    return Text(match, across, within, draw(st.booleans()), draw(st.sampled_from(SKIPS)))


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    values = st.sampled_from([0, 0, 4, 7, 9])
    size, second, found = draw(st.integers(1, 9)), 0, []
    for number in range(size):
        second += draw(st.sampled_from([0, 1, 1, 2]))
        row: Row = {"id": number, "ts": BEGIN + timedelta(seconds=second)}
        row["k"] = draw(st.integers(0, 1))
        row |= {name: draw(values) for name in ("f0", "f1", "f2")}
        row |= {name: draw(st.sampled_from([0, 0, 0, 9])) for name in ("f3", "u")}
        found.append(row)
    return found


@law
@given(texts(), rows())
def test_what_would_have_helped_helps_where_it_is_said_to_be_enough(
    text: Text, data: list[Row]
) -> None:
    rules = check(str(text))
    for miss in rules.why_not(data, limit=20):
        for suggestion in miss.suggestions:
            if text.across and suggestion.text.startswith("if an event for a "):
                continue  # whether that helps depends on its f0, which b reads
            changed, pattern, begin = supplied(miss, suggestion, data, text)
            appears = any(taken[: len(begin)] == begin for taken in matches(pattern, changed))
            event(f"{suggestion.kind}: {appears}")
            assert appears == suggestion.is_enough, f"{miss}\n--\n{suggestion}\n{changed}"


def matches(rules: Rules, data: list[Row]) -> list[list[tuple[int, str]]]:
    """The events of each match, as (id, variable)."""
    found: dict[int, list[tuple[int, str]]] = {}
    events = rules.run(data).matches.events.to_pylist()
    number = -1
    for one in events:
        number += one["position"] == 0
        found.setdefault(number, []).append((one["id"], one["variable"]))
    return list(found.values())


def supplied(
    miss: NearMiss, suggestion: Suggestion, data: list[Row], text: Text
) -> tuple[list[Row], Rules, list[tuple[int, str]]]:
    """The data and the rules as suggested, and how the match must begin."""
    begin = [(one.event["id"], one.variable) for one in miss.taken]
    match suggestion.kind:
        case "meet":
            assert miss.nearest is not None
            number = miss.nearest.event["id"]
            data = [met(row, miss) if row["id"] == number else row for row in data]
            begin.append((number, miss.nearest.variable))
        case "add":
            variable = re.findall(r"event for (\w)", suggestion.text)[0]
            data = with_one_more(miss, variable, data)
            begin.append((INSERTED, variable))
        case "without":
            assert miss.ended_by is not None
            data = [row for row in data if row["id"] != miss.ended_by["id"]]
        case "longer":
            assert suggestion.within is not None
            micros = suggestion.within // timedelta(microseconds=1)
            longer = str(text).replace(f"{text.within_s} seconds", f"{micros} microseconds")
            return data, check(longer), begin
        case "no skip":
            return data, check(str(replace(text, skip="no skip"))), begin
    return data, check(str(text)), begin


def met(row: Row, miss: NearMiss) -> Row:
    """The event, changed so that it meets what it did not."""
    assert miss.nearest is not None
    for reason in miss.nearest.unmet:
        field = re.findall(r"f\d", reason.text.split(": ")[-1])[0]
        row = row | {field: LOW if reason.text.startswith("it is also") else HIGH[field]}
    return row


def with_one_more(miss: NearMiss, variable: str, data: list[Row]) -> list[Row]:
    last = miss.taken[-1].event["id"] if miss.taken else None
    place = 0 if last is None else [row["id"] for row in data].index(last) + 1
    field = {"a": "f0", "b": "f1", "c": "f2", "n": "f3"}[variable]
    blank = dict.fromkeys(("f0", "f1", "f2", "f3", "u"), LOW)
    row = {"id": INSERTED, "ts": data[max(place - 1, 0)]["ts"], "k": miss.key} | blank
    return [*data[:place], row | {field: HIGH[field]}, *data[place:]]
