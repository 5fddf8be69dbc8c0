"""A run over a history, its nearest event and the remedies tried in, a `NearMiss` out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cep.engine.algebra.expression import Expression
from cep.engine.algebra.pattern import WithinScope
from cep.engine.algebra.printer import print_duration, print_expression
from cep.engine.automaton.distances import variables_needed
from cep.engine.automaton.flat import condition_name
from cep.engine.automaton.states import Guard
from cep.engine.results import Fate
from cep.results.columns import PatternMatches
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
            None if candidate is None else self._nearest(candidate),
            tuple(self._suggestion(remedy) for remedy in remedies),
        )

    # ------------------------------------------------------------------ what it needed

    def _needed(self) -> list[str]:
        steps = variables_needed(self.run.flat)
        return [
            " or ".join(self._with_condition(name) for name in names)
            for names in steps[len(steps) - self.run.missing :]
        ]

    def _with_condition(self, variable: str) -> str:
        condition = self.run.history.pattern.definition(variable).condition
        return variable if condition is None else f"{variable} ({print_expression(condition)})"

    def _nearest(self, candidate: Candidate) -> Nearest:
        events = self.run.history.events
        event = events.table.slice(candidate.row, 1).to_pylist()[0]
        unmet = tuple(self._reason(demand, candidate.row) for demand in candidate.unmet)
        time = self.moment(int(events.time_us[candidate.row]))
        return Nearest(time, event, candidate.edge.variable or "", unmet)

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
        return self.moment(time_us).isoformat(" ")

    def _bound(self) -> str:
        run, pattern = self.run, self.run.history.pattern
        first = run.taken[0 if pattern.within_scope is WithinScope.FIRST_LAST else -1][0]
        begun_us = int(run.history.events.time_us[first])
        if pattern.within_us is not None and run.at_us == begun_us + pattern.within_us:
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
        return Suggestion(remedy.kind.value, self._text(remedy), remedy.is_enough, remedy.then)

    def _text(self, remedy: Remedy) -> str:
        candidate = remedy.candidate
        name = (
            "" if candidate is None or candidate.edge.variable is None else candidate.edge.variable
        )
        match remedy.kind:
            case Kind.MEET:
                return f"had it been {name}"
            case Kind.ADD:
                return f"had {self._with_condition(name)} come next"
            case Kind.WITHOUT:
                return "had that event not come"
            case Kind.LONGER:
                assert candidate is not None
                assert remedy.within_us is not None
                came = self._at(int(self.run.history.events.time_us[candidate.row]))
                return f"{name} came at {came}: within {print_duration(remedy.within_us)}"
            case Kind.NO_SKIP:
                return "with `after match no skip`"
