"""Parse tree of a sequence -> steps of the algebra."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lark import Token

from cep.dsl.expressions import ExpressionLowering, branch, token
from cep.dsl.lexer import span_of
from cep.dsl.values import Branch, duration_us, integer_of, name_of, span_at
from cep.engine.algebra.errors import Problem
from cep.engine.algebra.expression import Expression
from cep.engine.algebra.functions import closest
from cep.engine.algebra.normalise import normalise_steps
from cep.engine.algebra.pattern import (
    Alternation,
    Contiguity,
    Definition,
    Element,
    Group,
    Negation,
    Permutation,
    Quantifier,
    Step,
    Variable,
)

LINKS = {
    "next": Contiguity.STRICT,
    "followed_by": Contiguity.RELAXED,
    "followed_by_any": Contiguity.ANY,
}
ORDERS = {"CONSECUTIVE": Contiguity.STRICT, "COMBINATIONS": Contiguity.ANY}
MODIFIERS = {"until_name": "until", "until_condition": "until"}
"""Rules of the grammar -> the kind of modifier; each kind stands behind a repetition once."""

REPETITIONS_MAX = 1_000_000
UNCLEAR = Quantifier(1, 2)  # stands for an amount that makes no sense; fits every modifier


@dataclass(frozen=True, slots=True)
class SequenceLowering:
    """Turns sequence trees into steps; `definitions` are those of the pattern, for `until NAME`."""

    expressions: ExpressionLowering
    definitions: dict[str, Definition]
    problems: list[Problem]
    untils: set[str] = field(default_factory=set)  # the names that `until NAME` used

    def pattern(self, tree: Branch) -> tuple[Step, ...]:
        """The canonical steps of the whole pattern."""
        return normalise_steps(self._alternatives(tree))

    def _alternatives(self, tree: Branch) -> tuple[Step, ...]:
        branches = tuple(self._sequence(branch(tree, i)) for i in range(len(tree.children)))
        return branches[0] if len(branches) == 1 else (Step(Alternation(branches)),)

    def _sequence(self, tree: Branch) -> tuple[Step, ...]:
        steps = [self._step(branch(tree, 0))]
        for index in range(1, len(tree.children)):
            link = branch(tree, index)
            step = replace(self._step(branch(link, -1)), contiguity=LINKS[link.data])
            if len(link.children) > 1:
                bound = duration_us(branch(branch(link, 0), 0), self.problems)
                step = replace(step, within_us=bound)
            steps.append(step)
        return tuple(steps)

    def _step(self, tree: Branch) -> Step:
        parts = [child for child in tree.children if not isinstance(child, Token)]
        element = self._element(parts[0])
        if len(parts) < len(tree.children):  # the only token is NOT
            element = self._negate(element, parts[0])
        if len(parts) == 1:
            return Step(element)
        quantifier, modifiers = self._quantifier(parts[1]), self._modifiers(parts[2:])
        until = None
        for modifier in modifiers.values():
            quantifier, until = self._modify(quantifier, until, modifier)
        if quantifier.inner is Contiguity.ANY and "greedy" not in modifiers:
            quantifier = replace(quantifier, greedy=False)
        return Step(element, quantifier=quantifier, until=until)

    def _element(self, tree: Branch) -> Element:
        match tree.data:
            case "variable":
                return Variable(name_of(token(tree, 0)), span_at(tree))
            case "group":
                return Group(self._alternatives(branch(tree, 0)))
        parts = [child for child in tree.children if not isinstance(child, Token)]
        inner = Contiguity.RELAXED
        if parts[-1].data == "order":
            inner = ORDERS[token(parts.pop(), 0).type]
        return Permutation(tuple(self._step(part) for part in parts), inner)

    def _negate(self, element: Element, tree: Branch) -> Element:
        match element:
            case Variable(name, span):
                return Negation(name, span)
            case Group((Step(Variable(name, span)),)):
                return Negation(name, span)
        hint = "'not' is about one variable; describe what must not happen in its define"
        self.problems.append(Problem("'not' before a group", span_at(tree), hint))
        return element

    # ---- repetition

    def _quantifier(self, tree: Branch) -> Quantifier:
        amount, greedy = branch(tree, 0), len(tree.children) == 1
        low, high = self._bounds(amount)
        if high is not None and (high < 1 or high < low):
            self._bad_bounds(low, high, amount)
            return UNCLEAR
        if max(low, high or 0) > REPETITIONS_MAX:
            message = f"more than {REPETITIONS_MAX:,} repetitions"
            self.problems.append(Problem(message, span_at(amount)))
            return UNCLEAR
        return Quantifier(max(low, 1), high, optional=low == 0, greedy=greedy)

    def _bad_bounds(self, low: int, high: int, tree: Branch) -> None:
        message = f"the least number of repetitions, {low}, is above the largest, {high}"
        hint = f"write {{{high},{low}}}"
        if high < 1:
            message, hint = "a repetition of zero times", "leave the variable out"
        self.problems.append(Problem(message, span_at(tree), hint))

    def _bounds(self, tree: Branch) -> tuple[int, int | None]:
        tokens = [child for child in tree.children if isinstance(child, Token)]
        numbers = [integer_of(number, self.problems) for number in tokens]
        match tree.data:
            case "maybe":
                return 0, 1
            case "any_number":
                return 0, None
            case "some":
                return 1, None
            case "exactly":
                return numbers[0], numbers[0]
            case "at_least":
                return numbers[0], None
            case "at_most":
                return 0, numbers[0]
        return numbers[0], numbers[1]

    def _modifiers(self, trees: list[Branch]) -> dict[str, Branch]:
        """What stands behind a repetition, by kind; a second of one kind is a problem."""
        found: dict[str, Branch] = {}
        for tree in trees:
            kind = MODIFIERS.get(tree.data, tree.data)
            if kind in found:
                first, second = _word(found[kind]), _word(tree)
                message, hint = f"a second '{second}'", "write it once"
                if first != second:
                    message, hint = f"both '{first}' and '{second}'", "leave one of them out"
                self.problems.append(Problem(message, span_at(tree), hint))
            found.setdefault(kind, tree)
        return found

    def _modify(
        self, quantifier: Quantifier, until: Expression | None, tree: Branch
    ) -> tuple[Quantifier, Expression | None]:
        word = _word(tree)
        if not quantifier.repeats and word != "greedy":
            hint = "write it after + * or {...}"
            if word == "optional":
                hint = "'?' says it already: leave it out"
            message = f"'{word}' after something that does not repeat"
            self.problems.append(Problem(message, span_at(tree), hint))
            return quantifier, until
        match tree.data:
            case "optional":
                quantifier = replace(quantifier, optional=True)
            case "greedy" if not quantifier.greedy:
                hint = "a '?' behind a repetition makes it reluctant: leave one of them out"
                self.problems.append(Problem("both '?' and 'greedy'", span_at(tree), hint))
            case "greedy":
                pass  # what a repetition is anyway, but for one in all combinations
            case "ordered":
                quantifier = replace(quantifier, inner=ORDERS[token(tree, 0).type])
            case "gap":
                gap = duration_us(branch(tree, 0), self.problems)
                quantifier = replace(quantifier, gap_us=gap)
            case "until_name":
                until = self._until_name(token(tree, 0))
            case _:
                until = self.expressions.expression(branch(tree, 0))
        return quantifier, until

    def _until_name(self, name: Token) -> Expression | None:
        self.untils.add(name_of(name))
        definition = self.definitions.get(name_of(name))
        hint = "write until (condition), or define the name"
        if definition is None:
            hint = closest(name_of(name), list(self.definitions)) or hint
            message = f"until {name_of(name)}: no such definition"
            self.problems.append(Problem(message, span_of(name), hint))
            return None
        if definition.stream is not None or definition.condition is None:
            message = f"until {name_of(name)}: its definition is no plain condition"
            self.problems.append(Problem(message, span_of(name), "write until (condition)"))
            return None
        return definition.condition


def _word(modifier: Branch) -> str:
    """The word by which a modifier is written."""
    kind = MODIFIERS.get(modifier.data, modifier.data)
    return str(modifier.children[0]).lower() if kind == "ordered" else kind
