"""Rule text cut into its statements, with their comments, right or wrong."""

from __future__ import annotations

from cep.dsl.cut import statement_texts


def test_a_statement_has_the_comments_before_it_and_the_one_on_its_last_line() -> None:
    first, second = statement_texts("""
-- what comes
stream s (x int); -- as it comes

  -- large ones
  pattern p match a define a as x > 3  -- no end
-- nothing follows
""")
    assert first.text == "-- what comes\nstream s (x int); -- as it comes"
    assert (first.kind, first.name, first.line, first.column) == ("stream", "s", 2, 1)
    assert second.text == "-- large ones\n  pattern p match a define a as x > 3;  -- no end"
    assert (second.kind, second.name, second.line, second.column) == ("pattern", "p", 5, 3)


def test_several_statements_may_stand_in_a_line() -> None:
    found = statement_texts('table t (k int) by k; join "the j" from a, b; parameter $n = 3')
    assert [(s.kind, s.name, s.line, s.column) for s in found] == [
        ("table", "t", 1, 1),
        ("join", "the j", 1, 23),
        ("parameter", "$n", 1, 47),
    ]


def test_a_feature_says_its_stream_and_every_statement_which_parameters_it_uses() -> None:
    feature, pattern = statement_texts(
        "feature f on s as sum(x) over $far; pattern p match a define a as x > $n and y > $n"
    )
    assert (feature.name, feature.stream) == ("f", "s")
    assert feature.parameters == {"$far"}
    assert pattern.parameters == {"$n"}


def test_what_is_no_statement_is_cut_as_well() -> None:
    found = statement_texts("patern p; pattern; 'open\n; stream s")
    assert [(s.kind, s.name) for s in found] == [
        ("", ""),
        ("", ""),
        ("", ""),
        ("stream", "s"),
    ]


def test_a_missing_end_is_put_in() -> None:
    first, second = statement_texts("stream s (x int)\npattern p match a")
    assert (first.text, second.text) == ("stream s (x int);", "pattern p match a;")


def test_nothing_has_no_statement() -> None:
    assert statement_texts("-- only this\n;;") == []
