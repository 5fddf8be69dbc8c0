"""Counts on real data through live detectors: late events, silence, windows, fraud rules.

The data are looked for as in tests/test_real_data.py and the tests are skipped where they are
absent. Every data set of the Windows logs is a recording of its own, in the order of arrival.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import cep
from examples.handbook.evaluate import UNION, evaluate
from tests.test_real_data import HANDBOOK, M6, shared

BATCH_ROWS = 5_000

PROCESS_CONNECTS = """
pattern process_connects from events by process_guid
  match created -> connected
  within 1 hour
  define created as channel like '%Sysmon%' and event_id = 1,
         connected as channel like '%Sysmon%' and event_id = 3
           and sysmon_time - created.sysmon_time between 0 seconds and 30 seconds
  after match no skip;"""

BUSY_HOURS = """
aggregate busy_hours from payments by CUSTOMER_ID
  window tumbling 1 hour
  select CUSTOMER_ID, count(*) as payments
  having payments >= 3;"""


def live(rules: cep.Rules, table: pa.Table, *, finish: bool = True) -> Iterator[cep.Result]:
    """What comes out of a detector that gets the rows in their order."""
    detector = cep.Detector(rules)
    for start in range(0, table.num_rows, BATCH_ROWS):
        yield detector.process_batch(table.slice(start, BATCH_ROWS))
    if finish:
        yield detector.finish()


@pytest.mark.parametrize(
    ("time", "connects", "late"),
    [
        ("event_time", 30, 227_746),
        ("event_time then sysmon_time lateness 150 seconds", 60, 0),
    ],
    ids=["late events are lost to the pattern", "with 150 s of lateness none is"],
)
def test_processes_that_connect_soon_after_they_were_created(
    time: str, connects: int, late: int
) -> None:
    names = [
        *("dataset", "event_time", "sysmon_time"),
        *("channel", "event_id", "process_guid"),
    ]
    table = pq.read_table(shared("winlog_late/events.parquet"), columns=names)
    rules = cep.compile(f"stream events time {time};\n{PROCESS_CONNECTS}")
    found: Counter[str] = Counter()
    for recording in pc.unique(table["dataset"]):
        part = table.filter(pc.equal(table["dataset"], recording))
        for result in live(rules, part):
            found["connects"] += len(result.matches)
            found["late"] += len(result.late)
    assert (found["connects"], found["late"]) == (connects, late)


@pytest.fixture(scope="module")
def april() -> pa.Table:
    may = datetime(2018, 5, 1)  # noqa: DTZ001 - the data have no zone
    path = shared("handbook/transactions.parquet")
    return pq.read_table(path, filters=[("TX_DATETIME", "<", may)])


def test_silence_is_found_while_the_stream_runs_and_the_rest_when_it_ends(april: pa.Table) -> None:
    *running, end = (len(r.matches) for r in live(cep.compile(HANDBOOK + M6), april))
    assert (sum(running), end) == (57, 8)


def test_hours_in_which_a_customer_pays_three_times(april: pa.Table) -> None:
    rules = cep.compile(HANDBOOK + BUSY_HOURS)
    found = sum(len(r.tables["busy_hours"]) for r in live(rules, april))
    assert found == 1_009
    assert len(rules.run(april).tables["busy_hours"]) == 1_009


def test_precision_and_recall_of_the_handbook_rules() -> None:
    path: Path = shared("handbook/transactions.parquet")
    backtest = evaluate(str(path))
    scores = {score.pattern: score for score in backtest.scores}
    scores["union"] = backtest.only(*UNION).scores["all"]
    found = {n: (round(s.precision.value, 3), round(s.recall.value, 3)) for n, s in scores.items()}
    assert found == {
        "large": (1.0, 0.229),
        "jump_3x": (0.944, 0.21),
        "jump_5x": (1.0, 0.085),
        "two_jumps": (0.998, 0.205),  # 1,937 of 1,940
        "terminal": (0.312, 0.403),
        "all": (0.439, 0.705),  # of all five; the union is that of large, jump_5x and terminal
        "union": (0.424, 0.655),
    }
    assert (scores["two_jumps"].hits, scores["two_jumps"].flagged) == (1_937, 1_940)
    assert scores["large"].labelled == 9_465
