"""What would differ with other rules, as text, as a table and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import pyarrow as pa

from cep.changing.comparison import NEW, OLD, SAMPLED, Comparison
from cep.engine.state.restoring import Restored
from cep.results.tabular import Tabular
from cep.results.values import counted


@dataclass(frozen=True, slots=True)
class Difference:
    """How many of what the old and the new rules have put out.

    `what`: "matches", "timeouts", "rows", "errors" or "late"; `name`: the statement whose they are,
    "" of errors and late events. Matches are compared one by one, by their id; None: of all else
    only the numbers are compared.
    """

    name: str
    what: str
    old: int
    new: int
    both: int | None = None
    only_old: int | None = None
    only_new: int | None = None


@dataclass(frozen=True)
class ShadowReport(Tabular):
    """What rules in the shadow have done differently up to now.

    `events`: how many both have seen. `sample`: matches that only one of them found, the first
    twenty of each pattern and side. `restored`: what became of the statements when the shadow
    began; one that is "fresh" knows nothing of what was before. `error`: what ended the shadow.
    """

    events: int
    differences: tuple[Difference, ...]
    sample: pa.Table
    restored: Restored
    error: Exception | None
    is_running: bool

    @property
    def is_same(self) -> bool:
        """No difference in any number, and no match that only one side has found."""
        return self.error is None and all(
            each.old == each.new and not each.only_old and not each.only_new
            for each in self.differences
        )

    def to_arrow(self) -> pa.Table:
        """name, what, old, new, both, only_old, only_new."""
        rows = [{name: getattr(each, name) for name in COLUMNS} for each in self.differences]
        types = [pa.string()] * 2 + [pa.int64()] * 5
        return pa.Table.from_pylist(rows, pa.schema(list(zip(COLUMNS, types, strict=True))))

    def cells(self) -> list[tuple[str, ...]]:
        """The same as texts."""
        values = ([getattr(each, name) for name in COLUMNS] for each in self.differences)
        return [
            tuple("" if v is None else f"{v:,}" if isinstance(v, int) else v for v in row)
            for row in values
        ]

    @property
    def title(self) -> str:
        """On how many events, and how it stands."""
        state = "running" if self.is_running else "ended"
        if self.error is not None:
            state = f"ended by {type(self.error).__name__}: {self.error}"
        return f"shadow: {counted(self.events, 'event')}, {state}"

    def __str__(self) -> str:
        rows = [COLUMNS, *self.cells()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (zip(row, widths, strict=True) for row in rows)
        table = ["  ".join(f"{c:<{w}}" for c, w in line).rstrip() for line in lines]
        return "\n".join([self.title, str(self.restored), *table])

    def _repr_html_(self) -> str:
        from cep.display.shadow import report_html

        return report_html(self)


COLUMNS = tuple(field.name for field in fields(Difference))


def report_of(
    comparison: Comparison,
    patterns: Iterable[str],
    restored: Restored,
    error: Exception | None,
    is_running: bool,
) -> ShadowReport:
    """`patterns`: those of both rules, in order."""
    rows = [*_matches(comparison, patterns), *_numbers(comparison)]
    sample = pa.Table.from_pylist(list(comparison.sample()), SAMPLED)
    return ShadowReport(comparison.events, tuple(rows), sample, restored, error, is_running)


def _matches(comparison: Comparison, patterns: Iterable[str]) -> Iterable[Difference]:
    alone = comparison.alone()
    for name in patterns:
        both, old, new = comparison.both[name], alone.get((OLD, name), 0), alone.get((NEW, name), 0)
        yield Difference(name, "matches", both + old, both + new, both, old, new)


def _numbers(comparison: Comparison) -> Iterable[Difference]:
    """Timeouts and rows where there are any; errors and late events in any case."""
    kept = {(what, name): None for (_, what, name), size in comparison.counts.items() if size}
    for what, name in {**kept, ("errors", ""): None, ("late", ""): None}:
        old, new = (comparison.counts[side, what, name] for side in (OLD, NEW))
        yield Difference(name, what, old, new)
