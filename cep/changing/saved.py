"""A book of rules in a snapshot, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cep.changing.book import AnyRules, RuleBook
from cep.changing.statements import (
    Like,
    Statement,
    changed_parameters,
    compile_statements,
    read_statements,
)
from cep.dsl.parameters import converted, python_value
from cep.engine.algebra.expression import DataType
from cep.engine.state.snapshot import Snapshot, Value
from cep.rules import as_rules


def saved_book(book: RuleBook) -> Snapshot:
    """What a snapshot has beside the state: the statements with their versions."""
    return {
        "statements": [
            {
                "text": statement.written.text,
                "digest": statement.digest,
                "version": statement.version,
                "since_us": statement.since_us,
                "disabled": statement.is_disabled,
            }
            for statement in book.statements
        ],
        "parameters": {
            each.name: {"type": each.type.value, "value": converted(each.value, each.type)}
            for each in changed_parameters(book.rules)
        },
    }


def restored_book(saved: Mapping[str, Value], rules: AnyRules | None, now_us: int) -> RuleBook:
    """The book of these rules, None: of those that were saved; with the versions of then.

    Functions of the user's own are no part of a snapshot: rules that call some must be given.
    """
    before = [_statement(entry) for entry in saved.get("statements", ())]
    if rules is None:
        everything = before or list(read_statements(saved["rules"]))
        known = compile_statements(everything, Like(values=_values(saved)))
    else:
        known = as_rules(rules)
    return RuleBook.begin(known, now_us, before)


def _statement(entry: Mapping[str, Value]) -> Statement:
    (statement,) = read_statements(entry["text"])
    return Statement(
        statement.written,
        statement.origin,
        entry["digest"],
        entry["version"],
        entry["since_us"],
        entry["disabled"],
    )


def _values(saved: Mapping[str, Value]) -> dict[str, Any]:
    return {
        name: python_value(each["value"], DataType(each["type"]))
        for name, each in saved.get("parameters", {}).items()
    }
