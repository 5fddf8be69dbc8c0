"""How far a run has come: a function that is told, a bar, and a word while kernels are compiled."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, runtime_checkable

Progress = Callable[[int, "int | None"], None]
"""Called with (rows read, rows in all or None)."""

COMPILING = "compiling kernels, once"


@runtime_checkable
class TellsCompiling(Protocol):
    """A `Progress` that also wants to know when there is a wait for the compiler."""

    def compiling(self) -> None: ...


@contextmanager
def followed(progress: Progress | bool | None) -> Iterator[Progress | None]:
    """What to call for each batch of a run that happens inside; True makes a bar."""
    from cep.engine.kernels.jit import when_compiling

    with ExitStack() as stack:
        shown = stack.enter_context(_bar()) if progress is True else progress or None
        tell = shown.compiling if isinstance(shown, TellsCompiling) else say_compiling
        stack.enter_context(when_compiling(tell))
        yield shown


def say_compiling() -> None:
    """A line to stderr where a person reads it: on a terminal, in a notebook."""
    if sys.stderr.isatty() or _in_notebook():
        print(f"cep: {COMPILING}: this takes some 10 s", file=sys.stderr, flush=True)


def _in_notebook() -> bool:
    ipython: Any = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


class _Bar:
    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def __call__(self, done: int, total: int | None) -> None:
        self._bar.total = total
        self._bar.set_description("events", refresh=False)
        self._bar.update(done - self._bar.n)

    def compiling(self) -> None:
        self._bar.set_description(COMPILING)


@contextmanager
def _bar() -> Iterator[_Bar]:
    made = _tqdm()(desc="events", unit=" events", unit_scale=True)
    try:
        yield _Bar(made)
    finally:
        made.close()


def _tqdm() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without ipywidgets the bar is text
            from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError("a progress bar needs tqdm: pip install 'cep[notebook]'") from error
    return tqdm
