"""What a `%%cep` cell offers while one types: | is the cursor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from cep.notebook.completion import Word, complete
from cep.notebook.matcher import columns_of

DECLARED = """parameter $limit float = 500;
stream payments (ts timestamp, card int, amount float) time ts;
stream logins (ts timestamp, "odd name" text) time ts;
table merchants (id int, risk float) by id;
feature spent on payments as sum(amount) over 1 hour by card;
aggregate daily from payments by card window tumbling 1 day select count(*) as n;
"""
PATTERN = "pattern p from payments match a -> b define"
PAYMENTS = ["ts", "card", "amount", "spent"]


def offered(text: str) -> list[Word]:
    before, _, behind = text.partition("|")
    return list(complete(DECLARED + before + behind, len(DECLARED + before)).words)


def texts(text: str, kind: str | None = None) -> list[str]:
    return [word.text for word in offered(text) if kind in (None, word.kind)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pat|", ["pattern"]),
        ("PAT|", ["pattern"]),
        ("pattern p |", ["from", "by", "match"]),
        ("pattern p from |", ["payments", "logins", "merchants", "daily"]),
        ("pattern p from pay|", ["payments"]),
        ("pattern p from pay| match a", ["payments"]),
        ("pattern p from payments, lo|", ["logins"]),
        ("feature f on |", ["payments", "logins", "merchants", "daily"]),
        ("pattern p from payments by |", PAYMENTS),
        ("pattern p from payments by | match a", PAYMENTS),
        ("pattern p from logins by |", ["ts", '"odd name"']),
        ("pattern p from logins by od|", ['"odd name"']),
        (f"{PATTERN} |", ["a", "b"]),
        (f"{PATTERN} a as am|", ["amount"]),
        (f"{PATTERN} a as amount > $|", ["$limit"]),
        (f"{PATTERN} a as amount > $li|", ["$limit"]),
        (f"{PATTERN} b as amount > a.|", PAYMENTS),
        (f"{PATTERN} b as amount > a.s|", ["spent"]),
        (f"{PATTERN} b as mer|", ["merchants"]),
        (f"{PATTERN} b as merchants.|", ["id", "risk"]),
        (f"{PATTERN} a as amount > 1, |", ["a", "b"]),
        (f"{PATTERN} a as amount > 1 after match |", ["no", "skip"]),
        (f"{PATTERN} a as amount > 1 after match skip to last |", ["a", "b"]),
        ("pattern p from payments match a within 10 mic|", ["microsecond", "microseconds"]),
        ("pattern p from daily by window|", ["window_start", "window_end"]),
        ("stream s (a flo|", ["float"]),
        ("stream s (a float, b timestamp) time |", ["a", "b"]),
        ("parameter $x tim|", ["timestamp"]),
        ("pattern p |;\npattern q match c", ["from", "by", "match"]),
    ],
)
def test_what_can_stand_at_the_cursor(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_a_variable_of_one_stream_has_the_fields_of_that_stream() -> None:
    text = (
        "pattern p from payments, logins match a -> b define a as logins where x = 1, b as y > a.|"
    )
    assert texts(text) == ["ts", '"odd name"']


def test_an_expression_may_begin_with_all_that_has_a_value() -> None:
    found = {word.kind: word.text for word in reversed(offered(f"{PATTERN} a as |"))}
    assert found["variable"] == "a"
    assert found["field"] == "ts"
    assert found["stream"] == "merchants"
    assert found["parameter"] == "$limit"
    assert found["function"] == "abs"
    assert "case" in texts(f"{PATTERN} a as |", "keyword")
    assert "select" not in texts(f"{PATTERN} a as |", "keyword")
    assert "select" in texts(f"{PATTERN} a as amount |", "keyword")


def test_a_sequence_goes_on_with_variables_or_the_next_clause() -> None:
    found = texts("pattern p from payments match a -> within 5 minutes b{2,} c |")
    assert found[:3] == ["a", "b", "c"]
    assert {"within", "define", "select", "after"} < set(found)


@pytest.mark.parametrize("text", ["pattern p wrong wrong |", "'never closed |", "pattern |", "1 |"])
def test_where_nothing_is_known_nothing_is_offered(text: str) -> None:
    assert offered(text) == []


def test_mistakes_elsewhere_hinder_nothing() -> None:
    assert texts("pattern q match -> ; pattern p from payments by c|") == ["card"]


# ---- in IPython


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    made: Any = InteractiveShell.instance()
    made.run_line_magic("load_ext", "cep")
    made.user_ns["sales"] = pd.DataFrame({"amount": [1], "card": [2], 3: [3]})
    yield made
    made.reset()
    InteractiveShell.clear_instance()


def completions(shell: InteractiveShell, cell: str) -> list[tuple[str, str]]:
    """(what it becomes, what is replaced)."""
    place, code = cell.index("|"), cell.replace("|", "", 1)
    with provisionalcompleter():
        found = list(shell.Completer.completions(code, place))
    return [(one.text, code[one.start : one.end]) for one in found]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%%cep mine\nstream sales time ts;\npattern p from sa|", [("sales", "sa")]),
        ("%%cep\npattern p from |", [("sales", "")]),
        ("%%cep mine\n\n  pattern p from sales by |", [("amount", ""), ("card", "")]),
        ("%%cep\npattern p from sales match a b define b as x > a.c|", [("card", "c")]),
        (
            "%%cep\npattern p from sales match a b define b as x > a.|\n",
            [("amount", ""), ("card", "")],
        ),
        ("%%cep\nparameter $top = 5;\npattern p match a define a as x > $t|", [("top", "t")]),
        ("sales.amou|", [("amount", "amou")]),
    ],
)
def test_ipython_offers_it(
    shell: InteractiveShell, cell: str, expected: list[tuple[str, str]]
) -> None:
    assert completions(shell, cell) == expected


def test_loading_twice_offers_it_once(shell: InteractiveShell) -> None:
    untyped: Any = shell
    before = len(shell.Completer.custom_matchers)
    untyped.run_line_magic("reload_ext", "cep")
    assert len(shell.Completer.custom_matchers) == before


@pytest.mark.parametrize("cell", ["%%cep na|", "%%timeit\npattern p from sa|", "patte|"])
def test_other_cells_are_left_alone(shell: InteractiveShell, cell: str) -> None:
    assert ("sales", "sa") not in completions(shell, cell)
    assert "pattern" not in [text for text, _ in completions(shell, cell)]


def test_tables_of_all_kinds_have_columns() -> None:
    table = pa.table({"x": [1], "y": [2]})
    for one in (table, table.to_pandas(), pl.from_arrow(table), table.to_batches()[0]):
        assert columns_of(one) == ["x", "y"]
    for other in (None, 5, [{"x": 1}], {"x": 1}, pd.DataFrame):
        assert columns_of(other) == []
