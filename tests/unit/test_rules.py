"""Rules: compiled from text or patterns, met with data, run."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import cep
from cep.builder import pattern as begin
from cep.builder import var
from cep.engine.algebra.pattern import Pattern, Step, Variable
from cep.engine.algebra.plan import Dataflow, RuleSet
from cep.engine.batch import EventBatch
from cep.engine.results import MatchBatch, Output
from cep.rules import check

PAIRS = "pattern pairs match a b define a as true, b as true;"


class PairRuntime:
    """Stands in for the engine: events 0 and 1 of a batch match, 2 and 3, and so on."""

    made: list[PairRuntime]
    workers = 1

    def __init__(self, flow: Dataflow, **_: object) -> None:
        self.patterns = [node.plan for node in flow.nodes if isinstance(node.plan, Pattern)]
        self.streams = flow.streams
        self.position = 0
        self.is_finished = False
        PairRuntime.made.append(self)

    def process(self, batch: EventBatch) -> Output:
        pairs = len(batch) // 2
        found = MatchBatch(
            self.patterns[0],
            ("a", "b"),
            np.arange(pairs + 1) * 2,
            np.tile(np.array([0, 1], np.int32), pairs),
            np.arange(pairs * 2),
            batch.time_us[1 : pairs * 2 : 2],
            batch.table,
            batch.time_us,
            batch.stream,
            self.position + np.arange(len(batch)),
        )
        self.position += len(batch)
        return Output([found])

    def process_all(self, batches: Iterable[EventBatch]) -> Iterator[Output]:
        return (self.process(batch) if len(batch) else Output() for batch in batches)

    def finish(self) -> Output:
        self.is_finished = True
        return Output()

    def close(self) -> None:
        pass


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[PairRuntime]:
    monkeypatch.setattr("cep.execution.Runtime", PairRuntime)
    PairRuntime.made = []
    return PairRuntime


# -- compiling -------------------------------------------------------------------------------------


def test_rules_know_their_text_patterns_and_streams() -> None:
    text = f"stream s (ts timestamp) time ts;\n{PAIRS}"
    rules = cep.compile(text)
    assert rules.text == text
    assert [pattern.name for pattern in rules.patterns] == ["pairs"]
    assert [stream.name for stream in rules.streams] == ["s"]
    assert rules.warnings == ()
    assert repr(rules) == "<Rules: pairs>"


def test_the_printed_rules_compile_to_the_same_rules() -> None:
    rules = cep.compile(PAIRS)
    assert cep.compile(str(rules)).patterns == rules.patterns


def test_doubtful_rules_warn_at_the_caller_and_keep_the_warnings() -> None:
    with pytest.warns(cep.RuleWarning, match="'b' has no definition") as caught:
        rules = cep.compile("pattern p match a b define a as true;")
    assert caught[0].filename == __file__
    assert len(rules.warnings) == 1


def test_check_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(check("pattern p match a b define a as true;").warnings) == 1


def test_patterns_built_in_python_are_rules_too() -> None:
    pattern = Pattern("built", (Step(Variable("a")), Step(Variable("b"))))
    assert check(pattern).patterns == (pattern,)
    assert check([pattern]).patterns == (pattern,)
    assert check(RuleSet((), (pattern,))).patterns == (pattern,)


def test_a_builder_need_not_be_finished_by_hand() -> None:
    draft = begin("built").match(var("a").where("x > 1"))
    assert check([draft]).patterns == (draft.build(),)
    assert check(draft).text == "pattern built\n  match a\n  define a as x > 1;"


def test_rules_without_a_pattern_are_refused() -> None:
    with pytest.raises(cep.RuleError, match="the rules have no pattern"):
        cep.compile("")
    with pytest.raises(cep.RuleError, match="the rules have no pattern"):
        cep.compile([])


def test_types_are_checked_at_once_where_the_stream_is_declared() -> None:
    with pytest.raises(cep.RuleError) as caught:
        cep.compile(
            "stream s (ts timestamp, amount float) time ts;\n"
            "pattern p from s match a define a as amuont > 1;",
            name="fraud.cep",
        )
    assert "fraud.cep:2:38: error: no field 'amuont'" in str(caught.value)
    assert "did you mean 'amount'?" in str(caught.value)


def test_a_mistake_of_syntax_hides_no_mistake_in_another_statement() -> None:
    with pytest.raises(cep.RuleError) as caught:
        check(
            "stream s (amount float;\n"
            "stream t (amount float);\n"
            "pattern p from s match a define a as anything > 1;\n"
            "pattern q from t match a define a as amuont > 1;"
        )
    assert [(p.message, p.span.line) for p in caught.value.problems if p.span] == [
        ("this bracket is never closed", 1),
        ("no field 'amuont' in stream t", 4),
    ]


def test_what_comes_from_a_mistake_already_told_is_not_told() -> None:
    with pytest.raises(cep.RuleError) as caught:
        check(
            "stream s (amount flaot, card text);\n"
            "pattern p from s match a -> b within 1 hour\n"
            "  define a as amount > 'x' and length(amount) > 1,\n"
            "         b as 'x' = avg(c.amount) + 1 or cast(card as itn) = 'x';"
        )
    assert [(p.message, p.span.line) for p in caught.value.problems if p.span] == [
        ("unknown type 'flaot'", 1),
        ("no variable 'c' in the pattern", 4),
        ("unknown type 'itn'", 4),
    ]


def test_a_pattern_of_too_many_parts_is_not_looked_at_any_further() -> None:
    names = ", ".join(f"x + {number} as c{number}" for number in range(1_001))
    with pytest.raises(cep.RuleError) as caught:
        check(f"stream s (y int); pattern p from s match a select {names}")
    assert [p.message for p in caught.value.problems] == [
        "1,001 columns in one pattern; at most 1,000 are allowed"
    ]


def test_at_most_a_hundred_mistakes_are_told() -> None:
    columns = ", ".join(f"x{number}" for number in range(150))
    with pytest.raises(cep.RuleError) as caught:
        check(f"stream s (y int);\npattern p from s match a select {columns}")
    assert len(caught.value.problems) == 101
    assert caught.value.problems[-1].message.startswith("more errors follow")


def test_types_are_checked_with_the_data_where_it_is_not(fake: type[PairRuntime]) -> None:
    rules = cep.compile("pattern p match a b define a as amuont > 1, b as true;")
    with pytest.raises(cep.RuleError, match=r"<rules>:1:33: error: no field 'amuont'"):
        rules.run([{"ts": 1, "amount": 2.0}])


def test_a_pattern_without_from_reads_the_only_stream(fake: type[PairRuntime]) -> None:
    rules = cep.compile(f"stream s time when; {PAIRS}")
    rules.run([{"when": 1}])
    assert [stream.time for stream in fake.made[0].streams] == ["when"]
    assert fake.made[0].patterns[0].streams == ("s",)


def test_a_pattern_without_from_is_refused_where_there_are_two_streams() -> None:
    with pytest.raises(cep.RuleError, match="'pairs' does not say which stream it reads"):
        cep.compile(f"stream s time ts; stream t time ts; {PAIRS}")


def test_rules_are_loaded_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.cep"
    path.write_text("\ufeff" + PAIRS, encoding="utf-8")
    assert cep.load(path).name == str(path)
    assert cep.load(str(path)).text == PAIRS


def test_a_rule_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(cep.DataError, match="nowhere: no such file or directory"):
        cep.load("nowhere")
    (tmp_path / "latin.cep").write_bytes(b"-- caf\xe9")
    with pytest.raises(cep.DataError, match="not UTF-8 text"):
        cep.load(tmp_path / "latin.cep")


def test_importing_the_package_loads_no_heavy_module() -> None:
    code = "import cep, sys; print([m for m in ('numba', 'pandas', 'polars', 'rich', 'typer', "
    code += "'lark', 'pyarrow.parquet', 'pyarrow.csv') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# -- running ---------------------------------------------------------------------------------------


def rows(*times: int) -> list[dict[str, Any]]:
    return [{"ts": time} for time in times]


@pytest.mark.parametrize(
    "data",
    [
        rows(1, 2, 3, 4),
        pa.table({"ts": [1, 2, 3, 4]}),
        pl.DataFrame({"ts": [1, 2, 3, 4]}),
        {"any": rows(1, 2, 3, 4)},
        ({"ts": time} for time in (1, 2, 3, 4)),
    ],
    ids=["dicts", "pyarrow", "polars", "by name", "generator"],
)
def test_a_run_counts_events_and_finds_matches(fake: type[PairRuntime], data: Any) -> None:
    result = cep.compile(PAIRS).run(data)
    assert (result.events, len(result.matches), len(result.errors)) == (4, 2, 0)
    assert fake.made[0].is_finished


def test_without_the_end_of_the_stream_nothing_is_finished(fake: type[PairRuntime]) -> None:
    cep.compile(PAIRS).run(rows(1), end_of_stream=False)
    assert not fake.made[0].is_finished


@pytest.mark.usefixtures("fake")
def test_progress_is_told_rows_done_and_rows_in_all() -> None:
    seen: list[tuple[int, int | None]] = []
    cep.compile(PAIRS).run(rows(1, 2), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2, 2)


@pytest.mark.usefixtures("fake")
def test_what_was_done_to_the_input_is_in_the_notes() -> None:
    result = cep.compile(PAIRS).run(rows(2, 1))
    assert result.notes == [
        "the data: 1 of 2 events came after one with a later time; sorted by time"
    ]


@pytest.mark.usefixtures("fake")
def test_stream_gives_a_result_per_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cep.engine.ingest.feed.ROWS_PER_BATCH", 2)
    rules = cep.compile(PAIRS)
    parts = list(rules.stream([*rows(1, 2, 4, 3), {"ts": None}]))
    assert sum(part.events for part in parts) == 5
    assert [len(part.matches) for part in parts if len(part.matches)] == [1, 1]
    assert sum(len(part.errors) for part in parts) == 1
    assert len([note for part in parts for note in part.notes]) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_what_came_before_data_that_cannot_be_read_is_handed_out(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cep.engine.ingest.feed.ROWS_HELD", 1)
    times = [*range(1_000, 1_020), 5, 6]  # milliseconds, two to a batch
    batches = [
        pa.record_batch({"ts": pa.array(times[at : at + 2], pa.timestamp("ms"))})
        for at in range(0, len(times), 2)
    ]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
    results = cep.compile(PAIRS).stream(reader, workers=workers)
    assert [len(next(results).matches) for _ in range(10)] == [1] * 10
    with pytest.raises(cep.DataError, match="event times go back"):
        next(results)


@pytest.mark.usefixtures("fake")
def test_no_data_is_no_match() -> None:
    result = cep.compile("pattern p match a define a as x > 1 select x;").run([])
    assert (result.events, len(result.matches)) == (0, 0)
    assert result.matches.to_arrow().schema.names[-1] == "x"


# -- several streams -------------------------------------------------------------------------------

TWO = "pattern p from s, t match a b define a as s, b as t;"


def test_several_streams_come_as_a_dict(fake: type[PairRuntime]) -> None:
    result = cep.compile(TWO).run({"t": rows(2, 3), "s": rows(1, 4)})
    assert [stream.name for stream in fake.made[0].streams] == ["s", "t"]
    assert result.events == 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (rows(1), "the rules read 2 streams (s, t), each needs its data: a dict from"),
        ({"s": rows(1)}, "no data for stream 't'; given: s"),
        ({"s": [], "t": [], "tt": []}, "no pattern reads a stream 'tt'; did you mean 't'?"),
    ],
)
def test_data_that_does_not_go_with_the_streams_is_refused(data: Any, message: str) -> None:
    with pytest.raises(cep.DataError) as caught:
        cep.compile(TWO).run(data)
    assert str(caught.value).startswith(message)


def test_several_streams_need_a_pattern_that_says_from() -> None:
    with pytest.raises(cep.DataError, match=r"2 streams are given \(s, t\), but no pattern says"):
        cep.compile(PAIRS).run({"s": [], "t": []})


@pytest.mark.usefixtures("fake")
def test_data_of_a_declared_stream_that_no_pattern_reads_is_left_alone() -> None:
    rules = cep.compile(
        f"stream s time ts; stream t time ts; {PAIRS.replace('match', 'from s match')}"
    )
    assert rules.run({"s": rows(1, 2), "t": rows(1)}).events == 2


# -- explaining ------------------------------------------------------------------------------------


def test_rules_explain_themselves_as_text_and_as_a_graph() -> None:
    explanation = cep.compile(PAIRS).explain()
    assert "automaton:" in str(explanation)
    assert len(explanation.graph("pairs").nodes) >= 2
    assert "automaton:" in str(cep.compile(PAIRS).explain([{"ts": 1}]))
