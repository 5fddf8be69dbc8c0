"""Jobs with `cep.Detector` and the checkpoint store: the same rows as a run without stops."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

import cep

RULES = cep.compile(
    """
    stream trades (ts timestamp, symbol text, price float) time ts lateness 5 seconds;
    pattern rise from trades by symbol
      match a b within 1 minute
      define a as true, b as price > a.price
      select a.price as low, b.price as high;
    pattern quiet from trades by symbol
      match a -> not b within 20 seconds
      define a as price = 5, b as true
      select a.price as low;
    """
)
# y: a rise from 1 to 4; x: a rise from 2 to 3, then 5 and silence; one event is late, two are bad
TRADES = """ts,symbol,price
2024-01-01 00:00:00,x,2
2024-01-01 00:00:03,y,1
2024-01-01 00:00:02,x,3
2024-01-01 00:00:10,y,4
2024-01-01 00:00:01,x,9
2024-01-01 00:00:20,x,5
2024-01-01 00:00:30
2024-01-01 00:00:41,y,much
2024-01-01 00:01:30,y,0
"""
MATCHES = [("rise", "x", 2.0, 3.0), ("rise", "y", 1.0, 4.0), ("quiet", "x", 5.0, None)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/trades.csv").write_text(TRADES)
    return tmp_path


def job(**named: Any) -> cep.Job:
    sinks = [
        cep.FileSink("out", format="jsonl"),
        cep.FileSink("late", "late", "csv"),
        cep.FileSink("errors", "errors"),
    ]
    source = cep.FileSource("in", batch_bytes=25)
    return cep.Job(source, RULES, sinks, checkpoint="checkpoints", every="1 row", **named)


def matches() -> list[tuple[Any, ...]]:
    lines = [x for p in sorted(Path("out").glob("part-*")) for x in p.read_text().splitlines()]
    rows = [json.loads(line) for line in lines]
    return [(row["pattern"], row["key"], row["low"], row["high"]) for row in rows]


def check_side_outputs() -> None:
    late = [pcsv.read_csv(path).to_pylist() for path in Path("late").glob("part-*")]
    assert [(row["symbol"], row["price"]) for (row,) in late] == [("x", 9)]
    paths = sorted(Path("errors").glob("part-*"))
    reasons = [row["reason"] for path in paths for row in pq.read_table(path).to_pylist()]
    assert [reason.partition(":")[0].partition(" in ")[0] for reason in reasons] == [
        "broken row",
        "price is not a float",
    ]


def test_all_tables_of_the_results_reach_their_sinks(folder: Path) -> None:
    status = job().run()
    assert (status.state, status.rows, status.errors) == ("finished", 9, 2)
    assert status.written == {"matches": 3, "late": 1, "errors": 2}
    assert status.detector["late"] == 1
    assert matches() == MATCHES
    check_side_outputs()


@pytest.mark.parametrize("workers", [1, 3])
def test_a_job_stopped_after_every_batch_ends_as_if_never_stopped(
    folder: Path, workers: int
) -> None:
    states = []
    for _ in range(20):
        status = job(workers=workers).run(lambda status: status.rows > status.restored_rows)
        states.append(status.state)
        if status.state == "finished":
            break
    assert states == ["stopped"] * (len(states) - 1) + ["finished"]
    assert len(states) > 5
    assert matches() == MATCHES
    check_side_outputs()


def test_streams_and_aggregates_go_through_stops_as_well(folder: Path) -> None:
    rules = cep.compile(
        """
        stream logins (ts timestamp, user text) time ts;
        stream transfers (ts timestamp, user text, amount float) time ts;
        pattern theft from logins, transfers by user match a -> b within 1 minute
          define a as logins, b as transfers where amount > 10 select b.amount as amount;
        aggregate sums from transfers by user window tumbling 10 seconds
          select user, window_start, count(*) as n;
        """
    )
    seconds = range(0, 50, 3)
    logins = [{"ts": f"2024-01-01T00:00:{s:02}", "user": "ab"[s % 2]} for s in seconds]
    Path("logins.jsonl").write_text("".join(json.dumps(login) + "\n" for login in logins))
    rows = [f"2024-01-01T00:00:{s:02},{'ab'[s % 3 % 2]},{s}\n" for s in range(0, 60, 2)]
    Path("transfers.csv").write_text("ts,user,amount\n" + "".join(rows))
    paths = {"logins": "logins.jsonl", "transfers": "transfers.csv"}
    sources = {name: cep.FileSource(path, batch_bytes=200) for name, path in paths.items()}
    state = ""
    while state != "finished":
        sinks = [cep.FileSink("out", format="jsonl"), cep.FileSink("sums", "sums")]
        made = cep.Job(sources, rules, sinks, checkpoint="checkpoints", every="100 rows")
        state = made.run(lambda status: status.rows > status.restored_rows).state
    whole = rules.run(paths)
    lines = [x for p in sorted(Path("out").glob("part-*")) for x in p.read_text().splitlines()]
    assert {json.loads(line)["id"] for line in lines} == {match.id for match in whole.matches}
    assert len(lines) == len(whole.matches) > 0
    sums = [row for p in Path("sums").glob("part-*") for row in pq.read_table(p).to_pylist()]
    assert sorted(map(str, sums)) == sorted(map(str, whole.tables["sums"].to_pylist()))
    assert len(sums) == 12


def test_the_command_line_runs_the_same_job(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cep.cli import main

    Path("rules.cep").write_text(RULES.text)
    command = "cep run rules.cep -i in --checkpoint-dir checkpoints -o out -f jsonl --every"
    monkeypatch.setattr("sys.argv", [*command.split(), "2 rows"])
    with contextlib.suppress(SystemExit):
        main()
    assert capsys.readouterr().err.startswith("finished: 9 rows read, 3 matches, 2 rows with")
    assert matches() == MATCHES


def test_another_job_cannot_use_the_checkpoints_at_the_same_time(folder: Path) -> None:
    messages = []

    def again(status: Any) -> bool:
        try:
            job().run()
        except cep.JobError as error:
            messages.append(str(error))
        return True

    job().run(again)
    assert len(messages) == 1
    assert "another" in messages[0]
    assert job().run().state == "finished"
    assert matches() == MATCHES
