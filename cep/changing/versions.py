"""The statements of a detector, in force and not, as a list for people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Literal, overload

import pyarrow as pa

from cep.changing.statements import Statement
from cep.engine.io.source import did_you_mean
from cep.results.tabular import Tabular
from cep.results.values import as_cell, counted
from cep.rules import Rules

State = Literal["active", "disabled", "shadow"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """One statement as it is now: active, disabled, or of the rules that run in the shadow.

    `name`: of parameters with their $, of features `NAME on STREAM`. `version` counts what it has
    said, from 1; comments and layout do not count. `since`: when it became what it is (UTC, by the
    clock of the detector).
    """

    name: str
    kind: str
    version: int
    since: datetime
    state: State
    text: str


class RuleVersions(Sequence[RuleVersion], Tabular):
    """All statements of a detector, in their order, as they were when it was asked.

    `versions["NAME"]` is one of them. `current`: the rules in force, `text`: their text.
    """

    def __init__(self, versions: Iterable[RuleVersion], current: Rules) -> None:
        self._versions = tuple(versions)
        self.current = current

    @property
    def text(self) -> str:
        return self.current.text

    @overload
    def __getitem__(self, which: int | str) -> RuleVersion: ...
    @overload
    def __getitem__(self, which: slice) -> Sequence[RuleVersion]: ...
    def __getitem__(self, which: int | str | slice) -> RuleVersion | Sequence[RuleVersion]:
        return self._named(which) if isinstance(which, str) else self._versions[which]

    def _named(self, name: str) -> RuleVersion:
        """That of the detector before that of the shadow."""
        for version in self._versions:
            if name in (version.name, version.name.partition(" on ")[0]):
                return version
        near = did_you_mean(name, (version.name for version in self._versions))
        raise KeyError(f"no statement {name!r}{near}")

    def __len__(self) -> int:
        return len(self._versions)

    def __iter__(self) -> Iterator[RuleVersion]:
        return iter(self._versions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RuleVersions) and self._versions == other._versions

    def __hash__(self) -> int:
        return hash(self._versions)

    def to_arrow(self) -> pa.Table:
        """name, kind, version, since, state, text."""
        us, text = pa.timestamp("us", "UTC"), pa.string()
        types: tuple[pa.DataType, ...] = (text, text, pa.int64(), us, text, text)
        schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
        rows = [{name: getattr(each, name) for name in COLUMNS} for each in self]
        return pa.Table.from_pylist(rows, schema)

    def cells(self) -> list[tuple[str, ...]]:
        """What is shown of each but its text."""
        return [
            (v.name, v.kind, str(v.version), as_cell(v.since.replace(tzinfo=None)), v.state)
            for v in self
        ]

    @property
    def title(self) -> str:
        """How many there are."""
        return counted(len(self), "statement")

    def __str__(self) -> str:
        rows = [COLUMNS[:-1], *self.cells()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (zip(row, widths, strict=True) for row in rows)
        return "\n".join("  ".join(f"{c:<{w}}" for c, w in line).rstrip() for line in lines)

    def __repr__(self) -> str:
        return f"<RuleVersions: {self.title}>"

    def _repr_html_(self) -> str:
        from cep.display.versions import versions_html

        return versions_html(self)


COLUMNS = tuple(field.name for field in fields(RuleVersion))


def versions_of(
    statements: Iterable[Statement], rules: Rules, shadow: Iterable[Statement] = ()
) -> RuleVersions:
    """`shadow`: the statements of a shadow that are not those of the detector."""
    listed = [_version(s, "disabled" if s.is_disabled else "active") for s in statements]
    return RuleVersions([*listed, *(_version(s, "shadow") for s in shadow)], rules)


def _version(statement: Statement, state: State) -> RuleVersion:
    since = EPOCH + timedelta(microseconds=statement.since_us)
    written = statement.written.text
    return RuleVersion(statement.label, statement.kind, statement.version, since, state, written)
