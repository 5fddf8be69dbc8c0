"""Counts on real data that independent programs agree on, through the public API.

The data are not part of the project (their licences forbid it or say nothing): they are looked for
in the folder that CEP_SHARED_DATA names, else in ../shared/data beside the checkout, and the tests
are skipped where they are absent. Bounds there are inclusive, ours are exclusive: the rules ask for
one second, or one millisecond, more.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cep

FOLDER = Path(
    os.environ.get("CEP_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)


def shared(name: str) -> Path:
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"the shared data file {name} is absent; CEP_SHARED_DATA names its folder")
    return path


# -- card transactions of April 2018 ---------------------------------------------------------------

HANDBOOK = "stream payments time TX_DATETIME;\n"

M1 = """
pattern small_then_big from payments by CUSTOMER_ID
  match a b within 6 hours 1 second
  define a as TX_AMOUNT < 10, b as TX_AMOUNT > 100
  after match no skip"""

M2 = """
pattern every_pair from payments by CUSTOMER_ID
  match a ->> b within 24 hours 1 second
  define a as TX_AMOUNT < 10, b as TX_AMOUNT > 100
  after match no skip"""

M3 = """
pattern first_big from payments by CUSTOMER_ID
  match a -> b within 24 hours 1 second
  define a as TX_AMOUNT < 10, b as TX_AMOUNT > 100
  after match no skip"""

M4 = """
pattern doubling from payments by CUSTOMER_ID
  match a ->> b ->> c within 12 hours 1 second
  define a as TX_AMOUNT >= 5, b as TX_AMOUNT > 2 * a.TX_AMOUNT, c as TX_AMOUNT > 2 * b.TX_AMOUNT
  after match no skip"""

M5 = """
pattern spree from payments by CUSTOMER_ID
  match longest big{3,} consecutive
  within 24 hours 1 second between events
  define big as TX_AMOUNT > 100
  after match skip past last event"""

M6 = """
pattern silence from payments by CUSTOMER_ID
  match a -> not any_event
  within 24 hours 1 second
  define a as TX_AMOUNT > 220, any_event as true
  after match no skip"""

M7 = """
pattern no_small_between from payments by CUSTOMER_ID
  match a -> not small -> c within 24 hours 1 second
  define a as TX_AMOUNT > 100, small as TX_AMOUNT < 10, c as TX_AMOUNT > 100
  after match no skip"""

M8 = """
pattern three_customers from payments by TERMINAL_ID
  match a ->> b ->> c within 60 minutes 1 second
  define a as true,
         b as CUSTOMER_ID <> a.CUSTOMER_ID,
         c as CUSTOMER_ID <> a.CUSTOMER_ID and CUSTOMER_ID <> b.CUSTOMER_ID
  after match no skip"""


@pytest.fixture(scope="module")
def april() -> pa.Table:
    may = datetime(2018, 5, 1)  # noqa: DTZ001 - the data have no zone
    path = shared("handbook/transactions.parquet")
    table = pq.read_table(path, filters=[("TX_DATETIME", "<", may)])
    assert table.num_rows == 288_062
    return table


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        pytest.param(M1, 371, id="M1 the very next"),
        pytest.param(M2, 1_840, id="M2 every pair"),
        pytest.param(M3, 1_227, id="M3 the first after"),
        pytest.param(M4, 1_322, id="M4 every triple"),
        pytest.param(M5, 2_480, id="M5 maximal runs"),
        pytest.param(M6, 65, id="M6 silence, the stream closed"),
        pytest.param(M7, 20_276, id="M7 nothing small between"),
        pytest.param(M8, 436, id="M8 three customers at a terminal"),
    ],
)
def test_a_pattern_finds_exactly_the_known_matches_in_april(
    april: pa.Table, rule: str, count: int
) -> None:
    assert len(cep.compile(HANDBOOK + rule).run(april).matches) == count


def test_silence_that_the_open_stream_does_not_yet_prove_is_not_reported(april: pa.Table) -> None:
    result = cep.compile(HANDBOOK + M6).run(april, end_of_stream=False)
    assert len(result.matches) == 57


def test_all_patterns_at_once_find_what_each_finds_alone(april: pa.Table) -> None:
    rules = cep.compile(HANDBOOK + ";".join([M1, M2, M3, M4, M5, M6, M7, M8]))
    counts = dict.fromkeys((p.name for p in rules.patterns), 0)
    for match in rules.run(april).matches:
        counts[match.pattern] += 1
    assert counts == {
        "small_then_big": 371,
        "every_pair": 1_840,
        "first_big": 1_227,
        "doubling": 1_322,
        "spree": 2_480,
        "silence": 65,
        "no_small_between": 20_276,
        "three_customers": 436,
    }


# -- SSH logins ------------------------------------------------------------------------------------

BRUTE_FORCE = """
stream logins time ts;
pattern brute_force from logins by source, conn_ip
  match fail{{4}} -> fifth -> not more ->> stop
  within 61 seconds
  define fail  as event_type in ('failed_password', 'failed_none'),
         fifth as event_type in ('failed_password', 'failed_none'),
         more  as event_type in ('failed_password', 'failed_none'),
         stop  as event_type in ('disconnect', 'disconnected', 'conn_closed', 'conn_reset',
                                 'too_many_failures', 'accepted_password', 'accepted_publickey')
  after match {skip}"""


@pytest.fixture(scope="module")
def loghub() -> pa.Table:
    return pq.read_table(shared("openssh/events.parquet"), filters=[("source", "==", "loghub_2k")])


def test_every_end_after_five_failures_is_found_from_eleven_addresses(loghub: pa.Table) -> None:
    matches = list(cep.compile(BRUTE_FORCE.format(skip="no skip")).run(loghub).matches)
    assert len(matches) == 431
    assert len({match.key for match in matches}) == 11


def test_failures_that_a_match_has_consumed_do_not_count_again(loghub: pa.Table) -> None:
    rules = cep.compile(BRUTE_FORCE.format(skip="skip past last event"))
    assert len(rules.run(loghub).matches) == 98


# -- stock trades ----------------------------------------------------------------------------------

TRADES = """
stream trades time ts;
pattern four_legs from trades
  match a ->> b ->> c ->> d within 10001 ms
  define a as symbol = 'IBM' and side = 'SELL',
         b as symbol = 'BAC' and side = 'BUY'{same},
         c as symbol = 'AIG' and side = 'BUY'{same},
         d as symbol = 'SPY' and side = 'SELL'{same}
  after match no skip"""


@pytest.fixture(scope="module")
def trades() -> pa.Table:
    path = shared("stocks/trades.parquet")
    return pq.read_table(path, filters=[("id", ">=", 62_516), ("id", "<", 71_039)])


def test_every_combination_of_four_trades_within_ten_seconds_is_found(trades: pa.Table) -> None:
    assert len(cep.compile(TRADES.format(same="")).run(trades).matches) == 108_254


def test_a_condition_across_events_keeps_the_combinations_of_equal_size(trades: pa.Table) -> None:
    rules = cep.compile(TRADES.format(same=" and size = a.size"))
    assert len(rules.run(trades).matches) == 16_546


def test_the_combinations_of_a_whole_week_are_counted() -> None:
    week = pq.read_table(shared("stocks/trades.parquet"))
    assert cep.compile(TRADES.format(same="")).count(week) == {"four_legs": 2_350_280_696}
