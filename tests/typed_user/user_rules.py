"""Rules of text and of the builder, run over tables, and what comes out of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import assert_type

import pandas as pd
import polars as pl
import pyarrow as pa

import cep
from cep.builder import PatternBuilder, Sequence, either, pattern, permute, var
from cep.engine.algebra.errors import Problem
from cep.results.attempts import AttemptTable
from cep.results.errors import ErrorRow, ErrorTable
from cep.results.matches import Match, MatchTable
from cep.results.result import Summary
from cep.results.tables import LateTable, RowTables
from cep.results.why import Why
from cep.whynot.answer import NearMiss, Suggestion, WhyNot

RULES = """
parameter $jump float = 1.5;
stream trades (ts timestamp, symbol text, price float) time ts;
pattern rise from trades by symbol match low -> high within 1 minute
  define low as true, high as price / low.price > $jump
  select low.price as low
  on timeout select low.price as low;
aggregate highs from trades by symbol window tumbling 1 minute
  select symbol, max(price) as high;
"""
TRADES = [
    {"ts": f"2025-03-03 12:00:{second:02}", "symbol": "x", "price": price}
    for second, price in enumerate([1.0, 2.0, 0.0, 3.0])
]


def compiled() -> cep.Rules:
    rules = cep.compile(RULES, name="trades", parameters={"jump": 1.4})
    assert_type(rules, cep.Rules)
    assert_type(rules.warnings, tuple[Problem, ...])
    assert_type(rules.patterns, tuple[cep.Pattern, ...])
    assert_type(rules.streams, tuple[cep.Stream, ...])
    assert_type(rules.text, str)
    return rules.with_parameters(jump=1.5)


def refused(text: str) -> list[str]:
    try:
        cep.compile(text)
    except cep.RuleError as error:
        assert_type(error.problems, tuple[Problem, ...])
        return [assert_type(problem.message, str) for problem in error.problems]
    return []


def built() -> cep.Rules:
    low = assert_type(var("low").where("price > 0"), Sequence)
    sequence = low.followed_by(either("high", permute("up", "down")), within="30 seconds")
    draft = pattern("rise", "trades", key=("symbol", "market")).match(sequence)
    assert_type(draft, PatternBuilder)
    done = (
        draft.define(high="price > 2", up="price > 3", down="price < 1")
        .within("1 minute")
        .select("price", n="count(low)")
    )
    assert_type(done.build(), cep.Pattern)
    every = pattern("every", "trades").match(low).no_skip()
    return cep.compile([done, every.build()])


def matches(result: cep.Result) -> list[str]:
    assert_type(result.matches, MatchTable)
    assert_type(result.timeouts, MatchTable)
    assert_type(list(result), list[Match])
    assert_type(result.matches[0:2], list[Match])
    said: list[str] = []
    for match in result:
        assert_type(match, Match)
        assert_type(match.pattern, str)
        assert_type(match.id, str)
        assert_type(match.start, datetime)
        assert_type(match.end, datetime)
        assert_type(match.at, datetime)
        assert_type(match.sizes, dict[str, int])
        assert_type([taken.time for taken in match.taken()], list[datetime])
        said.append(f"{match.pattern} {match.key} {match.values['low']} {match.events['low'][0]}")
    return said


def tables(result: cep.Result) -> pa.Table:
    assert_type(result.matches.to_arrow(), pa.Table)
    assert_type(result.matches.to_pandas(), pd.DataFrame)
    assert_type(result.matches.to_polars(), pl.DataFrame)
    assert_type(result.matches.counts(), dict[str, int])
    assert_type(result.tables, RowTables)
    assert_type(result.late, LateTable)
    assert_type(result.late.counts(), dict[str, int])
    assert_type(result.tables["highs"], pa.Table)
    return result.tables["highs"]


def errors(result: cep.Result) -> list[str]:
    assert_type(result.errors, ErrorTable)
    assert_type(result.errors.counts(), dict[tuple[str, str | None, str | None], int])
    said: list[str] = []
    for row in result.errors:
        assert_type(row, ErrorRow)
        assert_type(row.time, datetime | None)
        said.append(f"{row.reason} {row.pattern or ''} {row.event}")
    return said


def summary(result: cep.Result) -> str:
    found = assert_type(result.summary(), Summary)
    assert_type(found.matches, dict[str, int])
    assert_type(result.notes, list[str])
    return f"{found.events} {found.seconds} {found}"


def why(rules: cep.Rules) -> str:
    result = rules.run(TRADES, trace=True)
    assert_type(result.attempts, AttemptTable)
    assert_type(result.attempts.funnel(), pa.Table)
    answer = assert_type(result.why(result.matches[0]), Why)
    assert_type([taken.time for taken in answer.taken], list[datetime])
    near = assert_type(rules.why_not(TRADES, key="x", limit=2), WhyNot)
    assert_type(list(near), list[NearMiss])
    for miss in near:
        assert_type(miss.start, datetime | None)
        assert_type(miss.suggestions, tuple[Suggestion, ...])
    return f"{answer} {near}"


def streamed(rules: cep.Rules) -> int:
    parts = assert_type(rules.stream(pa.Table.from_pylist(TRADES)), Iterator[cep.Result])
    return sum(len(part) for part in parts)


def main() -> None:
    rules = compiled()
    result = rules.run(TRADES, workers=1)
    assert_type(result, cep.Result)
    assert len(matches(result)) == streamed(rules) == 1
    assert isinstance(result.matches[0].start, datetime)
    assert tables(result).num_rows == 1
    assert len(errors(result)) == len(result.errors)
    assert summary(result)
    assert why(rules)
    assert refused("pattern")
    assert len(built().patterns) == 2
