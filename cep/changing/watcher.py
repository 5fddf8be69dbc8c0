"""A thread that keeps the rules of a detector those of a file, or of a directory of files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from threading import Event, Thread, current_thread

from cep.changing.statements import Like, compile_statements, read_statements
from cep.engine.algebra.errors import CepError, DataError, StateError
from cep.engine.io.rule_files import changes, read_rule_files
from cep.engine.state.restoring import Restored
from cep.observability.logs import say
from cep.rules import Rules

Take = Callable[[Rules], Restored]
Handle = Callable[["Watcher"], None]


class Watcher:
    """Reads rule files whenever they change and hands the rules on, until `stop`.

    `error`: why the files as they are now are not in force, None where they are. `restored`: what
    became of each statement when rules last changed. Made by `Detector.watch`, which says the rest.
    """

    def __init__(
        self, path: str, take: Take, like: Callable[[], Like], handle: Handle | None
    ) -> None:
        self.path = path
        self.error: CepError | None = None
        self.restored: Restored | None = None
        self._take = take
        self._like = like
        self._handle = handle
        self._seen: Mapping[str, str] | None = None
        self._failure: Exception | None = None
        self._stopping, self._is_watching = Event(), Event()
        self._changes = changes(path, self._stopping)
        self._thread = Thread(target=self._run, name="cep-watcher", daemon=True)

    def begin(self) -> None:
        """Take the rules as they are, then watch them from here on. Raises what is wrong."""
        self._seen = texts = read_rule_files(self.path)
        self.restored = self._take(self._rules_of(texts))
        self._thread.start()
        self._is_watching.wait()
        if self._failure is not None:
            self.stop()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """End it, once an update that is under way is through.

        Raises what the function has raised that is called for each change, if that has ended it.
        """
        self._stopping.set()
        if self._thread.is_alive() and current_thread() is not self._thread:
            self._thread.join()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ------------------------------------------------------------------ on its thread

    def _run(self) -> None:
        try:
            for _ in self._changes:
                self._look()
                self._is_watching.set()
        except Exception as failure:
            say(logging.ERROR, "watcher_failed", f"{self.path} is watched no more", failure)
            self._failure = failure
        finally:
            self._is_watching.set()

    def _look(self) -> None:
        """Read the files; where they are not what they were, take them."""
        try:
            texts = read_rule_files(self.path)
        except DataError as error:
            self._seen = None
            self._keep(error)
            return
        if texts == self._seen:
            return
        try:
            restored = self._take(self._rules_of(texts))
        except CepError as error:
            self._seen = None if isinstance(error, StateError) else texts  # None: try it again
            self._keep(error)
            return
        self._seen, self.error, self.restored = texts, None, restored
        say(logging.INFO, "rules_read", f"{self.path} read: {restored}", path=self.path)
        self._tell()

    def _keep(self, error: CepError) -> None:
        """The same error is said once."""
        if str(error) != str(self.error):
            self.error = error
            text = f"the rules stay as they are, {self.path} is wrong: {error}"
            say(logging.ERROR, "rules_refused", text, path=self.path, error=str(error))
            self._tell()

    def _tell(self) -> None:
        if self._handle is not None:
            self._handle(self)

    def _rules_of(self, texts: Mapping[str, str]) -> Rules:
        """One rule set of all files; problems say in which file they are."""
        found = [s for name, text in texts.items() for s in read_statements(text, name)]
        return compile_statements(found, self._like(), _doubt)


def _doubt(message: str) -> None:
    say(logging.WARNING, "rule_doubtful", message)
