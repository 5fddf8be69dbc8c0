"""Rules with many settings of their parameters, each scored against labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

import pyarrow as pa

from cep.backtesting.backtest import Backtest
from cep.backtesting.checks import known_name
from cep.backtesting.found import Found, check_flagged
from cep.backtesting.labelled_data import LabelledData
from cep.backtesting.labels import LabelOptions
from cep.backtesting.run import Flagged, find, notes_on, scope_of, scored_patterns
from cep.backtesting.score_table import ALL, ESTIMATES, ScoreTable, text_table
from cep.backtesting.variants import Merged, merge
from cep.engine.algebra.errors import DataError
from cep.results.tabular import Tabular
from cep.results.values import counted
from cep.rules import Built, Rules, as_rules

Settings = Mapping[str, Any] | Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Trial:
    """Values for parameters, and how the rules with these do."""

    setting: Mapping[str, Any]
    backtest: Backtest

    @property
    def scores(self) -> ScoreTable:
        return self.backtest.scores

    def __str__(self) -> str:
        return f"{_setting_line(self.setting)}\n{self.scores}"

    def __repr__(self) -> str:
        return f"<Trial: {self}>"

    def _repr_html_(self) -> str:
        from cep.display.scores import scores_html

        return scores_html(_setting_line(self.setting), self.scores.rows(), ())


class Sweep(Tabular):
    """A Trial for each setting, in the order in which they were given. Made by `cep.sweep`.

    `parameters` are the names in the settings, `notes` what the runs had to say.
    """

    def __init__(self, trials: Sequence[Trial], notes: Sequence[str] = ()) -> None:
        self._trials = tuple(trials)
        self.parameters = tuple(dict.fromkeys(n for trial in trials for n in trial.setting))
        self.notes = tuple(notes)

    def __len__(self) -> int:
        return len(self._trials)

    def __getitem__(self, at: int) -> Trial:
        return self._trials[at]

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials)

    @property
    def names(self) -> tuple[str, ...]:
        """The patterns, then "all"."""
        return self._trials[0].scores.names

    def between(self, start: datetime | str | None, end: datetime | str | None) -> Sweep:
        """Every trial in a part of the time, as `Backtest.between` has it: nothing is run for it.

        So settings are chosen on one part and checked on another.
        """
        parts = [Trial(each.setting, each.backtest.between(start, end)) for each in self]
        return Sweep(parts, self.notes)

    def trial(self, **setting: Any) -> Trial:
        """The first trial with these values. Raises DataError where there is none."""
        for each in self:
            if all(each.setting.get(name) == value for name, value in setting.items()):
                return each
        raise DataError(f"no trial has {_setting_line(setting)}")

    def best(self, score: str = "f1", pattern: str = ALL, *, highest: bool = True) -> Trial:
        """The trial with the highest (else the lowest) score of a pattern; of equals the first.

        Raises DataError for a score or a pattern that there is not, and where no trial has it.
        """
        values = self.values(score, pattern)
        known = [at for at, value in enumerate(values) if value == value]  # NaN is not
        if not known:
            raise DataError(f"no trial has a {score} of {pattern!r}")
        choose = max if highest else min
        return self._trials[choose(known, key=lambda at: values[at])]

    def values(self, score: str = "f1", pattern: str = ALL) -> list[float]:
        """One score of a pattern in every trial, NaN where it is not known."""
        known_name("no score", score, ESTIMATES)
        return [float(getattr(trial.scores[pattern], score)) for trial in self._trials]

    def to_arrow(self) -> pa.Table:
        """A row for each setting and pattern: a column per parameter, then those of the scores.

        A parameter with the name of one of these gets `parameter_` in front.
        """
        tables = [trial.scores.to_arrow() for trial in self._trials]
        table = pa.concat_tables(tables)
        for place, name in enumerate(self.parameters):
            values = [t.setting.get(name) for t in self._trials for _ in range(len(t.scores))]
            shown = f"parameter_{name}" if name in tables[0].schema.names else name
            table = table.add_column(place, shown, _arrow(values))
        return table

    def __str__(self) -> str:
        return "\n".join([text_table(self._rows()), *(f"note: {note}" for note in self.notes)])

    def _rows(self) -> list[list[str]]:
        """The texts of the table: a head, then a row for each setting and pattern."""
        rows: list[list[str]] = []
        for trial in self._trials:
            head, *body = trial.scores.rows()
            values = [setting_text(trial.setting.get(name)) for name in self.parameters]
            rows += [[*self.parameters, *head]] if not rows else []
            rows += [[*values, *row] for row in body]
        return rows

    def __repr__(self) -> str:
        return f"<Sweep: {counted(len(self), 'setting')} of {', '.join(self.parameters)}>"

    def _repr_html_(self) -> str:
        from cep.display.scores import scores_html

        return scores_html(counted(len(self), "setting"), self._rows(), self.notes)


def setting_text(value: Any) -> str:
    """A value of a parameter for people: six digits of a float, nothing for a default."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _setting_line(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {setting_text(value)}" for name, value in setting.items())


def _arrow(values: Sequence[Any]) -> Any:
    """Values of one parameter; integers among floats as floats, texts among others as texts."""
    if any(isinstance(value, float) for value in values):
        return pa.array(values, pa.float64())
    if any(isinstance(value, str) for value in values):
        return pa.array([None if value is None else setting_text(value) for value in values])
    return pa.array(values)


def sweep(
    rules: Rules | str | Built | Iterable[Built],
    data: Any,
    labels: Any,
    settings: Settings,
    *,
    case: str | None = None,
    amount: str | None = None,
    flagged: Flagged = None,
    stream: str | None = None,
    patterns: Sequence[str] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    workers: int = 1,
) -> Sweep:
    """Score rules with several values of their parameters, in as few runs as possible.

    `settings`: a dict from parameter to values, of which every combination is tried, or a list of
    dicts; see `Rules.with_parameters` for values. The other arguments are those of `cep.backtest`.
    Settings that change nothing but patterns that no other rule reads are run together, over
    features that are computed once; each other change of a feature, an aggregate or the like is a
    run of its own. Memory holds the labelled stream's rows, and a few numbers per match of each
    trial. Raises RuleError for parameters that the rules do not declare, DataError as
    `cep.backtest` does.
    """
    checked = as_rules(rules)
    tried = _combinations(settings)
    variants = [checked.with_parameters(**setting) for setting in tried]
    known = LabelledData.read(checked, data, LabelOptions(labels, case, amount), stream)
    scored = scored_patterns(checked, patterns, known)
    chosen = check_flagged(flagged, scored)
    scope = scope_of(known, confidence, seed)
    parts: dict[int, Mapping[str, Found]] = {}
    notes = dict.fromkeys(notes_on(scored, known))
    for merged in merge(variants):
        found, said = find(merged.rules, known, _merged_flags(merged, chosen), workers)
        notes |= dict.fromkeys(said)
        for number, names in merged.names.items():
            parts[number] = {name: found[names[name]] for name in chosen}
    said_by_all = tuple(notes)
    trials = [
        Trial(setting, Backtest(known.stream.name, known.table, said_by_all, parts[number], scope))
        for number, setting in enumerate(tried)
    ]
    return Sweep(trials, said_by_all)


def _merged_flags(merged: Merged, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What is flagged of each pattern, under its name in the merged rules."""
    several = merged.names.values()
    return {names[name]: flags for names in several for name, flags in chosen.items()}


def _combinations(settings: Settings) -> list[dict[str, Any]]:
    """The values of each trial. Raises DataError where there is nothing to try."""
    if isinstance(settings, Mapping):
        for name, values in settings.items():
            if isinstance(values, str) or not hasattr(values, "__iter__"):
                raise DataError(f"settings of {name!r} are {values!r}: give a list of values")
        tried = [dict(zip(settings, each, strict=True)) for each in product(*settings.values())]
    else:
        tried = [_setting(each) for each in _listed(settings)]
    if not any(tried):
        raise DataError("settings are empty: give a list of values for at least one parameter")
    return [{name: _plain(value) for name, value in setting.items()} for setting in tried]


def _listed(settings: Any) -> Iterable[Any]:
    if isinstance(settings, str) or not isinstance(settings, Iterable):
        raise DataError(
            f"settings are {settings!r}: give a dict from parameter to values, or a list of dicts"
        )
    return settings


def _setting(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise DataError(f"a setting is {given!r}: give a dict from parameter to its value")
    return dict(given)


def _plain(value: Any) -> Any:
    """A number as Python has it, of those that NumPy makes ranges of."""
    return value.item() if type(value).__module__ == "numpy" else value
