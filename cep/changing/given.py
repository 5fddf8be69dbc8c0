"""What is given by name of a statement, and waits while that is not in force.

Tables that are looked up, limits of patterns, functions for what comes out: a disabled statement
needs its own again when it is enabled.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cep.changing.book import RuleBook
from cep.engine.algebra.pattern import Pattern
from cep.engine.algebra.plan import NodeKind
from cep.options import SIDES

Given = dict[str, dict[str, Any]]
"""KINDS -> name -> what is given."""

KINDS = ("tables", "limits", "on")


def apart(book: RuleBook, given: Mapping[str, Mapping[str, Any] | None]) -> tuple[Given, Given]:
    """(all else, what is given for disabled statements)."""
    asleep = {statement.name for statement in book.asleep}
    tables = {s.name for s in book.statements if s.kind == "table"} if asleep else set()
    unread = tables - {table.name for table in book.rules.tables}
    names = {"tables": unread, "limits": asleep, "on": asleep}
    waiting, others = _split({kind: given[kind] or {} for kind in KINDS}, names)
    return others, waiting


def carried(
    book: RuleBook,
    given: Mapping[str, Mapping[str, Any] | None],
    there: Mapping[str, Mapping[str, Any]],
    *,
    beside: bool,
) -> tuple[Given, Given]:
    """(what goes with new rules, what waits).

    `given`: of each kind, in place of what is `there` or `beside` it; None: what is there stays.
    """
    kept, waiting = _still_for(book, there)
    for kind in KINDS:
        new = given[kind]
        if new is not None:
            kept[kind] = {**(kept[kind] if beside else {}), **new}
            waiting[kind] = waiting[kind] if beside else {}
    return kept, waiting


def joined(one: Given, other: Given) -> Given:
    """What both hold."""
    return {kind: {**one[kind], **other[kind]} for kind in KINDS}


def _still_for(book: RuleBook, given: Mapping[str, Mapping[str, Any]]) -> tuple[Given, Given]:
    """(what is given for those in force, the rest)."""
    nodes = book.rules.unbound().nodes
    names = {
        "tables": {table.name for table in book.rules.tables},
        "limits": {node.name for node in nodes if isinstance(node.plan, Pattern)},
        "on": {*SIDES, *(node.name for node in nodes if node.kind is not NodeKind.PATTERN)},
    }
    return _split(given, names)


def _split(
    given: Mapping[str, Mapping[str, Any]], names: Mapping[str, Collection[str]]
) -> tuple[Given, Given]:
    """(those of these names, the others)."""
    of_names, others = (
        {
            kind: {n: each for n, each in of_kind.items() if (n in names[kind]) is named}
            for kind, of_kind in given.items()
        }
        for named in (True, False)
    )
    return of_names, others
