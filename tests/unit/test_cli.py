"""The command line as a user meets it: a process with arguments, output and an exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from cep.cli import main

RULES = """
pattern rise from trades by symbol
  match a b
  within 1 minute
  define a as true, b as price > a.price
  select a.price as low, b.price as high;
"""
TRADES = """ts,symbol,price
2024-01-01 00:00:00,x,1.0
2024-01-01 00:00:01,y,5.0
2024-01-01 00:00:02,x,2.0
2024-01-01 00:00:03,y,4.0
2024-01-01 00:00:04,x,1.5
2024-01-01 00:00:05,x,3.0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rise.cep").write_text(RULES)
    (tmp_path / "trades.csv").write_text(TRADES)
    return tmp_path


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Cep = Callable[..., Done]


@pytest.fixture
def cep(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cep:
    """`cep ARGUMENTS` in the folder, in this process: a new one costs a second to start."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["cep", *arguments])
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        else:
            code = 0
        return Done(int(code), *capsys.readouterr())

    return run


# -- run -------------------------------------------------------------------------------------------


def test_run_shows_a_table_of_matches_and_a_summary(cep: Cep) -> None:
    done = cep("run", "rise.cep", "--input", "trades.csv")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert "│ x   │ 2024-01-01 00:00:00 │ 2024-01-01 00:00:02 │ 1   │ 2    │" in lines
    assert "│ x   │ 2024-01-01 00:00:04 │ 2024-01-01 00:00:05 │ 1.5 │ 3    │" in lines
    assert lines[-2:] == ["2 matches", "  rise  2"]
    assert lines[-3].startswith("6 events in ")


def test_parameters_of_the_rules_are_set_by_name(cep: Cep, folder: Path) -> None:
    declared = "parameter $low float = 2; parameter $s = 'y'; parameter $w = 1 minute;"
    used = RULES.replace("a as true", "a as price < $low or symbol = $s")
    (folder / "set.cep").write_text(declared + used.replace("within 1 minute", "within $w"))

    def matches(*values: str) -> int:
        given = [word for value in values for word in ("--set", value)]
        done = cep("run", "set.cep", "-i", "trades.csv", "-f", "jsonl", *given)
        assert done.returncode == 0, done.stderr
        return len(done.stdout.splitlines())

    assert matches() == 2
    assert matches("low=3") == 2
    assert matches("$low = 0", "s=it's") == 0
    assert matches("w=1.5 seconds") == 1
    done = cep("run", "set.cep", "-i", "trades.csv", "--set", "low=much")
    assert done.returncode == 1
    assert "the value of $low is 'much'" in done.stderr
    assert "it must be a finite number" in done.stderr
    assert cep("run", "set.cep", "-i", "trades.csv", "--set", "low").returncode == 2
    assert "3 parameters" in cep("check", "set.cep").stdout


def test_limit_bounds_the_table_and_says_so(cep: Cep) -> None:
    done = cep("run", "rise.cep", "-i", "trades.csv", "--limit", "1")
    assert "... the first 1 of 2 matches" in done.stdout


def test_json_lines_on_stdout_leave_the_summary_to_stderr(cep: Cep) -> None:
    done = cep("run", "rise.cep", "-i", "trades.csv", "--format", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["key"], row["start"], row["low"], row["high"]) for row in rows] == [
        ("x", "2024-01-01T00:00:00", 1.0, 2.0),
        ("x", "2024-01-01T00:00:04", 1.5, 3.0),
    ]
    assert "2 matches" in done.stderr


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_all_matches_are_written_to_a_file(cep: Cep, folder: Path, ending: str) -> None:
    done = cep("run", "rise.cep", "-i", "trades.csv", "-o", f"out.{ending}")
    assert done.returncode == 0
    assert f"matches written to out.{ending}" in done.stdout
    path = folder / f"out.{ending}"
    if ending == "parquet":
        keys = pq.read_table(path).column("high").to_pylist()
    elif ending == "csv":
        keys = pcsv.read_csv(path).column("high").to_pylist()
    else:
        keys = [json.loads(line)["high"] for line in path.read_text().splitlines()]
    assert keys == [2.0, 3.0]


def test_a_file_without_matches_has_its_columns_all_the_same(cep: Cep, folder: Path) -> None:
    (folder / "one.csv").write_text("\n".join(TRADES.splitlines()[:2]))
    assert cep("run", "rise.cep", "-i", "one.csv", "-o", "out.parquet").returncode == 0
    names = ["pattern", "key", "start", "end", "id", "low", "high"]
    assert pq.read_table(folder / "out.parquet").schema.names == names
    assert cep("run", "rise.cep", "-i", "one.csv", "-o", "out.csv").returncode == 0
    assert (folder / "out.csv").read_text() == ",".join(f'"{name}"' for name in names) + "\n"


def test_timeouts_and_errors_have_files_of_their_own(cep: Cep, folder: Path) -> None:
    (folder / "trades.csv").write_text(TRADES + ",x,9\n")
    done = cep("run", "rise.cep", "-i", "trades.csv", "--errors", "e.jsonl", "--timeouts", "t.csv")
    assert done.returncode == 0
    assert "errors written to e.jsonl" in done.stdout
    assert json.loads((folder / "e.jsonl").read_text())["reason"] == "time 'ts' is NULL"
    assert (folder / "t.csv").read_text().startswith('"pattern","key","start","end","id"\n')


def test_stdin_is_json_lines(cep: Cep, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '{"ts": 1, "symbol": "x", "price": 1}\n{"ts": 2, "symbol": "x", "price": 2}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    done = cep("run", "rise.cep", "-i", "-")
    assert done.stdout.splitlines()[-1] == "  rise  1"


AGGREGATE = """
stream trades time ts;
aggregate per_symbol from trades by symbol
  window tumbling 1 minute
  select symbol, count(*) as trades, max(price) as high;
"""


def test_rows_of_aggregates_are_shown_and_written_to_files(cep: Cep, folder: Path) -> None:
    (folder / "rates.cep").write_text(AGGREGATE)
    rows = ("--rows", "per_symbol=rates.csv")
    done = cep("run", "rates.cep", "--input", "trades.csv", *rows, "--limit", "1")
    assert done.returncode == 0
    lines = [line.rstrip() for line in done.stdout.splitlines() if "per_symbol" in line]
    assert lines == ["per_symbol", "  per_symbol  2", "per_symbol written to rates.csv"]
    table = pcsv.read_csv(folder / "rates.csv")
    assert table.select(["symbol", "trades", "high"]).to_pylist() == [
        {"symbol": "x", "trades": 4, "high": 3.0},
        {"symbol": "y", "trades": 2, "high": 5.0},
    ]


def test_streams_are_named_before_their_files(cep: Cep) -> None:
    done = cep("run", "rise.cep", "-i", "trades=trades.csv")
    assert "2 matches" in done.stdout


def test_errors_and_notes_are_in_the_summary(cep: Cep, folder: Path) -> None:
    (folder / "trades.csv").write_text(TRADES + "soon,x,9\n2023-01-01,z,1\n1,2\n")
    (folder / "rise.cep").write_text("stream trades time ts;" + RULES)
    done = cep("run", "rise.cep", "-i", "trades.csv")
    assert "2 events with errors" in done.stdout
    assert "  1 x broken row in trades.csv" in done.stdout
    assert "  1 x time 'ts' does not parse as ISO 8601" in done.stdout
    assert "note: stream 'trades' (trades.csv): 1 of 7 events came after one" in " ".join(
        done.stdout.split()
    )


# -- what is wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "rise.cep", "-i", "no.csv"], "error: no.csv: no such file"),
        (["run", "no.cep", "-i", "trades.csv"], "error: no.cep: no such file or directory"),
        (["run", "rise.cep", "-i", "a=trades.csv"], "error: no pattern reads a stream 'a'"),
        (["run", "rise.cep", "-i", "trades.csv", "-o", "x/y.csv"], "error: x/y.csv: cannot be"),
        (["run", "rise.cep", "-i", "trades.csv", "-o", "y.xlsx"], "error: y.xlsx: cannot tell"),
        (["check", "no.cep"], "error: no.cep: no such file or directory"),
    ],
)
def test_what_is_wrong_is_one_line_on_stderr_and_exit_code_1(
    cep: Cep, arguments: list[str], message: str
) -> None:
    done = cep(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "rise.cep"], "Missing option '--input'"),
        (["run", "rise.cep", "-i", "a.csv", "-i", "b.csv"], "each needs its stream"),
        (["run", "rise.cep", "-i", "s=a.csv", "-i", "s=b.csv"], "stream 's' twice"),
        (["run", "rise.cep", "-i", "trades.csv", "-f", "parquet"], "needs --output FILE"),
        (
            ["run", "rise.cep", "-i", "trades.csv", "-f", "table", "-o", "x"],
            "for the terminal only",
        ),
        (["run", "rise.cep", "-i", "trades.csv", "-f", "xml"], "'xml'"),
        (["run", "rise.cep", "-i", "trades.csv", "--rows", "rise=o.csv"], "and joins: none"),
        (["fly"], "No such command"),
    ],
)
def test_wrong_usage_is_exit_code_2(cep: Cep, arguments: list[str], message: str) -> None:
    done = cep(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_an_error_in_a_rule_has_its_line_and_a_caret(cep: Cep, folder: Path) -> None:
    (folder / "bad.cep").write_text("pattern p\n  match a define a as amount >;\n")
    done = cep("check", "bad.cep")
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("bad.cep:2:")
    assert lines[1] == "    match a define a as amount >;"
    assert set(lines[2]) == {" ", "^"}


def test_no_file_is_left_where_a_run_fails(cep: Cep, folder: Path) -> None:
    (folder / "trades.csv").write_text(TRADES.replace("price", "cost"))
    done = cep("run", "rise.cep", "-i", "trades.csv", "-o", "out.csv")
    assert done.returncode == 1
    assert "no field 'price'" in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["rise.cep", "trades.csv"]


def test_a_reader_that_goes_away_is_no_drama(folder: Path) -> None:
    rows = "".join(f"{t * 1000},x,{t}\n" for t in range(1, 5000))
    (folder / "long.csv").write_text("ts,symbol,price\n" + rows)
    command = f"{sys.executable} -m cep run rise.cep -i long.csv -f jsonl 2>err | head -n 1"
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, env=environment, check=True
    )
    assert json.loads(done.stdout)["low"] == 1
    assert (folder / "err").read_text() == ""


# -- check, explain, version -----------------------------------------------------------------------


def test_check_says_what_the_rules_hold(cep: Cep) -> None:
    done = cep("check", "rise.cep")
    assert (done.returncode, done.stdout, done.stderr) == (0, "OK: 1 pattern\n", "")


def test_check_warns_on_stderr_and_passes(cep: Cep, folder: Path) -> None:
    (folder / "two.cep").write_text(
        "stream s (ts timestamp) time ts; pattern p match a b define a as true;"
    )
    done = cep("check", "two.cep")
    assert (done.returncode, done.stdout) == (0, "OK: 1 pattern, 1 stream\n")
    assert "warning: variable 'b' has no definition" in done.stderr


def test_version_is_printed(cep: Cep) -> None:
    assert cep("version").stdout == "0.1.0\n"


def test_without_arguments_the_commands_are_shown(cep: Cep) -> None:
    done = cep()
    assert all(word in done.stdout + done.stderr for word in ("run", "check", "explain", "version"))


def test_explain_shows_the_automaton_with_and_without_data(cep: Cep) -> None:
    for more in ([], ["-i", "trades.csv"]):
        done = cep("explain", "rise.cep", *more)
        assert (done.returncode, done.stderr) == (0, "")
        assert "automaton:" in done.stdout
        assert done.stdout.startswith("pattern rise\n")
