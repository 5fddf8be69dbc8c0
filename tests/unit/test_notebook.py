"""What a notebook offers: the cell magic in a real IPython shell, and colours for rules."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.token import Comment, Error, Keyword, Name, Number, String

import cep
from cep.dsl.parser import grammar
from cep.notebook import textmate
from cep.notebook.highlight import RulesLexer
from cep.notebook.vocabulary import KEYWORDS, STATEMENTS

RULES = sorted((Path(__file__).parents[1] / "language" / "good").glob("*.txt"))
PATTERN = "pattern large match a define a as amount > 5;"


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A shell that has `%load_ext cep` behind it."""
    made: Any = InteractiveShell.instance()
    made.run_line_magic("load_ext", "cep")
    yield made
    made.reset()
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, cell: str) -> Any:
    untyped: Any = shell
    return untyped.run_cell(cell, store_history=False)


def test_a_cell_makes_rules(shell: InteractiveShell) -> None:
    assert run(shell, f"%%cep mine\n{PATTERN}").success
    rules = shell.user_ns["mine"]
    assert isinstance(rules, cep.Rules)
    assert rules.text == PATTERN + "\n"
    assert rules.name == "mine"


def test_without_a_name_the_cell_shows_the_rules(shell: InteractiveShell) -> None:
    assert repr(run(shell, f"%%cep\n{PATTERN}").result) == "<Rules: large>"


def test_mistakes_are_shown_as_in_a_terminal(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, f"%%cep mine\n{PATTERN}")
    before = shell.user_ns["mine"]
    wrong = "pattern p match a -> define a as x > 1;\npattern q match b\n  wihtin 5;"
    done = run(shell, f"%%cep mine\n{wrong}")
    assert isinstance(done.error_in_exec, cep.RuleError)
    shown = capsys.readouterr().out
    assert "mine:1:22: error: " in shown
    assert "pattern p match a -> define a as x > 1" in shown
    assert "    ^^^^^^\n  hint: did you mean 'within'?" in shown
    assert "mine:3:3: error: " in shown
    assert "Traceback" not in shown
    assert shell.user_ns["mine"] is before


def test_doubts_are_shown_and_hinder_nothing(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(shell, "%%cep mine\npattern p match a b define a as x > 1;").success
    assert "warning: variable 'b' has no definition" in capsys.readouterr().err
    assert "mine" in shell.user_ns


@pytest.mark.parametrize("name", ["my-rules", "class", "5"])
def test_a_name_that_no_variable_can_have_is_refused(
    name: str, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(shell, f"%%cep {name}\n{PATTERN}")
    assert not done.success
    assert f"%%cep {name}: this is no name for a variable" in capsys.readouterr().err


# ---- mistakes, as they are shown below a cell

WRONG = {
    "match a -> -> b": "a variable is missing after '->'",
    "match define a as x > 1": "the sequence is empty",
    "match a{3,2}": "the least number of repetitions, 3, is above the largest, 2",
    "match a b define a as x >> 1": "a value is missing after '>'",
    "match a b define a as c.x > 1": "no variable 'c' in the pattern",
    "match a b define a as lenght(x) > 1": "no function 'lenght'",
    "match a b within 10 minuts": "unknown unit of time 'minuts'",
    "match a b within ten minutes": "a duration is missing after 'within'",
    "match a b select c.x": "no variable 'c' in the pattern",
    "match a b after match skip past first event": "skip what?",
    "match a b after match skip to first c": "no variable 'c' in the pattern",
    "match a b on timeout a.x": "'select' is missing after 'on timeout'",
    "by match a b": "a name is missing before 'match'",
    "from match a b": "a name is missing before 'match'",
    "from payment match a b": "no stream 'payment'",
    "by card match a b": "no key field 'card' in stream payments",
    "match a define a as x > 'one'": "'x' is an int, 'one' is text: they cannot be compared",
}


@pytest.mark.parametrize("clauses", WRONG)
def test_a_mistake_in_a_clause_is_shown_with_its_place_and_what_to_do(
    clauses: str, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = "stream payments (ts timestamp, x int) time ts;"
    assert not run(shell, f"%%cep mine\n{stream}\npattern p {clauses}").success
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"mine:2:\d+: error: {re.escape(WRONG[clauses])}", lines[0])
    assert lines[1] == f"  pattern p {clauses}"
    assert set(lines[2]) == {" ", "^"}
    assert not any("Traceback" in line or ".py" in line for line in lines)


def shown_error(shell: InteractiveShell, capsys: pytest.CaptureFixture[str], cell: str) -> str:
    run(shell, f"%%cep mine\nstream t time ts;\n{PATTERN}")
    capsys.readouterr()
    assert not run(shell, cell).success
    return capsys.readouterr().out


def test_data_without_the_columns_show_the_line_of_the_cell_and_what_is_missing(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = "def found(rows):\n    return mine.run(rows)\nfound([{'ts': '2025-01-01', 'amuont': 1}])"
    assert shown_error(shell, capsys, cell) == (
        "cell, line 3\n"
        "    found([{'ts': '2025-01-01', 'amuont': 1}])\n"
        "cell, line 2, in found\n"
        "    return mine.run(rows)\n"
        "\n"
        "RuleError: mine:2:35: error: no field 'amount' in stream t\n"
        "  pattern large match a define a as amount > 5;\n"
        "                                    ^^^^^^\n"
        "  hint: did you mean 'amuont'?\n"
    )


def test_data_without_a_time_say_what_they_have(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown_error(shell, capsys, "mine.run([{'amount': 1, 'card': 2}])") == (
        "cell, line 1\n"
        "    mine.run([{'amount': 1, 'card': 2}])\n"
        "\n"
        "DataError: stream 't' (the data): no column 'ts'; it has: amount, card\n"
    )


def test_where_a_function_of_the_caller_fails_its_traceback_is_shown(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = (
        "import cep\n"
        "def report(match):\n"
        "    return 1 / 0\n"
        "detector = cep.Detector(mine, on={'matches': report})\n"
        "detector.process({'ts': '2025-01-01', 'amount': 6})\n"
        "detector.finish()"
    )
    shown = shown_error(shell, capsys, cell)
    assert "    return 1 / 0" in shown
    assert "ZeroDivisionError: division by zero" in shown
    assert shown.rstrip().splitlines()[-1].startswith("CallbackError: the function for 'matches'")


def test_a_script_names_its_file(tmp_path: Path) -> None:
    script = tmp_path / "rules.py"
    script.write_text("import cep\ncep.compile('pattern p match')\n")
    with pytest.raises(cep.RuleError) as caught:
        runpy.run_path(str(script))
    shown = caught.value._render_traceback_()
    assert f"{script}, line 2" in shown
    assert "    cep.compile('pattern p match')" in shown


# ---- colours


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_all_of_the_language_has_colours(path: Path) -> None:
    text = path.read_text("utf-8").split("\n---\n")[0] + "\n"
    found = list(RulesLexer().get_tokens(text))
    assert [value for kind, value in found if kind in Error] == []
    assert "".join(value for _, value in found).strip() == text.strip()


def test_words_get_the_colour_of_what_they_are() -> None:
    text = """pattern p match a.first{$n,} within 10 minutes -- why
      define a as COUNT(b) > 2.5 and t = 'x''y'"""
    kinds = {value: kind for kind, value in RulesLexer().get_tokens(text)}
    assert kinds["pattern"] is Keyword.Declaration
    assert kinds["match"] is Keyword
    assert kinds["first"] is Name.Attribute
    assert kinds["$n"] is Name.Variable.Global
    assert kinds["10"] in Number
    assert kinds["minutes"] is Name.Constant
    assert kinds["-- why"] is Comment.Single
    assert kinds["COUNT"] is Name.Function
    assert kinds["'x''y'"] is String.Single
    assert kinds["t"] is Name


def test_every_keyword_has_a_colour() -> None:
    assert {*KEYWORDS, *STATEMENTS, "null"} == set(grammar().keywords)


def test_pygments_knows_the_language() -> None:
    assert isinstance(get_lexer_by_name("cep"), RulesLexer)
    assert isinstance(get_lexer_for_filename("fraud.cep"), RulesLexer)


# ---- editors


def test_the_grammar_for_editors_is_that_of_the_language() -> None:
    """Print it anew after a change: python -m cep.notebook.textmate > docs/cep.tmLanguage.json"""
    written = (Path(__file__).parents[2] / "docs" / "cep.tmLanguage.json").read_text("utf-8")
    assert written == textmate.text()


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_editors_and_pygments_see_the_same_words(path: Path) -> None:
    text = path.read_text("utf-8").split("\n---\n")[0] + "\n"
    names = {
        Keyword.Declaration: "keyword.declaration.cep",
        Keyword: "keyword.control.cep",
        Name.Function: "support.function.cep",
        Name.Variable.Global: "variable.parameter.cep",
        Comment.Single: "comment.line.double-dash.cep",
        String.Single: "string.quoted.single.cep",
    }
    expected = [(names[k], v) for k, v in RulesLexer().get_tokens(text) if k in names]
    assert [found for found in scopes(text) if found[0] in names.values()] == expected


def scopes(text: str) -> list[tuple[str, str]]:
    """(scope, text) of each stretch, as an editor finds them: line by line, the earliest wins."""
    patterns = [(p, re.compile(p["match"])) for p in textmate.grammar()["patterns"]]
    found = []
    for line in text.splitlines():
        at = 0
        while at < len(line):
            hits = [(m, p) for p, expression in patterns if (m := expression.search(line, at))]
            if not hits:
                break
            match, pattern = min(hits, key=lambda hit: hit[0].start())
            captures = pattern.get("captures", {"0": pattern})
            found += [(c["name"], match.group(int(place))) for place, c in captures.items()]
            at = match.end()
    return found
