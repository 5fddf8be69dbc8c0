"""Every case of our own copy: by the engine, through the public API, and by the reference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cep.dsl import parse_rules
from tests.conformance.__main__ import OWN_CASES, main
from tests.conformance.building import build_pattern, stream_of
from tests.conformance.live_windows import (
    aggregate_of,
    needs_operator,
    render_window,
    window_problems,
)
from tests.conformance.loading import Case, case_files, load_cases, window_files
from tests.conformance.rendering import render
from tests.conformance.running import BY_REFERENCE, THROUGH_API
from tests.conformance.suite import run_file, run_windows_file

FILES = list(case_files(OWN_CASES))
NEED_WATERMARKS = {
    "testCEPOperatorCleanupEventTime",
    "testCEPOperatorSideOutputLateElementsEventTime",
    "testCEPOperatorLateRecordsMetric",
}


def named(path: Path) -> str:
    return path.name.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=named)
def test_the_engine_finds_what_the_cases_expect(path: Path) -> None:
    report = run_file(path, THROUGH_API)
    assert report.failed == {}
    assert report.waiting == {}
    assert report.passed


@pytest.mark.parametrize("path", FILES, ids=named)
def test_the_reference_finds_what_the_cases_expect(path: Path) -> None:
    report = run_file(path, BY_REFERENCE)
    assert report.failed == {}
    assert set(report.waiting) <= NEED_WATERMARKS


@pytest.mark.parametrize("path", FILES, ids=named)
def test_the_text_of_a_case_parses_to_its_pattern(path: Path) -> None:
    for case in load_cases(path):
        rules, _ = parse_rules(render(case))
        assert rules.streams == (stream_of(case),)
        assert rules.patterns == (build_pattern(case),)


def test_there_are_4186_cases_and_three_need_watermarks_on_the_way() -> None:
    cases = [case for path in FILES for case in load_cases(path)]
    assert len(cases) == 4186
    assert {case.name for case in cases if case.needs_watermarks()} == NEED_WATERMARKS


# -- windows


def test_windows_are_what_the_cases_expect() -> None:
    reports = [run_windows_file(path) for path in window_files(OWN_CASES)]
    assert [report.failed for report in reports] == [{}]
    assert [len(report.passed) for report in reports] == [40]


def test_two_window_cases_cannot_be_said_in_rule_text() -> None:
    cases = [case for path in window_files(OWN_CASES) for case in load_cases(path)]
    by_operator = {"testCleanupTimeOverflow", "table.testSlidingCountWindow"}
    assert {case.name for case in cases if needs_operator(case)} == by_operator


def test_the_text_of_a_window_case_parses_to_its_aggregate() -> None:
    for path in window_files(OWN_CASES):
        for case in load_cases(path):
            rules, _ = parse_rules(render_window(case))
            assert rules.aggregates == (aggregate_of(case),)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expected_late": [0]}, "late: expected [0], not []"),
        ({"expected": []}, "rows: expected [], not [(None, 0, 1000, 1)]"),
    ],
)
def test_a_window_case_that_fails_says_what_is_wrong(change: dict[str, object], said: str) -> None:
    data = {
        "name": "small",
        "kind": "tumbling",
        "size_ms": 1000,
        "slide_ms": None,
        "offset_ms": 0,
        "allowed_lateness_ms": 0,
        "aggregate": "sum",
        "events": [{"id": 0, "ts": 1, "key": None, "v": 1}],
        "watermarks": [{"after_id": 0, "ts": 999}],
        "expected": [{"key": None, "start": 0, "end": 1000, "value": 1}],
        "expected_late": [],
    }
    assert window_problems(Case("windows.json", data)) == []
    assert window_problems(Case("windows.json", data | change)) == [said]


# -- the runner itself -------------------------------------------------------------------------


def small_case() -> dict[str, object]:
    """a then b: one match, of the events 0 and 1."""
    stage = {"type": None, "until": None, "within_ms": None, "quantifier": {"min": 1, "max": 1}}
    return {
        "name": "small",
        "stages": [
            {**stage, "name": "a", "contiguity": None, "where": "name == 'a'"},
            {**stage, "name": "b", "contiguity": "next", "where": "name == 'b'"},
        ],
        "within_ms": None,
        "within_scope": "first_last",
        "skip": {"strategy": "no_skip", "var": None},
        "key": None,
        "events": [{"id": 0, "ts": 1, "name": "a"}, {"id": 1, "ts": 2, "name": "b"}],
        "sorted_by_ts": True,
        "watermarks": None,
        "end_of_stream": False,
        "expected": [{"a": [0], "b": [1]}],
        "expected_timeouts": None,
    }


def write_suite(directory: Path, case: dict[str, object]) -> None:
    (directory / "suite.jsonl").write_text(json.dumps(case) + "\n")


def test_a_directory_whose_cases_all_pass_exits_with_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_suite(tmp_path, small_case())
    assert main([str(tmp_path), "--reference"]) == 0
    assert "suite.jsonl: 1 of 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expected": []}, "not expected (('a', (0,)), ('b', (1,)))"),
        ({"expected": [{"a": [0], "b": [1]}, {"a": [1]}]}, "missing (('a', (1,)),)"),
        ({"expected_timeouts": [{"a": [0]}]}, "timeouts: missing (('a', (0,)),)"),
        ({"key": "name'"}, "Error"),
    ],
)
def test_a_case_that_fails_is_named_with_its_reason(
    change: dict[str, object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_suite(tmp_path, small_case() | change)
    assert main([str(tmp_path), "--reference", "-v"]) == 1
    printed = capsys.readouterr().out
    assert "suite.jsonl: 0 of 1\n  small\n" in printed
    assert said in printed


def test_a_case_with_late_events_waits_and_does_not_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = small_case() | {"name": "late one", "expected_late": [1]}
    lines = json.dumps(small_case()) + "\n" + json.dumps(late)
    (tmp_path / "suite.jsonl").write_text(lines)
    assert main([str(tmp_path), "--reference"]) == 0
    printed = capsys.readouterr().out
    assert "suite.jsonl: 1 of 1, 1 waiting" in printed
    assert "  late one: late events" in printed


def test_a_directory_without_cases_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--reference"]) == 2
    assert "no cases" in capsys.readouterr().err
    assert main([str(tmp_path / "missing")]) == 2


def test_events_that_arrive_with_times_going_back_keep_their_order() -> None:
    events = [{"id": 0, "ts": 5, "name": "a"}, {"id": 1, "ts": 3, "name": "b"}]
    data = small_case() | {"events": events, "sorted_by_ts": False}
    assert [(event["id"], event["ts"]) for event in Case("f", data).events()] == [(0, 0), (1, 1)]
    data |= {"watermarks": [{"after_id": 1, "ts": 9}]}
    assert [(event["id"], event["ts"]) for event in Case("f", data).events()] == [(1, 3), (0, 5)]
