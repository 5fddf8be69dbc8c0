"""Every window case, by the window operator itself."""

from __future__ import annotations

import pytest

from tests.conformance.windows import (
    Case,
    differences,
    expected_outcome,
    load_window_cases,
    run_window_case,
)

CASES = load_window_cases()


def named(case: Case) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_operator_fires_what_the_case_expects(case: Case) -> None:
    assert differences(expected_outcome(case), run_window_case(case)) == []


def test_there_are_40_window_cases() -> None:
    assert len(CASES) == 40
