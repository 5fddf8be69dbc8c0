"""Completion in `%%cep` cells: what IPython asks while one types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from cep.notebook.completion import complete

MAGIC = "%%cep"
IDENTIFIER = "cep.rules"


F = TypeVar("F", bound=Callable[..., object])
matcher: Callable[[F], F] = context_matcher(identifier=IDENTIFIER)


class RuleMatcher:
    """`namespace`: the variables of the notebook."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace

    @matcher
    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        """Words for the place of the cursor; other matchers are silent where there are any."""
        head, _, rules = context.full_text.partition("\n")
        if context.cursor_line == 0 or head.split()[:1] != [MAGIC]:
            return SimpleMatcherResult(completions=[], suppress=False)
        lines = rules.split("\n")[: context.cursor_line - 1]
        offset = sum(len(line) + 1 for line in lines) + context.cursor_position
        found = complete(rules, offset, self._columns, self._tables())
        dollar = "$" if found.prefix.startswith("$") else ""  # is no part of a word to IPython
        words = [
            SimpleCompletion(word.text.removeprefix(dollar), type=word.kind) for word in found.words
        ]
        fragment = found.prefix.removeprefix(dollar)
        return SimpleMatcherResult(completions=words, matched_fragment=fragment, suppress=True)

    def _columns(self, stream: str) -> Sequence[str]:
        """Those of the table that has the stream's name."""
        return columns_of(self._namespace.get(stream))

    def _tables(self) -> list[str]:
        return [
            name
            for name, value in self._namespace.items()
            if not name.startswith("_") and columns_of(value)
        ]


def columns_of(table: Any) -> list[str]:
    """The columns of a pandas, polars or Arrow table; none of anything else."""
    if not hasattr(type(table), "__arrow_c_stream__"):
        return []
    names = getattr(table, "column_names", None)  # Arrow's; `columns` are the data there
    names = list(getattr(table, "columns", ())) if names is None else names
    return [name for name in names if isinstance(name, str)]
