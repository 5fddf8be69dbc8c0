"""A run over a history, its nearest event and the remedies tried in, a `NearMiss` out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from cep.engine.algebra.expression import Expression
from cep.engine.algebra.pattern import WithinScope
from cep.engine.algebra.printer import print_duration, print_expression
from cep.engine.automaton.distances import variables_needed
from cep.engine.automaton.flat import condition_name
from cep.engine.automaton.states import Guard
from cep.engine.results import Fate
from cep.results.columns import PatternMatches
from cep.results.values import as_cell
from cep.results.why import Reason, reasons_of, why
from cep.whynot.answer import Nearest, NearMiss, Suggestion
from cep.whynot.candidates import Candidate, Demand, Run, evaluated
from cep.whynot.remedies import Kind, Remedy

Moment = Callable[[int], datetime]


@dataclass(frozen=True, slots=True)
class Describer:
    """Says what became of runs. `moment` makes a datetime of microseconds since 1970."""

    run: Run
    moment: Moment

    def near_miss(
        self,
        source: PatternMatches | None,
        index: int,
        candidate: Candidate | None,
        remedies: list[Remedy],
    ) -> NearMiss:
        """`source` has the run at this index; None where nothing began."""
        run = self.run
        key = run.history.key
        taken = () if source is None else why(source, index, None).taken
        return NearMiss(
            run.history.pattern.name,
            None if not key else key[0] if len(key) == 1 else key,
            taken[0].time if taken else None,
            self.moment(run.at_us) if taken else None,
            taken,
            run.missing,
            tuple(self._needed()),
            None if run.fate is None else run.fate.name.lower(),
            self.ended(),
            None if run.cause < 0 else self._event(run.cause),
            None if candidate is None else self._nearest(candidate),
            tuple(self._suggestion(remedy) for remedy in remedies),
        )

    # ------------------------------------------------------------------ what it needed

    def _needed(self) -> list[str]:
        steps = variables_needed(self.run.flat)
        found = []
        for names, equal in groupby(steps[len(steps) - self.run.missing :]):
            count = len(list(equal))
            times = f"{count} x " if count > 1 else ""
            found.append(times + " or ".join(self._with_condition(name) for name in names))
        return found

    def _with_condition(self, variable: str) -> str:
        condition = self.run.history.pattern.definition(variable).condition
        return variable if condition is None else f"{variable} ({print_expression(condition)})"

    def _nearest(self, candidate: Candidate) -> Nearest:
        unmet = tuple(self._reason(demand, candidate.row) for demand in candidate.unmet)
        time = self.moment(self._time_us(candidate.row))
        event = self._event(candidate.row)
        return Nearest(time, event, candidate.edge.variable or "", unmet)

    def _event(self, row: int) -> dict[str, Any]:
        event: dict[str, Any] = self.run.history.events.table.slice(row, 1).to_pylist()[0]
        return event

    def _time_us(self, row: int) -> int:
        return int(self.run.history.events.time_us[row])

    def _reason(self, demand: Demand, row: int) -> Reason:
        (reason,) = reasons_of(demand.part, lambda e: self._values(e, row), 1)
        if demand.holds:
            return reason
        name = condition_name(self.run.flat.nfa, demand.condition)
        return Reason(f"it is also {name}: {reason.text}", False, reason.values)

    def _values(self, expression: Expression, row: int) -> list[Any]:
        values: list[Any] = evaluated(self.run, expression, [row]).to_pylist()
        return values

    # ------------------------------------------------------------------ what ended it

    def ended(self) -> str:
        """What ended the run, as a sentence."""
        run = self.run
        match run.fate:
            case None:
                return "no event began it"
            case Fate.TIME:
                return f"time was up at {self._at(run.at_us)}{self._bound()}"
            case Fate.NEGATION:
                return f"{self._killer()} came at {self._at(run.at_us)}"
            case Fate.UNLESS:
                unless = run.history.pattern.unless
                said = "" if unless is None else f" ({print_expression(unless)})"
                return f"an event met unless{said} at {self._at(run.at_us)}"
            case Fate.NOT_NEXT:
                return f"the next event, at {self._at(run.at_us)}, was another"
            case Fate.SKIP:
                skip = run.history.pattern.skip.strategy.value
                return f"dropped at {self._at(run.at_us)}: after a match, skip {skip}"
            case Fate.OPEN:
                return f"still open when the events ended, at {self._at(run.at_us)}"

    def _at(self, time_us: int) -> str:
        return as_cell(self.moment(time_us))

    def _bound(self) -> str:
        run, pattern = self.run, self.run.history.pattern
        if pattern.within_us is not None and run.within_from is not None:
            between = (
                " between events" if pattern.within_scope is WithinScope.BETWEEN_EVENTS else ""
            )
            return f" (within {print_duration(pattern.within_us)}{between})"
        window_us = run.flat.states[run.state].state.window_us
        return f" ({print_duration(window_us)} after the event before)" if window_us else ""

    def _killer(self) -> str:
        run = self.run
        names = [
            condition_name(run.flat.nfa, number)
            for guard in run.flat.states[run.state].kills
            if self._meets(guard)
            for number in sorted(guard.require)
        ]
        return f"{self._with_condition(names[0])}, which must not come," if names else "an event"

    def _meets(self, guard: Guard) -> bool:
        conditions = self.run.flat.nfa.conditions
        return all(
            (expression := conditions[number].expression) is None
            or self._values(expression, self.run.cause)[0]
            for number in guard.require
        )

    # ------------------------------------------------------------------ what would have helped

    def _suggestion(self, remedy: Remedy) -> Suggestion:
        bound = remedy.within_us
        within = None if bound is None else timedelta(microseconds=bound)
        return Suggestion(
            remedy.kind.value,
            self._text(remedy),
            remedy.is_enough,
            remedy.then,
            within,
            remedy.helps_another,
        )

    def _text(self, remedy: Remedy) -> str:
        candidate = remedy.candidate
        name = (candidate and candidate.edge.variable) or ""
        match remedy.kind:
            case Kind.MEET:
                return f"if it had met {name}"
            case Kind.ADD:
                return f"if an event for {self._with_condition(name)} had come next"
            case Kind.WITHOUT:
                return "if that event had not come"
            case Kind.LONGER:
                return f"if time had not been up when {name} came{self._lateness(remedy)}"
            case Kind.NO_SKIP:
                return "with `after match no skip`"

    def _lateness(self, remedy: Remedy) -> str:
        assert remedy.candidate is not None, "it is about an event that came too late"
        time_us = self._time_us(remedy.candidate.row)
        late_us = time_us - self.run.at_us
        late = f", {print_duration(late_us)} later" if late_us else ""
        return f" at {self._at(time_us)}{late}"
