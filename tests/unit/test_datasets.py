"""The data sets that come with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from cep.datasets import (
    SCENARIOS,
    benchmark_transactions,
    card_transactions,
    openssh_logins,
    windows_events,
)
from cep.datasets.__main__ import main


@pytest.fixture(scope="module")
def cards() -> pd.DataFrame:
    return card_transactions(n=40_000, cards=1_000).to_pandas()


def test_card_transactions_have_the_number_of_rows_asked_for(cards: pd.DataFrame) -> None:
    assert len(cards) == 40_000


def test_card_transactions_are_in_time_order(cards: pd.DataFrame) -> None:
    assert cards["ts"].is_monotonic_increasing
    assert cards["ts"].min() >= pd.Timestamp("2025-03-03")
    assert cards["ts"].max() < pd.Timestamp("2025-04-02")


def test_the_same_seed_gives_the_same_table_and_another_seed_another() -> None:
    assert card_transactions(n=5_000, cards=200) == card_transactions(n=5_000, cards=200)
    assert card_transactions(n=5_000, cards=200) != card_transactions(n=5_000, cards=200, seed=8)


def test_every_scenario_is_planted_equally_often_each_time_on_a_card_of_its_own(
    cards: pd.DataFrame,
) -> None:
    fraud = cards[cards["fraud"]]
    assert fraud.groupby("scenario", observed=False)["attack"].nunique().to_dict() == dict.fromkeys(
        SCENARIOS, 10
    )
    assert fraud.groupby("attack")["card"].nunique().eq(1).all()
    assert fraud["card"].nunique() == 50


def test_labels_are_null_exactly_where_there_is_no_fraud(cards: pd.DataFrame) -> None:
    assert (cards["scenario"].notna() == cards["fraud"]).all()
    assert (cards["attack"].notna() == cards["fraud"]).all()


def test_only_logins_and_pin_resets_have_no_amount(cards: pd.DataFrame) -> None:
    without = cards.loc[cards["amount"].isna(), "kind"]
    assert set(without) == {"login", "pin_reset"}
    assert cards.loc[cards["kind"].isin(["login", "pin_reset"]), "amount"].isna().all()


def test_about_three_percent_of_amounts_are_below_two(cards: pd.DataFrame) -> None:
    assert 0.025 < (cards["amount"].dropna() < 2).mean() < 0.04


def test_keys_can_be_text() -> None:
    numbers = card_transactions(n=5_000, cards=200).column("card")
    texts = card_transactions(n=5_000, cards=200, text_keys=True).column("card")
    assert str(texts.type) == "string"
    assert texts.to_pylist() == [str(number) for number in numbers.to_pylist()]


def test_a_card_testing_attack_is_small_probes_at_home_and_a_big_purchase_abroad(
    cards: pd.DataFrame,
) -> None:
    for _, attack in cards[cards["scenario"] == "card_testing"].groupby("attack"):
        probes, hit = attack.iloc[:-1], attack.iloc[-1]
        assert 3 <= len(probes) <= 6
        assert (probes["amount"] < 2).all()
        assert hit["amount"] > 500
        assert hit["country"] != probes["country"].iloc[-1]
        assert hit["ts"] - probes["ts"].iloc[0] < pd.Timedelta(minutes=10)


def test_more_attacks_than_cards_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="30 attacks of each kind need 300 cards, there are 100"):
        card_transactions(n=100_000, cards=100, attacks=30)


def test_more_attacks_than_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="rows, but n is 50"):
        card_transactions(n=50, cards=1_000, attacks=20)


def test_benchmark_transactions_are_the_workload_that_the_issue_describes() -> None:
    frame = benchmark_transactions(n=100_000, cards=2_000).to_pandas()
    assert len(frame) == 100_000
    assert frame["ts"].is_monotonic_increasing
    assert frame["ts"].max() - frame["ts"].min() > pd.Timedelta(hours=167)
    assert 0.028 < (frame["amount"] < 2).mean() < 0.032
    assert frame.notna().all().all()
    counts = np.sort(frame["card"].value_counts().to_numpy())[::-1]
    assert counts[0] > 1.8 * counts[1] > 1.8 * 1.3 * counts[2]  # 1, 1/2, 1/3, ...


def test_windows_events_are_in_the_order_of_their_arrival_and_up_to_8_seconds_late() -> None:
    frame = windows_events().to_pandas()
    assert len(frame) == 8_947
    assert sorted(frame["hostname"].unique()) == [
        "MORDORDC.theshire.local",
        "WORKSTATION5.theshire.local",
        "WORKSTATION6.theshire.local",
    ]
    assert frame["received_time"].is_monotonic_increasing
    late = frame["event_time"].cummax() - frame["event_time"]
    assert late.max() == pd.Timedelta(seconds=8)
    assert int((late > pd.Timedelta(0)).sum()) == 5_314


def test_openssh_logins_are_the_freely_licensed_part_in_time_order() -> None:
    frame = openssh_logins().to_pandas()
    assert len(frame) == 4_420
    assert set(frame["source"]) == {"elastic_auth"}
    assert frame["ts"].is_monotonic_increasing
    assert frame["conn_ip"].isna().sum() == 65


def test_the_licence_of_the_ssh_data_lies_beside_it() -> None:
    import cep.datasets

    folder = Path(cep.datasets.__file__).parent
    assert "Apache License" in (folder / "LICENSE.elastic-examples").read_text()


def test_the_command_writes_parquet(tmp_path: Path) -> None:
    target = tmp_path / "cards.parquet"
    assert main(["card_transactions", "--out", str(target), "--rows", "3000", "--cards", "90"]) == 0
    assert pq.read_table(target).num_rows == 3_000


def test_the_command_writes_csv(tmp_path: Path) -> None:
    target = tmp_path / "logins.csv"
    assert main(["openssh_logins", "--out", str(target)]) == 0
    assert pa_csv.read_csv(target).num_rows == 4_420


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["openssh_logins", "--out", "x.txt"], "--out must end in .parquet or .csv, not 'x.txt'"),
        (["openssh_logins", "--out", "x.csv", "--rows", "3"], "openssh_logins is a fixed table"),
        (["nothing", "--out", "x.csv"], "invalid choice: 'nothing'"),
    ],
)
def test_the_command_refuses_arguments_that_make_no_sense(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
