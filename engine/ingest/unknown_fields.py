"""Fields of the data that a stream does not declare: named where a declared one is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache

from cep.engine.results import ErrorBatch

NAMES_SHOWN = 3
QUESTIONS_KEPT = 64
MISSING = re.compile(r"(?:key field|time) '(.*)' is NULL")


def naming_unknown(
    errors: Iterable[ErrorBatch], unknown: Mapping[str, Set[str]]
) -> list[ErrorBatch]:
    """Errors of keys and times that are NULL tell of a field that may have been meant.

    `unknown`: such fields of each stream, as far as they have been seen.
    """
    names = frozenset(name for of_stream in unknown.values() for name in of_stream)
    return [_naming(error, names) if names else error for error in errors]


def _naming(error: ErrorBatch, unknown: frozenset[str]) -> ErrorBatch:
    found = MISSING.fullmatch(error.reason)
    if found is None:
        return error
    return replace(error, reason=f"{error.reason}; {seen(found[1], unknown)}")


@lru_cache(QUESTIONS_KEPT)
def seen(missing: str, unknown: frozenset[str]) -> str:
    """`the events have an unknown field 'crad'`: the one that is like it, else some of them."""
    names = get_close_matches(missing, unknown, n=1) or sorted(unknown)[:NAMES_SHOWN]
    told = ", ".join(map(repr, names))
    if len(names) == 1:
        return f"the events have an unknown field {told}"
    more = len(unknown) - len(names)
    return f"the events have unknown fields {told}{f' and {more} more' if more else ''}"
