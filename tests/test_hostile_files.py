"""Lines of files that are written to do harm: an error each, and all other lines are read.

Each file goes through `Rules.run`, the command line and a job.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cep
from cep.cli import main

RULES = """
stream s (ts timestamp, k text, i integer) time ts;
pattern pair from s by k match a -> z within 1 hour define a as i = 1, z as i = 2;
"""
FIRST = b'{"ts": "2025-03-03 12:00", "k": "x", "i": 1}'
LAST = b'{"ts": "2025-03-03 12:02", "k": "x", "i": 2}'
BROKEN = "broken line"


def field(name: bytes, value: bytes) -> bytes:
    return FIRST.replace(b'"k": "x"', b'"' + name + b'": ' + value)


def nested(depth: int, begin: bytes, end: bytes) -> bytes:
    return begin * depth + b"1" + end * depth


# name: (lines between two good ones, the errors that they are)
LINES: dict[str, tuple[bytes, list[str]]] = {
    "lists in lists": (field(b"k", nested(100_000, b"[", b"]")), [BROKEN]),
    "objects in objects": (field(b"k", nested(100_000, b'{"a":', b"}")), [BROKEN]),
    "in a field nobody knows": (FIRST[:-1] + b', "y": %b}' % nested(200, b"[", b"]"), [BROKEN]),
    "over lines": (b'{"k":' + nested(1_000, b"[\n", b"\n]") + b"}", [BROKEN] * 2_001),
    "a list": (field(b"k", b"[[1]]"), ["k is not text"]),
    "half a surrogate pair": (field(b"k", b'"\\ud800"'), ["k is not text"]),
    "bytes that are no UTF-8": (field(b"k", b'"\xff"'), [BROKEN]),
    "a name that is no UTF-8": (field(b"k\xff", b'"x"'), [BROKEN]),
    "two on a line": (FIRST + FIRST, [BROKEN]),
    "more digits than Python reads": (field(b"k", b"9" * 5_000), [BROKEN]),
    "a zero byte": (b"\0" + FIRST, [BROKEN]),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("rules.cep").write_text(RULES)
    Path("in").mkdir()
    return tmp_path


def errors_of(result: cep.Result) -> list[str]:
    return [batch.reason.split(" in ")[0].split(": ")[0] for batch in result.errors]


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_is_no_event_costs_itself_alone(
    name: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines, errors = LINES[name]
    path = folder / "in/events.jsonl"
    path.write_bytes(b"\n".join([FIRST, lines, LAST, b""]))
    result = cep.compile(RULES).run(path)
    assert (len(result.matches), errors_of(result)) == (1, errors)
    monkeypatch.setattr(
        "sys.argv", ["cep", "run", "rules.cep", "--input", "in", "--format", "jsonl"]
    )
    with pytest.raises(SystemExit, match="0"):
        main()
    assert json.loads(capsys.readouterr().out)["pattern"] == "pair"
    sinks = [cep.FileSink("out", format="jsonl"), cep.FileSink("errors", what="errors")]
    job = cep.Job(cep.FileSource("in"), cep.compile(RULES), sinks, checkpoint="checkpoints")
    done = job.run()
    assert (done.errors, list(done.written.values())) == (len(errors), [1, len(errors)])


def test_blanks_around_lines_and_empty_lines_are_nothing(folder: Path) -> None:
    path = folder / "in/events.jsonl"
    path.write_bytes(b"\n \n  " + FIRST + b" \r\n\t\n\t" + LAST)
    result = cep.compile(RULES).run(path)
    assert (result.events, len(result.matches), errors_of(result)) == (2, 1, [])


@pytest.mark.parametrize("begin", [0, 2_000], ids=["from the first line", "behind good lines"])
def test_lines_with_ever_new_fields_are_refused_before_each_is_a_column(
    begin: int, folder: Path
) -> None:
    path = folder / "in/events.jsonl"
    new = (FIRST[:-1] + b', "field%d": 1}' % n for n in range(50_000))
    path.write_bytes(b"\n".join([*[FIRST] * begin, *new]))
    with pytest.raises(cep.DataError, match=r"50,00. field names, most rows have few of them"):
        cep.compile(RULES).run(path)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_with_bytes_that_are_no_text_cost_their_rows_alone(
    ending: str, folder: Path
) -> None:
    path = folder / f"in/events.{ending}"
    if ending == "csv":
        path.write_bytes(b"ts,k,i\n2025-03-03,x,1\n2025-03-03,\xff,1\n2025-03-03 00:01,x,2\n")
    else:
        texts: Any = pa.array([b"x", b"\xff", b"x"]).view(pa.string())
        times = ["2025-03-03", "2025-03-03", "2025-03-03 00:01"]
        pq.write_table(pa.table({"ts": times, "k": texts, "i": [1, 1, 2]}), path)
    rules = cep.compile(RULES)
    results: list[Callable[[], cep.Result]] = [
        lambda: rules.run(path),
        lambda: cep.Detector(rules).process_batch(path),
    ]
    for result in (one() for one in results):
        assert (result.events, len(result.matches)) == (3, 1)
        assert [row.reason for row in result.errors] == ["k is not text: '\\\\xff'"]
    sinks = [cep.FileSink("out", format="jsonl"), cep.FileSink("errors", what="errors")]
    done = cep.Job(cep.FileSource("in"), rules, sinks, checkpoint="checkpoints").run()
    assert (done.errors, list(done.written.values())) == (1, [1, 1])
    with pytest.raises(cep.DataError, match="column 'k' is not UTF-8 text; declare it"):
        cep.compile(RULES.replace("k text, ", "").replace("by k ", "")).run(path)
