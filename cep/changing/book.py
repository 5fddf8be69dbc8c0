"""The rules of a detector with their versions: who is in force, who is disabled, who reads whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cep.changing.statements import (
    RUN,
    Like,
    Statement,
    compile_statements,
    read_statements,
    statements_of,
    with_digests,
)
from cep.engine.algebra.errors import Problem, RuleError
from cep.engine.algebra.pattern import Pattern
from cep.engine.dataflow.readers import statements_read
from cep.engine.io.source import did_you_mean
from cep.rules import Built, Rules, Unfinished, as_rules, compile  # noqa: A004 - what users call it

AnyRules = Rules | str | Built | Iterable[Built]
LISTED = 20  # names in a message


@dataclass(frozen=True, slots=True)
class RuleBook:
    """All statements in their order, those that are disabled among them; immutable.

    `rules` are those in force. What changes it returns another one, and raises RuleError where
    that cannot be. `now_us` is the clock of the detector.
    """

    statements: tuple[Statement, ...]
    rules: Rules

    @property
    def asleep(self) -> list[Statement]:
        """What is disabled."""
        return [statement for statement in self.statements if statement.is_disabled]

    # ------------------------------------------------------------------ other rules

    @staticmethod
    def begin(rules: Rules, now_us: int, before: Iterable[Statement] = ()) -> RuleBook:
        """The first book of a detector, or the successor of the statements `before`.

        What was disabled stays so, if it is there still.
        """
        asleep = {statement.known for statement in before if statement.is_disabled}
        found = [
            replace(statement, is_disabled=statement.kind in RUN and statement.known in asleep)
            for statement in statements_of(rules)
        ]
        book = RuleBook(_with_versions(found, before, now_us), rules)
        if not book.asleep:
            return book
        book._check_unread(book.asleep, "is disabled", "enable it, or leave out who reads it")
        return replace(book, rules=compile_statements(_in_force(found), Like.of(rules)))

    def updated(self, rules: Rules, now_us: int) -> RuleBook:
        """Other rules in place of these."""
        return self.begin(rules, now_us, self.statements)

    def after(self, before: RuleBook, now_us: int) -> RuleBook:
        """The same, where it takes the place of another one later than it was made."""
        statements = _with_versions(self.statements, before.statements, now_us)
        return replace(self, statements=statements)

    def beside(self, other: RuleBook) -> list[Statement]:
        """The statements in force that are not those of the other one."""
        there = {(statement.known, statement.digest) for statement in _in_force(other.statements)}
        return [s for s in _in_force(self.statements) if (s.known, s.digest) not in there]

    # ------------------------------------------------------------------ one by one

    def added(self, given: AnyRules, now_us: int) -> RuleBook:
        """With further statements at the end."""
        new, like = _given(given)
        there = {statement.known: statement for statement in self.statements}
        for statement in new:
            if statement.name and statement.known in there:
                old = there[statement.known]
                state = "disabled " if old.is_disabled else ""
                message = f"there is a {state}{old} already"
                raise RuleError([Problem(message, hint="replace it, or give another name")])
        return self._compiled((*self.statements, *new), self._like().with_those_of(like), now_us)

    def replaced(self, given: AnyRules, now_us: int) -> RuleBook:
        """With other statements where those of the same names stand."""
        new, given_like = _given(given)
        places = {statement.known: place for place, statement in enumerate(self.statements)}
        statements, like = list(self.statements), self._like()
        for statement in new:
            place = places.get(statement.known)
            if not statement.name:
                statements.append(statement)  # compiling tells what is wrong with it
                continue
            if place is None:
                raise self._unknown(str(statement), statement.label)
            off = statements[place].is_disabled
            statements[place] = replace(statement, is_disabled=off)
            like = like.without_value(statement.name[1:])
        return self._compiled(statements, like.with_those_of(given_like), now_us)

    def removed(self, names: Sequence[str], now_us: int) -> RuleBook:
        """Without these, which nobody else reads."""
        gone = self._named(names)
        self._check_unread(gone, "cannot be removed", "remove who reads it, too")
        return self._compiled([s for s in self.statements if s not in gone], self._like(), now_us)

    def disabled(self, names: Sequence[str], now_us: int) -> RuleBook:
        """Without running these, which nobody else reads."""
        asleep = self._named(names)
        for statement in asleep:
            if statement.kind not in RUN:
                hint = f"what can be disabled are: {', '.join(RUN)}"
                raise RuleError([Problem(f"{statement} is not run for itself", hint=hint)])
        self._check_unread(asleep, "cannot be disabled", "disable who reads it, too")
        return self._switched(asleep, True, now_us)

    def enabled(self, names: Sequence[str], now_us: int) -> RuleBook:
        """With these run again."""
        return self._switched(self._named(names), False, now_us)

    # ------------------------------------------------------------------ inside

    def _like(self) -> Like:
        return Like.of(self.rules)

    def _switched(self, some: Sequence[Statement], off: bool, now_us: int) -> RuleBook:
        if all(statement.is_disabled == off for statement in some):
            return self
        statements = [replace(s, is_disabled=off) if s in some else s for s in self.statements]
        return self._compiled(statements, self._like(), now_us)

    def _compiled(self, statements: Sequence[Statement], like: Like, now_us: int) -> RuleBook:
        """The book of these statements. Those without a digest are new: they must be right."""
        if not any(s.kind in RUN for s in _in_force(statements)):
            message = "no pattern, aggregate or join would be left to run"
            raise RuleError([Problem(message, hint="add another one before")])
        checked = [s for s in statements if not s.is_disabled or not s.digest]
        rules = compile_statements(checked, like)
        digests = {s.known: s for s in with_digests(checked, rules)}
        found = [digests.get(s.known, s) for s in statements]
        if any(s.is_disabled for s in checked):
            rules = compile_statements(_in_force(found), like)
        return RuleBook(_with_versions(found, self.statements, now_us), rules)

    def _named(self, names: Sequence[str]) -> list[Statement]:
        """The statements of these names; a feature may be called NAME on STREAM."""
        if not names:
            raise RuleError([Problem("no statement is named", hint="say the name of one")])
        found = []
        for name in names:
            mine = [s for s in self.statements if name in (s.name, s.label)]
            if len(mine) > 1:
                labels = " and ".join(map(str, mine))
                raise RuleError([Problem(f"{name!r} may be {labels}", hint="say which of them")])
            if not mine:
                raise self._unknown(repr(name), name)
            found += mine
        return found

    def _unknown(self, what: str, name: str) -> RuleError:
        labels = [statement.label for statement in self.statements]
        more = ", ..." if len(labels) > LISTED else ""
        near = did_you_mean(name, labels).removeprefix("; ")
        hint = near or f"there are: {', '.join(labels[:LISTED])}{more}"
        return RuleError([Problem(f"there is no {what} among the rules", hint=hint)])

    def _check_unread(self, some: Sequence[Statement], what: str, hint: str) -> None:
        """RuleError where a statement that is in force, and not one of these, reads one of them."""
        reads = statements_read(self.rules.rule_set)
        others = [s for s in _in_force(self.statements) if s not in some]
        for statement in some:
            readers = [
                str(other)
                for other in others
                if statement.known in reads.get(other.known, ())
                or statement.name in other.written.parameters
            ]
            if readers:
                message = f"{statement} {what}: it is read by {', '.join(readers[:LISTED])}"
                raise RuleError([Problem(message, hint=hint)])


def _in_force(statements: Iterable[Statement]) -> list[Statement]:
    return [statement for statement in statements if not statement.is_disabled]


def _with_versions(
    statements: Iterable[Statement], before: Iterable[Statement], now_us: int
) -> tuple[Statement, ...]:
    """The version of each: the same as before, or the next where it says something else."""
    known = {statement.known: statement for statement in before}
    found = []
    for statement in statements:
        old = known.get(statement.known)
        version, since_us = 1, now_us
        if old is not None:
            version = old.version + (old.digest != statement.digest)
            if version == old.version and old.is_disabled == statement.is_disabled:
                since_us = old.since_us
        found.append(replace(statement, version=version, since_us=since_us))
    return tuple(found)


def _given(given: AnyRules) -> tuple[tuple[Statement, ...], Like]:
    """What somebody gives to be added or to replace something, which may be wrong."""
    rules = given if isinstance(given, Rules | str) else compile(given)
    if isinstance(rules, str):
        found, like = read_statements(rules), Like()
    else:
        found, like = read_statements(rules.text, rules.name), Like.of(rules)
    if not found:
        raise RuleError([Problem("there is no statement in the text", hint="write one")])
    return found, like


def as_book(rules: AnyRules | RuleBook, now_us: int) -> RuleBook:
    """A book as it is, anything else compiled."""
    return rules if isinstance(rules, RuleBook) else RuleBook.begin(as_rules(rules), now_us)


def repeatable(rules: AnyRules) -> AnyRules:
    """The same, to be read more than once."""
    if isinstance(rules, Rules | str | Pattern | Unfinished):
        return rules
    return tuple(rules)
