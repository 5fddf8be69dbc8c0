"""The golden files: rule text -> what is printed. README.md says how to add one."""

from __future__ import annotations

from pathlib import Path

import pytest

from cep.dsl import parse_rules
from cep.dsl.example import Example
from cep.dsl.examples import EXAMPLES
from cep.dsl.messages import keys_of
from cep.engine.algebra.errors import RuleError, render_problem
from cep.rules import check

HERE = Path(__file__).parent


def files(folder: str) -> list[Path]:
    found = sorted((HERE / folder).glob("*.txt"))
    assert len(found) >= 20
    return found


def parts_of(path: Path) -> list[str]:
    return [part.strip("\n") for part in path.read_text(encoding="utf-8").split("\n---\n")]


@pytest.mark.parametrize("path", files("bad"), ids=lambda path: path.stem)
def test_a_wrong_rule_file_gets_these_errors(path: Path) -> None:
    text, *expected = parts_of(path)
    with pytest.raises(RuleError) as caught:
        check(text)
    assert [str(caught.value)] == expected


@pytest.mark.parametrize("path", files("good"), ids=lambda path: path.stem)
def test_a_rule_file_means_what_is_printed_back(path: Path) -> None:
    text, *expected = parts_of(path)
    rules, warnings = parse_rules(text)
    printed = [str(rules)]
    if warnings:
        printed.append("\n\n".join(render_problem(w, text, "<rules>") for w in warnings))
    assert printed == expected
    assert parse_rules(str(rules))[0] == rules


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.message)
def test_a_statement_of_an_example_gets_a_message_that_was_written_for_it(example: Example) -> None:
    for text in example.texts:
        with pytest.raises(RuleError) as caught:
            parse_rules(text)
        assert not caught.value.problems[0].message.startswith("expected "), text


def test_every_example_is_found_by_the_table_of_messages() -> None:
    assert all(len(keys_of(example)) == len(example.texts) for example in EXAMPLES)
