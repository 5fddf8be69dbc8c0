"""The example rules find what is there to be found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import cep
from cep.datasets import SCENARIOS, card_transactions, openssh_logins
from cep.results.result import Match

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


# -- card fraud ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cards() -> pd.DataFrame:
    return card_transactions().to_pandas()


@pytest.fixture(scope="module")
def matches(cards: pd.DataFrame) -> list[Match]:
    rules = cep.load(EXAMPLES / "fraud.cep")
    return list(rules.run(cards.drop(columns=["fraud", "scenario", "attack"])).matches)


def attacks_hit(match: Match, attack_of: dict[tuple[int, pd.Timestamp], int]) -> set[int]:
    events: Iterable[dict[str, object]] = (e for taken in match.events.values() for e in taken)
    places = ((int(str(e["card"])), pd.Timestamp(str(e["ts"]))) for e in events)
    return {attack_of[place] for place in places if place in attack_of}


@pytest.mark.parametrize(
    ("scenario", "attacks_found", "matches_true", "matches_all"),
    [
        ("card_testing", 50, 50, 50),
        ("cash_refund", 50, 50, 50),
        ("impossible_travel", 50, 50, 50),
        ("velocity_burst", 50, 50, 50),
        ("quiet_takeover", 50, 50, 50),
    ],
)
def test_the_pattern_of_a_scenario_finds_its_attacks_and_little_else(
    cards: pd.DataFrame,
    matches: list[Match],
    scenario: str,
    attacks_found: int,
    matches_true: int,
    matches_all: int,
) -> None:
    """Recall is attacks_found of 50, precision matches_true of matches_all."""
    planted = cards[cards["scenario"] == scenario]
    attack_of = {
        (card, ts): int(attack)
        for card, ts, attack in zip(planted["card"], planted["ts"], planted["attack"], strict=True)
    }
    hits = [attacks_hit(match, attack_of) for match in matches if match.pattern == scenario]
    found = set().union(*hits)
    assert (len(found), sum(map(bool, hits)), len(hits)) == (
        attacks_found,
        matches_true,
        matches_all,
    )


def test_there_is_one_pattern_for_each_scenario() -> None:
    rules = cep.load(EXAMPLES / "fraud.cep")
    assert tuple(pattern.name for pattern in rules.patterns) == SCENARIOS


# -- card fraud, with features and aggregates ------------------------------------------------------


def test_bursts_and_drained_cards_are_found_by_what_was_before(cards: pd.DataFrame) -> None:
    matches = cep.load(EXAMPLES / "velocity.cep").run(cards).matches
    scenario = {
        (card, ts): kind
        for card, ts, kind in zip(cards["card"], cards["ts"], cards["scenario"], strict=True)
    }
    last = [(match.pattern, list(match.events.values())[-1][-1]) for match in matches]
    found = Counter((name, scenario[e["card"], pd.Timestamp(e["ts"])]) for name, e in last)
    assert found == {("burst", "velocity_burst"): 50, ("drained", "quiet_takeover"): 49}


def test_live_rules_give_live_what_they_give_over_a_table(cards: pd.DataFrame) -> None:
    """In batches that are not in the order of time, as far as the declared lateness allows."""
    rules = cep.load(EXAMPLES / "velocity.cep")
    declared = cards[[field.name for field in rules.streams[0].fields]]
    whole = rules.run(declared)
    arrival = (declared["ts"] + pd.to_timedelta(declared.index % 60, "s")).argsort()
    shuffled = declared.iloc[arrival]
    detector = cep.Detector(rules)
    parts = [shuffled[begin : begin + 50_000] for begin in range(0, len(cards), 50_000)]
    results = [*map(detector.process_batch, parts), detector.finish()]
    assert [m.id for result in results for m in result.matches] == [m.id for m in whole.matches]
    for name in ("sales", "bursts"):
        rows = pa.concat_tables([result.tables[name] for result in results])
        assert rows.equals(whole.tables[name])


def test_every_purchase_is_in_an_hour_and_every_burst_in_a_day(cards: pd.DataFrame) -> None:
    tables = cep.load(EXAMPLES / "velocity.cep").run(cards).tables
    assert tables["sales"].to_pandas()["purchases"].sum() == (cards["kind"] == "purchase").sum()
    assert tables["bursts"].to_pandas()["n"].sum() == 50


# -- SSH -------------------------------------------------------------------------------------------


def test_the_ssh_rules_find_the_attacks_in_the_log() -> None:
    result = cep.load(EXAMPLES / "ssh_bruteforce.cep").run(openssh_logins())
    assert Counter(match.pattern for match in result.matches) == {
        "brute_force": 166,
        "brute_force_all": 454,
        "guessed_password": 1,
        "user_guessing": 17,
    }


def test_the_password_was_guessed_after_147_failures() -> None:
    result = cep.load(EXAMPLES / "ssh_bruteforce.cep").run(openssh_logins())
    (match,) = (m for m in result.matches if m.pattern == "guessed_password")
    assert match.key == "24.151.103.17"
    assert match.values["failures"] == 147


def test_log_lines_without_an_address_are_counted_as_errors() -> None:
    """65 lines have no key; they must not disappear in silence."""
    result = cep.load(EXAMPLES / "ssh_bruteforce.cep").run(openssh_logins())
    assert len(result.errors) == 65
