"""What the documents show is true: their examples are run, their lists compared with the source."""

from __future__ import annotations

import logging
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cep
from cep.engine.algebra.aggregates import AGGREGATES
from cep.engine.algebra.functions import FUNCTIONS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    p.relative_to(ROOT).as_posix() for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
)
LANGUAGE = (ROOT / "docs" / "language.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def examples(language: str) -> list[Any]:
    found = []
    for page in PAGES:
        for number, block in enumerate(blocks((ROOT / page).read_text(), language), 1):
            found.append(pytest.param(block, id=f"{page}-{number}"))
    return found


def programs() -> list[Any]:
    """(program, what it prints: a block of `output` right behind it, or None) of all pages."""
    both = r"^```python\n(.*?)^```$(?:\n+^```output\n(.*?)^```$)?"
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text()
        for number, match in enumerate(re.finditer(both, text, re.MULTILINE | re.DOTALL), 1):
            found.append(pytest.param(*match.groups(), id=f"{page}-{number}"))
    return found


def section(title: str) -> str:
    """The text under a heading, up to the next heading of any level."""
    match = re.search(
        rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", LANGUAGE, re.MULTILINE | re.DOTALL
    )
    assert match is not None
    return match.group(1)


def first_cells(text: str) -> list[str]:
    """The code in the first cell of each row of a table, as it is meant: `\\|` is a bar."""
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    cells = [re.split(r"(?<!\\)\|", row)[1].replace("\\|", "|") for row in rows]
    return [code for cell in cells for code in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("rules", examples("cep"))
def test_an_example_of_a_rule_file_compiles_without_a_warning(rules: str) -> None:
    assert list(cep.compile(rules).warnings) == []


@pytest.fixture
def own_log() -> Iterator[None]:
    """What a page does to the logger `cep` ends with it: its output does, too."""
    logger = logging.getLogger("cep")
    handlers, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.mark.usefixtures("own_log")
@pytest.mark.parametrize(("code", "output"), programs())
def test_an_example_in_python_runs_and_prints_what_is_shown(
    code: str,
    output: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    script = tmp_path / "example.py"
    script.write_text(code)
    runpy.run_path(str(script))
    if output is not None:
        assert capsys.readouterr().out == output


@pytest.mark.parametrize("rules", examples("cep-error"))
def test_an_example_of_a_mistake_is_refused_with_the_message_shown(rules: str) -> None:
    with pytest.raises(cep.RuleError) as caught:
        cep.compile(rules, name="rules.cep")
    assert str(caught.value) in [shown.strip() for shown in blocks(LANGUAGE, "text")]


@pytest.mark.parametrize("sequence", first_cells(section("Operators")))
def test_every_operator_of_the_table_can_be_written(sequence: str) -> None:
    within = "" if sequence.endswith("5 minutes") else "within 1 hour"
    names = sorted(set(re.findall(r"\b[abcdx]\b", sequence)))
    defined = ", ".join(f"{name} as amount > 1" for name in names)
    cep.compile(f"pattern p match {sequence} {within} define {defined}")


@pytest.mark.parametrize("clause", first_cells(section("After a match")))
def test_every_skip_strategy_of_the_table_can_be_written(clause: str) -> None:
    cep.compile(f"pattern p match v -> w within 1 hour define v as x > 1, w as x > 2 {clause}")


@pytest.mark.parametrize("expression", first_cells(section("Conditions")))
def test_every_reading_of_the_table_can_be_written(expression: str) -> None:
    arguments = "(a.amount)" if expression in ("avg", "min", "max", "stddev") else ""
    cep.compile(
        f"pattern p match a -> b within 1 hour "
        f"define a as amount > 1, b as {expression}{arguments} > 1"
    )


def test_the_functions_listed_are_those_there_are() -> None:
    text = section("Conditions")
    rows = [line for line in text.splitlines() if re.match(r"\| (numbers|text|times|any)", line)]
    assert sorted(re.findall(r"`(\w+)`", "".join(rows))) == sorted(FUNCTIONS)


def test_the_aggregate_functions_listed_are_those_there_are() -> None:
    cells = first_cells(section("Aggregate functions"))
    assert sorted({cell.split("(")[0] for cell in cells}) == sorted(AGGREGATES)


@pytest.mark.parametrize("page", PAGES)
def test_links_between_the_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert [t for t in targets if not (ROOT / page).parent.joinpath(t).exists()] == []
