"""Rules over HTTP: they change between two events, and mistakes are told as the compiler does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from cep.cli import app
from tests.serving.process import RULES, TEXT, payment, served

LARGE = "pattern large from payments match t define t as amount > 1000;"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with served(tmp_path_factory.mktemp("rules")) as server, server.client() as client:
        yield client


def put(client: httpx.Client, text: str) -> httpx.Response:
    return client.put("/rules", content=text, headers=TEXT)


def test_statements_that_stay_keep_their_state_and_new_ones_begin(client: httpx.Client) -> None:
    client.post("/events", json=payment(0, card=1, amount=60.0))
    answer = put(client, RULES + LARGE)
    told = {"kept": ["more"], "fresh": [], "new": ["large"], "dropped": [], "warnings": []}
    assert (answer.status_code, answer.json()) == (200, told)
    rules = client.get("/rules").json()
    assert rules["text"] == RULES + LARGE
    assert [(each["name"], each["version"], each["state"]) for each in rules["statements"]] == [
        ("payments", 1, "active"),
        ("more", 1, "active"),
        ("large", 1, "active"),
    ]
    matches = client.post("/events", json=payment(1, card=1, amount=2_000.0)).json()["matches"]
    assert sorted(match["pattern"] for match in matches) == ["large", "more"]


def test_a_mistake_is_told_with_its_place_and_changes_nothing(client: httpx.Client) -> None:
    before = client.get("/rules").json()
    answer = put(client, "pattern large from payments match t define t as amuont > 60")
    assert answer.status_code == 422
    (problem,) = answer.json()["problems"]
    assert answer.json()["detail"] == problem["message"] == "no field 'amuont' in stream payments"
    assert (problem["line"], problem["column"], problem["warning"]) == (1, 49, False)
    assert problem["text"].splitlines()[1:3] == [
        "  pattern large from payments match t define t as amuont > 60",
        "                                                  ^^^^^^",
    ]
    assert client.get("/rules").json() == before


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ("", 422, "the rules have no pattern"),
        ("(" * 100_000, 422, ""),
        ("pattern p match a define a as " + "(" * 20_000 + "x" + ")" * 20_000, 422, ""),
        (b"\xff", 400, "the rules are not UTF-8 (byte 0)"),
        ("x" * ((1 << 20) + 1), 413, "longer than 1,048,576 bytes"),
    ],
    ids=["empty", "parentheses", "nested", "bytes", "long"],
)
def test_what_are_no_rules_is_refused(
    client: httpx.Client, body: str | bytes, status: int, detail: str
) -> None:
    answer = client.put("/rules", content=body, headers=TEXT)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]


def test_rules_come_as_plain_text(client: httpx.Client) -> None:
    answer = client.put("/rules", json={"rules": RULES})
    assert answer.status_code == 415
    assert "send text/plain" in answer.json()["detail"]


def test_warnings_of_rules_are_told(client: httpx.Client) -> None:
    doubtful = RULES + "pattern never from payments match t define t as amount > amount;"
    answer = put(client, doubtful).json()
    assert all(warning["warning"] for warning in answer["warnings"])


def test_a_field_of_another_type_costs_the_state_of_those_that_read_it(
    client: httpx.Client,
) -> None:
    put(client, RULES)
    answer = put(client, RULES.replace("card int", "card text"))
    assert (answer.status_code, answer.json()["fresh"]) == (200, ["more"])


# -- tables ----------------------------------------------------------------------------------------

RISKY = """
stream payments (id text, ts timestamp, card int, amount float) time ts;
table cards (card int, most float) by card;
pattern over from payments match t define t as amount > cards.most;
"""


def test_rules_look_up_files_whether_they_are_of_the_start_or_come_later(tmp_path: Path) -> None:
    (tmp_path / "cards.csv").write_text("card,most\n1,100\n2,1000\n")
    options = ("--table", f"cards={tmp_path / 'cards.csv'}")
    keeping = ("--checkpoints", str(tmp_path / "state"))
    with served(tmp_path, *options, *keeping, rules=RISKY) as server, server.client() as client:
        assert found(client, 0) == [1]
        assert put(client, RULES).status_code == 200
        assert found(client, 1) == []
        assert put(client, RISKY.replace("cards", "others")).json()["detail"] == (
            "no data for table 'others', which the rules look up"
        )
        server.kill()
    with served(tmp_path, *options, *keeping, rules=RISKY) as server, server.client() as client:
        assert found(client, 2) == []
        assert put(client, RISKY).status_code == 200
        assert found(client, 3) == [1]


def found(client: httpx.Client, number: int) -> list[int]:
    """The cards of which a payment of 500 is too much."""
    events = (payment(number, card=card, amount=500.0 - number) for card in (1, 2))
    answers = [client.post("/events", json=event).json() for event in events]
    return [card for card, answer in enumerate(answers, 1) if answer["matches"]]


@pytest.mark.parametrize(
    ("tables", "code", "told"),
    [
        ([], 1, "no data for table 'cards', which the rules look up"),
        (["cards=missing.csv"], 1, "missing.csv"),
        (["others=cards.csv"], 1, "no rule looks up a table 'others'; looked up: cards"),
        (["cards"], 2, "'cards': write NAME=FILE"),
        (["cards=cards.csv", "cards=b"], 2, "table 'cards' twice"),
    ],
)
def test_a_table_that_does_not_fit_is_told_at_the_start(
    tables: list[str], code: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cards.csv").write_text("card,most\n1,100\n")
    Path("rules.cep").write_text(RISKY)
    given = [part for table in tables for part in ("--table", table)]
    outcome = CliRunner().invoke(app, ["serve", "rules.cep", *given])
    said = outcome.output if code == 2 else str(outcome.exception)
    assert told in " ".join(said.split())
    assert outcome.exit_code == code
