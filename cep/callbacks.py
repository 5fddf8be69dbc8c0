"""What is raised where a function that is called with results fails."""

from __future__ import annotations

from cep.engine.algebra.errors import CepError
from cep.results.result import Result


class CallbackError(CepError):
    """A function given to `on` has failed. The events have been taken: do not give them again.

    `result` is what the call would have returned.
    """

    def __init__(self, name: str, error: Exception, result: Result) -> None:
        self.result = result
        what = f"{type(error).__name__}: {error}"
        super().__init__(f"the function for {name!r} failed ({what}); the events have been taken")
