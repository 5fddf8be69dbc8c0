"""Rules and labelled data -> what each pattern finds -> a Backtest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cep.backtesting.backtest import Backtest
from cep.backtesting.checks import known_name
from cep.backtesting.found import EventRows, Finder, Found, check_flagged
from cep.backtesting.labelled_data import LabelledData
from cep.backtesting.labels import LabelOptions
from cep.backtesting.scope import Scope
from cep.backtesting.score_table import ALL
from cep.engine.algebra.errors import DataError
from cep.engine.algebra.pattern import Pattern
from cep.results.values import counted
from cep.rules import Built, Rules, as_rules

Flagged = str | Mapping[str, str | Sequence[str]] | None


def backtest(
    rules: Rules | str | Built | Iterable[Built],
    data: Any,
    labels: Any,
    *,
    case: str | None = None,
    amount: str | None = None,
    flagged: Flagged = None,
    stream: str | None = None,
    patterns: Sequence[str] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    workers: int = 1,
) -> Backtest:
    """Run rules over labelled data once, and score every pattern.

    `rules`: checked, or anything that `cep.compile` takes. `data`: as for `Rules.run`. `labels`:
    the name of a column of the labelled stream (booleans, or 0 and 1; NULL is not labelled), or a
    table of spans with the columns `start`, `end` (both included) and the key fields whose events
    lie in them. `case`: a column that says which labelled events belong together, or which spans;
    without it each labelled event, or each span, is a case. `amount`: a column with what an event
    is worth. `flagged`: which captured events of a match are flagged: None all, "last" the last of
    each match, or a dict from pattern to variables. `stream`: which one is labelled; None: the one
    that has these columns. `patterns`: those that are scored, None all. `confidence`: of the
    intervals; `seed`: of their bootstrap. `workers`: as for `Rules.run`.

    An alert (a match) is true where one of its flagged events is labelled or, with spans, where it
    is found in a span of the key of one of them. Patterns that read only what other rules make
    flag no events: they are scored against spans by key and time.

    Holds the labelled stream's rows in memory, and a few numbers per match. Raises DataError for
    columns, streams and patterns that there are not, labels and amounts of other types, spans that
    overlap or end before they start, rows without a time, and labels that cannot score a pattern.
    """
    checked = as_rules(rules)
    options = LabelOptions(labels, case, amount)
    known = LabelledData.read(checked, data, options, stream)
    scored = scored_patterns(checked, patterns, known)
    scope = scope_of(known, confidence, seed)
    found, said = find(checked, known, check_flagged(flagged, scored), workers)
    notes = (*notes_on(scored, known), *said)
    return Backtest(known.stream.name, known.table, notes, found, scope)


def scored_patterns(
    rules: Rules, names: Sequence[str] | None, known: LabelledData
) -> tuple[Pattern, ...]:
    """The patterns to score. Raises DataError where one has no events that labels are about."""
    patterns = {pattern.name: pattern for pattern in rules.patterns}
    if not patterns:
        raise DataError("the rules have no pattern, and so nothing to score")
    names = [names] if isinstance(names, str) else names
    for name in names or ():
        known_name("patterns: no pattern", name, patterns)
    scored = tuple(patterns[name] for name in (patterns if names is None else names))
    if any(pattern.name == ALL for pattern in scored):
        raise DataError(f"a pattern is called {ALL!r}, as the row of all patterns is: rename it")
    if known.labels.spans is None:
        for pattern in scored:
            _check_reads(pattern, known.stream.name)
    return scored


def _check_reads(pattern: Pattern, stream: str) -> None:
    if not _reads(pattern, stream):
        raise DataError(
            f"pattern {pattern.name!r} reads {', '.join(pattern.streams)} and so flags no event of "
            f"{stream or 'the labelled stream'}: give spans as labels, which are met by key and "
            "time, or name other `patterns` to score"
        )


def _reads(pattern: Pattern, stream: str) -> bool:
    return stream in (pattern.streams or ("",))


def notes_on(patterns: Sequence[Pattern], known: LabelledData) -> list[str]:
    """What the scores of events do not say."""
    blind = [pattern.name for pattern in patterns if not _reads(pattern, known.stream.name)]
    which = f"no events of {known.stream.name or 'the labelled stream'} are flagged by"
    return [f"{which} {name}: see its alerts and cases" for name in blind]


def scope_of(known: LabelledData, confidence: Any, seed: Any) -> Scope:
    """All of the data. Raises DataError for numbers that intervals cannot be made with."""
    if not isinstance(confidence, float | int) or not 0 < confidence < 1:
        raise DataError(f"confidence is {confidence!r}: it must lie between 0 and 1, such as 0.95")
    if not isinstance(seed, int) or seed < 0:
        raise DataError(f"seed is {seed!r}: give a whole number from 0 on")
    return Scope(known.labels, confidence, seed)


def find(
    rules: Rules, known: LabelledData, flagged: Mapping[str, Any], workers: int
) -> tuple[dict[str, Found], list[str]]:
    """(what each pattern named in `flagged` finds, what the run had to say)."""
    finders = {name: Finder(known.labels, chosen) for name, chosen in flagged.items()}
    errors: Counter[str] = Counter()
    run = rules.open_run(known.data, workers)
    for output, _ in run.steps(True, None):
        events = EventRows(known.labels)
        for batch in output.matches:
            if len(batch) and batch.pattern.name in finders:
                finders[batch.pattern.name].add(batch, *events.of(batch))
        for error in output.errors:
            errors[error.reason] += len(error)
    notes = [f"{counted(size, 'event')} with errors: {reason}" for reason, size in errors.items()]
    found = {name: finder.found() for name, finder in finders.items()}
    return found, [*known.notes, *run.feed.notes, *notes]
