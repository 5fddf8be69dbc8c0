"""What takes other rules between two events: as a whole, or statement by statement."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from cep.attended import Attended
from cep.changing.book import AnyRules, RuleBook, repeatable
from cep.changing.given import KINDS
from cep.changing.shadow import Shadow
from cep.changing.statements import Like, statements_of
from cep.changing.versions import RuleVersions, versions_of
from cep.changing.watcher import Watcher
from cep.engine.algebra.errors import CepError, StateError
from cep.engine.state.limits import Limit
from cep.engine.state.restoring import Restored
from cep.observability.measured import Measured
from cep.rules import Rules, as_rules

NOTHING: Mapping[str, Any] = dict.fromkeys(KINDS)
T = TypeVar("T")
Make = Callable[[RuleBook, int], RuleBook]


class Changing(Attended):
    """Its rules change between two events, and what stays as it is keeps its state.

    Everything here returns what became of each statement, as after a restore. What cannot be is a
    RuleError, and then nothing has changed. Rules are compiled while events go on; then all state
    is copied once, during which they wait: O(state).
    """

    _book: RuleBook
    _shadow: Shadow | None = None
    _clock: Callable[[], int]
    measured: Measured

    @abstractmethod
    def _take_on(self, book: RuleBook, given: Mapping[str, Any], beside: bool) -> Restored:
        """Go on with these rules; `given` and `beside` as of `given.carried`."""

    @property
    def rules(self) -> RuleVersions:
        """All statements with their versions; `rules.current` are those in force."""
        book, shadow = self._book, self._shadow
        return versions_of(book.statements, book.rules, shadow.book.beside(book) if shadow else ())

    def update(
        self,
        rules: AnyRules,
        *,
        tables: Mapping[str, Any] | None = None,
        limits: Mapping[str, Limit] | None = None,
        on: Mapping[str, Callable[[Any], None]] | None = None,
    ) -> Restored:
        """Go on with other rules from the next event on; statements that are the same keep state.

        What is disabled stays so where the rules have it. `tables`, `limits` and `on` take the
        place of those that there were (None: they stay). Raises what the constructor raises for
        rules that do not fit.
        """
        said = repeatable(rules)
        given = {"tables": tables, "limits": limits, "on": on}
        return self._updated(lambda book, now_us: book.updated(as_rules(said), now_us), given)

    def add(
        self,
        rules: AnyRules,
        *,
        tables: Mapping[str, Any] | None = None,
        limits: Mapping[str, Limit] | None = None,
        on: Mapping[str, Callable[[Any], None]] | None = None,
    ) -> Restored:
        """Add statements, as text or built in Python. None of their names is there yet.

        `tables`, `limits` and `on` are given for them, beside those that there are.
        """
        said = repeatable(rules)
        given = {"tables": tables, "limits": limits, "on": on}
        return self._updated(lambda book, now_us: book.added(said, now_us), given, beside=True)

    def replace(self, rules: AnyRules) -> Restored:
        """Put statements in the place of those that have their names.

        One that says what it said before keeps its version and its state.
        """
        said = repeatable(rules)
        return self._updated(lambda book, now_us: book.replaced(said, now_us))

    def remove(self, *names: str) -> Restored:
        """Forget statements: patterns, features (also as NAME on STREAM), all that has a name.

        Nobody else may read them.
        """
        return self._updated(lambda book, now_us: book.removed(names, now_us))

    def disable(self, *names: str) -> Restored:
        """Stop running patterns, aggregates or joins, which nobody else may read.

        Their state is let go, their text stays in `rules`, also over updates and restores.
        """
        return self._updated(lambda book, now_us: book.disabled(names, now_us))

    def enable(self, *names: str) -> Restored:
        """Run again what was disabled; it begins without state."""
        return self._updated(lambda book, now_us: book.enabled(names, now_us))

    def shadow(
        self,
        rules: AnyRules,
        *,
        tables: Mapping[str, Any] | None = None,
        limits: Mapping[str, Limit] | None = None,
    ) -> Shadow:
        """Run other rules beside those in force from the next event on, to see what would differ.

        Statements that are the same begin with the state that they have here, others without.
        Each event costs the time of both. What there is to know is in `Shadow.report`; nothing of
        it comes out here. While there is a shadow the rules do not change, but by its `promote`.
        It is in no snapshot.
        """
        said = repeatable(rules)
        given = {"tables": tables, "limits": limits, "on": None}
        return self._change(
            lambda book, now_us: book.updated(as_rules(said), now_us),
            lambda book: self._begin_shadow(book, given),
        )

    def stop_shadow(self) -> None:
        """End the shadow, where there is one."""
        if self._shadow is not None:
            self._shadow.stop()

    @abstractmethod
    def _begin_shadow(self, book: RuleBook, given: Mapping[str, Any]) -> Shadow:
        """Other rules beside these."""

    def forget_threads(self) -> None:
        """In the child of a fork: they are not there."""
        super().forget_threads()
        if self._shadow is not None:
            self._shadow.share_lock()

    def watch(
        self, path: str | os.PathLike[str], handle: Callable[[Watcher], None] | None = None
    ) -> Watcher:
        """Keep the rules those of a file, or of all `*.cep` of a directory, on a thread of its own.

        The rules are read at once: raises what is wrong with them, and watches nothing then. After
        that each change of the files is an `update`; files that cannot be read or do not compile
        change nothing, are logged and in `Watcher.error` until they are right. `handle` is called
        on the thread after each change, good or bad. Functions and values of parameters that are in
        force stay. Ends with `stop` or `with`, with `finish` and `close`. Needs `cep[watch]`.
        """
        self.check_open()
        name = os.fspath(path)
        watcher = Watcher(name, self._take_read, lambda: self._like(name), handle)
        self._attendants.append(watcher)
        try:
            watcher.begin()
        except BaseException:
            self._attendants.remove(watcher)
            raise
        return watcher

    # ------------------------------------------------------------------ inside

    def _like(self, name: str) -> Like:
        return replace(Like.of(self._book.rules), name=name)

    def _take_read(self, rules: Rules) -> Restored:
        """Rules that say what is in force already change nothing."""
        now = [(statement.known, statement.digest) for statement in self._book.statements]
        is_same = now == [(each.known, each.digest) for each in statements_of(rules)]
        return Restored() if is_same else self.update(rules)

    def _updated(
        self, make: Make, given: Mapping[str, Any] = NOTHING, *, beside: bool = False
    ) -> Restored:
        def take_on(book: RuleBook) -> Restored:
            return Restored() if book is self._book else self._take_on(book, given, beside)

        return self._change(make, take_on)

    def _change(self, make: Make, then: Callable[[RuleBook], T]) -> T:
        """Rules are compiled without the lock: again, where others have changed meanwhile."""
        self._check_may_change()
        while True:
            seen = self._book
            book = self._made(make, seen)
            with self.lock:
                if self._book is seen:
                    self._check_may_change()
                    return then(book)

    def _check_may_change(self) -> None:
        self.check_open()
        if self._shadow is not None:
            raise StateError("other rules run in the shadow: promote or stop them first")

    def _made(self, make: Make, seen: RuleBook) -> RuleBook:
        """What is refused counts as an update that failed."""
        try:
            return make(seen, self._clock())
        except CepError as error:
            with self.lock:
                self.measured.has_failed("update", error)
            raise
