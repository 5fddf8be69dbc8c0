"""Why a match is one, as people read it."""

from __future__ import annotations

from typing import Any

import pytest

import cep

RULES = """
stream tx (card int, ts timestamp, amount float, country text, kind text) time ts;
pattern card_testing from tx by card
  match probe{2,} -> not reset -> hit -> any1 within 10 minutes
  define probe as amount < 2 and kind = 'purchase', reset as kind = 'pin_reset',
         hit as amount > 500 and country <> last(probe.country) and amount > avg(probe.amount),
         any1
  unless kind = 'stop'
  on timeout select card;
"""


def event(minute: int, amount: float, country: str = "DE", card: int = 17) -> dict[str, Any]:
    ts = f"2025-01-01 12:{minute:02}:00"
    return {"card": card, "ts": ts, "amount": amount, "country": country, "kind": "purchase"}


EVENTS = [event(0, 1.5), event(1, 0.5), event(3, 812.5, "FR"), event(4, 3)]


def test_it_reads_like_an_explanation() -> None:
    result = cep.compile(RULES).run(EVENTS)
    assert (
        str(result.why(0))
        == """\
card_testing, key 17: 4 events in 4 minutes (within 10 minutes)
  2025-01-01 12:00:00  probe  amount < 2 (amount = 1.5)
                              kind = 'purchase'
  2025-01-01 12:01:00  probe  amount < 2 (amount = 0.5)
                              kind = 'purchase'
  2025-01-01 12:03:00  hit    amount > 500 (amount = 812.5)
                              country <> probe.country (country = 'FR', probe.country = 'DE')
                              amount > avg(probe.amount) (amount = 812.5, avg(probe.amount) = 1.0)
  2025-01-01 12:04:00  any1   any event
  not reset: no event with kind = 'pin_reset' where it stands
  unless: no event with kind = 'stop' in between"""
    )


def test_it_is_a_table_too() -> None:
    rows = cep.compile(RULES).run(EVENTS).why(0).to_arrow().to_pylist()
    assert [row["position"] for row in rows] == [0, 0, 1, 1, 2, 2, 2, 3]
    assert (rows[5]["variable"], rows[5]["condition"], rows[5]["holds"], rows[5]["values"]) == (
        "hit",
        "country <> probe.country",
        True,
        "country = 'FR', probe.country = 'DE'",
    )
    assert rows[7]["condition"] is None


def test_a_run_that_timed_out_says_what_it_had() -> None:
    result = cep.compile(RULES).run([*EVENTS[:3], event(30, 9, card=5), event(50, 9)])
    why = max((timeout.why() for timeout in result.timeouts), key=lambda why: len(why.taken))
    assert [one.variable for one in why.taken] == ["probe", "probe", "hit"]
    assert why.taken[2].reasons[0].values == {"amount": 812.5}


def test_a_match_is_asked_for_by_itself_or_its_number() -> None:
    result = cep.compile(RULES).run(EVENTS)
    assert result.why(result.matches[0]) == result.why(0)
    with pytest.raises(IndexError, match="match 1 of 1"):
        result.why(1)


def test_a_field_that_is_not_kept_is_named() -> None:
    rules = cep.compile(
        "stream tx (ts int, shop int, amount float) time ts;"
        "table shops (shop int, limit float) by shop;"
        "pattern p from tx match a define a as amount > shops.limit and amount > 1;"
    )
    data = {"tx": [{"ts": 1, "shop": 1, "amount": 9.0}], "shops": [{"shop": 1, "limit": 5.0}]}
    (one,) = rules.run(data).why(0).taken
    assert one.reasons[0].holds in (None, True)
    assert [reason.text for reason in one.reasons][1] == "amount > 1"
